//! What the failure of an operation says about its server.
//!
//! Specification: SDAM "Application errors". Pure rules: facts in, a [`Reaction`] out. Where the
//! prose and the pseudo-code contradict each other, the JSON tests decide:
//!
//! - A network error or time-out before the handshake is complete changes nothing (AMB-01). It
//!   carries the label SystemOverloadedError by the rules of connection-monitoring-and-pooling;
//!   errors that cannot be the server's overload (the name does not resolve, TLS, authentication)
//!   mark it Unknown.
//! - A time-out after the handshake changes nothing (AMB-02): the operation may just be slow.

use std::cmp::Ordering;
use std::sync::Arc;

use bson::oid::ObjectId;
use serde::{Deserialize, Serialize};

use crate::engine::address::ServerAddress;
use crate::engine::hello::{TopologyVersion, json};
use crate::engine::op::codes;
use crate::engine::pool::Generation;

/// An operation failed in a way that may say something about the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The server.
    pub address: ServerAddress,
    /// The generation of the connection that failed; of the pool, where none was made.
    pub generation: u64,
    /// Behind a load balancer: the server that the connection led to, as its hello said; the
    /// generation is that of this server.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "json::optional")]
    pub service_id: Option<ObjectId>,
    /// How far the connection had come.
    pub stage: Stage,
    /// What happened.
    pub kind: FailureKind,
}

impl Failure {
    /// A failure of a connection that belongs to `generation`.
    pub fn of(
        address: &ServerAddress,
        generation: Generation,
        stage: Stage,
        kind: FailureKind,
    ) -> Self {
        let Generation { number: generation, service_id } = generation;
        Self { address: address.clone(), generation, service_id, stage, kind }
    }
}

/// How far a connection had come when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// Resolving the name, negotiating TLS: nothing that an overloaded server causes.
    Preparing,
    /// Opening the stream, or waiting for the reply to the first hello.
    Handshaking,
    /// Authenticating.
    Authenticating,
    /// In use.
    Established,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum FailureKind {
    /// The connection broke.
    Network(Arc<str>),
    /// The connection did not answer in time.
    Timeout(Arc<str>),
    /// What the server sent breaks the protocol, or disproves that it is who it should be.
    Protocol(Arc<str>),
    /// The server answered with an error, or with a write concern error.
    Command {
        /// The server's code.
        code: Option<i32>,
        /// The server's message.
        message: Arc<str>,
        /// How new the server's state was.
        topology_version: Option<TopologyVersion>,
    },
}

/// What follows for the description, the pool and the monitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Nothing.
    Ignore,
    /// The member is not what it was: mark it Unknown and check it soon; its connections are good
    /// unless it is shutting down. `rescan`: on demand, all servers are worth another look.
    StateChanged {
        message: Arc<str>,
        topology_version: Option<TopologyVersion>,
        clear: bool,
        rescan: bool,
    },
    /// The server cannot be reached: mark it Unknown, clear its pool, cancel the running check.
    Lost { message: Arc<str> },
}

/// Judges a failure against the pool's generation and the topology version that is known.
pub(super) fn judge(
    failure: &Failure,
    generation: u64,
    known: Option<&TopologyVersion>,
) -> Reaction {
    if failure.generation < generation {
        return Reaction::Ignore;
    }
    match &failure.kind {
        FailureKind::Command { code, message, topology_version } => {
            let changed = codes::is_not_writable_primary(*code, message)
                || codes::is_recovering(*code, message);
            if changed {
                let stale = TopologyVersion::compare(known, topology_version.as_ref());
                if stale != Ordering::Less {
                    return Reaction::Ignore;
                }
                let clear = codes::is_shutting_down(*code);
                // "If a node is recovering for some time, an immediate scan may not gain useful
                // information."
                let rescan = clear || codes::is_not_writable_primary(*code, message);
                let topology_version = *topology_version;
                let message = message.clone();
                Reaction::StateChanged { message, topology_version, clear, rescan }
            } else {
                lost_unless(failure.stage == Stage::Established, message)
            }
        }
        FailureKind::Protocol(message) => lost_unless(false, message),
        FailureKind::Network(message) => lost_unless(failure.stage == Stage::Handshaking, message),
        FailureKind::Timeout(message) => {
            let slow = matches!(failure.stage, Stage::Handshaking | Stage::Established);
            lost_unless(slow, message)
        }
    }
}

fn lost_unless(ignored: bool, message: &Arc<str>) -> Reaction {
    if ignored { Reaction::Ignore } else { Reaction::Lost { message: message.clone() } }
}

#[cfg(test)]
#[path = "failure_tests.rs"]
mod tests;
