//! A server's WebSocket as binary messages, with an eye on whether the other end still lives.
//!
//! The other end is pinged three times in each idle limit; where nothing at all is heard for the
//! whole of it, or nothing is taken of what is sent, reading fails with
//! [`io::ErrorKind::TimedOut`]. Too many pings and empty frames are
//! [`io::ErrorKind::QuotaExceeded`], a message too large [`io::ErrorKind::FileTooLarge`].

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream};
use portolan_mux::{CloseReason, Frame};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::flood::Flood;
use crate::limits::SEND_BYTES;
use crate::socket::Socket;
use crate::tunnel::close_reason;

/// The messages of one WebSocket. Clones share it, so that one can say goodbye when another ended.
#[derive(Clone)]
pub(crate) struct Messages(Arc<Mutex<Inner>>);

struct Inner {
    socket: Socket,
    pings: Interval,
    idle_limit: Duration,
    heard: Instant,
    /// Since when the other end takes nothing.
    stuck: Option<Instant>,
    flood: Flood,
    /// Bytes of data, both ways.
    moved: u64,
    /// What reading failed with, as far as the other end should know.
    failed: Option<CloseReason>,
}

impl Messages {
    /// The messages of `socket`, which may be silent for `idle_limit`.
    pub(crate) fn new(socket: Socket, idle_limit: Duration, flood: Flood) -> Self {
        let now = Instant::now();
        let period = (idle_limit / 3).max(Duration::from_millis(1));
        let mut pings = tokio::time::interval_at(now + period, period);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(Arc::new(Mutex::new(Inner {
            socket,
            pings,
            idle_limit,
            heard: now,
            stuck: None,
            flood,
            moved: 0,
            failed: None,
        })))
    }

    /// Tells the other end why the WebSocket closes, and waits a little for it to have heard: a
    /// connection that is dropped with bytes unread is reset, and the reason lost.
    pub(crate) async fn close(&self, reason: CloseReason) {
        let frame = CloseFrame { code: reason.code().into(), reason: reason.text().into() };
        let mut frame = Some(Message::Close(Some(frame)));
        let said = poll_fn(|cx| self.locked(|inner| inner.socket.poll_say(&mut frame, cx)));
        let heard = poll_fn(|cx| self.locked(|inner| inner.poll_over(cx)));
        let goodbye = async {
            if said.await.is_ok() {
                heard.await;
            }
        };
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }

    /// Sends the messages of a tunnel, which flushing leaves for this.
    pub(crate) fn send(&self, cx: &mut Context<'_>) {
        // Where that fails, reading does too, and says why.
        drop(self.locked(|inner| inner.poll_send(cx)));
    }

    /// How many bytes of data have gone either way.
    pub(crate) fn moved(&self) -> u64 {
        self.locked(|inner| inner.moved)
    }

    /// Why the messages ended.
    pub(crate) fn ended(&self) -> CloseReason {
        self.locked(|inner| inner.failed).unwrap_or(CloseReason::Ended)
    }

    fn locked<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_millis(500);

fn failed(error: Error) -> io::Error {
    let kind = match &error {
        Error::Io(error) => error.kind(),
        Error::Capacity(_) => io::ErrorKind::FileTooLarge,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            io::ErrorKind::ConnectionAborted
        }
        Error::Protocol(_) | Error::Utf8(_) | Error::AttackAttempt => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, error)
}

impl Inner {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            if self.is_stuck() {
                return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
            }
            match self.socket.poll_next(cx) {
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(failed(error)))),
                Poll::Ready(Some(Ok(message))) => {
                    self.heard = Instant::now();
                    let fine = match &message {
                        Message::Binary(bytes) => self.flood.message(bytes),
                        Message::Ping(_) | Message::Pong(_) => self.flood.control(),
                        Message::Text(_) | Message::Close(_) | Message::Frame(_) => true,
                    };
                    if !fine {
                        return Poll::Ready(Some(Err(io::ErrorKind::QuotaExceeded.into())));
                    }
                    match message {
                        Message::Binary(bytes) => {
                            self.moved += bytes.len() as u64;
                            return Poll::Ready(Some(Ok(bytes)));
                        }
                        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                        Message::Close(_) => return Poll::Ready(None),
                        Message::Text(_) => return Poll::Ready(Some(Err(text_message()))),
                    }
                }
                Poll::Pending => ready!(self.poll_alive(cx))?,
            }
        }
    }

    /// Ready once the other end has closed too.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(Ok(_)) = ready!(self.socket.poll_next(cx)) {}
        Poll::Ready(())
    }

    fn is_stuck(&self) -> bool {
        self.stuck.is_some_and(|since| since.elapsed() >= self.idle_limit)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.socket.unsent() == 0 {
            // An answer to a ping may have taken them along.
            return self.took(Poll::Ready(Ok(())));
        }
        let sent = self.socket.poll_flush(cx);
        self.took(sent)
    }

    fn send_bare(&mut self, message: Bytes) -> Result<(), Error> {
        self.moved += message.len() as u64;
        self.socket.send_bare(message)
    }

    /// Ready where there is room for one more message.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.socket.unsent() >= SEND_BYTES {
            let sent = self.poll_send(cx)?;
            if sent.is_pending() && self.socket.unsent() >= SEND_BYTES {
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Remembers since when the other end takes nothing.
    fn took<T>(&mut self, sent: Poll<T>) -> Poll<T> {
        match &sent {
            Poll::Ready(_) => self.stuck = None,
            Poll::Pending => drop(self.stuck.get_or_insert_with(Instant::now)),
        }
        sent
    }

    /// Ready where it is time to look at the socket again.
    fn poll_alive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.pings.poll_tick(cx));
        if self.heard.elapsed() >= self.idle_limit {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        // A socket that takes nothing needs no ping to find out whether it lives.
        if self.stuck.is_none() {
            let _ =
                self.socket.poll_say(&mut Some(Message::Ping(Bytes::new())), cx).map_err(failed)?;
        }
        Poll::Ready(Ok(()))
    }
}

fn text_message() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a text message in a tunnel")
}

impl Stream for Messages {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.locked(|inner| {
            let next = inner.poll_next(cx);
            if let Poll::Ready(Some(Err(error))) = &next {
                inner.failed = close_reason(error);
            }
            next
        })
    }
}

/// Those of a socket without a tunnel: what is flushed is sent.
impl Sink<Bytes> for Messages {
    type Error = io::Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.locked(|inner| inner.poll_room(cx)).map_err(failed)
    }

    fn start_send(self: Pin<&mut Self>, message: Bytes) -> io::Result<()> {
        self.locked(|inner| inner.send_bare(message)).map_err(failed)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.locked(|inner| inner.poll_send(cx)).map_err(failed)
    }

    /// Sends only: the close frame, with its reason, is [`Messages::close`]'s.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.locked(|inner| inner.poll_send(cx)).map_err(failed)
    }
}

/// Those of a tunnel, each with one frame; flushing leaves them for [`Messages::send`], which sends
/// them together.
impl portolan_mux::Messages for Messages {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        Stream::poll_next(Pin::new(self), cx)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.locked(|inner| inner.poll_room(cx)).map_err(failed)
    }

    fn send(&mut self, frame: Frame) -> io::Result<()> {
        self.locked(|inner| match frame.into_parts() {
            (Some(header), body) => {
                inner.moved += body.len() as u64;
                inner.socket.send(&header, body)
            }
            (None, whole) => inner.send_bare(whole),
        })
        .map_err(failed)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.locked(|inner| inner.poll_send(cx)).map_err(failed)
    }
}
