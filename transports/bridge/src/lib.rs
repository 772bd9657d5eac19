//! The bridge: a WebSocket in front of the members of MongoDB deployments.
//!
//! ```text
//! page --WebSocket--> guard: host, origin, token --> Served --> dial: member? address? --> TCP
//!                     limits                         by name
//!         many streams (portolan-mux), or one
//! ```
//!
//! It dials nothing but current members of those deployments, which it knows because it runs this
//! driver, and what its configuration names; and those only at addresses that they may have. It
//! serves no page but its own and those it is told to trust, and where tokens are configured nobody
//! without one. The bytes it carries are not looked at: a page authenticates to the deployment
//! itself.
//!
//! [`Server`] is the whole of it. [`Origins`] and [`Access`] say who may ask, [`Served`] what for,
//! [`Networks`] where that may be, [`Limits`] how much. [`Deployment`] is what the demo's buttons
//! act on. The program `portolan` is made of these.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]

mod address;
mod auth;
mod awake;
mod demo;
mod deployment;
mod dial;
mod eager;
mod flood;
mod guard;
mod http;
mod limits;
mod members;
mod messages;
mod metrics;
mod origin;
mod plain;
mod relay;
mod served;
mod server;
mod socket;
mod tls;
mod tunnel;
mod upgrade;
mod uri;

pub use address::{AddressKind, Network, Networks};
pub use auth::{
    Access, DEFAULT_DEPLOYMENT, Denied, Granted, JwtKeys, StaticTokens, TOKEN_PROTOCOL,
};
pub use deployment::{ActionError, Deployment, MemberAction, MemberState, MemberStatus};
pub use dial::{Names, SystemNames};
pub use limits::Limits;
pub use members::{Believed, FixedMembers, Members};
pub use origin::{Origins, Refused};
pub use served::{Served, TargetPattern};
pub use server::{Server, ServerOptions};
pub use tls::Tls;
pub use uri::public_uri;
