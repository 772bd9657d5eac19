//! Why each server was, or was not, chosen: for errors, the command line and the dashboard.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::tags::{matches, write_tag_set};
use super::targeting::is_at;
use super::window::LatencyWindow;
use super::{Criteria, OperationKind, Role, Rule, Step, TagSet, staleness_limit, steps};
use crate::engine::address::ServerAddress;
use crate::engine::sdam::{
    LinkErrorKind, ServerDescription, ServerType, TopologyDescription, TopologyType,
};
use crate::engine::time::Instant;

/// One server's part in one selection.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The server.
    pub address: ServerAddress,
    /// What it is.
    pub server_type: ServerType,
    /// Whether it can be chosen.
    pub outcome: Outcome,
}

/// Whether a server can be chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is one of those that are chosen from.
    Suitable,
    /// It is not.
    Because(Reason),
}

/// Why a server cannot be chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// The last check, or an operation, failed.
    Unknown {
        /// What happened.
        error: Arc<str>,
        /// How long ago.
        ago: Duration,
        /// What kind of failure it was, where a check found it out.
        kind: Option<LinkErrorKind>,
    },
    /// No check has ended yet.
    NotChecked,
    /// Servers of this type do not serve such an operation.
    WrongType {
        /// What would.
        wanted: &'static str,
    },
    /// The type of the deployment is not known yet.
    UnknownTopology,
    /// It would serve, but the read preference prefers another that is there.
    LessPreferred,
    /// It is too far behind.
    Staleness {
        /// How far, by estimate.
        estimate: Duration,
        /// How far it may be.
        limit: Duration,
    },
    /// It cannot be told how far it is behind: it, or the member it is compared with, does not say
    /// when it last wrote.
    StalenessUnknown,
    /// It lacks the tags that decide.
    Tags {
        /// The tag sets that were tried.
        wanted: Vec<TagSet>,
    },
    /// The operation failed there before, and there are others.
    Deprioritized,
    /// The caller excluded it.
    Excluded,
    /// It has not written up to the cluster time that is asked for, and others have.
    BehindClusterTime,
    /// It does not answer a liveness probe, and there are others.
    Suspect,
    /// The user's own rule left it out.
    Selector,
    /// Others answer faster.
    OutsideWindow {
        /// By how much it is too slow.
        by: Duration,
        /// The width of the window (`localThresholdMS`).
        window: Duration,
    },
}

/// Every server of `topology` with its part in a selection by `criteria` at `now`, in the order of
/// their addresses.
pub fn explain(
    topology: &TopologyDescription,
    criteria: &Criteria<'_>,
    now: Instant,
) -> Vec<Verdict> {
    let criteria = &criteria.resolved(topology);
    let rule = Rule::find(topology, criteria);
    let mut passed: Vec<_> = rule.map_or_else(Vec::new, |rule| rule.servers(topology).collect());
    if let Some(selector) = criteria.server_selector {
        selector(&mut passed);
    }
    let window = LatencyWindow::over(passed.iter().copied(), criteria.local_threshold);
    let outcome = |server: &Arc<ServerDescription>| {
        if let Some(reason) = why_not(topology, criteria, rule.as_ref(), server, now) {
            return Outcome::Because(reason);
        }
        if !passed.iter().any(|passed| passed.address == server.address) {
            return Outcome::Because(Reason::Selector);
        }
        match window.excess(server) {
            None => Outcome::Suitable,
            Some(by) => {
                Outcome::Because(Reason::OutsideWindow { by, window: criteria.local_threshold })
            }
        }
    };
    let verdict = |server: &Arc<ServerDescription>| Verdict {
        address: server.address.clone(),
        server_type: server.server_type,
        outcome: outcome(server),
    };
    topology.servers.values().map(verdict).collect()
}

/// Why `server` does not pass the rule that decides, or any rule where none decides.
fn why_not(
    topology: &TopologyDescription,
    criteria: &Criteria<'_>,
    rule: Option<&Rule<'_>>,
    server: &ServerDescription,
    now: Instant,
) -> Option<Reason> {
    if rule.is_some_and(|rule| rule.admits(server)) {
        return None;
    }
    if !server.server_type.is_known() {
        return Some(match &server.error {
            Some(error) => Reason::Unknown {
                error: error.message.clone(),
                ago: now.duration_since(error.at),
                kind: error.kind,
            },
            None => Reason::NotChecked,
        });
    }
    if topology.topology_type == TopologyType::Unknown {
        return Some(Reason::UnknownTopology);
    }
    let steps = steps(topology.topology_type, criteria);
    let Some(step) = steps.iter().find(|step| step.role.admits(server.server_type)) else {
        return Some(Reason::WrongType { wanted: wanted(criteria, steps) });
    };
    if criteria.excluded.contains(&server.address) {
        return Some(Reason::Excluded);
    }
    if rule.is_some_and(|rule| !is_at(server, rule.min_cluster_time)) {
        return Some(Reason::BehindClusterTime);
    }
    if server.suspect && rule.is_some_and(|rule| !rule.suspects) {
        return Some(Reason::Suspect);
    }
    if rule.is_some_and(|rule| rule.avoided.contains(&server.address)) {
        return Some(Reason::Deprioritized);
    }
    Some(filtered_out(topology, criteria, *step, server).unwrap_or(Reason::LessPreferred))
}

/// Which filter of its own step takes `server` out; `None` if it would pass them.
fn filtered_out(
    topology: &TopologyDescription,
    criteria: &Criteria<'_>,
    step: Step,
    server: &ServerDescription,
) -> Option<Reason> {
    if !step.filtered {
        return None;
    }
    if let Some(limit) = staleness_limit(topology, criteria)
        && !limit.admits(server)
    {
        return Some(match limit.estimate(server) {
            Some(nanos) => Reason::Staleness {
                estimate: Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)),
                limit: limit.limit,
            },
            None => Reason::StalenessUnknown,
        });
    }
    let sets = &criteria.read_preference.tag_sets;
    let decisive = |set: &TagSet| {
        let rule = Rule {
            role: step.role,
            avoided: &[],
            excluded: criteria.excluded,
            min_cluster_time: None,
            suspects: true,
            staleness: staleness_limit(topology, criteria),
            tags: Some(set),
        };
        rule.servers(topology).next().is_some()
    };
    // Sets after the one that decides are not tried.
    let tried = sets.iter().position(decisive).map_or(sets.len(), |index| index + 1);
    let matched = sets[..tried].iter().any(|set| matches(set, server.tags()));
    (tried > 0 && !matched).then(|| Reason::Tags { wanted: sets[..tried].to_vec() })
}

fn wanted(criteria: &Criteria<'_>, steps: &[Step]) -> &'static str {
    let write = criteria.operation == OperationKind::Write;
    match (steps.first().map(|step| step.role), steps.len()) {
        (Some(Role::Primary), 1) if write => "a write needs the primary",
        (Some(Role::Primary), 1) => "read preference primary needs the primary",
        (Some(Role::Secondary), 1) => "read preference secondary needs a secondary",
        (Some(Role::Mongos), _) => "a sharded cluster is reached through mongos",
        (Some(Role::LoadBalancer), _) => "only the load balancer serves",
        _ => "only the primary and secondaries serve",
    }
}

impl Serialize for Verdict {
    /// `address`, `type`, `suitable`, and where it is not: `reason`, a name, and `explanation`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("address", &self.address)?;
        map.serialize_entry("type", &self.server_type)?;
        map.serialize_entry("suitable", &(self.outcome == Outcome::Suitable))?;
        if let Outcome::Because(reason) = &self.outcome {
            map.serialize_entry("reason", reason.name())?;
            map.serialize_entry("explanation", &reason.to_string())?;
        }
        map.end()
    }
}

impl Reason {
    /// The reason's name, for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "unknown",
            Self::NotChecked => "notChecked",
            Self::WrongType { .. } => "wrongType",
            Self::UnknownTopology => "unknownTopology",
            Self::LessPreferred => "lessPreferred",
            Self::Staleness { .. } => "staleness",
            Self::StalenessUnknown => "stalenessUnknown",
            Self::Tags { .. } => "tags",
            Self::Deprioritized => "deprioritized",
            Self::Excluded => "excluded",
            Self::BehindClusterTime => "behindClusterTime",
            Self::Suspect => "suspect",
            Self::Selector => "selector",
            Self::OutsideWindow { .. } => "outsideWindow",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Because(reason @ Reason::OutsideWindow { .. }) => {
                write!(f, "{} {reason}", self.address)
            }
            Outcome::Because(reason) => {
                write!(f, "{} {}: {reason}", self.address, self.server_type)
            }
            Outcome::Suitable => write!(f, "{} {}: suitable", self.address, self.server_type),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { error, ago, .. } => write!(f, "{error} {} ago", Span(*ago)),
            Self::NotChecked => f.write_str("not checked yet"),
            Self::WrongType { wanted } => f.write_str(wanted),
            Self::UnknownTopology => f.write_str("the type of the deployment is not known yet"),
            Self::LessPreferred => f.write_str("others are preferred"),
            Self::Staleness { estimate, limit } => {
                write!(f, "staleness {} > {}", Span(*estimate), Span(*limit))
            }
            Self::StalenessUnknown => f.write_str("staleness unknown: no date of the last write"),
            Self::Tags { wanted } => {
                f.write_str("has none of the tag sets")?;
                for (i, set) in wanted.iter().enumerate() {
                    f.write_str(if i == 0 { " " } else { ", " })?;
                    write_tag_set(f, set)?;
                }
                Ok(())
            }
            Self::Excluded => f.write_str("excluded by the caller"),
            Self::BehindClusterTime => {
                f.write_str("has not written up to the cluster time asked for, others have")
            }
            Self::Deprioritized => f.write_str("avoided, because the operation failed there"),
            Self::Suspect => f.write_str("suspect: it does not answer a liveness probe"),
            Self::Selector => f.write_str("left out by the server selector"),
            Self::OutsideWindow { by, window } => {
                write!(f, "outside the {} window by {}", Span(*window), Span(*by))
            }
        }
    }
}

/// A duration as people say it: `22 ms`, `1.2 s`, `112 s`.
pub(super) struct Span(pub(super) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whole numbers throughout: printing a float is a hundredth of a browser's module.
        let micros = self.0.as_secs().saturating_mul(1_000_000);
        let micros = micros.saturating_add(self.0.subsec_micros().into());
        let (scale, unit) = if micros >= 999_500 { (1_000_000, "s") } else { (1_000, "ms") };
        let rounded = |to: u64| micros.saturating_add(to / 2) / to;
        // One decimal, where it says something.
        match rounded(scale / 10) {
            tenths if tenths < 1_000 && tenths % 10 != 0 => {
                write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
            }
            _ => write!(f, "{} {unit}", rounded(scale)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{server, topology};
    use super::super::{ReadPreference, ServerSelector};
    use super::*;
    use crate::engine::sdam::DescriptionError;
    use ServerType::{RSArbiter, RSPrimary, RSSecondary};

    fn said(topology: &TopologyDescription, criteria: &Criteria<'_>) -> Vec<String> {
        let now = Instant::from_millis(200_000);
        explain(topology, criteria, now).iter().map(ToString::to_string).collect()
    }

    fn failed(host: &str, message: &str) -> Arc<ServerDescription> {
        let at = Instant::from_millis(198_800);
        let address = ServerAddress::tcp(host, 27017);
        Arc::new(ServerDescription::failed(address, DescriptionError::new(at, message)))
    }

    #[test]
    fn each_server_has_its_own_reason() {
        let set = topology(
            TopologyType::ReplicaSetWithPrimary,
            vec![
                server("a").kind(RSPrimary).rtt_ms(5).times(200, 100).build(),
                server("b").kind(RSSecondary).rtt_ms(5).times(200, -2).build(),
                server("c").kind(RSSecondary).rtt_ms(42).times(200, 100).build(),
                server("d").kind(RSArbiter).rtt_ms(5).build(),
                server("e").build(),
                failed("10.0.0.7", "connection refused"),
            ],
        );
        let fresh = ReadPreference::nearest().with_max_staleness(Duration::from_secs(90));
        assert_eq!(
            said(&set, &Criteria::read(&fresh)),
            [
                "10.0.0.7:27017 Unknown: connection refused 1.2 s ago",
                "a:27017 RSPrimary: suitable",
                "b:27017 RSSecondary: staleness 112 s > 90 s",
                "c:27017 outside the 15 ms window by 22 ms",
                "d:27017 RSArbiter: only the primary and secondaries serve",
                "e:27017 Unknown: not checked yet",
            ]
        );
        let write = said(&set, &Criteria::write());
        assert_eq!(write[2], "b:27017 RSSecondary: a write needs the primary");
    }

    #[test]
    fn tags_preference_avoidance_and_the_users_rule_are_named() {
        let set = topology(
            TopologyType::ReplicaSetWithPrimary,
            vec![
                server("a").kind(RSPrimary).tag("dc", "ny").build(),
                server("b").kind(RSSecondary).tag("dc", "ny").build(),
                server("c").kind(RSSecondary).tag("dc", "la").build(),
            ],
        );
        let near = ReadPreference::secondary_preferred().with_tags([("dc", "ny")]);
        let near = near.with_tags([("", ""); 0]);
        let tags = said(&set, &Criteria::read(&near));
        assert_eq!(tags[0], "a:27017 RSPrimary: others are preferred");
        assert_eq!(tags[2], "c:27017 RSSecondary: has none of the tag sets {dc: ny}");

        let any = ReadPreference::secondary();
        let avoided = [ServerAddress::tcp("b", 27017)];
        let criteria = Criteria { deprioritized: &avoided, ..Criteria::read(&any) };
        assert!(said(&set, &criteria)[1].contains("avoided"));

        let none: &ServerSelector = &|servers| servers.clear();
        let criteria = Criteria { server_selector: Some(none), ..Criteria::read(&any) };
        assert_eq!(
            said(&set, &criteria)[1],
            "b:27017 RSSecondary: left out by the server selector"
        );
    }

    #[test]
    fn durations_read_naturally() {
        let said = |micros| Span(Duration::from_micros(micros)).to_string();
        assert_eq!(said(0), "0 ms");
        assert_eq!(said(1_500), "1.5 ms");
        assert_eq!(said(22_000), "22 ms");
        assert_eq!(said(999_900), "1 s");
        assert_eq!(said(1_234_000), "1.2 s");
        assert_eq!(said(112_400_000), "112 s");
        assert_eq!(said(999_499), "999 ms");
        assert_eq!(said(999_949_000), "1000 s");
        assert_eq!(Span(Duration::MAX).to_string(), "18446744073709 s");
    }
}
