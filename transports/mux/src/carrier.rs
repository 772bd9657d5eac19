//! Carries a tunnel's frames to and from its messages.

use std::io;
use std::task::{Context, Poll, ready};

use crate::connection::{Role, Shared};
use crate::failure::failure;
use crate::frame::NO_FAULT;
use crate::message::Messages;
use crate::{FRAME_BYTES, Limits};

/// After so many bytes, it is the turn of those who read them: while they are in the CPU's cache.
const TURN_BYTES: usize = 4 * FRAME_BYTES;

/// A tunnel and the messages that carry it. Dropping it ends every stream.
#[derive(Debug)]
pub(crate) struct Carrier<M> {
    messages: M,
    pub(crate) tunnel: Shared,
    closing: bool,
}

impl<M: Messages> Carrier<M> {
    pub(crate) fn new(messages: M, role: Role, limits: Limits) -> Self {
        Self { messages, tunnel: Shared::new(role, limits), closing: false }
    }

    /// Moves what can be moved now: ready where the other end has closed the tunnel in order, or
    /// has opened a stream that is not yet taken (`true`).
    ///
    /// # Errors
    ///
    /// The messages failed, or the other end broke the protocol.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        self.tunnel.lock().driven_by(cx.waker());
        let mut received = 0;
        loop {
            let sent = self.poll_send(cx)?;
            {
                let tunnel = self.tunnel.lock();
                if tunnel.has_arrived() {
                    return Poll::Ready(Ok(true));
                }
                if tunnel.has_left() {
                    return Poll::Ready(Ok(false));
                }
            }
            match self.messages.poll_next(cx) {
                Poll::Ready(Some(message)) => {
                    let message = message?;
                    received += message.len();
                    let taken = self.tunnel.lock().receive(message);
                    if let Err(error) = taken {
                        // The other end is told, as far as there is room at once.
                        drop(self.poll_send(cx));
                        return Poll::Ready(Err(error));
                    }
                    if received >= TURN_BYTES {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                Poll::Ready(None) => {
                    self.tunnel.lock().finish()?;
                    return Poll::Ready(Ok(false));
                }
                Poll::Pending if sent.is_pending() || self.tunnel.lock().is_idle() => {
                    return Poll::Pending;
                }
                Poll::Pending => {}
            }
        }
    }

    /// Sends what is queued; ready once all of it is sent.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.tunnel.lock().is_idle() {
                return self.messages.poll_flush(cx);
            }
            if self.messages.poll_ready(cx)?.is_pending() {
                let _ = self.messages.poll_flush(cx)?;
                return Poll::Pending;
            }
            let frame = self.tunnel.lock().pop();
            if let Some(frame) = frame {
                self.messages.send(frame)?;
            }
        }
    }

    /// Sends what is queued, says goodbye and closes.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        {
            let mut tunnel = self.tunnel.lock();
            tunnel.driven_by(cx.waker());
            if !self.closing {
                self.closing = true;
                tunnel.say_goodbye(NO_FAULT);
            }
        }
        ready!(self.poll_send(cx))?;
        self.messages.poll_close(cx)
    }

    /// The tunnel is over; with no error, in order.
    pub(crate) fn end(&self, error: Option<&io::Error>) -> io::Error {
        let closed = || failure(io::ErrorKind::ConnectionAborted, "the tunnel was closed");
        let mut tunnel = self.tunnel.lock();
        match error {
            Some(error) => tunnel.end(error),
            None => tunnel.end(&closed()),
        }
        tunnel.error().unwrap_or_else(closed)
    }
}

impl<M> Drop for Carrier<M> {
    fn drop(&mut self) {
        let text = "the tunnel was closed";
        self.tunnel.lock().end(&failure(io::ErrorKind::ConnectionAborted, text));
    }
}
