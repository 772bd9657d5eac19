//! The shell over the engine: it carries bytes and time to the machines and does what they say.
//!
//! - [`run`]: the one future that runs the monitors of all servers ([`crate::Driver`]).
//! - [`link`]: what carries the bytes of one connection of a monitor; [`on_demand`]: the same
//!   future, run by whoever has an operation under way; `demand`: how many wait, how many run it.
//! - [`shared`]: what it and the operations share: the machine, the published topology, the pools.
//! - [`framed`]: whole messages over a raw stream.
//! - [`observe`]: who listens to what happens here: streams of events, log messages.
//! - [`pool`], [`connection`], [`authenticate`], [`dial`]: connections of operations; [`select`],
//!   [`obtain`] and [`execute`]: their path; [`failed`]: what a failure of theirs means; [`pause`]:
//!   what comes before the next attempt; `owed`: what servers are still to hear; `lease`: who has
//!   its connection; `transaction`: what a transaction makes of all that; [`checked_out`]: one
//!   connection in a user's hands.
//!
//! Nothing here decides anything about MongoDB; an `if` about it belongs in the engine.

mod attempt;
pub(crate) mod authenticate;
pub(crate) mod checked_out;
pub(crate) mod connection;
mod demand;
pub(crate) mod dial;
pub(crate) mod execute;
pub(crate) mod failed;
pub(crate) mod framed;
pub(crate) mod in_flight;
mod joined;
mod lease;
pub(crate) mod link;
pub(crate) mod observe;
pub(crate) mod obtain;
pub(crate) mod on_demand;
pub(crate) mod open;
mod owed;
pub(crate) mod pause;
pub(crate) mod pool;
pub(crate) mod pool_status;
mod pools;
mod proxy;
pub(crate) mod route;
pub(crate) mod run;
pub(crate) mod select;
pub(crate) mod shared;
pub(crate) mod target;
#[cfg(feature = "oidc-auth")]
mod tokens;
mod transaction;
pub(crate) mod work;
