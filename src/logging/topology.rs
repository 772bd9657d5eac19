//! Component `topology`: what discovery and monitoring do.
//!
//! Specification: server-discovery-and-monitoring-logging-and-monitoring "Log Messages".

use tracing::{Level, debug, enabled, info, warn};

use super::{Log, TOPOLOGY, host_and_port, millis};
use crate::engine::sdam::{
    EventKind, HeartbeatConnection, Notice, TopologyDescription, set_version_rollback,
};

impl Log {
    pub(crate) fn topology(&self, event: &Notice) {
        self.notable(event);
        if !enabled!(target: TOPOLOGY, Level::DEBUG) {
            return;
        }
        let id = &*self.topology_id;
        match &event.kind {
            EventKind::TopologyOpening => {
                debug!(target: TOPOLOGY, topologyId = id, "Starting topology monitoring");
            }
            EventKind::TopologyClosed => {
                debug!(target: TOPOLOGY, topologyId = id, "Stopped topology monitoring");
            }
            EventKind::TopologyDescriptionChanged { previous, new } => debug!(
                target: TOPOLOGY,
                topologyId = id,
                previousDescription = described(previous),
                newDescription = described(new),
                "Topology description changed"
            ),
            EventKind::ServerOpening { address } => {
                let (host, port) = host_and_port(address);
                debug!(
                    target: TOPOLOGY,
                    topologyId = id,
                    serverHost = host,
                    serverPort = port,
                    "Starting server monitoring"
                );
            }
            EventKind::ServerClosed { address } => {
                let (host, port) = host_and_port(address);
                debug!(
                    target: TOPOLOGY,
                    topologyId = id,
                    serverHost = host,
                    serverPort = port,
                    "Stopped server monitoring"
                );
            }
            EventKind::ServerHeartbeatStarted { connection, .. }
            | EventKind::ServerHeartbeatSucceeded { connection, .. }
            | EventKind::ServerHeartbeatFailed { connection, .. } => {
                self.heartbeat(&event.kind, connection);
            }
            // ServerDescriptionChanged is "intentionally omitted": the topology's message has it.
            // Events of this driver's own are no messages of the specification.
            _ => {}
        }
    }

    /// What is worth a look in normal operation too. Not of the specification, so that it has
    /// levels of its own.
    fn notable(&self, event: &Notice) {
        let EventKind::TopologyDescriptionChanged { previous, new } = &event.kind else { return };
        let id = &*self.topology_id;
        let mut primaries = self.primaries.lock().expect("not poisoned: the watch cannot panic");
        if let Some(change) = primaries.apply(event.at, &event.kind) {
            info!(
                target: TOPOLOGY,
                topologyId = id,
                replicaSet = new.set_name.as_deref(),
                previousPrimary = %change.previous,
                newPrimary = %change.new,
                durationSinceLastChangeMS = millis(change.since),
                "Primary changed"
            );
        }
        if let Some((before, now)) = set_version_rollback(previous, new) {
            warn!(
                target: TOPOLOGY,
                topologyId = id,
                replicaSet = new.set_name.as_deref(),
                previousSetVersion = before,
                newSetVersion = now,
                "The set's configuration has an older version than before"
            );
        }
        if new.is_deserted() && !previous.is_deserted() {
            warn!(
                target: TOPOLOGY,
                topologyId = id,
                reasons = departures(new),
                "No server is left in the topology: no operation can succeed any more"
            );
        }
    }

    fn heartbeat(&self, event: &EventKind, connection: &HeartbeatConnection) {
        let id = &*self.topology_id;
        let (host, port) = host_and_port(&connection.address);
        let driver_id = connection.number;
        let server_id = connection.server_connection_id;
        match event {
            EventKind::ServerHeartbeatStarted { awaited, .. } => debug!(
                target: TOPOLOGY,
                topologyId = id,
                serverHost = host,
                serverPort = port,
                driverConnectionId = driver_id,
                serverConnectionId = server_id,
                awaited,
                "Server heartbeat started"
            ),
            EventKind::ServerHeartbeatSucceeded { awaited, duration, document, .. } => debug!(
                target: TOPOLOGY,
                topologyId = id,
                serverHost = host,
                serverPort = port,
                driverConnectionId = driver_id,
                serverConnectionId = server_id,
                awaited,
                durationMS = millis(*duration),
                reply = self.json(document),
                "Server heartbeat succeeded"
            ),
            EventKind::ServerHeartbeatFailed { awaited, duration, failure, .. } => debug!(
                target: TOPOLOGY,
                topologyId = id,
                serverHost = host,
                serverPort = port,
                driverConnectionId = driver_id,
                serverConnectionId = server_id,
                awaited,
                durationMS = millis(*duration),
                failure = &**failure,
                "Server heartbeat failed"
            ),
            _ => {}
        }
    }
}

/// `ReplicaSetWithPrimary: a:27017 RSPrimary, b:27017 RSSecondary`.
pub(super) fn described(topology: &TopologyDescription) -> String {
    let mut text = topology.topology_type.to_string();
    let mut separator = ": ";
    for (address, server) in &topology.servers {
        text.push_str(separator);
        text.push_str(&format!("{address} {}", server.server_type));
        if let Some(error) = &server.error {
            text.push_str(&format!(" ({})", error.message));
        }
        separator = ", ";
    }
    text
}

/// Why each server was removed.
fn departures(topology: &TopologyDescription) -> String {
    let texts: Vec<String> = topology.left_out.values().map(ToString::to_string).collect();
    texts.join("; ")
}
