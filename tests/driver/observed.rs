//! Events of pools and commands, in order and whole, on the virtual clock.

use futures_util::{FutureExt, Stream, StreamExt};
use portolan::bson::doc;
use portolan::event::{CommandEventKind, PoolEventKind};
use portolan::{Client, ErrorKind, ReadPreference};

use super::support::server::Act;
use super::support::{Bed, ms, secs};

fn heard<T>(events: &mut (impl Stream<Item = T> + Unpin)) -> Vec<T> {
    std::iter::from_fn(|| events.next().now_or_never().flatten()).collect()
}

fn distinct(bed: &Bed, client: &Client) -> super::support::Join<Result<(), portolan::Error>> {
    let database = client.database("shop");
    bed.spawn(async move { database.run_command(doc! { "distinct": "x" }).await.map(drop) })
}

#[test]
fn a_command_that_is_dropped_in_the_middle_has_an_end() {
    let bed = Bed::standalone();
    let client = bed.settled("");
    let mut commands = client.command_events();
    let mut pools = client.pool_events();
    bed.rule("a:1", "distinct", 1, Act::Silence);
    let join = distinct(&bed, &client);
    bed.advance(ms(20));
    bed.cancel(join.id);
    bed.settle();
    let events = heard(&mut commands);
    let names: Vec<_> = events.iter().map(|event| event.kind.name()).collect();
    assert_eq!(names, ["commandStarted", "commandFailed"]);
    assert!(matches!(
        &events[1].kind,
        CommandEventKind::CommandFailed { failure, .. }
            if matches!(failure.kind(), ErrorKind::Network { .. })
    ));
    let names: Vec<_> = heard(&mut pools).iter().map(|event| event.kind.name()).collect();
    let closed = ["connectionCheckedIn", "connectionClosed"];
    assert_eq!(names[names.len() - 2..], closed, "{names:?}");
}

#[test]
fn durations_are_those_of_the_clock() {
    let bed = Bed::standalone();
    let client = bed.settled("");
    let mut commands = client.command_events();
    bed.rule("a:1", "distinct", 1, Act::Slow(ms(300)));
    let join = distinct(&bed, &client);
    bed.advance(secs(1));
    assert!(join.is_done());
    let events = heard(&mut commands);
    let [_, end] = &events[..] else { panic!("{events:?}") };
    let CommandEventKind::CommandSucceeded { duration, .. } = &end.kind else { panic!("{end:?}") };
    assert!((ms(300)..ms(400)).contains(duration), "{duration:?}");
}

#[test]
fn each_attempt_is_told_with_its_own_request() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let mut commands = client.command_events();
    bed.rule("a:1", "find", 1, Act::HangUp);
    let notes = client.database("shop").collection::<portolan::bson::Document>("notes");
    bed.run(async move { notes.find_one(doc! {}).await }).expect("the second attempt");
    let events = heard(&mut commands);
    let names: Vec<_> = events.iter().map(|event| event.kind.name()).collect();
    assert_eq!(names, ["commandStarted", "commandFailed", "commandStarted", "commandSucceeded"]);
    assert_ne!(events[0].connection_id, events[2].connection_id, "the first one broke");
    assert!(events.iter().all(|event| event.database_name == "shop"));
}

#[test]
fn a_pool_says_why_it_closes_connections() {
    let bed = Bed::standalone();
    let client = bed.settled("");
    let mut pools = client.pool_events();
    let ping = client.clone();
    bed.run(async move { ping.ping(ReadPreference::primary()).await }).expect("a ping");
    let last = client;
    bed.run(async move { last.shutdown().await });
    let events = heard(&mut pools);
    let names: Vec<_> = events.iter().map(|event| event.kind.name()).collect();
    assert_eq!(names.last(), Some(&"poolClosed"), "{names:?}");
    let reasons: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.kind {
            PoolEventKind::ConnectionClosed { reason, .. } => Some(reason.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, ["poolClosed"]);
}
