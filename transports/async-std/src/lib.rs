//! Portolan on async-std: connect, sleep, now, spawn.
//!
//! A leaf of the core's seam: it decides nothing. Its time and sockets are async-io's, on which
//! async-std stands ([`portolan_async_io`]).

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
pub use portolan::Client;
use portolan::transport::{BoxFuture, BoxStream, DnsRecord, Instant, RecordKind, Transport};
use portolan::{ClientOptions, Result, ServerAddress};
use portolan_async_io::AsyncIo;
use portolan_dns::Dns;

/// A client of the deployment that `uri` names, its driver spawned. Waits for no server.
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
    let transport = Arc::new(AsyncStd::new());
    let (client, driver) = Client::new(options.resolve(&*transport).await?, transport)?;
    async_std::task::spawn(driver);
    Ok(client)
}

/// A client of the same without any background work: see [`Client::on_demand`].
///
/// # Errors
///
/// As [`connect_with`].
pub async fn connect_on_demand(options: ClientOptions) -> Result<Client> {
    let transport = Arc::new(AsyncStd::new());
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

/// The time and the sockets of async-std.
#[derive(Clone, Debug)]
pub struct AsyncStd(AsyncIo);

impl AsyncStd {
    /// A transport whose clock starts now.
    #[expect(clippy::new_without_default, reason = "two transports are not equal: no default")]
    pub fn new() -> Self {
        Self::with_dns(Dns::system())
    }

    /// The same, with SRV and TXT records from `dns`.
    pub fn with_dns(dns: Dns) -> Self {
        Self(AsyncIo::new("async-std", dns))
    }
}

#[async_trait]
impl Transport for AsyncStd {
    fn runtime(&self) -> &str {
        self.0.runtime()
    }

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        self.0.sleep_until(deadline)
    }

    async fn connect(&self, target: &ServerAddress) -> io::Result<BoxStream> {
        self.0.connect(target).await
    }

    async fn resolve(&self, name: &str, kind: RecordKind) -> io::Result<Vec<DnsRecord>> {
        self.0.resolve(name, kind).await
    }
}
