//! The actions of the table that concern replica sets, under the specification's names.
//!
//! Specification: SDAM "Actions".

use std::sync::Arc;

use super::DescriptionError;
use super::departure::{Departure, DepartureReason};
use super::election::{self, Claim, Verdict};
use super::server::{ServerDescription, ServerType};
use super::topology::{TopologyDescription, TopologyType};
use crate::engine::address::ServerAddress;
use crate::engine::time::Instant;

/// "remove this server from topologyDescription and stop monitoring it".
pub(super) fn remove(
    topology: &mut TopologyDescription,
    server: &ServerDescription,
    reason: DepartureReason,
) {
    let at = server.last_update_time.unwrap_or_default();
    let address = server.address.clone();
    topology.servers.remove(&address);
    topology.left_out.insert(address.clone(), Departure { address, at, reason });
}

fn remove_of_other_set(topology: &mut TopologyDescription, server: &ServerDescription) {
    let found = server.set_name().map(str::to_owned);
    let wanted = topology.set_name.clone();
    remove(topology, server, DepartureReason::OtherSet { found, wanted });
}

fn remove_of_other_name(topology: &mut TopologyDescription, server: &ServerDescription) {
    let me = server.reply.me.clone().unwrap_or_default();
    remove(topology, server, DepartureReason::OtherName { me });
}

/// "checkIfHasPrimary".
pub(super) fn check_if_has_primary(topology: &mut TopologyDescription) {
    topology.topology_type = if topology.primary().is_some() {
        TopologyType::ReplicaSetWithPrimary
    } else {
        TopologyType::ReplicaSetNoPrimary
    };
}

/// "updateRSWithoutPrimary".
pub(super) fn update_without_primary(
    topology: &mut TopologyDescription,
    server: &ServerDescription,
) {
    if !adopt_set_name(topology, server) {
        remove_of_other_set(topology, server);
        return;
    }
    add_members(topology, server);
    hint_primary(topology, server);
    if !calls_itself_by(server) {
        remove_of_other_name(topology, server);
    }
}

/// "updateRSWithPrimaryFromMember".
pub(super) fn update_with_primary_from_member(
    topology: &mut TopologyDescription,
    server: &ServerDescription,
) {
    if topology.set_name.as_deref() != server.set_name() {
        remove_of_other_set(topology, server);
        check_if_has_primary(topology);
        return;
    }
    if !calls_itself_by(server) {
        remove_of_other_name(topology, server);
        check_if_has_primary(topology);
        return;
    }
    if topology.primary().is_none() {
        topology.topology_type = TopologyType::ReplicaSetNoPrimary;
        hint_primary(topology, server);
    }
}

/// "updateRSFromPrimary".
pub(super) fn update_from_primary(topology: &mut TopologyDescription, server: &ServerDescription) {
    if !adopt_set_name(topology, server) {
        remove_of_other_set(topology, server);
        check_if_has_primary(topology);
        return;
    }
    let at = server.last_update_time.unwrap_or_default();
    if let Err(message) = accept_election(topology, server) {
        mark_unknown(topology, &server.address, at, message);
        check_if_has_primary(topology);
        return;
    }
    displace_other_primaries(topology, server, at);
    add_members(topology, server);
    remove_unlisted(topology, server, at);
    check_if_has_primary(topology);
}

/// "remove the server" of those that the primary does not list.
fn remove_unlisted(topology: &mut TopologyDescription, primary: &ServerDescription, at: Instant) {
    let listed = |address: &ServerAddress| primary.reply.members().any(|member| member == address);
    let unlisted: Vec<ServerAddress> =
        topology.servers.keys().filter(|address| !listed(address)).cloned().collect();
    for address in unlisted {
        topology.servers.remove(&address);
        let reason = DepartureReason::NotListed { by: primary.address.clone() };
        topology.left_out.insert(address.clone(), Departure { address, at, reason });
    }
}

/// Takes over the set's name where none is known; false where another one is.
fn adopt_set_name(topology: &mut TopologyDescription, server: &ServerDescription) -> bool {
    match &topology.set_name {
        None => {
            topology.set_name = server.set_name().map(str::to_owned);
            true
        }
        Some(name) => Some(name.as_str()) == server.set_name(),
    }
}

/// Keeps the newest election; an older one is an error that names both.
fn accept_election(
    topology: &mut TopologyDescription,
    server: &ServerDescription,
) -> Result<(), String> {
    let greatest =
        Claim { election_id: topology.max_election_id, set_version: topology.max_set_version };
    let claim = Claim { election_id: server.election_id(), set_version: server.set_version() };
    match election::judge(greatest, claim, server.reply.max_wire_version) {
        Verdict::Accepted(greatest) => {
            topology.max_election_id = greatest.election_id;
            topology.max_set_version = greatest.set_version;
            Ok(())
        }
        Verdict::Stale => Err(format!(
            "primary marked stale due to electionId/setVersion mismatch, {claim} is stale compared \
             to {greatest}"
        )),
    }
}

/// There is one primary: another one that the topology still believes in was displaced.
fn displace_other_primaries(
    topology: &mut TopologyDescription,
    server: &ServerDescription,
    at: Instant,
) {
    let others: Vec<ServerAddress> = topology
        .servers
        .values()
        .filter(|other| other.server_type == ServerType::RSPrimary)
        .filter(|other| other.address != server.address)
        .map(|other| other.address.clone())
        .collect();
    for address in others {
        let message = "primary marked stale due to discovery of newer primary".to_owned();
        mark_unknown(topology, &address, at, message);
    }
}

fn mark_unknown(
    topology: &mut TopologyDescription,
    address: &ServerAddress,
    at: Instant,
    message: String,
) {
    let error = DescriptionError::new(at, message);
    let unknown = ServerDescription::failed(address.clone(), error);
    topology.servers.insert(address.clone(), Arc::new(unknown));
}

fn add_members(topology: &mut TopologyDescription, server: &ServerDescription) {
    for address in server.reply.members() {
        topology.left_out.remove(address);
        let unknown = || Arc::new(ServerDescription::unknown(address.clone()));
        topology.servers.get_or_insert_with(address.clone(), unknown);
    }
}

/// A member's word on who the primary is: checked before others where servers are checked in turn.
fn hint_primary(topology: &mut TopologyDescription, server: &ServerDescription) {
    let Some(primary) = &server.reply.primary else { return };
    if let Some(known) = topology.servers.get_mut(primary)
        && known.server_type == ServerType::Unknown
    {
        Arc::make_mut(known).server_type = ServerType::PossiblePrimary;
    }
}

/// Whether the address that was dialled is the one that the set's configuration gives the member.
fn calls_itself_by(server: &ServerDescription) -> bool {
    // A reply without `me` comes from servers too old to be spoken to, and from the specification's
    // own tests, which expect it to count as a match.
    server.reply.me.as_deref().is_none_or(|me| me == server.address.to_string())
}
