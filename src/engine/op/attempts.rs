//! The attempts of one operation: whether another one follows, after what pause, and which error
//! its caller sees in the end.
//!
//! Specification: retryable-reads and retryable-writes (one more attempt; [`super::retry`] has the
//! rules), client-backpressure (more attempts, with pauses, where nothing could be sent).

use std::time::Duration;

use super::retry::KeptError;

/// What went wrong with one attempt, as far as trying again is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No connection could be made: nothing was sent.
    NotConnected,
    /// The pool was cleared while the operation waited for a connection: nothing was sent.
    PoolCleared,
    /// It was sent and failed.
    Sent {
        /// Whether the rules allow another attempt.
        retryable: bool,
        /// Whether something may have been written.
        indicates_attempt: bool,
    },
    /// No server was found, or the command could not be built.
    Client,
}

/// What follows an attempt that failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<E> {
    /// The caller sees this error.
    Fail(E),
    /// Try again after a random share of this pause.
    Retry(Duration),
}

/// The attempts of one operation. `E` is the caller's error; it is kept, never looked into.
#[derive(Debug)]
pub struct Attempts<E> {
    retried: bool,
    unsent: u32,
    kept: KeptError<E>,
}

/// "maxAdaptiveRetries": further attempts where nothing was sent.
const MAX_UNSENT: u32 = 2;
const BASE_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(10);

impl<E> Default for Attempts<E> {
    fn default() -> Self {
        Self { retried: false, unsent: 0, kept: KeptError::default() }
    }
}

impl<E> Attempts<E> {
    /// An attempt failed with `error`.
    pub fn after(&mut self, trouble: Trouble, error: E) -> Next<E> {
        let indicates_attempt = matches!(trouble, Trouble::Sent { indicates_attempt: true, .. });
        let pause = match trouble {
            Trouble::NotConnected | Trouble::PoolCleared if self.unsent < MAX_UNSENT => {
                let pause = BASE_BACKOFF * 2_u32.pow(self.unsent);
                self.unsent += 1;
                let reached = trouble == Trouble::PoolCleared;
                Some(if reached { Duration::ZERO } else { pause.min(MAX_BACKOFF) })
            }
            Trouble::Sent { retryable: true, .. } if !self.retried => {
                self.retried = true;
                Some(Duration::ZERO)
            }
            _ => None,
        };
        let mut kept = std::mem::take(&mut self.kept);
        match pause {
            Some(pause) => {
                kept.record(error, indicates_attempt);
                self.kept = kept;
                Next::Retry(pause)
            }
            // What was sent and failed for good is newer than what was kept of unsent attempts.
            None if matches!(trouble, Trouble::Sent { retryable: false, .. }) => Next::Fail(error),
            None => {
                kept.record(error, indicates_attempt);
                Next::Fail(kept.into_inner().expect("recorded just now"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKEN: Trouble = Trouble::Sent { retryable: true, indicates_attempt: true };

    #[test]
    fn one_more_attempt_follows_a_retryable_error() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.after(BROKEN, "first"), Next::Retry(Duration::ZERO));
        assert_eq!(attempts.after(BROKEN, "second"), Next::Fail("second"));
        let mut attempts = Attempts::default();
        let last = Trouble::Sent { retryable: false, indicates_attempt: true };
        assert_eq!(attempts.after(last, "first"), Next::Fail("first"));
    }

    #[test]
    fn a_second_attempt_that_wrote_nothing_shows_the_first_error() {
        let nothing = Trouble::Sent { retryable: true, indicates_attempt: false };
        for second in [Trouble::Client, nothing] {
            let mut attempts = Attempts::default();
            attempts.after(BROKEN, "first");
            assert_eq!(attempts.after(second, "second"), Next::Fail("first"));
        }
    }

    #[test]
    fn what_was_never_sent_is_tried_again_with_pauses() {
        let mut attempts = Attempts::default();
        let pause = |millis| Next::Retry(Duration::from_millis(millis));
        assert_eq!(attempts.after(Trouble::NotConnected, 1), pause(100));
        assert_eq!(attempts.after(Trouble::NotConnected, 2), pause(200));
        assert_eq!(attempts.after(Trouble::NotConnected, 3), Next::Fail(1));
    }
}
