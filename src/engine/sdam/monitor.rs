//! One server's monitor: when it is checked, and what follows from the outcome.
//!
//! The machine of server-monitoring "Multi-threaded or asynchronous monitoring", for one server.
//! It polls, or streams where the server can (awaitable hello with exhaust). Its connection is its
//! own, without authentication. It speaks in [`Step`]s; the topology machine gives them addresses.
//!
//! On demand ([`super::scan`]) the same machine has no schedule: it checks when it is ordered to,
//! on a connection that it gives back to the operations behind every check.
//!
//! While an operation waits, the connection of a server's first check is offered to it: it has
//! shaken hands, and a new one would cost two round trips more. The monitor streams on a new one;
//! what nobody takes within half a second serves the probe, or the next check of one that polls.

use std::sync::Arc;
use std::time::Duration;

use super::link::{self, Exchange, LinkError};
use super::settings::MonitorSettings;
pub(super) use super::step::{Sample, Source, Step};
use crate::engine::hello::TopologyVersion;
use crate::engine::time::Instant;

/// The least time from the end of a check to the start of the next ("minHeartbeatFrequencyMS");
/// fixed by the specification.
pub const MIN_HEARTBEAT_FREQUENCY: Duration = Duration::from_millis(500);

/// The states, each with what only it knows. The name says what is awaited.
#[derive(Debug)]
enum State {
    /// The time of the next check; `earliest` is how far it may be brought forward.
    AwaitingCheck { until: Instant, earliest: Instant },
    /// The order to check, on demand.
    AwaitingOrder,
    /// The connection to open.
    AwaitingConnection { check: Check },
    /// A reply to a hello that is answered at once.
    AwaitingReply { check: Check },
    /// A reply that the server holds back until something changes.
    AwaitingChange { check: Check },
    /// That the outcome of a check is applied to the topology, which may remove this server.
    AwaitingVerdict { next: Next },
    /// Nothing any more.
    Closed,
}

/// What follows a check, once its outcome is applied.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// Read the next reply of the stream.
    ReadOn,
    /// Send an awaitable hello.
    AwaitChange(TopologyVersion),
    /// Check again at once, once.
    Retry,
    /// Sleep.
    Sleep,
    /// The same on a new connection: this one is in other hands.
    AwaitChangeAnew(TopologyVersion),
}

/// A check that is under way.
#[derive(Clone, Copy, Debug)]
struct Check {
    started: Instant,
    deadline: Option<Instant>,
    /// For how long nobody ran in the middle of it.
    paused: Duration,
    /// While the connection is made on which the change since this version is awaited.
    change: Option<TopologyVersion>,
}

/// The monitor of one server.
#[derive(Debug)]
pub(super) struct Monitor {
    settings: Arc<MonitorSettings>,
    state: State,
    exchange: Exchange,
    /// Set while an operation waits for a server: checks then come as often as the minimum allows.
    expedited: bool,
    /// Whether the latest check succeeded.
    known: bool,
    /// Whether checks are ordered, rather than scheduled.
    on_demand: bool,
    /// Whether the latest connection was offered to operations.
    offered: bool,
}

impl Monitor {
    /// A monitor whose first check is due at `now`, or when it is ordered.
    pub(super) fn new(settings: Arc<MonitorSettings>, now: Instant, on_demand: bool) -> Self {
        let scheduled = State::AwaitingCheck { until: now, earliest: now };
        Self {
            exchange: Exchange::new(settings.clone()),
            settings,
            state: if on_demand { State::AwaitingOrder } else { scheduled },
            expedited: false,
            known: false,
            on_demand,
            offered: false,
        }
    }

    /// What the client says of itself has changed.
    pub(super) fn describe(&mut self, settings: Arc<MonitorSettings>) {
        self.exchange.describe(settings.clone());
        self.settings = settings;
    }

    /// The earliest deadline.
    pub(super) fn timeout(&self) -> Option<Instant> {
        match &self.state {
            State::AwaitingCheck { until, .. } => Some(*until),
            State::AwaitingConnection { check }
            | State::AwaitingReply { check }
            | State::AwaitingChange { check } => check.deadline,
            State::AwaitingOrder | State::AwaitingVerdict { .. } | State::Closed => None,
        }
    }

    /// Whether a check is under way.
    pub(super) fn is_checking(&self) -> bool {
        self.check().is_some() || matches!(self.state, State::AwaitingVerdict { .. })
    }

    /// The order to check now; ignored while a check is under way.
    pub(super) fn order(&mut self, now: Instant, steps: &mut Vec<Step>) {
        if matches!(self.state, State::AwaitingOrder) {
            self.start_check(now, steps);
        }
    }

    /// Nobody ran for `pause`, on demand, and somebody does again. Whether a check that was under
    /// way was given up: its connection may be half-open by now.
    pub(super) fn resume(&mut self, now: Instant, pause: Duration, steps: &mut Vec<Step>) -> bool {
        let Some(check) = self.check_mut() else { return false };
        if pause < MIN_HEARTBEAT_FREQUENCY {
            check.deadline = check.deadline.map(|deadline| deadline + pause);
            check.paused += pause;
            return false;
        }
        self.cancel(now, "no operation was under way", steps);
        true
    }

    /// Time has come to `now`: starts a check that is due, ends one that takes too long.
    pub(super) fn elapse(&mut self, now: Instant, steps: &mut Vec<Step>) {
        if self.timeout().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::AwaitingCheck { .. } => self.start_check(now, steps),
            State::AwaitingConnection { .. } => {
                let limit = self.settings.connect_timeout;
                self.fail(now, LinkError::timeout("no connection", limit), steps);
            }
            State::AwaitingReply { .. } => {
                let limit = self.settings.connect_timeout;
                self.fail(now, LinkError::timeout("no reply to hello", limit), steps);
            }
            State::AwaitingChange { .. } => {
                let frequency = self.settings.heartbeat_frequency;
                let limit = self.settings.connect_timeout.saturating_add(frequency);
                self.fail(now, LinkError::timeout("no reply to an awaitable hello", limit), steps);
            }
            State::AwaitingOrder | State::AwaitingVerdict { .. } | State::Closed => {}
        }
    }

    /// Whether an operation waits for a server ("request immediate check", repeated).
    ///
    /// Wakes a sleeping monitor, but not earlier than 500 ms after its latest check; ignored while
    /// a check runs, and in force as soon as that check has ended.
    pub(super) fn expedite(&mut self, expedited: bool) {
        self.expedited = expedited;
        if expedited {
            self.request_check();
        }
    }

    /// One "request immediate check".
    pub(super) fn request_check(&mut self) {
        if let State::AwaitingCheck { until, earliest } = &mut self.state {
            *until = (*until).min(*earliest);
        }
    }

    /// The connection is open.
    pub(super) fn opened(&mut self, now: Instant, steps: &mut Vec<Step>) {
        let greet = if self.may_offer() { Step::Greet } else { Step::Send };
        self.say_hello(now, steps, Exchange::first_hello, greet);
    }

    /// Whether operations are to have the connection once its first hello is answered.
    fn may_offer(&self) -> bool {
        self.on_demand || (self.expedited && !self.known)
    }

    /// The connection that was offered, or another one of the operations, is the monitor's again.
    pub(super) fn resumed(&mut self, now: Instant, steps: &mut Vec<Step>) {
        self.say_hello(now, steps, Exchange::hello_again, Step::Send);
    }

    fn say_hello(
        &mut self,
        now: Instant,
        steps: &mut Vec<Step>,
        hello: impl FnOnce(&mut Exchange) -> Vec<u8>,
        step: impl FnOnce(Vec<u8>) -> Step,
    ) {
        if let State::AwaitingConnection { check } = self.state {
            steps.push(step(hello(&mut self.exchange)));
            let deadline = after(now, self.settings.connect_timeout);
            self.state = State::AwaitingReply { check: Check { deadline, ..check } };
        }
    }

    /// A complete message arrived at `now`; the latest request was written at `written`.
    pub(super) fn received(
        &mut self,
        now: Instant,
        message: Vec<u8>,
        written: Instant,
        steps: &mut Vec<Step>,
    ) {
        let (check, awaited) = match self.state {
            State::AwaitingReply { check } => match check.change {
                None => (check, false),
                Some(version) => return self.greeted(now, check, version, message, steps),
            },
            State::AwaitingChange { check } => (check, true),
            // Not asked for: the connection cannot be trusted any more.
            State::AwaitingCheck { .. } => {
                self.exchange.reset();
                steps.push(Step::Close);
                return;
            }
            State::AwaitingOrder
            | State::AwaitingConnection { .. }
            | State::AwaitingVerdict { .. }
            | State::Closed => return,
        };
        match self.exchange.read(message) {
            // SM-22: a scan's connection is an operation's too, and not closed for that.
            Err(error) if self.on_demand && error.is_overload() => self.put_off(now, steps),
            Err(error) => self.fail(now, error, steps),
            Ok(answer) => {
                let offer = self.may_offer() && !answer.more_to_come;
                self.known = true;
                let version = answer.reply.topology_version;
                let next = match self.after_success(version, answer.more_to_come) {
                    Next::AwaitChange(version) if offer => Next::AwaitChangeAnew(version),
                    next => next,
                };
                if offer {
                    self.exchange.reset();
                    self.offered = matches!(next, Next::Sleep);
                }
                self.state = State::AwaitingVerdict { next };
                steps.push(Step::Succeeded {
                    awaited,
                    offer,
                    duration: now - check.started,
                    reply: Box::new(answer.reply),
                    document: Arc::new(answer.document),
                    sample: match awaited {
                        true => Sample::Streamed,
                        false if check.paused.is_zero() => Sample::Measured(now - written),
                        false => Sample::AtLeast((now - written).saturating_sub(check.paused)),
                    },
                });
            }
        }
    }

    /// The new connection has shaken hands: what is awaited on it is what has changed since the
    /// check before.
    fn greeted(
        &mut self,
        now: Instant,
        check: Check,
        version: TopologyVersion,
        message: Vec<u8>,
        steps: &mut Vec<Step>,
    ) {
        match self.exchange.read(message) {
            Err(error) => self.fail(now, error, steps),
            Ok(_) => {
                steps.push(Step::Send(self.exchange.awaitable_hello(version)));
                let deadline = self.change_deadline(now);
                self.state =
                    State::AwaitingChange { check: Check { deadline, change: None, ..check } };
            }
        }
    }

    /// The connection broke, or could not be opened.
    pub(super) fn broken(&mut self, now: Instant, error: LinkError, steps: &mut Vec<Step>) {
        match self.state {
            // An idle polling connection was closed by the server: the next check opens another.
            State::AwaitingCheck { .. } => self.exchange.reset(),
            State::AwaitingOrder | State::AwaitingVerdict { .. } | State::Closed => {}
            State::AwaitingConnection { .. }
            | State::AwaitingReply { .. }
            | State::AwaitingChange { .. } => self.fail(now, error, steps),
        }
    }

    /// The outcome of the latest check has been applied: goes on with what follows it.
    pub(super) fn proceed(&mut self, now: Instant, steps: &mut Vec<Step>) {
        let State::AwaitingVerdict { next } = self.state else { return };
        match next {
            Next::ReadOn => self.await_change(now, steps),
            Next::AwaitChange(version) => {
                self.await_change(now, steps);
                steps.push(Step::Send(self.exchange.awaitable_hello(version)));
            }
            Next::Retry => self.start_check(now, steps),
            Next::Sleep => self.sleep(now),
            Next::AwaitChangeAnew(version) => {
                steps.extend([Step::Started { awaited: true }, Step::Open(Source::New)]);
                let change = Some(version);
                self.state =
                    State::AwaitingConnection { check: Check { change, ..self.begin(now) } };
            }
        }
    }

    /// "cancelCheck": an application error has marked the server Unknown.
    pub(super) fn cancel(&mut self, now: Instant, reason: &'static str, steps: &mut Vec<Step>) {
        self.abandon(now, reason, steps);
        self.known = false;
        if !matches!(self.state, State::Closed) {
            self.sleep(now);
        }
    }

    /// The server left the topology, or the client is closing.
    pub(super) fn close(&mut self, now: Instant, reason: &'static str, steps: &mut Vec<Step>) {
        self.abandon(now, reason, steps);
        self.state = State::Closed;
    }

    /// Drops the connection, which may be half-open, and checks at once on a new one.
    pub(super) fn restart(&mut self, now: Instant, reason: &'static str, steps: &mut Vec<Step>) {
        if !matches!(self.state, State::Closed) {
            self.abandon(now, reason, steps);
            self.known = false;
            self.start_check(now, steps);
        }
    }

    fn abandon(&mut self, now: Instant, reason: &'static str, steps: &mut Vec<Step>) {
        let awaited = self.awaits_change();
        if let Some(check) = self.check() {
            steps.push(Step::Cancelled { awaited, duration: now - check.started, reason });
        }
        if self.exchange.is_open() || self.check().is_some() {
            steps.push(Step::Close);
        }
        self.exchange.reset();
    }

    fn check(&self) -> Option<Check> {
        match self.state {
            State::AwaitingConnection { check }
            | State::AwaitingReply { check }
            | State::AwaitingChange { check } => Some(check),
            State::AwaitingCheck { .. }
            | State::AwaitingOrder
            | State::AwaitingVerdict { .. }
            | State::Closed => None,
        }
    }

    fn check_mut(&mut self) -> Option<&mut Check> {
        match &mut self.state {
            State::AwaitingConnection { check }
            | State::AwaitingReply { check }
            | State::AwaitingChange { check } => Some(check),
            State::AwaitingCheck { .. }
            | State::AwaitingOrder
            | State::AwaitingVerdict { .. }
            | State::Closed => None,
        }
    }

    fn start_check(&mut self, now: Instant, steps: &mut Vec<Step>) {
        steps.push(Step::Started { awaited: false });
        let check = self.begin(now);
        if self.exchange.is_open() {
            steps.push(Step::Send(self.exchange.hello()));
            self.state = State::AwaitingReply { check };
        } else {
            let offered = std::mem::take(&mut self.offered);
            steps.push(Step::Open(match (self.on_demand, offered) {
                (true, _) => Source::Operations,
                (false, true) => Source::Offered,
                (false, false) => Source::New,
            }));
            self.state = State::AwaitingConnection { check };
        }
    }

    /// Stream on, begin to stream, or sleep ("Immediately proceed to the next check if …" of the
    /// specification's pseudo-code).
    fn after_success(&self, version: Option<TopologyVersion>, more_to_come: bool) -> Next {
        match version {
            _ if more_to_come => Next::ReadOn,
            Some(version) if self.settings.streaming && !self.on_demand => {
                Next::AwaitChange(version)
            }
            _ => Next::Sleep,
        }
    }

    fn await_change(&mut self, now: Instant, steps: &mut Vec<Step>) {
        steps.push(Step::Started { awaited: true });
        let deadline = self.change_deadline(now);
        self.state = State::AwaitingChange { check: Check { deadline, ..self.begin(now) } };
    }

    /// SM-32: a connect time-out of zero means no limit here either.
    fn change_deadline(&self, now: Instant) -> Option<Instant> {
        after(now, self.settings.connect_timeout)
            .map(|deadline| deadline + self.settings.heartbeat_frequency)
    }

    fn begin(&self, now: Instant) -> Check {
        let deadline = after(now, self.settings.connect_timeout);
        Check { started: now, deadline, paused: Duration::ZERO, change: None }
    }

    fn awaits_change(&self) -> bool {
        matches!(self.state, State::AwaitingChange { .. })
            || self.check().is_some_and(|check| check.change.is_some())
    }

    fn fail(&mut self, now: Instant, error: LinkError, steps: &mut Vec<Step>) {
        let awaited = self.awaits_change();
        let started = self.check().map_or(now, |check| check.started);
        // SM-44: a server that answered until now is asked once more before the sleep.
        let next = if self.known && error.is_network() { Next::Retry } else { Next::Sleep };
        self.known = false;
        self.exchange.reset();
        self.state = State::AwaitingVerdict { next };
        steps.push(Step::Close);
        steps.push(Step::Failed { awaited, duration: now - started, error });
    }

    /// The server sheds load: what is believed of it stays, and so does the connection.
    fn put_off(&mut self, now: Instant, steps: &mut Vec<Step>) {
        let started = self.check().map_or(now, |check| check.started);
        self.exchange.reset();
        self.state = State::AwaitingOrder;
        let reason = "the server is overloaded";
        steps.push(Step::GiveBack);
        steps.push(Step::Cancelled { awaited: false, duration: now - started, reason });
    }

    fn sleep(&mut self, now: Instant) {
        if self.on_demand {
            self.state = State::AwaitingOrder;
            return;
        }
        let earliest = now + MIN_HEARTBEAT_FREQUENCY;
        let until = if self.expedited { earliest } else { now + self.settings.heartbeat_frequency };
        self.state = State::AwaitingCheck { until: until.max(earliest), earliest };
    }
}

/// The deadline `limit` from `now`; a limit of zero is none.
fn after(now: Instant, limit: Duration) -> Option<Instant> {
    link::deadline(now, limit)
}

#[cfg(test)]
#[path = "monitor_tests.rs"]
pub(super) mod tests;
