//! The time line of a failover: what was lost when, found when, used when, and which rule was slow.
//!
//! None of the drivers says this (GAP-02): a user sees that writes stood still, and not whether the
//! servers, the client's time-outs or a new connection took the time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::engine::address::ServerAddress;
use crate::engine::time::Instant;

/// How the client found out that the primary was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detection {
    /// The monitor's connection broke: as fast as the network tells.
    ConnectionLost,
    /// The monitor waited for a reply until its time-out (`connectTimeoutMS`, while streaming plus
    /// `heartbeatFrequencyMS`).
    HeartbeatTimeout,
    /// An operation's connection broke.
    OperationFailed,
    /// The server said so: by its hello, or by an error such as NotWritablePrimary.
    ServerSaidSo,
    /// A newer primary was found.
    Displaced,
    /// The client's own process stood still, and trusts nothing that it knew before.
    StoodStill,
}

impl Detection {
    /// The rule's name, for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StoodStill => "stoodStill",
            Self::ConnectionLost => "connectionLost",
            Self::HeartbeatTimeout => "heartbeatTimeout",
            Self::OperationFailed => "operationFailed",
            Self::ServerSaidSo => "serverSaidSo",
            Self::Displaced => "displaced",
        }
    }
}

/// One failover, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailoverTimeline {
    /// The primary that was lost.
    pub from: ServerAddress,
    /// The primary that was found.
    pub to: ServerAddress,
    /// The last sign of life of the old primary; the fault came after it.
    pub last_sign: Instant,
    /// When the client found out.
    pub detected: Instant,
    /// How it found out.
    pub detection: Detection,
    /// When the new primary was known.
    pub new_primary: Instant,
    /// When the first operation succeeded on it.
    pub first_success: Instant,
}

/// The part of a failover that took longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slowest {
    /// Finding out, by a time-out.
    Detection,
    /// The servers' election, and hearing of it.
    Election,
    /// From the new primary's discovery to the first success.
    Recovery,
}

impl FailoverTimeline {
    /// From finding out to knowing the new primary: the servers' election.
    pub fn election(&self) -> Duration {
        self.new_primary - self.detected
    }

    /// From knowing the new primary to the first success.
    pub fn recovery(&self) -> Duration {
        self.first_success - self.new_primary
    }

    /// At most this long from the fault to finding out.
    pub fn detection_at_most(&self) -> Duration {
        self.detected - self.last_sign
    }

    /// The part that took longest. Detection counts only where a time-out was waited for: else the
    /// time since the last sign of life says nothing about it.
    pub fn slowest(&self) -> Slowest {
        let timed_out = self.detection == Detection::HeartbeatTimeout;
        let detection = if timed_out { self.detection_at_most() } else { Duration::ZERO };
        let (election, recovery) = (self.election(), self.recovery());
        if detection > election && detection > recovery {
            Slowest::Detection
        } else if election >= recovery {
            Slowest::Election
        } else {
            Slowest::Recovery
        }
    }
}

impl fmt::Display for Slowest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Detection => "detection",
            Self::Election => "election",
            Self::Recovery => "recovery",
        })
    }
}

impl Serialize for FailoverTimeline {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("from", &self.from)?;
        map.serialize_entry("to", &self.to)?;
        map.serialize_entry("detection", self.detection.as_str())?;
        map.serialize_entry("detectedMs", &self.detected.as_millis_f64())?;
        map.serialize_entry("newPrimaryMs", &self.new_primary.as_millis_f64())?;
        map.serialize_entry("firstSuccessMs", &self.first_success.as_millis_f64())?;
        map.serialize_entry("detectionAtMostMs", &ms(self.detection_at_most()))?;
        map.serialize_entry("electionMs", &ms(self.election()))?;
        map.serialize_entry("recoveryMs", &ms(self.recovery()))?;
        map.serialize_entry("slowest", &self.slowest().to_string())?;
        map.end()
    }
}

/// A primary was lost.
#[derive(Clone, Debug)]
struct Lost {
    from: ServerAddress,
    last_sign: Instant,
    detected: Instant,
    detection: Detection,
}

/// Where in a failover the topology is.
#[derive(Clone, Debug, Default)]
enum State {
    /// In none.
    #[default]
    Steady,
    AwaitingPrimary(Lost),
    AwaitingSuccess {
        lost: Lost,
        to: ServerAddress,
        new_primary: Instant,
    },
}

/// Follows one failover after another.
#[derive(Clone, Debug, Default)]
pub(super) struct FailoverWatch {
    state: State,
}

impl FailoverWatch {
    /// The primary `from` was lost.
    pub(super) fn lost(
        &mut self,
        now: Instant,
        from: &ServerAddress,
        last_sign: Option<Instant>,
        detection: Detection,
    ) {
        // A primary that is lost again before it was used belongs to the same failover.
        let lost = match std::mem::take(&mut self.state) {
            State::AwaitingSuccess { lost, .. } | State::AwaitingPrimary(lost) => lost,
            State::Steady => Lost {
                from: from.clone(),
                last_sign: last_sign.unwrap_or(now),
                detected: now,
                detection,
            },
        };
        self.state = State::AwaitingPrimary(lost);
    }

    /// A primary is known.
    pub(super) fn found(&mut self, now: Instant, to: &ServerAddress) {
        self.state = match std::mem::take(&mut self.state) {
            State::AwaitingPrimary(lost) => {
                State::AwaitingSuccess { lost, to: to.clone(), new_primary: now }
            }
            other => other,
        };
    }

    /// The server whose first success is still awaited.
    pub(super) fn awaited(&self) -> Option<&ServerAddress> {
        match &self.state {
            State::AwaitingSuccess { to, .. } => Some(to),
            State::Steady | State::AwaitingPrimary(_) => None,
        }
    }

    /// An operation succeeded on `address`; the time line, if that completes one.
    pub(super) fn succeeded(
        &mut self,
        now: Instant,
        address: &ServerAddress,
    ) -> Option<Arc<FailoverTimeline>> {
        if self.awaited() != Some(address) {
            return None;
        }
        match std::mem::take(&mut self.state) {
            State::AwaitingSuccess { lost, to, new_primary } => Some(Arc::new(FailoverTimeline {
                from: lost.from,
                to,
                last_sign: lost.last_sign,
                detected: lost.detected,
                detection: lost.detection,
                new_primary,
                first_success: now,
            })),
            State::Steady | State::AwaitingPrimary(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> ServerAddress {
        text.parse().unwrap()
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    #[test]
    fn a_failover_is_told_once_with_its_slowest_part() {
        let (a, b) = (address("a"), address("b"));
        let mut watch = FailoverWatch::default();
        watch.found(at(1), &a);
        assert_eq!(watch.succeeded(at(2), &a), None, "the first primary of all is no failover");
        watch.lost(at(100), &a, Some(at(90)), Detection::ConnectionLost);
        assert_eq!(watch.awaited(), None);
        watch.found(at(1100), &b);
        assert_eq!(watch.awaited(), Some(&b));
        assert_eq!(watch.succeeded(at(1105), &a), None, "another server's success does not count");
        let timeline = watch.succeeded(at(1110), &b).expect("complete");
        assert_eq!((timeline.election(), timeline.recovery()), (at(1000) - at(0), at(10) - at(0)));
        assert_eq!(timeline.slowest(), Slowest::Election);
        assert_eq!(watch.succeeded(at(1120), &b), None);
    }

    #[test]
    fn a_time_out_is_named_as_the_slow_rule() {
        let (a, b) = (address("a"), address("b"));
        let mut watch = FailoverWatch::default();
        watch.lost(at(20_000), &a, Some(at(1_000)), Detection::HeartbeatTimeout);
        watch.found(at(20_010), &b);
        let timeline = watch.succeeded(at(20_020), &b).expect("complete");
        assert_eq!(timeline.slowest(), Slowest::Detection);
    }

    #[test]
    fn a_primary_that_is_lost_before_it_was_used_belongs_to_the_same_failover() {
        let (a, b) = (address("a"), address("b"));
        let mut watch = FailoverWatch::default();
        watch.lost(at(100), &a, None, Detection::OperationFailed);
        watch.found(at(200), &b);
        watch.lost(at(300), &b, None, Detection::OperationFailed);
        watch.found(at(400), &a);
        let timeline = watch.succeeded(at(500), &a).expect("complete");
        assert_eq!((timeline.from.clone(), timeline.detected), (a, at(100)));
    }
}
