//! How one new server description changes the topology: the specification's table.
//!
//! `(old topology, new server) -> new topology`. Specification: SDAM "TopologyType table".

use std::sync::Arc;

use super::departure::DepartureReason;
use super::replica_set;
use super::server::{ServerDescription, ServerType};
use super::topology::{TopologyDescription, TopologyType};
use super::wire_versions;
use crate::engine::hello::TopologyVersion;

/// One cell of the table: what a description of some [`ServerType`] does to some [`TopologyType`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// The description is replaced, nothing else.
    Keep,
    /// The server does not belong here.
    Remove,
    /// The topology becomes a sharded cluster.
    BecomeSharded,
    /// "updateUnknownWithStandalone".
    UpdateUnknownWithStandalone,
    /// The topology becomes a replica set, then "updateRSWithoutPrimary".
    UpdateRSWithoutPrimary,
    /// "updateRSWithPrimaryFromMember".
    UpdateRSWithPrimaryFromMember,
    /// The topology gets a primary, then "updateRSFromPrimary".
    UpdateRSFromPrimary,
    /// "checkIfHasPrimary".
    CheckIfHasPrimary,
    /// The server is removed, then "checkIfHasPrimary".
    RemoveAndCheckIfHasPrimary,
}

/// The table. Every pair has exactly one outcome, and the compiler sees that none is missing.
pub fn transition(topology: TopologyType, server: ServerType) -> Transition {
    use ServerType as S;
    use TopologyType as T;
    use Transition as X;

    match (topology, server) {
        // A direct connection and a load balancer stay what they are for ever.
        (
            T::Single | T::LoadBalanced,
            S::Standalone
            | S::Mongos
            | S::PossiblePrimary
            | S::RSPrimary
            | S::RSSecondary
            | S::RSArbiter
            | S::RSOther
            | S::RSGhost
            | S::LoadBalancer
            | S::Unknown,
        ) => X::Keep,

        // A load balancer never answers for itself; one that did would be no member of anything.
        (T::Unknown | T::Sharded | T::ReplicaSetNoPrimary, S::LoadBalancer) => X::Remove,
        (T::ReplicaSetWithPrimary, S::LoadBalancer) => X::RemoveAndCheckIfHasPrimary,

        (T::Unknown | T::Sharded | T::ReplicaSetNoPrimary, S::Unknown | S::PossiblePrimary) => {
            X::Keep
        }
        (T::ReplicaSetWithPrimary, S::Unknown | S::PossiblePrimary | S::RSGhost) => {
            X::CheckIfHasPrimary
        }

        (T::Unknown, S::Standalone) => X::UpdateUnknownWithStandalone,
        (T::Unknown, S::Mongos) => X::BecomeSharded,
        (T::Unknown | T::ReplicaSetNoPrimary, S::RSGhost) => X::Keep,

        (T::Sharded, S::Mongos) => X::Keep,
        (
            T::Sharded,
            S::Standalone | S::RSPrimary | S::RSSecondary | S::RSArbiter | S::RSOther | S::RSGhost,
        ) => X::Remove,

        (T::ReplicaSetNoPrimary, S::Standalone | S::Mongos) => X::Remove,
        (T::ReplicaSetWithPrimary, S::Standalone | S::Mongos) => X::RemoveAndCheckIfHasPrimary,

        (T::Unknown | T::ReplicaSetNoPrimary, S::RSSecondary | S::RSArbiter | S::RSOther) => {
            X::UpdateRSWithoutPrimary
        }
        (T::ReplicaSetWithPrimary, S::RSSecondary | S::RSArbiter | S::RSOther) => {
            X::UpdateRSWithPrimaryFromMember
        }
        (T::Unknown | T::ReplicaSetNoPrimary | T::ReplicaSetWithPrimary, S::RSPrimary) => {
            X::UpdateRSFromPrimary
        }
    }
}

/// Whether `server` says less than the topology knows already ("isStaleServerDescription").
pub(super) fn is_stale(topology: &TopologyDescription, server: &ServerDescription) -> bool {
    let current = topology.server(&server.address).and_then(|known| known.topology_version);
    TopologyVersion::compare(current.as_ref(), server.topology_version.as_ref()).is_gt()
}

/// The topology after `server` was heard of. `seeds` is the number of seeds the client began with.
///
/// A server that is not a member (any more), and a reply older than what is known, change nothing.
pub fn update(
    topology: &TopologyDescription,
    server: ServerDescription,
    seeds: usize,
) -> TopologyDescription {
    let mut next = topology.clone();
    if !next.servers.contains_key(&server.address) || is_stale(topology, &server) {
        return next;
    }
    let server = Arc::new(verified_set_name(topology, server));
    next.servers.insert(server.address.clone(), server.clone());
    match transition(topology.topology_type, server.server_type) {
        Transition::Keep => {}
        Transition::Remove => remove_of_other_kind(&mut next, &server),
        Transition::BecomeSharded => next.topology_type = TopologyType::Sharded,
        Transition::UpdateUnknownWithStandalone if seeds == 1 => {
            next.topology_type = TopologyType::Single;
        }
        Transition::UpdateUnknownWithStandalone => remove_of_other_kind(&mut next, &server),
        Transition::UpdateRSWithoutPrimary => {
            next.topology_type = TopologyType::ReplicaSetNoPrimary;
            replica_set::update_without_primary(&mut next, &server);
        }
        Transition::UpdateRSWithPrimaryFromMember => {
            replica_set::update_with_primary_from_member(&mut next, &server);
        }
        Transition::UpdateRSFromPrimary => {
            next.topology_type = TopologyType::ReplicaSetWithPrimary;
            replica_set::update_from_primary(&mut next, &server);
        }
        Transition::CheckIfHasPrimary => replica_set::check_if_has_primary(&mut next),
        Transition::RemoveAndCheckIfHasPrimary => {
            remove_of_other_kind(&mut next, &server);
            replica_set::check_if_has_primary(&mut next);
        }
    }
    next.refresh();
    next
}

impl TopologyDescription {
    /// Draws the conclusions from the servers anew.
    pub(super) fn refresh(&mut self) {
        self.compatibility_error = wire_versions::compatibility_error(self);
        self.logical_session_timeout_minutes = session_timeout(self);
    }
}

fn remove_of_other_kind(topology: &mut TopologyDescription, server: &ServerDescription) {
    let found = server.server_type;
    replica_set::remove(topology, server, DepartureReason::OtherKind { found });
}

/// "Verifying setName with TopologyType Single": a server of another set counts as unknown.
fn verified_set_name(
    topology: &TopologyDescription,
    server: ServerDescription,
) -> ServerDescription {
    let wanted = topology.set_name.as_deref();
    if topology.topology_type != TopologyType::Single
        || !server.server_type.is_known()
        || wanted.is_none()
        || wanted == server.set_name()
    {
        return server;
    }
    let found = server.set_name().map_or("no set".to_owned(), |name| format!("set \"{name}\""));
    let message = format!(
        "the server is a member of {found}, but the options ask for replicaSet=\"{}\"",
        wanted.unwrap_or_default(),
    );
    let at = server.last_update_time.unwrap_or_default();
    ServerDescription::failed(server.address, super::DescriptionError::new(at, message))
}

/// "Logical Session Timeout": the least of the data-bearing servers; none if any has none.
fn session_timeout(topology: &TopologyDescription) -> Option<i64> {
    topology
        .servers
        .values()
        .filter(|server| server.server_type.is_data_bearing())
        .map(|server| server.reply.logical_session_timeout_minutes)
        .min()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SD-67 to SD-72: the rows of the specification's table, written as the specification prints
    /// it.
    #[test]
    fn the_table_is_the_specifications() {
        use Transition as X;
        const COLUMNS: [TopologyType; 4] = [
            TopologyType::Unknown,
            TopologyType::Sharded,
            TopologyType::ReplicaSetNoPrimary,
            TopologyType::ReplicaSetWithPrimary,
        ];
        let member = [
            X::UpdateRSWithoutPrimary,
            X::Remove,
            X::UpdateRSWithoutPrimary,
            X::UpdateRSWithPrimaryFromMember,
        ];
        let rows = [
            (ServerType::Unknown, [X::Keep, X::Keep, X::Keep, X::CheckIfHasPrimary]),
            (ServerType::PossiblePrimary, [X::Keep, X::Keep, X::Keep, X::CheckIfHasPrimary]),
            (
                ServerType::Standalone,
                [
                    X::UpdateUnknownWithStandalone,
                    X::Remove,
                    X::Remove,
                    X::RemoveAndCheckIfHasPrimary,
                ],
            ),
            (
                ServerType::Mongos,
                [X::BecomeSharded, X::Keep, X::Remove, X::RemoveAndCheckIfHasPrimary],
            ),
            (
                ServerType::RSPrimary,
                [X::UpdateRSFromPrimary, X::Remove, X::UpdateRSFromPrimary, X::UpdateRSFromPrimary],
            ),
            (ServerType::RSSecondary, member),
            (ServerType::RSArbiter, member),
            (ServerType::RSOther, member),
            (ServerType::RSGhost, [X::Keep, X::Remove, X::Keep, X::CheckIfHasPrimary]),
        ];
        for (server, outcomes) in rows {
            for (topology, outcome) in COLUMNS.into_iter().zip(outcomes) {
                assert_eq!(transition(topology, server), outcome, "{topology} x {server}");
            }
        }
    }

    #[test]
    fn single_and_load_balanced_never_change() {
        for server in ServerType::ALL {
            assert_eq!(transition(TopologyType::Single, server), Transition::Keep);
            assert_eq!(transition(TopologyType::LoadBalanced, server), Transition::Keep);
        }
    }
}

#[cfg(test)]
#[path = "update_tests.rs"]
mod steps;
