//! Whole messages over a raw stream.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_util::AsyncWriteExt;
use futures_util::task::AtomicWaker;

use crate::engine::time::Instant;
use crate::engine::wire::{Framer, WireError};
use crate::transport::{BoxStream, Transport};

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
        let mut at = None;
        loop {
            if let Some(frame) = self.framer.next_frame()? {
                return Ok(Arrival { frame, at: at.unwrap_or_else(|| transport.now()) });
            }
            let count = poll_fn(|cx| {
                let buffer = self.framer.unfilled(READ_SIZE);
                let read = Pin::new(&mut *self.stream).poll_read(cx, buffer);
                // What has arrived counts, whatever was found out about the server meanwhile.
                if let (Poll::Pending, Some(interrupt)) = (&read, interrupt) {
                    interrupt.check(cx)?;
                }
                read.map_err(FramedError::Io)
            })
            .await?;
            if count == 0 {
                return Err(self.ended().into());
            }
            at = Some(self.stream.arrived_at().unwrap_or_else(|| transport.now()));
            self.framer.filled(count);
        }
    }

    /// Whether nothing has arrived that nobody asked for, the end of the stream included.
    pub(crate) async fn is_silent(&mut self) -> bool {
        poll_fn(|cx| {
            let mut pending = || {
                let buffer = self.framer.unfilled(1);
                Pin::new(&mut *self.stream).poll_read(cx, buffer).is_pending()
            };
            // Twice: behind a write that had no reply, a stream may put its first look off.
            Poll::Ready(pending() && pending())
        })
        .await
    }

    /// Whether bytes have arrived behind the latest message.
    pub(crate) fn has_more(&self) -> bool {
        self.framer.is_mid_message()
    }

    fn ended(&self) -> io::Error {
        let text = if self.framer.is_mid_message() {
            "the server closed the connection in the middle of a message"
        } else {
            "the server closed the connection"
        };
        io::Error::new(io::ErrorKind::UnexpectedEof, text)
    }
}
