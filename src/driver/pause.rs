//! What comes between two attempts of one operation.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select as either};

use super::shared::Shared;
use crate::engine::op::retry::{NEWS_LIMIT, Outdated};
use crate::engine::time::Instant;

/// Waits for a random share of `longest`, so that clients do not come back all at once.
pub(super) async fn backoff(shared: &Shared, longest: Duration) {
    if longest.is_zero() {
        return;
    }
    let share = shared.rng().below(1_000) as u32;
    let until = shared.transport.now() + longest * share / 1_000;
    shared.transport.sleep_until(until).await;
}

/// What comes between two attempts, but no longer than the operation has time.
pub(super) async fn until(shared: &Shared, end: Option<Instant>, pauses: impl Future<Output = ()>) {
    let Some(end) = end else { return pauses.await };
    let _ = either(pin!(pauses), shared.transport.sleep_until(end)).await;
}

/// Waits until the topology has heard what the failed attempt has, at most [`NEWS_LIMIT`].
pub(super) async fn news(shared: &Arc<Shared>, outdated: Option<Outdated>) {
    let Some(outdated) = outdated else { return };
    if !outdated.is_believed(&shared.view().topology) {
        return;
    }
    // On demand nobody hears anything that he does not ask for.
    shared.mark_stale();
    let _demand = shared.wait_for_server();
    let mut limit = shared.transport.sleep_until(shared.transport.now() + NEWS_LIMIT);
    loop {
        let changed = shared.changed();
        if !outdated.is_believed(&shared.view().topology) {
            return;
        }
        if let Either::Right(_) = either(changed, &mut limit).await {
            return;
        }
    }
}
