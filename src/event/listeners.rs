//! Streams of events of one kind: one queue each, and a glance whether there is any.

use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_util::Stream;

/// Everybody who listens to events `T`.
#[derive(Debug)]
pub(crate) struct Listeners<T> {
    count: AtomicUsize,
    closed: AtomicBool,
    senders: Mutex<Vec<UnboundedSender<T>>>,
}

impl<T> Default for Listeners<T> {
    fn default() -> Self {
        Self {
            count: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            senders: Mutex::default(),
        }
    }
}

impl<T: Clone> Listeners<T> {
    pub(crate) fn subscribe(&self) -> Events<T> {
        self.subscribe_after(None)
    }

    /// A stream that begins with `first`; it has nothing else where no more is told.
    pub(crate) fn subscribe_after(&self, first: Option<T>) -> Events<T> {
        let (sender, events) = channel();
        self.add(sender, first);
        events
    }

    /// Tells `sender` too, `first` before all else.
    pub(crate) fn add(&self, sender: UnboundedSender<T>, first: Option<T>) {
        if let Some(first) = first {
            // Where nobody listens any more, the next event finds out.
            let _ = sender.unbounded_send(first);
        }
        if !self.closed.load(Ordering::SeqCst) {
            let mut senders = self.senders.lock().expect("not poisoned: sending does not panic");
            senders.push(sender);
            self.count.store(senders.len(), Ordering::Relaxed);
        }
    }

    /// Ends all streams: nothing more is told. Not to be called beside a subscription.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.senders.lock().expect("not poisoned: sending does not panic").clear();
        self.count.store(0, Ordering::Relaxed);
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
        senders.retain(|sender| sender.unbounded_send(event.clone()).is_ok());
        self.count.store(senders.len(), Ordering::Relaxed);
    }
}

/// A stream, and what tells it something; the stream ends when nobody has that any more.
pub(crate) fn channel<T>() -> (UnboundedSender<T>, Events<T>) {
    let (sender, receiver) = unbounded();
    (sender, Events { receiver })
}

/// A stream of what happens from the moment on that it was asked for.
///
/// Events wait in memory until they are read: drop a stream that nobody reads. It ends when the
/// client and all its operations are gone.
#[derive(Debug)]
pub struct Events<T> {
    receiver: UnboundedReceiver<T>,
}

impl<T> Stream for Events<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.receiver).poll_next(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt};

    use super::*;

    #[test]
    fn each_listener_hears_all_from_its_beginning_on() {
        let listeners = Listeners::default();
        assert!(listeners.is_empty());
        listeners.tell(0);
        let mut first = listeners.subscribe();
        listeners.tell(1);
        let mut second = listeners.subscribe();
        listeners.tell(2);
        let hear = |events: &mut Events<i32>| {
            std::iter::from_fn(|| events.next().now_or_never().flatten()).collect::<Vec<_>>()
        };
        assert_eq!((hear(&mut first), hear(&mut second)), (vec![1, 2], vec![2]));
        drop((first, second));
        listeners.tell(3);
        assert!(listeners.is_empty(), "whoever left is forgotten at the next event");
    }

    // IC-48, IC-114: in order; weakly: who stops listening is not kept; and nobody waits for
    // whoever has not heard yet. Other than there, what waits at the end is heard: the
    // specification's last event is of the end.
    #[test]
    fn events_wait_in_their_order_and_are_heard_behind_the_end() {
        let listeners = Listeners::default();
        let (mut slow, gone) = (listeners.subscribe(), listeners.subscribe());
        (0..100).for_each(|event| listeners.tell(event));
        assert_eq!(listeners.senders.lock().map(|senders| senders.len()).ok(), Some(2));
        drop(gone);
        listeners.tell(100);
        assert_eq!(listeners.senders.lock().map(|senders| senders.len()).ok(), Some(1));
        listeners.close();
        listeners.tell(101);
        let heard: Vec<i32> = std::iter::from_fn(|| slow.next().now_or_never().flatten()).collect();
        assert_eq!(heard, (0..=100).collect::<Vec<_>>());
        assert_eq!(slow.next().now_or_never(), Some(None), "the end");
        assert_eq!(listeners.subscribe().next().now_or_never(), Some(None), "of later ones too");
    }

    #[test]
    fn a_stream_ends_with_those_who_tell() {
        let listeners = Listeners::<i32>::default();
        let mut events = listeners.subscribe();
        assert_eq!(events.next().now_or_never(), None);
        drop(listeners);
        assert_eq!(events.next().now_or_never(), Some(None));
    }
}
