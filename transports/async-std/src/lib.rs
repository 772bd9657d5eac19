//! Portolan on async-std: connect, sleep, now, spawn.
//!
//! A leaf of the core's seam: it decides nothing. Streams are plain TCP (or Unix domain sockets)
//! without delay, with keepalive; a host name is resolved and each of its addresses tried in turn.
//! The clock counts from the making of the [`AsyncStd`]; a sleep never ends early.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]

use std::io;
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_io::{Async, IoSafe};
use async_std::net::ToSocketAddrs as _;
use async_trait::async_trait;
use futures_io::{AsyncRead, AsyncWrite};
use portolan::engine::address::ServerAddress;
use portolan::transport::{BoxFuture, BoxStream, ByteStream, Instant, Transport};
use socket2::{SockRef, TcpKeepalive};

/// The time and the sockets of async-std.
#[derive(Clone, Debug)]
pub struct AsyncStd {
    epoch: std::time::Instant,
}

impl AsyncStd {
    /// A transport whose clock starts now.
    pub fn new() -> Self {
        Self { epoch: std::time::Instant::now() }
    }
}

impl Default for AsyncStd {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Transport for AsyncStd {
    fn now(&self) -> Instant {
        Instant::ZERO + self.epoch.elapsed()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        let deadline = self.epoch.checked_add(Duration::from_nanos(deadline.as_nanos()));
        Box::pin(async move {
            match deadline {
                Some(deadline) => {
                    async_io::Timer::at(deadline).await;
                }
                None => std::future::pending().await,
            }
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
                use std::os::unix::net::UnixStream;
                Ok(Box::new(Raw(Async::<UnixStream>::connect(&**path).await?)))
            }
            #[cfg(not(unix))]
            ServerAddress::Unix { .. } => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// After this much silence the operating system probes the peer, as the field's drivers ask it to.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(120);
/// Between two probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

fn prepared(stream: Async<TcpStream>) -> io::Result<Async<TcpStream>> {
    stream.get_ref().set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    SockRef::from(stream.get_ref()).set_tcp_keepalive(&keepalive)?;
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
