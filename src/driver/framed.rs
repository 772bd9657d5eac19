//! Whole messages over a raw stream.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::AsyncWriteExt;
use futures_util::task::AtomicWaker;

use crate::engine::time::Instant;
use crate::engine::wire::{Framer, WireError};
use crate::transport::{BoxStream, Transport, io_error};

/// Bytes that a read offers at least; most replies fit.
const READ_SIZE: usize = 16 * 1024;

/// Why a stream gives no message.
#[derive(Debug)]
pub(crate) enum FramedError {
    /// The stream broke, or ended.
    Io(io::Error),
    /// What arrived is no message.
    Wire(WireError),
    /// The pool wants the connection back; the text says why.
    Interrupted(Arc<str>),
}

impl fmt::Display for FramedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Wire(error) => error.fmt(f),
            Self::Interrupted(reason) => f.write_str(reason),
        }
    }
}

impl From<io::Error> for FramedError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<WireError> for FramedError {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

/// Lets somebody else end the reads of a connection that is in use, or its making.
#[derive(Debug, Default)]
pub(crate) struct Interrupt {
    raised: AtomicBool,
    reason: Mutex<Option<Arc<str>>>,
    reader: AtomicWaker,
}

impl Interrupt {
    /// Ends the present and every later read with `reason`.
    pub(crate) fn raise(&self, reason: Arc<str>) {
        *self.reason.lock().expect("not poisoned: nothing here panics") = Some(reason);
        self.raised.store(true, Ordering::Release);
        self.reader.wake();
    }

    /// Whether it was raised.
    pub(crate) fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    /// Ends once it is raised, with the reason as an error.
    pub(crate) async fn raised(&self) -> FramedError {
        poll_fn(|cx| match self.check(cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(error),
        })
        .await
    }

    fn check(&self, cx: &Context<'_>) -> Result<(), FramedError> {
        self.reader.register(cx.waker());
        if !self.raised.load(Ordering::Acquire) {
            return Ok(());
        }
        let reason = self.reason.lock().expect("not poisoned: nothing here panics").clone();
        Err(FramedError::Interrupted(reason.unwrap_or_else(|| "interrupted".into())))
    }
}

/// A raw stream that speaks whole messages.
pub(crate) struct Framed {
    stream: BoxStream,
    framer: Framer,
}

/// A whole message, and when its last byte arrived.
pub(crate) struct Arrival {
    pub(crate) frame: Vec<u8>,
    pub(crate) at: Instant,
}

impl Framed {
    /// Messages over `stream`, of at most `max_message_size` bytes.
    pub(crate) fn new(stream: BoxStream, max_message_size: usize) -> Self {
        Self { stream, framer: Framer::new(max_message_size) }
    }

    /// Accepts messages of at most `max_message_size` bytes from now on.
    pub(crate) fn set_max_message_size(&mut self, max_message_size: usize) {
        self.framer.set_max(max_message_size);
    }

    /// What the first request's time contains that is no round trip.
    pub(crate) fn held_up(&self) -> Duration {
        self.stream.held_up()
    }

    /// The bytes of the largest message that is accepted.
    pub(crate) fn max_message_size(&self) -> usize {
        self.framer.max()
    }

    /// Writes one message, or several, completely.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), FramedError> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Reads the next message. Dropping the future loses nothing: what has arrived stays.
    pub(crate) async fn read(
        &mut self,
        transport: &dyn Transport,
        interrupt: Option<&Interrupt>,
    ) -> Result<Arrival, FramedError> {
        poll_fn(|cx| self.poll_message(cx, transport, interrupt)).await
    }

    /// The poll of [`Framed::read`].
    pub(crate) fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
        transport: &dyn Transport,
        interrupt: Option<&Interrupt>,
    ) -> Poll<Result<Arrival, FramedError>> {
        let mut at = None;
        loop {
            if let Some(frame) = self.framer.next_frame()? {
                let at = at.unwrap_or_else(|| transport.now());
                return Poll::Ready(Ok(Arrival { frame, at }));
            }
            let buffer = self.framer.unfilled(READ_SIZE);
            let read = Pin::new(&mut *self.stream).poll_read(cx, buffer);
            // What has arrived counts, whatever was found out about the server meanwhile.
            if let (Poll::Pending, Some(interrupt)) = (&read, interrupt) {
                interrupt.check(cx)?;
            }
            let count = ready!(read)?;
            if count == 0 {
                return Poll::Ready(Err(self.ended().into()));
            }
            at = Some(self.stream.arrived_at().unwrap_or_else(|| transport.now()));
            self.framer.filled(count);
        }
    }

    /// Writes what is left of `message` behind `written` bytes.
    pub(crate) fn poll_write_message(
        &mut self,
        cx: &mut Context<'_>,
        message: &[u8],
        written: &mut usize,
    ) -> Poll<Result<(), FramedError>> {
        while *written < message.len() {
            let stream = Pin::new(&mut *self.stream);
            match ready!(stream.poll_write(cx, &message[*written..]))? {
                0 => return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into())),
                count => *written += count,
            }
        }
        Pin::new(&mut *self.stream).poll_flush(cx).map_err(FramedError::Io)
    }

    /// Whether nothing has arrived that nobody asked for, the end of the stream included.
    pub(crate) async fn is_silent(&mut self) -> bool {
        poll_fn(|cx| Poll::Ready(self.poll_silent(cx))).await
    }

    /// The poll of [`Framed::is_silent`], which is never pending.
    pub(crate) fn poll_silent(&mut self, cx: &mut Context<'_>) -> bool {
        let mut pending = || {
            let buffer = self.framer.unfilled(1);
            Pin::new(&mut *self.stream).poll_read(cx, buffer).is_pending()
        };
        // Twice: behind a write that had no reply, a stream may put its first look off.
        pending() && pending()
    }

    /// Whether bytes have arrived behind the latest message.
    pub(crate) fn has_more(&self) -> bool {
        self.framer.is_mid_message()
    }

    fn ended(&self) -> io::Error {
        let text = if self.framer.looks_like_tls() {
            "the server answers in TLS, and closed the connection"
        } else if self.framer.is_mid_message() {
            "the server closed the connection in the middle of a message"
        } else {
            "the server closed the connection"
        };
        io_error(io::ErrorKind::UnexpectedEof, text)
    }
}
