//! The topology machine: descriptions, monitors and probes of all servers of one deployment.
//!
//! One input, then drain: [`Sdam::handle`], then [`Sdam::poll_action`] until `None`. An
//! [`Event::Elapsed`] is due at [`Sdam::poll_timeout`]; later is harmless.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::events::{Action, Event, LinkId, LinkRole};
use super::failure::{self, Failure, Reaction};
use super::link::LinkError;
use super::member::{Member, MemberStep};
use super::notice::{self, EventKind};
use super::server::{DescriptionError, ServerDescription, ServerType};
use super::settings::SdamSettings;
use super::topology::{TopologyDescription, TopologyType};
use super::{update, wire_versions};
use crate::engine::address::ServerAddress;
use crate::engine::hello::HelloReply;
use crate::engine::time::Instant;

/// The topology machine.
#[derive(Debug)]
pub struct Sdam {
    settings: SdamSettings,
    topology: Arc<TopologyDescription>,
    members: BTreeMap<ServerAddress, Member>,
    actions: VecDeque<Action>,
    next_link: u64,
    demand: bool,
    closed: bool,
}

impl Sdam {
    /// A machine that knows nothing yet and does nothing before [`Event::Open`].
    pub fn new(settings: SdamSettings) -> Self {
        Self {
            settings,
            topology: Arc::new(TopologyDescription::empty()),
            members: BTreeMap::new(),
            actions: VecDeque::new(),
            next_link: 1,
            demand: false,
            closed: false,
        }
    }

    /// What is believed now.
    pub fn topology(&self) -> &Arc<TopologyDescription> {
        &self.topology
    }

    /// The generation of the pool of `address`; `None` where it is no member.
    pub fn pool_generation(&self, address: &ServerAddress) -> Option<u64> {
        self.members.get(address).map(|member| member.generation)
    }

    /// The next action; `None` when the latest input has been answered completely.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to send [`Event::Elapsed`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.members.values().filter_map(Member::timeout).min()
    }

    /// Takes one input that happened at `now`.
    pub fn handle(&mut self, now: Instant, event: Event) {
        debug_assert!(self.actions.is_empty(), "drain poll_action before the next input");
        if self.closed {
            return;
        }
        match event {
            Event::Open => self.open(now),
            Event::Close => self.close(now),
            Event::Elapsed => self.elapse(now),
            Event::Opened(link) => {
                self.with_link(now, &link, |member, steps| member.opened(now, link.role, steps));
            }
            Event::Received { link, message, written } => {
                self.with_link(now, &link, |member, steps| {
                    member.received(now, link.role, message, written, steps);
                });
            }
            Event::Broken { link, error } => {
                self.with_link(now, &link, |member, steps| {
                    member.broken(now, link.role, error, steps);
                });
            }
            Event::Failed(failure) => self.operation_failed(now, &failure),
            Event::Handshaken { address, reply } => self.handshaken(now, address, *reply),
            Event::Demand(demand) => {
                self.demand = demand;
                self.members.values_mut().for_each(|member| member.expedite(demand));
            }
        }
    }

    /// SDAM "Client construction": the seeds become Unknown servers.
    fn open(&mut self, now: Instant) {
        let mut seeded = TopologyDescription::empty();
        seeded.topology_type = self.settings.initial_type();
        seeded.set_name.clone_from(&self.settings.set_name);
        for seed in &self.settings.seeds {
            let unknown = Arc::new(ServerDescription::unknown(seed.clone()));
            seeded.servers.insert(seed.clone(), unknown);
        }
        self.notify(now, EventKind::TopologyOpening);
        self.install(now, seeded, None);
        if self.topology.topology_type == TopologyType::LoadBalanced {
            // Load balancers "Monitoring": the one server is known without a check.
            for address in self.settings.seeds.clone() {
                self.actions.push_back(Action::ReadyPool(address.clone()));
                self.replace(now, ServerDescription::load_balancer(address));
            }
        }
    }

    /// SDAM "Client closing".
    fn close(&mut self, now: Instant) {
        self.closed = true;
        self.install(now, TopologyDescription::empty(), None);
        self.notify(now, EventKind::TopologyClosed);
    }

    fn elapse(&mut self, now: Instant) {
        let due = |member: &Member| member.timeout().is_some_and(|deadline| deadline <= now);
        let addresses: Vec<ServerAddress> = self
            .members
            .iter()
            .filter(|(_, member)| due(member))
            .map(|(address, _)| address.clone())
            .collect();
        for address in addresses {
            // An earlier server's outcome may have removed this one.
            let Some(member) = self.members.get_mut(&address) else { continue };
            let mut steps = Vec::new();
            member.elapse(now, &mut steps);
            self.perform(now, &address, steps);
        }
    }

    /// Passes what happened on `link` to its member, unless the link is no more.
    fn with_link(
        &mut self,
        now: Instant,
        link: &LinkId,
        tell: impl FnOnce(&mut Member, &mut Vec<MemberStep>),
    ) {
        let Some(member) = self.members.get_mut(&link.address) else { return };
        if member.link(link.role) != Some(link.number) {
            return;
        }
        let mut steps = Vec::new();
        tell(member, &mut steps);
        self.perform(now, &link.address, steps);
    }

    fn perform(&mut self, now: Instant, address: &ServerAddress, steps: Vec<MemberStep>) {
        for step in steps {
            match step {
                MemberStep::Open(role) => {
                    let number = self.next_link;
                    self.next_link += 1;
                    let Some(member) = self.members.get_mut(address) else { continue };
                    member.set_link(role, Some(number));
                    let link = LinkId { address: address.clone(), role, number };
                    self.actions.push_back(Action::OpenLink(link));
                }
                MemberStep::Send(role, message) => {
                    if let Some(link) = self.link(address, role) {
                        self.actions.push_back(Action::Send(link, message));
                    }
                }
                MemberStep::Close(role) => self.close_link(address, role),
                MemberStep::Notify(kind) => self.notify(now, kind),
                MemberStep::Checked(reply) => {
                    self.checked(now, address, *reply);
                    self.proceed(now, address);
                }
                MemberStep::CheckFailed(error) => {
                    self.check_failed(now, address, &error);
                    self.proceed(now, address);
                }
                MemberStep::RttChanged => self.refresh_rtt(address),
            }
        }
    }

    /// Lets the monitor go on after a check, if its server is still a member.
    fn proceed(&mut self, now: Instant, address: &ServerAddress) {
        let Some(member) = self.members.get_mut(address) else { return };
        let mut steps = Vec::new();
        member.proceed(now, &mut steps);
        self.perform(now, address, steps);
    }

    /// A check succeeded.
    fn checked(&mut self, now: Instant, address: &ServerAddress, reply: HelloReply) {
        let Some(member) = self.members.get_mut(address) else { return };
        let mut server = ServerDescription::from_reply(address.clone(), reply, now);
        member.describe_rtt(&mut server);
        self.replace(now, server);
    }

    /// Server monitoring "Network or command error during server check".
    fn check_failed(&mut self, now: Instant, address: &ServerAddress, error: &LinkError) {
        let message: Arc<str> = error.message().into();
        let mut unknown =
            ServerDescription::failed(address.clone(), DescriptionError::new(now, message.clone()));
        unknown.topology_version = error.topology_version();
        self.replace(now, unknown);
        self.clear_pool(address, message, error.is_timeout());
    }

    /// SDAM "Application errors".
    fn operation_failed(&mut self, now: Instant, failed: &Failure) {
        let address = &failed.address;
        let Some(member) = self.members.get(address) else { return };
        let known = self.topology.server(address).and_then(|server| server.topology_version);
        let load_balanced = self.topology.topology_type == TopologyType::LoadBalanced;
        match failure::judge(failed, member.generation, known.as_ref()) {
            Reaction::Ignore => {}
            Reaction::StateChanged { message, topology_version, clear } => {
                if !load_balanced {
                    self.mark_unknown(now, address, message.clone(), topology_version);
                }
                if clear {
                    self.clear_pool(address, message, false);
                }
                if let Some(member) = self.members.get_mut(address) {
                    member.doubt();
                }
            }
            Reaction::Lost { message } => {
                if !load_balanced {
                    self.mark_unknown(now, address, message.clone(), None);
                }
                self.clear_pool(address, message, false);
                self.cancel_check(now, address);
            }
        }
    }

    fn mark_unknown(
        &mut self,
        now: Instant,
        address: &ServerAddress,
        message: Arc<str>,
        topology_version: Option<crate::engine::hello::TopologyVersion>,
    ) {
        let error = DescriptionError::new(now, message);
        let mut unknown = ServerDescription::failed(address.clone(), error);
        unknown.topology_version = topology_version;
        self.replace(now, unknown);
    }

    fn cancel_check(&mut self, now: Instant, address: &ServerAddress) {
        let Some(member) = self.members.get_mut(address) else { return };
        let mut steps = Vec::new();
        member.cancel_check(now, &mut steps);
        self.perform(now, address, steps);
    }

    fn clear_pool(&mut self, address: &ServerAddress, reason: Arc<str>, interrupt_in_use: bool) {
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
    fn handshaken(&mut self, now: Instant, address: ServerAddress, reply: HelloReply) {
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
    fn refresh_rtt(&mut self, address: &ServerAddress) {
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
    fn replace(&mut self, now: Instant, server: ServerDescription) {
        let address = server.address.clone();
        let next = update::update(&self.topology, server, self.settings.seeds.len());
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
    }

    /// Makes `next` what is believed: opens and closes servers, tells everybody.
    fn install(&mut self, now: Instant, next: TopologyDescription, heard: Option<&ServerAddress>) {
        let previous = std::mem::replace(&mut self.topology, Arc::new(next));
        let next = self.topology.clone();
        self.close_departed(now, &next);
        self.open_arrived(now, &next);
        self.check_displaced(&previous, &next, heard);
        for kind in notice::diff(&previous, &next, heard) {
            self.notify(now, kind);
        }
        self.actions.push_back(Action::Publish(next));
    }

    fn close_departed(&mut self, now: Instant, next: &TopologyDescription) {
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

    fn open_arrived(&mut self, now: Instant, next: &TopologyDescription) {
        let monitored = next.topology_type != TopologyType::LoadBalanced;
        for address in next.servers.keys() {
            if !self.members.contains_key(address) {
                let mut member = Member::new(address, &self.settings.monitor, now, monitored);
                member.expedite(self.demand);
                self.members.insert(address.clone(), member);
                self.actions.push_back(Action::OpenPool(address.clone()));
            }
        }
    }

    /// SD-80: a primary that another one has displaced is checked at once; its pool is kept.
    fn check_displaced(
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
            }
        }
    }

    fn link(&self, address: &ServerAddress, role: LinkRole) -> Option<LinkId> {
        let number = self.members.get(address)?.link(role)?;
        Some(LinkId { address: address.clone(), role, number })
    }

    fn close_link(&mut self, address: &ServerAddress, role: LinkRole) {
        if let Some(link) = self.link(address, role) {
            self.actions.push_back(Action::CloseLink(link));
        }
        if let Some(member) = self.members.get_mut(address) {
            member.set_link(role, None);
        }
    }

    fn notify(&mut self, at: Instant, kind: EventKind) {
        let topology_id = self.settings.topology_id;
        self.actions.push_back(Action::Notify(notice::Event { at, topology_id, kind }));
    }
}

/// The range of wire versions that this driver speaks.
pub const WIRE_VERSIONS: std::ops::RangeInclusive<i32> =
    wire_versions::MIN_WIRE_VERSION..=wire_versions::MAX_WIRE_VERSION;

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
