//! What the client believes about the whole deployment.

use std::fmt;
use std::sync::Arc;

use bson::oid::ObjectId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::departure::Departure;
use super::server::{ServerDescription, ServerType};
use crate::engine::address::ServerAddress;
use crate::engine::map::SortedMap;

/// What kind of deployment the client is connected to (SDAM "TopologyType").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum TopologyType {
    /// One server, addressed directly or found to be standalone.
    Single,
    /// A replica set without a known primary.
    ReplicaSetNoPrimary,
    /// A replica set with a known primary.
    ReplicaSetWithPrimary,
    /// A sharded cluster, reached through its mongoses.
    Sharded,
    /// A load balancer in front of mongoses.
    LoadBalanced,
    /// Not found out yet.
    Unknown,
}

impl TopologyType {
    /// All topology types, in the specification's order.
    pub const ALL: [Self; 6] = [
        Self::Single,
        Self::ReplicaSetNoPrimary,
        Self::ReplicaSetWithPrimary,
        Self::Sharded,
        Self::LoadBalanced,
        Self::Unknown,
    ];

    /// The specification's name of the type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Single => "Single",
            Self::ReplicaSetNoPrimary => "ReplicaSetNoPrimary",
            Self::ReplicaSetWithPrimary => "ReplicaSetWithPrimary",
            Self::Sharded => "Sharded",
            Self::LoadBalanced => "LoadBalanced",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for TopologyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Names one topology of one client in all its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopologyId(pub ObjectId);

impl<'de> Deserialize<'de> for TopologyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        ObjectId::parse_str(text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl Serialize for TopologyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// What the client believes about the whole deployment (SDAM "TopologyDescription").
///
/// A value: an update makes a new one. Cheap to clone (servers are shared).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopologyDescription {
    /// The kind of deployment.
    #[serde(rename = "topologyType")]
    pub topology_type: TopologyType,
    /// The set's name, from the options or from the first member that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_name: Option<String>,
    /// The greatest election seen.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "serialize_election")]
    pub max_election_id: Option<ObjectId>,
    /// The configuration version that belongs to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_set_version: Option<i64>,
    /// The servers, in the order of their addresses.
    #[serde(serialize_with = "serialize_servers")]
    pub servers: SortedMap<ServerAddress, Arc<ServerDescription>>,
    /// Servers that were removed, and why; one that comes back is taken off this list.
    #[serde(skip_serializing_if = "SortedMap::is_empty", serialize_with = "serialize_values")]
    pub left_out: SortedMap<ServerAddress, Departure>,
    /// Why this driver cannot talk to the deployment; `None` while it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compatibility_error: Option<String>,
    /// Minutes until an unused session expires; `None` where sessions are not supported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logical_session_timeout_minutes: Option<i64>,
}

impl TopologyDescription {
    /// A topology of which nothing is known, not even a seed.
    pub fn empty() -> Self {
        Self {
            topology_type: TopologyType::Unknown,
            set_name: None,
            max_election_id: None,
            max_set_version: None,
            servers: SortedMap::new(),
            left_out: SortedMap::new(),
            compatibility_error: None,
            logical_session_timeout_minutes: None,
        }
    }

    /// Whether every known server speaks a wire version that this driver speaks.
    pub fn compatible(&self) -> bool {
        self.compatibility_error.is_none()
    }

    /// The primary, where one is known.
    pub fn primary(&self) -> Option<&Arc<ServerDescription>> {
        self.servers.values().find(|server| server.server_type == ServerType::RSPrimary)
    }

    /// Whether all is as it should be: a primary, a mongos or the one server is known. Where it is
    /// not, operations may have to wait, and servers are checked often while any does.
    pub fn is_steady(&self) -> bool {
        match self.topology_type {
            TopologyType::ReplicaSetWithPrimary | TopologyType::LoadBalanced => true,
            TopologyType::Single | TopologyType::Sharded => {
                self.servers.values().any(|server| server.server_type.is_known())
            }
            TopologyType::ReplicaSetNoPrimary | TopologyType::Unknown => false,
        }
    }

    /// The description of the server at `address`.
    pub fn server(&self, address: &ServerAddress) -> Option<&Arc<ServerDescription>> {
        self.servers.get(address)
    }
}

fn serialize_servers<S: Serializer>(
    servers: &SortedMap<ServerAddress, Arc<ServerDescription>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(servers.values().map(|server| &**server))
}

fn serialize_values<S: Serializer>(
    departures: &SortedMap<ServerAddress, Departure>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(departures.values())
}

fn serialize_election<S: Serializer>(id: &Option<ObjectId>, s: S) -> Result<S::Ok, S::Error> {
    id.map(|id| id.to_hex()).serialize(s)
}
