//! Server discovery and monitoring: what the client believes about its deployment.
//!
//! Descriptions are values ([`ServerDescription`], [`TopologyDescription`]); a reply changes them
//! through the specification's table ([`update()`]); events come from the difference of two values.
//! [`Sdam`] nests the machines: topology, then one member per server with its monitor and its
//! probe. Specification: server-discovery-and-monitoring, server-monitoring.

mod contest;
mod departure;
mod election;
mod events;
mod failover;
mod failure;
mod link;
mod machine;
mod member;
mod monitor;
mod notice;
mod outcome;
mod primary_watch;
mod probe;
mod queries;
mod replica_set;
mod rescan;
mod rescanning;
mod rtt;
pub mod scan;
mod server;
mod set_change;
mod settings;
mod snapshot;
pub mod standstill;
mod step;
pub mod suspicion;
mod topology;
pub mod trace;
mod update;
mod wire_versions;

pub use contest::{ClaimText, Contest};
pub use departure::{Departure, DepartureReason};
pub use events::{Action, Event, LinkId, LinkRole};
pub use failover::{Detection, FailoverTimeline, Slowest};
pub use failure::{Failure, FailureKind, Stage};
pub use link::{LinkError, LinkErrorKind, TlsProblem};
pub use machine::{Sdam, WIRE_VERSIONS};
pub use monitor::MIN_HEARTBEAT_FREQUENCY;
pub use notice::{Event as Notice, EventKind, HeartbeatConnection};
pub use primary_watch::{PrimaryChange, PrimaryWatch, set_version_rollback};
pub use rescan::{MIN_RESCAN_INTERVAL, RescanSettings};
pub use rtt::RttAverage;
pub use scan::{ScanSettings, ScanStatus};
pub use server::{DescriptionError, ServerDescription, ServerType};
pub use set_change::{SetChange, SetState, SetWatch};
pub use settings::{MonitorSettings, MonitoringMode, RttProbe, SdamSettings};
pub use snapshot::{SnapshotError, TopologySnapshot};
pub use topology::{TopologyDescription, TopologyId, TopologyType};
pub use update::{Transition, transition, update};
