//! The time and the sockets of async-io, on which async-std and smol stand.
//!
//! What both leaves share, so that there is one copy of it; it decides nothing. Streams are plain
//! TCP (or Unix domain sockets) without delay, with keepalive; a host name is resolved, and the
//! first of its addresses that answers is taken (RFC 8305). The clock counts from the making of
//! the [`AsyncIo`]; a sleep never ends early.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_io::{Async, IoSafe, Timer};
use async_trait::async_trait;
use futures_io::{AsyncRead, AsyncWrite};
use portolan::ServerAddress;
use portolan::transport::{
    BoxFuture, BoxStream, ByteStream, DnsRecord, Instant, RecordKind, Transport, Unresolved,
    connect_to_any,
};
use portolan_dns::Dns;
use socket2::{SockRef, TcpKeepalive};

/// The time and the sockets of async-io, for a runtime that stands on it.
#[derive(Clone, Debug)]
pub struct AsyncIo {
    runtime: &'static str,
    epoch: std::time::Instant,
    dns: Dns,
}

impl AsyncIo {
    /// A transport of this runtime, whose clock starts now; `dns` looks up SRV and TXT records.
    pub fn new(runtime: &'static str, dns: Dns) -> Self {
        Self { runtime, epoch: std::time::Instant::now(), dns }
    }
}

#[async_trait]
impl Transport for AsyncIo {
    fn runtime(&self) -> &str {
        self.runtime
    }

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
                let (name, port) = (host.clone(), *port);
                let found = blocking::unblock(move || (&*name, port).to_socket_addrs()).await;
                let addresses = found.map_err(|error| Unresolved::error(host, error))?;
                let connect = Async::<TcpStream>::connect::<SocketAddr>;
                let stream = connect_to_any(self, addresses, connect).await?;
                Ok(Box::new(Raw::new(prepared(stream)?)))
            }
            #[cfg(unix)]
            ServerAddress::Unix { path } => {
                let stream = Async::<std::os::unix::net::UnixStream>::connect(&**path).await?;
                Ok(Box::new(Raw::new(stream)))
            }
            #[cfg(not(unix))]
            ServerAddress::Unix { .. } => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    async fn resolve(&self, name: &str, kind: RecordKind) -> io::Result<Vec<DnsRecord>> {
        self.dns.look_up(name, kind).await
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
struct Raw<S> {
    socket: Async<S>,
    /// Something was written and nothing read since.
    asked: bool,
}

impl<S> Raw<S> {
    fn new(socket: Async<S>) -> Self {
        Self { socket, asked: false }
    }
}

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
        // Behind a request nothing has arrived yet: waits at once rather than try in vain.
        if std::mem::take(&mut self.asked) {
            ready!(self.socket.poll_readable(cx))?;
        }
        Pin::new(&mut self.socket).poll_read(cx, buf)
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
        self.asked = true;
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Ends the sending half only: async-io's own close flushes and leaves the peer waiting.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Poll::Ready(SockRef::from(self.socket.get_ref()).shutdown(Shutdown::Write))
    }
}
