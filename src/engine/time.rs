//! Time as the engine sees it: an argument, never a call.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment on the monotonic clock of one client: nanoseconds since the client was created.
///
/// The engine has no `now()`. A transport stamps the moment where something happens (bytes arrive,
/// a socket opens) and hands it in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Instant(u64);

impl Instant {
    /// The moment the client was created.
    pub const ZERO: Self = Self(0);

    /// `nanos` nanoseconds after the client was created.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// `millis` milliseconds after the client was created.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the client was created.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Milliseconds since the client was created, with fraction.
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    pub fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// The nanoseconds of `duration`; those of 584 years for any that is longer. In 64 bits, which is
/// as much as wasm32 computes with.
pub(crate) fn nanos(duration: Duration) -> u64 {
    const SECOND: u64 = 1_000_000_000;
    match duration.as_secs() {
        secs if secs < u64::MAX / SECOND => secs * SECOND + u64::from(duration.subsec_nanos()),
        _ => u64::MAX,
    }
}

/// A time in a message: "30s", "1.5s", "250ms", with three decimals at most.
///
/// Not `{:?}`, which has as many as there are, and a kilobyte of code for them in a browser.
pub(crate) struct Shown(pub(crate) Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = nanos(self.0);
        let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs")];
        let fits = units.into_iter().find(|(unit, _)| nanos >= *unit);
        let Some((unit, name)) = fits else { return write!(f, "{nanos}ns") };
        write!(f, "{}", nanos / unit)?;
        let (mut decimals, mut digits) = (nanos % unit / (unit / 1000), 3);
        if decimals > 0 {
            while decimals % 10 == 0 {
                decimals /= 10;
                digits -= 1;
            }
            write!(f, ".{decimals:0digits$}")?;
        }
        f.write_str(name)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates: a deadline too far away to represent never comes.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl Sub<Self> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}ms", self.as_millis_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_in_the_unit_that_it_fits() {
        let shown = |nanos| Shown(Duration::from_nanos(nanos)).to_string();
        assert_eq!(shown(0), "0ns");
        assert_eq!(shown(999), "999ns");
        assert_eq!(shown(80_000), "80µs");
        assert_eq!(shown(250_000_000), "250ms");
        assert_eq!(shown(1_500_000_000), "1.5s");
        assert_eq!(shown(30_000_000_000), "30s");
        assert_eq!(shown(1_050_999_999), "1.05s");
        assert_eq!(shown(1_000_999), "1ms");
        assert_eq!(Shown(Duration::MAX).to_string(), "18446744073.709s");
    }
}
