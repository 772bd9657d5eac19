//! Waiting for a server: for how long, with what checks, and what is said in the end.

use std::sync::Arc;

use portolan::options::ClientOptions;
use portolan::{Client, ErrorKind, ReadPreference};

use super::support::server::Port;
use super::support::{Bed, Join, address, ms, secs};

fn ping(bed: &Bed, client: &Client) -> Join<portolan::Result<()>> {
    let client = client.clone();
    bed.spawn(async move { client.ping(ReadPreference::primary()).await.map(drop) })
}

/// A set whose members poll, so that their hellos tell the cadence.
fn polling(secondaries: usize) -> Bed {
    let bed = Bed::set(secondaries);
    let mut state = bed.net.state();
    state.servers.values_mut().for_each(|server| server.version = None);
    drop(state);
    bed
}

fn nobody_is_primary(bed: &Bed) {
    bed.net.state().change(&address("a:1"), |hello| {
        hello.insert("isWritablePrimary", false);
        hello.insert("secondary", true);
    });
}

#[test]
fn the_time_out_is_kept_to_the_moment() {
    let bed = polling(2);
    nobody_is_primary(&bed);
    bed.with_server("c:1", |server| server.port = Port::Refusing);
    let client = bed.settled("serverSelectionTimeoutMS=4321");
    let start = bed.now();
    let join = ping(&bed, &client);
    bed.advance(ms(4320));
    assert!(!join.is_done());
    bed.advance(ms(1));
    let error = join.take().expect("now").expect_err("no primary");
    assert_eq!(bed.now() - start, ms(4321));
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].contains("within 4.321s"), "{text}");
    assert!(lines[1].contains("a:1") && lines[1].contains("RSSecondary"), "{text}");
    assert!(lines[2].contains("b:1") && lines[2].contains("RSSecondary"), "{text}");
    assert!(lines[3].contains("c:1") && lines[3].contains("refused"), "{text}");
    assert_eq!(error.verdicts().len(), 3);
}

#[test]
fn who_waits_has_servers_checked_twice_a_second_and_not_longer() {
    let bed = polling(0);
    nobody_is_primary(&bed);
    let client = bed.client("serverSelectionTimeoutMS=30000");
    bed.advance(secs(4));
    bed.forget_log();
    let start = bed.now();
    let join = ping(&bed, &client);
    bed.advance(secs(2));
    bed.net.state().change(&address("a:1"), |hello| {
        hello.insert("isWritablePrimary", true);
    });
    bed.advance(ms(510));
    join.take().expect("the next check found it").expect("a ping");
    bed.advance(secs(21));
    let checks: Vec<_> =
        bed.named("hello").iter().filter(|r| !r.is_handshake()).map(|r| r.at - start).collect();
    // At once, then 500 ms after each reply, which takes 2 ms; the one that was planned when the
    // primary was found still comes, then one in ten seconds.
    let expected = [0, 502, 1004, 1506, 2008, 2510, 12_512, 22_514];
    assert_eq!(checks, expected.map(ms));
}

#[test]
fn one_waiter_that_leaves_does_not_slow_the_other_down() {
    let bed = polling(0);
    nobody_is_primary(&bed);
    let client = bed.settled("");
    let (one, two) = (ping(&bed, &client), ping(&bed, &client));
    bed.advance(secs(1));
    bed.cancel(one.id);
    bed.advance(secs(1));
    bed.forget_log();
    bed.advance(secs(5));
    assert_eq!(bed.named("hello").len(), 10);
    bed.cancel(two.id);
    bed.advance(secs(1));
    bed.forget_log();
    bed.advance(secs(20));
    assert_eq!(bed.named("hello").len(), 2);
}

#[test]
fn who_waits_at_a_shutdown_fails_at_once() {
    let bed = polling(0);
    nobody_is_primary(&bed);
    let client = bed.settled("");
    let joins = [ping(&bed, &client), ping(&bed, &client)];
    bed.advance(ms(10));
    let (closing, start) = (client.clone(), bed.now());
    bed.run(async move { closing.shutdown().await });
    bed.settle();
    assert_eq!(bed.now(), start);
    for join in joins {
        let error = join.take().expect("at once").expect_err("closed");
        assert!(matches!(error.kind(), ErrorKind::Shutdown), "{error:?}");
    }
    let late = ping(&bed, &client);
    bed.settle();
    let error = late.take().expect("at once").expect_err("closed");
    assert_eq!(error.to_string(), "the client was shut down");
}

#[test]
fn a_driver_that_is_not_polled_is_named() {
    let bed = polling(0);
    let options = ClientOptions::parse(&bed.uri("serverSelectionTimeoutMS=500")).expect("options");
    let (client, driver) = Client::new(options, Arc::new(bed.net.clone())).expect("a client");
    let join = ping(&bed, &client);
    bed.advance(ms(500));
    let error = join.take().expect("now").expect_err("nobody looks for servers");
    assert!(error.to_string().contains("the Driver future was never polled"), "{error}");
    drop(driver);
}

#[test]
fn a_driver_that_is_dropped_ends_the_client() {
    let bed = polling(0);
    let client = bed.settled("");
    let cursor = {
        let till = super::support::till(&client);
        bed.run(async move { till.find(portolan::bson::doc! {}).batch_size(1_u32).await })
    };
    let join = {
        nobody_is_primary(&bed);
        bed.advance(secs(11));
        ping(&bed, &client)
    };
    bed.advance(secs(1));
    bed.drop_driver();
    bed.settle();
    let error = join.take().expect("at once").expect_err("closed");
    assert!(matches!(error.kind(), ErrorKind::Shutdown));
    assert_eq!(bed.open_connections("a:1"), 0);
    // A job for nobody: neither kept nor in the way.
    drop(cursor);
    let late = ping(&bed, &client);
    bed.settle();
    assert!(late.take().expect("at once").is_err());
}

#[test]
fn a_shutdown_before_the_first_poll_leaves_nothing_running() {
    let bed = polling(0);
    let options = ClientOptions::parse(&bed.uri("")).expect("options");
    let (client, driver) = Client::new(options, Arc::new(bed.net.clone())).expect("a client");
    let closing = client.clone();
    bed.run(async move { closing.shutdown().await });
    let driver = bed.spawn(driver);
    bed.advance(secs(20));
    assert!(driver.is_done());
    assert!(client.topology().description().servers.is_empty());
    assert!(bed.net.state().dialled.is_empty());
}
