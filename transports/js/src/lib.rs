//! Portolan in wasm32: streams through the bridge or of the runtime's own, timers of the host.
//!
//! Two leaves of the core's seam, for every JavaScript runtime with `performance.now()`,
//! `setTimeout` and `crypto.getRandomValues`:
//!
//! - `Bridge`: pages, workers and whatever else has a `WebSocket` and no sockets. All streams share
//!   one WebSocket, opened when the first is needed and again after it closed.
//! - `Sockets`: runtimes that open byte streams themselves (Node, Deno, Bun, Workers), as pairs of
//!   WHATWG streams.
//!
//! `Tls` encrypts the streams of both, by a wasm module of its own.
//!
//! On targets other than wasm32 this crate is empty.

#![cfg(target_arch = "wasm32")]

mod bridge;
mod clock;
mod crypto;
mod socket;
mod sockets;
mod tls;

pub use bridge::Bridge;
pub use sockets::{Host, Sockets};
pub use tls::Tls;
