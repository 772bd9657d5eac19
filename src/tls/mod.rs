//! TLS over any transport's raw stream, by rustls.
//!
//! `config` reads files and options, `verify` has the checks that options relax, `problem` says in
//! plain words what rustls found, `stream` carries bytes. All of it is behind the feature `tls`;
//! without that a client that is to use TLS is not made, and says so, unless
//! [`ClientOptions::encryption`](crate::ClientOptions::encryption) does it: in the browser a module
//! of its own, made of `session` (feature `tls-session`).
//!
//! rustls asks no OCSP responder and reads no revocation list: `tlsDisableOCSPEndpointCheck` and
//! `tlsDisableCertificateRevocationCheck` are accepted, and what they switch off is never done.

#[cfg(feature = "tls-session")]
mod config;
#[cfg(feature = "tls-key-password")]
mod encrypted_key;
#[cfg(feature = "tls-session")]
mod problem;
#[cfg(feature = "tls-session")]
mod session;
#[cfg(feature = "tls")]
mod stream;
#[cfg(feature = "tls-session")]
mod verify;

#[cfg(feature = "tls-session")]
pub use session::{Session, SessionConfig};

use crate::driver::open::OpenError;
use crate::engine::address::ServerAddress;
use crate::engine::sdam::LinkErrorKind;
use crate::options::{ClientOptions, OptionsError};
use crate::transport::{BoxStream, CustomEncryption};

/// How one client encrypts its connections.
pub(crate) enum Tls {
    /// As the application, or the shell of a runtime, does it.
    Custom(CustomEncryption),
    /// By rustls.
    #[cfg(feature = "tls")]
    Own(stream::Own),
}

impl Tls {
    /// Reads the files that `options` name, unless somebody else encrypts.
    pub(crate) fn new(options: &ClientOptions) -> Result<Self, OptionsError> {
        if let Some(custom) = &options.encryption {
            return Ok(Self::Custom(custom.clone()));
        }
        #[cfg(feature = "tls")]
        return Ok(Self::Own(stream::Own::new(&options.tls)?));
        #[cfg(not(feature = "tls"))]
        Err(OptionsError::conflict(
            &["tls"],
            "the connection string asks for TLS (as mongodb+srv:// does, unless it says \
             tls=false), and portolan was built without its feature \"tls\"; switch it on, \
             also by the same name in the transport's crate",
        ))
    }

    /// Shakes hands on `stream`, which leads to `address`.
    pub(crate) async fn wrap(
        &self,
        address: &ServerAddress,
        stream: BoxStream,
    ) -> Result<BoxStream, OpenError> {
        let host = match address {
            ServerAddress::Tcp { host, .. } => host,
            // mongod wants TLS there too, and whoever listens is on this machine.
            ServerAddress::Unix { .. } => "localhost",
        };
        match self {
            Self::Custom(custom) => {
                custom.0.encrypt(host, stream).await.map_err(|error| {
                    OpenError::new(LinkErrorKind::Tls(error.problem), error.message)
                })
            }
            #[cfg(feature = "tls")]
            Self::Own(own) => own.wrap(host, stream).await,
        }
    }
}
