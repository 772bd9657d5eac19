//! What a client believes about its deployment, as users see it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_channel::mpsc::UnboundedReceiver;
use futures_util::Stream;

use crate::client::Client;
use crate::driver::shared::Shared;
use crate::engine::address::ServerAddress;
use crate::engine::sdam::TopologyDescription;
use crate::event::Event;

/// What a client believes about its deployment, and the stream of events that change it.
#[derive(Debug)]
pub struct Topology {
    shared: Arc<Shared>,
    events: UnboundedReceiver<Event>,
}

impl Topology {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let events = shared.observers.topology.subscribe();
        Self { shared, events }
    }

    /// The present belief. Taking it costs no lock.
    pub fn description(&self) -> Arc<TopologyDescription> {
        self.shared.view().topology.clone()
    }

    /// Milliseconds since the client was created, on the clock of all its events.
    pub fn now_ms(&self) -> f64 {
        self.shared.transport.now().as_millis_f64()
    }
}

impl Stream for Topology {
    type Item = Event;

    /// The next event; the stream ends after `TopologyClosed`.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        Pin::new(&mut self.events).poll_next(cx)
    }
}

/// The monitor of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitorStatus {
    /// The server.
    pub address: ServerAddress,
    /// Whether it runs: not before the [`Driver`](crate::Driver) is polled, not behind a load
    /// balancer, and not [on demand](Client::on_demand).
    pub is_on: bool,
}

impl Client {
    /// The monitors, one per server, in the order of the servers' addresses; none once the client
    /// was shut down. What they found is in the [`description`](Self::description).
    pub fn monitors(&self) -> Vec<MonitorStatus> {
        let (shared, topology) = (self.shared(), self.description());
        let in_background = shared.attendance().is_none() && shared.is_running();
        let is_on = in_background && topology.is_monitored();
        let addresses = topology.servers.keys().cloned();
        addresses.map(|address| MonitorStatus { address, is_on }).collect()
    }
}

impl fmt::Display for Client {
    /// The servers, and how many monitors are on and off: `rs0/a:27017,b:27017 (ON:2;OFF:0)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let monitors = self.monitors();
        let on = monitors.iter().filter(|monitor| monitor.is_on).count();
        let servers = self.description().server_address();
        let space = if servers.is_empty() { "" } else { " " };
        write!(f, "{servers}{space}(ON:{on};OFF:{})", monitors.len() - on)
    }
}
