//! What happens in a pool, as subscribers hear it.
//!
//! Specification: connection-monitoring-and-pooling "Connection Pool Monitoring". The machine
//! decides when an event is due; the shell adds when and where. The serde form is one flat object,
//! as that of the topology's events.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bson::oid::ObjectId;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::PoolSettings;
use crate::engine::address::ServerAddress;
use crate::engine::sdam::TopologyId;
use crate::engine::time::Instant;

/// One event of one server's pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolEvent {
    /// When it happened, on the client's clock.
    pub at: Instant,
    /// Which topology the pool belongs to.
    pub topology_id: TopologyId,
    /// The server.
    pub address: ServerAddress,
    /// What happened.
    pub kind: PoolEventKind,
}

/// What happened. A `connection_id` is unique in its pool, from 1 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolEventKind {
    /// The pool was made, paused.
    PoolCreated {
        /// Its limits.
        settings: PoolSettings,
    },
    /// A check of the server succeeded: the pool was paused and gives connections from now on.
    PoolReady,
    /// The pool was ready and is paused: all connections that it has are outdated.
    PoolCleared {
        /// Behind a load balancer: the server whose connections are outdated.
        service_id: Option<ObjectId>,
        /// Whether operations that use a connection were interrupted too.
        interrupt_in_use_connections: bool,
    },
    /// The pool was closed.
    PoolClosed,
    /// A connection is about to be made.
    ConnectionCreated {
        /// The connection.
        connection_id: u64,
    },
    /// A connection was made: it has shaken hands.
    ConnectionReady {
        /// The connection.
        connection_id: u64,
        /// From its creation on.
        duration: Duration,
    },
    /// A connection was closed.
    ConnectionClosed {
        /// The connection.
        connection_id: u64,
        /// Why.
        reason: ConnectionClosedReason,
        /// The error, where that was the reason and it is known.
        error: Option<Arc<str>>,
    },
    /// An operation asks for a connection.
    ConnectionCheckOutStarted,
    /// An operation asked for a connection and got none.
    ConnectionCheckOutFailed {
        /// Why.
        reason: CheckOutFailedReason,
        /// The error, where there was one.
        error: Option<Arc<str>>,
        /// Since it asked.
        duration: Duration,
    },
    /// An operation got the connection that it asked for.
    ConnectionCheckedOut {
        /// The connection.
        connection_id: u64,
        /// Since it asked.
        duration: Duration,
    },
    /// An operation gave its connection back.
    ConnectionCheckedIn {
        /// The connection.
        connection_id: u64,
    },
}

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionClosedReason {
    /// The pool was cleared after the connection was made.
    Stale,
    /// Nobody used it for longer than `maxIdleTimeMS`.
    Idle,
    /// It broke, could not be made, or was left in the middle of an exchange.
    Error,
    /// The pool was closed.
    PoolClosed,
}

impl ConnectionClosedReason {
    /// The specification's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Idle => "idle",
            Self::Error => "error",
            Self::PoolClosed => "poolClosed",
        }
    }
}

impl fmt::Display for ConnectionClosedReason {
    /// The specification's sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stale => "Connection became stale because the pool was cleared",
            Self::Idle => {
                "Connection has been available but unused for longer than the configured max idle \
                 time"
            }
            Self::Error => "An error occurred while using the connection",
            Self::PoolClosed => "Connection pool was closed",
        })
    }
}

/// Why an operation got no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckOutFailedReason {
    /// It waited for as long as it may, or was given up.
    Timeout,
    /// No connection could be made, or the pool is paused.
    ConnectionError,
    /// The pool was closed.
    PoolClosed,
}

impl CheckOutFailedReason {
    /// The specification's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::ConnectionError => "connectionError",
            Self::PoolClosed => "poolClosed",
        }
    }
}

impl fmt::Display for CheckOutFailedReason {
    /// The specification's sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "Wait queue timeout elapsed without a connection becoming available",
            Self::ConnectionError => "An error occurred while trying to establish a new connection",
            Self::PoolClosed => "Connection pool was closed",
        })
    }
}

impl PoolEventKind {
    /// The specification's name of the event, in camel case.
    pub fn name(&self) -> &'static str {
        match self {
            Self::PoolCreated { .. } => "poolCreated",
            Self::PoolReady => "poolReady",
            Self::PoolCleared { .. } => "poolCleared",
            Self::PoolClosed => "poolClosed",
            Self::ConnectionCreated { .. } => "connectionCreated",
            Self::ConnectionReady { .. } => "connectionReady",
            Self::ConnectionClosed { .. } => "connectionClosed",
            Self::ConnectionCheckOutStarted => "connectionCheckOutStarted",
            Self::ConnectionCheckOutFailed { .. } => "connectionCheckOutFailed",
            Self::ConnectionCheckedOut { .. } => "connectionCheckedOut",
            Self::ConnectionCheckedIn { .. } => "connectionCheckedIn",
        }
    }

    fn serialize_fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        match self {
            Self::PoolCreated { settings } => {
                map.serialize_entry("minPoolSize", &settings.min_size)?;
                map.serialize_entry("maxPoolSize", &settings.max_size)?;
                map.serialize_entry("maxConnecting", &settings.max_connecting)?;
                map.serialize_entry("maxIdleTimeMs", &millis(settings.max_idle_time))
            }
            Self::PoolCleared { service_id, interrupt_in_use_connections } => {
                if let Some(service_id) = service_id {
                    map.serialize_entry("serviceId", &service_id.to_hex())?;
                }
                map.serialize_entry("interruptInUseConnections", interrupt_in_use_connections)
            }
            Self::ConnectionCreated { connection_id }
            | Self::ConnectionCheckedIn { connection_id } => {
                map.serialize_entry("connectionId", connection_id)
            }
            Self::ConnectionReady { connection_id, duration }
            | Self::ConnectionCheckedOut { connection_id, duration } => {
                map.serialize_entry("connectionId", connection_id)?;
                map.serialize_entry("durationMs", &millis(*duration))
            }
            Self::ConnectionClosed { connection_id, reason, error } => {
                map.serialize_entry("connectionId", connection_id)?;
                map.serialize_entry("reason", reason.as_str())?;
                error.iter().try_for_each(|error| map.serialize_entry("error", &**error))
            }
            Self::ConnectionCheckOutFailed { reason, error, duration } => {
                map.serialize_entry("reason", reason.as_str())?;
                error.iter().try_for_each(|error| map.serialize_entry("error", &**error))?;
                map.serialize_entry("durationMs", &millis(*duration))
            }
            Self::PoolReady | Self::PoolClosed | Self::ConnectionCheckOutStarted => Ok(()),
        }
    }
}

impl Serialize for PoolEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("t_ms", &self.at.as_millis_f64())?;
        map.serialize_entry("kind", self.kind.name())?;
        map.serialize_entry("topologyId", &self.topology_id)?;
        map.serialize_entry("address", &self.address)?;
        self.kind.serialize_fields(&mut map)?;
        map.end()
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
