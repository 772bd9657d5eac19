//! Frozen members: servers that are alive to TCP and answer nothing (GAP-03, GAP-07).
//!
//! The specification finds them by time-outs that add up to many seconds; until then every
//! operation that is sent there stands still. Three rules shorten that, and none of them calls a
//! server Unknown before the specification does:
//!
//! 1. An operation that waits longer than [`patience`] asks for one liveness probe of its server,
//!    on the connection of the round-trip times.
//! 2. A server whose probe stays unanswered for as long again is *suspect*: selection prefers any
//!    other. A server that answers a probe is not, however slow the operation: a slow query on a
//!    healthy server is never cut.
//! 3. An operation that may be tried again leaves a server that is suspect, or that a newer primary
//!    has displaced, if selection now names another one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::engine::time::Instant;

/// How soon silence is noticed. On by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SuspicionSettings {
    /// Whether servers are probed and suspected, and operations moved.
    pub enabled: bool,
    /// The least time that an operation waits before its server is probed; 500 ms unless set.
    pub floor: Duration,
    /// The same as a multiple of the server's average round-trip time; 8 unless set.
    pub round_trips: u32,
}

impl Default for SuspicionSettings {
    fn default() -> Self {
        Self { enabled: true, floor: Duration::from_millis(500), round_trips: 8 }
    }
}

/// How often operations in flight are looked at, while there are any.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// How long an operation may wait on a server with this average round-trip time before the server
/// is probed; and how long the probe may take before the server is suspect.
pub fn patience(settings: &SuspicionSettings, round_trip_time: Option<Duration>) -> Duration {
    let multiple = round_trip_time.unwrap_or_default().saturating_mul(settings.round_trips);
    multiple.max(settings.floor)
}

/// One server's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing is known against it; its latest sign of life.
    Trusted { sign: Instant },
    /// A probe was asked for, and must be answered by then.
    AwaitingProbe { deadline: Instant },
    /// A probe stayed unanswered.
    Suspect,
}

/// What follows for one server when the operations in flight on it were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Nothing.
    Patience,
    /// Probe it now.
    Probe,
    /// It is suspect from now on.
    Suspect,
    /// It is suspect still: operations on it may leave.
    StillSuspect,
}

impl Standing {
    /// The oldest operation in flight began at `since`.
    pub(super) fn judge(&mut self, now: Instant, since: Instant, patience: Duration) -> Judgement {
        match *self {
            // Counted from the latest answer too: a slow operation asks again and again, at
            // leisure.
            Self::Trusted { sign } if now - since.max(sign) >= patience => {
                *self = Self::AwaitingProbe { deadline: now + patience };
                Judgement::Probe
            }
            Self::AwaitingProbe { deadline } if now >= deadline => {
                *self = Self::Suspect;
                Judgement::Suspect
            }
            Self::Trusted { .. } | Self::AwaitingProbe { .. } => Judgement::Patience,
            Self::Suspect => Judgement::StillSuspect,
        }
    }

    /// Nobody listened until `now`: silence before it says nothing.
    pub(super) fn forgive(&mut self, now: Instant) {
        if *self != Self::Suspect {
            *self = Self::Trusted { sign: now };
        }
    }

    /// A sign of life at `now`; whether that lifts a suspicion.
    pub(super) fn clear(&mut self, now: Instant) -> bool {
        std::mem::replace(self, Self::Trusted { sign: now }) == Self::Suspect
    }
}

impl Default for Standing {
    fn default() -> Self {
        Self::Trusted { sign: Instant::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn patience_is_a_multiple_of_the_round_trip_time_and_never_below_the_floor() {
        let settings = SuspicionSettings::default();
        assert_eq!(patience(&settings, None), ms(500));
        assert_eq!(patience(&settings, Some(ms(1))), ms(500));
        assert_eq!(patience(&settings, Some(ms(100))), ms(800));
    }

    #[test]
    fn silence_is_probed_once_and_then_suspected() {
        let mut standing = Standing::default();
        assert_eq!(standing.judge(at(499), at(0), ms(500)), Judgement::Patience);
        assert_eq!(standing.judge(at(500), at(0), ms(500)), Judgement::Probe);
        assert_eq!(standing.judge(at(600), at(0), ms(500)), Judgement::Patience);
        assert_eq!(standing.judge(at(1000), at(0), ms(500)), Judgement::Suspect);
        assert_eq!(standing.judge(at(1100), at(0), ms(500)), Judgement::StillSuspect);
        assert!(standing.clear(at(1200)));
        assert!(!standing.clear(at(1201)));
    }

    #[test]
    fn a_server_that_answers_the_probe_is_trusted_however_slow_the_operation() {
        let mut standing = Standing::default();
        assert_eq!(standing.judge(at(500), at(0), ms(500)), Judgement::Probe);
        assert!(!standing.clear(at(501)));
        assert_eq!(standing.judge(at(1000), at(0), ms(500)), Judgement::Patience);
        assert_eq!(standing.judge(at(1001), at(0), ms(500)), Judgement::Probe);
    }
}
