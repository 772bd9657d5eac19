//! A stream's two ways for two futures of one task.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_io::AsyncWrite;
use futures_util::Stream;

use crate::stream::{Chunk, TunnelStream};

/// What comes by a [`TunnelStream`], piece by piece.
#[derive(Debug)]
pub struct ReadHalf(Arc<Mutex<TunnelStream>>);

/// What goes by a [`TunnelStream`].
#[derive(Debug)]
pub struct WriteHalf(Arc<Mutex<TunnelStream>>);

impl TunnelStream {
    /// Both ways, each by itself. The stream is dropped with the second of them.
    pub fn halves(self) -> (ReadHalf, WriteHalf) {
        let shared = Arc::new(Mutex::new(self));
        (ReadHalf(shared.clone()), WriteHalf(shared))
    }
}

fn with<T>(shared: &Mutex<TunnelStream>, f: impl FnOnce(Pin<&mut TunnelStream>) -> T) -> T {
    f(Pin::new(&mut *shared.lock().unwrap_or_else(PoisonError::into_inner)))
}

impl Stream for ReadHalf {
    type Item = io::Result<Chunk>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        with(&self.0, |mut stream| stream.poll_chunk(cx))
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        with(&self.0, |stream| stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with(&self.0, |stream| stream.poll_flush(cx))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        with(&self.0, |stream| stream.poll_close(cx))
    }
}
