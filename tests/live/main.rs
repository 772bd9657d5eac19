//! The driver against real servers: what it finds, and what it survives.
//!
//! Every test starts a set of its own and asserts on events and results; waiting for an event has a
//! deadline and is no assertion by itself. `cargo xtask setup --all` installs the mongods that are
//! needed; `cargo xtask test` runs the tests on each, `$PORTOLAN_LIVE_MONGOD` names another one.

mod access;
mod auth;
mod behind;
mod certificates;
mod changes;
mod commands;
mod compression;
mod crisis;
mod discovery;
mod failover;
mod hostile;
mod kinds;
mod mongotalk;
mod on_demand;
mod proxy;
mod raku;
mod reads;
mod refusals;
mod script;
mod targeting;
mod terminator;
mod tls;
mod watch;
mod x509;
