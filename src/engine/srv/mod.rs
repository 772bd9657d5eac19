//! Seeds by DNS: what is asked, which answers count, what a TXT record may say.
//!
//! Pure rules; who asks is the shell. Weights and priorities never come this far: they MUST be
//! ignored. Specification: initial-dns-seedlist-discovery and
//! polling-srv-records-for-mongos-discovery.

mod error;
mod name;
mod seeds;
mod txt;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use error::SrvError;
pub use name::{Verified, query_name, verify};
pub(crate) use seeds::least_ttl;
pub use seeds::{Seeds, choose, seeds};
pub use txt::TxtOptions;

/// One SRV record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SrvRecord {
    /// The host that it names, with or without the dot of the root.
    pub host: String,
    /// The port at that host.
    pub port: u16,
    /// How long it may be kept; zero where that is not known.
    pub ttl: Duration,
}
