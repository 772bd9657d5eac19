//! Frames over binary messages.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream};

use crate::frame::Frame;

/// The binary messages of a WebSocket, which carry a tunnel's frames: each message has whole ones
/// where it was sent by this crate, and may have any part of them.
pub trait Messages: Unpin {
    /// The next message; nothing after the last.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>>;

    /// Ready where there is room for a frame.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Takes a frame, to send it at the latest when it is flushed.
    ///
    /// # Errors
    ///
    /// The other end is gone.
    fn send(&mut self, frame: Frame) -> io::Result<()>;

    /// Sends what was taken.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Sends what was taken, and closes.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// [`Messages`] of a stream and sink of them, each in one piece. Small frames that are sent
/// together share a message.
#[derive(Debug)]
pub struct MessageIo<S> {
    messages: S,
    outgoing: Vec<u8>,
}

impl<S> MessageIo<S> {
    /// Frames over `messages`.
    pub fn new(messages: S) -> Self {
        Self { messages, outgoing: Vec::new() }
    }
}

/// What frames that share a message come to, at most: up to here, a copy costs less than a message.
pub(crate) const SHARED_BYTES: usize = 4 * 1024;

impl<S, B> MessageIo<S>
where
    S: Stream<Item = io::Result<B>> + Sink<Vec<u8>, Error = io::Error> + Unpin,
{
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.outgoing.is_empty() {
            ready!(Pin::new(&mut self.messages).poll_ready(cx))?;
            let message = std::mem::take(&mut self.outgoing);
            Pin::new(&mut self.messages).start_send(message)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S, B> Messages for MessageIo<S>
where
    S: Stream<Item = io::Result<B>> + Sink<Vec<u8>, Error = io::Error> + Unpin,
    B: Into<Bytes>,
{
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        Pin::new(&mut self.messages).poll_next(cx).map_ok(Into::into)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // One message may wait here while another has no room below.
        match self.outgoing.len() {
            0..SHARED_BYTES => Poll::Ready(Ok(())),
            _ => self.poll_send(cx),
        }
    }

    fn send(&mut self, frame: Frame) -> io::Result<()> {
        if self.outgoing.is_empty() {
            self.outgoing = frame.into_vec();
        } else {
            frame.append_to(&mut self.outgoing);
        }
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.messages).poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.messages).poll_close(cx)
    }
}
