//! The end that opens streams.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_channel::{mpsc, oneshot};
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::StreamExt as _;
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::Limits;
use crate::codec::Target;
use crate::lookup::{MAX_ANSWER_BYTES, Question, Record};
use crate::stream::{Shared, Slot, TunnelStream, tunnel_error};

/// Opens streams through a tunnel. Cheap to clone; the tunnel closes when no clone and no stream is
/// left.
#[derive(Clone, Debug)]
pub struct ClientTunnel {
    // Before `openings`, whose drop wakes the driver, which then asks who is left.
    shared: Arc<Shared>,
    openings: mpsc::UnboundedSender<Opening>,
    limit: usize,
}

#[derive(Debug)]
struct Opening {
    slot: Slot,
    stream: oneshot::Sender<(yamux::Stream, Slot)>,
}

impl ClientTunnel {
    /// A tunnel over `io`, and the future that carries its bytes: spawn it.
    pub fn new<T>(io: T, limits: Limits) -> (Self, ClientDriver<T>)
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let (openings, requested) = mpsc::unbounded();
        let shared = Arc::<Shared>::default();
        let driver = ClientDriver {
            connection: yamux::Connection::new(io, limits.config(), yamux::Mode::Client),
            openings: requested,
            waiting: VecDeque::new(),
            shared: shared.clone(),
        };
        (Self { openings, shared, limit: limits.streams }, driver)
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
        let slot = self.shared.slot(self.limit).ok_or_else(|| {
            let text = format!("the tunnel has its {} streams already", self.limit);
            io::Error::new(io::ErrorKind::QuotaExceeded, text)
        })?;
        let (stream, opened) = oneshot::channel();
        self.openings.unbounded_send(Opening { slot, stream }).map_err(|_| self.ended())?;
        let (inner, slot) = opened.await.map_err(|_| self.ended())?;
        Ok(TunnelStream::requesting(inner, request, self.shared.clone(), slot))
    }

    /// Whether the tunnel has ended: its driver finished or was dropped.
    pub fn is_closed(&self) -> bool {
        self.openings.is_closed()
    }

    fn ended(&self) -> io::Error {
        self.shared.error().unwrap_or_else(|| tunnel_error(None))
    }
}

/// Carries the bytes of a [`ClientTunnel`] for as long as it is polled; dropping it resets every
/// stream.
#[derive(Debug)]
#[must_use = "a tunnel makes no progress unless its driver is polled"]
pub struct ClientDriver<T> {
    connection: yamux::Connection<T>,
    openings: mpsc::UnboundedReceiver<Opening>,
    waiting: VecDeque<Opening>,
    shared: Arc<Shared>,
}

impl<T: AsyncRead + AsyncWrite + Unpin> ClientDriver<T> {
    /// Serves as many openings as the connection takes now; whether there were any.
    fn open(&mut self, cx: &mut Context<'_>) -> Result<bool, yamux::ConnectionError> {
        while let Poll::Ready(Some(opening)) = self.openings.poll_next_unpin(cx) {
            self.waiting.push_back(opening);
        }
        let mut opened = false;
        while let Some(opening) = self.waiting.pop_front() {
            if opening.stream.is_canceled() {
                continue;
            }
            match self.connection.poll_new_outbound(cx) {
                Poll::Ready(stream) => {
                    // Where nobody waits any more, dropping the stream closes it.
                    let _ = opening.stream.send((stream?, opening.slot));
                    opened = true;
                }
                Poll::Pending => {
                    self.waiting.push_front(opening);
                    break;
                }
            }
        }
        Ok(opened)
    }

    fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), yamux::ConnectionError>> {
        loop {
            match self.connection.poll_next_inbound(cx) {
                // A bridge opens no streams: dropping one resets it.
                Poll::Ready(Some(Ok(_))) => continue,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => {}
            }
            if self.is_abandoned(cx) {
                return self.connection.poll_close(cx);
            }
            if !self.open(cx)? {
                return Poll::Pending;
            }
        }
    }

    /// Whether no handle and no stream is left that could want anything.
    fn is_abandoned(&mut self, cx: &mut Context<'_>) -> bool {
        match self.openings.poll_next_unpin(cx) {
            Poll::Ready(Some(opening)) => {
                self.waiting.push_back(opening);
                false
            }
            Poll::Ready(None) => self.waiting.is_empty() && Arc::strong_count(&self.shared) == 1,
            Poll::Pending => false,
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for ClientDriver<T> {
    /// `Ok` where either end closed the tunnel in order.
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = std::task::ready!(self.poll_drive(cx));
        let clean = result.is_ok();
        let error = tunnel_error(result.err());
        self.shared.end(&error);
        self.openings.close();
        self.waiting.clear();
        // Whoever still waits in the channel would wait for as long as this is not dropped.
        while let Poll::Ready(Some(opening)) = self.openings.poll_next_unpin(cx) {
            drop(opening);
        }
        Poll::Ready(if clean { Ok(()) } else { Err(error) })
    }
}
