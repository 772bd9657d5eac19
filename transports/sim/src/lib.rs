//! Simulated deployments: the demo's replica set, and scripted ones for tests.
//!
//! [`Cluster`] is the model of the demo's: members, elections, faults and documents as one
//! deterministic machine that takes its time as an argument. [`SimulatedSet`] listens for it on
//! loopback, so that any driver can discover it, read, write and fail over. [`scripted`] is a set
//! in memory that does what a script says, after what a client did.
//!
//! It is no MongoDB: every write is on every member at once, nothing is stored, filters know
//! equality and comparison only, and `buildInfo` answers the version `portolan-sim`.

mod cluster;
mod codec;
mod command;
mod cursor;
mod election;
mod filter;
mod hello;
mod node;
pub mod scripted;
#[cfg(not(target_arch = "wasm32"))]
mod shell;
mod store;
mod update;
mod write;

pub use cluster::{Action, Cluster, Event};
pub use codec::{Reply, Request, decode, encode};
pub use node::{Fault, Refused, State};
#[cfg(not(target_arch = "wasm32"))]
pub use shell::{MemberInfo, SimulatedSet};
