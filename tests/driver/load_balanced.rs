//! Behind a load balancer: cursors keep their connection however they end, failures stay with the
//! server that they came from, and nothing runs while nobody asks for anything.

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use portolan::bson::oid::ObjectId;
use portolan::bson::{Document, doc};
use portolan::error::{InUse, PoolError};
use portolan::event::{Events, PoolEvent, PoolEventKind};
use portolan::options::ClientOptions;
use portolan::{Client, Cursor, ErrorKind, ReadPreference, ServerType};

use super::support::server::{Act, Port};
use super::support::{Bed, ms, pool, secs, till};

/// A load balancer before so many servers.
fn bed(services: usize) -> Bed {
    let bed = Bed::standalone();
    bed.with_server("a:1", |server| {
        server.hello = doc! { "msg": "isdbgrid", "maxWireVersion": 21, "helloOk": true };
        server.services = services;
        server.documents = 5;
    });
    bed
}

fn client(bed: &Bed, options: &str) -> Client {
    bed.settled(&format!("loadBalanced=true&{options}"))
}

/// A cursor with two documents of five.
fn cursor(bed: &Bed, client: &Client) -> Cursor<Document> {
    let till = till(client);
    bed.run(async move { till.find(doc! {}).batch_size(2_u32).await }).expect("a cursor")
}

fn read(bed: &Bed, cursor: Cursor<Document>, n: usize) -> Cursor<Document> {
    bed.run(async move {
        let mut cursor = cursor;
        for _ in 0..n {
            cursor.next().await.expect("a document").expect("no failure");
        }
        cursor
    })
}

fn ping(bed: &Bed, client: &Client) -> portolan::Result<()> {
    let client = client.clone();
    bed.run(async move { client.ping(ReadPreference::primary()).await.map(drop) })
}

fn heard(events: &mut Events<PoolEvent>) -> Vec<PoolEventKind> {
    let next = || events.next().now_or_never().flatten();
    std::iter::from_fn(next).map(|event| event.kind).collect()
}

fn names(events: &mut Events<PoolEvent>) -> Vec<&'static str> {
    heard(events).iter().map(PoolEventKind::name).collect()
}

fn in_use(client: &Client) -> InUse {
    pool(client, "a:1").in_use
}

const ONE_CURSOR: InUse = InUse { cursors: 1, transactions: 0, other: 0 };

// LB-06: one check-out and one check-in, whatever is in between.
#[test]
fn a_cursor_that_is_read_to_its_end_takes_one_connection_once() {
    let bed = bed(2);
    let client = client(&bed, "");
    let mut events = client.pool_events();
    let held = cursor(&bed, &client);
    assert_eq!(in_use(&client), ONE_CURSOR);
    ping(&bed, &client).expect("another connection");
    names(&mut events);
    drop(read(&bed, held, 5));
    assert_eq!(names(&mut events), ["connectionCheckedIn"]);
    assert_eq!(in_use(&client), InUse::default());
    let used: Vec<usize> = bed.named("getMore").iter().map(|r| r.connection).collect();
    assert_eq!(used, [bed.named("find")[0].connection; 2]);
    assert_eq!(bed.named("killCursors").len(), 0);
}

#[test]
fn a_cursor_of_one_batch_keeps_nothing() {
    let bed = bed(1);
    let client = client(&bed, "");
    let till = till(&client);
    let whole = bed.run(async move { till.find(doc! {}).await }).expect("a cursor");
    assert_eq!(in_use(&client), InUse::default());
    drop(whole);
    assert_eq!((bed.named("getMore").len(), bed.named("killCursors").len()), (0, 0));
}

#[test]
fn a_dropped_cursor_is_killed_on_its_own_connection_which_goes_back() {
    let bed = bed(2);
    let client = client(&bed, "");
    let held = cursor(&bed, &client);
    ping(&bed, &client).expect("another connection");
    drop(read(&bed, held, 1));
    bed.advance(ms(10));
    assert_eq!(bed.named("killCursors")[0].connection, bed.named("find")[0].connection);
    assert_eq!(in_use(&client), InUse::default());
    assert_eq!((pool(&client, "a:1").idle, pool(&client, "a:1").connections), (2, 2));
}

#[test]
fn a_closed_cursor_has_given_its_connection_back() {
    let bed = bed(1);
    let client = client(&bed, "");
    let held = cursor(&bed, &client);
    bed.run(async move { held.close().await }).expect("killed");
    assert_eq!((pool(&client, "a:1").idle, in_use(&client)), (1, InUse::default()));
    // Whatever comes of it.
    let held = cursor(&bed, &client);
    bed.rule("a:1", "killCursors", 1, Act::HangUp);
    bed.run(async move { held.close().await }).expect("there is nothing left to kill");
    assert_eq!((pool(&client, "a:1").connections, in_use(&client)), (0, InUse::default()));
}

#[test]
fn a_cursor_dropped_in_the_middle_of_a_batch_closes_its_connection() {
    let bed = bed(1);
    let client = client(&bed, "");
    let mut held = read(&bed, cursor(&bed, &client), 2);
    bed.rule("a:1", "getMore", 1, Act::Slow(ms(50)));
    let join = bed.spawn(async move { held.next().await.map(|document| document.is_ok()) });
    bed.advance(ms(10));
    assert_eq!(in_use(&client), ONE_CURSOR);
    bed.cancel(join.id);
    bed.advance(ms(10));
    assert_eq!((pool(&client, "a:1").connections, in_use(&client)), (0, InUse::default()));
    assert_eq!(bed.open_connections("a:1"), 0);
    assert_eq!(bed.named("killCursors").len(), 0, "it would reach any server");
}

// LB-07
#[test]
fn a_cursor_whose_connection_broke_keeps_it_and_kills_nothing() {
    let bed = bed(1);
    let client = client(&bed, "");
    let mut events = client.pool_events();
    let mut held = read(&bed, cursor(&bed, &client), 2);
    bed.rule("a:1", "getMore", 1, Act::HangUp);
    names(&mut events);
    let held = bed.run(async move {
        let error = held.next().await.expect("an outcome").expect_err("it broke");
        assert!(matches!(error.kind(), ErrorKind::Network { .. }), "{error:?}");
        assert!(held.next().await.is_none(), "the stream has ended");
        held
    });
    assert_eq!(names(&mut events), ["poolCleared"]);
    assert_eq!(in_use(&client), ONE_CURSOR);
    bed.run(async move { held.close().await }).expect("nothing to do");
    assert_eq!(names(&mut events), ["connectionCheckedIn", "connectionClosed"]);
    assert_eq!(bed.named("killCursors").len(), 0);
}

#[test]
fn a_refused_batch_leaves_the_cursor_where_it_is_until_it_is_dropped() {
    let bed = bed(1);
    let client = client(&bed, "");
    let mut held = read(&bed, cursor(&bed, &client), 2);
    bed.rule("a:1", "getMore", 1, Act::Reply(doc! { "ok": 0, "code": 7, "errmsg": "no" }));
    let held = bed.run(async move {
        held.next().await.expect("an outcome").expect_err("refused");
        held
    });
    assert_eq!((in_use(&client), bed.named("killCursors").len()), (ONE_CURSOR, 0));
    drop(held);
    bed.advance(ms(10));
    assert_eq!((in_use(&client), bed.named("killCursors").len()), (InUse::default(), 1));
    assert_eq!(pool(&client, "a:1").idle, 1);
}

// LB-08
#[test]
fn who_waits_in_vain_is_told_who_has_the_connections() {
    let bed = bed(1);
    let client = client(&bed, "maxPoolSize=2&waitQueueTimeoutMS=50");
    let held = cursor(&bed, &client);
    bed.rule("a:1", "distinct", 1, Act::Slow(ms(500)));
    let busy = client.database("shop");
    let join = bed.spawn(async move { busy.run_command(doc! { "distinct": 1 }).await.map(drop) });
    bed.advance(ms(10));
    let error = ping(&bed, &client).expect_err("no connection is free");
    let ErrorKind::Pool { error: PoolError::TimedOut { .. }, .. } = error.kind() else {
        panic!("{error:?}");
    };
    assert!(
        error.to_string().contains(
            "maxPoolSize: 2, connections in use by cursors: 1, connections in use by \
             transactions: 0, connections in use by other operations: 1"
        ),
        "{error}"
    );
    drop(held);
    bed.advance(ms(10));
    ping(&bed, &client).expect("the cursor's connection");
    bed.advance(secs(1));
    join.take().expect("done").expect("an answer");
}

// LB-09, SD-59, SD-112
#[test]
fn a_failure_closes_the_connections_to_its_server_and_no_others() {
    let bed = bed(2);
    let client = client(&bed, "retryReads=false");
    let mut events = client.pool_events();
    let cursors: Vec<_> = (0..4).map(|_| cursor(&bed, &client)).collect();
    drop(cursors);
    bed.advance(ms(10));
    assert_eq!(pool(&client, "a:1").idle, 4);
    heard(&mut events);
    bed.rule("a:1", "ping", 1, Act::HangUp);
    ping(&bed, &client).expect_err("it hung up");
    let connection = bed.named("ping")[0].connection;
    let failed = ObjectId::from_bytes([1 + u8::try_from(connection % 2).expect("few"); 12]);
    let cleared: Vec<_> = heard(&mut events)
        .into_iter()
        .filter_map(|kind| match kind {
            PoolEventKind::PoolCleared { service_id, .. } => Some(service_id),
            _ => None,
        })
        .collect();
    assert_eq!(cleared, [Some(failed)]);
    assert_eq!(pool(&client, "a:1").idle, 2, "those to the other server");
    let server = client.description().servers.values().next().cloned().expect("the balancer");
    assert_eq!(server.server_type, ServerType::LoadBalancer);
    bed.forget_log();
    ping(&bed, &client).expect("on the other server");
    assert_ne!(bed.named("ping")[0].connection % 2, connection % 2);
}

// LB-09: before or during hello nothing is known of the server.
#[test]
fn what_fails_before_the_server_is_known_clears_nothing() {
    let bed = bed(1);
    let client = client(&bed, "");
    ping(&bed, &client).expect("a ping");
    let held = cursor(&bed, &client);
    let mut events = client.pool_events();
    let refusal = doc! { "ok": 0, "code": 11600, "errmsg": "shutting down" };
    for act in [Act::HangUp, Act::Reply(refusal)] {
        bed.rule("a:1", "handshake", 1, act);
        let _ = ping(&bed, &client);
    }
    let others: Vec<_> = (0..pool(&client, "a:1").idle).map(|_| cursor(&bed, &client)).collect();
    bed.with_server("a:1", |server| server.port = Port::Refusing);
    let second = client.clone();
    let join = bed.spawn(async move { second.ping(ReadPreference::primary()).await.map(drop) });
    bed.advance(secs(30));
    join.take().expect("an outcome").expect_err("nobody listens");
    assert!(!names(&mut events).contains(&"poolCleared"));
    bed.with_server("a:1", |server| server.port = Port::Open);
    drop((read(&bed, held, 5), others));
    ping(&bed, &client).expect("the pool goes on");
}

/// Nothing is monitored, so nothing wakes: not even a pool that keeps connections ready.
#[test]
fn an_idle_client_is_woken_by_nothing() {
    let bed = bed(1);
    let client = client(&bed, "minPoolSize=2&maxIdleTimeMS=60000");
    assert_eq!((pool(&client, "a:1").idle, pool(&client, "a:1").connections), (2, 2));
    let polls = bed.driver_polls();
    bed.advance(secs(3600));
    assert_eq!((bed.net.next_at(), bed.driver_polls()), (None, polls));
    // What was idle for too long is closed before the next operation, and made up for.
    ping(&bed, &client).expect("a ping");
    bed.advance(ms(20));
    assert_eq!((pool(&client, "a:1").idle, pool(&client, "a:1").rate.created), (2, 4));
}

/// LB-02: "the driver MUST NOT start a monitoring connection", however long an operation takes and
/// whoever does the work.
#[test]
fn nothing_but_operations_connects() {
    let bed = bed(1);
    let options = || ClientOptions::parse(&bed.uri("loadBalanced=true")).expect("good options");
    let on_demand = Client::on_demand(options(), Arc::new(bed.net.clone())).expect("a client");
    for client in [bed.client_of(options()), on_demand] {
        bed.forget_log();
        ping(&bed, &client).expect("a ping");
        let mut events = client.topology();
        while events.next().now_or_never().is_some() {}
        bed.rule("a:1", "ping", 1, Act::Slow(secs(20)));
        ping(&bed, &client).expect("late");
        assert_eq!(bed.net.state().dialled.len(), 1);
        let connection = bed.named("hello")[0].connection;
        assert!(bed.named("hello").iter().all(|hello| hello.connection == connection));
        let told = std::iter::from_fn(|| events.next().now_or_never().flatten());
        let told: Vec<_> = told.map(|event| event.kind.name().to_owned()).collect();
        assert_eq!(told, [""; 0]);
        // Nor does a standstill of the process touch the load balancer.
        bed.stand_still(secs(1_000));
        ping(&bed, &client).expect("the same connection, or a new one");
        let server = client.description().servers.values().next().cloned().expect("it");
        assert_eq!(server.server_type, ServerType::LoadBalancer);
        assert_eq!(bed.named("hello").len(), bed.net.state().dialled.len());
    }
}
