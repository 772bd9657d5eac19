//! The driver against real servers: what it finds, and what it survives.
//!
//! Every test starts a set of its own and asserts on events and results; waiting for an event has a
//! deadline and is no assertion by itself. `cargo xtask setup` installs the mongod that is needed.

mod access;
mod crisis;
mod discovery;
mod failover;
mod hostile;
mod mongotalk;
mod reads;
mod refusals;
mod script;
mod targeting;
mod watch;
