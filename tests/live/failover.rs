//! The primary is killed, frozen, or steps down while a loop writes.
//!
//! In every case no error reaches the caller, and what was acknowledged is there once.

// The figures are for whoever runs this with --nocapture.
#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime};

use bson::{Document, doc};
use futures_util::TryStreamExt as _;
use portolan::event::EventKind;
use portolan::{Client, ServerType};
use portolan_support::{ElectionStep, MemberOptions, ReplicaSet, election_events};

use crate::watch::{Watch, connect, primary, run, start, start_with};

/// Acknowledged writes of the loop before the fault, and after it. Where one of three members is
/// gone, the server takes up to 60 ms for a majority write.
const BEFORE: i32 = 100;
const AFTER: i32 = 50;

#[test]
fn a_killed_primary_costs_no_write() {
    let mut set = start();
    run(async {
        let (client, mut watch) = connect(&format!("{}&w=majority", set.uri())).await;
        let old = primary(&*watch.until_complete(3).await).expect("a primary");
        let index = set.index_of(&old).expect("a member");
        let fault = write_through(&client, || set.member_mut(index).kill().expect("kill")).await;

        let new = assert_failover(&mut watch, &old).await;
        assert_written_once(&client).await;
        let election = election_time(&set, &new, fault.date);
        println!("SIGKILL to the first acknowledged write: {:?}; {election}", fault.recovered);
        println!("{}", timeline(&mut watch, &fault));

        set.member_mut(index).restart().expect("restart");
        watch.until_complete(3).await;
    });
}

#[test]
fn a_frozen_primary_costs_no_write_and_comes_back_as_a_secondary() {
    // A secondary notices sooner that the frozen member no longer feeds it: with the server's
    // default of five seconds, majority writes stand still for 13 seconds, whatever the client
    // does.
    let quick_sync = MemberOptions {
        extra_args: vec!["--setParameter".into(), "oplogNetworkTimeoutBufferSeconds=1".into()],
        ..MemberOptions::default()
    };
    let mut set = start_with(vec![quick_sync; 3]);
    run(async {
        let quick = "heartbeatFrequencyMS=500&connectTimeoutMS=1000";
        let (client, mut watch) = connect(&format!("{}&w=majority&{quick}", set.uri())).await;
        let old = primary(&*watch.until_complete(3).await).expect("a primary");
        let index = set.index_of(&old).expect("a member");
        let fault = write_through(&client, || set.member_mut(index).freeze().expect("stop")).await;
        watch.until("a new primary", |b| primary(b).is_some_and(|new| new != old)).await;
        println!("SIGSTOP to the first acknowledged write: {:?}", fault.recovered);
        println!("{}", timeline(&mut watch, &fault));

        set.member_mut(index).thaw().expect("continue");
        let belief = watch.until_complete(3).await;
        let thawed = belief.servers.values().find(|server| server.address.to_string() == old);
        assert_eq!(thawed.expect("the member").server_type, ServerType::RSSecondary);
        assert_written_once(&client).await;
    });
}

#[test]
fn a_primary_that_steps_down_costs_no_write() {
    let set = start();
    run(async {
        let (client, mut watch) = connect(&format!("{}&w=majority", set.uri())).await;
        let old = primary(&*watch.until_complete(3).await).expect("a primary");
        let index = set.index_of(&old).expect("a member");
        let fault = write_through(&client, || set.member(index).step_down(20).expect("ok")).await;
        println!("step-down to the first acknowledged write: {:?}", fault.recovered);
        let belief = watch
            .until("the old primary as secondary", |belief| {
                primary(belief).is_some_and(|new| new != old)
                    && crate::watch::count(belief, ServerType::RSSecondary) == 2
            })
            .await;
        assert_eq!(belief.servers.len(), 3);
        watch.catch_up();
        // The member answered all the time: it was never taken for dead by its monitor.
        let failed = watch.seen.iter().any(|event| match &event.kind {
            EventKind::ServerHeartbeatFailed { connection, .. } => {
                connection.address.to_string() == old
            }
            _ => false,
        });
        assert!(!failed, "a heartbeat of {old} failed: {}", watch.names());
        assert_written_once(&client).await;
    });
}

/// When the fault was done, and how long it took until a write begun after it was acknowledged.
struct Fault {
    date: SystemTime,
    /// The same on the clock of the client's events, in milliseconds.
    at_ms: f64,
    recovered: Duration,
}

/// Writes one document after another, each also counted in one document, with `fault` on the way.
async fn write_through(client: &Client, fault: impl FnOnce()) -> Fault {
    let log = client.database("live").collection::<Document>("log");
    let counter = client.database("live").collection::<Document>("counter");
    counter.insert_one(doc! { "_id": "all", "count": 0 }).await.expect("the counter");
    let mut fault = Some(fault);
    let mut done = None;
    let mut recovered = None;
    for n in 0..BEFORE + AFTER {
        if n == BEFORE
            && let Some(fault) = fault.take()
        {
            // On another thread, so that it falls between any two steps of the loop below.
            fault();
            done = Some((Instant::now(), SystemTime::now(), client.topology().now_ms()));
        }
        if let Err(error) = log.insert_one(doc! { "n": n }).await {
            panic!("insert {n} failed: {error:?}");
        }
        let update = doc! { "$inc": { "count": 1 } };
        let counted = counter.update_one(doc! { "_id": "all" }, update).await;
        match counted {
            Ok(result) => assert_eq!(result.matched_count, 1),
            Err(error) => panic!("count {n} failed: {error:?}"),
        }
        if let (Some((at, ..)), None) = (done, recovered) {
            recovered = Some(at.elapsed());
        }
    }
    let (_, date, at_ms) = done.expect("the fault was done");
    Fault { date, at_ms, recovered: recovered.expect("writes after the fault") }
}

/// Every acknowledged write is there, exactly once.
async fn assert_written_once(client: &Client) {
    let log = client.database("live").collection::<Document>("log");
    let found: Vec<Document> =
        log.find(doc! {}).await.expect("a cursor").try_collect().await.expect("all batches");
    let mut times = BTreeMap::new();
    for document in &found {
        *times.entry(document.get_i32("n").expect("a number")).or_insert(0) += 1;
    }
    let wrong: Vec<_> = (0..BEFORE + AFTER)
        .filter(|n| times.get(n) != Some(&1))
        .map(|n| (n, times.get(&n)))
        .collect();
    assert!(wrong.is_empty(), "not exactly once: {wrong:?}");
    let counter = client.database("live").collection::<Document>("counter");
    let counted = counter.find_one(doc! {}).await.expect("a reply").expect("the counter");
    assert_eq!(counted.get_i32("count").ok(), Some(BEFORE + AFTER), "each $inc once");
    let count = log.count_documents(doc! {}).await.expect("a count");
    assert_eq!(count, u64::try_from(BEFORE + AFTER).expect("positive"));
}

/// Heartbeat failed, server unknown, new primary, in this order; answers the new primary.
async fn assert_failover(watch: &mut Watch, old: &str) -> String {
    let belief = watch.until("a new primary", |b| primary(b).is_some_and(|new| new != old)).await;
    watch.catch_up();
    let new = primary(&belief).expect("a primary");
    let position = |what: &str, wanted: &dyn Fn(&EventKind) -> bool| {
        let found = watch.seen.iter().position(|event| wanted(&event.kind));
        found.unwrap_or_else(|| panic!("no {what} among {}", watch.names()))
    };
    let became = |kind: &EventKind, address: &str, server_type: ServerType| match kind {
        EventKind::ServerDescriptionChanged { address: of, new, .. } => {
            of.to_string() == address && new.server_type == server_type
        }
        _ => false,
    };
    let was_primary = position("old primary", &|k| became(k, old, ServerType::RSPrimary));
    let rest = &watch.seen[was_primary..];
    let lost = rest.iter().position(|event| became(&event.kind, old, ServerType::Unknown));
    let elected = rest.iter().position(|event| became(&event.kind, &new, ServerType::RSPrimary));
    assert!(lost.is_some() && lost < elected, "{}", watch.names());
    new
}

/// What the client heard between the fault and its first success, in milliseconds after the fault.
fn timeline(watch: &mut Watch, fault: &Fault) -> String {
    watch.catch_up();
    let mut text = String::new();
    for event in &watch.seen {
        let after = event.at.as_millis_f64() - fault.at_ms;
        let told = match &event.kind {
            EventKind::ServerHeartbeatFailed { failure, .. } => failure.to_string(),
            EventKind::ServerDescriptionChanged { new, .. } => new.server_type.to_string(),
            _ => continue,
        };
        if after > 0.0 && after <= fault.recovered.as_secs_f64() * 1000.0 {
            let address = event.kind.address().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "  {after:>8.1} {} {address}: {told}", event.kind.name());
        }
    }
    text
}

/// What the servers themselves took, from the log of the new primary.
fn election_time(set: &ReplicaSet, new: &str, fault: SystemTime) -> String {
    let index = set.index_of(new).expect("a member");
    let events = election_events(&set.member(index).log_path()).expect("a log");
    let since = |step: ElectionStep| {
        let event = events.iter().find(|event| event.step == step && event.at >= fault);
        event.and_then(|event| event.at.duration_since(fault).ok())
    };
    format!(
        "its servers: stood after {:?}, elected after {:?}, primary after {:?}",
        since(ElectionStep::Started).unwrap_or_default(),
        since(ElectionStep::Succeeded).unwrap_or_default(),
        since(ElectionStep::PrimaryComplete).unwrap_or_default(),
    )
}
