//! One stream of a tunnel, the same type at both ends.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_io::{AsyncRead, AsyncWrite};
use futures_util::Stream as _;

use crate::codec::{Decoded, Refusal, Status};

/// Bytes to and from a member of the deployment, through a tunnel.
///
/// Reading waits for the bridge's answer first and fails with it where it is a [`Refusal`].
pub struct TunnelStream {
    // Dropping `inner` wakes the driver, which then asks who is left: these two go first.
    tunnel: Arc<Shared>,
    _slot: Slot,
    inner: yamux::Stream,
    /// The open request, until the first write, flush, read or close carries it.
    request: Vec<u8>,
    answer: Answer,
    write_closed: bool,
}

enum Answer {
    Awaited(Vec<u8>),
    Accepted(Duration),
    Refused(Refusal),
}

impl TunnelStream {
    /// A client's stream: its request is not sent and its answer not here yet.
    pub(crate) fn requesting(
        inner: yamux::Stream,
        request: Vec<u8>,
        tunnel: Arc<Shared>,
        slot: Slot,
    ) -> Self {
        let answer = Answer::Awaited(Vec::new());
        Self { inner, request, answer, write_closed: false, tunnel, _slot: slot }
    }

    /// Sends the open request by itself, if it was not sent yet, and waits for the answer: for who
    /// measures times on this stream, or wants to know at once.
    ///
    /// # Errors
    ///
    /// The [`Refusal`], or that the stream ended first.
    pub async fn answered(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            ready!(self.poll_request(cx))?;
            self.poll_answer(cx)
        })
        .await
    }

    /// How long the first bytes waited at the bridge for their way to the target; `None` before the
    /// answer.
    pub fn dialled(&self) -> Option<Duration> {
        match self.answer {
            Answer::Accepted(dialled) => Some(dialled),
            Answer::Awaited(_) | Answer::Refused(_) => None,
        }
    }

    /// A bridge's stream, past its handshake.
    pub(crate) fn accepted(inner: yamux::Stream, tunnel: Arc<Shared>, slot: Slot) -> Self {
        let answer = Answer::Accepted(Duration::ZERO);
        Self { inner, request: Vec::new(), answer, write_closed: false, tunnel, _slot: slot }
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.request.is_empty() {
            let sent = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.request));
            match sent {
                Ok(count) => drop(self.request.drain(..count)),
                Err(error) => return Poll::Ready(Err(self.broken(error))),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let bytes = match &mut self.answer {
                Answer::Accepted(_) => return Poll::Ready(Ok(())),
                Answer::Refused(refusal) => return Poll::Ready(Err(refusal.clone().into())),
                Answer::Awaited(bytes) => bytes,
            };
            match Status::decode(bytes)? {
                Decoded::Done(Status::Accepted { dialled }) => {
                    self.answer = Answer::Accepted(dialled);
                }
                Decoded::Done(Status::Refused(refusal)) => self.answer = Answer::Refused(refusal),
                Decoded::Needs(needs) => {
                    let start = bytes.len();
                    bytes.resize(start + needs, 0);
                    let read = Pin::new(&mut self.inner).poll_read(cx, &mut bytes[start..]);
                    bytes.truncate(start + ready_count(&read));
                    if ready!(read)? == 0 {
                        return Poll::Ready(Err(self.ended_before_answer()));
                    }
                }
            }
        }
    }

    fn ended_before_answer(&self) -> io::Error {
        self.tunnel.error().unwrap_or_else(|| {
            let text = "the bridge ended the stream without an answer";
            io::Error::new(io::ErrorKind::UnexpectedEof, text)
        })
    }

    /// yamux shows a reset as an end; an end that the other side announced leaves our half open.
    fn cut_off(&self) -> Option<io::Error> {
        let reset = || io::Error::new(io::ErrorKind::ConnectionReset, "the stream was reset");
        let is_cut_off = self.inner.is_closed() && !self.write_closed;
        is_cut_off.then(|| self.tunnel.error().unwrap_or_else(reset))
    }

    /// yamux calls every failed write a write of zero bytes; say what happened instead.
    fn broken(&self, error: io::Error) -> io::Error {
        if error.kind() != io::ErrorKind::WriteZero {
            return error;
        }
        self.tunnel.error().unwrap_or_else(|| {
            io::Error::new(io::ErrorKind::BrokenPipe, "the other end no longer reads this stream")
        })
    }

    fn poll_first_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let request = self.request.len();
        let mut bytes = std::mem::take(&mut self.request);
        bytes.extend_from_slice(&buf[..buf.len().min(FIRST_WRITE_BYTES)]);
        let sent = Pin::new(&mut self.inner).poll_write(cx, &bytes);
        let count = ready_count(&sent);
        bytes.truncate(request);
        bytes.drain(..count.min(request));
        self.request = bytes;
        ready!(sent)?;
        if self.request.is_empty() {
            return Poll::Ready(Ok(count - request));
        }
        self.poll_write_inner(cx, buf)
    }

    fn poll_write_inner(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_request(cx))?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }
}

/// How much payload travels in the frame of the open request, beside it.
const FIRST_WRITE_BYTES: usize = 8 * 1024;

impl TunnelStream {
    /// What came, piece by piece, from where it is; pieces that are small and there already are
    /// joined. `None` is the end.
    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Chunk>>> {
        ready!(self.poll_request(cx))?;
        ready!(self.poll_answer(cx))?;
        let Some(first) = ready!(Pin::new(&mut self.inner).poll_next(cx)?) else {
            return Poll::Ready(self.cut_off().map(Err));
        };
        if first.as_ref().len() > JOINED_BYTES {
            return Poll::Ready(Some(Ok(Chunk(Piece::Whole(first)))));
        }
        let mut joined = first.as_ref().to_vec();
        while joined.len() <= JOINED_BYTES {
            match Pin::new(&mut self.inner).poll_next(cx) {
                Poll::Ready(Some(Ok(next))) => joined.extend_from_slice(next.as_ref()),
                // An end or an error is there again at the next call.
                Poll::Ready(_) | Poll::Pending => break,
            }
        }
        Poll::Ready(Some(Ok(Chunk(Piece::Joined(joined)))))
    }
}

/// Up to here, a copy costs less than a system call.
const JOINED_BYTES: usize = 8 * 1024;

/// Bytes of a stream as they came.
#[derive(Debug)]
pub struct Chunk(Piece);

#[derive(Debug)]
enum Piece {
    Whole(yamux::Packet),
    Joined(Vec<u8>),
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            Piece::Whole(packet) => packet.as_ref(),
            Piece::Joined(bytes) => bytes,
        }
    }
}

fn ready_count(poll: &Poll<io::Result<usize>>) -> usize {
    match poll {
        Poll::Ready(Ok(count)) => *count,
        Poll::Ready(Err(_)) | Poll::Pending => 0,
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_request(cx))?;
        ready!(self.poll_answer(cx))?;
        let count = ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if count == 0
            && !buf.is_empty()
            && let Some(error) = self.cut_off()
        {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Answer::Refused(refusal) = &self.answer {
            return Poll::Ready(Err(refusal.clone().into()));
        }
        let written = if self.request.is_empty() {
            Pin::new(&mut self.inner).poll_write(cx, buf)
        } else {
            self.poll_first_write(cx, buf)
        };
        match ready!(written) {
            Ok(count) => Poll::Ready(Ok(count)),
            Err(error) => {
                // A refusal that nobody has read yet says more than "broken".
                if let Poll::Ready(Err(refusal)) = self.poll_answer(cx) {
                    return Poll::Ready(Err(refusal));
                }
                Poll::Ready(Err(self.broken(error)))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_request(cx))?;
        match ready!(Pin::new(&mut self.inner).poll_flush(cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(self.broken(error))),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.write_closed {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_request(cx))?;
        match ready!(Pin::new(&mut self.inner).poll_close(cx)) {
            Ok(()) => {
                self.write_closed = true;
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(self.broken(error))),
        }
    }
}

impl fmt::Debug for TunnelStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = match &self.answer {
            Answer::Awaited(_) => "awaited",
            Answer::Accepted(_) => "accepted",
            Answer::Refused(_) => "refused",
        };
        f.debug_struct("TunnelStream")
            .field("id", &self.inner.id())
            .field("answer", &answer)
            .finish_non_exhaustive()
    }
}

/// What all streams of one tunnel know of it.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    streams: AtomicUsize,
    ended: OnceLock<(io::ErrorKind, String)>,
}

impl Shared {
    /// A place for one more stream, unless there are `limit` already.
    pub(crate) fn slot(self: &Arc<Self>, limit: usize) -> Option<Slot> {
        self.streams
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |streams| {
                (streams < limit).then_some(streams + 1)
            })
            .is_ok()
            .then(|| Slot(self.clone()))
    }

    /// Records why the tunnel ended; the first reason stays.
    pub(crate) fn end(&self, error: &io::Error) {
        let _ = self.ended.set((error.kind(), error.to_string()));
    }

    /// Why the tunnel ended, if it did.
    pub(crate) fn error(&self) -> Option<io::Error> {
        self.ended.get().map(|(kind, text)| io::Error::new(*kind, text.clone()))
    }
}

/// A stream's place among those that a tunnel allows; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Shared>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The error that a tunnel's end leaves: `None` is an orderly one.
pub(crate) fn tunnel_error(error: Option<yamux::ConnectionError>) -> io::Error {
    match error {
        Some(yamux::ConnectionError::Io(error)) => error,
        Some(yamux::ConnectionError::Decode(yamux::FrameDecodeError::Io(error))) => error,
        None | Some(yamux::ConnectionError::Closed) => {
            io::Error::new(io::ErrorKind::ConnectionAborted, "the tunnel was closed")
        }
        Some(other) => {
            io::Error::new(io::ErrorKind::InvalidData, format!("the tunnel broke: {other}"))
        }
    }
}
