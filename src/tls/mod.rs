//! TLS over any transport's raw stream, by rustls.
//!
//! `config` reads files and options, `verify` has the checks that options relax, `problem` says in
//! plain words what rustls found, `stream` carries bytes. All of it is behind the feature `tls`;
//! without that a client that is to use TLS is not made, and says so.
//!
//! rustls asks no OCSP responder and reads no revocation list: `tlsDisableOCSPEndpointCheck` and
//! `tlsDisableCertificateRevocationCheck` are accepted, and what they switch off is never done.

#[cfg(feature = "tls")]
mod config;
#[cfg(feature = "tls-key-password")]
mod encrypted_key;
#[cfg(feature = "tls")]
mod problem;
#[cfg(feature = "tls")]
mod stream;
#[cfg(feature = "tls")]
mod verify;

#[cfg(feature = "tls")]
pub(crate) use stream::Tls;

#[cfg(not(feature = "tls"))]
pub(crate) use absent::Tls;

#[cfg(not(feature = "tls"))]
mod absent {
    use crate::driver::open::OpenError;
    use crate::engine::address::ServerAddress;
    use crate::options::{OptionsError, TlsOptions};
    use crate::transport::BoxStream;

    /// No TLS: there is no value of it.
    pub(crate) enum Tls {}

    impl Tls {
        pub(crate) fn new(_: &TlsOptions) -> Result<Self, OptionsError> {
            Err(OptionsError::conflict(
                &["tls"],
                "the connection string asks for TLS (as mongodb+srv:// does, unless it says \
                 tls=false), and portolan was built without its feature \"tls\"; switch it on, \
                 also by the same name in the transport's crate",
            ))
        }

        pub(crate) async fn wrap(
            &self,
            _: &ServerAddress,
            _: BoxStream,
        ) -> Result<BoxStream, OpenError> {
            match *self {}
        }
    }
}
