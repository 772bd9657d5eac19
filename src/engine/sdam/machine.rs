//! The topology machine: descriptions, monitors and probes of all servers of one deployment.
//!
//! One input, then drain: [`Sdam::handle`], then [`Sdam::poll_action`] until `None`. An
//! [`Event::Elapsed`] is due at [`Sdam::poll_timeout`]; later is harmless, and much later says that
//! the process stood still ([`super::standstill`]).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::events::{Action, Event, LinkId, LinkRole};
use super::failover::{Detection, FailoverWatch};
use super::member::{Member, MemberStep};
use super::monitor::{MIN_HEARTBEAT_FREQUENCY, Source};
use super::notice::{self, EventKind};
use super::rescan::Rescan;
use super::scan::Scanner;
use super::server::ServerDescription;
use super::settings::SdamSettings;
use super::topology::{TopologyDescription, TopologyType};
use super::wire_versions;
use crate::engine::address::ServerAddress;
use crate::engine::hello::HelloReply;
use crate::engine::map::SortedMap;
use crate::engine::time::Instant;

/// The topology machine.
#[derive(Debug)]
pub struct Sdam {
    pub(super) settings: SdamSettings,
    pub(super) topology: Arc<TopologyDescription>,
    pub(super) members: SortedMap<ServerAddress, Member>,
    pub(super) actions: VecDeque<Action>,
    pub(super) failover: FailoverWatch,
    /// How the outcome at hand says that a primary was lost.
    pub(super) detection: Detection,
    /// When to look at the operations in flight; `None` while there are none.
    pub(super) next_look: Option<Instant>,
    pub(super) next_link: u64,
    pub(super) rescan: Option<Rescan>,
    /// The scans of on-demand monitoring; `None` in the background.
    pub(super) scanner: Option<Scanner>,
    pub(super) demand: bool,
    /// For how long nobody ran though the clock went on.
    pub(super) stood_still: Duration,
    pub(super) closed: bool,
}

impl Sdam {
    /// A machine that knows nothing yet and does nothing before [`Event::Open`].
    pub fn new(mut settings: SdamSettings) -> Self {
        // A seed that is named twice is one seed: how many there are decides about a standalone.
        let mut known = SortedMap::new();
        settings.seeds.retain(|seed| known.insert(seed.clone(), ()).is_none());
        // Load balancers "Monitoring": no connection of its own, and none of the servers is known.
        settings.suspicion.enabled &= !settings.load_balanced;
        Self {
            rescan: settings.rescan.clone().map(Rescan::new),
            scanner: settings.scan.map(Scanner::new),
            settings,
            topology: Arc::new(TopologyDescription::empty()),
            members: SortedMap::new(),
            actions: VecDeque::new(),
            failover: FailoverWatch::default(),
            detection: Detection::ServerSaidSo,
            next_look: None,
            next_link: 1,
            demand: false,
            stood_still: Duration::ZERO,
            closed: false,
        }
    }

    /// What the machine was made with.
    pub fn settings(&self) -> &SdamSettings {
        &self.settings
    }

    /// What is believed now.
    pub fn topology(&self) -> &Arc<TopologyDescription> {
        &self.topology
    }

    /// The generation of the pool of `address`; `None` where it is no member.
    pub fn pool_generation(&self, address: &ServerAddress) -> Option<u64> {
        self.members.get(address).map(|member| member.generation)
    }

    /// The new primary whose first success completes a failover: the shell tells it by
    /// [`Event::Succeeded`].
    pub fn awaited_success(&self) -> Option<&ServerAddress> {
        self.failover.awaited()
    }

    /// The interval of checks of each server at this moment: the least that is allowed while an
    /// operation waits for a server, else the one of the settings.
    pub fn monitoring_interval(&self) -> Duration {
        match self.demand {
            true => MIN_HEARTBEAT_FREQUENCY,
            false => self.settings.monitor.heartbeat_frequency,
        }
    }

    /// The next action; `None` when the latest input has been answered completely.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to send [`Event::Elapsed`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.is_attended() {
            return None;
        }
        let members = self.members.values().filter_map(Member::timeout);
        members.chain(self.next_look).chain(self.rescan_timeout()).chain(self.scan_timeout()).min()
    }

    /// Takes one input that happened at `now`.
    pub fn handle(&mut self, now: Instant, event: Event) {
        debug_assert!(self.actions.is_empty(), "drain poll_action before the next input");
        if self.closed {
            return;
        }
        if !matches!(event, Event::Close) {
            self.notice_standstill(now);
        }
        match event {
            Event::Open => self.open(now),
            Event::Close => self.close(now),
            Event::Elapsed => self.elapse(now),
            Event::Opened(link) => {
                self.with_link(now, &link, |member, steps| member.opened(now, link.role, steps));
            }
            Event::Resumed(link) => {
                self.with_link(now, &link, |member, steps| member.resumed(now, link.role, steps));
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
            Event::Succeeded(address) => {
                if let Some(timeline) = self.failover.succeeded(now, &address) {
                    self.notify(now, EventKind::FailoverCompleted { timeline });
                    self.actions.push_back(Action::Publish(self.topology.clone()));
                }
            }
            Event::Busy => self.next_look = self.look_after(now),
            Event::InFlight(oldest) => self.judge_in_flight(now, &oldest),
            Event::LookedUp { number, answer } => self.looked_up(now, number, answer),
            Event::Named(library) => {
                // Whoever gave it has told its caller what is wrong with it.
                let _ = self.settings.monitor.metadata.append(&library);
                let settings = Arc::new(self.settings.monitor.clone());
                self.members.values_mut().for_each(|member| member.describe(&settings));
            }
            Event::Demand(demand) => self.demanded(demand),
            Event::Attended(attended) => self.attended(now, attended),
            Event::Stale => self.outdated(),
        }
        self.scan(now);
    }

    fn demanded(&mut self, demand: bool) {
        self.demand = demand;
        if self.scanner.is_none() {
            self.members.values_mut().for_each(|member| member.expedite(demand));
        }
    }

    /// What there is to believe before [`Event::Open`]: the seeds, as Unknown servers.
    pub fn seeded(&self) -> TopologyDescription {
        let mut seeded = TopologyDescription::empty();
        seeded.topology_type = self.settings.initial_type();
        seeded.set_name.clone_from(&self.settings.set_name);
        for seed in &self.settings.seeds {
            let unknown = Arc::new(ServerDescription::unknown(seed.clone()));
            seeded.servers.insert(seed.clone(), unknown);
        }
        seeded
    }

    /// SDAM "Client construction": the seeds become Unknown servers.
    fn open(&mut self, now: Instant) {
        let seeded = self.seeded();
        self.open_scanner();
        self.notify(now, EventKind::TopologyOpening);
        self.rescan(now, |rescan, _| rescan.start(now));
        self.install(now, seeded, None);
        self.restore(now);
        if self.topology.topology_type == TopologyType::LoadBalanced {
            // Load balancers "Monitoring": the one server is known without a check.
            for address in self.settings.seeds.clone() {
                self.actions.push_back(Action::ReadyPool(address.clone()));
                self.replace(now, ServerDescription::load_balancer(address));
            }
        }
    }

    /// Believes what was learned before, until the checks that begin now say otherwise.
    fn restore(&mut self, now: Instant) {
        let Some(snapshot) = self.settings.snapshot.take() else { return };
        let set_name = self.settings.set_name.as_deref();
        if !snapshot.fits(set_name, &self.settings.seeds) {
            return;
        }
        let mut topology = TopologyDescription::clone(&self.topology);
        for server in snapshot.servers() {
            let unknown = || Arc::new(ServerDescription::unknown(server.address.clone()));
            topology.servers.get_or_insert_with(server.address.clone(), unknown);
        }
        self.install(now, topology, None);
        for server in snapshot.servers() {
            let Some(member) = self.members.get_mut(&server.address) else { continue };
            let Some(reply) = &server.reply else { continue };
            member.remember_rtt(server.round_trip_time());
            let reply = HelloReply::clone(reply);
            let mut known = ServerDescription::from_reply(server.address.clone(), reply, now);
            member.describe_rtt(&mut known);
            self.replace(now, known);
        }
    }

    /// SDAM "Client closing".
    fn close(&mut self, now: Instant) {
        self.closed = true;
        self.rescan(now, |rescan, steps| rescan.close(steps));
        self.install(now, TopologyDescription::empty(), None);
        self.notify(now, EventKind::TopologyClosed);
    }

    fn elapse(&mut self, now: Instant) {
        if self.next_look.is_some_and(|look| look <= now) {
            self.next_look = None;
            self.actions.push_back(Action::ReportInFlight);
        }
        self.elapse_rescan(now);
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

    pub(super) fn perform(
        &mut self,
        now: Instant,
        address: &ServerAddress,
        steps: Vec<MemberStep>,
    ) {
        for step in steps {
            match step {
                MemberStep::Open(role, source) => {
                    let number = self.next_link;
                    self.next_link += 1;
                    let Some(member) = self.members.get_mut(address) else { continue };
                    member.set_link(role, Some(number));
                    let link = LinkId { address: address.clone(), role, number };
                    self.actions.push_back(match source {
                        Source::New => Action::OpenLink(link),
                        Source::Offered => Action::BorrowLink { link, idle: false },
                        Source::Operations => Action::BorrowLink { link, idle: true },
                    });
                }
                MemberStep::Send(role, message) => {
                    if let Some(link) = self.link(address, role) {
                        self.actions.push_back(Action::Send(link, message));
                    }
                }
                MemberStep::Greet(role, message) => {
                    if let Some(link) = self.link(address, role) {
                        self.actions.push_back(Action::Greet(link, message));
                    }
                }
                MemberStep::Close(role) => self.close_link(address, role),
                MemberStep::Offer(reply) => {
                    self.let_go(address, |link| Action::OfferLink { link, reply });
                }
                MemberStep::GiveBack => self.let_go(address, Action::ReturnLink),
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
                MemberStep::CheckAgain => self.scan_again(address),
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

    fn link(&self, address: &ServerAddress, role: LinkRole) -> Option<LinkId> {
        let number = self.members.get(address)?.link(role)?;
        Some(LinkId { address: address.clone(), role, number })
    }

    /// The heartbeat's link is an operation's.
    fn let_go(&mut self, address: &ServerAddress, action: impl FnOnce(LinkId) -> Action) {
        let role = LinkRole::Heartbeat;
        if let Some(link) = self.link(address, role) {
            self.actions.push_back(action(link));
        }
        if let Some(member) = self.members.get_mut(address) {
            member.set_link(role, None);
        }
    }

    fn close_link(&mut self, address: &ServerAddress, role: LinkRole) {
        if let Some(link) = self.link(address, role) {
            self.actions.push_back(Action::CloseLink(link));
        }
        if let Some(member) = self.members.get_mut(address) {
            member.set_link(role, None);
        }
    }

    pub(super) fn notify(&mut self, at: Instant, kind: EventKind) {
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
