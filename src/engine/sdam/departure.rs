//! Why a server is no part of the topology any more.
//!
//! The specification drops such servers without a word; who waits for a server then wonders where
//! his seed has gone (GAP-06).

use std::fmt;

use serde::{Serialize, Serializer};

use crate::engine::address::ServerAddress;
use crate::engine::time::Instant;

/// A server that was removed from the topology, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Departure {
    /// The address that the client dialled.
    pub address: ServerAddress,
    /// When it was removed.
    #[serde(skip)]
    pub at: Instant,
    /// Why.
    pub reason: DepartureReason,
}

/// Why a server was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DepartureReason {
    /// It belongs to another replica set.
    OtherSet {
        /// The set that it says it belongs to.
        found: Option<String>,
        /// The set that the client looks for.
        wanted: Option<String>,
    },
    /// The set's configuration calls it by another name.
    OtherName {
        /// That name.
        me: String,
    },
    /// It is a standalone, a mongos or a replica set member where it cannot be one.
    OtherKind {
        /// What it is.
        found: super::ServerType,
    },
    /// The primary does not list it.
    NotListed {
        /// The primary.
        by: ServerAddress,
    },
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was left out: {}", self.address, self.reason)
    }
}

impl fmt::Display for DepartureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherSet { found: Some(found), wanted: Some(wanted) } => {
                write!(f, "it is a member of replica set \"{found}\", not of \"{wanted}\"")
            }
            Self::OtherSet { .. } => f.write_str("it is not a member of the replica set"),
            Self::OtherName { me } => {
                write!(f, "the set's configuration calls it {me}; the client uses that name")
            }
            Self::OtherKind { found } => {
                write!(f, "it is a {found}, which is no part of such a deployment")
            }
            Self::NotListed { by } => write!(f, "the primary {by} does not list it as a member"),
        }
    }
}

impl Serialize for DepartureReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
