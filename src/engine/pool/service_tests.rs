//! The pool machine behind a load balancer: a generation for each server there.

use bson::oid::ObjectId;

use super::*;

/// A connection: its number, and the server that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct To(u64, u8);

impl Numbered for To {
    fn connection_id(&self) -> u64 {
        self.0
    }
}

const NOW: Instant = Instant::from_millis(1);

fn service(number: u8) -> ObjectId {
    ObjectId::from_bytes([number; 12])
}

fn pool(max_size: usize) -> Pool<To> {
    let mut pool = Pool::new(PoolSettings {
        max_size,
        min_size: 0,
        wait_queue_timeout: None,
        max_connecting: 100,
        max_idle_time: Duration::ZERO,
    });
    pool.observe(true);
    pool.ready();
    pool
}

/// A connection that is in use, to the server of this number.
fn connect(pool: &mut Pool<To>, to: u8) -> (To, Generation) {
    let Ok(Grant::Establish(permit)) = pool.check_out(NOW) else { panic!("no room") };
    let generation = pool.greeted(permit, Some(service(to)));
    pool.established(NOW, permit.connection_id);
    (To(permit.connection_id, to), generation)
}

fn discarded(pool: &mut Pool<To>) -> Vec<To> {
    let discarded = |action| match action {
        PoolAction::Discard(connection) => Some(connection),
        _ => None,
    };
    std::iter::from_fn(|| pool.poll_action()).filter_map(discarded).collect()
}

fn cleared(pool: &mut Pool<To>) -> Vec<Option<ObjectId>> {
    let cleared = |action| match action {
        PoolAction::Notify(PoolEventKind::PoolCleared { service_id, .. }) => Some(service_id),
        _ => None,
    };
    std::iter::from_fn(|| pool.poll_action()).filter_map(cleared).collect()
}

// CP-09
#[test]
fn only_connections_to_the_server_that_failed_are_closed() {
    let mut pool = pool(0);
    let (idle, other) = (connect(&mut pool, 1), connect(&mut pool, 2));
    let (in_use, failed) = (connect(&mut pool, 1), connect(&mut pool, 1));
    for (connection, generation) in [idle, other] {
        pool.check_in(NOW, connection, generation);
    }
    pool.clear_service(NOW, service(1), failed.1.number);
    assert_eq!(discarded(&mut pool), [idle.0], "the idle one at once");
    for (connection, generation) in [in_use, failed] {
        pool.check_in(NOW, connection, generation);
    }
    assert_eq!(discarded(&mut pool), [in_use.0, failed.0], "the others when they come back");
    assert_eq!(pool.check_out(NOW), Ok(Grant::Connection(other.0)));
    let (newer, generation) = connect(&mut pool, 1);
    assert_eq!(generation, Generation { number: 0, service_id: Some(service(1)) });
    pool.check_in(NOW, newer, generation);
    assert_eq!(discarded(&mut pool), [], "what is made now is good");
}

// CP-09: neither paused nor without its queue.
#[test]
fn nobody_in_the_queue_is_refused() {
    let mut pool = pool(2);
    let (one, two) = (connect(&mut pool, 1), connect(&mut pool, 2));
    let waiting = pool.check_out(NOW).expect_err("full");
    pool.clear_service(NOW, service(1), 0);
    assert_eq!((pool.waiting(), cleared(&mut pool)), (1, vec![Some(service(1))]));
    pool.check_in(NOW, one.0, one.1);
    let served = std::iter::from_fn(|| pool.poll_action()).find_map(|action| match action {
        PoolAction::Serve(ticket, grant) => Some((ticket, grant)),
        _ => None,
    });
    let permit = Permit { connection_id: 3, generation: 0 };
    assert_eq!(served, Some((waiting, Grant::Establish(permit))), "in the room of the closed one");
    pool.check_in(NOW, two.0, two.1);
    assert_eq!(pool.check_out(NOW), Ok(Grant::Connection(two.0)));
}

#[test]
fn one_failure_clears_once_however_many_connections_tell_of_it() {
    let mut pool = pool(0);
    let ((_, first), (_, second)) = (connect(&mut pool, 1), connect(&mut pool, 1));
    pool.clear_service(NOW, service(1), first.number);
    pool.clear_service(NOW, service(1), second.number);
    assert_eq!(cleared(&mut pool), [Some(service(1))]);
    let (_, third) = connect(&mut pool, 1);
    assert_eq!(third.number, 1);
    pool.clear_service(NOW, service(1), third.number);
    assert_eq!(cleared(&mut pool), [Some(service(1))]);
    pool.clear_service(NOW, service(7), 0);
    assert_eq!(cleared(&mut pool), [], "nobody is connected to it");
}

// "The pool MUST remove the entry for a serviceId once the connection count reaches 0."
#[test]
fn a_server_without_connections_is_forgotten() {
    let mut pool = pool(0);
    let (one, two) = (connect(&mut pool, 1), connect(&mut pool, 1));
    let Ok(Grant::Establish(permit)) = pool.check_out(NOW) else { panic!("no room") };
    pool.greeted(permit, Some(service(2)));
    assert_eq!(pool.services.count(), 2);
    pool.abandoned(NOW, permit.connection_id, None);
    pool.lost(NOW, one.0.0, one.1, false);
    assert_eq!(pool.services.count(), 1);
    pool.check_in(NOW, two.0, two.1);
    pool.clear_service(NOW, service(1), 0);
    assert_eq!(pool.services.count(), 0);
    assert_eq!((pool.size(), pool.idle()), (0, 0));
}

// LB-08
#[test]
fn what_connections_are_in_use_for_is_counted() {
    let mut pool = pool(3);
    let (cursor, _, _) = (connect(&mut pool, 1), connect(&mut pool, 1), connect(&mut pool, 1));
    pool.pin(Purpose::Cursor);
    pool.pin(Purpose::Transaction);
    assert_eq!(pool.in_use(), InUse { cursors: 1, transactions: 1, other: 1 });
    assert_eq!(
        pool.timed_out(Duration::from_millis(50)).to_string(),
        "timed out while checking out a connection from connection pool, after 50ms. maxPoolSize: \
         3, connections in use by cursors: 1, connections in use by transactions: 1, connections \
         in use by other operations: 1, connections being made: 0"
    );
    pool.unpin(Purpose::Cursor);
    pool.check_in(NOW, cursor.0, cursor.1);
    assert_eq!(pool.in_use(), InUse { cursors: 0, transactions: 1, other: 1 });
}
