//! Which operations are in flight on one server, since when, and how they are told to leave it.
//!
//! What follows from it is the engine's to say (`engine::sdam::suspicion`).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::pool::ServerPool;
use super::shared::Shared;
use crate::engine::selection::{self, Criteria};
use crate::engine::time::Instant;

/// The operations in flight on one server.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    slots: Mutex<Slots>,
    count: AtomicUsize,
    /// Notified when operations are to reconsider where they are.
    reconsider: event_listener::Event,
}

#[derive(Debug, Default)]
struct Slots {
    began: Vec<Option<Instant>>,
    free: Vec<usize>,
}

impl InFlight {
    /// When the oldest operation in flight began.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.slots().began.iter().flatten().min().copied()
    }

    /// How many there are. Costs no lock: selection asks.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Has every operation on this server reconsider.
    pub(crate) fn reconsider(&self) {
        self.reconsider.notify(usize::MAX);
    }

    /// Notified when operations on this server are to reconsider. To be listened to on the stack
    /// (`listener!`): every operation does.
    pub(crate) fn told(&self) -> &event_listener::Event {
        &self.reconsider
    }

    fn enter(&self, now: Instant) -> usize {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut slots = self.slots();
        match slots.free.pop() {
            Some(slot) => {
                slots.began[slot] = Some(now);
                slot
            }
            None => {
                slots.began.push(Some(now));
                slots.began.len() - 1
            }
        }
    }

    fn leave(&self, slot: usize) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        let mut slots = self.slots();
        slots.began[slot] = None;
        slots.free.push(slot);
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().expect("not poisoned: nothing here panics")
    }
}

/// One operation in flight, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Flight {
    pool: Arc<ServerPool>,
    slot: usize,
}

impl Flight {
    /// An operation is given to the server of `pool`.
    pub(crate) fn begin(shared: &Arc<Shared>, pool: &Arc<ServerPool>) -> Self {
        let slot = pool.in_flight().enter(shared.transport.now());
        shared.busy();
        Self { pool: pool.clone(), slot }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.pool.in_flight().leave(self.slot);
    }
}

/// Whether selection by `criteria` now names another server than that of `pool`, and one that is
/// not suspect itself.
pub(crate) fn goes_elsewhere(shared: &Shared, criteria: &Criteria<'_>, pool: &ServerPool) -> bool {
    let view = shared.view();
    let chosen = selection::select(&view.topology, criteria, |_| 0, &mut shared.rng());
    match chosen {
        Ok(Some(server)) => server.address != *pool.address() && !server.suspect,
        Ok(None) | Err(_) => false,
    }
}
