//! The engine: every decision of the driver, and nothing else.
//!
//! Deterministic by construction: no clock, no I/O, no async, no threads, no randomness of the
//! operating system, no iteration over unordered containers. Each machine takes one input with the
//! time it happened and answers with actions:
//!
//! - `handle(now, Event)`: one input.
//! - `poll_action() -> Option<Action>`: drained until `None` before the next input.
//! - `poll_timeout() -> Option<Instant>`: the earliest absolute deadline. Waking late is harmless;
//!   the machine never asks to be woken early and never bursts.
//!
//! A recorded list of (time, event) therefore replays to the same actions anywhere.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod address;
pub mod auth;
pub mod hello;
pub mod map;
pub mod op;
pub mod pool;
pub mod rng;
pub mod sdam;
pub mod selection;
pub mod session;
pub mod socks5;
pub mod srv;
pub mod time;
pub mod transaction;
pub mod wire;
