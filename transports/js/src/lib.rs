//! Portolan in wasm32: WebSocket streams through the bridge, timers of the JavaScript host.
//!
//! A leaf of the core's seam for pages, workers and every JavaScript runtime with a `WebSocket`,
//! `performance.now()` and `setTimeout`. All streams of a `Bridge` share one WebSocket, opened
//! when the first is needed and again after it closed.
//!
//! On targets other than wasm32 this crate is empty.

#![cfg(target_arch = "wasm32")]

mod bridge;
mod clock;
mod socket;

pub use bridge::Bridge;
