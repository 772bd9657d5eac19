//! Portolan on tokio: connect, sleep, now, spawn.
//!
//! A leaf of the core's seam: it decides nothing. Streams are plain TCP (or Unix domain sockets)
//! without delay, with keepalive; a host name is resolved, and the first of its addresses that
//! answers is taken (RFC 8305). The clock counts from the making of the [`Tokio`]; a sleep never
//! ends early.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
pub use portolan::Client;
use portolan::transport::{
    BoxFuture, BoxStream, DnsRecord, Instant, Plain, RecordKind, Transport, Unresolved,
    connect_to_any,
};
use portolan::{ClientOptions, Result, ServerAddress};
use portolan_dns::Dns;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_util::compat::TokioAsyncReadCompatExt as _;

/// A client of the deployment that `uri` names, its driver spawned on the current runtime. Waits
/// for no server.
///
/// # Errors
///
/// The connection string cannot be used, or its host names no seeds in DNS.
pub async fn connect(uri: &str) -> Result<Client> {
    connect_with(ClientOptions::parse(uri)?).await
}

/// The same of options.
///
/// # Errors
///
/// The options cannot be used, or their host names no seeds in DNS.
pub async fn connect_with(options: ClientOptions) -> Result<Client> {
    let transport = Arc::new(Tokio::new());
    let (client, driver) = Client::new(options.resolve(&*transport).await?, transport)?;
    tokio::spawn(driver);
    Ok(client)
}

/// A client of the same without any background work: see [`Client::on_demand`].
///
/// # Errors
///
/// As [`connect_with`].
pub async fn connect_on_demand(options: ClientOptions) -> Result<Client> {
    let transport = Arc::new(Tokio::new());
    Client::on_demand(options.resolve(&*transport).await?, transport)
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
    dns: Dns,
}

impl Tokio {
    /// A transport whose clock starts now.
    #[expect(clippy::new_without_default, reason = "two transports are not equal: no default")]
    pub fn new() -> Self {
        Self::with_dns(Dns::system())
    }

    /// The same, with SRV and TXT records from `dns`.
    pub fn with_dns(dns: Dns) -> Self {
        Self { epoch: std::time::Instant::now(), dns }
    }
}

#[async_trait]
impl Transport for Tokio {
    fn runtime(&self) -> &str {
        "tokio"
    }

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
                let found = tokio::net::lookup_host((&**host, *port)).await;
                let addresses = found.map_err(|error| Unresolved::error(host, error))?;
                let stream = connect_to_any(self, addresses, TcpStream::connect).await?;
                prepare(&stream)?;
                Ok(Box::new(Plain(stream.compat())))
            }
            #[cfg(unix)]
            ServerAddress::Unix { path } => {
                let stream = tokio::net::UnixStream::connect(&**path).await?;
                Ok(Box::new(Plain(stream.compat())))
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

/// Gives a stream that somebody else has dialled what those of a [`Tokio`] have: no delay, and
/// keepalive.
///
/// # Errors
///
/// The operating system refuses.
pub fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&KEEPALIVE)
}
