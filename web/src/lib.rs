//! Portolan for JavaScript (wasm-bindgen).
