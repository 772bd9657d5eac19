//! The bridge: a WebSocket in front of the members of one MongoDB deployment.
//!
//! ```text
//! page --WebSocket--> Server --Members?--> TCP to a member
//!         many streams, portolan-mux
//! ```
//!
//! It dials nothing but current members of that deployment, which it knows because it runs this
//! driver, and serves no page but its own and those it is told to trust. The bytes it carries are
//! not looked at: a page authenticates to the deployment itself.
//!
//! [`Server`] is the whole of it; [`Members`] says what may be dialled, [`Origins`] who may ask,
//! [`Deployment`] is what the demo's buttons act on. The program `portolan` is made of these.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]

mod demo;
mod deployment;
mod http;
mod members;
mod messages;
mod origin;
mod server;
mod tunnel;
mod uri;

pub use deployment::{ActionError, Deployment, MemberAction, MemberState, MemberStatus};
pub use members::{Believed, FixedMembers, Members};
pub use origin::{Origins, Refused};
pub use server::{Limits, Server, ServerOptions};
pub use uri::public_uri;
