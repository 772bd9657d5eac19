//! The user's own rule of selection, choices that can be foretold, and the cadence as users see it.

use std::time::Duration;

use portolan::engine::selection::{OperationKind, Outcome};
use portolan::options::{ClientOptions, ServerSelector};
use portolan::{Client, ErrorKind, ReadPreference};

use super::support::{Bed, Join, address, ms, secs, till};

fn client_with(bed: &Bed, change: impl FnOnce(&mut ClientOptions)) -> Client {
    let mut options = ClientOptions::parse(&bed.uri("")).expect("good options");
    change(&mut options);
    let client = bed.client_of(options);
    bed.advance(ms(600));
    client
}

fn ping(bed: &Bed, client: &Client) -> Join<portolan::Result<String>> {
    let client = client.clone();
    bed.spawn(async move {
        let answer = client.ping(ReadPreference::nearest()).await?;
        Ok(answer.address.to_string())
    })
}

fn chosen(bed: &Bed, client: &Client) -> String {
    let join = ping(bed, client);
    bed.advance(ms(100));
    join.take().expect("an answer").expect("a ping")
}

fn last() -> ServerSelector {
    ServerSelector::new(|servers| {
        let last = servers.iter().map(|server| server.address.clone()).max();
        servers.retain(|server| Some(&server.address) == last.as_ref());
    })
}

/// SS-06, GAP-10.
#[test]
fn the_users_own_rule_decides_every_selection() {
    let bed = Bed::set(2);
    let client = client_with(&bed, |options| options.server_selector = Some(last()));
    for _ in 0..10 {
        assert_eq!(chosen(&bed, &client), "c:1");
    }
    let explained =
        client.explain(OperationKind::Read, &ReadPreference::nearest()).expect("an explanation");
    let suitable = explained.verdicts.iter().filter(|verdict| verdict.outcome == Outcome::Suitable);
    let suitable: Vec<String> = suitable.map(|verdict| verdict.address.to_string()).collect();
    assert_eq!(suitable, ["c:1"], "{explained}");
    // Writes too, and they wait where it leaves none.
    let never = ServerSelector::new(|servers| servers.retain(|s| s.address != address("a:1")));
    let client = client_with(&bed, |options| options.server_selector = Some(never));
    let write = {
        let client = client;
        bed.spawn(async move {
            till(&client).insert_one(&portolan::bson::doc! { "n": 1 }).await.map(drop)
        })
    };
    bed.advance(secs(31));
    let error = write.take().expect("ended").expect_err("the primary is not the last");
    assert!(matches!(error.kind(), ErrorKind::ServerSelection { .. }), "{error}");
    assert!(bed.named("insert").is_empty());
}

/// SS-06: before the latency window, so that a slow server can be all that is left.
#[test]
fn the_rule_comes_before_the_latency_window() {
    let bed = Bed::set(1);
    bed.with_server("b:1", |server| server.delay = ms(80));
    let client = client_with(&bed, |options| options.server_selector = Some(last()));
    let join = ping(&bed, &client);
    bed.advance(secs(1));
    assert_eq!(join.take().expect("an answer").expect("a ping"), "b:1");
}

/// MT-35.
#[test]
fn the_same_seed_gives_the_same_choices() {
    let choices = |seed: u64| -> Vec<String> {
        let bed = Bed::set(5);
        let client = client_with(&bed, |options| options.selection_seed = Some(seed));
        (0..30).map(|_| chosen(&bed, &client)).collect()
    };
    let first = choices(7);
    assert_eq!(first, choices(7));
    assert_ne!(first, choices(8));
    assert!(first.iter().any(|name| *name != first[0]), "they are choices: {first:?}");
}

/// MT-11, MT-12.
#[test]
fn the_cadence_of_a_crisis_is_visible() {
    let bed = Bed::set(0);
    let client = client_with(&bed, |_| {});
    assert!(client.topology().description().is_steady());
    assert_eq!(client.monitoring_interval(), Duration::from_secs(10));
    bed.kill("a:1");
    bed.advance(secs(11));
    assert!(!client.topology().description().is_steady());
    let waiting = ping(&bed, &client);
    bed.settle();
    assert_eq!(client.monitoring_interval(), ms(500), "somebody waits");
    bed.cancel(waiting.id);
    assert_eq!(client.monitoring_interval(), secs(10), "nobody does");
}

/// MT-06, MT-07, MT-08.
#[test]
fn a_client_that_was_stopped_starts_again_and_finds_the_primary() {
    let bed = Bed::set(1);
    let client = client_with(&bed, |_| {});
    chosen(&bed, &client);
    let stopped = client.clone();
    bed.run(async move { stopped.shutdown().await });
    bed.advance(ms(10));
    assert!(bed.driver_ended());
    assert_eq!((bed.open_connections("a:1"), bed.open_connections("b:1")), (0, 0));
    let (again, driver) = client.restart().expect("the same options");
    bed.spawn(driver);
    assert!(!again.topology().description().is_steady(), "nothing is known yet");
    bed.advance(ms(600));
    let description = again.topology().description();
    assert_eq!(description.primary().map(|s| s.address.clone()), Some(address("a:1")));
    assert_eq!(again.options().warnings, client.options().warnings);
}
