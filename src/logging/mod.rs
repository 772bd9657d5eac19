//! Log messages, through [`tracing`], with the specifications' texts, levels and fields.
//!
//! Each component of the logging specification is a target: `portolan::topology`,
//! `portolan::serverSelection`, `portolan::connection`, `portolan::command`. The specification's
//! messages are of level `debug` but one of server selection, which is `info`. Beside them are
//! three of this driver's own: another primary (`info`), an older version of the set's
//! configuration and the removal of the last server (`warn`). Every message carries the client's
//! `topologyId` beside the specification's fields. Whoever has a `tracing` subscriber sees them;
//! for whoever has none, [`init_from_env`] installs one that the specification's variables set up
//! (`MONGODB_LOG_ALL`, `MONGODB_LOG_COMMAND` and so on). Commands that carry secrets are never
//! shown.
//!
//! ```no_run
//! // MONGODB_LOG_TOPOLOGY=debug MONGODB_LOG_PATH=mongodb.log
//! # #[cfg(not(target_arch = "wasm32"))]
//! portolan::logging::init_from_env()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A message that nobody wants costs a glance at `tracing`'s static state.

mod command;
#[cfg(not(target_arch = "wasm32"))]
mod env;
mod extended_json;
mod pool;
mod selection;
#[cfg(not(target_arch = "wasm32"))]
mod subscriber;
mod topology;

#[cfg(not(target_arch = "wasm32"))]
pub use env::{LogConfig, LogLevel, LogPath};
#[cfg(not(target_arch = "wasm32"))]
pub use subscriber::{LogSubscriber, init_from_env};

pub(crate) use selection::SelectionLog;

use std::sync::Mutex;
use std::time::Duration;

use bson::RawDocument;

use crate::engine::address::ServerAddress;
use crate::engine::sdam::{PrimaryWatch, TopologyId};

/// The specification's components, as `tracing` targets.
const TOPOLOGY: &str = "portolan::topology";
const SERVER_SELECTION: &str = "portolan::serverSelection";
const CONNECTION: &str = "portolan::connection";
const COMMAND: &str = "portolan::command";

/// Characters of a document in a message at most ("max document length"), unless told otherwise.
const MAX_DOCUMENT_LENGTH: usize = 1_000;

/// The log of one client.
#[derive(Debug)]
pub(crate) struct Log {
    topology_id: String,
    max_document_length: usize,
    primaries: Mutex<PrimaryWatch>,
}

impl Log {
    /// `max_document_length` wins over the environment, that over 1,000.
    pub(crate) fn new(topology_id: TopologyId, max_document_length: Option<usize>) -> Self {
        #[cfg(not(target_arch = "wasm32"))]
        let max_document_length = max_document_length.or_else(env::max_document_length);
        Self {
            topology_id: topology_id.0.to_hex(),
            max_document_length: max_document_length.unwrap_or(MAX_DOCUMENT_LENGTH),
            primaries: Mutex::default(),
        }
    }

    /// Relaxed extended JSON, cut where it is too long.
    fn json(&self, document: &RawDocument) -> String {
        extended_json::write(document, self.max_document_length)
    }

    /// Loud: a client whose TLS does not check who the server is.
    pub(crate) fn insecure(&self, danger: &str) {
        tracing::warn!(target: CONNECTION, topologyId = self.topology_id.as_str(), "{danger}");
    }

    fn cut(&self, text: String) -> String {
        extended_json::cut(text, self.max_document_length)
    }
}

/// Host, or path of a socket, and the port where there is one.
fn host_and_port(address: &ServerAddress) -> (&str, Option<u64>) {
    match address {
        ServerAddress::Tcp { host, port } => (host, Some(u64::from(*port))),
        ServerAddress::Unix { path } => (path, None),
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
