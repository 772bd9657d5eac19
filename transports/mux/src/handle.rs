//! A stream by its number.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};

use crate::connection::Shared;
use crate::frame::Frame;

/// One end of a stream. Dropping it resets what is not over.
pub(crate) struct Handle {
    tunnel: Shared,
    stream: u32,
}

impl Handle {
    pub(crate) fn new(tunnel: &Shared, stream: u32) -> Self {
        tunnel.lock().used();
        Self { tunnel: tunnel.clone(), stream }
    }

    pub(crate) fn number(&self) -> u32 {
        self.stream
    }

    /// Why the tunnel ended, if it did.
    pub(crate) fn tunnel_error(&self) -> Option<io::Error> {
        self.tunnel.lock().error()
    }

    /// The next piece that arrived, from where it is; `None` is the end.
    pub(crate) fn poll_piece(&self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.tunnel.lock().poll_piece(self.stream, cx)
    }

    /// Sends the beginning of `bytes` from where it is, and takes that off it.
    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<io::Result<()>> {
        let mut tunnel = self.tunnel.lock();
        let count = ready!(tunnel.poll_room(self.stream, cx))?.min(bytes.len());
        let body = bytes.split_to(count);
        tunnel.write(self.stream, count, |header| Frame::apart(header, body));
        Poll::Ready(Ok(()))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut tunnel = self.tunnel.lock();
        tunnel.forget(self.stream);
        tunnel.unused();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.stream).finish()
    }
}

impl AsyncRead for Handle {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.tunnel.lock().poll_read(self.stream, buf, cx)
    }
}

/// Written is queued: the tunnel's driver sends it.
impl AsyncWrite for Handle {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut tunnel = self.tunnel.lock();
        let count = ready!(tunnel.poll_room(self.stream, cx))?.min(buf.len());
        if count > 0 {
            tunnel.write(self.stream, count, |header| Frame::joined(header, &buf[..count]));
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tunnel.lock().close(self.stream);
        Poll::Ready(Ok(()))
    }
}
