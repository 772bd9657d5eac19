//! One server's RTT probe: a hello or a ping, on a connection of its own, while the monitor
//! streams.
//!
//! A streamed reply says nothing about the round-trip time. Specification: server-monitoring
//! "Measuring RTT". What the reply says, and whether it fails, does not matter to anybody.

use std::sync::Arc;
use std::time::Duration;

use super::link::{self, Exchange};
use super::monitor::{MIN_HEARTBEAT_FREQUENCY, Source};
use super::settings::{MonitorSettings, RttProbe};
use crate::engine::time::Instant;

/// What the probe wants done or made known.
#[derive(Debug)]
pub(super) enum Step {
    /// Open a new connection, or take the one that was offered.
    Open(Source),
    /// Write this message on the connection.
    Send(Vec<u8>),
    /// Close the connection.
    Close,
    /// One round-trip time.
    Sample(Duration),
}

#[derive(Debug)]
enum State {
    /// Not wanted: the monitor polls, or has not begun to stream.
    Off,
    AwaitingTurn {
        until: Instant,
    },
    AwaitingConnection {
        deadline: Option<Instant>,
    },
    AwaitingReply {
        deadline: Option<Instant>,
    },
    /// The reply to a ping that was sent at `started`.
    AwaitingPong {
        started: Instant,
        deadline: Option<Instant>,
    },
}

/// The RTT probe of one server.
#[derive(Debug)]
pub(super) struct Probe {
    settings: Arc<MonitorSettings>,
    exchange: Exchange,
    state: State,
    /// Whether it probes once per heartbeat, or only when it is asked to.
    continuous: bool,
    /// Whether the monitor has offered a connection that nobody may have wanted.
    offered: bool,
}

impl Probe {
    /// A probe that is off.
    pub(super) fn new(settings: Arc<MonitorSettings>) -> Self {
        Self {
            exchange: Exchange::new(settings.clone()),
            settings,
            state: State::Off,
            continuous: false,
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
        match self.state {
            State::Off => None,
            State::AwaitingTurn { until } => Some(until),
            State::AwaitingConnection { deadline }
            | State::AwaitingReply { deadline }
            | State::AwaitingPong { deadline, .. } => deadline,
        }
    }

    /// The monitor has begun to stream: probe now, then once per heartbeat. Where it has `offered`
    /// its first connection to operations, probe a little later, on that one if nobody took it.
    pub(super) fn start(&mut self, now: Instant, offered: bool) {
        self.continuous = true;
        if matches!(self.state, State::Off) {
            self.offered = offered;
            let wait = if offered { MIN_HEARTBEAT_FREQUENCY } else { Duration::ZERO };
            self.state = State::AwaitingTurn { until: now + wait };
        }
    }

    /// A sign of life is wanted: ask now, unless an answer is awaited already.
    pub(super) fn ask_now(&mut self, now: Instant) {
        match &mut self.state {
            State::AwaitingTurn { until } => *until = now,
            State::Off => self.state = State::AwaitingTurn { until: now },
            State::AwaitingConnection { .. }
            | State::AwaitingReply { .. }
            | State::AwaitingPong { .. } => {}
        }
    }

    /// The server left the topology, or the client is closing.
    pub(super) fn close(&mut self, steps: &mut Vec<Step>) {
        let opening = matches!(self.state, State::AwaitingConnection { .. });
        if opening || self.exchange.is_open() {
            steps.push(Step::Close);
        }
        self.exchange.reset();
        self.state = State::Off;
    }

    /// Time has come to `now`: starts a probe that is due, gives up one that takes too long.
    pub(super) fn elapse(&mut self, now: Instant, steps: &mut Vec<Step>) {
        if self.timeout().is_none_or(|deadline| now < deadline) {
            return;
        }
        let deadline = link::deadline(now, self.settings.connect_timeout);
        match self.state {
            State::AwaitingTurn { .. } if self.exchange.is_open() && self.pings() => {
                self.ping(now, steps);
            }
            State::AwaitingTurn { .. } if self.exchange.is_open() => {
                steps.push(Step::Send(self.exchange.hello()));
                self.state = State::AwaitingReply { deadline };
            }
            State::AwaitingTurn { .. } => {
                let offered = std::mem::take(&mut self.offered);
                steps.push(Step::Open(if offered { Source::Offered } else { Source::New }));
                self.state = State::AwaitingConnection { deadline };
            }
            State::AwaitingConnection { .. }
            | State::AwaitingReply { .. }
            | State::AwaitingPong { .. } => {
                self.give_up(now, steps);
            }
            State::Off => {}
        }
    }

    /// The connection is open.
    pub(super) fn opened(&mut self, now: Instant, steps: &mut Vec<Step>) {
        self.say_hello(now, steps, Exchange::first_hello);
    }

    /// The connection is one that has shaken hands before.
    pub(super) fn resumed(&mut self, now: Instant, steps: &mut Vec<Step>) {
        self.say_hello(now, steps, Exchange::hello_again);
    }

    fn say_hello(
        &mut self,
        now: Instant,
        steps: &mut Vec<Step>,
        hello: impl FnOnce(&mut Exchange) -> Vec<u8>,
    ) {
        if matches!(self.state, State::AwaitingConnection { .. }) {
            steps.push(Step::Send(hello(&mut self.exchange)));
            let deadline = link::deadline(now, self.settings.connect_timeout);
            self.state = State::AwaitingReply { deadline };
        }
    }

    /// A complete message arrived at `now`; its request was written at `written`.
    pub(super) fn received(
        &mut self,
        now: Instant,
        message: Vec<u8>,
        written: Instant,
        steps: &mut Vec<Step>,
    ) {
        let (read, slept_from) = match self.state {
            State::AwaitingReply { .. } => (self.exchange.read(message).map(drop), now),
            // IC-29: "counted from the start of the previous ping".
            State::AwaitingPong { started, .. } => (self.exchange.read_pong(message), started),
            _ => return,
        };
        match read {
            Ok(()) if self.pings() && matches!(self.state, State::AwaitingReply { .. }) => {
                self.ping(now, steps);
            }
            Ok(()) => {
                steps.push(Step::Sample(now - written));
                if !self.continuous {
                    self.exchange.reset();
                    steps.push(Step::Close);
                }
                self.sleep(slept_from);
            }
            Err(_) => self.give_up(now, steps),
        }
    }

    fn pings(&self) -> bool {
        self.settings.rtt_probe == RttProbe::Ping
    }

    fn ping(&mut self, now: Instant, steps: &mut Vec<Step>) {
        steps.push(Step::Send(self.exchange.ping()));
        let deadline = link::deadline(now, self.settings.connect_timeout);
        self.state = State::AwaitingPong { started: now, deadline };
    }

    /// The connection broke, or could not be opened.
    pub(super) fn broken(&mut self, now: Instant) {
        self.exchange.reset();
        if !matches!(self.state, State::Off | State::AwaitingTurn { .. }) {
            self.sleep(now);
        }
    }

    fn give_up(&mut self, now: Instant, steps: &mut Vec<Step>) {
        self.exchange.reset();
        steps.push(Step::Close);
        self.sleep(now);
    }

    fn sleep(&mut self, now: Instant) {
        self.state = if self.continuous {
            State::AwaitingTurn { until: now + self.settings.heartbeat_frequency }
        } else {
            State::Off
        };
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
