//! The prose tests of pools.
//!
//! Specification: connection-monitoring-and-pooling tests/README.md "Prose Tests".

use futures_util::{FutureExt, StreamExt};
use portolan::event::{CheckOutFailedReason, Events, PoolEvent, PoolEventKind, PoolSettings};
use portolan::{Client, ReadPreference};

use super::support::server::{Act, Port};
use super::support::{Bed, ms, pool, secs};

fn heard(events: &mut Events<PoolEvent>) -> Vec<PoolEvent> {
    let next = || events.next().now_or_never().flatten();
    std::iter::from_fn(next).collect()
}

fn ping(bed: &Bed, client: &Client) -> portolan::Result<()> {
    let client = client.clone();
    bed.run(async move { client.ping(ReadPreference::primary()).await.map(drop) })
}

/// 1 to 4: the options are the client's, by its connection string; all of its pools have the same,
/// and whoever subscribes hears of them.
#[test]
fn all_pools_of_a_client_have_the_options_of_its_connection_string() {
    let bed = Bed::set(2);
    let client = bed.client(
        "maxPoolSize=7&minPoolSize=1&maxIdleTimeMS=9000&maxConnecting=3&waitQueueTimeoutMS=80",
    );
    let mut events = client.pool_events();
    bed.advance(secs(1));
    let created: Vec<PoolSettings> = heard(&mut events)
        .into_iter()
        .filter_map(|event| match event.kind {
            PoolEventKind::PoolCreated { settings } => Some(settings),
            _ => None,
        })
        .collect();
    let settings = PoolSettings {
        max_size: 7,
        min_size: 1,
        max_connecting: 3,
        wait_queue_timeout: Some(ms(80)),
        max_idle_time: secs(9),
    };
    assert_eq!(created, [settings; 3]);
    assert!(client.pools().iter().all(|pool| pool.settings == settings));
}

/// 5.
#[test]
fn a_connection_that_cannot_be_set_up_is_a_failed_check_out() {
    for fault in ["refused", "hung up"] {
        let bed = Bed::set(0);
        let client = bed.settled("retryReads=false");
        let mut events = client.pool_events();
        match fault {
            "refused" => bed.with_server("a:1", |server| server.port = Port::Refusing),
            _ => bed.rule("a:1", "handshake", 99, Act::HangUp),
        }
        ping(&bed, &client).expect_err(fault);
        let failed = heard(&mut events).into_iter().find_map(|event| match event.kind {
            PoolEventKind::ConnectionCheckOutFailed { reason, .. } => Some(reason),
            _ => None,
        });
        assert_eq!(failed, Some(CheckOutFailedReason::ConnectionError), "{fault}");
    }
}

/// CP-07: "If the Connection [...] was not created by the pool" cannot be: a connection knows its
/// pool, and nobody can give it to another one.
#[test]
fn a_connection_goes_back_to_the_pool_that_it_came_from() {
    let bed = Bed::set(0);
    let (one, two) = (bed.settled(""), bed.settled(""));
    let (ones, twos) = (one.clone(), two.clone());
    let (of_one, of_two) = bed.run(async move {
        let take = ReadPreference::primary;
        (ones.connection(take()).await.expect("one"), twos.connection(take()).await.expect("one"))
    });
    drop(of_one);
    assert_eq!((pool(&one, "a:1").idle, pool(&two, "a:1").idle), (1, 0));
    drop(of_two);
    assert_eq!((pool(&one, "a:1").idle, pool(&two, "a:1").idle), (1, 1));
}
