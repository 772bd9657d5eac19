//! Portolan on async-std: connect, sleep, now, spawn.
//!
//! A leaf of the core's seam: it decides nothing. Streams are plain TCP (or Unix domain sockets)
//! without delay, with keepalive; a host name is resolved and each of its addresses tried in turn.
//! The clock counts from the making of the [`AsyncStd`]; a sleep never ends early.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]

use std::io;
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_io::{Async, IoSafe, Timer};
use async_std::net::ToSocketAddrs as _;
use async_trait::async_trait;
use futures_io::{AsyncRead, AsyncWrite};
pub use portolan::Client;
use portolan::transport::{BoxFuture, BoxStream, ByteStream, Instant, Transport};
use portolan::{ClientOptions, Result, ServerAddress};
use socket2::{SockRef, TcpKeepalive};

/// A client of the deployment that `uri` names, its driver spawned. Waits for no server.
///
/// # Errors
///
/// The connection string cannot be used.
pub async fn connect(uri: &str) -> Result<Client> {
    let (client, driver) = Client::new(ClientOptions::parse(uri)?, Arc::new(AsyncStd::new()))?;
    async_std::task::spawn(driver);
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

/// The time and the sockets of async-std.
#[derive(Clone, Debug)]
pub struct AsyncStd {
    epoch: std::time::Instant,
}

impl AsyncStd {
    /// A transport whose clock starts now.
    #[expect(clippy::new_without_default, reason = "two transports are not equal: no default")]
    pub fn new() -> Self {
        Self { epoch: std::time::Instant::now() }
    }
}

#[async_trait]
impl Transport for AsyncStd {
    fn now(&self) -> Instant {
        Instant::ZERO + self.epoch.elapsed()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        let deadline = self.epoch.checked_add(Duration::from_nanos(deadline.as_nanos()));
        let timer = deadline.map_or_else(Timer::never, Timer::at);
        Box::pin(async move {
            timer.await;
        })
    }

    async fn connect(&self, target: &ServerAddress) -> io::Result<BoxStream> {
        match target {
            ServerAddress::Tcp { host, port } => {
                let mut error = io::Error::new(io::ErrorKind::NotFound, "no address");
                for address in (&**host, *port).to_socket_addrs().await? {
                    match Async::<TcpStream>::connect(address).await {
                        Ok(stream) => return Ok(Box::new(Raw(prepared(stream)?))),
                        Err(refused) => error = refused,
                    }
                }
                Err(error)
            }
            #[cfg(unix)]
            ServerAddress::Unix { path } => {
                Ok(Box::new(Raw(Async::<std::os::unix::net::UnixStream>::connect(&**path).await?)))
            }
            #[cfg(not(unix))]
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// After two minutes of silence the operating system probes the peer, as in the field's drivers.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_secs(120)).with_interval(Duration::from_secs(10));

fn prepared(stream: Async<TcpStream>) -> io::Result<Async<TcpStream>> {
    stream.get_ref().set_nodelay(true)?;
    SockRef::from(stream.get_ref()).set_tcp_keepalive(&KEEPALIVE)?;
    Ok(stream)
}

/// A socket as the core's byte stream.
struct Raw<S>(Async<S>);

impl<S> ByteStream for Raw<S>
where
    S: io::Read + io::Write + IoSafe + Send,
    for<'a> SockRef<'a>: From<&'a S>,
{
}

impl<S: io::Read + IoSafe> AsyncRead for Raw<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: io::Write + IoSafe> AsyncWrite for Raw<S>
where
    for<'a> SockRef<'a>: From<&'a S>,
{
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

    /// Ends the sending half only: async-io's own close flushes and leaves the peer waiting.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Poll::Ready(SockRef::from(self.0.get_ref()).shutdown(Shutdown::Write))
    }
}
