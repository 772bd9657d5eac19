//! The seam between the core and a runtime: time and byte streams, nothing else.
//!
//! A transport decides nothing. What it does not offer, it says so: there is no default clock, and
//! the default of [`Transport::resolve`] is a clear error.

mod attempts;
mod encryption;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures_io::{AsyncRead, AsyncWrite};

use crate::engine::address::ServerAddress;
pub use crate::engine::auth::{KeyRequest, ScramHash};
pub use crate::engine::time::Instant;
pub use attempts::connect_to_any;
pub use encryption::{CustomEncryption, Encryption, EncryptionError};

/// `Send` on native targets; nothing on wasm32, where JavaScript objects never leave their thread.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeSend: Send {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + ?Sized> MaybeSend for T {}

/// `Send` on native targets; nothing on wasm32, where JavaScript objects never leave their thread.
#[cfg(target_arch = "wasm32")]
pub trait MaybeSend {}
#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> MaybeSend for T {}

/// `Sync` on native targets; nothing on wasm32.
#[cfg(not(target_arch = "wasm32"))]
pub trait MaybeSync: Sync {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Sync + ?Sized> MaybeSync for T {}

/// `Sync` on native targets; nothing on wasm32.
#[cfg(target_arch = "wasm32")]
pub trait MaybeSync {}
#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> MaybeSync for T {}

/// A boxed future, `Send` where the target has threads.
#[cfg(not(target_arch = "wasm32"))]
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// A boxed future, `Send` where the target has threads.
#[cfg(target_arch = "wasm32")]
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A raw, ordered, reliable stream of bytes in both directions.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + MaybeSend {
    /// When the bytes of the latest successful read arrived, where the transport knows it better
    /// than the moment its `poll_read` returned (a WebSocket event stamps its message).
    fn arrived_at(&self) -> Option<Instant> {
        None
    }

    /// How long the first bytes that were written waited for their way to the far end, where
    /// [`Transport::connect`] gives out streams that are still being connected (a tunnel saves a
    /// round trip by that): no part of the time that the far end took to answer them. Known once
    /// bytes were read.
    fn held_up(&self) -> Duration {
        Duration::ZERO
    }
}

/// A boxed [`ByteStream`].
pub type BoxStream = Box<dyn ByteStream>;

/// A stream of a runtime as a [`ByteStream`] that knows nothing of arrivals.
#[derive(Debug)]
pub struct Plain<S>(pub S);

impl<S: AsyncRead + AsyncWrite + Unpin + MaybeSend> ByteStream for Plain<S> {}

impl<S: AsyncRead + Unpin> AsyncRead for Plain<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Plain<S> {
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

/// Why a host name has no address: the cause inside the [`io::Error`] of a
/// [`Transport::connect`], so that the core can tell it from a server that refuses.
#[derive(Debug)]
pub struct Unresolved {
    host: String,
    cause: io::Error,
}

impl Unresolved {
    /// The error of a connect to `host`, whose look-up failed with `cause`.
    pub fn error(host: &str, cause: io::Error) -> io::Error {
        io::Error::new(cause.kind(), Self { host: host.to_owned(), cause })
    }
}

impl std::fmt::Display for Unresolved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the name {} does not resolve: {}", self.host, self.cause)
    }
}

impl std::error::Error for Unresolved {}

/// An I/O error in words, for transports that run in WebAssembly too: what std makes of a text
/// (`io::Error::new(kind, "...")`) can be debugged, by a kilobyte of code.
pub fn io_error(kind: io::ErrorKind, words: impl Into<String>) -> io::Error {
    io::Error::new(kind, Words(words.into()))
}

#[derive(Debug)]
struct Words(String);

impl std::fmt::Display for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Words {}

/// One runtime's time and sockets.
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub trait Transport: MaybeSend + MaybeSync + 'static {
    /// The runtime's name, as the server's log shows it ("async-std", "browser").
    fn runtime(&self) -> &str {
        "unnamed runtime"
    }

    /// The present moment on a monotonic clock that starts at (about) zero with this transport.
    fn now(&self) -> Instant;

    /// Ends at or after `deadline`, never before. Dropping the future cancels it.
    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()>;

    /// Opens a raw stream to `target`, without TLS, or fails.
    ///
    /// The core bounds the time by dropping the future; an implementation needs no time-out of its
    /// own, but must release what it holds when dropped.
    ///
    /// # Errors
    ///
    /// What the runtime says: refused, unreachable, the bridge denies it; [`Unresolved`] where the
    /// name does not resolve, which no overload of the server can cause.
    async fn connect(&self, target: &ServerAddress) -> io::Result<BoxStream>;

    /// The salted password that SCRAM's keys follow from (PBKDF2, RFC 5802 "Hi"), by cryptography
    /// of the runtime's own that is faster than the core's. `None`, as by default, where it has
    /// none or where it fails: the core derives by itself then.
    async fn salted_password(&self, _request: &KeyRequest) -> Option<Vec<u8>> {
        None
    }

    /// Looks up the SRV or TXT records of `name`, which is complete as it is.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] where the name does not exist; a name without such records is an
    /// empty list. By default that this transport has no DNS.
    async fn resolve(&self, name: &str, kind: RecordKind) -> io::Result<Vec<DnsRecord>> {
        let text = format!(
            "this transport cannot look up the {kind:?} records of {name}; use a mongodb:// \
             connection string"
        );
        Err(io_error(io::ErrorKind::Unsupported, text))
    }
}

/// Looks up DNS records in place of the transport
/// ([`ClientOptions::resolver`](crate::ClientOptions::resolver)).
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub trait Resolver: MaybeSend + MaybeSync + 'static {
    /// See [`Transport::resolve`].
    ///
    /// # Errors
    ///
    /// See there.
    async fn resolve(&self, name: &str, kind: RecordKind) -> io::Result<Vec<DnsRecord>>;
}

/// A [`Resolver`] as an option: cheap to clone, equal to its clones only.
#[derive(Clone)]
pub struct CustomResolver(pub Arc<dyn Resolver>);

impl<R: Resolver> From<R> for CustomResolver {
    fn from(resolver: R) -> Self {
        Self(Arc::new(resolver))
    }
}

impl PartialEq for CustomResolver {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::fmt::Debug for CustomResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CustomResolver")
    }
}

/// Which DNS records are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// Service locations.
    Srv,
    /// Texts.
    Txt,
}

/// One DNS record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsRecord {
    /// A service location.
    Srv {
        /// The target's host name.
        host: String,
        /// The target's port.
        port: u16,
        /// Seconds that the answer may be kept; 0 where that is not known.
        ttl: u32,
    },
    /// A text: its character strings, joined.
    Txt(String),
}
