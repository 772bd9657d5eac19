//! Whether to try again, and which error to tell (specifications retryable-reads and
//! retryable-writes).

use std::time::Duration;

use super::{CommandFailure, ReplyFailure, Retryability, codes};
use crate::engine::address::ServerAddress;
use crate::engine::hello::TopologyVersion;
use crate::engine::sdam::{
    MIN_HEARTBEAT_FREQUENCY, ServerDescription, ServerType, TopologyDescription,
};

/// The label of an error after which a write may be tried again.
pub const RETRYABLE_WRITE_ERROR: &str = "RetryableWriteError";
/// The label of an error that says that nothing was written.
pub const NO_WRITES_PERFORMED: &str = "NoWritesPerformed";
/// The label of an error of a server that is overloaded.
pub const SYSTEM_OVERLOADED_ERROR: &str = "SystemOverloadedError";

/// Why an attempt failed, as far as trying again depends on it.
#[derive(Clone, Copy, Debug)]
pub enum AttemptError<'a> {
    /// A network error or time-out, while connecting or afterwards.
    Network,
    /// The pool was cleared while the operation waited for a connection.
    PoolCleared,
    /// What the server answered.
    Reply(&'a ReplyFailure),
    /// Anything of the client's own: no server was found, the command cannot be built.
    Client,
}

/// What an operation may do after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// What the operation allows.
    pub retryability: Retryability,
    /// The client's `retryReads`.
    pub retry_reads: bool,
    /// The client's `retryWrites`.
    pub retry_writes: bool,
    /// Whether the operation belongs to a transaction.
    pub in_transaction: bool,
    /// Whether the write concern asks for an acknowledgement.
    pub acknowledged: bool,
}

/// The server that an attempt ran on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptServer {
    /// Whether it takes retryable writes ([`supports_retryable_writes`]).
    pub supports_retryable_writes: bool,
    /// The highest wire version that it speaks.
    pub max_wire_version: i32,
    /// Whether it is a mongos.
    pub is_mongos: bool,
}

impl AttemptServer {
    /// What a description says.
    pub fn of(server: &ServerDescription) -> Self {
        Self {
            supports_retryable_writes: supports_retryable_writes(server),
            max_wire_version: match server.server_type {
                ServerType::LoadBalancer => BEHIND_LOAD_BALANCERS,
                _ => server.reply.max_wire_version,
            },
            is_mongos: server.server_type == ServerType::Mongos,
        }
    }
}

/// Load balancers "Minimum Server Version: 5.0": of a load balancer itself nothing is known.
const BEHIND_LOAD_BALANCERS: i32 = 13;

/// Whether a server takes retryable writes: it has sessions and is not a standalone. A load
/// balancer stands for servers that do.
pub fn supports_retryable_writes(server: &ServerDescription) -> bool {
    match server.server_type {
        ServerType::Standalone => false,
        ServerType::LoadBalancer => true,
        _ => server.reply.logical_session_timeout_minutes.is_some(),
    }
}

impl RetryPolicy {
    /// Whether the command on this server carries a transaction number, the same at every attempt.
    pub fn needs_transaction_number(&self, server: &AttemptServer) -> bool {
        self.retryability == Retryability::Write
            && self.retry_writes
            && self.acknowledged
            && !self.in_transaction
            && server.supports_retryable_writes
    }

    /// Whether a failed attempt is followed by another one.
    ///
    /// `attempt` counts from 1; one retry is made (without `timeoutMS`, which this driver does not
    /// have yet). A write's error must have been through [`RetryPolicy::add_labels`] and the server
    /// of its attempt must have taken a transaction number. The server of the retry must take one
    /// too: if it does not, raise the error at hand.
    pub fn should_retry(
        &self,
        attempt: u32,
        server: &AttemptServer,
        error: AttemptError<'_>,
    ) -> bool {
        if attempt > MAX_RETRIES || self.in_transaction {
            return false;
        }
        match self.retryability {
            Retryability::None => false,
            Retryability::Read => self.retry_reads && is_retryable_read_error(error),
            Retryability::Write => {
                self.needs_transaction_number(server) && is_retryable_write_error(error)
            }
        }
    }

    /// Adds what the driver must add to a server's answer ("RetryableWriteError Labels").
    ///
    /// Network errors are labelled where they are made: [`RetryPolicy::labels_network_errors`].
    pub fn add_labels(&self, server: &AttemptServer, failure: &mut ReplyFailure) {
        if self.labels_replies(server) && has_retryable_write_code(failure, server) {
            failure.add_label(RETRYABLE_WRITE_ERROR);
        }
    }

    /// Adds what the driver must add to the refusal of a connection's handshake: no server labels
    /// that, whatever its version.
    pub fn add_handshake_labels(&self, failure: &mut ReplyFailure) {
        let retryable = failure.code().is_some_and(codes::is_retryable_write);
        if self.labels_network_errors(None) && retryable {
            failure.add_label(RETRYABLE_WRITE_ERROR);
        }
    }

    /// Whether a network error or a cleared pool gets the label RetryableWriteError.
    ///
    /// `server` is that of the attempt, or `None` where the connection was not yet established.
    pub fn labels_network_errors(&self, server: Option<&AttemptServer>) -> bool {
        let supported = server.is_none_or(|server| server.supports_retryable_writes);
        self.retryability == Retryability::Write
            && self.retry_writes
            && !self.in_transaction
            && supported
    }

    /// "Drivers MUST NOT add a RetryableWriteError label to any error derived from a 4.4+ server
    /// response."
    fn labels_replies(&self, server: &AttemptServer) -> bool {
        self.labels_network_errors(Some(server)) && server.max_wire_version < LABELLED_BY_SERVER
    }
}

/// The codes of the top level count, and those of a mongod's write concern error; never those of
/// write errors.
fn has_retryable_write_code(failure: &ReplyFailure, server: &AttemptServer) -> bool {
    let (code, concern) = match failure {
        ReplyFailure::Command(failure) => (failure.code, &failure.write_concern_error),
        ReplyFailure::Write(failure) => (None, &failure.write_concern_error),
        ReplyFailure::Malformed { .. } => return false,
    };
    let concern = concern.as_ref().filter(|_| !server.is_mongos).map(|error| error.code);
    [code, concern].into_iter().flatten().any(codes::is_retryable_write)
}

/// Whether a read may be tried again after this (retryable-reads "Retryable Error").
pub fn is_retryable_read_error(error: AttemptError<'_>) -> bool {
    match error {
        AttemptError::Network | AttemptError::PoolCleared => true,
        AttemptError::Reply(failure) => failure.code().is_some_and(codes::is_retryable_read),
        AttemptError::Client => false,
    }
}

/// Whether a write may be tried again after this: the label decides, and a network error has it.
pub fn is_retryable_write_error(error: AttemptError<'_>) -> bool {
    match error {
        AttemptError::Network | AttemptError::PoolCleared => true,
        AttemptError::Reply(failure) => failure.has_label(RETRYABLE_WRITE_ERROR),
        AttemptError::Client => false,
    }
}

/// Whether an attempt may have written: it reached a server that does not deny it.
pub fn indicates_attempt(error: AttemptError<'_>) -> bool {
    match error {
        AttemptError::Network => true,
        AttemptError::Reply(failure) => !failure.has_label(NO_WRITES_PERFORMED),
        AttemptError::PoolCleared | AttemptError::Client => false,
    }
}

/// The error to tell when several attempts failed.
///
/// The latest of those after which something may have been written; if none is of that kind, the
/// first of all ("Executing Retryable Write Commands").
#[derive(Clone, Debug)]
pub struct KeptError<E> {
    kept: Option<E>,
}

impl<E> Default for KeptError<E> {
    fn default() -> Self {
        Self { kept: None }
    }
}

impl<E> KeptError<E> {
    /// Takes note of an attempt's error; `indicates_attempt` as the function of that name says.
    pub fn record(&mut self, error: E, indicates_attempt: bool) {
        if indicates_attempt || self.kept.is_none() {
            self.kept = Some(error);
        }
    }

    /// The error to tell; `None` where nothing was recorded.
    pub fn into_inner(self) -> Option<E> {
        self.kept
    }

    /// Whether an attempt failed before.
    pub fn is_some(&self) -> bool {
        self.kept.is_some()
    }
}

/// Says what to do where a server without retryable writes refuses a transaction number (code 20,
/// "Transaction numbers ...").
pub fn explain_transaction_numbers(failure: &mut CommandFailure) {
    const ILLEGAL_OPERATION: i32 = 20;
    let refused = failure.message.starts_with("Transaction numbers");
    if failure.code == Some(ILLEGAL_OPERATION) && refused {
        failure.message = "This MongoDB deployment does not support retryable writes. Please add \
                           retryWrites=false to your connection string."
            .to_owned();
    }
}

/// Whether the failed server should be avoided by the retry: always among mongos, else only an
/// overloaded one.
pub fn deprioritizes(error: AttemptError<'_>, server: &AttemptServer) -> bool {
    let overloaded = match error {
        AttemptError::Reply(failure) => failure.has_label(SYSTEM_OVERLOADED_ERROR),
        _ => false,
    };
    server.is_mongos || overloaded
}

/// A server that refused a command because its role changes, before it has counted that change.
///
/// A primary that steps down first interrupts its operations and then becomes a secondary. The
/// errors of these operations carry the topology version that is known already, so SDAM must take
/// them for stale and goes on believing in the primary: the one retry would be refused like the
/// attempt before. It waits for the server's own word instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outdated {
    address: ServerAddress,
    version: TopologyVersion,
}

impl Outdated {
    /// The server at `address`, which gave this version with its error; `None` without a version:
    /// such an error is never stale.
    pub fn of(address: &ServerAddress, version: Option<TopologyVersion>) -> Option<Self> {
        version.map(|version| Self { address: address.clone(), version })
    }

    /// Whether the topology still has what the error denies.
    pub fn is_believed(&self, topology: &TopologyDescription) -> bool {
        topology.server(&self.address).is_some_and(|server| {
            server.server_type.is_known() && server.topology_version == Some(self.version)
        })
    }
}

/// How long a retry waits for news of an [`Outdated`] server: the least interval of checks.
///
/// A server has counted its change within milliseconds; one that never does is tried again.
pub const NEWS_LIMIT: Duration = MIN_HEARTBEAT_FREQUENCY;

/// Retries without `timeoutMS`.
const MAX_RETRIES: u32 = 1;

/// The wire version of server 4.4, the first that labels its errors itself.
const LABELLED_BY_SERVER: i32 = 9;

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
