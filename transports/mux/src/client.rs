//! The end that opens streams.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::Limits;
use crate::carrier::Carrier;
use crate::codec::Target;
use crate::connection::{Role, Shared};
use crate::failure::failure;
use crate::handle::Handle;
use crate::lookup::{MAX_ANSWER_BYTES, Question, Record};
use crate::message::Messages;
use crate::stream::{Places, TunnelStream};

/// Opens streams through a tunnel. Cheap to clone; the tunnel closes when no clone and no stream is
/// left.
#[derive(Clone, Debug)]
pub struct ClientTunnel {
    user: Arc<User>,
    places: Arc<Places>,
    limit: usize,
}

/// All clones of a [`ClientTunnel`].
#[derive(Debug)]
struct User(Shared);

impl Drop for User {
    fn drop(&mut self) {
        self.0.lock().unused();
    }
}

impl ClientTunnel {
    /// A tunnel over `messages`, and the future that carries its bytes: spawn it.
    pub fn new<M: Messages>(messages: M, limits: Limits) -> (Self, ClientDriver<M>) {
        let carrier = Carrier::new(messages, Role::Client, limits);
        let tunnel = carrier.tunnel.clone();
        tunnel.lock().used();
        let (user, places) = (Arc::new(User(tunnel)), Arc::default());
        (Self { user, places, limit: limits.streams }, ClientDriver { carrier })
    }

    /// Opens a stream to `target` without waiting for the bridge: the request travels with the
    /// first bytes written, and the answer is read before the first bytes are.
    ///
    /// # Errors
    ///
    /// The tunnel has ended, or has as many streams as its limit allows.
    pub async fn open(&self, target: &Target) -> io::Result<TunnelStream> {
        self.request(target.encode()).await
    }

    /// The DNS records that the bridge finds; none where the name has none.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); or the bridge's refusal.
    pub async fn look_up(&self, question: &Question) -> io::Result<Vec<Record>> {
        let mut stream = self.request(question.encode()).await?;
        stream.close().await?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER_BYTES + 1).read_to_end(&mut answer).await?;
        Ok(Record::decode_all(&answer)?)
    }

    async fn request(&self, request: Vec<u8>) -> io::Result<TunnelStream> {
        let place = self.places.take(self.limit).ok_or_else(|| {
            let text = format!("the tunnel has its {} streams already", self.limit);
            failure(io::ErrorKind::QuotaExceeded, text)
        })?;
        let tunnel = &self.user.0;
        let stream = {
            let mut tunnel = tunnel.lock();
            match tunnel.error() {
                Some(error) => return Err(error),
                None => tunnel.open(),
            }
        };
        Ok(TunnelStream::requesting(Handle::new(tunnel, stream), request, place))
    }

    /// Whether the tunnel has ended: its driver finished or was dropped.
    pub fn is_closed(&self) -> bool {
        self.user.0.lock().error().is_some()
    }
}

/// Carries the bytes of a [`ClientTunnel`] for as long as it is polled; dropping it ends every
/// stream.
#[derive(Debug)]
#[must_use = "a tunnel makes no progress unless its driver is polled"]
pub struct ClientDriver<M: Messages> {
    carrier: Carrier<M>,
}

impl<M: Messages> ClientDriver<M> {
    fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A bridge opens no streams: one that it opened would be an error.
        match self.carrier.poll(cx)? {
            Poll::Ready(_) => Poll::Ready(Ok(())),
            Poll::Pending if self.carrier.tunnel.lock().is_abandoned() => {
                self.carrier.poll_close(cx)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<M: Messages> Future for ClientDriver<M> {
    /// `Ok` where either end closed the tunnel in order.
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(self.poll_drive(cx));
        self.carrier.end(result.as_ref().err());
        Poll::Ready(result)
    }
}
