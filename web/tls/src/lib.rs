//! TLS for Portolan in JavaScript: a wasm module of its own, loaded where a connection wants it.
//!
//! Bytes in, bytes out: rustls and the core's checks (`portolan::tls`), without streams and without
//! a client. The base module (`portolan-web`) calls it through JavaScript.
//!
//! On targets other than wasm32 this crate is empty.

#![cfg(target_arch = "wasm32")]

use js_sys::{Error, Reflect};
use portolan::error::TlsProblem;
use portolan::options::TlsOptions;
use portolan::tls::{Session, SessionConfig};
use portolan::transport::EncryptionError;
use wasm_bindgen::prelude::*;

/// What all connections of one client share.
#[wasm_bindgen]
pub struct TlsConfig(SessionConfig);

#[wasm_bindgen]
impl TlsConfig {
    /// `ca` and `certificate_key` are texts in PEM form, with `ca_file` and `certificate_key_file`
    /// the names of files that this runtime does not read.
    ///
    /// # Errors
    ///
    /// What is wrong with the texts, as an `Error`.
    #[wasm_bindgen(constructor)]
    pub fn new(
        ca: Option<String>,
        certificate_key: Option<String>,
        ca_file: Option<String>,
        certificate_key_file: Option<String>,
        allow_invalid_certificates: bool,
        allow_invalid_hostnames: bool,
    ) -> Result<TlsConfig, Error> {
        let options = TlsOptions {
            ca,
            certificate_key,
            ca_file,
            certificate_key_file,
            allow_invalid_certificates: allow_invalid_certificates.then_some(true),
            allow_invalid_hostnames: allow_invalid_hostnames.then_some(true),
            ..TlsOptions::default()
        };
        let config = SessionConfig::new(&options);
        config.map(Self).map_err(|error| Error::new(&error.to_string()))
    }

    /// Begins a session with `host`.
    ///
    /// # Errors
    ///
    /// As of [`TlsSession::put_sealed`].
    pub fn session(&self, host: &str) -> Result<TlsSession, Error> {
        self.0.session(host).map(TlsSession).map_err(|error| failure(&error))
    }
}

/// One connection: see `portolan::tls::Session`.
#[wasm_bindgen]
pub struct TlsSession(Session);

#[wasm_bindgen]
impl TlsSession {
    /// Takes in what came over the network.
    ///
    /// # Errors
    ///
    /// An `Error` with `problem`, a place in `TlsProblem::ALL`.
    #[wasm_bindgen(js_name = putSealed)]
    pub fn put_sealed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.0.put_sealed(bytes).map_err(|error| failure(&error))
    }

    /// What is to go over the network now.
    #[wasm_bindgen(js_name = takeSealed)]
    pub fn take_sealed(&mut self) -> Vec<u8> {
        self.0.take_sealed()
    }

    /// Seals as much as there is room for; how much that was.
    #[wasm_bindgen(js_name = putPlain)]
    pub fn put_plain(&mut self, bytes: &[u8]) -> usize {
        self.0.put_plain(bytes)
    }

    /// What the server has sent so far.
    #[wasm_bindgen(js_name = takePlain)]
    pub fn take_plain(&mut self) -> Vec<u8> {
        self.0.take_plain()
    }

    /// Whether hands are still being shaken.
    #[wasm_bindgen(js_name = isHandshaking)]
    pub fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Whether the server has said farewell.
    #[wasm_bindgen(js_name = hasEnded)]
    pub fn has_ended(&self) -> bool {
        self.0.has_ended()
    }

    /// Says farewell.
    pub fn close(&mut self) {
        self.0.close();
    }
}

fn failure(error: &EncryptionError) -> Error {
    let object = Error::new(&error.message);
    let place = TlsProblem::ALL.iter().position(|problem| *problem == error.problem);
    // Fails on frozen objects only, and this one is ours.
    let _ = Reflect::set(&object, &"problem".into(), &JsValue::from(place));
    object
}
