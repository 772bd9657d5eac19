//! Bytes over binary messages: what yamux speaks, over what a WebSocket carries.
//!
//! Written bytes are gathered until they are flushed or fill a message, so that a frame's header
//! and body travel together. All bytes that arrived are read before the end is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};
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
        let bytes = ready!(self.as_mut().poll_fill_buf(cx))?;
        let count = bytes.len().min(buf.len());
        buf[..count].copy_from_slice(&bytes[..count]);
        self.consume(count);
        Poll::Ready(Ok(count))
    }
}

impl<S, B> AsyncBufRead for MessageIo<S, B>
where
    S: Stream<Item = io::Result<B>> + Unpin,
    B: AsRef<[u8]>,
{
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.incoming.as_ref().is_none_or(|message| message.as_ref().len() == this.taken) {
            this.taken = 0;
            this.incoming = None;
            match ready!(Pin::new(&mut this.messages).poll_next(cx)) {
                Some(message) => this.incoming = Some(message?),
                None => return Poll::Ready(Ok(&[])),
            }
        }
        let message = this.incoming.as_ref().map_or(&[][..], B::as_ref);
        Poll::Ready(Ok(&message[this.taken..]))
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.taken += count;
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
