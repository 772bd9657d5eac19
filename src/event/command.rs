//! What becomes of each command.
//!
//! Specification: command-logging-and-monitoring "Events API". Handshakes and checks are no
//! commands of a user and are not told. Of a command that carries secrets neither the command nor
//! its reply is shown.

use std::time::Duration;

use bson::RawDocumentBuf;
use bson::oid::ObjectId;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::engine::address::ServerAddress;
use crate::engine::sdam::TopologyId;
use crate::engine::time::Instant;
use crate::error::Error;

/// One event of one command.
#[derive(Clone, Debug)]
pub struct CommandEvent {
    /// When it happened, on the client's clock.
    pub at: Instant,
    /// The client's topology.
    pub topology_id: TopologyId,
    /// The command's name.
    pub command_name: String,
    /// The database that it runs on.
    pub database_name: String,
    /// The number of the request on its connection.
    pub request_id: i32,
    /// The same for all commands of one operation that may take several, as a bulk write; `None`
    /// for all others.
    pub operation_id: Option<i64>,
    /// The server.
    pub address: ServerAddress,
    /// The client's number of the connection, unique in its pool ("driverConnectionId").
    pub connection_id: u64,
    /// The server's number of the connection.
    pub server_connection_id: Option<i64>,
    /// Behind a load balancer: which server.
    pub service_id: Option<ObjectId>,
    /// What happened.
    pub kind: CommandEventKind,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum CommandEventKind {
    /// The command is about to be written.
    CommandStarted {
        /// The whole command; empty where it carries secrets.
        command: RawDocumentBuf,
    },
    /// The server has answered with `ok: 1`, even if some of the writes failed.
    CommandSucceeded {
        /// From the first byte written.
        duration: Duration,
        /// The whole reply; empty where it carries secrets.
        reply: RawDocumentBuf,
    },
    /// The server has refused the command, or did not answer.
    CommandFailed {
        /// From the first byte written.
        duration: Duration,
        /// Why; where the command carries secrets, only code, code name and labels.
        failure: Error,
    },
}

impl CommandEventKind {
    /// The specification's name of the event, in camel case.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CommandStarted { .. } => "commandStarted",
            Self::CommandSucceeded { .. } => "commandSucceeded",
            Self::CommandFailed { .. } => "commandFailed",
        }
    }
}

impl Serialize for CommandEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("t_ms", &self.at.as_millis_f64())?;
        map.serialize_entry("kind", self.kind.name())?;
        map.serialize_entry("topologyId", &self.topology_id)?;
        map.serialize_entry("address", &self.address)?;
        map.serialize_entry("commandName", &self.command_name)?;
        map.serialize_entry("databaseName", &self.database_name)?;
        map.serialize_entry("requestId", &self.request_id)?;
        map.serialize_entry("connectionId", &self.connection_id)?;
        if let Some(id) = self.server_connection_id {
            map.serialize_entry("serverConnectionId", &id)?;
        }
        if let Some(id) = self.operation_id {
            map.serialize_entry("operationId", &id)?;
        }
        if let Some(id) = self.service_id {
            map.serialize_entry("serviceId", &id.to_hex())?;
        }
        let millis = |duration: &Duration| duration.as_secs_f64() * 1e3;
        match &self.kind {
            CommandEventKind::CommandStarted { command } => {
                map.serialize_entry("command", command)?;
            }
            CommandEventKind::CommandSucceeded { duration, reply } => {
                map.serialize_entry("durationMs", &millis(duration))?;
                map.serialize_entry("reply", reply)?;
            }
            CommandEventKind::CommandFailed { duration, failure } => {
                map.serialize_entry("durationMs", &millis(duration))?;
                map.serialize_entry("failure", &failure.to_string())?;
            }
        }
        map.end()
    }
}
