//! TLS without I/O: bytes in, bytes out. For a module of its own beside a core in the browser.

use std::fmt;
use std::io;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::{config, problem};
use crate::engine::sdam::TlsProblem;
use crate::options::{OptionsError, TlsOptions};
use crate::transport::EncryptionError;

/// What all sessions of one client share: whom to trust, who the client is.
#[derive(Clone, Debug)]
pub struct SessionConfig(Arc<ClientConfig>);

impl SessionConfig {
    /// Honours `options`.
    ///
    /// Without authorities in `options` those of the system are trusted, and in wasm32 those of
    /// Mozilla's list.
    ///
    /// # Errors
    ///
    /// Text or a file in PEM form that cannot be used.
    pub fn new(options: &TlsOptions) -> Result<Self, OptionsError> {
        config::client(options).map(|config| Self(Arc::new(config)))
    }

    /// Begins a session with `host`, a name or an IP address: its first bytes are in
    /// [`Session::take_sealed`].
    ///
    /// # Errors
    ///
    /// No certificate can be of such a host.
    pub fn session(&self, host: &str) -> Result<Session, EncryptionError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| EncryptionError {
            problem: TlsProblem::WrongHost,
            message: format!("no certificate can be of the host {host}"),
        })?;
        let connection = ClientConnection::new(self.0.clone(), name)
            .map_err(|error| problem::of_session(host, &error))?;
        Ok(Session { host: host.to_owned(), connection, plain: Vec::new(), has_ended: false })
    }
}

/// One connection: what is sealed goes over the network, what is plain does not.
pub struct Session {
    host: String,
    connection: ClientConnection,
    plain: Vec<u8>,
    has_ended: bool,
}

impl Session {
    /// Takes in what came over the network.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or with the server's certificate. The session is over then;
    /// [`take_sealed`](Self::take_sealed) may have a last word for the server.
    pub fn put_sealed(&mut self, mut bytes: &[u8]) -> Result<(), EncryptionError> {
        while !bytes.is_empty() {
            // Its buffer is bounded and emptied below: it takes some of a slice each time.
            let taken = self.connection.read_tls(&mut bytes);
            let state = self.connection.process_new_packets();
            let state = state.map_err(|error| problem::of_session(&self.host, &error))?;
            self.has_ended |= state.peer_has_closed();
            let mut rest = vec![0; state.plaintext_bytes_to_read()];
            let read = self.connection.reader().read(&mut rest);
            match read {
                Ok(count) => self.plain.extend_from_slice(&rest[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.has_ended = true,
            }
            if self.has_ended || !matches!(taken, Ok(1..)) {
                break;
            }
        }
        Ok(())
    }

    /// What is to go over the network now; empty for nothing.
    pub fn take_sealed(&mut self) -> Vec<u8> {
        let mut sealed = Vec::new();
        while self.connection.wants_write() && self.connection.write_tls(&mut sealed).is_ok() {}
        sealed
    }

    /// Seals as much of `bytes` as there is room for, and answers how much that was.
    pub fn put_plain(&mut self, bytes: &[u8]) -> usize {
        self.connection.writer().write(bytes).unwrap_or_default()
    }

    /// What the server has sent so far; empty for nothing.
    pub fn take_plain(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.plain)
    }

    /// Whether hands are still being shaken.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the server has said farewell: nothing more comes.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Says farewell.
    pub fn close(&mut self) {
        self.connection.send_close_notify();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("host", &self.host).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
