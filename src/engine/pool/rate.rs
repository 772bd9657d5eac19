//! How fast a pool's connections are made: what a storm of them would be like.

use std::time::Duration;

use crate::engine::time::Instant;

/// How many connections were begun, and how long one takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MakingRate {
    /// Begun so far, ever.
    pub created: u64,
    /// Begun in the latest second of the client's clock that has ended.
    pub last_second: u64,
    /// Begun in the one second that had most of them, the present one included.
    pub peak: u64,
    /// From the beginning to the end of the handshake, as an average that follows what is new;
    /// `None` until one was made.
    pub average: Option<Duration>,
}

/// What a [`MakingRate`] is made of. Nothing here is touched by an operation that finds a
/// connection.
#[derive(Debug, Default)]
pub(super) struct Making {
    created: u64,
    /// The second that is counted.
    second: u64,
    count: u64,
    /// The count of the second before it.
    before: u64,
    peak: u64,
    average: Option<Duration>,
}

impl Making {
    pub(super) fn began(&mut self, now: Instant) {
        self.turn(now);
        self.created += 1;
        self.count += 1;
        self.peak = self.peak.max(self.count);
    }

    pub(super) fn ended(&mut self, took: Duration) {
        // The weight of a round-trip time (server selection "Calculation of Average Round Trip
        // Times").
        self.average = Some(self.average.map_or(took, |average| (average * 4 + took) / 5));
    }

    pub(super) fn rate(&mut self, now: Instant) -> MakingRate {
        self.turn(now);
        MakingRate {
            created: self.created,
            last_second: self.before,
            peak: self.peak,
            average: self.average,
        }
    }

    fn turn(&mut self, now: Instant) {
        let second = now.as_nanos() / 1_000_000_000;
        if second != self.second {
            self.before = if second == self.second + 1 { self.count } else { 0 };
            (self.second, self.count) = (second, 0);
        }
    }
}
