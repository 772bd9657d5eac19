//! The attempts of one operation: whether another one follows, after what pause, and which error
//! its caller sees in the end.
//!
//! Specification: retryable-reads and retryable-writes (one more attempt; [`super::retry`] has the
//! rules), client-backpressure (more attempts, with pauses, where the server is overloaded).

use std::time::Duration;

use super::reply::integer;
use super::retry::{KeptError, SYSTEM_OVERLOADED_ERROR};
use super::{OperationKind, ReplyFailure};

/// The label of an error after which any command may be sent again.
pub const RETRYABLE_ERROR: &str = "RetryableError";

/// What went wrong with one attempt, as far as trying again is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No connection was to be had, and the server is not overloaded: nothing was sent.
    Unsent,
    /// The server is overloaded, or a connection could not be made, which counts as that.
    Overloaded {
        /// Whether the options allow another attempt.
        retryable: bool,
        /// Whether the server answered so; otherwise nothing was sent.
        sent: bool,
        /// The server's own base for pauses ("baseBackoffMS").
        base: Option<Duration>,
    },
    /// It was sent and failed.
    Sent {
        /// Whether the rules allow another attempt.
        retryable: bool,
        /// Whether something may have been written.
        indicates_attempt: bool,
    },
    /// It left a server that does not answer for another one; it may have run there, and carries
    /// what makes it happen once.
    Moved,
    /// No server was found, or the command could not be built.
    Client,
    /// The operation's time was over (`timeoutMS`), or too little was left.
    OutOfTime {
        /// Whether something may have been written.
        indicates_attempt: bool,
    },
}

impl Trouble {
    /// The trouble of a server that says it is overloaded ("Retryable Overload Error"); `None` for
    /// any other failure. Nothing of the command took place, so that even a write without a
    /// transaction number may be sent again.
    pub fn overloaded(failure: &ReplyFailure, retryable: bool) -> Option<Self> {
        let labelled =
            failure.has_label(SYSTEM_OVERLOADED_ERROR) && failure.has_label(RETRYABLE_ERROR);
        let base = match failure {
            ReplyFailure::Command(failure) => failure.raw.get("baseBackoffMS").ok().flatten(),
            _ => None,
        };
        let base = base.and_then(integer).and_then(|millis| u64::try_from(millis).ok());
        let base = base.map(Duration::from_millis);
        labelled.then_some(Self::Overloaded { retryable, sent: true, base })
    }
}

/// Client backpressure "Overload retry policy", rule 2.4: a command that may be either needs both
/// options.
pub fn may_retry_overload(kind: OperationKind, retry_reads: bool, retry_writes: bool) -> bool {
    match kind {
        OperationKind::Read => retry_reads,
        OperationKind::Write | OperationKind::Output => retry_writes,
        OperationKind::Generic => retry_reads && retry_writes,
    }
}

/// What follows an attempt that failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<E> {
    /// The caller sees this error.
    Fail(E),
    /// The caller sees that the time was over, and this error as what came of it by then.
    OutOfTime(E),
    /// Try again after a random share of this pause.
    Retry(Duration),
}

/// The attempts of one operation. `E` is the caller's error; it is kept, never looked into.
#[derive(Debug)]
pub struct Attempts<E> {
    /// "maxAdaptiveRetries".
    max_adaptive: u32,
    retries: u32,
    unsent: u32,
    overloaded: bool,
    /// Whether time alone ends the attempts.
    timed: bool,
    /// An attempt reached a server.
    sent: bool,
    kept: KeptError<E>,
}

/// Further attempts where nothing was sent and nobody is overloaded.
const MAX_UNSENT: u32 = 2;
const BASE_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(10);

impl<E> Attempts<E> {
    /// No attempts yet; at most `max_adaptive` further ones once a server was overloaded.
    pub fn new(max_adaptive: u32) -> Self {
        let (retries, unsent, overloaded, timed, sent) = (0, 0, false, false, false);
        let kept = KeptError::default();
        Self { max_adaptive, retries, unsent, overloaded, timed, sent, kept }
    }

    /// As many as the operation's time allows, where it has a `timeoutMS` (CSOT "Retryability").
    #[must_use]
    pub fn timed(self, timed: bool) -> Self {
        Self { timed, ..self }
    }

    /// An attempt failed with `error`; `over` where the operation's time is over.
    pub fn after(&mut self, trouble: Trouble, error: E, over: bool) -> Next<E> {
        self.keep(trouble, error);
        let late = matches!(trouble, Trouble::OutOfTime { .. });
        match self.pause(trouble) {
            Some(pause) if !over => Next::Retry(pause),
            None if !late => Next::Fail(self.take()),
            Some(_) | None => Next::OutOfTime(self.take()),
        }
    }

    fn take(&mut self) -> E {
        std::mem::take(&mut self.kept).into_inner().expect("recorded just now")
    }

    fn pause(&mut self, trouble: Trouble) -> Option<Duration> {
        match trouble {
            Trouble::Moved => Some(Duration::ZERO),
            Trouble::Unsent if self.timed || self.unsent < MAX_UNSENT => {
                self.unsent += 1;
                Some(Duration::ZERO)
            }
            Trouble::Overloaded { retryable: true, base, .. }
                if self.retries < self.max_adaptive =>
            {
                self.retries += 1;
                self.overloaded = true;
                let base = base.filter(|base| !base.is_zero()).unwrap_or(BASE_BACKOFF);
                let factor = 2_u32.saturating_pow(self.retries);
                Some(base.saturating_mul(factor).min(MAX_BACKOFF))
            }
            Trouble::Sent { retryable: true, .. } if self.retries < self.most() => {
                self.retries += 1;
                Some(Duration::ZERO)
            }
            _ => None,
        }
    }

    /// "The maximum number of retries for any retry policy becomes MAX_RETRIES" once a server was
    /// overloaded; with `timeoutMS` time alone counts.
    fn most(&self) -> u32 {
        match (self.overloaded, self.timed) {
            (true, _) => self.max_adaptive,
            (false, true) => u32::MAX,
            (false, false) => 1,
        }
    }

    fn keep(&mut self, trouble: Trouble, error: E) {
        let (sent, indicates_attempt) = match trouble {
            Trouble::Sent { indicates_attempt, .. } => (true, indicates_attempt),
            Trouble::Overloaded { sent, .. } => (sent, false),
            Trouble::Unsent | Trouble::Client => (false, false),
            Trouble::Moved => (true, true),
            Trouble::OutOfTime { indicates_attempt } => (indicates_attempt, indicates_attempt),
        };
        if sent && !std::mem::replace(&mut self.sent, true) {
            // A server's word says more than the attempts that never came to one.
            self.kept = KeptError::default();
        }
        self.kept.record(error, indicates_attempt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKEN: Trouble = Trouble::Sent { retryable: true, indicates_attempt: true };
    const REFUSED: Trouble = Trouble::Overloaded { retryable: true, sent: false, base: None };

    fn pause<E>(millis: u64) -> Next<E> {
        Next::Retry(Duration::from_millis(millis))
    }

    #[test]
    fn one_more_attempt_follows_a_retryable_error() {
        let mut attempts = Attempts::new(2);
        assert_eq!(attempts.after(BROKEN, "first", false), pause(0));
        assert_eq!(attempts.after(BROKEN, "second", false), Next::Fail("second"));
        let mut attempts = Attempts::new(2);
        let last = Trouble::Sent { retryable: false, indicates_attempt: true };
        assert_eq!(attempts.after(last, "first", false), Next::Fail("first"));
    }

    #[test]
    fn a_second_attempt_that_wrote_nothing_shows_the_first_error() {
        for retryable in [true, false] {
            let nothing = Trouble::Sent { retryable, indicates_attempt: false };
            for second in [Trouble::Client, nothing, REFUSED] {
                let mut attempts = Attempts::new(1);
                attempts.after(BROKEN, "first", false);
                assert_eq!(
                    attempts.after(second, "second", false),
                    Next::Fail("first"),
                    "{second:?}"
                );
            }
        }
    }

    #[test]
    fn a_server_s_word_wins_over_what_was_never_sent() {
        let mut attempts = Attempts::new(2);
        attempts.after(Trouble::Unsent, "never sent", false);
        let last = Trouble::Sent { retryable: false, indicates_attempt: false };
        assert_eq!(attempts.after(last, "answered", false), Next::Fail("answered"));
    }

    #[test]
    fn an_overloaded_server_is_asked_again_with_pauses() {
        let mut attempts = Attempts::new(2);
        assert_eq!(attempts.after(REFUSED, 1, false), pause(200));
        assert_eq!(attempts.after(REFUSED, 2, false), pause(400));
        assert_eq!(attempts.after(REFUSED, 3, false), Next::Fail(1));
        let mut attempts = Attempts::new(2);
        assert_eq!(attempts.after(REFUSED, 1, false), pause(200));
        assert_eq!(attempts.after(BROKEN, 2, false), pause(0), "two retries of any kind");
        assert_eq!(attempts.after(BROKEN, 3, false), Next::Fail(3));
        let base = Some(Duration::from_millis(7));
        let own = Trouble::Overloaded { retryable: true, sent: true, base };
        assert_eq!(Attempts::new(2).after(own, 1, false), pause(14));
        let huge = Trouble::Overloaded { retryable: true, sent: true, base: Some(Duration::MAX) };
        assert_eq!(Attempts::new(2).after(huge, 1, false), pause(10_000));
        assert_eq!(Attempts::new(0).after(REFUSED, 1, false), Next::Fail(1));
    }

    #[test]
    fn what_was_never_sent_is_tried_again_at_once() {
        let mut attempts = Attempts::new(2);
        assert_eq!(attempts.after(Trouble::Unsent, 1, false), pause(0));
        assert_eq!(attempts.after(Trouble::Unsent, 2, false), pause(0));
        assert_eq!(attempts.after(Trouble::Unsent, 3, false), Next::Fail(1));
    }

    #[test]
    fn with_a_timeout_time_alone_counts() {
        let mut attempts = Attempts::new(2).timed(true);
        for error in 1..50 {
            assert_eq!(attempts.after(BROKEN, error, false), pause(0));
            assert_eq!(attempts.after(Trouble::Unsent, error, false), pause(0));
        }
        assert_eq!(attempts.after(BROKEN, 50, true), Next::OutOfTime(50));
        let mut attempts = Attempts::new(2).timed(true);
        assert_eq!(attempts.after(BROKEN, 1, false), pause(0));
        let late = Trouble::OutOfTime { indicates_attempt: false };
        assert_eq!(attempts.after(late, 2, true), Next::OutOfTime(1), "what came of it by then");
        let late = Trouble::OutOfTime { indicates_attempt: true };
        assert_eq!(Attempts::new(2).timed(true).after(late, 1, false), Next::OutOfTime(1));
        let answer = Trouble::Sent { retryable: false, indicates_attempt: true };
        let mut attempts = Attempts::new(2).timed(true);
        assert_eq!(attempts.after(answer, 1, true), Next::Fail(1), "an answer is an answer");
        let mut attempts = Attempts::new(2).timed(true);
        assert_eq!(attempts.after(REFUSED, 1, false), pause(200));
        assert_eq!(attempts.after(REFUSED, 2, false), pause(400));
        assert_eq!(attempts.after(REFUSED, 3, false), Next::Fail(1), "overload is not timed");
    }
}
