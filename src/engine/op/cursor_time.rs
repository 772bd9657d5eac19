//! How `timeoutMS` applies to a cursor (client-side-operations-timeout "Cursors").

use std::time::Duration;

use super::{BuildError, ServerLimit, TimeBudget};
use crate::engine::time::Instant;

/// What the `timeoutMS` of a cursor bounds (`timeoutMode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeoutMode {
    /// The query and everything that is fetched afterwards, together.
    CursorLifetime,
    /// The query, and each step of the iteration again.
    Iteration,
}

/// Whether a cursor ends with the last document there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CursorType {
    /// It does.
    #[default]
    NonTailable,
    /// It stays open at the end of a capped collection, for documents that come later.
    Tailable,
    /// It stays open, and the server waits a while for documents before it answers.
    TailableAwait,
}

/// What a user says about the time of a cursor.
#[derive(Clone, Copy, Debug, Default)]
pub struct CursorTimeOptions {
    /// Whether the cursor ends.
    pub cursor_type: CursorType,
    /// What the time-out bounds; by default the lifetime of a cursor that ends, and the iterations
    /// of one that does not.
    pub mode: Option<TimeoutMode>,
    /// How long the server waits for documents ("maxAwaitTimeMS").
    pub max_await_time: Option<Duration>,
    /// Whether the command writes its results elsewhere (`$out`, `$merge`).
    pub writes: bool,
}

/// The time of one cursor after its first command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CursorTime {
    timeout: Option<Duration>,
    /// Of the whole life, in that mode.
    lifetime: Option<TimeBudget>,
    server_limit: ServerLimit,
    max_await_time: Option<Duration>,
}

impl CursorTime {
    /// Of a cursor whose first command has `budget`; also gives the budget back as that command is
    /// to have it.
    ///
    /// # Errors
    ///
    /// [`BuildError::CursorTime`] for options that do not go together.
    pub fn new(
        budget: TimeBudget,
        options: CursorTimeOptions,
    ) -> Result<(Self, TimeBudget), BuildError> {
        let CursorTimeOptions { cursor_type, mode, max_await_time, writes } = options;
        let refuse = |why: &'static str| Err(BuildError::CursorTime(why));
        let tailable = cursor_type != CursorType::NonTailable;
        let iteration = mode.unwrap_or(match tailable {
            true => TimeoutMode::Iteration,
            false => TimeoutMode::CursorLifetime,
        }) == TimeoutMode::Iteration;
        if mode.is_some() && !budget.is_set() {
            return refuse("timeoutMode says what timeoutMS bounds: set timeoutMS too");
        }
        if tailable && !iteration {
            return refuse(
                "a tailable cursor lives until it is closed: its timeoutMode can only be Iteration",
            );
        }
        if iteration && writes && budget.is_set() {
            return refuse("$out and $merge give no documents: timeoutMode cannot be Iteration");
        }
        let limit = budget.timeout().filter(|timeout| !timeout.is_zero());
        if max_await_time.zip(limit).is_some_and(|(wait, timeout)| wait >= timeout) {
            return refuse("maxAwaitTimeMS must be less than timeoutMS");
        }
        let awaits = cursor_type == CursorType::TailableAwait;
        let first = match iteration && !awaits {
            true => budget.telling(ServerLimit::Untold),
            false => budget,
        };
        let max_await_time = max_await_time.filter(|_| awaits);
        let time = Self {
            timeout: budget.timeout(),
            lifetime: (!iteration).then(|| budget.telling(ServerLimit::Untold)),
            server_limit: max_await_time.map_or(ServerLimit::Untold, ServerLimit::AtMost),
            max_await_time,
        };
        Ok((time, first))
    }

    /// The time of one step of the iteration that begins now.
    pub fn step(&self, now: impl FnOnce() -> Instant) -> TimeBudget {
        self.lifetime
            .unwrap_or_else(|| TimeBudget::begin(self.timeout, now).telling(self.server_limit))
    }

    /// The time to close it, from now on ("Cursor close() methods refresh timeoutMS"); `own` where
    /// the closing was given one.
    pub fn close(&self, own: Option<Duration>, now: impl FnOnce() -> Instant) -> TimeBudget {
        TimeBudget::begin(own.or(self.timeout), now)
    }

    /// How long the server waits for documents, where it does.
    pub fn max_await_time(&self) -> Option<Duration> {
        self.max_await_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::op::MaxTime;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn budget(timeout: u64) -> TimeBudget {
        TimeBudget::begin(Some(ms(timeout)), || at(1000))
    }

    fn told(budget: TimeBudget, now: u64) -> MaxTime {
        budget.max_time(at(now), Duration::ZERO).expect("in time")
    }

    #[test]
    fn by_default_the_whole_life_counts() {
        let (time, first) = CursorTime::new(budget(100), CursorTimeOptions::default()).unwrap();
        assert_eq!(told(first, 1010), MaxTime::Exactly(ms(90)));
        let step = time.step(|| at(1080));
        assert_eq!(step.end(), Some(at(1100)));
        assert_eq!(told(step, 1080), MaxTime::Absent, "never on a getMore");
        assert_eq!(time.close(None, || at(2000)).end(), Some(at(2100)), "refreshed");
        assert_eq!(time.close(Some(ms(7)), || at(2000)).end(), Some(at(2007)));
    }

    #[test]
    fn an_iteration_has_its_own_time() {
        let mode = Some(TimeoutMode::Iteration);
        let options = CursorTimeOptions { mode, ..CursorTimeOptions::default() };
        let (time, first) = CursorTime::new(budget(100), options).unwrap();
        assert_eq!(told(first, 1010), MaxTime::Absent);
        let step = time.step(|| at(1500));
        assert_eq!((step.end(), told(step, 1500)), (Some(at(1600)), MaxTime::Absent));
    }

    #[test]
    fn an_awaiting_cursor_tells_the_server_how_long_to_wait() {
        let options = CursorTimeOptions {
            cursor_type: CursorType::TailableAwait,
            max_await_time: Some(ms(60)),
            ..CursorTimeOptions::default()
        };
        let (time, first) = CursorTime::new(budget(100), options).unwrap();
        assert_eq!(told(first, 1010), MaxTime::Exactly(ms(90)));
        let step = time.step(|| at(1500));
        assert_eq!(told(step, 1500), MaxTime::Exactly(ms(60)));
        assert_eq!(told(step, 1570), MaxTime::Exactly(ms(30)), "what is left, where that is less");
        let (untimed, first) = CursorTime::new(TimeBudget::default(), options).unwrap();
        assert_eq!(told(first, 0), MaxTime::OfOperation);
        assert_eq!(told(untimed.step(|| at(0)), 0), MaxTime::OfOperation);
        assert_eq!(untimed.max_await_time(), Some(ms(60)));
        let tailable = CursorTimeOptions { cursor_type: CursorType::Tailable, ..options };
        let (time, first) = CursorTime::new(budget(100), tailable).unwrap();
        assert_eq!(told(first, 1000), MaxTime::Absent);
        assert_eq!(told(time.step(|| at(1500)), 1500), MaxTime::Absent);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let none = CursorTimeOptions::default();
        let lifetime = Some(TimeoutMode::CursorLifetime);
        let iteration = Some(TimeoutMode::Iteration);
        let tailable = CursorTimeOptions { cursor_type: CursorType::Tailable, ..none };
        for (budget, options) in [
            (TimeBudget::default(), CursorTimeOptions { mode: lifetime, ..none }),
            (budget(100), CursorTimeOptions { mode: lifetime, ..tailable }),
            (budget(100), CursorTimeOptions { mode: iteration, writes: true, ..none }),
            (budget(5), CursorTimeOptions { max_await_time: Some(ms(5)), ..none }),
        ] {
            assert!(CursorTime::new(budget, options).is_err(), "{options:?}");
        }
        let endless = CursorTimeOptions { max_await_time: Some(ms(5)), ..tailable };
        assert!(CursorTime::new(budget(0), endless).is_ok(), "zero is infinite");
    }
}
