//! Encryption from outside the core, where its own TLS cannot be or is too large.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{BoxStream, MaybeSend, MaybeSync};
use crate::error::TlsProblem;

/// Encrypts connections in place of the core's own TLS
/// ([`ClientOptions::encryption`](crate::ClientOptions::encryption)).
///
/// It is made for the [`TlsOptions`](crate::options::TlsOptions) of its client, and honours them.
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub trait Encryption: MaybeSend + MaybeSync + 'static {
    /// Shakes hands on `stream`, which leads to `host`: a name or an IP address.
    ///
    /// The core bounds the time by dropping the future.
    ///
    /// # Errors
    ///
    /// What is wrong with the certificate, or with the handshake.
    async fn encrypt(&self, host: &str, stream: BoxStream) -> Result<BoxStream, EncryptionError>;
}

/// Why a connection is not encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncryptionError {
    /// What is wrong.
    pub problem: TlsProblem,
    /// In words that say what to do.
    pub message: String,
}

impl fmt::Display for EncryptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for EncryptionError {}

/// An [`Encryption`] as an option: cheap to clone, equal to its clones only.
#[derive(Clone)]
pub struct CustomEncryption(pub Arc<dyn Encryption>);

impl<E: Encryption> From<E> for CustomEncryption {
    fn from(encryption: E) -> Self {
        Self(Arc::new(encryption))
    }
}

impl PartialEq for CustomEncryption {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for CustomEncryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomEncryption")
    }
}
