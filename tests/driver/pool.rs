//! The pool through the shell: bounds, fairness, generations, and what is never used again.

use std::time::Duration;

use portolan::bson::doc;
use portolan::error::PoolError;
use portolan::{Client, ErrorKind, ReadPreference};

use super::support::server::{Act, Port};
use super::support::{Bed, Join, address, ms, pool, secs, till};

/// One server whose monitor polls: its connection is the only one that is no operation's.
fn bed() -> Bed {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| server.version = None);
    bed
}

const MONITOR: usize = 1;

fn distinct(bed: &Bed, client: &Client, n: i32) -> Join<portolan::Result<()>> {
    let database = client.database("shop");
    bed.spawn(async move { database.run_command(doc! { "distinct": n }).await.map(drop) })
}

fn ping(bed: &Bed, client: &Client) -> portolan::Result<()> {
    let client = client.clone();
    bed.run(async move { client.ping(ReadPreference::primary()).await.map(drop) })
}

// RK-42
#[test]
fn fifty_operations_never_use_more_connections_than_allowed() {
    let bed = bed();
    let client = bed.settled("maxPoolSize=5");
    bed.rule("a:1", "distinct", 50, Act::Slow(ms(50)));
    let start = bed.now();
    let joins: Vec<_> = (0..50).map(|n| distinct(&bed, &client, n)).collect();
    let mut most = 0;
    bed.settle();
    while joins.iter().any(|join| !join.is_done()) {
        assert!(bed.net.step(), "all operations end");
        bed.settle();
        most = most.max(bed.open_connections("a:1") - MONITOR);
    }
    assert_eq!(most, 5);
    assert!(joins.iter().all(|join| join.take().expect("done").is_ok()));
    let took = bed.now() - start;
    assert!(took >= ms(500) && took < ms(600), "five at a time: {took:?}");
}

#[test]
fn nobody_is_overtaken() {
    let bed = bed();
    let client = bed.settled("maxPoolSize=1");
    bed.rule("a:1", "distinct", 100, Act::Slow(ms(10)));
    let mut joins = Vec::new();
    for n in 0..20 {
        joins.push(distinct(&bed, &client, n));
        // Some come while others are served.
        bed.advance(ms(if n < 10 { 0 } else { 7 }));
    }
    bed.advance(secs(1));
    assert!(joins.iter().all(Join::is_done));
    let order: Vec<i32> =
        bed.named("distinct").iter().map(|r| r.body.get_i32("distinct").expect("n")).collect();
    assert_eq!(order, (0..20).collect::<Vec<_>>());
}

#[test]
fn who_waits_too_long_is_told_so() {
    let bed = bed();
    let client = bed.settled("maxPoolSize=1&waitQueueTimeoutMS=70");
    bed.rule("a:1", "distinct", 1, Act::Slow(ms(500)));
    let busy = distinct(&bed, &client, 0);
    bed.advance(ms(10));
    let start = bed.now();
    let error = ping(&bed, &client).expect_err("no connection is free");
    assert_eq!(bed.now() - start, ms(70));
    let ErrorKind::Pool { error: PoolError::TimedOut { in_use, .. }, .. } = error.kind() else {
        panic!("{error:?}");
    };
    assert_eq!(in_use.total(), 1);
    assert_eq!(
        error.to_string(),
        "a:1: timed out while checking out a connection from connection pool, after 70ms. \
         maxPoolSize: 1, connections in use by cursors: 0, connections in use by transactions: 0, \
         connections in use by other operations: 1, connections being made: 0"
    );
    bed.advance(secs(1));
    assert!(busy.take().expect("done").is_ok());
    assert_eq!(bed.named("ping").len(), 0, "it is not sent later");
}

#[test]
fn few_connections_are_made_at_once() {
    let bed = bed();
    let client = bed.settled("maxConnecting=2");
    bed.with_server("a:1", |server| server.connect_delay = ms(100));
    bed.rule("a:1", "distinct", 6, Act::Slow(secs(1)));
    bed.forget_log();
    let start = bed.now();
    let joins: Vec<_> = (0..6).map(|n| distinct(&bed, &client, n)).collect();
    bed.advance(secs(3));
    assert!(joins.iter().all(Join::is_done));
    let dialled: Vec<Duration> =
        bed.net.state().dialled.iter().map(|(at, _)| *at - start).collect();
    // 100 ms to connect and 2 ms for the handshake.
    assert_eq!(dialled, [0, 0, 102, 102, 204, 204].map(ms));
}

#[test]
fn connections_of_an_old_generation_are_closed() {
    let bed = bed();
    let client = bed.settled("heartbeatFrequencyMS=1000");
    bed.rule("a:1", "distinct", 2, Act::Slow(ms(1500)));
    let (one, two) = (distinct(&bed, &client, 1), distinct(&bed, &client, 2));
    bed.advance(ms(5));
    ping(&bed, &client).expect("a third connection");
    assert_eq!(bed.open_connections("a:1"), MONITOR + 3);
    // The next check fails, the one behind it succeeds.
    bed.rule("a:1", "hello", 1, Act::HangUp);
    bed.advance(ms(1000));
    assert_eq!(pool(&client, "a:1").idle, 0, "idle ones are closed at once");
    assert_eq!(bed.open_connections("a:1"), MONITOR + 2, "those in use are not");
    bed.advance(secs(1));
    assert!(one.take().expect("done").is_ok() && two.take().expect("done").is_ok());
    assert_eq!(bed.open_connections("a:1"), MONITOR, "and not kept when they come back");
    assert_eq!(pool(&client, "a:1").connections, 0);
}

// RK-42
#[test]
fn a_connection_left_in_the_middle_is_closed() {
    let bed = bed();
    let client = bed.settled("");
    ping(&bed, &client).expect("a ping");
    bed.rule("a:1", "distinct", 1, Act::Slow(ms(30)));
    let join = distinct(&bed, &client, 1);
    bed.advance(ms(10));
    assert_eq!(bed.open_connections("a:1"), MONITOR + 1);
    bed.cancel(join.id);
    assert_eq!(bed.open_connections("a:1"), MONITOR, "closed, with its reply still to come");
    ping(&bed, &client).expect("a ping on a new connection");
    let pings = bed.named("ping");
    assert_ne!(pings[0].connection, pings[1].connection);
}

#[test]
fn an_answer_that_nobody_asked_for_is_never_read() {
    let bed = bed();
    let client = bed.settled("retryReads=false");
    let count = || {
        let till = till(&client);
        bed.run(async move { till.count_documents(doc! {}).await })
    };
    bed.rule("a:1", "ping", 1, Act::Twice);
    ping(&bed, &client).expect("the first of the two answers");
    let error = count().expect_err("not the second one");
    assert!(error.to_string().contains("answers request 2, not request 3"), "{error}");
    assert_eq!(count().expect("its own answer"), 3);

    bed.rule("a:1", "ping", 1, Act::Twice);
    ping(&bed, &client).expect("the first of the two answers");
    bed.advance(secs(2));
    let said_too_much = bed.named("ping")[1].connection;
    assert_eq!(count().expect("its own answer"), 3);
    assert_ne!(bed.named("aggregate")[2].connection, said_too_much);
}

#[test]
fn a_connection_that_the_server_closed_meanwhile_is_not_used() {
    let bed = bed();
    let client = bed.settled("");
    ping(&bed, &client).expect("a ping");
    let idle = bed.named("ping")[0].connection;
    bed.net.state().hang_up(idle, ms(10));
    bed.advance(secs(2));
    // A command of one's own is never sent twice: it must not meet the dead connection.
    let join = distinct(&bed, &client, 1);
    bed.advance(ms(50));
    join.take().expect("done").expect("on a new connection");
    assert_eq!(pool(&client, "a:1").connections, 1);
}

#[test]
fn a_frozen_server_interrupts_its_operations() {
    let bed = bed();
    let options = "heartbeatFrequencyMS=1000&connectTimeoutMS=500&retryReads=false";
    let client = bed.settled(options);
    bed.rule("a:1", "find", 1, Act::Silence);
    let till = till(&client);
    let join = bed.spawn(async move { till.find_one(doc! {}).await.map(drop) });
    bed.advance(ms(10));
    bed.with_server("a:1", |server| server.port = Port::Silent);
    bed.advance(secs(3));
    let error = join.take().expect("it does not wait for ever").expect_err("no answer");
    assert!(error.to_string().contains("interrupted due to server monitor timeout"), "{error}");
    assert!(matches!(error.kind(), ErrorKind::Network { .. }));
}

#[test]
fn a_frozen_server_interrupts_connections_that_are_being_made() {
    for frozen_at in ["connect", "handshake"] {
        let bed = Bed::set(1);
        let client = bed.settled("heartbeatFrequencyMS=1000&connectTimeoutMS=1500");
        let till = till(&client);
        let port = |port| bed.with_server("a:1", |server| server.port = port);
        port(Port::Silent);
        bed.advance(ms(1900));
        if frozen_at == "handshake" {
            bed.rule("a:1", "handshake", 1, Act::Silence);
            port(Port::Open);
        }
        let join = bed.spawn(async move { till.insert_one(doc! { "_id": 1 }).await.map(drop) });
        bed.advance(ms(5));
        port(Port::Silent);
        let start = bed.now();
        while pool(&client, "a:1").connections > 0 {
            assert!(bed.net.step(), "it is given up");
            bed.settle();
        }
        let took = bed.now() - start;
        assert!(took < ms(1000), "{frozen_at}: before its own time-out: {took:?}");
        bed.elect("b:1", 2);
        // Its next connection may be one that the monitor has made in the last moment before that:
        // it has to find out anew.
        bed.advance(secs(3));
        join.take().expect("done").expect("on the new primary");
    }
}

#[test]
fn idle_connections_are_closed_in_time() {
    let bed = bed();
    let client = bed.settled("maxIdleTimeMS=2000&heartbeatFrequencyMS=1000");
    bed.rule("a:1", "distinct", 2, Act::Slow(ms(20)));
    let joins = [distinct(&bed, &client, 1), distinct(&bed, &client, 2)];
    bed.advance(ms(500));
    assert!(joins.iter().all(Join::is_done));
    assert_eq!(pool(&client, "a:1").idle, 2);
    for _ in 0..4 {
        // One of them is in use now and then; the other one is never asked for.
        ping(&bed, &client).expect("a ping");
        bed.advance(secs(1));
    }
    assert_eq!(pool(&client, "a:1").idle, 1);
    bed.advance(secs(4));
    assert_eq!((pool(&client, "a:1").connections, bed.open_connections("a:1")), (0, MONITOR));
}

#[test]
fn a_pool_is_kept_filled() {
    let bed = bed();
    let client = bed.settled("minPoolSize=3&heartbeatFrequencyMS=1000");
    assert_eq!((pool(&client, "a:1").connections, pool(&client, "a:1").idle), (3, 3));
    assert_eq!(bed.requests().len(), 0, "no operation made them");
    bed.rule("a:1", "distinct", 1, Act::Silence);
    let join = distinct(&bed, &client, 1);
    bed.advance(ms(10));
    bed.cancel(join.id);
    assert_eq!(pool(&client, "a:1").connections, 2, "one was lost");
    bed.advance(secs(2));
    assert_eq!(pool(&client, "a:1").connections, 3, "and made up for after the next check");
    // A server that takes no connections is asked once a check, not in a tight loop.
    bed.with_server("a:1", |server| server.port = Port::Refusing);
    bed.rule("a:1", "distinct", 1, Act::Silence);
    let join = distinct(&bed, &client, 1);
    bed.advance(ms(10));
    bed.cancel(join.id);
    bed.forget_log();
    bed.advance(secs(10));
    let dialled = bed.net.state().dialled.len();
    assert!((9..=11).contains(&dialled), "{dialled} connections in ten seconds");
}

#[test]
fn a_pool_without_minimum_dials_nobody() {
    let bed = Bed::set(2);
    let client = bed.settled("");
    bed.advance(secs(30));
    let dialled = bed.net.state().dialled.clone();
    let to_b = dialled.iter().filter(|(_, to)| *to == address("b:1")).count();
    assert_eq!(to_b, 2, "the monitor and the probe");
    assert!(client.pools().iter().all(|pool| pool.connections == 0));
}
