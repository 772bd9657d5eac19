//! A future that is polled again at once where something in it was woken meanwhile.
//!
//! A tunnel and its streams wake each other for each frame. Without this, each of those wake-ups
//! goes through the runtime's queue, and after a few of them to another thread.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use tokio::task::coop::has_budget_remaining;

/// A future and the waker that it is polled with.
pub(crate) struct Eager<F, R> {
    inner: Pin<Box<F>>,
    rest: R,
    state: Arc<State>,
    waker: Waker,
}

impl<F: Future, R: FnMut(&mut Context<'_>) + Unpin> Eager<F, R> {
    /// Polls `inner`, and calls `rest` whenever nothing is left to do for now.
    pub(crate) fn new(inner: F, rest: R) -> Self {
        let state = Arc::<State>::default();
        Self { inner: Box::pin(inner), rest, waker: state.clone().into(), state }
    }
}

impl<F: Future, R: FnMut(&mut Context<'_>) + Unpin> Future for Eager<F, R> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.state.task.register(cx.waker());
        let mut context = Context::from_waker(&this.waker);
        for _ in 0..MOST_POLLS {
            this.state.now.store(POLLED, Ordering::SeqCst);
            if let Poll::Ready(output) = this.inner.as_mut().poll(&mut context) {
                return Poll::Ready(output);
            }
            if this.state.now.swap(RESTS, Ordering::SeqCst) == POLLED {
                (this.rest)(&mut context);
                return Poll::Pending;
            }
            if !has_budget_remaining() {
                break;
            }
        }
        // Others have waited long enough.
        (this.rest)(&mut context);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// How often in a row, at most.
const MOST_POLLS: usize = 16;

#[derive(Default)]
struct State {
    now: AtomicU8,
    task: AtomicWaker,
}

const RESTS: u8 = 0;
const POLLED: u8 = 1;
/// Woken while it was polled.
const WOKEN: u8 = 2;

impl Wake for State {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let polled = self.now.compare_exchange(POLLED, WOKEN, Ordering::SeqCst, Ordering::SeqCst);
        if polled == Err(RESTS) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Polls a future once that wakes itself `times` times; how often it was polled, and whether
    /// its task was woken.
    fn polled(times: usize) -> (usize, usize) {
        let (count, mut polls) = (Arc::<Count>::default(), 0);
        let inner = poll_fn(|cx| {
            polls += 1;
            if polls <= times {
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        let mut rests = 0;
        let mut future = Eager::new(inner, |_: &mut Context<'_>| rests += 1);
        let waker = count.clone().into();
        assert!(Pin::new(&mut future).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(future);
        assert_eq!(rests, 1);
        (polls, count.0.load(Ordering::SeqCst))
    }

    #[test]
    fn what_wakes_itself_is_polled_again_without_its_task_but_not_for_ever() {
        assert_eq!(polled(0), (1, 0));
        assert_eq!(polled(3), (4, 0));
        assert_eq!(polled(1000), (MOST_POLLS, 1), "the task is woken, and goes to the end");
    }

    #[test]
    fn a_wake_up_at_rest_reaches_the_task() {
        let (count, inner) = (Arc::<Count>::default(), Arc::new(Mutex::new(None)));
        let kept = inner.clone();
        let keeps = poll_fn(move |cx| {
            *kept.lock().unwrap() = Some(cx.waker().clone());
            Poll::<()>::Pending
        });
        let mut future = Eager::new(keeps, |_: &mut Context<'_>| {});
        let waker = count.clone().into();
        assert!(Pin::new(&mut future).poll(&mut Context::from_waker(&waker)).is_pending());
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        inner.lock().unwrap().take().unwrap().wake();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }
}
