//! The handshake, and the stream behind it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use futures_rustls::TlsConnector;
use futures_rustls::client::TlsStream;
use rustls::pki_types::ServerName;

use super::{config, problem};
use crate::driver::open::OpenError;
use crate::engine::sdam::{LinkErrorKind, TlsProblem};
use crate::engine::time::Instant;
use crate::options::{OptionsError, TlsOptions};
use crate::transport::{BoxStream, ByteStream};

/// The core's own TLS.
pub(crate) struct Own {
    connector: TlsConnector,
}

impl Own {
    /// Reads the files that `options` name.
    pub(super) fn new(options: &TlsOptions) -> Result<Self, OptionsError> {
        let config = Arc::new(config::client(options)?);
        Ok(Self { connector: TlsConnector::from(config) })
    }

    /// Shakes hands on `stream`, which leads to `host`.
    pub(super) async fn wrap(&self, host: &str, stream: BoxStream) -> Result<BoxStream, OpenError> {
        // A name is checked and sent along (SNI); an IP address is checked and not sent.
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            let kind = LinkErrorKind::Tls(TlsProblem::WrongHost);
            OpenError::new(kind, format!("no certificate can be of the host {host}"))
        })?;
        // On the heap: the state of a handshake would be part of every operation's future.
        match Box::pin(self.connector.connect(name, stream)).await {
            Ok(stream) => Ok(Box::new(Encrypted(stream))),
            Err(error) => Err(problem::of_handshake(host, &error)),
        }
    }
}

/// A stream behind its handshake.
struct Encrypted(TlsStream<BoxStream>);

impl ByteStream for Encrypted {
    fn arrived_at(&self) -> Option<Instant> {
        self.0.get_ref().0.arrived_at()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buffer).map(|read| match read {
            // A server that is killed says no farewell; whether a message was cut is the framer's
            // to find out.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            Err(error) => Err(problem::explained(error)),
            Ok(count) => Ok(count),
        })
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buffer).map_err(problem::explained)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx).map_err(problem::explained)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx).map_err(problem::explained)
    }
}
