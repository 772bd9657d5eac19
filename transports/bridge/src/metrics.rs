//! What the bridge counts, as Prometheus reads it (its text format, version 0.0.4).
//!
//! Labels are names of the configuration and words of this file: nothing that a client sends
//! becomes one.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::server::Shared;

/// Why something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The `Host` header.
    Host,
    /// The `Origin` header, or that there is none.
    Origin,
    /// No token, or a bad one.
    Token,
    /// There is no deployment of that name.
    Deployment,
    /// Too many connections.
    Connections,
    /// Too many connections of one address.
    Address,
    /// Too many WebSockets.
    Sockets,
    /// Too many streams in a tunnel.
    Streams,
    /// Too much would be held.
    Buffers,
    /// Opened too fast.
    Rate,
    /// A target that is no member.
    Target,
    /// A member whose name resolves to what may not be dialled.
    Resolved,
    /// A member that does not take the connection.
    Dial,
    /// A name that may not be looked up.
    LookUp,
    /// A request that makes no sense, or never came.
    Request,
    /// The bridge is shutting down.
    Draining,
    /// The TLS handshake failed.
    Tls,
}

impl Cause {
    const ALL: [Self; 17] = [
        Self::Host,
        Self::Origin,
        Self::Token,
        Self::Deployment,
        Self::Connections,
        Self::Address,
        Self::Sockets,
        Self::Streams,
        Self::Buffers,
        Self::Rate,
        Self::Target,
        Self::Resolved,
        Self::Dial,
        Self::LookUp,
        Self::Request,
        Self::Draining,
        Self::Tls,
    ];

    /// The label.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Origin => "origin",
            Self::Token => "token",
            Self::Deployment => "deployment",
            Self::Connections => "connections",
            Self::Address => "connections-per-address",
            Self::Sockets => "sockets",
            Self::Streams => "streams",
            Self::Buffers => "buffers",
            Self::Rate => "rate",
            Self::Target => "target",
            Self::Resolved => "address",
            Self::Dial => "dial",
            Self::LookUp => "look-up",
            Self::Request => "request",
            Self::Draining => "draining",
            Self::Tls => "tls",
        }
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    now: AtomicI64,
    ever: AtomicU64,
}

impl Gauge {
    /// One more, until it is dropped.
    pub(crate) fn hold(self: &Arc<Self>) -> Held {
        self.now.fetch_add(1, Ordering::Relaxed);
        self.ever.fetch_add(1, Ordering::Relaxed);
        Held(self.clone())
    }
}

/// One of what a [`Gauge`] counts.
#[derive(Debug)]
pub(crate) struct Held(Arc<Gauge>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All counters of one bridge.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) connections: Arc<Gauge>,
    pub(crate) tunnels: Arc<Gauge>,
    pub(crate) plain: Arc<Gauge>,
    pub(crate) streams: Arc<Gauge>,
    pub(crate) look_ups: AtomicU64,
    /// Bytes from clients to members.
    pub(crate) up: AtomicU64,
    /// Bytes from members to clients.
    pub(crate) down: AtomicU64,
    refused: [AtomicU64; Cause::ALL.len()],
}

impl Metrics {
    pub(crate) fn refused(&self, cause: Cause) {
        self.refused[cause as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// The whole page.
pub(crate) fn render(shared: &Shared) -> String {
    let metrics = &shared.metrics;
    let mut page = Page(String::new());
    for (name, help, gauge) in [
        ("connections", "Connections of clients", &metrics.connections),
        ("tunnels", "WebSockets that carry a tunnel", &metrics.tunnels),
        ("plain_sockets", "WebSockets that carry one TCP connection", &metrics.plain),
        ("streams", "Streams to members, plain ones included", &metrics.streams),
    ] {
        page.metric(name, "gauge", &format!("{help}, open now."));
        page.value(name, "", gauge.now.load(Ordering::Relaxed));
        let total = format!("{name}_total");
        page.metric(&total, "counter", &format!("{help}, ever opened."));
        page.value(&total, "", gauge.ever.load(Ordering::Relaxed));
    }
    page.metric("bytes_total", "counter", "Bytes carried; up is towards members.");
    page.value("bytes_total", "direction=\"up\"", metrics.up.load(Ordering::Relaxed));
    page.value("bytes_total", "direction=\"down\"", metrics.down.load(Ordering::Relaxed));
    page.metric("look_ups_total", "counter", "DNS look-ups for clients.");
    page.value("look_ups_total", "", metrics.look_ups.load(Ordering::Relaxed));
    page.metric("refused_total", "counter", "What was refused, by reason.");
    for cause in Cause::ALL {
        let count = metrics.refused[cause as usize].load(Ordering::Relaxed);
        page.value("refused_total", &format!("reason=\"{}\"", cause.as_str()), count);
    }
    page.metric("buffer_reserved_bytes", "gauge", "Bytes put aside for what is open.");
    page.value("buffer_reserved_bytes", "", shared.budget.reserved_bytes());
    page.metric("tasks", "gauge", "Tasks that a shutdown waits for.");
    page.value("tasks", "", shared.tasks.len());
    page.metric("members", "gauge", "Members known, by deployment.");
    for served in shared.deployments.values() {
        let label = format!("deployment=\"{}\"", served.name);
        page.value("members", &label, served.members.addresses().len());
    }
    page.metric("ready", "gauge", "Whether a member of the deployment has answered.");
    for served in shared.deployments.values() {
        let label = format!("deployment=\"{}\"", served.name);
        page.value("ready", &label, u8::from(served.members.is_ready()));
    }
    page.metric("draining", "gauge", "Whether the bridge is shutting down.");
    page.value("draining", "", u8::from(shared.leaving.is_cancelled()));
    page.0
}

struct Page(String);

impl Page {
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {PREFIX}{name} {help}");
        let _ = writeln!(self.0, "# TYPE {PREFIX}{name} {kind}");
    }

    fn value(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = match labels {
            "" => writeln!(self.0, "{PREFIX}{name} {value}"),
            labels => writeln!(self.0, "{PREFIX}{name}{{{labels}}} {value}"),
        };
    }
}

const PREFIX: &str = "portolan_bridge_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_a_place_and_a_word_of_its_own() {
        for (place, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, place, "{cause:?}");
        }
        let words: std::collections::BTreeSet<_> = Cause::ALL.map(Cause::as_str).into();
        assert_eq!(words.len(), Cause::ALL.len());
    }

    #[test]
    fn a_gauge_falls_back_to_zero_and_remembers() {
        let gauge = Arc::<Gauge>::default();
        drop((gauge.hold(), gauge.hold()));
        assert_eq!(gauge.now.load(Ordering::Relaxed), 0);
        assert_eq!(gauge.ever.load(Ordering::Relaxed), 2);
    }
}
