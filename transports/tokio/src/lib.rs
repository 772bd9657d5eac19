//! Portolan on tokio: connect, sleep, now, spawn.
//!
//! A leaf of the core's seam: it decides nothing. Streams are plain TCP (or Unix domain sockets)
//! without delay, with keepalive; a host name is resolved and each of its addresses tried in turn.
//! The clock counts from the making of the [`Tokio`]; a sleep never ends early.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures_io::{AsyncRead, AsyncWrite};
pub use portolan::Client;
use portolan::transport::{BoxFuture, BoxStream, ByteStream, Instant, Transport};
use portolan::{ClientOptions, Result, ServerAddress};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};

/// A client of the deployment that `uri` names, its driver spawned on the current runtime. Waits
/// for no server.
///
/// # Errors
///
/// The connection string cannot be used.
pub async fn connect(uri: &str) -> Result<Client> {
    let (client, driver) = Client::new(ClientOptions::parse(uri)?, Arc::new(Tokio::new()))?;
    tokio::spawn(driver);
    Ok(client)
}

/// `Client::connect(uri)`, as the official driver has it.
pub trait Connect: Sized {
    /// See [`connect`].
    fn connect(uri: &str) -> impl Future<Output = Result<Self>> + Send;
}

impl Connect for Client {
    async fn connect(uri: &str) -> Result<Self> {
        connect(uri).await
    }
}

/// The time and the sockets of tokio. Its futures need a tokio runtime with I/O and time enabled.
#[derive(Clone, Debug)]
pub struct Tokio {
    epoch: std::time::Instant,
}

impl Tokio {
    /// A transport whose clock starts now.
    #[expect(clippy::new_without_default, reason = "two transports are not equal: no default")]
    pub fn new() -> Self {
        Self { epoch: std::time::Instant::now() }
    }
}

#[async_trait]
impl Transport for Tokio {
    fn now(&self) -> Instant {
        Instant::ZERO + self.epoch.elapsed()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        let deadline = self.epoch.checked_add(Duration::from_nanos(deadline.as_nanos()));
        Box::pin(async move {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        })
    }

    async fn connect(&self, target: &ServerAddress) -> io::Result<BoxStream> {
        match target {
            ServerAddress::Tcp { host, port } => {
                let stream = TcpStream::connect((&**host, *port)).await?;
                Ok(Box::new(Raw(prepared(stream)?.compat())))
            }
            #[cfg(unix)]
            ServerAddress::Unix { path } => {
                let stream = tokio::net::UnixStream::connect(&**path).await?;
                Ok(Box::new(Raw(stream.compat())))
            }
            #[cfg(not(unix))]
            ServerAddress::Unix { .. } => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// After two minutes of silence the operating system probes the peer, as in the field's drivers.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(120)).with_interval(Duration::from_secs(10));

fn prepared(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_keepalive(&KEEPALIVE)?;
    Ok(stream)
}

/// A socket as the core's byte stream.
struct Raw<S>(Compat<S>);

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> ByteStream for Raw<S> {}

impl<S: tokio::io::AsyncRead + Unpin> AsyncRead for Raw<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: tokio::io::AsyncWrite + Unpin> AsyncWrite for Raw<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}
