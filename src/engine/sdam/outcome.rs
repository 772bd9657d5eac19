//! What the outcomes of checks and operations do to the topology.
//!
//! The second half of [`Sdam`]: [`super::machine`] takes inputs and talks to links, this file makes
//! descriptions of what they bring and tells everybody what follows.

use std::sync::Arc;

use super::contest;
use super::events::Action;
use super::failover::Detection;
use super::failure::{self, Failure, Reaction};
use super::link::LinkError;
use super::machine::Sdam;
use super::member::Member;
use super::notice::{self, EventKind};
use super::server::{DescriptionError, ServerDescription, ServerType};
use super::suspicion::{self, Judgement};
use super::topology::{TopologyDescription, TopologyType};
use super::update;
use crate::engine::address::ServerAddress;
use crate::engine::hello::{HelloReply, TopologyVersion};
use crate::engine::time::Instant;

impl Sdam {
    /// A check succeeded.
    pub(super) fn checked(&mut self, now: Instant, address: &ServerAddress, reply: HelloReply) {
        let Some(member) = self.members.get_mut(address) else { return };
        let mut server = ServerDescription::from_reply(address.clone(), reply, now);
        member.describe_rtt(&mut server);
        self.replace(now, server);
    }

    /// Server monitoring "Network or command error during server check".
    pub(super) fn check_failed(
        &mut self,
        now: Instant,
        address: &ServerAddress,
        error: &LinkError,
    ) {
        let message: Arc<str> = error.message().into();
        self.detection = match error.is_timeout() {
            true => Detection::HeartbeatTimeout,
            false => Detection::ConnectionLost,
        };
        let reason = DescriptionError::new(now, message.clone()).of_kind(error.kind());
        let mut unknown = ServerDescription::failed(address.clone(), reason);
        unknown.topology_version = error.topology_version();
        self.replace(now, unknown);
        self.clear_pool(address, message, error.is_timeout());
    }

    /// SDAM "Application errors".
    pub(super) fn operation_failed(&mut self, now: Instant, failed: &Failure) {
        let address = &failed.address;
        let Some(member) = self.members.get(address) else { return };
        let known = self.topology.server(address).and_then(|server| server.topology_version);
        if self.topology.topology_type == TopologyType::LoadBalanced {
            return self.service_failed(failed);
        }
        match failure::judge(failed, member.generation, known.as_ref()) {
            Reaction::Ignore => {}
            Reaction::StateChanged { message, topology_version, clear, rescan } => {
                self.detection = Detection::ServerSaidSo;
                self.mark_unknown(now, address, message.clone(), topology_version);
                if clear {
                    self.clear_pool(address, message, false);
                }
                if let Some(member) = self.members.get_mut(address) {
                    member.doubt();
                }
                if rescan {
                    self.outdated();
                }
            }
            Reaction::Lost { message } => {
                self.detection = Detection::OperationFailed;
                self.mark_unknown(now, address, message.clone(), None);
                self.clear_pool(address, message, false);
                self.cancel_check(now, address);
            }
        }
    }

    /// Load balancers "Error Handling": the load balancer is never Unknown, and only connections to
    /// the server that failed are cleared. Which of them are outdated already is for the pool to
    /// say, which keeps the generations of the servers.
    fn service_failed(&mut self, failed: &Failure) {
        // "Initial Handshake Errors": those before and during it "MUST be ignored". Nothing is
        // known of the server then.
        let Some(service_id) = failed.service_id else { return };
        match failure::judge(failed, failed.generation, None) {
            Reaction::Ignore | Reaction::StateChanged { clear: false, .. } => {}
            Reaction::StateChanged { clear: true, .. } | Reaction::Lost { .. } => {
                let (address, generation) = (failed.address.clone(), failed.generation);
                self.actions.push_back(Action::ClearService { address, service_id, generation });
            }
        }
    }

    pub(super) fn mark_unknown(
        &mut self,
        now: Instant,
        address: &ServerAddress,
        message: Arc<str>,
        topology_version: Option<TopologyVersion>,
    ) {
        let error = DescriptionError::new(now, message);
        let mut unknown = ServerDescription::failed(address.clone(), error);
        unknown.topology_version = topology_version;
        self.replace(now, unknown);
    }

    pub(super) fn cancel_check(&mut self, now: Instant, address: &ServerAddress) {
        let Some(member) = self.members.get_mut(address) else { return };
        let mut steps = Vec::new();
        member.cancel_check(now, &mut steps);
        self.perform(now, address, steps);
    }

    pub(super) fn clear_pool(
        &mut self,
        address: &ServerAddress,
        reason: Arc<str>,
        interrupt_in_use: bool,
    ) {
        let Some(member) = self.members.get_mut(address) else { return };
        member.generation += 1;
        self.actions.push_back(Action::ClearPool {
            address: address.clone(),
            generation: member.generation,
            reason,
            interrupt_in_use,
        });
    }

    /// Server monitoring "handshake": an application's handshake is as good as a check.
    pub(super) fn handshaken(&mut self, now: Instant, address: ServerAddress, reply: HelloReply) {
        let Some(member) = self.members.get(&address) else { return };
        let known = self.topology.server(&address).is_some_and(|s| s.server_type.is_known());
        if self.topology.topology_type == TopologyType::LoadBalanced || !known {
            return;
        }
        let mut server = ServerDescription::from_reply(address, reply, now);
        member.describe_rtt(&mut server);
        self.replace(now, server);
    }

    /// A round-trip time alone: a new description, and no event.
    pub(super) fn refresh_rtt(&mut self, address: &ServerAddress) {
        let Some(member) = self.members.get(address) else { return };
        let Some(server) = self.topology.server(address) else { return };
        if !server.server_type.is_known() {
            return;
        }
        let mut server = ServerDescription::clone(server);
        member.describe_rtt(&mut server);
        let mut topology = TopologyDescription::clone(&self.topology);
        topology.servers.insert(address.clone(), Arc::new(server));
        self.topology = Arc::new(topology);
        self.actions.push_back(Action::Publish(self.topology.clone()));
    }

    /// "onServerDescriptionChanged".
    pub(super) fn replace(&mut self, now: Instant, server: ServerDescription) {
        let address = server.address.clone();
        let claimant = (server.server_type == ServerType::RSPrimary).then(|| server.clone());
        let previous = self.topology.clone();
        let next = update::update(&previous, server, self.settings.seeds.len());
        let contest = claimant.and_then(|server| contest::contest(&previous, &next, &server));
        let ready = next.server(&address).is_some_and(|server| match server.server_type {
            ServerType::Standalone
            | ServerType::Mongos
            | ServerType::RSPrimary
            | ServerType::RSSecondary
            | ServerType::LoadBalancer => true,
            ServerType::PossiblePrimary | ServerType::Unknown => false,
            ServerType::RSArbiter | ServerType::RSOther | ServerType::RSGhost => {
                next.topology_type == TopologyType::Single
            }
        });
        if ready {
            self.actions.push_back(Action::ReadyPool(address.clone()));
        }
        self.install(now, next, Some(&address));
        if let Some(contest) = contest {
            let contest = Arc::new(contest);
            self.notify(now, EventKind::PrimaryContested { contest });
        }
    }

    /// Makes `next` what is believed: opens and closes servers, tells everybody.
    pub(super) fn install(
        &mut self,
        now: Instant,
        next: TopologyDescription,
        heard: Option<&ServerAddress>,
    ) {
        let previous = std::mem::replace(&mut self.topology, Arc::new(next));
        let next = self.topology.clone();
        self.follow_failover(now, &previous, &next, heard);
        self.close_departed(now, &next);
        self.open_arrived(now, &next);
        // Before the events: who hears of a change can look at what is believed now.
        self.actions.push_back(Action::Publish(next.clone()));
        for kind in notice::diff(&previous, &next, heard) {
            self.notify(now, kind);
        }
        self.check_displaced(&previous, &next, heard);
    }

    pub(super) fn follow_failover(
        &mut self,
        now: Instant,
        previous: &TopologyDescription,
        next: &TopologyDescription,
        heard: Option<&ServerAddress>,
    ) {
        let detection = std::mem::replace(&mut self.detection, Detection::ServerSaidSo);
        let before = previous.primary();
        let after = next.primary().filter(|_| !self.closed);
        if let Some(before) = before
            && after.is_none_or(|after| after.address != before.address)
            && !self.closed
        {
            let displaced = heard != Some(&before.address);
            let detection = if displaced { Detection::Displaced } else { detection };
            self.failover.lost(now, &before.address, before.last_update_time, detection);
        }
        if let Some(after) = after {
            self.failover.found(now, &after.address);
        }
    }

    pub(super) fn close_departed(&mut self, now: Instant, next: &TopologyDescription) {
        let departed: Vec<ServerAddress> =
            self.members.keys().filter(|address| next.server(address).is_none()).cloned().collect();
        for address in departed {
            let Some(member) = self.members.get_mut(&address) else { continue };
            let mut steps = Vec::new();
            let reason =
                if self.closed { "the client was closed" } else { "the server was removed" };
            member.close(now, reason, &mut steps);
            self.perform(now, &address, steps);
            self.members.remove(&address);
            self.actions.push_back(Action::ClosePool(address));
        }
    }

    pub(super) fn open_arrived(&mut self, now: Instant, next: &TopologyDescription) {
        let monitored = next.is_monitored();
        for address in next.servers.keys() {
            if !self.members.contains_key(address) {
                let settings = &self.settings.monitor;
                let on_demand = self.scanner.is_some();
                let mut member = Member::new(address, settings, now, monitored, on_demand);
                member.expedite(self.demand);
                self.members.insert(address.clone(), member);
                self.actions.push_back(Action::OpenPool(address.clone()));
            }
        }
    }

    /// SD-80: a primary that another one has displaced is checked at once; its pool is kept. What
    /// is in flight there may leave.
    pub(super) fn check_displaced(
        &mut self,
        previous: &TopologyDescription,
        next: &TopologyDescription,
        heard: Option<&ServerAddress>,
    ) {
        for (address, server) in &previous.servers {
            let was_primary = server.server_type == ServerType::RSPrimary;
            let displaced = next
                .server(address)
                .is_some_and(|server| server.server_type == ServerType::Unknown);
            if was_primary
                && displaced
                && heard != Some(address)
                && let Some(member) = self.members.get_mut(address)
            {
                member.doubt();
                self.scan_again(address);
                if self.settings.suspicion.enabled {
                    self.reconsider(address, "a newer primary was found");
                }
            }
        }
    }

    /// When to look at the operations in flight, if that is wanted at all.
    pub(super) fn look_after(&self, now: Instant) -> Option<Instant> {
        (self.settings.suspicion.enabled && !self.closed).then(|| now + suspicion::TICK)
    }

    /// The rules of [`suspicion`], for every server that has operations in flight.
    pub(super) fn judge_in_flight(&mut self, now: Instant, oldest: &[(ServerAddress, Instant)]) {
        if oldest.is_empty() {
            return;
        }
        self.next_look = self.look_after(now);
        for (address, since) in oldest {
            let settings = self.settings.suspicion;
            let Some(member) = self.members.get_mut(address) else { continue };
            let mut steps = Vec::new();
            let judgement = member.judge(now, *since, &settings, &mut steps);
            self.perform(now, address, steps);
            if judgement == Judgement::Suspect {
                let address = address.clone();
                self.refresh_rtt(&address);
                self.notify(now, EventKind::ServerSuspected { address });
            }
            if matches!(judgement, Judgement::Suspect | Judgement::StillSuspect) {
                self.reconsider(address, "the server does not answer");
            }
        }
    }

    fn reconsider(&mut self, address: &ServerAddress, reason: &str) {
        let (address, reason) = (address.clone(), reason.into());
        self.actions.push_back(Action::Reconsider { address, reason });
    }
}
