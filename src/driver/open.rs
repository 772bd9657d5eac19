//! From an address to a stream that carries messages: the proxy and TLS, above the transport's raw
//! stream, so that they are the same on every runtime.

use std::fmt;
use std::io;

use super::proxy;
use crate::engine::address::ServerAddress;
use crate::engine::sdam::LinkErrorKind;
use crate::options::{ClientOptions, OptionsError, ProxyOptions};
use crate::tls::Tls;
use crate::transport::{BoxStream, Transport, Unresolved};

/// How a client opens its connections, those of monitors and those of operations alike.
pub(crate) struct Opener {
    proxy: Option<ProxyOptions>,
    tls: Option<Tls>,
}

/// Why there is no stream.
#[derive(Debug)]
pub(crate) struct OpenError {
    pub(crate) kind: LinkErrorKind,
    pub(crate) message: String,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl OpenError {
    pub(crate) fn new(kind: LinkErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        let unresolved = error.get_ref().is_some_and(|cause| cause.is::<Unresolved>());
        let kind = if unresolved { LinkErrorKind::Unresolved } else { LinkErrorKind::Network };
        Self::new(kind, error.to_string())
    }
}

impl Opener {
    /// Reads the files that the TLS options name.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or used; TLS in a build without it.
    pub(crate) fn new(options: &ClientOptions) -> Result<Self, OptionsError> {
        let tls = if options.tls_enabled() { Some(Tls::new(options)?) } else { None };
        Ok(Self { proxy: options.proxy.clone(), tls })
    }

    /// Opens a stream to `address`. Dropping the future closes it.
    pub(crate) async fn open(
        &self,
        transport: &dyn Transport,
        address: &ServerAddress,
    ) -> Result<BoxStream, OpenError> {
        let raw = match (&self.proxy, address) {
            (Some(proxy), ServerAddress::Tcp { host, port }) => {
                proxy::connect(transport, proxy, host, *port).await?
            }
            (Some(_), ServerAddress::Unix { .. }) | (None, _) => transport.connect(address).await?,
        };
        match &self.tls {
            None => Ok(raw),
            Some(tls) => tls.wrap(address, raw).await,
        }
    }
}
