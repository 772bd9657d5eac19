//! What subscribers hear, and how.
//!
//! The events are the specification's: of discovery and monitoring
//! ([`Topology`](crate::Topology) is the stream of them), of pools
//! ([`Client::pool_events`](crate::Client::pool_events)) and of commands
//! ([`Client::command_events`](crate::Client::command_events)). Each subscriber has a queue of its
//! own, so a slow one delays nobody; it must read, or drop its stream.

mod command;
mod listeners;
mod sets;

use std::sync::Mutex;

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};

pub use command::{CommandEvent, CommandEventKind};
pub use listeners::Events;
pub(crate) use listeners::{Listeners, channel};
pub(crate) use sets::SetListeners;

pub use crate::engine::pool::{
    CheckOutFailedReason, ConnectionClosedReason, InUse, MakingRate, PoolEvent, PoolEventKind,
    PoolSettings,
};
pub use crate::engine::sdam::{
    EventKind, HeartbeatConnection, Notice as Event, SetChange, SetState,
};

/// Everybody who listens. The first who subscribes hears what was told before.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    senders: Vec<UnboundedSender<Event>>,
    /// Told before anybody listened; at most [`EARLY_EVENTS`].
    early: Vec<Event>,
    heard: bool,
    /// The last event was told.
    closed: bool,
}

/// How many events are kept for the first subscriber.
const EARLY_EVENTS: usize = 1_000;

impl Subscribers {
    pub(crate) fn subscribe(&self) -> UnboundedReceiver<Event> {
        let (sender, receiver) = unbounded();
        let mut inner = self.inner.lock().expect("not poisoned: sending does not panic");
        inner.heard = true;
        for event in inner.early.drain(..) {
            // The receiver is in this function.
            let _ = sender.unbounded_send(event);
        }
        // After the last event a stream ends by itself: nobody keeps its sender.
        if !inner.closed {
            inner.senders.push(sender);
        }
        receiver
    }

    pub(crate) fn tell(&self, event: Event) {
        let mut inner = self.inner.lock().expect("not poisoned: sending does not panic");
        let last = matches!(event.kind, EventKind::TopologyClosed);
        inner.closed |= last;
        if !inner.heard {
            if inner.early.len() < EARLY_EVENTS {
                inner.early.push(event);
            }
            return;
        }
        // A closed channel is a stream that was dropped.
        inner.senders.retain(|sender| sender.unbounded_send(event.clone()).is_ok());
        if last {
            inner.senders.clear();
        }
    }
}
