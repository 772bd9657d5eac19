//! What was learned about a deployment, to be carried to the next cold start.
//!
//! A client that begins with a snapshot can send its first operation at once, to the server that
//! was primary when the snapshot was taken; checks begin at once too, so a belief that is out of
//! date lasts for one round trip, or for one retried operation.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::server::ServerDescription;
use super::topology::TopologyDescription;
use crate::engine::address::ServerAddress;
use crate::engine::hello::HelloReply;

/// The form of snapshots that this version reads and writes.
const FORMAT: u32 = 1;

/// What was learned about a deployment. Made by [`TopologyDescription::snapshot`]; `serde` carries
/// it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopologySnapshot {
    format: u32,
    set_name: Option<String>,
    servers: Vec<ServerSnapshot>,
}

/// What was learned about one server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServerSnapshot {
    pub(super) address: ServerAddress,
    /// What it last said; `None` where it was not known.
    pub(super) reply: Option<Arc<HelloReply>>,
    /// Nanoseconds, the average.
    round_trip_time: Option<u64>,
}

impl ServerSnapshot {
    pub(super) fn round_trip_time(&self) -> Option<Duration> {
        self.round_trip_time.map(Duration::from_nanos)
    }
}

impl TopologyDescription {
    /// What is worth carrying to the next start.
    pub fn snapshot(&self) -> TopologySnapshot {
        let server = |server: &Arc<ServerDescription>| ServerSnapshot {
            address: server.address.clone(),
            reply: server.server_type.is_known().then(|| server.reply.clone()),
            round_trip_time: server
                .round_trip_time
                .and_then(|rtt| u64::try_from(rtt.as_nanos()).ok()),
        };
        TopologySnapshot {
            format: FORMAT,
            set_name: self.set_name.clone(),
            servers: self.servers.values().map(server).collect(),
        }
    }
}

impl TopologySnapshot {
    /// Whether the snapshot is of the deployment that a client with these options looks for: the
    /// same set, and a server in common. Any other is passed over.
    pub fn fits(&self, set_name: Option<&str>, seeds: &[ServerAddress]) -> bool {
        let same_set = set_name.is_none_or(|name| self.set_name.as_deref() == Some(name));
        let common = self.servers.iter().any(|server| seeds.contains(&server.address));
        self.format == FORMAT && same_set && common
    }

    pub(super) fn servers(&self) -> &[ServerSnapshot] {
        &self.servers
    }
}
