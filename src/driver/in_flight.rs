//! Which operations are in flight on one server, since when, and how they are told to leave it.
//!
//! What follows from it is the engine's to say (`engine::sdam::suspicion`).

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use super::pool::ServerPool;
use super::shared::Shared;
use crate::engine::selection::{self, Criteria};
use crate::engine::time::Instant;

/// The operations in flight on one server.
///
/// Every operation enters and leaves, so that costs one short lock each; what an operation waits
/// with is made once and used again by the next.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    slots: Mutex<Slots>,
    count: AtomicUsize,
    /// How often operations were told to reconsider where they are.
    calls: AtomicU64,
}

#[derive(Debug, Default)]
struct Slots {
    began: Vec<Option<Instant>>,
    wakers: Vec<Arc<AtomicWaker>>,
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
        self.calls.fetch_add(1, Ordering::SeqCst);
        let wakers = self.slots().wakers.clone();
        wakers.iter().for_each(|waker| waker.wake());
    }

    fn enter(&self, now: Instant) -> (usize, Arc<AtomicWaker>) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut slots = self.slots();
        let slot = match slots.free.pop() {
            Some(slot) => slot,
            None => {
                slots.began.push(None);
                slots.wakers.push(Arc::default());
                slots.began.len() - 1
            }
        };
        slots.began[slot] = Some(now);
        (slot, slots.wakers[slot].clone())
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
    waker: Arc<AtomicWaker>,
    /// The call to reconsider that the operation has heard.
    heard: AtomicU64,
}

impl Flight {
    /// An operation is given to the server of `pool`.
    pub(crate) fn begin(shared: &Arc<Shared>, pool: &Arc<ServerPool>) -> Self {
        let in_flight = pool.in_flight();
        let heard = AtomicU64::new(in_flight.calls.load(Ordering::SeqCst));
        let (slot, waker) = in_flight.enter(shared.transport.now());
        shared.busy();
        Self { pool: pool.clone(), slot, waker, heard }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        // Or it would keep a task that has ended.
        drop(self.waker.take());
        self.pool.in_flight().leave(self.slot);
    }
}

/// Ends when an operation is to reconsider where it is, once a call; never without a flight.
pub(crate) struct Told<'a>(pub(crate) Option<&'a Flight>);

impl Future for Told<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(Flight { pool, waker, heard, .. }) = self.0 else { return Poll::Pending };
        waker.register(cx.waker());
        let calls = pool.in_flight().calls.load(Ordering::SeqCst);
        match heard.swap(calls, Ordering::Relaxed) == calls {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
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
