//! Portolan for JavaScript: the wasm module beneath the npm package `portolan`.
//!
//! A thin border: documents cross it as raw BSON (`Uint8Array`), descriptions and events as JSON
//! text, failures as objects with `message`, `kind`, `code`, `labels` and
//! `reasons`. The TypeScript in
//! `web/js` turns these into what users hold, and mirrors this surface in `wasm.ts`.
//!
//! On targets other than wasm32 this crate is empty.

#![cfg(target_arch = "wasm32")]

use wasm_bindgen::prelude::wasm_bindgen;

mod client;
mod cursor;
mod failure;
mod json;
mod promise;
mod reply;
mod request;
mod run;

pub use client::WasmClient;
pub use cursor::WasmCursor;

/// Runs when the module is loaded: a panic, which ends the module, is told on the console first, by
/// the compilers that leave panics their texts.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|panic| console_error(&panic.to_string())));
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(text: &str);
}
