//! Time: monotonic, and never early.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use futures_util::poll;
use portolan::transport::{Instant, Transport};

/// Servers show the name in their logs.
pub async fn it_names_its_runtime(transport: Arc<dyn Transport>) {
    let name = transport.runtime();
    assert!(!name.is_empty() && name != "unnamed runtime", "{name}");
}

/// The clock is monotonic and belongs to the transport.
pub async fn the_clock_starts_near_zero_and_does_not_run_backwards(transport: Arc<dyn Transport>) {
    let mut last = transport.now();
    assert!(last - Instant::ZERO < Duration::from_secs(5), "it starts at {last:?}");
    for _ in 0..10_000 {
        let now = transport.now();
        assert!(now >= last, "from {last:?} back to {now:?}");
        last = now;
    }
    // Taken around the other: however busy the machine is, the real time is not the shorter one.
    let before = std::time::Instant::now();
    let start = transport.now();
    transport.sleep_until(start + Duration::from_millis(20)).await;
    let (own, real) = (transport.now() - start, before.elapsed());
    assert!(own <= real + Duration::from_micros(10), "{own:?} have passed in {real:?}");
}

/// Waking early would send checks too soon, and spin.
pub async fn a_sleep_is_never_early(transport: Arc<dyn Transport>) {
    for micros in [0, 1, 700, 1000, 1300, 2999, 20_001] {
        let deadline = transport.now() + Duration::from_micros(micros);
        transport.sleep_until(deadline).await;
        assert!(transport.now() >= deadline, "early by {:?}", deadline - transport.now());
    }
    // Many at once, the last first.
    let start = transport.now();
    let sleeps = (0..200_u64).rev().map(|n| {
        let deadline = start + Duration::from_micros(n * 150);
        let transport = transport.clone();
        async move {
            transport.sleep_until(deadline).await;
            assert!(transport.now() >= deadline, "early by {:?}", deadline - transport.now());
        }
    });
    join_all(sleeps).await;
}

/// A deadline that has passed is no reason to wait.
pub async fn a_sleep_into_the_past_ends_at_once(transport: Arc<dyn Transport>) {
    transport.sleep_until(transport.now() + Duration::from_millis(2)).await;
    transport.sleep_until(Instant::ZERO).await;
    transport.sleep_until(transport.now()).await;
}

/// "No limit" is a deadline that cannot be represented.
pub async fn a_deadline_that_never_comes_does_not_fire(transport: Arc<dyn Transport>) {
    let never = transport.sleep_until(Instant::from_nanos(u64::MAX));
    let soon = transport.sleep_until(transport.now() + Duration::from_millis(5));
    match select(never, soon).await {
        Either::Left(_) => panic!("the end of time has come"),
        Either::Right(_) => {}
    }
}

/// The driver drops a sleep whenever something else happens first.
pub async fn a_sleep_that_is_dropped_disturbs_no_other(transport: Arc<dyn Transport>) {
    let start = transport.now();
    let kept_until = start + Duration::from_millis(30);
    let mut kept = pin!(transport.sleep_until(kept_until));
    assert!(poll!(&mut kept).is_pending());
    for micros in (0..2000).step_by(10) {
        let mut dropped = transport.sleep_until(start + Duration::from_micros(micros));
        let _ = poll!(&mut dropped);
    }
    kept.await;
    assert!(transport.now() >= kept_until);
}
