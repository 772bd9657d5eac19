//! A simulated replica set: what the demo shows where no mongod is installed.
//!
//! [`Cluster`] is the model: members, elections, faults and documents as one deterministic machine
//! that takes its time as an argument. [`SimulatedSet`] listens for it on loopback, so that any
//! driver can discover it, read, write and fail over.
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
mod shell;
mod store;
mod update;
mod write;

pub use cluster::{Action, Cluster, Event};
pub use codec::{Reply, Request, decode, encode};
pub use node::{Fault, Refused, State};
pub use shell::{MemberInfo, SimulatedSet};
