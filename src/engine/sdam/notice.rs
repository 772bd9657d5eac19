//! What subscribers hear: the events of the specification, made from the difference of two values.
//!
//! Specification: server-discovery-and-monitoring-logging-and-monitoring "Events API". The serde
//! form is one flat object: `t_ms`, `kind`, `topologyId` and the specification's field names.

use std::sync::Arc;
use std::time::Duration;

use bson::RawDocumentBuf;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::contest::Contest;
use super::failover::FailoverTimeline;
use super::server::{ServerDescription, ServerType};
use super::topology::{TopologyDescription, TopologyId};
use crate::engine::address::ServerAddress;
use crate::engine::hello::HelloReply;
use crate::engine::srv::SrvError;
use crate::engine::time::Instant;

/// One event of one topology.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it happened, on the client's clock.
    pub at: Instant,
    /// Which topology it belongs to.
    pub topology_id: TopologyId,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum EventKind {
    /// The first event of a topology.
    TopologyOpening,
    /// The belief about the deployment changed; never for round-trip times alone.
    TopologyDescriptionChanged {
        /// What was believed.
        previous: Arc<TopologyDescription>,
        /// What is believed now.
        new: Arc<TopologyDescription>,
    },
    /// A server was added to the topology.
    ServerOpening {
        /// The server.
        address: ServerAddress,
    },
    /// The belief about a server changed; never for round-trip times alone.
    ServerDescriptionChanged {
        /// The server.
        address: ServerAddress,
        /// What was believed.
        previous: Arc<ServerDescription>,
        /// What is believed now.
        new: Arc<ServerDescription>,
    },
    /// A server left the topology, or the client was closed.
    ServerClosed {
        /// The server.
        address: ServerAddress,
    },
    /// A server does not answer a liveness probe: operations avoid it while there are others.
    ServerSuspected {
        /// The server.
        address: ServerAddress,
    },
    /// A suspected server has answered.
    ServerTrusted {
        /// The server.
        address: ServerAddress,
    },
    /// Two servers claim to be the primary.
    PrimaryContested {
        /// Who is believed, and why.
        contest: Arc<Contest>,
    },
    /// A failover is over: the first operation has succeeded on the new primary.
    FailoverCompleted {
        /// What took how long.
        timeline: Arc<FailoverTimeline>,
    },
    /// The last event of a topology.
    TopologyClosed,
    /// A check begins.
    ServerHeartbeatStarted {
        /// The server and the monitor's connection to it.
        connection: HeartbeatConnection,
        /// Whether the server may hold the reply back until something changes.
        awaited: bool,
    },
    /// A check succeeded.
    ServerHeartbeatSucceeded {
        /// The server and the monitor's connection to it.
        connection: HeartbeatConnection,
        /// Whether the server might hold the reply back until something changed.
        awaited: bool,
        /// From the start of the check to the reply; no round-trip time where `awaited`.
        duration: Duration,
        /// What the server said.
        reply: Arc<HelloReply>,
        /// The same as it came.
        document: Arc<RawDocumentBuf>,
    },
    /// A check failed, or was cancelled.
    ServerHeartbeatFailed {
        /// The server and the monitor's connection to it.
        connection: HeartbeatConnection,
        /// Whether the server might hold the reply back until something changed.
        awaited: bool,
        /// From the start of the check to its failure.
        duration: Duration,
        /// Why.
        failure: Arc<str>,
    },
    /// The SRV records that the seeds came from were looked up again.
    SrvRescanned {
        /// What was asked for.
        name: Arc<str>,
        /// The hosts of the records that may be used; empty where nothing is changed.
        hosts: Vec<ServerAddress>,
        /// Why there are none, or why others of the records are not used.
        problems: Arc<[SrvError]>,
        /// The time to the next look-up.
        next: Duration,
    },
}

/// The connection of a monitor, as heartbeat events name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatConnection {
    /// The server.
    pub address: ServerAddress,
    /// Which of the monitor's connections to it: one more at each new one ("driverConnectionId").
    pub number: u64,
    /// The server's number of the connection, once it has said it.
    pub server_connection_id: Option<i64>,
}

impl EventKind {
    /// The specification's name of the event, in camel case.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TopologyOpening => "topologyOpening",
            Self::TopologyDescriptionChanged { .. } => "topologyDescriptionChanged",
            Self::ServerOpening { .. } => "serverOpening",
            Self::ServerDescriptionChanged { .. } => "serverDescriptionChanged",
            Self::ServerClosed { .. } => "serverClosed",
            Self::ServerSuspected { .. } => "serverSuspected",
            Self::ServerTrusted { .. } => "serverTrusted",
            Self::PrimaryContested { .. } => "primaryContested",
            Self::FailoverCompleted { .. } => "failoverCompleted",
            Self::TopologyClosed => "topologyClosed",
            Self::ServerHeartbeatStarted { .. } => "serverHeartbeatStarted",
            Self::ServerHeartbeatSucceeded { .. } => "serverHeartbeatSucceeded",
            Self::ServerHeartbeatFailed { .. } => "serverHeartbeatFailed",
            Self::SrvRescanned { .. } => "srvRescanned",
        }
    }

    /// The server that the event is about; `None` for an event about the whole topology.
    pub fn address(&self) -> Option<&ServerAddress> {
        match self {
            Self::ServerOpening { address }
            | Self::ServerSuspected { address }
            | Self::ServerTrusted { address }
            | Self::ServerDescriptionChanged { address, .. }
            | Self::ServerClosed { address } => Some(address),
            Self::ServerHeartbeatStarted { connection, .. }
            | Self::ServerHeartbeatSucceeded { connection, .. }
            | Self::ServerHeartbeatFailed { connection, .. } => Some(&connection.address),
            Self::TopologyOpening
            | Self::TopologyDescriptionChanged { .. }
            | Self::PrimaryContested { .. }
            | Self::FailoverCompleted { .. }
            | Self::TopologyClosed
            | Self::SrvRescanned { .. } => None,
        }
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("t_ms", &self.at.as_millis_f64())?;
        map.serialize_entry("kind", self.kind.name())?;
        map.serialize_entry("topologyId", &self.topology_id)?;
        if let Some(address) = self.kind.address() {
            map.serialize_entry("address", address)?;
        }
        self.kind.serialize_fields(&mut map)?;
        map.end()
    }
}

impl EventKind {
    fn serialize_fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        match self {
            Self::TopologyDescriptionChanged { previous, new } => {
                map.serialize_entry("previousDescription", &**previous)?;
                map.serialize_entry("newDescription", &**new)
            }
            Self::ServerDescriptionChanged { previous, new, .. } => {
                map.serialize_entry("previousDescription", &**previous)?;
                map.serialize_entry("newDescription", &**new)
            }
            Self::ServerHeartbeatStarted { connection, awaited } => {
                map.serialize_entry("connectionId", &connection.to_string())?;
                map.serialize_entry("awaited", awaited)
            }
            Self::ServerHeartbeatSucceeded { connection, awaited, duration, .. } => {
                map.serialize_entry("connectionId", &connection.to_string())?;
                map.serialize_entry("awaited", awaited)?;
                map.serialize_entry("durationMs", &(duration.as_secs_f64() * 1e3))
            }
            Self::ServerHeartbeatFailed { connection, awaited, duration, failure } => {
                map.serialize_entry("connectionId", &connection.to_string())?;
                map.serialize_entry("awaited", awaited)?;
                map.serialize_entry("durationMs", &(duration.as_secs_f64() * 1e3))?;
                map.serialize_entry("failure", &**failure)
            }
            Self::PrimaryContested { contest } => map.serialize_entry("contest", &**contest),
            Self::FailoverCompleted { timeline } => map.serialize_entry("timeline", &**timeline),
            Self::SrvRescanned { name, hosts, problems, next } => {
                map.serialize_entry("name", &**name)?;
                map.serialize_entry("hosts", hosts)?;
                let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
                map.serialize_entry("problems", &problems)?;
                map.serialize_entry("nextMs", &(next.as_secs_f64() * 1e3))
            }
            Self::TopologyOpening
            | Self::ServerOpening { .. }
            | Self::ServerSuspected { .. }
            | Self::ServerTrusted { .. }
            | Self::ServerClosed { .. }
            | Self::TopologyClosed => Ok(()),
        }
    }
}

impl std::fmt::Display for HeartbeatConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.address, self.number)
    }
}

/// The events that lead from `previous` to `new`, in the specification's order: changed servers
/// (the one that was `heard` of first), closed servers, opened servers, the topology.
///
/// A server that another member merely names as primary ("PossiblePrimary") is no event of its own.
pub(super) fn diff(
    previous: &Arc<TopologyDescription>,
    new: &Arc<TopologyDescription>,
    heard: Option<&ServerAddress>,
) -> Vec<EventKind> {
    let mut events = Vec::new();
    let changed = new.servers.iter().filter_map(|(address, new)| {
        let previous = previous.servers.get(address)?;
        let hint = new.server_type == ServerType::PossiblePrimary;
        (previous != new && !hint).then(|| EventKind::ServerDescriptionChanged {
            address: address.clone(),
            previous: previous.clone(),
            new: new.clone(),
        })
    });
    events.extend(changed);
    events.sort_by_key(|event| event.address() != heard);
    let closed = previous.servers.keys().filter(|address| !new.servers.contains_key(*address));
    events.extend(closed.map(|address| EventKind::ServerClosed { address: address.clone() }));
    if previous != new {
        let opened = new.servers.keys().filter(|address| !previous.servers.contains_key(*address));
        let opened = opened.map(|address| EventKind::ServerOpening { address: address.clone() });
        let topology =
            EventKind::TopologyDescriptionChanged { previous: previous.clone(), new: new.clone() };
        if previous.servers.is_empty() {
            // The seeds are opened after the topology is described ("Events API", initial order).
            events.push(topology);
            events.extend(opened);
        } else {
            events.extend(opened);
            events.push(topology);
        }
    }
    events
}
