//! The pool machine: limits, fairness, generations.

use super::*;

impl Numbered for &'static str {
    /// `"a"` is 1, `"b"` is 2 and so on.
    fn connection_id(&self) -> u64 {
        u64::from(self.as_bytes()[0] - b'a' + 1)
    }
}

impl Numbered for () {
    fn connection_id(&self) -> u64 {
        1
    }
}

const NOW: Instant = Instant::from_millis(1);
const AT_FIRST: Generation = Generation { number: 0, service_id: None };

fn pool(max_size: usize, max_connecting: usize) -> Pool<&'static str> {
    let max_idle_time = Duration::from_secs(1);
    let mut pool = Pool::new(PoolSettings {
        max_size,
        min_size: 0,
        wait_queue_timeout: None,
        max_connecting,
        max_idle_time,
    });
    pool.ready();
    pool
}

fn actions(pool: &mut Pool<&'static str>) -> Vec<PoolAction<&'static str>> {
    std::iter::from_fn(|| pool.poll_action()).collect()
}

fn permit(connection_id: u64, generation: u64) -> Grant<&'static str> {
    Grant::Establish(Permit { connection_id, generation })
}

#[test]
fn a_new_pool_is_paused_until_a_check_succeeds() {
    let settings = PoolSettings {
        max_size: 1,
        min_size: 0,
        wait_queue_timeout: None,
        max_connecting: 1,
        max_idle_time: Duration::ZERO,
    };
    let mut pool = Pool::<()>::new(settings);
    assert!(matches!(pool.check_out(NOW), Ok(Grant::Refused(PoolError::Cleared { .. }))));
    pool.ready();
    assert_eq!(
        pool.check_out(NOW),
        Ok(Grant::Establish(Permit { connection_id: 1, generation: 0 }))
    );
}

#[test]
fn the_most_recently_used_connection_is_used_again() {
    let mut pool = pool(3, 3);
    for id in 1..=2 {
        pool.check_out(NOW).expect("room");
        pool.established(NOW, id);
    }
    pool.check_in(NOW, "a", AT_FIRST);
    pool.check_in(NOW, "b", AT_FIRST);
    assert_eq!(pool.check_out(NOW), Ok(Grant::Connection("b")));
    assert_eq!(pool.check_out(NOW), Ok(Grant::Connection("a")));
    assert_eq!(pool.check_out(NOW), Ok(permit(3, 0)));
}

#[test]
fn who_finds_no_room_waits_in_turn() {
    let mut pool = pool(1, 2);
    assert_eq!(pool.check_out(NOW), Ok(permit(1, 0)));
    pool.established(NOW, 1);
    let first = pool.check_out(NOW).expect_err("full");
    let second = pool.check_out(NOW).expect_err("full");
    pool.check_in(NOW, "a", AT_FIRST);
    assert_eq!(actions(&mut pool), [PoolAction::Serve(first, Grant::Connection("a"))]);
    pool.lost(NOW, 1, AT_FIRST, false);
    assert_eq!(actions(&mut pool), [PoolAction::Serve(second, permit(2, 0))]);
    assert_eq!(pool.size(), 1);
}

#[test]
fn connections_being_made_are_limited_of_their_own() {
    let mut pool = pool(0, 1);
    assert_eq!(pool.check_out(NOW), Ok(permit(1, 0)));
    let waiting = pool.check_out(NOW).expect_err("one is being made");
    pool.abandoned(NOW, 1, None);
    assert_eq!(actions(&mut pool), [PoolAction::Serve(waiting, permit(2, 0))]);
    assert_eq!(pool.size(), 1);
}

#[test]
fn a_waiter_that_gave_up_is_not_served() {
    let mut pool = pool(1, 1);
    pool.check_out(NOW).expect("room");
    pool.established(NOW, 1);
    let gone = pool.check_out(NOW).expect_err("full");
    pool.cancel(NOW, gone);
    pool.check_in(NOW, "a", AT_FIRST);
    assert_eq!(actions(&mut pool), []);
    assert_eq!(pool.check_out(NOW), Ok(Grant::Connection("a")));
}

#[test]
fn clearing_closes_idle_connections_refuses_waiters_and_outdates_those_in_use() {
    let mut pool = pool(2, 2);
    for id in 1..=2 {
        pool.check_out(NOW).expect("room");
        pool.established(NOW, id);
    }
    pool.check_in(NOW, "idle", AT_FIRST);
    assert_eq!(pool.check_out(NOW), Ok(Grant::Connection("idle")));
    let waiting = pool.check_out(NOW).expect_err("full");
    pool.clear(NOW, 1, "it broke".into(), false);
    let refused = Grant::Refused(PoolError::Cleared { reason: "it broke".into() });
    assert_eq!(actions(&mut pool), [PoolAction::Serve(waiting, refused)]);
    pool.check_in(NOW, "idle", AT_FIRST);
    assert_eq!(actions(&mut pool), [PoolAction::Discard("idle")]);
    assert!(matches!(pool.check_out(NOW), Ok(Grant::Refused(_))));
    pool.ready();
    assert_eq!(pool.check_out(NOW), Ok(permit(3, 1)));
}

// MT-61, GAP-09: all that are idle, at once.
#[test]
fn clearing_closes_every_idle_connection() {
    let mut pool = pool(3, 3);
    for id in 1..=3 {
        pool.check_out(NOW).expect("room");
        pool.established(NOW, id);
    }
    for connection in ["a", "b", "c"] {
        pool.check_in(NOW, connection, AT_FIRST);
    }
    assert!(actions(&mut pool).is_empty());
    pool.clear(NOW, 1, "it broke".into(), false);
    let mut closed: Vec<&str> = actions(&mut pool)
        .into_iter()
        .filter_map(|action| match action {
            PoolAction::Discard(connection) => Some(connection),
            _ => None,
        })
        .collect();
    closed.sort_unstable();
    assert_eq!(closed, ["a", "b", "c"]);
}

#[test]
fn a_connection_that_was_idle_too_long_is_closed() {
    let mut pool = pool(1, 1);
    pool.check_out(NOW).expect("room");
    pool.established(NOW, 1);
    pool.check_in(NOW, "old", AT_FIRST);
    let later = NOW + Duration::from_millis(1001);
    assert_eq!(pool.check_out(later), Ok(permit(2, 0)));
    assert_eq!(actions(&mut pool), [PoolAction::Discard("old")]);
}

fn names(pool: &mut Pool<&'static str>) -> Vec<&'static str> {
    let notice = |action| match action {
        PoolAction::Notify(event) => Some(event.name()),
        _ => None,
    };
    actions(pool).into_iter().filter_map(notice).collect()
}

fn observed() -> Pool<&'static str> {
    let mut pool = pool(1, 1);
    pool.observe(true);
    pool
}

#[test]
fn nobody_is_told_while_nobody_listens() {
    let mut pool = pool(1, 1);
    pool.check_out(NOW).expect("room");
    pool.established(NOW, 1);
    pool.check_in(NOW, "a", AT_FIRST);
    assert_eq!(names(&mut pool), [""; 0]);
}

#[test]
fn the_events_of_a_connection_come_in_the_specified_order() {
    let mut pool = observed();
    pool.created();
    pool.ready();
    assert_eq!(names(&mut pool), ["poolCreated"]);
    pool.check_out(NOW).expect("room");
    pool.established(NOW, 1);
    assert_eq!(
        names(&mut pool),
        [
            "connectionCheckOutStarted",
            "connectionCreated",
            "connectionReady",
            "connectionCheckedOut"
        ]
    );
    let waiting = pool.check_out(NOW).expect_err("full");
    pool.check_in(NOW, "a", AT_FIRST);
    assert_eq!(
        names(&mut pool),
        ["connectionCheckOutStarted", "connectionCheckedIn", "connectionCheckedOut"]
    );
    let _ = waiting;
    pool.check_in(NOW, "a", AT_FIRST);
    pool.close(NOW);
    assert_eq!(names(&mut pool), ["connectionCheckedIn", "connectionClosed", "poolClosed"]);
}

#[test]
fn a_pool_is_cleared_once_and_made_ready_once() {
    let mut pool = observed();
    pool.check_out(NOW).expect("room");
    pool.abandoned(NOW, 1, Some("refused".into()));
    assert_eq!(
        names(&mut pool)[2..],
        ["connectionClosed", "connectionCheckOutFailed"],
        "after connectionCreated"
    );
    pool.clear(NOW, 1, "it broke".into(), true);
    pool.clear(NOW, 2, "it broke again".into(), false);
    pool.ready();
    pool.ready();
    assert_eq!(names(&mut pool), ["poolCleared", "poolReady"]);
}

#[test]
fn what_a_check_out_waited_for_is_told_with_its_duration() {
    let mut pool = observed();
    pool.check_out(NOW).expect("room");
    pool.established(NOW, 1);
    let gone = pool.check_out(NOW).expect_err("full");
    actions(&mut pool);
    pool.cancel(NOW + Duration::from_millis(7), gone);
    assert_eq!(
        actions(&mut pool),
        [PoolAction::Notify(PoolEventKind::ConnectionCheckOutFailed {
            reason: CheckOutFailedReason::Timeout,
            error: None,
            duration: Duration::from_millis(7),
        })]
    );
}

#[test]
fn a_connection_that_nobody_asked_for_is_neither_checked_out_nor_in() {
    let mut pool = observed();
    assert!(pool.replenish(NOW, 1).is_some());
    pool.established(NOW, 1);
    pool.check_in(NOW, "a", AT_FIRST);
    assert_eq!(names(&mut pool), ["connectionCreated", "connectionReady"]);
    assert_eq!(pool.idle(), 1);
}

// CMAP "Populating the Pool": a connection that was made for nobody goes to who waits, before
// another one is begun.
#[test]
fn who_waits_gets_the_connection_that_was_made_for_nobody() {
    let mut pool = pool(3, 1);
    assert!(pool.replenish(NOW, 2).is_some());
    let waiting = pool.check_out(NOW).expect_err("one is being made");
    pool.established(NOW, 1);
    assert_eq!(actions(&mut pool), []);
    pool.check_in(NOW, "a", AT_FIRST);
    assert_eq!(actions(&mut pool), [PoolAction::Serve(waiting, Grant::Connection("a"))]);
}

fn closed(pool: &mut Pool<&'static str>) -> Vec<ConnectionClosedReason> {
    let reason = |action| match action {
        PoolAction::Notify(PoolEventKind::ConnectionClosed { reason, .. }) => Some(reason),
        _ => None,
    };
    actions(pool).into_iter().filter_map(reason).collect()
}

/// A pool of one connection, `a`, that is in use.
fn in_use() -> Pool<&'static str> {
    let mut pool = observed();
    pool.check_out(NOW).expect("room");
    pool.established(NOW, 1);
    actions(&mut pool);
    pool
}

// CP-08: each reason, on the way in, on the way out and where it lies.
#[test]
fn a_connection_is_closed_for_the_reason_that_it_is_told_with() {
    use ConnectionClosedReason::{Error, Idle, PoolClosed, Stale};
    type Act = fn(&mut Pool<&'static str>);
    fn cleared(pool: &mut Pool<&'static str>, interrupt: bool) {
        pool.clear(NOW, 1, "it broke".into(), interrupt);
    }
    fn back(pool: &mut Pool<&'static str>) {
        pool.check_in(NOW, "a", AT_FIRST);
    }
    const LATER: Instant = Instant::from_millis(2_001);
    let cases: &[(&str, ConnectionClosedReason, &[Act])] = &[
        ("it broke", Error, &[|pool| pool.lost(NOW, 1, AT_FIRST, false)]),
        ("cleared, then back", Stale, &[|pool| cleared(pool, false), back]),
        ("back, then cleared", Stale, &[back, |pool| cleared(pool, false)]),
        (
            "interrupted by a clear",
            Stale,
            &[|pool| cleared(pool, true), |pool| pool.lost(NOW, 1, AT_FIRST, true)],
        ),
        (
            "its own failure is what the pool was cleared for",
            Error,
            &[|pool| cleared(pool, false), |pool| pool.lost(NOW, 1, AT_FIRST, false)],
        ),
        ("found idle by nobody", Idle, &[back, |pool| pool.prune(LATER)]),
        ("found idle by a check-out", Idle, &[back, |pool| drop(pool.check_out(LATER))]),
        ("closed, then back", PoolClosed, &[|pool| pool.close(NOW), back]),
        ("back, then closed", PoolClosed, &[back, |pool| pool.close(NOW)]),
    ];
    for (case, reason, acts) in cases {
        let mut pool = in_use();
        acts.iter().for_each(|act| act(&mut pool));
        assert_eq!(closed(&mut pool), [*reason], "{case}");
    }
    let mut pool = observed();
    pool.check_out(NOW).expect("room");
    pool.abandoned(NOW, 1, Some("refused".into()));
    assert_eq!(closed(&mut pool), [Error], "it could not be made");
}

// CP-06
#[test]
fn a_pool_says_why_it_gives_no_connection() {
    let refusal = |pool: &mut Pool<&'static str>| match pool.check_out(NOW) {
        Ok(Grant::Refused(error)) => error,
        other => panic!("{other:?}"),
    };
    let mut pool = observed();
    pool.clear(NOW, 1, "a:1 hung up".into(), false);
    let cleared = refusal(&mut pool);
    assert_eq!(cleared.name(), "PoolClearedError");
    assert!(cleared.to_string().ends_with("a:1 hung up"), "{cleared}");
    pool.close(NOW);
    pool.ready();
    let closed = refusal(&mut pool);
    assert_eq!((&closed, closed.name()), (&PoolError::Closed, "PoolClosedError"));
    let reasons: Vec<_> = actions(&mut pool)
        .into_iter()
        .filter_map(|action| match action {
            PoolAction::Notify(PoolEventKind::ConnectionCheckOutFailed { reason, .. }) => {
                Some(reason)
            }
            _ => None,
        })
        .collect();
    let expected = [CheckOutFailedReason::ConnectionError, CheckOutFailedReason::PoolClosed];
    assert_eq!(reasons, expected);
}

#[test]
fn the_rate_of_new_connections_is_that_of_each_second() {
    let at = |millis| Instant::from_millis(millis);
    let mut pool = pool(0, 100);
    for (id, begun) in [(1, 5_100), (2, 5_200), (3, 5_900), (4, 6_500)] {
        pool.check_out(at(begun)).expect("room");
        pool.established(at(begun + 10 * id), id);
    }
    let rate = pool.making_rate(at(6_900));
    assert_eq!((rate.created, rate.last_second, rate.peak), (4, 3, 3));
    // 10, then a fifth of each that is newer.
    let micros = rate.average.expect("some were made").as_micros();
    assert_eq!(micros, 20_480);
    assert_eq!(pool.making_rate(at(7_000)).last_second, 1);
    assert_eq!(pool.making_rate(at(9_000)).last_second, 0, "a second without any");
}
