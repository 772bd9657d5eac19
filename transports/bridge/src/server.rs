//! The server: accepts connections within limits, serves them, and ends in order.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::deployment::Deployment;
use crate::http;
use crate::members::Members;
use crate::origin::Origins;

/// How much of it at once, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of any kind.
    pub connections: usize,
    /// WebSockets that carry tunnels.
    pub sockets: usize,
    /// Streams in one tunnel.
    pub streams: usize,
    /// From a connection's start to the head of its request, and from a stream's start to its open
    /// request.
    pub handshake: Duration,
    /// From a stream's open request to its member's answer.
    pub dial: Duration,
    /// How long a WebSocket's other end may be silent, pings not answered included.
    pub idle: Duration,
    /// How long a shutdown waits for what is under way.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            sockets: 128,
            streams: 256,
            handshake: Duration::from_secs(10),
            dial: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            drain: Duration::from_secs(3),
        }
    }
}

/// What a [`Server`] is made of.
pub struct ServerOptions {
    /// Where it listens; port 0 takes any free one.
    pub listen: SocketAddr,
    /// What may be dialled.
    pub members: Arc<dyn Members>,
    /// The connection string, whose harmless parts pages are given.
    pub uri: String,
    /// Who may ask.
    pub origins: Origins,
    /// The folder of the pages that it serves.
    pub dashboard: Option<PathBuf>,
    /// Demo mode: what the buttons act on.
    pub deployment: Option<Arc<dyn Deployment>>,
    /// How much at once, and how long.
    pub limits: Limits,
}

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) members: Arc<dyn Members>,
    pub(crate) uri: String,
    pub(crate) origins: Origins,
    pub(crate) deployment: Option<Arc<dyn Deployment>>,
    pub(crate) limits: Limits,
    /// Places for WebSockets.
    pub(crate) sockets: Arc<Semaphore>,
    /// Cancelled when the server is to end.
    pub(crate) draining: CancellationToken,
    /// Everything that a shutdown waits for.
    pub(crate) tasks: TaskTracker,
}

/// A bridge that listens.
pub struct Server {
    listener: TcpListener,
    router: axum::Router,
    shared: Arc<Shared>,
}

impl Server {
    /// Listens, and accepts nothing yet.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    pub async fn bind(options: ServerOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let shared = Arc::new(Shared {
            members: options.members,
            uri: options.uri,
            origins: options.origins,
            deployment: options.deployment,
            sockets: Arc::new(Semaphore::new(options.limits.sockets)),
            limits: options.limits,
            draining: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let router = http::router(shared.clone(), options.dashboard);
        Ok(Self { listener, router, shared })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// The operating system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` ends; then tells every WebSocket so, and waits for what is under
    /// way, but not longer than [`Limits::drain`].
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let connections = Arc::new(Semaphore::new(self.shared.limits.connections));
        tokio::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut shutdown => break,
            };
            let Ok((stream, _)) = accepted else {
                // Out of file descriptors, most likely: without a pause this would spin.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            match connections.clone().try_acquire_owned() {
                Ok(place) => self.connection(stream, place),
                Err(_) => drop(stream.try_write(BUSY)),
            }
        }
        drop(self.listener);
        self.shared.draining.cancel();
        self.shared.tasks.close();
        let _ = tokio::time::timeout(self.shared.limits.drain, self.shared.tasks.wait()).await;
    }

    fn connection(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        // Without it, small frames wait for the acknowledgement of those before. A socket that
        // cannot have it is as good as closed.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.shared.limits.handshake)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(self.router.clone()))
            .with_upgrades();
        let draining = self.shared.draining.clone();
        self.shared.tasks.spawn(async move {
            tokio::pin!(served);
            tokio::select! {
                _ = &mut served => {}
                () = draining.cancelled() => {
                    served.as_mut().graceful_shutdown();
                    let _ = served.await;
                }
            }
            drop(place);
        });
    }
}

/// After a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The answer to a connection too many, as far as it gets there before the close does.
const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
