//! Names of servers for those who reach them by their own means: at once, after waiting, or why
//! not.

use std::time::Duration;

use portolan::bson::{Timestamp, doc};
use portolan::{Client, ErrorKind, ReadPreference, Result, ServerAddress, Targeting};

use super::support::{Bed, Join, address, ms};

fn hosts(bed: &Bed, client: &Client, targeting: impl Into<Targeting>) -> Join<Result<Vec<String>>> {
    let (client, targeting) = (client.clone(), targeting.into());
    bed.spawn(async move {
        let mut hosts = client.hosts(targeting).await?;
        hosts.sort();
        Ok(hosts.iter().map(ServerAddress::to_string).collect())
    })
}

fn now(bed: &Bed, client: &Client, targeting: impl Into<Targeting>) -> Vec<String> {
    let join = hosts(bed, client, targeting);
    bed.settle();
    join.take().expect("at once").expect("hosts")
}

// IC-56, IC-57, IC-59
#[test]
fn what_is_known_is_answered_without_a_word_to_any_server() {
    let bed = Bed::set(2);
    let client = bed.settled("");
    bed.forget_log();
    assert_eq!(now(&bed, &client, ReadPreference::nearest()), ["a:1", "b:1", "c:1"]);
    assert_eq!(now(&bed, &client, ReadPreference::secondary()), ["b:1", "c:1"]);
    assert_eq!(now(&bed, &client, ReadPreference::primary()), ["a:1"]);
    let mut seen = Vec::new();
    for _ in 0..40 {
        let client = client.clone();
        let host = bed.run(async move { client.host(ReadPreference::secondary()).await });
        seen.push(host.expect("a host").to_string());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["b:1", "c:1"], "one or the other");
    assert!(bed.requests().is_empty() && bed.named("hello").is_empty());
}

// IC-82
#[test]
fn hosts_come_in_random_order() {
    let bed = Bed::set(2);
    let client = bed.settled("");
    let mut firsts: Vec<String> = (0..60)
        .map(|_| {
            let client = client.clone();
            let hosts = bed.run(async move { client.hosts(ReadPreference::nearest()).await });
            hosts.expect("hosts")[0].to_string()
        })
        .collect();
    firsts.sort();
    firsts.dedup();
    assert_eq!(firsts, ["a:1", "b:1", "c:1"]);
}

// IC-58
#[test]
fn excluded_hosts_are_not_named() {
    let bed = Bed::set(2);
    let client = bed.settled("");
    let without = |names: &[&str]| {
        Targeting::new(ReadPreference::nearest()).excluding(names.iter().map(|name| address(name)))
    };
    assert_eq!(now(&bed, &client, without(&["a:1", "b:1"])), ["c:1"]);
    let none = hosts(&bed, &client, without(&["a:1", "b:1", "c:1"]).timeout(ms(700)));
    bed.advance(ms(699));
    assert!(!none.is_done());
    bed.advance(ms(1));
    let error = none.take().expect("now").expect_err("all are excluded").to_string();
    assert!(error.contains("a:1 RSPrimary: excluded by the caller"), "{error}");
}

// IC-68
#[test]
fn hosts_behind_the_cluster_time_are_not_named() {
    let bed = Bed::set(2);
    for (name, time) in [("a:1", 30), ("b:1", 20), ("c:1", 10)] {
        bed.with_server(name, |server| {
            let written = doc! { "opTime": { "ts": Timestamp { time, increment: 1 }, "t": 1_i64 } };
            server.hello.insert("lastWrite", written);
        });
    }
    let client = bed.settled("");
    let at = |time| {
        Targeting::new(ReadPreference::nearest()).min_cluster_time(Timestamp { time, increment: 1 })
    };
    assert_eq!(now(&bed, &client, at(20)), ["a:1", "b:1"]);
    assert_eq!(now(&bed, &client, at(99)), ["a:1", "b:1", "c:1"]);
}

// IC-59, IC-60
#[test]
fn who_waits_is_answered_when_the_topology_changes() {
    let bed = Bed::set(1);
    bed.net.state().change(&address("a:1"), |hello| {
        hello.insert("isWritablePrimary", false);
        hello.insert("secondary", true);
    });
    let client = bed.settled("");
    let waiting = [
        hosts(&bed, &client, ReadPreference::primary()),
        hosts(&bed, &client, ReadPreference::primary()),
    ];
    bed.advance(ms(2_000));
    assert!(waiting.iter().all(|join| !join.is_done()));
    bed.elect("b:1", 2);
    bed.advance(ms(600));
    for join in &waiting {
        assert_eq!(join.take().expect("answered").expect("a primary"), ["b:1"]);
    }
}

// IC-61, IC-63
#[test]
fn a_failure_names_the_preference_and_each_server() {
    let bed = Bed::set(1);
    let client = bed.settled("");
    let nowhere = ReadPreference::secondary().with_tags([("dc", "atlantis")]);
    let join = hosts(&bed, &client, Targeting::new(nowhere).timeout(Duration::ZERO));
    bed.advance(ms(1));
    let error = join.take().expect("no waiting").expect_err("no such tag");
    assert!(matches!(error.kind(), ErrorKind::ServerSelection { .. }));
    let text = error.to_string();
    assert!(text.contains("secondary, tags [{dc: atlantis}]"), "{text}");
    assert!(text.contains("a:1 RSPrimary") && text.contains("b:1 RSSecondary"), "{text}");
    assert_eq!(error.verdicts().len(), 2);
}

// IC-62
#[test]
fn dropping_the_future_ends_the_wait() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let join = hosts(&bed, &client, ReadPreference::secondary());
    bed.advance(ms(700));
    assert_eq!(client.statistics().selection.currently_active, 1);
    bed.cancel(join.id);
    assert!(!join.is_done());
    assert_eq!(client.statistics().selection.currently_active, 0);
}

// IC-64, IC-65, IC-66
#[test]
fn questions_about_the_belief() {
    let bed = Bed::set(1);
    let client = bed.settled("");
    let belief = client.description();
    assert!(belief.is_primary(&address("a:1")) && !belief.is_primary(&address("b:1")));
    assert!(belief.is_host_up(&address("b:1")) && !belief.is_host_up(&address("c:1")));
    assert!(belief.contains(&address("b:1")) && belief.has_known_primary());
    assert!(belief.ping_time(&address("b:1")).is_some());
    assert_eq!((belief.min_wire_version(), belief.max_wire_version()), (0, 21));
    assert_eq!(belief.server_address(), "rs0/a:1,b:1");
    bed.kill("b:1");
    bed.advance(ms(600));
    assert!(!client.description().is_host_up(&address("b:1")));
}

#[test]
fn waiting_can_go_on_on_any_thread() {
    fn is_send<T: Send>(_: &T) {}
    let bed = Bed::set(0);
    let client = bed.settled("");
    is_send(&client.hosts(ReadPreference::nearest()));
    is_send(&client.host(ReadPreference::nearest()));
    is_send(&client.set_changes());
}
