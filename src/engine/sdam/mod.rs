//! Server discovery and monitoring: what the client believes about its deployment.
//!
//! Descriptions are values ([`ServerDescription`], [`TopologyDescription`]); a reply changes them
//! through the specification's table; events come from the difference of two values.
//! Specification: server-discovery-and-monitoring, server-monitoring.

mod server;
mod topology;

pub use server::{DescriptionError, ServerDescription, ServerType};
pub use topology::{TopologyDescription, TopologyId, TopologyType};
