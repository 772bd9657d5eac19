//! The process stands still and goes on (GAP-07): it checks before it trusts.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use portolan::bson::doc;
use portolan::event::EventKind;
use portolan::{Client, ErrorKind, ReadPreference, ServerType};

use super::support::server::Act;
use super::support::{Bed, Join, address, ms, pool, secs, till};

fn find(bed: &Bed, client: &Client) -> Join<portolan::Result<()>> {
    let till = till(client);
    bed.spawn(async move { till.find_one(doc! {}).await.map(drop) })
}

fn ping(bed: &Bed, client: &Client) {
    let client = client.clone();
    bed.run(async move { client.ping(ReadPreference::primary()).await }).expect("a ping");
}

/// No connection that the client holds now is answered any more, as when the way to the server was
/// forgotten by a router; new ones are.
fn half_open(bed: &Bed) {
    let mut state = bed.net.state();
    state.connections.iter_mut().for_each(|connection| connection.stream = None);
}

fn held(bed: &Bed) -> Vec<usize> {
    let state = bed.net.state();
    let held = state.connections.iter().enumerate().filter(|(_, connection)| connection.held);
    held.map(|(id, _)| id).collect()
}

/// From just below what may happen to anybody to far above it.
const LONG: [Duration; 3] = [secs(45), secs(120), secs(86_400)];

#[test]
fn streams_are_restarted_and_connections_left_when_the_process_goes_on() {
    for time in LONG {
        let bed = Bed::set(2);
        let client = bed.settled("");
        ping(&bed, &client);
        half_open(&bed);
        let (old, mut events) = (held(&bed), client.topology());
        bed.forget_log();
        bed.stand_still(time);
        let resumed = bed.now();
        let read = find(&bed, &client);
        bed.advance(ms(20));
        read.take().expect("within 20 ms").expect("no error reaches the caller");
        let state = bed.net.state();
        assert!(old.iter().all(|id| !state.connections[*id].held), "no old connection is kept");
        assert!(state.dialled.iter().all(|(at, _)| *at >= resumed && *at - resumed < ms(10)));
        let sent = state.log.iter().find(|request| request.name == "find").expect("a find");
        assert!(!old.contains(&sent.connection), "it was sent on a new connection");
        drop(state);
        let kinds: Vec<EventKind> =
            std::iter::from_fn(|| events.next().now_or_never().flatten()).map(|e| e.kind).collect();
        let unknown = kinds.iter().position(|kind| match kind {
            EventKind::ServerDescriptionChanged { new, .. } => {
                new.server_type == ServerType::Unknown
            }
            _ => false,
        });
        assert!(unknown.is_some(), "nothing was trusted before it was checked");
        assert!(client.topology().description().is_steady());
        assert_eq!(client.topology().description().servers.len(), 3);
    }
}

#[test]
fn who_waited_when_the_process_stood_still_is_not_failed_for_it() {
    let bed = Bed::set(1);
    let client = bed.settled("serverSelectionTimeoutMS=5000");
    bed.kill("a:1");
    bed.advance(secs(1));
    let write = {
        let till = till(&client);
        bed.spawn(async move { till.insert_one(&doc! { "n": 1 }).await.map(drop) })
    };
    bed.advance(secs(2));
    assert!(!write.is_done());
    bed.stand_still(secs(300));
    bed.elect("b:1", 2);
    bed.advance(ms(100));
    write.take().expect("at once").expect("the deadline passed while nobody ran");
    assert_eq!(bed.named("insert")[0].address, address("b:1"));
}

#[test]
fn who_waited_gets_the_rest_of_the_time_and_no_more() {
    let bed = Bed::set(1);
    let client = bed.settled("serverSelectionTimeoutMS=5000");
    bed.kill("a:1");
    bed.advance(secs(1));
    let write = {
        let till = till(&client);
        bed.spawn(async move { till.insert_one(&doc! { "n": 1 }).await.map(drop) })
    };
    bed.advance(secs(2));
    bed.stand_still(secs(300));
    bed.advance(ms(2000));
    assert!(!write.is_done(), "3 s were left");
    bed.advance(ms(2000));
    let error = write.take().expect("ended").expect_err("nobody is primary");
    assert!(matches!(error.kind(), ErrorKind::ServerSelection { .. }), "{error}");
}

#[test]
fn a_reply_that_came_while_the_process_stood_still_counts() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    ping(&bed, &client);
    // Behind the next message of the stream, so that the monitor runs first.
    bed.rule("a:1", "distinct", 1, Act::Slow(secs(15)));
    let database = client.database("shop");
    let slow = bed.spawn(async move { database.run_command(doc! { "distinct": 1 }).await });
    bed.advance(ms(100));
    bed.stand_still(secs(120));
    bed.advance(ms(50));
    slow.take().expect("ended").expect("its reply had arrived");
    assert_eq!(bed.named("distinct").len(), 1);
    assert!(client.topology().description().is_steady());
}

#[test]
fn an_operation_on_a_half_open_connection_is_tried_again() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    ping(&bed, &client);
    bed.rule("a:1", "find", 1, Act::Silence);
    let read = find(&bed, &client);
    bed.advance(ms(100));
    half_open(&bed);
    bed.stand_still(secs(120));
    bed.advance(ms(50));
    read.take().expect("within 50 ms").expect("the second attempt");
    assert_eq!(bed.named("find").len(), 2);
}

#[test]
fn a_cursor_goes_on_behind_a_standstill() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| server.documents = 9);
    let client = bed.settled("");
    let till = till(&client);
    let cursor = bed.run(async move { till.find(doc! {}).batch_size(4_u32).await });
    let mut cursor = cursor.expect("a cursor");
    half_open(&bed);
    let old = held(&bed);
    bed.stand_still(secs(120));
    let found = bed.run(async move {
        let mut found = 0;
        while let Some(document) = cursor.next().await {
            document.expect("the server has not failed");
            found += 1;
        }
        found
    });
    assert_eq!(found, 9);
    assert!(bed.named("getMore").iter().all(|request| !old.contains(&request.connection)));
}

/// A busy machine is no standstill: 10 s of heartbeat and 10 s of connecting may pass.
#[test]
fn a_delay_that_may_happen_changes_nothing() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| server.version = None);
    let client = bed.settled("");
    ping(&bed, &client);
    let old = held(&bed);
    // The next check is due 10 s behind the latest; told of it 20 s late at most.
    bed.stand_still(secs(29));
    bed.advance(ms(20));
    assert_eq!(held(&bed), old);
    assert_eq!(pool(&client, "a:1").idle, 1);
    // And told of it later than that.
    bed.stand_still(secs(31));
    bed.advance(ms(20));
    assert!(held(&bed).iter().all(|id| !old.contains(id)));
    assert_eq!(pool(&client, "a:1").idle, 0);
    assert!(client.topology().description().is_steady());
}
