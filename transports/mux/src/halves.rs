//! A stream's two ways for two futures of one task.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_io::AsyncWrite as _;
use futures_util::{Sink, Stream};

use crate::stream::TunnelStream;

/// What comes by a [`TunnelStream`], piece by piece.
#[derive(Debug)]
pub struct ReadHalf(Arc<Mutex<TunnelStream>>);

/// What goes by a [`TunnelStream`], from where it is.
#[derive(Debug)]
pub struct WriteHalf {
    stream: Arc<Mutex<TunnelStream>>,
    unsent: Bytes,
}

impl TunnelStream {
    /// Both ways, each by itself. The stream is dropped with the second of them.
    pub fn halves(self) -> (ReadHalf, WriteHalf) {
        let shared = Arc::new(Mutex::new(self));
        (ReadHalf(shared.clone()), WriteHalf { stream: shared, unsent: Bytes::new() })
    }
}

fn with<T>(shared: &Mutex<TunnelStream>, f: impl FnOnce(Pin<&mut TunnelStream>) -> T) -> T {
    f(Pin::new(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner)))
}

impl Stream for ReadHalf {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        with(&self.0, |mut stream| stream.poll_piece(cx)).map(Result::transpose)
    }
}

impl Sink<Bytes> for WriteHalf {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while !this.unsent.is_empty() {
            ready!(with(&this.stream, |mut stream| stream.poll_send(cx, &mut this.unsent)))?;
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, bytes: Bytes) -> io::Result<()> {
        self.unsent = bytes;
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ready(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_ready(cx))?;
        with(&self.stream, |stream| stream.poll_close(cx))
    }
}
