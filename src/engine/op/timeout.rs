//! `timeoutMS`: the time that one operation has for everything it does (specification
//! client-side-operations-timeout).
//!
//! A [`TimeBudget`] begins with the operation. What waits asks it for how long; a command asks it
//! for its `maxTimeMS`. Without `timeoutMS` it bounds nothing, and the deprecated options count
//! (`socketTimeoutMS`, `waitQueueTimeoutMS`, `wTimeoutMS`, `maxTimeMS`).

use std::fmt;
use std::time::Duration;

use crate::engine::time::{Instant, Shown};

/// Whether the commands of an operation tell the server how long it may work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerLimit {
    /// What is left when the command is sent, less the server's least round-trip time.
    #[default]
    Remaining,
    /// The server is not told: the commands of cursors whose lifetime is not the operation's.
    Untold,
    /// As [`ServerLimit::Remaining`], and at most this: `maxAwaitTimeMS`.
    AtMost(Duration),
}

/// How a command's `maxTimeMS` comes about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaxTime {
    /// From the operation's own option: `timeoutMS` is not set.
    #[default]
    OfOperation,
    /// There is none.
    Absent,
    /// This.
    Exactly(Duration),
}

/// The time of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeBudget {
    /// `timeoutMS`; zero is "infinite".
    timeout: Option<Duration>,
    /// The end; `None` where there is none.
    end: Option<Instant>,
    /// What the server is told of it.
    pub server_limit: ServerLimit,
}

/// Nothing was sent, as too little time was left for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLate {
    /// What was left.
    pub remaining: Duration,
    /// What the server needs at the least.
    pub min_round_trip_time: Duration,
}

impl fmt::Display for TooLate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { remaining, min_round_trip_time } = self;
        if remaining.is_zero() {
            return f.write_str("the time was over before the command was sent");
        }
        write!(
            f,
            "the command was not sent: {} were left, and the server's answers take at least {}",
            Shown(*remaining),
            Shown(*min_round_trip_time)
        )
    }
}

impl TimeBudget {
    /// The time of an operation that begins now; no `timeout` leaves everything as it is without
    /// `timeoutMS`, and a `timeout` of zero never ends.
    pub fn begin(timeout: Option<Duration>, now: impl FnOnce() -> Instant) -> Self {
        let limited = timeout.filter(|timeout| !timeout.is_zero());
        let end = limited.map(|timeout| now() + timeout);
        Self { timeout, end, server_limit: ServerLimit::default() }
    }

    /// The same time, the server told otherwise.
    #[must_use]
    pub fn telling(self, server_limit: ServerLimit) -> Self {
        Self { server_limit, ..self }
    }

    /// Whether `timeoutMS` was set: "drivers MUST ignore any deprecated timeout options" then.
    pub fn is_set(&self) -> bool {
        self.timeout.is_some()
    }

    /// `timeoutMS`, where it was set.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// When the operation has to end, if ever.
    pub fn end(&self) -> Option<Instant> {
        self.end
    }

    /// What is left, where there is an end.
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        self.end.map(|end| end - now)
    }

    /// Whether it is over.
    pub fn is_over(&self, now: Instant) -> bool {
        self.end.is_some_and(|end| end <= now)
    }

    /// `limit`, or what is left where that is less.
    pub fn at_most(&self, limit: Duration, now: Instant) -> Duration {
        self.remaining(now).map_or(limit, |remaining| remaining.min(limit))
    }

    /// How long a command that is sent now may wait for its answer, beside `socketTimeoutMS`.
    pub fn reply_limit(&self, socket_timeout: Option<Duration>, now: Instant) -> Option<Duration> {
        if self.is_set() { self.remaining(now) } else { socket_timeout }
    }

    /// What a command that is sent now tells the server ("Command Execution").
    ///
    /// # Errors
    ///
    /// [`TooLate`], where no answer can come in time: the command is not to be sent.
    pub fn max_time(
        &self,
        now: Instant,
        min_round_trip_time: Duration,
    ) -> Result<MaxTime, TooLate> {
        if !self.is_set() {
            return Ok(MaxTime::OfOperation);
        }
        let left = match self.remaining(now) {
            None => None,
            Some(remaining) if remaining <= min_round_trip_time => {
                return Err(TooLate { remaining, min_round_trip_time });
            }
            Some(remaining) => Some(remaining - min_round_trip_time),
        };
        let told = match self.server_limit {
            ServerLimit::Untold => None,
            ServerLimit::Remaining => left,
            ServerLimit::AtMost(most) => Some(left.map_or(most, |left| left.min(most))),
        };
        Ok(told.map_or(MaxTime::Absent, MaxTime::Exactly))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn at(millis: u64) -> Instant {
        Instant::default() + ms(millis)
    }

    fn begin(timeout: Option<Duration>) -> TimeBudget {
        TimeBudget::begin(timeout, || at(1000))
    }

    #[test]
    fn unset_bounds_nothing_and_leaves_the_deprecated_options() {
        let budget = begin(None);
        assert!(!budget.is_set() && !budget.is_over(at(1_000_000)));
        assert_eq!(budget.reply_limit(Some(ms(7)), at(0)), Some(ms(7)));
        assert_eq!(budget.max_time(at(0), ms(1)), Ok(MaxTime::OfOperation));
        assert_eq!(budget.at_most(ms(30), at(2000)), ms(30));
    }

    #[test]
    fn zero_never_ends_and_overrides_the_deprecated_options() {
        let budget = begin(Some(Duration::ZERO));
        assert!(budget.is_set() && !budget.is_over(at(1_000_000)));
        assert_eq!(budget.reply_limit(Some(ms(7)), at(0)), None);
        assert_eq!(budget.max_time(at(0), ms(1)), Ok(MaxTime::Absent));
        let awaiting = budget.telling(ServerLimit::AtMost(ms(5)));
        assert_eq!(awaiting.max_time(at(0), ms(1)), Ok(MaxTime::Exactly(ms(5))));
    }

    #[test]
    fn the_server_has_what_is_left_less_the_round_trip() {
        let budget = begin(Some(ms(100)));
        assert_eq!(budget.max_time(at(1040), ms(10)), Ok(MaxTime::Exactly(ms(50))));
        let untold = budget.telling(ServerLimit::Untold);
        assert_eq!(untold.max_time(at(1040), ms(10)), Ok(MaxTime::Absent));
        for (most, told) in [(20, 20), (70, 50)] {
            let awaiting = budget.telling(ServerLimit::AtMost(ms(most)));
            assert_eq!(awaiting.max_time(at(1040), ms(10)), Ok(MaxTime::Exactly(ms(told))));
        }
        assert_eq!(budget.at_most(ms(30), at(1040)), ms(30));
        assert_eq!(budget.at_most(ms(30), at(1090)), ms(10));
        assert_eq!(budget.reply_limit(Some(ms(7)), at(1040)), Some(ms(60)));
    }

    #[test]
    fn what_cannot_be_answered_in_time_is_not_sent() {
        let budget = begin(Some(ms(100)));
        let late = budget.max_time(at(1090), ms(10)).unwrap_err();
        assert_eq!(late, TooLate { remaining: ms(10), min_round_trip_time: ms(10) });
        assert!(late.to_string().contains("10ms were left"), "{late}");
        assert!(budget.telling(ServerLimit::Untold).max_time(at(1095), ms(10)).is_err());
        let over = budget.max_time(at(1100), Duration::ZERO).unwrap_err();
        assert!(over.to_string().contains("was over"), "{over}");
        assert!(budget.is_over(at(1100)) && !budget.is_over(at(1099)));
    }
}
