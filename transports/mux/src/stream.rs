//! One stream of a tunnel, the same type at both ends.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_io::{AsyncRead, AsyncWrite};

use crate::codec::{Decoded, Refusal, Status};
use crate::failure::failure;
use crate::handle::Handle;

/// Bytes to and from a member of the deployment, through a tunnel.
///
/// Reading waits for the bridge's answer first and fails with it where it is a [`Refusal`].
pub struct TunnelStream {
    inner: Handle,
    _place: Place,
    /// The open request, until the first write, flush, read or close carries it.
    request: Vec<u8>,
    answer: Answer,
}

enum Answer {
    Awaited(Vec<u8>),
    Accepted(Duration),
    Refused(Refusal),
}

impl TunnelStream {
    /// A client's stream: its request is not sent and its answer not here yet.
    pub(crate) fn requesting(inner: Handle, request: Vec<u8>, place: Place) -> Self {
        Self { inner, request, answer: Answer::Awaited(Vec::new()), _place: place }
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
    pub(crate) fn accepted(inner: Handle, place: Place) -> Self {
        let answer = Answer::Accepted(Duration::ZERO);
        Self { inner, request: Vec::new(), answer, _place: place }
    }

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.request.is_empty() {
            let count = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.request))?;
            self.request.drain(..count);
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
        self.inner.tunnel_error().unwrap_or_else(|| {
            let text = "the bridge ended the stream without an answer";
            failure(io::ErrorKind::UnexpectedEof, text)
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

/// Without copies, for whoever passes bytes on.
impl TunnelStream {
    /// What came, piece by piece, from where it is; pieces that are small and there already are
    /// joined. `None` is the end.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        ready!(self.poll_request(cx))?;
        ready!(self.poll_answer(cx))?;
        let Some(first) = ready!(self.inner.poll_piece(cx))? else { return Poll::Ready(Ok(None)) };
        let mut joined = Vec::new();
        while first.len() + joined.len() <= JOINED_BYTES {
            // An end or an error is there again at the next call.
            let Poll::Ready(Ok(Some(next))) = self.inner.poll_piece(cx) else { break };
            if joined.is_empty() {
                joined.extend_from_slice(&first);
            }
            joined.extend_from_slice(&next);
        }
        let piece = if joined.is_empty() { first } else { joined.into() };
        Poll::Ready(Ok(Some(piece)))
    }

    /// Sends the beginning of `bytes` from where it is, and takes that off it.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &mut Bytes) -> Poll<io::Result<()>> {
        ready!(self.poll_request(cx))?;
        self.inner.poll_send(cx, bytes)
    }
}

/// Up to here, a copy costs less than a system call.
const JOINED_BYTES: usize = 8 * 1024;

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
        Pin::new(&mut self.inner).poll_read(cx, buf)
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
                Poll::Ready(Err(error))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_request(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_request(cx))?;
        Pin::new(&mut self.inner).poll_close(cx)
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
            .field("number", &self.inner.number())
            .field("answer", &answer)
            .finish_non_exhaustive()
    }
}

/// How many streams a tunnel has.
#[derive(Debug, Default)]
pub(crate) struct Places(AtomicUsize);

impl Places {
    /// A place for one more stream, unless there are `limit` already.
    pub(crate) fn take(self: &Arc<Self>, limit: usize) -> Option<Place> {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |streams| {
                (streams < limit).then_some(streams + 1)
            })
            .is_ok()
            .then(|| Place(self.clone()))
    }
}

/// A stream's place among those that a tunnel allows; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
