//! A future that stays awake for a moment where much is moved.
//!
//! Bytes that come in bulk find a reader that is faster than they are, and asleep: each time, their
//! sender has to wake it. On another CPU that is an interrupt, which takes the sender about as long
//! as to send 64 KiB. So the reader looks a few times more before it sleeps.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::task::yield_now;

/// A future, and how many bytes it has moved.
pub(crate) struct Awake<F, M> {
    inner: F,
    moved: M,
    /// What had been moved when it last began to stay awake.
    before: u64,
    until: Option<Instant>,
}

/// So much is worth one [`MOMENT`].
const BULK_BYTES: u64 = 32 * 1024;
/// Longer than bulk takes to come, and as short as what nobody misses of a CPU.
const MOMENT: Duration = Duration::from_micros(100);

impl<F: Future + Unpin, M: FnMut() -> u64 + Unpin> Awake<F, M> {
    /// Polls `inner`, which has moved as many bytes as `moved` says.
    pub(crate) fn new(inner: F, moved: M) -> Self {
        Self { inner, moved, before: 0, until: None }
    }

    /// Whether to look again. The clock is read in bulk only.
    fn stays(&mut self) -> bool {
        let moved = (self.moved)();
        if moved - self.before >= BULK_BYTES {
            self.before = moved;
            self.until = Some(Instant::now() + MOMENT);
            return true;
        }
        self.until.take_if(|until| Instant::now() >= *until);
        self.until.is_some()
    }
}

impl<F: Future + Unpin, M: FnMut() -> u64 + Unpin> Future for Awake<F, M> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let output = Pin::new(&mut self.inner).poll(cx);
        if output.is_pending() && self.stays() {
            // Not woken by itself: sockets and other tasks come first.
            let _ = pin!(yield_now()).poll(cx);
        }
        output
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::time::sleep;

    use super::*;

    /// How often a future that moved `bytes` at once, and nothing more, is polled until it sleeps.
    async fn polls(bytes: u64) -> u64 {
        let polls = Arc::new(AtomicU64::new(0));
        let counted = polls.clone();
        let inner = poll_fn(move |_| -> Poll<()> {
            counted.fetch_add(1, Ordering::Relaxed);
            Poll::Pending
        });
        let task = tokio::spawn(Awake::new(inner, move || bytes));
        let mut before = 0;
        for _ in 0..MOST_WAITS {
            sleep(Duration::from_millis(20)).await;
            let now = polls.load(Ordering::Relaxed);
            if now > 0 && now == before {
                task.abort();
                return now;
            }
            before = now;
        }
        panic!("it does not sleep: {before} polls");
    }

    /// A machine that does something else meanwhile makes it a few more than two.
    const MOST_WAITS: usize = 250;

    #[tokio::test]
    async fn it_looks_again_behind_bulk_and_then_sleeps() {
        assert!(polls(BULK_BYTES).await > 1);
        assert_eq!(polls(BULK_BYTES - 1).await, 1);
    }

    #[tokio::test]
    async fn what_ends_while_it_is_awake_ends_it() {
        let mut left = 3;
        let inner = poll_fn(move |_| {
            left -= 1;
            if left == 0 { Poll::Ready("done") } else { Poll::Pending }
        });
        let mut moved = 0;
        let awake = Awake::new(inner, move || {
            moved += BULK_BYTES;
            moved
        });
        assert_eq!(awake.await, "done");
    }
}
