//! How many connections a pool has, and what they are in use for.

use std::time::Duration;

use super::{InUse, MakingRate, Numbered, Pool, PoolError, PoolSettings, Purpose};
use crate::engine::time::Instant;

impl<C: Numbered> Pool<C> {
    /// Its limits.
    pub fn settings(&self) -> &PoolSettings {
        &self.settings
    }

    /// Connections in use, idle and being made.
    pub fn size(&self) -> usize {
        self.total
    }

    /// Connections that nobody uses.
    pub fn idle(&self) -> usize {
        self.idle.len()
    }

    /// Connections being made.
    pub fn making(&self) -> usize {
        self.making.len()
    }

    /// Connections in use, by what for.
    pub fn in_use(&self) -> InUse {
        let (cursors, transactions) = (self.cursors, self.transactions);
        let all = self.total - self.idle.len() - self.making.len();
        InUse { cursors, transactions, other: all - cursors - transactions }
    }

    /// How fast connections are made.
    pub fn making_rate(&mut self, now: Instant) -> MakingRate {
        self.rate.rate(now)
    }

    /// Who waited for `limit` and gives up, is told this.
    pub fn timed_out(&self, limit: Duration) -> PoolError {
        let (max_size, making) = (self.settings.max_size, self.making.len());
        PoolError::TimedOut { limit, max_size, in_use: self.in_use(), making }
    }

    /// A connection in use is kept for this from now on.
    pub fn pin(&mut self, purpose: Purpose) {
        *self.pinned(purpose) += 1;
    }

    /// It is not any more: it is about to be checked in, or lost.
    pub fn unpin(&mut self, purpose: Purpose) {
        *self.pinned(purpose) -= 1;
    }

    fn pinned(&mut self, purpose: Purpose) -> &mut usize {
        match purpose {
            Purpose::Cursor => &mut self.cursors,
            Purpose::Transaction => &mut self.transactions,
        }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }
}
