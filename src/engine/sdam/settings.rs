//! What the topology machine is told once, before it starts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rescan::RescanSettings;
use super::scan::ScanSettings;
use super::snapshot::TopologySnapshot;
use super::suspicion::SuspicionSettings;
use super::topology::{TopologyId, TopologyType};
use crate::engine::address::ServerAddress;
use crate::engine::hello::{ClientMetadata, ServerApi};
use crate::engine::wire::Compressor;

/// How servers are watched (`serverMonitoringMode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MonitoringMode {
    /// Poll on a function platform, else stream.
    #[default]
    Auto,
    /// Stream where the server can.
    Stream,
    /// Poll always.
    Poll,
}

/// What measures round-trip times while a server is streamed from (`rttProbe`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RttProbe {
    /// A `hello`, from the end of one to the start of the next, as drivers do (server monitoring
    /// "Measuring RTT").
    #[default]
    Hello,
    /// A `ping` behind the connection's handshake, which is not measured; from the start of one to
    /// the start of the next. So does the server's internal client: a `ping` does nothing else.
    Ping,
}

/// What all monitors of a topology share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MonitorSettings {
    /// From the end of a check to the start of the next, and the longest wait for a change; at
    /// least 500 ms ("heartbeatFrequencyMS").
    pub heartbeat_frequency: Duration,
    /// The time for opening a connection, and for a reply to hello; zero for no limit
    /// ("connectTimeoutMS").
    pub connect_timeout: Duration,
    /// Whether to stream where the server can.
    pub streaming: bool,
    /// What measures round-trip times.
    #[serde(default)]
    pub rtt_probe: RttProbe,
    /// What the client says of itself in the first hello of a connection.
    pub metadata: ClientMetadata,
    /// The compressors that it offers there: an operation may have the connection later.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compressors: Vec<Compressor>,
    /// The Stable API that the client declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_api: Option<ServerApi>,
}

/// What the topology machine is told once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SdamSettings {
    /// The id that all events carry.
    pub topology_id: TopologyId,
    /// Where to begin.
    pub seeds: Vec<ServerAddress>,
    /// The set's name, where the options give one ("replicaSet").
    pub set_name: Option<String>,
    /// `Some(true)` for one server of any kind ("directConnection").
    pub direct_connection: Option<bool>,
    /// Whether the seed is a load balancer ("loadBalanced").
    pub load_balanced: bool,
    /// What was learned before, where the client has kept it; passed over unless it fits.
    #[serde(default)]
    pub snapshot: Option<TopologySnapshot>,
    /// Whether, and how, the SRV records that the seeds came from are looked up again.
    #[serde(default)]
    pub rescan: Option<RescanSettings>,
    /// On-demand monitoring, and how; `None` for monitoring in the background.
    #[serde(default)]
    pub scan: Option<ScanSettings>,
    /// How soon silence is noticed.
    #[serde(default)]
    pub suspicion: SuspicionSettings,
    /// What all monitors share.
    pub monitor: MonitorSettings,
}

impl SdamSettings {
    /// SDAM "Initial TopologyType".
    pub(super) fn initial_type(&self) -> TopologyType {
        if self.load_balanced {
            TopologyType::LoadBalanced
        } else if self.direct_connection == Some(true) {
            TopologyType::Single
        } else if self.set_name.is_some() {
            TopologyType::ReplicaSetNoPrimary
        } else {
            TopologyType::Unknown
        }
    }
}
