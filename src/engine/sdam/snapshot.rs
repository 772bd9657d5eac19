//! What was learned about a deployment, to be carried to the next cold start.
//!
//! A client that begins with a snapshot can send its first operation at once, to the server that
//! was primary when the snapshot was taken; checks begin at once too, so a belief that is out of
//! date lasts for one round trip, or for one retried operation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bson::raw::cstr;
use bson::{RawArrayBuf, RawDocument, RawDocumentBuf};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::server::ServerDescription;
use super::topology::TopologyDescription;
use crate::engine::address::ServerAddress;
use crate::engine::hello::HelloReply;
use crate::engine::time::nanos;

/// What was learned about a deployment. Made by [`TopologyDescription::snapshot`]; `serde` carries
/// it: `{format, state}`, where the state is for this driver alone.
#[derive(Clone, Debug, PartialEq)]
pub struct TopologySnapshot {
    set_name: Option<String>,
    servers: Vec<ServerSnapshot>,
}

/// What was learned about one server.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ServerSnapshot {
    pub(super) address: ServerAddress,
    /// What it last said; `None` where it was not known.
    pub(super) reply: Option<Arc<HelloReply>>,
    /// Nanoseconds, the average.
    round_trip_time: Option<i64>,
}

/// Why something is no snapshot that this version reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// It was taken by another version of this driver.
    Format(u32),
    /// Its state is not what a snapshot's is: this is wrong.
    State(String),
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format(format) => write!(
                f,
                "the snapshot is of format {format}; this version reads format {} only",
                TopologySnapshot::FORMAT
            ),
            Self::State(problem) => write!(f, "the snapshot's state is damaged: {problem}"),
        }
    }
}

impl std::error::Error for SnapshotError {}

impl ServerSnapshot {
    pub(super) fn round_trip_time(&self) -> Option<Duration> {
        self.round_trip_time.and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos)
    }

    fn to_document(&self) -> RawDocumentBuf {
        let mut document = RawDocumentBuf::new();
        document.append(cstr!("address"), self.address.to_string());
        if let Some(reply) = &self.reply {
            document.append(cstr!("reply"), reply.to_document());
        }
        if let Some(nanos) = self.round_trip_time {
            document.append(cstr!("roundTripTime"), nanos);
        }
        document
    }

    fn parse(document: &RawDocument) -> Result<Self, SnapshotError> {
        let address = document.get_str("address").map_err(damaged)?;
        let reply = match document.get("reply").map_err(damaged)? {
            None => None,
            Some(reply) => {
                let reply = reply.as_document().ok_or_else(|| damaged("a reply is no document"))?;
                Some(Arc::new(HelloReply::parse(reply).map_err(damaged)?))
            }
        };
        let round_trip_time = document.get("roundTripTime").map_err(damaged)?;
        Ok(Self {
            address: address.parse().map_err(damaged)?,
            reply,
            round_trip_time: round_trip_time.and_then(|nanos| nanos.as_i64()),
        })
    }
}

impl TopologyDescription {
    /// What is worth carrying to the next start.
    pub fn snapshot(&self) -> TopologySnapshot {
        let server = |server: &Arc<ServerDescription>| ServerSnapshot {
            address: server.address.clone(),
            reply: server.server_type.is_known().then(|| server.reply.clone()),
            round_trip_time: server.round_trip_time.and_then(|rtt| i64::try_from(nanos(rtt)).ok()),
        };
        TopologySnapshot {
            set_name: self.set_name.clone(),
            servers: self.servers.values().map(server).collect(),
        }
    }
}

impl TopologySnapshot {
    /// The form of snapshots that this version reads and writes.
    pub const FORMAT: u32 = 2;

    /// Whether the snapshot is of the deployment that a client with these options looks for: the
    /// same set, and a server in common. Any other is passed over.
    pub fn fits(&self, set_name: Option<&str>, seeds: &[ServerAddress]) -> bool {
        let same_set = set_name.is_none_or(|name| self.set_name.as_deref() == Some(name));
        same_set && self.servers.iter().any(|server| seeds.contains(&server.address))
    }

    /// All that it says, as text: the base64 of a BSON document.
    pub fn state(&self) -> String {
        let mut document = RawDocumentBuf::new();
        if let Some(name) = &self.set_name {
            document.append(cstr!("setName"), name.as_str());
        }
        let mut servers = RawArrayBuf::new();
        self.servers.iter().for_each(|server| servers.push(server.to_document()));
        document.append(cstr!("servers"), servers);
        BASE64.encode(document.as_bytes())
    }

    /// The snapshot of this format that says this.
    ///
    /// # Errors
    ///
    /// [`SnapshotError::Format`] for one of another version, [`SnapshotError::State`] for a text
    /// that [`state`](Self::state) never gives.
    pub fn read(format: u32, state: &str) -> Result<Self, SnapshotError> {
        if format != Self::FORMAT {
            return Err(SnapshotError::Format(format));
        }
        let bytes = BASE64.decode(state).map_err(|_| damaged("it is no base64"))?;
        let document = RawDocument::from_bytes(&bytes).map_err(damaged)?;
        let set_name = match document.get("setName").map_err(damaged)? {
            None => None,
            Some(name) => Some(name.as_str().ok_or_else(|| damaged("the name is no text"))?),
        };
        let mut servers = Vec::new();
        for server in document.get_array("servers").map_err(damaged)? {
            let server = server.map_err(damaged)?.as_document();
            let server = server.ok_or_else(|| damaged("a server is no document"))?;
            servers.push(ServerSnapshot::parse(server)?);
        }
        Ok(Self { set_name: set_name.map(str::to_owned), servers })
    }

    pub(super) fn servers(&self) -> &[ServerSnapshot] {
        &self.servers
    }
}

fn damaged(problem: impl fmt::Display) -> SnapshotError {
    SnapshotError::State(problem.to_string())
}

/// What serde carries.
#[derive(Serialize, Deserialize)]
struct Carried {
    format: u32,
    /// Absent in format 1, which is to be refused for its format.
    #[serde(default)]
    state: String,
}

impl Serialize for TopologySnapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Carried { format: Self::FORMAT, state: self.state() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TopologySnapshot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Carried { format, state } = Carried::deserialize(deserializer)?;
        Self::read(format, &state).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::time::Instant;

    fn learned() -> TopologySnapshot {
        let mut topology = TopologyDescription::empty();
        topology.set_name = Some("rs".to_owned());
        let [a, b]: [ServerAddress; 2] = ["a", "[::1]:7"].map(|text| text.parse().unwrap());
        let reply = HelloReply {
            set_name: Some("rs".to_owned()),
            is_writable_primary: true,
            hosts: vec![a.clone(), b.clone()],
            ..HelloReply::default()
        };
        let mut known = ServerDescription::from_reply(a.clone(), reply, Instant::ZERO);
        known.round_trip_time = Some(Duration::from_nanos(1_234_567));
        topology.servers.insert(a, Arc::new(known));
        topology.servers.insert(b.clone(), Arc::new(ServerDescription::unknown(b)));
        topology.snapshot()
    }

    fn refused(text: &str) -> String {
        serde_json::from_str::<TopologySnapshot>(text).expect_err("refused").to_string()
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_written() {
        for snapshot in [learned(), TopologyDescription::empty().snapshot()] {
            let text = serde_json::to_string(&snapshot).unwrap();
            assert!(text.starts_with(r#"{"format":2,"state":""#), "{text}");
            assert_eq!(serde_json::from_str::<TopologySnapshot>(&text).unwrap(), snapshot);
        }
        let kept = learned();
        let rtt = kept.servers().iter().find_map(ServerSnapshot::round_trip_time);
        assert_eq!(rtt, Some(Duration::from_nanos(1_234_567)));
    }

    #[test]
    fn a_snapshot_of_another_version_is_refused_for_that() {
        let old = refused(r#"{"format":1,"setName":"rs","servers":[]}"#);
        assert!(old.contains("of format 1; this version reads format 2 only"), "{old}");
    }

    #[test]
    fn a_damaged_snapshot_is_refused() {
        let state = learned().state();
        for (state, problem) in [
            ("?", "it is no base64"),
            ("", "state is damaged"),
            (&state[..state.len() - 4], "state is damaged"),
            (&BASE64.encode(RawDocumentBuf::new().as_bytes()), "servers"),
        ] {
            let error = refused(&format!(r#"{{"format":2,"state":"{state}"}}"#));
            assert!(error.contains(problem), "{error}");
        }
        assert!(refused("{}").contains("missing field `format`"));
    }

    #[test]
    fn any_byte_that_is_wrong_is_refused_or_read() {
        let bytes = BASE64.decode(learned().state()).unwrap();
        for at in 0..bytes.len() {
            let mut wrong = bytes.clone();
            wrong[at] ^= 0x81;
            let _ = TopologySnapshot::read(TopologySnapshot::FORMAT, &BASE64.encode(&wrong));
        }
    }
}
