//! Connections in memory, and the time of a runtime.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use futures_io::{AsyncRead, AsyncWrite};
use portolan::ServerAddress;
use portolan::engine::wire::{DEFAULT_MAX_MESSAGE_SIZE, Framer};
use portolan::transport::{BoxFuture, BoxStream, ByteStream, Instant, Transport};

use super::Deployment;
use crate::codec::{Request, decode};

/// What arrives at the client's end of a connection.
#[derive(Debug)]
pub(super) enum Delivery {
    /// What was dialled is open.
    Accepted,
    /// What was dialled is refused.
    Refused,
    /// A part of the stream.
    Bytes(Vec<u8>),
    /// The end of it.
    HungUp,
}

/// One connection, as the deployment sees it.
#[derive(Debug)]
pub(super) struct Connection {
    /// What waits for an answer: the latest command, or the stream that it began.
    pub(super) asked: Option<Request>,
    /// The client has not dropped it.
    pub(super) held: bool,
    /// Whether it was accepted, once that is known.
    open: Option<bool>,
    unread: VecDeque<u8>,
    hung_up: bool,
    /// Who dials, or reads.
    client: Option<Waker>,
}

impl Default for Connection {
    fn default() -> Self {
        let unread = VecDeque::new();
        Self { asked: None, held: true, open: None, unread, hung_up: false, client: None }
    }
}

impl Connection {
    pub(super) fn arrived(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Accepted => self.open = Some(true),
            Delivery::Refused => self.open = Some(false),
            Delivery::Bytes(bytes) => self.unread.extend(bytes),
            Delivery::HungUp => self.hung_up = true,
        }
    }

    pub(super) fn wake(&mut self) {
        if let Some(client) = self.client.take() {
            client.wake();
        }
    }
}

/// The network of a deployment with the time of a runtime.
pub(super) struct ScriptedNetwork {
    deployment: Deployment,
    time: Arc<dyn Transport>,
}

impl ScriptedNetwork {
    pub(super) fn new(deployment: Deployment, time: Arc<dyn Transport>) -> Self {
        Self { deployment, time }
    }
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl Transport for ScriptedNetwork {
    fn runtime(&self) -> &str {
        self.time.runtime()
    }

    fn now(&self) -> Instant {
        self.time.now()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        self.time.sleep_until(deadline)
    }

    async fn connect(&self, target: &ServerAddress) -> io::Result<BoxStream> {
        let deployment = self.deployment.clone();
        let name = deployment.state().dial(target.host());
        let Some(name) = name else {
            let text = format!("{} is no member of the scripted deployment", target.host());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        };
        let framer = Framer::new(DEFAULT_MAX_MESSAGE_SIZE);
        let stream = Stream { deployment, name, framer };
        let open = poll_fn(|cx| {
            stream.look(cx, |connection| connection.open.map_or(Poll::Pending, Poll::Ready))
        });
        if open.await {
            return Ok(Box::new(stream));
        }
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}

/// The client's end of a connection.
struct Stream {
    deployment: Deployment,
    name: String,
    /// What the client has sent of its next command.
    framer: Framer,
}

impl Stream {
    /// Looks at the connection, behind all that has arrived before; comes again where `look` waits.
    fn look<T>(&self, cx: &Context<'_>, look: impl FnOnce(&mut Connection) -> Poll<T>) -> Poll<T> {
        let mut state = self.deployment.state();
        state.arrive(&self.name);
        let Some(connection) = state.connections.get_mut(&self.name) else { return Poll::Pending };
        let looked = look(connection);
        if looked.is_pending() {
            connection.client = Some(cx.waker().clone());
        }
        looked
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut state = self.deployment.state();
        if let Some(connection) = state.connections.get_mut(&self.name) {
            connection.held = false;
        }
        // What was on its way to it keeps nothing else waiting.
        state.wake_next();
    }
}

impl ByteStream for Stream {}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.look(cx, |connection| {
            let count = buffer.len().min(connection.unread.len());
            if count == 0 && !connection.hung_up {
                return Poll::Pending;
            }
            for (slot, byte) in buffer.iter_mut().zip(connection.unread.drain(..count)) {
                *slot = byte;
            }
            Poll::Ready(Ok(count))
        })
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let room = self.framer.unfilled(buffer.len().max(1));
        let count = room.len().min(buffer.len());
        room[..count].copy_from_slice(&buffer[..count]);
        self.framer.filled(count);
        while let Some(frame) = self.framer.next_frame().map_err(io::Error::other)? {
            let request = decode(frame).map_err(io::Error::other)?;
            self.deployment.state().asked(&self.name, request);
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
