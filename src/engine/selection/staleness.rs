//! How far a secondary is behind, estimated from what servers say (max-staleness).
//!
//! The clocks of client and servers need not agree: each formula compares moments of one clock, so
//! that skew cancels out (MS-05).

use std::time::Duration;

use super::criteria::SelectionError;
use crate::engine::sdam::{ServerDescription, ServerType, TopologyDescription, TopologyType};
use crate::engine::time::nanos;

/// The least limit that may be asked for (smallestMaxStalenessSeconds).
pub const SMALLEST_MAX_STALENESS: Duration = Duration::from_secs(90);

/// How often an idle primary writes a no-op (idleWritePeriodMS).
pub const IDLE_WRITE_PERIOD: Duration = Duration::from_secs(10);

/// What a secondary's last write is compared with.
#[derive(Clone, Copy, Debug)]
enum Reference {
    /// `P.lastUpdateTime - P.lastWriteDate`, in nanoseconds between two unrelated clocks.
    Primary(i64),
    /// `SMax.lastWriteDate`, in nanoseconds of the set's clock.
    FreshestSecondary(i64),
    /// Nobody says when it last wrote.
    None,
}

/// A limit of staleness, applied to one topology.
#[derive(Clone, Copy, Debug)]
pub(super) struct StalenessLimit {
    /// How far behind a secondary may be.
    pub(super) limit: Duration,
    heartbeat_frequency: Duration,
    reference: Reference,
}

impl StalenessLimit {
    pub(super) fn new(
        topology: &TopologyDescription,
        limit: Duration,
        heartbeat_frequency: Duration,
    ) -> Self {
        let reference = match topology.primary() {
            Some(primary) if topology.topology_type == TopologyType::ReplicaSetWithPrimary => {
                lag(primary).map_or(Reference::None, Reference::Primary)
            }
            _ => {
                let secondaries = topology.servers.values().filter(|server| is_secondary(server));
                let freshest = secondaries.filter_map(|server| last_write(server)).max();
                freshest.map_or(Reference::None, Reference::FreshestSecondary)
            }
        };
        Self { limit, heartbeat_frequency, reference }
    }

    /// How far behind `server` may be until its next check; negative where it seems ahead. `None`
    /// where it, or what it is compared with, does not say when it last wrote.
    pub(super) fn estimate(&self, server: &ServerDescription) -> Option<i64> {
        if !is_secondary(server) {
            return Some(0);
        }
        let behind = match self.reference {
            Reference::Primary(primary) => lag(server)?.saturating_sub(primary),
            Reference::FreshestSecondary(freshest) => freshest.saturating_sub(last_write(server)?),
            Reference::None => return None,
        };
        Some(behind.saturating_add(signed(nanos(self.heartbeat_frequency))))
    }

    pub(super) fn admits(&self, server: &ServerDescription) -> bool {
        self.estimate(server).is_some_and(|estimate| estimate <= signed(nanos(self.limit)))
    }
}

/// Whether `limit` can be measured with heartbeats every `heartbeat_frequency` (SS-15, MS-06).
pub(super) fn validate(
    limit: Duration,
    heartbeat_frequency: Duration,
) -> Result<(), SelectionError> {
    let least = SMALLEST_MAX_STALENESS.max(heartbeat_frequency + IDLE_WRITE_PERIOD);
    if limit < least {
        return Err(SelectionError::StalenessTooSmall { given: limit, least });
    }
    Ok(())
}

/// `lastUpdateTime - lastWriteDate`: a client's moment minus a server's date.
fn lag(server: &ServerDescription) -> Option<i64> {
    Some(signed(server.last_update_time?.as_nanos()).saturating_sub(last_write(server)?))
}

fn last_write(server: &ServerDescription) -> Option<i64> {
    Some(server.last_write_date()?.timestamp_millis().saturating_mul(1_000_000))
}

fn is_secondary(server: &ServerDescription) -> bool {
    server.server_type == ServerType::RSSecondary
}

fn signed(nanos: u64) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{server, topology};
    use super::*;

    const HEARTBEAT: Duration = Duration::from_secs(10);

    fn estimate_seconds(
        topology_type: TopologyType,
        members: &[(ServerType, u64, i64)],
        index: usize,
    ) -> i64 {
        let servers: Vec<_> = members
            .iter()
            .enumerate()
            .map(|(i, (kind, updated, wrote))| {
                server(&format!("h{i}")).kind(*kind).times(*updated, *wrote).build()
            })
            .collect();
        let asked = servers[index].clone();
        let limit =
            StalenessLimit::new(&topology(topology_type, servers), Duration::MAX, HEARTBEAT);
        limit.estimate(&asked).unwrap() / 1_000_000_000
    }

    // MS-02, MS-05: the specification's worked example, 20 s and then 25 s.
    #[test]
    fn with_a_primary_the_skew_of_clocks_cancels_out() {
        use ServerType::{RSPrimary, RSSecondary};
        let at = |members: [(ServerType, u64, i64); 2]| {
            estimate_seconds(TopologyType::ReplicaSetWithPrimary, &members, 1)
        };
        assert_eq!(at([(RSPrimary, 60, 10), (RSSecondary, 60, 0)]), 20);
        assert_eq!(at([(RSPrimary, 60, 10), (RSSecondary, 70, 5)]), 25);
        assert_eq!(at([(RSPrimary, 80, 30), (RSSecondary, 70, 5)]), 25);
        assert_eq!(at([(RSPrimary, 60, 10), (RSSecondary, 60, 100)]), -80);
    }

    // MS-03
    #[test]
    fn without_a_primary_the_freshest_secondary_counts() {
        let members = [(ServerType::RSSecondary, 60, 20), (ServerType::RSSecondary, 60, 5)];
        let at = |i| estimate_seconds(TopologyType::ReplicaSetNoPrimary, &members, i);
        assert_eq!((at(0), at(1)), (10, 25));
    }

    // MS-04
    #[test]
    fn the_limit_is_inclusive_and_only_for_secondaries() {
        let primary = server("p").kind(ServerType::RSPrimary).times(60, 10).build();
        let secondary = server("s").kind(ServerType::RSSecondary).times(60, 0).build();
        let silent = server("t").kind(ServerType::RSSecondary).build();
        let set = topology(
            TopologyType::ReplicaSetWithPrimary,
            vec![primary.clone(), secondary.clone(), silent.clone()],
        );
        let limit = |seconds| StalenessLimit::new(&set, Duration::from_secs(seconds), HEARTBEAT);
        assert!(limit(20).admits(&secondary) && !limit(19).admits(&secondary));
        assert!(limit(0).admits(&primary));
        assert!(!limit(1000).admits(&silent), "it never said when it wrote");
    }

    // SS-15
    #[test]
    fn a_limit_must_be_measurable() {
        let check = |limit, heartbeat| {
            validate(Duration::from_secs(limit), Duration::from_secs(heartbeat)).is_ok()
        };
        assert!(check(90, 10) && !check(89, 10));
        assert!(check(130, 120) && !check(129, 120));
    }
}
