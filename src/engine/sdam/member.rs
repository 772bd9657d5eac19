//! One server of the topology: its monitor, its probe, its round-trip times, its pool's generation.

use std::sync::Arc;
use std::time::Duration;

use super::events::LinkRole;
use super::link::LinkError;
use super::monitor::{self, Monitor, Sample, Source};
use super::notice::{EventKind, HeartbeatConnection};
use super::probe::{self, Probe};
use super::rtt::RttAverage;
use super::scan::COOLDOWN;
use super::server::ServerDescription;
use super::settings::MonitorSettings;
use super::suspicion::{self, Judgement, Standing, SuspicionSettings};
use crate::engine::address::ServerAddress;
use crate::engine::hello::HelloReply;
use crate::engine::time::Instant;

/// What a member wants done or made known.
#[derive(Debug)]
pub(super) enum MemberStep {
    Open(LinkRole, Source),
    Send(LinkRole, Vec<u8>),
    Greet(LinkRole, Vec<u8>),
    Close(LinkRole),
    Offer(Arc<HelloReply>),
    GiveBack,
    Notify(EventKind),
    Checked(Box<HelloReply>),
    CheckFailed(LinkError),
    RttChanged,
    /// The scan is to check the server once more.
    CheckAgain,
}

/// One server of the topology.
#[derive(Debug)]
pub(super) struct Member {
    address: ServerAddress,
    monitor: Option<Monitor>,
    probe: Probe,
    rtt: RttAverage,
    heartbeat_link: Option<u64>,
    rtt_link: Option<u64>,
    /// How many connections the monitor has opened, for the names of heartbeat events.
    heartbeat_connections: u64,
    /// The server's number of the latest of them, once it has said it.
    server_connection_id: Option<i64>,
    /// Whether the latest of them is still in use.
    heartbeat_connected: bool,
    streaming: bool,
    standing: Standing,
    /// Until when a scan passes over the server, which could not be reached.
    cooling: Option<Instant>,
    /// Whether it was checked for a second time for the sake of a round-trip time.
    looked_again: bool,
    pub(super) generation: u64,
}

impl Member {
    /// The client says something else of itself on connections that are opened from now on.
    pub(super) fn describe(&mut self, settings: &Arc<MonitorSettings>) {
        if let Some(monitor) = &mut self.monitor {
            monitor.describe(settings.clone());
        }
        self.probe.describe(settings.clone());
    }

    /// A member whose first check is due at `now`, if it is `monitored` at all; on demand, when it
    /// is ordered.
    pub(super) fn new(
        address: &ServerAddress,
        settings: &MonitorSettings,
        now: Instant,
        monitored: bool,
        on_demand: bool,
    ) -> Self {
        let settings = Arc::new(settings.clone());
        Self {
            address: address.clone(),
            streaming: settings.streaming && !on_demand,
            standing: Standing::default(),
            monitor: monitored.then(|| Monitor::new(settings.clone(), now, on_demand)),
            probe: Probe::new(settings),
            rtt: RttAverage::new(),
            heartbeat_link: None,
            rtt_link: None,
            heartbeat_connections: 0,
            server_connection_id: None,
            heartbeat_connected: false,
            cooling: None,
            looked_again: false,
            generation: 0,
        }
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        let monitor = self.monitor.as_ref().and_then(Monitor::timeout);
        [monitor, self.probe.timeout()].into_iter().flatten().min()
    }

    pub(super) fn link(&self, role: LinkRole) -> Option<u64> {
        match role {
            LinkRole::Heartbeat => self.heartbeat_link,
            LinkRole::Rtt => self.rtt_link,
        }
    }

    pub(super) fn set_link(&mut self, role: LinkRole, number: Option<u64>) {
        match role {
            LinkRole::Heartbeat => self.heartbeat_link = number,
            LinkRole::Rtt => self.rtt_link = number,
        }
    }

    pub(super) fn expedite(&mut self, expedited: bool) {
        if let Some(monitor) = &mut self.monitor {
            monitor.expedite(expedited);
        }
    }

    /// What is known of the server is in doubt: check it as soon as the minimum allows.
    pub(super) fn doubt(&mut self) {
        if let Some(monitor) = &mut self.monitor {
            monitor.request_check();
        }
    }

    /// Orders a check, on demand.
    pub(super) fn order(&mut self, now: Instant, steps: &mut Vec<MemberStep>) {
        self.monitored(now, steps, |monitor, steps| monitor.order(now, steps));
    }

    /// Whether the server is checked at all.
    pub(super) fn is_monitored(&self) -> bool {
        self.monitor.is_some()
    }

    pub(super) fn is_checking(&self) -> bool {
        self.monitor.as_ref().is_some_and(Monitor::is_checking)
    }

    /// Whether a check failed by the network less than [`COOLDOWN`] before `now`.
    pub(super) fn is_cooling(&self, now: Instant) -> bool {
        self.cooling.is_some_and(|until| now < until)
    }

    /// Somebody runs again after `pause`, on demand; see [`Monitor::resume`].
    pub(super) fn resume(
        &mut self,
        now: Instant,
        pause: Duration,
        steps: &mut Vec<MemberStep>,
    ) -> bool {
        let mut given_up = false;
        self.monitored(now, steps, |monitor, steps| given_up = monitor.resume(now, pause, steps));
        given_up
    }

    /// Nobody runs from now on, on demand: the probe is for operations that wait.
    pub(super) fn rest(&mut self, now: Instant, steps: &mut Vec<MemberStep>) {
        self.standing.forgive(now);
        self.probed(now, steps, Probe::close);
    }

    /// Goes on from an average that was learned before.
    pub(super) fn remember_rtt(&mut self, average: Option<Duration>) {
        self.rtt = average.map_or_else(RttAverage::new, RttAverage::with_average);
    }

    /// The oldest operation in flight on the server was sent at `since`.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        since: Instant,
        settings: &SuspicionSettings,
        steps: &mut Vec<MemberStep>,
    ) -> Judgement {
        let patience = suspicion::patience(settings, self.rtt.average());
        let judgement = self.standing.judge(now, since, patience);
        if judgement == Judgement::Probe {
            self.probe.ask_now(now);
            self.probed(now, steps, |probe, steps| probe.elapse(now, steps));
        }
        judgement
    }

    /// A sign of life.
    fn trust(&mut self, now: Instant, steps: &mut Vec<MemberStep>) {
        if self.standing.clear(now) {
            let address = self.address.clone();
            steps.push(MemberStep::Notify(EventKind::ServerTrusted { address }));
        }
    }

    pub(super) fn describe_rtt(&self, server: &mut ServerDescription) {
        server.round_trip_time = self.rtt.average();
        server.min_round_trip_time = self.rtt.min();
        server.suspect = self.standing == Standing::Suspect;
    }

    pub(super) fn elapse(&mut self, now: Instant, steps: &mut Vec<MemberStep>) {
        self.monitored(now, steps, |monitor, steps| monitor.elapse(now, steps));
        self.probed(now, steps, |probe, steps| probe.elapse(now, steps));
    }

    pub(super) fn opened(&mut self, now: Instant, role: LinkRole, steps: &mut Vec<MemberStep>) {
        match role {
            LinkRole::Heartbeat => self.monitored(now, steps, |m, steps| m.opened(now, steps)),
            LinkRole::Rtt => self.probed(now, steps, |probe, steps| probe.opened(now, steps)),
        }
    }

    /// The link is one that has shaken hands before.
    pub(super) fn resumed(&mut self, now: Instant, role: LinkRole, steps: &mut Vec<MemberStep>) {
        match role {
            LinkRole::Heartbeat => self.monitored(now, steps, |m, steps| m.resumed(now, steps)),
            LinkRole::Rtt => self.probed(now, steps, |probe, steps| probe.resumed(now, steps)),
        }
    }

    pub(super) fn received(
        &mut self,
        now: Instant,
        role: LinkRole,
        message: Vec<u8>,
        written: Instant,
        steps: &mut Vec<MemberStep>,
    ) {
        match role {
            LinkRole::Heartbeat => {
                self.monitored(now, steps, |m, steps| m.received(now, message, written, steps));
            }
            LinkRole::Rtt => {
                self.probed(now, steps, |probe, steps| {
                    probe.received(now, message, written, steps);
                });
            }
        }
    }

    pub(super) fn broken(
        &mut self,
        now: Instant,
        role: LinkRole,
        error: LinkError,
        steps: &mut Vec<MemberStep>,
    ) {
        self.set_link(role, None);
        match role {
            LinkRole::Heartbeat => {
                self.monitored(now, steps, |m, steps| m.broken(now, error, steps));
            }
            LinkRole::Rtt => self.probe.broken(now),
        }
    }

    /// The outcome of the latest check has been applied: goes on with what follows it.
    pub(super) fn proceed(&mut self, now: Instant, steps: &mut Vec<MemberStep>) {
        self.monitored(now, steps, |monitor, steps| monitor.proceed(now, steps));
    }

    pub(super) fn cancel_check(&mut self, now: Instant, steps: &mut Vec<MemberStep>) {
        let reason = "the check was cancelled: an operation found the server unreachable";
        self.rtt.reset();
        self.monitored(now, steps, |monitor, steps| monitor.cancel(now, reason, steps));
    }

    /// The process stood still: whatever is open may be half-open, and silence says nothing.
    pub(super) fn restart(&mut self, now: Instant, steps: &mut Vec<MemberStep>) {
        let reason = "the process stood still";
        self.rtt.reset();
        self.standing.forgive(now);
        self.probed(now, steps, Probe::close);
        self.monitored(now, steps, |monitor, steps| monitor.restart(now, reason, steps));
    }

    pub(super) fn close(
        &mut self,
        now: Instant,
        reason: &'static str,
        steps: &mut Vec<MemberStep>,
    ) {
        self.monitored(now, steps, |monitor, steps| monitor.close(now, reason, steps));
        self.probed(now, steps, Probe::close);
    }

    fn monitored(
        &mut self,
        now: Instant,
        steps: &mut Vec<MemberStep>,
        tell: impl FnOnce(&mut Monitor, &mut Vec<monitor::Step>),
    ) {
        let Some(monitor) = &mut self.monitor else { return };
        let mut inner = Vec::new();
        tell(monitor, &mut inner);
        for step in inner {
            self.monitor_step(now, step, steps);
        }
    }

    fn monitor_step(&mut self, now: Instant, step: monitor::Step, steps: &mut Vec<MemberStep>) {
        use monitor::Step;
        let role = LinkRole::Heartbeat;
        match step {
            Step::Started { awaited } => {
                if !std::mem::replace(&mut self.heartbeat_connected, true) {
                    self.heartbeat_connections += 1;
                    self.server_connection_id = None;
                }
                let connection = self.connection();
                let kind = EventKind::ServerHeartbeatStarted { connection, awaited };
                steps.push(MemberStep::Notify(kind));
            }
            Step::Open(source) => steps.push(MemberStep::Open(role, source)),
            Step::Send(message) => steps.push(MemberStep::Send(role, message)),
            Step::Greet(message) => steps.push(MemberStep::Greet(role, message)),
            Step::GiveBack => {
                self.heartbeat_connected = false;
                steps.push(MemberStep::GiveBack);
            }
            Step::Close => {
                self.heartbeat_connected = false;
                steps.push(MemberStep::Close(role));
            }
            Step::Succeeded { awaited, offer, duration, reply, document, sample } => {
                self.learned(now, &reply, (sample, offer), steps);
                self.trust(now, steps);
                let said = Arc::new(HelloReply::clone(&reply));
                if offer {
                    // Before anybody hears of the server, so that it is there for who waits.
                    self.heartbeat_connected = false;
                    steps.push(MemberStep::Offer(said.clone()));
                }
                steps.push(MemberStep::Notify(EventKind::ServerHeartbeatSucceeded {
                    connection: self.connection(),
                    awaited,
                    duration,
                    reply: said,
                    document,
                }));
                steps.push(MemberStep::Checked(reply));
            }
            Step::Failed { awaited, duration, error } => {
                self.rtt.reset();
                self.cooling = error.is_network().then(|| now + COOLDOWN);
                let failure = error.message().into();
                self.notify_failed(awaited, duration, failure, steps);
                steps.push(MemberStep::CheckFailed(error));
            }
            Step::Cancelled { awaited, duration, reason } => {
                self.notify_failed(awaited, duration, reason.into(), steps);
            }
        }
    }

    /// What a successful check says about round-trip times and the connection.
    fn learned(
        &mut self,
        now: Instant,
        reply: &HelloReply,
        (sample, offer): (Sample, bool),
        steps: &mut Vec<MemberStep>,
    ) {
        match sample {
            Sample::Streamed => {}
            Sample::Measured(sample) => self.rtt.add(now, sample),
            Sample::AtLeast(_) if self.rtt.average().is_some() => {}
            // Without a round-trip time the server would count as near: look once more, and make
            // do with less if that does not succeed either.
            Sample::AtLeast(sample) if self.looked_again => self.rtt.add(now, sample),
            Sample::AtLeast(_) => {
                self.looked_again = true;
                steps.push(MemberStep::CheckAgain);
            }
        }
        if self.streaming && reply.topology_version.is_some() {
            self.probe.start(now, offer);
        }
        self.server_connection_id = reply.connection_id;
        self.cooling = None;
    }

    fn notify_failed(
        &self,
        awaited: bool,
        duration: Duration,
        failure: Arc<str>,
        steps: &mut Vec<MemberStep>,
    ) {
        let connection = self.connection();
        let kind = EventKind::ServerHeartbeatFailed { connection, awaited, duration, failure };
        steps.push(MemberStep::Notify(kind));
    }

    fn probed(
        &mut self,
        now: Instant,
        steps: &mut Vec<MemberStep>,
        tell: impl FnOnce(&mut Probe, &mut Vec<probe::Step>),
    ) {
        use probe::Step;
        let role = LinkRole::Rtt;
        let mut inner = Vec::new();
        tell(&mut self.probe, &mut inner);
        for step in inner {
            match step {
                Step::Open(source) => steps.push(MemberStep::Open(role, source)),
                Step::Send(message) => steps.push(MemberStep::Send(role, message)),
                Step::Close => steps.push(MemberStep::Close(role)),
                Step::Sample(sample) => {
                    self.rtt.add(now, sample);
                    self.trust(now, steps);
                    steps.push(MemberStep::RttChanged);
                }
            }
        }
    }

    fn connection(&self) -> HeartbeatConnection {
        HeartbeatConnection {
            address: self.address.clone(),
            number: self.heartbeat_connections,
            server_connection_id: self.server_connection_id,
        }
    }
}
