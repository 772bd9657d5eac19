//! Why a pool gives no connection, and what its connections are in use for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::time::Shown;

/// Why a pool gives no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolError {
    /// The server failed, and no check has succeeded since ("PoolClearedError").
    Cleared {
        /// What happened to the server.
        reason: Arc<str>,
    },
    /// The server left the topology, or the client was closed ("PoolClosedError").
    Closed,
    /// No connection was free in time ("WaitQueueTimeoutError").
    TimedOut {
        /// What time.
        limit: Duration,
        /// The most connections that the pool may have; 0 for no limit.
        max_size: usize,
        /// Who had them.
        in_use: InUse,
        /// How many were being made.
        making: usize,
    },
}

impl PoolError {
    /// The specification's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cleared { .. } => "PoolClearedError",
            Self::Closed => "PoolClosedError",
            Self::TimedOut { .. } => "WaitQueueTimeoutError",
        }
    }
}

impl fmt::Display for PoolError {
    /// Begins with the specification's sentence, where that says enough.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cleared { reason } => write!(f, "the connection pool was cleared: {reason}"),
            Self::Closed => f.write_str(
                "attempted to check out a connection from closed connection pool: the server left \
                 the deployment, or the client was shut down",
            ),
            Self::TimedOut { limit, max_size, in_use, making } => write!(
                f,
                "timed out while checking out a connection from connection pool, after {}. \
                 maxPoolSize: {max_size}, {in_use}, connections being made: {making}",
                Shown(*limit)
            ),
        }
    }
}

/// What a connection that is out of its pool is in use for (load balancers "Connection Tracking").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A cursor has it until it ends.
    Cursor,
    /// A transaction has it until it ends.
    Transaction,
}

/// Connections that are in use, by what for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// By cursors: behind a load balancer each has its own until it ends.
    pub cursors: usize,
    /// By transactions, likewise.
    pub transactions: usize,
    /// By operations under way, and in users' own hands.
    pub other: usize,
}

impl InUse {
    /// All of them.
    pub fn total(&self) -> usize {
        self.cursors + self.transactions + self.other
    }
}

impl fmt::Display for InUse {
    /// The specification's words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "connections in use by cursors: {}, connections in use by transactions: {}, \
             connections in use by other operations: {}",
            self.cursors, self.transactions, self.other
        )
    }
}
