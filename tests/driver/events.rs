//! What subscribers hear: everything, in order, each for himself.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use portolan::event::{Event, EventKind};
use portolan::{Client, ServerAddress, Topology};

use super::support::server::{Act, Port};
use super::support::{Bed, address, ms, secs};

/// What has been told and not been read; and whether the stream has ended.
fn read(topology: &mut Topology) -> (Vec<Event>, bool) {
    let mut events = Vec::new();
    loop {
        match topology.next().now_or_never() {
            Some(Some(event)) => events.push(event),
            Some(None) => return (events, true),
            None => return (events, false),
        }
    }
}

fn names(events: &[Event]) -> Vec<String> {
    let address = |e: &Event| e.kind.address().map_or(String::new(), |a| format!(" {a}"));
    events.iter().map(|event| format!("{}{}", event.kind.name(), address(event))).collect()
}

fn shut_down(bed: &Bed, client: &Client) {
    let closing = client.clone();
    bed.run(async move { closing.shutdown().await });
    bed.settle();
}

/// A life with everything in it: failures, elections, a frozen server, one that leaves.
fn live(bed: &Bed, client: &Client) {
    bed.advance(secs(3));
    bed.rule("b:1", "hello", 2, Act::HangUp);
    bed.advance(secs(12));
    bed.elect("b:1", 2);
    bed.with_server("c:1", |server| server.port = Port::Silent);
    bed.advance(secs(25));
    bed.kill("a:1");
    bed.advance(secs(5));
    bed.with_server("c:1", |server| server.port = Port::Open);
    bed.with_server("a:1", |server| server.port = Port::Open);
    bed.elect("c:1", 3);
    bed.advance(secs(15));
    bed.net.state().change(&address("c:1"), |hello| {
        hello.insert("hosts", vec!["a:1", "c:1"]);
    });
    bed.advance(ms(4));
    assert!(client.topology().description().server(&address("b:1")).is_none());
}

#[test]
fn every_check_that_starts_ends() {
    let bed = Bed::set(2);
    let client = bed.client("heartbeatFrequencyMS=2000&connectTimeoutMS=1000");
    let mut topology = client.topology();
    live(&bed, &client);
    shut_down(&bed, &client);
    let (events, ended) = read(&mut topology);
    assert!(ended);
    let mut open: BTreeMap<ServerAddress, bool> = BTreeMap::new();
    let (mut started, mut failed) = (0, 0);
    for event in &events {
        match &event.kind {
            EventKind::ServerHeartbeatStarted { connection, awaited } => {
                started += 1;
                let before = open.insert(connection.address.clone(), *awaited);
                assert_eq!(before, None, "two checks of {} at once", connection.address);
            }
            EventKind::ServerHeartbeatSucceeded { connection, awaited, .. } => {
                assert_eq!(open.remove(&connection.address), Some(*awaited));
            }
            EventKind::ServerHeartbeatFailed { connection, awaited, .. } => {
                failed += 1;
                assert_eq!(open.remove(&connection.address), Some(*awaited));
            }
            EventKind::ServerClosed { address } => {
                assert_eq!(open.get(address), None, "{address} is closed with a check open");
            }
            _ => {}
        }
    }
    assert_eq!(open, BTreeMap::new());
    assert!(started > 30 && failed > 5, "{started} checks, {failed} failures");
}

#[test]
fn events_are_in_order_and_lead_from_one_description_to_the_next() {
    let bed = Bed::set(2);
    let client = bed.client("heartbeatFrequencyMS=2000&connectTimeoutMS=1000");
    let mut topology = client.topology();
    live(&bed, &client);
    shut_down(&bed, &client);
    let (events, _) = read(&mut topology);
    assert!(events.is_sorted_by_key(|event| event.at));
    let all = names(&events);
    assert_eq!(all[..3], ["topologyOpening", "topologyDescriptionChanged", "serverOpening a:1"]);
    assert_eq!(all.last().map(String::as_str), Some("topologyClosed"));
    for name in ["a:1", "b:1", "c:1"] {
        let count = |event: &str| all.iter().filter(|e| **e == format!("{event} {name}")).count();
        assert_eq!((count("serverOpening"), count("serverClosed")), (1, 1), "{name}");
    }
    let mut known = None;
    for event in &events {
        if let EventKind::TopologyDescriptionChanged { previous, new } = &event.kind {
            let before = known.replace(new.clone()).unwrap_or_else(|| previous.clone());
            assert_eq!(&before, previous, "no step is left out");
            assert_ne!(previous, new, "nothing is told twice");
        }
    }
    assert!(known.expect("descriptions").servers.is_empty());
}

#[test]
fn all_subscribers_hear_all() {
    let bed = Bed::set(2);
    let client = bed.client("");
    let mut first = client.topology();
    let mut second = client.topology();
    bed.advance(secs(3));
    let mut late = client.topology();
    let (early, _) = read(&mut first);
    assert!(early.len() > 10);
    live(&bed, &client);
    shut_down(&bed, &client);
    let (rest, ended) = read(&mut first);
    let whole: Vec<Event> = early.into_iter().chain(rest.clone()).collect();
    assert!(ended);
    let (others, ended) = read(&mut second);
    assert!(ended);
    assert_eq!(names(&others), names(&whole));
    assert_eq!(names(&read(&mut late).0), names(&rest), "from its subscription on");
}

#[test]
fn who_does_not_read_delays_nobody() {
    let bed = Bed::set(2);
    let client = bed.client("heartbeatFrequencyMS=500");
    let sleeps = client.topology();
    let gone = client.topology();
    drop(gone);
    let mut reads = client.topology();
    bed.advance(secs(120));
    let (events, _) = read(&mut reads);
    let checks = names(&events).iter().filter(|e| e.starts_with("serverHeartbeatSucc")).count();
    assert!(checks > 3 * 230, "{checks} checks in two minutes");
    drop(sleeps);
}

#[test]
fn who_comes_after_the_end_is_not_kept_waiting() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    // Nobody has listened so far: the first one hears the whole story, and its end.
    shut_down(&bed, &client);
    let (events, ended) = read(&mut client.topology());
    assert_eq!(names(&events).first().map(String::as_str), Some("topologyOpening"));
    assert_eq!(names(&events).last().map(String::as_str), Some("topologyClosed"));
    assert!(ended);
    let (events, ended) = read(&mut client.topology());
    assert!(events.is_empty() && ended);
}

#[test]
fn a_subscriber_does_not_keep_the_client_alive() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let mut topology = client.topology();
    drop(client);
    bed.settle();
    assert!(bed.driver_ended());
    let (events, ended) = read(&mut topology);
    assert!(ended);
    assert_eq!(names(&events).last().map(String::as_str), Some("topologyClosed"));
    assert!(topology.description().servers.is_empty());
}

#[test]
fn a_round_trip_time_alone_is_no_event() {
    let bed = Bed::set(0);
    let client = bed.settled("heartbeatFrequencyMS=500");
    let mut topology = client.topology();
    bed.advance(secs(1));
    let _ = read(&mut topology);
    let before = topology.description();
    bed.with_server("a:1", |server| server.delay = ms(90));
    bed.advance(secs(5));
    let (events, _) = read(&mut topology);
    let after = topology.description();
    assert!(names(&events).iter().all(|name| name.starts_with("serverHeartbeat")), "{events:?}");
    let rtt = |topology: &portolan::TopologyDescription| {
        topology.server(&address("a:1")).expect("a member").round_trip_time
    };
    assert!(rtt(&after) > rtt(&before), "but it is known");
    assert!(!Arc::ptr_eq(&before, &after));
}
