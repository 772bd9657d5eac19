//! Portolan for JavaScript: the wasm module beneath the npm package `portolan`.
//!
//! A thin border: documents cross it as raw BSON (`Uint8Array`), descriptions and events as JSON
//! text, failures as objects with `message`, `kind`, `code` and `labels`. The TypeScript in
//! `web/js` turns these into what users hold, and mirrors this surface in `wasm.ts`.
//!
//! On targets other than wasm32 this crate is empty.

#![cfg(target_arch = "wasm32")]

mod client;
mod cursor;
mod failure;
mod reply;
mod request;

pub use client::WasmClient;
pub use cursor::WasmCursor;
