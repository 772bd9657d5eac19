//! What the client believes about one server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bson::oid::ObjectId;
use bson::{DateTime, Timestamp};
use serde::{Serialize, Serializer};

use super::link::LinkErrorKind;
use crate::engine::address::ServerAddress;
use crate::engine::hello::{HelloReply, TopologyVersion};
use crate::engine::map::SortedMap;
use crate::engine::time::Instant;

/// What kind of server answers at an address (SDAM "ServerType").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum ServerType {
    /// A mongod outside any replica set.
    Standalone,
    /// A router of a sharded cluster.
    Mongos,
    /// Named as primary by another member, not checked yet.
    PossiblePrimary,
    /// The primary of a replica set.
    RSPrimary,
    /// A secondary of a replica set.
    RSSecondary,
    /// An arbiter: votes, holds no data.
    RSArbiter,
    /// A member that is hidden, starting or recovering.
    RSOther,
    /// A member whose set is not initiated, or which has lost its configuration.
    RSGhost,
    /// A load balancer in front of mongoses.
    LoadBalancer,
    /// Not checked yet, unreachable, or failed.
    Unknown,
}

impl ServerType {
    /// All server types, in the specification's order.
    pub const ALL: [Self; 10] = [
        Self::Standalone,
        Self::Mongos,
        Self::PossiblePrimary,
        Self::RSPrimary,
        Self::RSSecondary,
        Self::RSArbiter,
        Self::RSOther,
        Self::RSGhost,
        Self::LoadBalancer,
        Self::Unknown,
    ];

    /// The specification's name of the type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standalone => "Standalone",
            Self::Mongos => "Mongos",
            Self::PossiblePrimary => "PossiblePrimary",
            Self::RSPrimary => "RSPrimary",
            Self::RSSecondary => "RSSecondary",
            Self::RSArbiter => "RSArbiter",
            Self::RSOther => "RSOther",
            Self::RSGhost => "RSGhost",
            Self::LoadBalancer => "LoadBalancer",
            Self::Unknown => "Unknown",
        }
    }

    /// Whether the server holds data (SDAM "Logical Session Timeout").
    pub fn is_data_bearing(self) -> bool {
        match self {
            Self::Standalone
            | Self::Mongos
            | Self::RSPrimary
            | Self::RSSecondary
            | Self::LoadBalancer => true,
            Self::PossiblePrimary
            | Self::RSArbiter
            | Self::RSOther
            | Self::RSGhost
            | Self::Unknown => false,
        }
    }

    /// Whether the server has answered: every type but `Unknown` and `PossiblePrimary`.
    pub fn is_known(self) -> bool {
        !matches!(self, Self::Unknown | Self::PossiblePrimary)
    }
}

impl fmt::Display for ServerType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the client believes about one server (SDAM "ServerDescription").
///
/// Equality is the specification's: it leaves out round-trip times, write dates and update times,
/// so that they alone never make an event.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerDescription {
    /// The address that the client dials.
    pub address: ServerAddress,
    /// The kind of server.
    #[serde(rename = "type")]
    pub server_type: ServerType,
    /// Why the server is `Unknown`, if it is because of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<DescriptionError>,
    /// What the server said; defaults while it is `Unknown`. Shared: copies of descriptions are
    /// cheap.
    #[serde(flatten, serialize_with = "serialize_reply")]
    pub reply: Arc<HelloReply>,
    /// How new the description is by the server's own count. Kept apart from the reply because an
    /// error may carry one too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology_version: Option<TopologyVersion>,
    /// Exponentially weighted average of the round-trip times; `None` before the first sample.
    #[serde(rename = "roundTripTimeMs", serialize_with = "serialize_millis")]
    pub round_trip_time: Option<Duration>,
    /// Least of the last 10 round-trip times; zero until there are two.
    #[serde(rename = "minRoundTripTimeMs", serialize_with = "serialize_some_millis")]
    pub min_round_trip_time: Duration,
    /// Whether a liveness probe stayed unanswered: selection prefers any other server.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub suspect: bool,
    /// When the server was last checked; `None` for never.
    #[serde(rename = "lastUpdateTimeMs", serialize_with = "serialize_instant")]
    pub last_update_time: Option<Instant>,
}

/// Why a server is `Unknown`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptionError {
    /// What happened, for people.
    pub message: Arc<str>,
    /// When, so that a message can say how long ago.
    pub at: Instant,
    /// What kind of failure it was, where a check found it out.
    pub kind: Option<LinkErrorKind>,
}

impl DescriptionError {
    /// `message`, which happened at `at`.
    pub fn new(at: Instant, message: impl Into<Arc<str>>) -> Self {
        Self { message: message.into(), at, kind: None }
    }

    /// The same, of this kind.
    #[must_use]
    pub fn of_kind(self, kind: LinkErrorKind) -> Self {
        Self { kind: Some(kind), ..self }
    }
}

impl Serialize for DescriptionError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.message)
    }
}

impl ServerDescription {
    /// The description of a server that has not been checked yet.
    pub fn unknown(address: ServerAddress) -> Self {
        Self {
            address,
            server_type: ServerType::Unknown,
            error: None,
            reply: Arc::default(),
            topology_version: None,
            round_trip_time: None,
            min_round_trip_time: Duration::ZERO,
            suspect: false,
            last_update_time: None,
        }
    }

    /// The description of a server whose check failed.
    pub fn failed(address: ServerAddress, error: DescriptionError) -> Self {
        let at = error.at;
        Self { error: Some(error), last_update_time: Some(at), ..Self::unknown(address) }
    }

    /// The one server of a load-balanced topology.
    pub fn load_balancer(address: ServerAddress) -> Self {
        Self { server_type: ServerType::LoadBalancer, ..Self::unknown(address) }
    }

    /// The description that follows from a reply that arrived at `now`.
    pub fn from_reply(address: ServerAddress, reply: HelloReply, now: Instant) -> Self {
        let server_type = classify(&reply);
        // SDAM "RSGhost and RSOther": a ghost's hosts and set name are not used.
        let reply = if server_type == ServerType::RSGhost { without_set(reply) } else { reply };
        Self {
            server_type,
            topology_version: reply.topology_version,
            reply: Arc::new(reply),
            last_update_time: Some(now),
            ..Self::unknown(address)
        }
    }

    /// The set's name, by the server's word.
    pub fn set_name(&self) -> Option<&str> {
        self.reply.set_name.as_deref()
    }

    /// The version of the set's configuration, by the server's word.
    pub fn set_version(&self) -> Option<i64> {
        self.reply.set_version
    }

    /// The election that made the server primary, by its word.
    pub fn election_id(&self) -> Option<ObjectId> {
        self.reply.election_id
    }

    /// The server's tags.
    pub fn tags(&self) -> &SortedMap<String, String> {
        &self.reply.tags
    }

    /// When the server last wrote, by its own clock.
    pub fn last_write_date(&self) -> Option<DateTime> {
        self.reply.last_write_date
    }

    /// The optime of the server's last write.
    pub fn last_write_op_time(&self) -> Option<Timestamp> {
        self.reply.last_write_op_time
    }
}

/// "Server Description Equality" of SDAM.
impl PartialEq for ServerDescription {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&*self.reply, &*other.reply);
        self.address == other.address
            && self.server_type == other.server_type
            && message(&self.error) == message(&other.error)
            && self.topology_version == other.topology_version
            && (a.min_wire_version, a.max_wire_version) == (b.min_wire_version, b.max_wire_version)
            && a.me == b.me
            && a.hosts == b.hosts
            && a.passives == b.passives
            && a.arbiters == b.arbiters
            && a.tags == b.tags
            && a.set_name == b.set_name
            && a.set_version == b.set_version
            && a.election_id == b.election_id
            && a.primary == b.primary
            && a.logical_session_timeout_minutes == b.logical_session_timeout_minutes
            && a.iscryptd == b.iscryptd
    }
}

fn message(error: &Option<DescriptionError>) -> Option<&str> {
    error.as_ref().map(|error| &*error.message)
}

/// SDAM "type": which kind of server gives such a reply.
fn classify(reply: &HelloReply) -> ServerType {
    if reply.is_mongos {
        return ServerType::Mongos;
    }
    if reply.set_name.is_none() {
        let ghost = reply.is_replica_set_ghost;
        return if ghost { ServerType::RSGhost } else { ServerType::Standalone };
    }
    if reply.hidden {
        ServerType::RSOther
    } else if reply.is_writable_primary {
        ServerType::RSPrimary
    } else if reply.secondary {
        ServerType::RSSecondary
    } else if reply.arbiter_only {
        ServerType::RSArbiter
    } else {
        ServerType::RSOther
    }
}

fn without_set(reply: HelloReply) -> HelloReply {
    HelloReply {
        set_name: None,
        hosts: Vec::new(),
        passives: Vec::new(),
        arbiters: Vec::new(),
        primary: None,
        ..reply
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn serialize_millis<S: Serializer>(value: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
    value.map(millis).serialize(s)
}

fn serialize_some_millis<S: Serializer>(value: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f64(millis(*value))
}

fn serialize_instant<S: Serializer>(value: &Option<Instant>, s: S) -> Result<S::Ok, S::Error> {
    value.map(Instant::as_millis_f64).serialize(s)
}

/// The facts of a reply that a reader of events wants, under the specification's names.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReplyFacts<'a> {
    hosts: &'a [ServerAddress],
    passives: &'a [ServerAddress],
    arbiters: &'a [ServerAddress],
    tags: &'a SortedMap<String, String>,
    min_wire_version: i32,
    max_wire_version: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_version: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    election_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary: Option<&'a ServerAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    me: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_write_date: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logical_session_timeout_minutes: Option<i64>,
}

fn serialize_reply<S: Serializer>(reply: &Arc<HelloReply>, s: S) -> Result<S::Ok, S::Error> {
    ReplyFacts {
        hosts: &reply.hosts,
        passives: &reply.passives,
        arbiters: &reply.arbiters,
        tags: &reply.tags,
        min_wire_version: reply.min_wire_version,
        max_wire_version: reply.max_wire_version,
        set_name: reply.set_name.as_deref(),
        set_version: reply.set_version,
        election_id: reply.election_id.map(|id| id.to_hex()),
        primary: reply.primary.as_ref(),
        me: reply.me.as_deref(),
        last_write_date: reply.last_write_date.map(DateTime::timestamp_millis),
        logical_session_timeout_minutes: reply.logical_session_timeout_minutes,
    }
    .serialize(s)
}
