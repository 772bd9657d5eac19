//! Names of servers for those who reach them by their own means: at once, after waiting, or why
//! not.

use std::time::Duration;

use portolan::bson::{Document, RawDocumentBuf, Timestamp, doc};
use portolan::{
    Client, ErrorKind, HostFailure, ReadPreference, Result, ServerAddress, ServerType, Targeting,
};

use super::support::{Bed, Join, address, ms, pool, secs};

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
    // IC-63: who wants the primary is told in the same way.
    bed.kill("a:1");
    bed.advance(secs(1));
    let join =
        hosts(&bed, &client, Targeting::new(ReadPreference::primary()).timeout(Duration::ZERO));
    bed.advance(ms(1));
    let error = join.take().expect("no waiting").expect_err("no primary");
    assert!(matches!(error.kind(), ErrorKind::ServerSelection { .. }));
    let text = error.to_string();
    assert!(text.contains("read preference primary") && text.contains("b:1 RSSecondary"), "{text}");
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
    // IC-66: the name, what the client was made with, and the whole as a document.
    assert_eq!(belief.set_name.as_deref(), Some("rs0"));
    assert_eq!(client.options().hosts, [address("a:1")]);
    let whole = serde_json::to_value(&*belief).expect("JSON");
    assert_eq!(whole["topologyType"], "ReplicaSetWithPrimary");
    assert_eq!(whole["servers"].as_array().map(Vec::len), Some(2));
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

/// A reply of a server that somebody reached by his own means.
fn reply(document: Document) -> Option<HostFailure> {
    HostFailure::of_reply(&RawDocumentBuf::try_from(document).expect("BSON"))
}

fn error(code: i32) -> HostFailure {
    reply(doc! { "ok": 0, "code": code, "errmsg": "no" }).expect("it says what the server is")
}

// IC-67, IC-69: what callers found is believed as the client's own operations are: by how far the
// connection had come, and by what the server said.
#[test]
fn what_callers_found_wrong_with_a_host_is_believed() {
    // What is told, whether the server is Unknown then, its pool empty, and a check on its way.
    let table: [(&str, HostFailure, bool, bool, bool); 7] = [
        ("before the handshake", HostFailure::not_connected("refused"), false, false, false),
        ("behind it", HostFailure::broken("reset"), true, true, false),
        ("no answer in time", HostFailure::timed_out("late"), false, false, false),
        ("not the primary", error(10107), true, false, true),
        ("recovering", error(13436), true, false, true),
        ("shutting down", error(91), true, true, true),
        (
            "a write that is not acknowledged, by a primary that steps down",
            reply(doc! { "ok": 1, "n": 1, "writeConcernError": { "code": 189, "errmsg": "no" } })
                .expect("it says what the server is"),
            true,
            false,
            true,
        ),
    ];
    for (case, failure, unknown, closed, checked) in table {
        let bed = Bed::set(1);
        // Polled, so that the next check is that of the interval or one out of turn.
        for name in ["a:1", "b:1"] {
            bed.with_server(name, |server| server.version = None);
        }
        let client = bed.settled("");
        let pinging = client.clone();
        bed.run(async move { pinging.ping(ReadPreference::primary()).await }).expect("a ping");
        bed.forget_log();
        client.host_failed(&address("a:1"), failure);
        bed.settle();
        let belief = client.description();
        let kind = belief.server(&address("a:1")).map(|server| server.server_type);
        assert_eq!(kind == Some(ServerType::Unknown), unknown, "{case}");
        assert!(belief.is_host_up(&address("b:1")), "{case}: the other is what it was");
        assert_eq!(pool(&client, "a:1").connections == 0, closed, "{case}");
        bed.advance(secs(1));
        assert_eq!(bed.named("hello").len(), usize::from(checked), "{case}");
        assert_eq!(client.description().is_primary(&address("a:1")), !unknown || checked, "{case}");
    }
}

// IC-69
#[test]
fn what_says_nothing_of_a_server_or_is_of_a_stranger_changes_nothing() {
    assert_eq!(reply(doc! { "ok": 1, "n": 1 }), None);
    assert_eq!(reply(doc! { "ok": 0, "code": 11000, "errmsg": "duplicate key" }), None);
    let failed = doc! { "index": 0, "code": 10107, "errmsg": "of a statement, not of the server" };
    assert_eq!(reply(doc! { "ok": 1, "writeErrors": [failed] }), None);
    let bed = Bed::set(0);
    let client = bed.settled("");
    let before = client.description();
    client.host_failed(&address("z:1"), HostFailure::broken("reset"));
    assert_eq!(client.description(), before);
}

// IC-69: what a targeter of one set knows and answers.
#[test]
fn a_client_names_its_set_one_host_or_all() {
    let bed = Bed::set(2);
    let client = bed.settled("");
    assert_eq!(client.description().server_address(), "rs0/a:1,b:1,c:1");
    assert_eq!(now(&bed, &client, ReadPreference::secondary()), ["b:1", "c:1"]);
    let host = bed.run(async move { client.host(ReadPreference::primary()).await });
    assert_eq!(host.expect("a host"), address("a:1"));
}

// IC-70: the caller's own limit, where it is shorter than the client's, is the one that ends the
// wait and the one that the error names; whoever is interrupted drops the future.
#[test]
fn the_shorter_limit_ends_the_wait_and_is_named() {
    for (own, limit) in [(Some(ms(250)), ms(250)), (None, secs(3))] {
        let bed = Bed::set(0);
        let client = bed.settled("serverSelectionTimeoutMS=3000");
        let secondary = Targeting::new(ReadPreference::secondary());
        let targeting = own.map_or(secondary.clone(), |own| secondary.timeout(own));
        let join = hosts(&bed, &client, targeting);
        bed.advance(limit - ms(1));
        assert!(!join.is_done());
        bed.advance(ms(1));
        let error = join.take().expect("now").expect_err("there is no secondary");
        assert!(matches!(error.kind(), ErrorKind::ServerSelection { .. }));
        assert!(error.to_string().contains(&format!("within {limit:?}")), "{error}");
    }
}
