//! What those who listen are told of a pool.

use std::sync::Arc;

use super::{
    CheckOutFailedReason, ConnectionClosedReason, Numbered, Pool, PoolAction, PoolError,
    PoolEventKind,
};
use crate::engine::time::Instant;

impl<C: Numbered> Pool<C> {
    pub(super) fn checked_out(&mut self, now: Instant, asked: Instant, connection_id: u64) {
        let duration = now - asked;
        self.notify(|_| PoolEventKind::ConnectionCheckedOut { connection_id, duration });
    }

    pub(super) fn checked_in(&mut self, connection_id: u64) {
        // What nobody had asked for was never checked out.
        if self.unasked.remove(&connection_id).is_none() {
            self.notify(|_| PoolEventKind::ConnectionCheckedIn { connection_id });
        }
    }

    pub(super) fn check_out_failed(&mut self, now: Instant, asked: Instant, error: &PoolError) {
        self.notify(|_| PoolEventKind::ConnectionCheckOutFailed {
            reason: match error {
                PoolError::Cleared { .. } => CheckOutFailedReason::ConnectionError,
                PoolError::Closed => CheckOutFailedReason::PoolClosed,
                PoolError::TimedOut { .. } => CheckOutFailedReason::Timeout,
            },
            error: Some(error.to_string().into()),
            duration: now - asked,
        });
    }

    pub(super) fn closed(
        &mut self,
        connection_id: u64,
        reason: ConnectionClosedReason,
        error: Option<Arc<str>>,
    ) {
        self.notify(|_| PoolEventKind::ConnectionClosed { connection_id, reason, error });
    }

    pub(super) fn notify(&mut self, event: impl FnOnce(&Self) -> PoolEventKind) {
        if self.observed {
            let event = event(self);
            self.actions.push_back(PoolAction::Notify(event));
        }
    }
}
