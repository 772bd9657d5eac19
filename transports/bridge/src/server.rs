//! The server: accepts connections within limits, serves them, and ends in order.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use portolan::transport::Resolver;
use portolan_dns::Dns;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tower_http::add_extension::AddExtension;

use crate::address::Network;
use crate::auth::Access;
use crate::deployment::Deployment;
use crate::dial::{Names, SystemNames};
use crate::guard::{Peer, Places};
use crate::http;
use crate::limits::{Bucket, Budget, Limits, PerKey, Rates, counted_as};
use crate::metrics::{Cause, Metrics};
use crate::origin::Origins;
use crate::served::Served;
use crate::tls::Tls;

/// What a [`Server`] is made of.
pub struct ServerOptions {
    /// Where it listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// What is served. The first of a name wins.
    pub deployments: Vec<Served>,
    /// Which pages may ask.
    pub origins: Origins,
    /// Which tokens are known.
    pub access: Access,
    /// The folder of the pages that it serves.
    pub dashboard: Option<PathBuf>,
    /// Demo mode: what the buttons act on.
    pub demo: Option<Arc<dyn Deployment>>,
    /// How much at once, and how long.
    pub limits: Limits,
    /// TLS towards clients; without it, plain.
    pub tls: Option<Tls>,
    /// Where `/metrics` is served, besides `/healthz` and `/readyz`, without TLS; without it,
    /// `/metrics` is served where everything else is, to loopback only.
    pub metrics_listen: Option<SocketAddr>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Where host names lead.
    pub names: Arc<dyn Names>,
    /// Who looks up SRV and TXT records for clients.
    pub records: Arc<dyn Resolver>,
}

impl ServerOptions {
    /// Serves `deployments` to the pages of its own, there are none yet, within the default limits.
    pub fn new(listen: SocketAddr, deployments: Vec<Served>) -> Self {
        Self {
            listen,
            deployments,
            origins: Origins::default(),
            access: Access::default(),
            dashboard: None,
            demo: None,
            limits: Limits::default(),
            tls: None,
            metrics_listen: None,
            trusted_proxies: Vec::new(),
            names: Arc::new(SystemNames),
            records: Arc::new(Dns::system()),
        }
    }
}

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) deployments: BTreeMap<String, Arc<Served>>,
    pub(crate) origins: Origins,
    pub(crate) access: Access,
    pub(crate) demo: Option<Arc<dyn Deployment>>,
    pub(crate) limits: Limits,
    pub(crate) names: Arc<dyn Names>,
    pub(crate) records: Arc<dyn Resolver>,
    pub(crate) metrics: Metrics,
    /// Whether `/metrics` is served elsewhere.
    pub(crate) metrics_apart: bool,
    trusted_proxies: Vec<Network>,
    connections: Arc<Semaphore>,
    /// Places for WebSockets.
    pub(crate) sockets: Arc<Semaphore>,
    pub(crate) addresses: Arc<PerKey<IpAddr>>,
    pub(crate) rates: Rates,
    pub(crate) budget: Budget,
    /// Cancelled when the server is about to end; it still accepts.
    pub(crate) leaving: CancellationToken,
    /// Cancelled when the server is to end.
    pub(crate) draining: CancellationToken,
    /// Everything that a shutdown waits for.
    pub(crate) tasks: TaskTracker,
    /// Lines about refusals, of which an attacker could cause any number.
    lines: Mutex<Bucket>,
}

impl Shared {
    fn new(options: &mut ServerOptions) -> Self {
        let limits = options.limits.clone();
        let mut deployments = BTreeMap::new();
        for served in options.deployments.drain(..) {
            deployments.entry(served.name.clone()).or_insert_with(|| Arc::new(served));
        }
        let origins = std::mem::take(&mut options.origins);
        Self {
            deployments,
            origins: if options.tls.is_some() { origins.secure() } else { origins },
            access: std::mem::take(&mut options.access),
            demo: options.demo.take(),
            names: options.names.clone(),
            records: options.records.clone(),
            metrics: Metrics::default(),
            metrics_apart: options.metrics_listen.is_some(),
            trusted_proxies: std::mem::take(&mut options.trusted_proxies),
            connections: Arc::new(Semaphore::new(limits.connections)),
            sockets: Arc::new(Semaphore::new(limits.sockets)),
            addresses: PerKey::new(limits.connections_per_address),
            rates: Rates::new(limits.opens_per_second, limits.opens_burst),
            budget: Budget::new(limits.buffer_total),
            leaving: CancellationToken::new(),
            draining: CancellationToken::new(),
            tasks: TaskTracker::new(),
            lines: Mutex::new(Bucket::new(LINES_PER_SECOND, 5 * LINES_PER_SECOND, Instant::now())),
            limits,
        }
    }

    /// Counts a refusal and logs it, unless there were too many just now.
    pub(crate) fn refuse(&self, cause: Cause, client: IpAddr, why: &dyn fmt::Display) {
        self.metrics.refused(cause);
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.take(1, Instant::now()) {
            drop(lines);
            tracing::warn!(reason = cause.as_str(), %client, "refused: {why}");
        }
    }

    pub(crate) fn is_trusted_proxy(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(address))
    }

    /// The places of a connection from `address`.
    fn places(&self, address: IpAddr) -> Result<Places, Cause> {
        let connection =
            self.connections.clone().try_acquire_owned().map_err(|_| Cause::Connections)?;
        let of_address = if self.is_trusted_proxy(address) {
            None
        } else {
            Some(self.addresses.place(counted_as(address)).ok_or(Cause::Address)?)
        };
        let held = self.metrics.connections.hold();
        Ok(Places { _connection: connection, _address: of_address, _held: held })
    }
}

/// Lines about refusals in a second.
const LINES_PER_SECOND: u32 = 20;

/// A bridge that listens.
pub struct Server {
    listener: TcpListener,
    metrics_listener: Option<TcpListener>,
    tls: Option<Tls>,
    router: axum::Router,
    shared: Arc<Shared>,
}

impl Server {
    /// Listens, and accepts nothing yet.
    ///
    /// # Errors
    ///
    /// An address cannot be listened on.
    pub async fn bind(mut options: ServerOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let metrics_listener = match options.metrics_listen {
            Some(address) => Some(TcpListener::bind(address).await?),
            None => None,
        };
        let shared = Arc::new(Shared::new(&mut options));
        let router = http::router(shared.clone(), options.dashboard);
        Ok(Self { listener, metrics_listener, tls: options.tls, router, shared })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// The operating system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where it serves `/metrics` apart from everything else, if it does.
    ///
    /// # Errors
    ///
    /// The operating system does not say.
    pub fn metrics_addr(&self) -> io::Result<Option<SocketAddr>> {
        self.metrics_listener.as_ref().map(TcpListener::local_addr).transpose()
    }

    /// Serves until `shutdown` ends. Then it drains: `/readyz` says no for [`Limits::notice`], then
    /// nothing new is taken, streams end as soon as no answer is awaited on them, and every
    /// WebSocket is told; all of that takes no longer than [`Limits::drain`] and a moment.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, metrics_listener, tls, router, shared } = self;
        if let Some(listener) = metrics_listener {
            let router = http::metrics_router(shared.clone());
            let accepting = accept(listener, None, router, shared.clone());
            let draining = shared.draining.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = accepting => {}
                    () = draining.cancelled() => {}
                }
            });
        }
        let over = async {
            shutdown.await;
            tracing::info!("shutting down");
            shared.leaving.cancel();
            tokio::time::sleep(shared.limits.notice).await;
        };
        // A task: the thread that blocks on this future would have to be woken for each connection.
        let accepting = tokio::spawn(accept(listener, tls, router, shared.clone()));
        let accepting = AbortOnDropHandle::new(accepting);
        over.await;
        drop(accepting);
        shared.draining.cancel();
        shared.tasks.close();
        let limit = shared.limits.drain + LAST_WORDS;
        let drained = timeout(limit, shared.tasks.wait()).await.is_ok();
        tracing::info!(drained, "shut down");
    }
}

/// What is left of a drain for goodbyes.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Accepts for ever.
async fn accept(
    listener: TcpListener,
    tls: Option<Tls>,
    router: axum::Router,
    shared: Arc<Shared>,
) {
    loop {
        let Ok((stream, address)) = listener.accept().await else {
            // Out of file descriptors, most likely: without a pause this would spin.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        match shared.places(address.ip()) {
            Ok(places) => {
                let peer = Peer { address, places: Arc::new(places) };
                let served = connection(stream, peer, tls.clone(), router.clone(), shared.clone());
                shared.tasks.spawn(served);
            }
            Err(cause) => {
                shared.refuse(cause, address.ip(), &"too many connections");
                if tls.is_none() {
                    let _ = stream.try_write(BUSY);
                }
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: Peer,
    tls: Option<Tls>,
    router: axum::Router,
    shared: Arc<Shared>,
) {
    // Without it, small frames wait for the acknowledgement of those before. A socket that
    // cannot have it is as good as closed.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Some(tls) = tls else {
        return requests(stream, peer, router, &shared).await;
    };
    match timeout(shared.limits.handshake, tls.accept(stream)).await {
        Ok(Ok(stream)) => requests(stream, peer, router, &shared).await,
        Ok(Err(error)) => shared.refuse(Cause::Tls, peer.address.ip(), &error),
        Err(_) => shared.refuse(Cause::Tls, peer.address.ip(), &"no handshake in time"),
    }
}

/// Serves the requests of one connection, up to its upgrade if there is one.
async fn requests<S>(stream: S, peer: Peer, router: axum::Router, shared: &Shared)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(AddExtension::new(router, peer));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.limits.handshake)
        .max_buf_size(MOST_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(served);
    tokio::select! {
        _ = &mut served => {}
        // Whoever takes a page so slowly that this is not enough reads nothing.
        () = tokio::time::sleep(LONGEST_CONNECTION) => {}
        () = shared.draining.cancelled() => {
            served.as_mut().graceful_shutdown();
            let _ = served.await;
        }
    }
}

/// After a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A request's head, at most.
const MOST_HEAD_BYTES: usize = 32 * 1024;
/// A connection that is no WebSocket lives no longer.
const LONGEST_CONNECTION: Duration = Duration::from_secs(600);
/// The answer to a connection too many, as far as it gets there before the close does.
const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
