//! Streams of events of one kind: one queue each, and a glance whether there is any.

use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use async_channel::{Receiver, Sender};
use futures_util::Stream;

/// Everybody who listens to events `T`.
#[derive(Debug)]
pub(crate) struct Listeners<T> {
    count: AtomicUsize,
    senders: Mutex<Vec<Sender<T>>>,
}

impl<T> Default for Listeners<T> {
    fn default() -> Self {
        Self { count: AtomicUsize::new(0), senders: Mutex::default() }
    }
}

impl<T: Clone> Listeners<T> {
    pub(crate) fn subscribe(&self) -> Events<T> {
        let (sender, receiver) = async_channel::unbounded();
        let mut senders = self.senders.lock().expect("not poisoned: sending does not panic");
        senders.push(sender);
        self.count.store(senders.len(), Ordering::Relaxed);
        Events { receiver: Box::pin(receiver) }
    }

    /// Whether nobody listens. One load.
    pub(crate) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn tell(&self, event: T) {
        if self.is_empty() {
            return;
        }
        let mut senders = self.senders.lock().expect("not poisoned: sending does not panic");
        // A closed channel is a stream that was dropped.
        senders.retain(|sender| sender.try_send(event.clone()).is_ok());
        self.count.store(senders.len(), Ordering::Relaxed);
    }
}

/// A stream of what happens from the moment on that it was asked for.
///
/// Events wait in memory until they are read: drop a stream that nobody reads. It ends when the
/// client and all its operations are gone.
#[derive(Debug)]
pub struct Events<T> {
    receiver: Pin<Box<Receiver<T>>>,
}

impl<T> Stream for Events<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.receiver.as_mut().poll_next(cx)
    }
}
