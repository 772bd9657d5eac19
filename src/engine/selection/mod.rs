//! Which server an operation goes to.
//!
//! [`select`] answers from one immutable [`TopologyDescription`], without a lock, a copy or an
//! allocation. [`explain()`] answers for people: every server with the reason why it was not
//! chosen. Specification: server-selection, max-staleness. The order of the filters is the
//! specification's: mode, staleness, tags, the user's own rule, latency window, operation count
//! (SS-16, SS-26..28).

mod criteria;
mod document;
mod explain;
mod hints;
mod output;
pub mod search;
mod staleness;
mod tags;
mod targeting;
#[cfg(test)]
mod testing;
mod window;

use std::sync::Arc;
use std::time::Duration;

use bson::Timestamp;

pub use criteria::{
    Criteria, OperationKind, ReadPreference, ReadPreferenceMode, SelectionError, ServerSelector,
    TagSet, UnknownMode,
};
pub use document::{ReadPreferenceError, ReadPreferenceErrorKind};
pub use explain::{Outcome, Reason, Verdict, explain};
pub use hints::{Hint, hints};
pub use search::Search;
pub use staleness::{IDLE_WRITE_PERIOD, SMALLEST_MAX_STALENESS};

use crate::engine::address::ServerAddress;
use crate::engine::rng::Rng;
use crate::engine::sdam::{ServerDescription, ServerType, TopologyDescription, TopologyType};
use staleness::StalenessLimit;
use window::LatencyWindow;

/// The server for one operation; `None` where none is suitable now, so that waiting may help.
///
/// `operation_count` is the number of operations in flight on a server: of two servers taken at
/// random from the latency window, the less busy one is chosen.
///
/// # Errors
///
/// What waiting cannot mend: an incompatible wire version, an invalid read preference.
pub fn select<'t>(
    topology: &'t TopologyDescription,
    criteria: &Criteria<'_>,
    operation_count: impl Fn(&ServerAddress) -> usize,
    rng: &mut Rng,
) -> Result<Option<&'t Arc<ServerDescription>>, SelectionError> {
    let criteria = &criteria.resolved(topology);
    check(topology, criteria)?;
    let Some(rule) = Rule::find(topology, criteria) else { return Ok(None) };
    let threshold = criteria.local_threshold;
    Ok(match criteria.server_selector {
        None => window::choose(rule.servers(topology), threshold, operation_count, rng),
        Some(selector) => {
            let mut servers = rule.servers(topology).collect();
            selector(&mut servers);
            window::choose(servers.into_iter(), threshold, operation_count, rng)
        }
    })
}

/// All servers that suit by type, staleness and tags, before the user's own rule and the latency
/// window.
///
/// # Errors
///
/// As [`select`].
pub fn suitable<'t>(
    topology: &'t TopologyDescription,
    criteria: &Criteria<'_>,
) -> Result<Vec<&'t Arc<ServerDescription>>, SelectionError> {
    let criteria = &criteria.resolved(topology);
    check(topology, criteria)?;
    let rule = Rule::find(topology, criteria);
    Ok(rule.map_or_else(Vec::new, |rule| rule.servers(topology).collect()))
}

/// The servers that [`select`] chooses from: suitable, passed by the user's own rule, and in the
/// latency window.
///
/// # Errors
///
/// As [`select`].
pub fn window<'t>(
    topology: &'t TopologyDescription,
    criteria: &Criteria<'_>,
) -> Result<Vec<&'t Arc<ServerDescription>>, SelectionError> {
    let mut servers = suitable(topology, criteria)?;
    if let Some(selector) = criteria.server_selector {
        selector(&mut servers);
    }
    let window = LatencyWindow::over(servers.iter().copied(), criteria.local_threshold);
    servers.retain(|server| window.excess(server).is_none());
    Ok(servers)
}

/// Whether the topology has a server for reads of `preference` (EV-15).
pub fn has_readable_server(
    topology: &TopologyDescription,
    preference: &ReadPreference,
    heartbeat_frequency: Duration,
) -> bool {
    let criteria = Criteria { heartbeat_frequency, ..Criteria::read(preference) };
    Rule::find(topology, &criteria).is_some()
}

/// Whether the topology has a server for writes (EV-15).
pub fn has_writable_server(topology: &TopologyDescription) -> bool {
    Rule::find(topology, &Criteria::write()).is_some()
}

/// What waiting cannot mend.
fn check(topology: &TopologyDescription, criteria: &Criteria<'_>) -> Result<(), SelectionError> {
    if let Some(error) = &topology.compatibility_error {
        return Err(SelectionError::Incompatible(error.clone()));
    }
    if criteria.operation == OperationKind::Write {
        return Ok(());
    }
    criteria.read_preference.validate()?;
    let replica_set = matches!(
        topology.topology_type,
        TopologyType::ReplicaSetNoPrimary | TopologyType::ReplicaSetWithPrimary
    );
    match criteria.read_preference.max_staleness {
        Some(limit) if replica_set => staleness::validate(limit, criteria.heartbeat_frequency),
        _ => Ok(()),
    }
}

/// The kind of server that may serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Any server that answers.
    Available,
    LoadBalancer,
    Mongos,
    Primary,
    Secondary,
    PrimaryOrSecondary,
}

impl Role {
    fn admits(self, server_type: ServerType) -> bool {
        use ServerType as S;
        match self {
            Self::Available => server_type.is_known(),
            Self::LoadBalancer => server_type == S::LoadBalancer,
            Self::Mongos => server_type == S::Mongos,
            Self::Primary => server_type == S::RSPrimary,
            Self::Secondary => server_type == S::RSSecondary,
            Self::PrimaryOrSecondary => matches!(server_type, S::RSPrimary | S::RSSecondary),
        }
    }
}

/// One step of a read preference: who may serve, and whether staleness and tags apply to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    role: Role,
    filtered: bool,
}

const fn step(role: Role) -> Step {
    Step { role, filtered: false }
}

const fn filtered(role: Role) -> Step {
    Step { role, filtered: true }
}

/// The specification's rules by topology type (SS-07..12, SS-41..46): the steps in order of
/// preference; the first that any server passes decides.
fn steps(topology: TopologyType, criteria: &Criteria<'_>) -> &'static [Step] {
    const PRIMARY: Step = step(Role::Primary);
    const SECONDARY: Step = filtered(Role::Secondary);
    match topology {
        TopologyType::Unknown => &[],
        TopologyType::Single => const { &[step(Role::Available)] },
        TopologyType::LoadBalanced => const { &[step(Role::LoadBalancer)] },
        TopologyType::Sharded => const { &[step(Role::Mongos)] },
        TopologyType::ReplicaSetNoPrimary | TopologyType::ReplicaSetWithPrimary => {
            if criteria.operation == OperationKind::Write {
                return &[PRIMARY];
            }
            match criteria.read_preference.mode {
                ReadPreferenceMode::Primary => &[PRIMARY],
                ReadPreferenceMode::PrimaryPreferred => &[PRIMARY, SECONDARY],
                ReadPreferenceMode::Secondary => &[SECONDARY],
                ReadPreferenceMode::SecondaryPreferred => &[SECONDARY, PRIMARY],
                ReadPreferenceMode::Nearest => const { &[filtered(Role::PrimaryOrSecondary)] },
            }
        }
    }
}

/// The rule that decides in one topology: at least one server passes it.
#[derive(Clone, Copy, Debug)]
struct Rule<'c> {
    role: Role,
    avoided: &'c [ServerAddress],
    excluded: &'c [ServerAddress],
    min_cluster_time: Option<Timestamp>,
    /// Whether servers that do not answer a liveness probe may serve.
    suspects: bool,
    staleness: Option<StalenessLimit>,
    tags: Option<&'c TagSet>,
}

impl<'c> Rule<'c> {
    /// The most preferred rule that any server passes; first without suspect and deprioritized
    /// servers, then with suspects, then with all (SS-26); all that first without those behind the
    /// cluster time that is asked for, then with them (IC-68).
    fn find(topology: &TopologyDescription, criteria: &Criteria<'c>) -> Option<Self> {
        let found = Self::find_in_time(topology, criteria);
        if found.is_some() || criteria.min_cluster_time.is_none() {
            return found;
        }
        Self::find_in_time(topology, &Criteria { min_cluster_time: None, ..*criteria })
    }

    fn find_in_time(topology: &TopologyDescription, criteria: &Criteria<'c>) -> Option<Self> {
        let steps = steps(topology.topology_type, criteria);
        let among = |avoided, suspects| {
            let of = |step: &Step| Self::of(*step, topology, criteria, avoided, suspects);
            steps.iter().find_map(of)
        };
        let avoided = criteria.deprioritized;
        let suspects = topology.servers.values().any(|server| server.suspect);
        among(avoided, false)
            .or_else(|| if suspects { among(avoided, true) } else { None })
            .or_else(|| if avoided.is_empty() { None } else { among(&[], true) })
    }

    /// The rule of one step, if any server passes it.
    fn of(
        step: Step,
        topology: &TopologyDescription,
        criteria: &Criteria<'c>,
        avoided: &'c [ServerAddress],
        suspects: bool,
    ) -> Option<Self> {
        let Criteria { excluded, min_cluster_time, .. } = *criteria;
        let (role, staleness, tags) = (step.role, None, None);
        let mut rule =
            Self { role, avoided, excluded, min_cluster_time, suspects, staleness, tags };
        let preference = criteria.read_preference;
        if step.filtered {
            rule.staleness = staleness_limit(topology, criteria);
        }
        if !step.filtered || preference.tag_sets.is_empty() {
            return rule.servers(topology).next().is_some().then_some(rule);
        }
        // "tag sets are tried in order until a tag set matches at least one candidate server".
        preference.tag_sets.iter().find_map(|tags| {
            rule.tags = Some(tags);
            rule.servers(topology).next().is_some().then_some(rule)
        })
    }

    fn admits(&self, server: &ServerDescription) -> bool {
        self.role.admits(server.server_type)
            && !self.avoided.contains(&server.address)
            && !self.excluded.contains(&server.address)
            && targeting::is_at(server, self.min_cluster_time)
            && (self.suspects || !server.suspect)
            && self.staleness.is_none_or(|limit| limit.admits(server))
            && self.tags.is_none_or(|wanted| tags::matches(wanted, server.tags()))
    }

    fn servers<'t>(
        &self,
        topology: &'t TopologyDescription,
    ) -> impl Iterator<Item = &'t Arc<ServerDescription>> + Clone {
        topology.servers.values().filter(|server| self.admits(server))
    }
}

fn staleness_limit(
    topology: &TopologyDescription,
    criteria: &Criteria<'_>,
) -> Option<StalenessLimit> {
    let limit = criteria.read_preference.max_staleness?;
    Some(StalenessLimit::new(topology, limit, criteria.heartbeat_frequency))
}

#[cfg(test)]
mod tests;
