//! Bytes over binary messages: what yamux speaks, over what a WebSocket carries.
//!
//! Written bytes are gathered until they are flushed or fill a message, so that a frame's header
//! and body travel together. All bytes that arrived are read before the end is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use futures_util::{Sink, Stream};

use crate::MAX_MESSAGE_BYTES;

/// A stream and sink of binary messages as one stream of bytes.
#[derive(Debug)]
pub struct MessageIo<S, B> {
    messages: S,
    incoming: Option<B>,
    taken: usize,
    outgoing: Vec<u8>,
}

impl<S, B> MessageIo<S, B> {
    /// Bytes over `messages`.
    pub fn new(messages: S) -> Self {
        Self { messages, incoming: None, taken: 0, outgoing: Vec::new() }
    }
}

impl<S: Unpin, B> Unpin for MessageIo<S, B> {}

impl<S, B> AsyncRead for MessageIo<S, B>
where
    S: Stream<Item = io::Result<B>> + Unpin,
    B: AsRef<[u8]>,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            if let Some(message) = &self.incoming {
                let rest = &message.as_ref()[self.taken..];
                if !rest.is_empty() {
                    let count = rest.len().min(buf.len());
                    buf[..count].copy_from_slice(&rest[..count]);
                    self.taken += count;
                    return Poll::Ready(Ok(count));
                }
            }
            self.taken = 0;
            self.incoming = None;
            match ready!(Pin::new(&mut self.messages).poll_next(cx)) {
                Some(message) => self.incoming = Some(message?),
                None => return Poll::Ready(Ok(0)),
            }
        }
    }
}

impl<S, B> MessageIo<S, B>
where
    S: Sink<Vec<u8>, Error = io::Error> + Unpin,
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

impl<S, B> AsyncWrite for MessageIo<S, B>
where
    S: Sink<Vec<u8>, Error = io::Error> + Unpin,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.outgoing.len() >= MAX_MESSAGE_BYTES {
            ready!(self.poll_send(cx))?;
        }
        let count = buf.len().min(MAX_MESSAGE_BYTES - self.outgoing.len());
        self.outgoing.extend_from_slice(&buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.messages).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.messages).poll_close(cx)
    }
}
