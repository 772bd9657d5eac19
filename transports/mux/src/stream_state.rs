//! One stream as one end of the tunnel knows it.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::FRAME_BYTES;
use crate::failure::failure;
use crate::window::Windows;

/// The credit that each end has at first.
pub(crate) const FIRST_WINDOW: u32 = 256 * 1024;

#[derive(Debug)]
pub(crate) struct State {
    /// What is here and unread.
    pieces: VecDeque<Bytes>,
    unread: u32,
    /// What has credit taken for it and is still to come, of the frame that is arriving.
    coming: u32,
    /// Credit that the other end has.
    theirs: u32,
    /// What it has where nothing is unread: the most that is ever held.
    window: u32,
    /// Credit that this end has.
    ours: u32,
    /// Written, and still in the queue.
    queued: usize,
    /// What the next frame is to say: that the stream is new, or known here too.
    first: u16,
    /// SYN or ACK was sent, or was received: the other end knows this stream.
    known_there: bool,
    ended_there: bool,
    ended_here: bool,
    reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl State {
    /// A stream whose first frame will carry the flag `first`: SYN at the end that opens it.
    pub(crate) fn new(first: u16) -> Self {
        Self {
            pieces: VecDeque::new(),
            unread: 0,
            coming: 0,
            theirs: FIRST_WINDOW,
            window: FIRST_WINDOW,
            ours: FIRST_WINDOW,
            queued: 0,
            first,
            known_there: first == crate::frame::ACK,
            ended_there: false,
            ended_here: false,
            reset: false,
            reader: None,
            writer: None,
        }
    }

    /// Takes credit for `length` bytes that arrive.
    ///
    /// # Errors
    ///
    /// There is not so much, or none should come.
    pub(crate) fn charge(&mut self, length: u32) -> Result<(), &'static str> {
        if self.ended_there && length > 0 {
            return Err("bytes of a stream after their end");
        }
        let left = self.theirs.checked_sub(length);
        self.theirs = left.ok_or("more bytes than there was credit for")?;
        self.coming = length;
        Ok(())
    }

    /// Bytes for which credit was taken.
    pub(crate) fn arrived(&mut self, bytes: Bytes) {
        // Within the credit, which is a u32.
        self.unread += bytes.len() as u32;
        self.coming -= bytes.len() as u32;
        if !bytes.is_empty() {
            self.pieces.push_back(bytes);
            wake(&mut self.reader);
        }
    }

    /// The other end takes so many bytes more.
    ///
    /// # Errors
    ///
    /// Together with what it takes already that is more than any credit.
    pub(crate) fn credit(&mut self, bytes: u32) -> Result<(), &'static str> {
        self.ours = self.ours.checked_add(bytes).ok_or("more credit than there can be")?;
        wake(&mut self.writer);
        Ok(())
    }

    pub(crate) fn half_closed(&mut self) {
        self.ended_there = true;
        wake(&mut self.reader);
    }

    pub(crate) fn reset(&mut self) {
        self.reset = true;
        self.wake_all();
    }

    pub(crate) fn wake_all(&mut self) {
        wake(&mut self.reader);
        wake(&mut self.writer);
    }

    /// The next piece that arrived; `None` is the end.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let Some(piece) = self.pieces.pop_front() else {
            return self.poll_end(cx).map_ok(|()| None);
        };
        self.unread -= piece.len() as u32;
        Poll::Ready(Ok(Some(piece)))
    }

    /// Reads into `buf`; 0 is the end.
    pub(crate) fn poll_read(
        &mut self,
        buf: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut count = 0;
        while let Some(piece) = self.pieces.front_mut() {
            let taken = piece.split_to(piece.len().min(buf.len() - count));
            buf[count..count + taken.len()].copy_from_slice(&taken);
            count += taken.len();
            if !piece.is_empty() {
                break;
            }
            self.pieces.pop_front();
        }
        if count == 0 && !buf.is_empty() {
            return self.poll_end(cx).map_ok(|()| 0);
        }
        self.unread -= count as u32;
        Poll::Ready(Ok(count))
    }

    /// Nothing is here to read: whether nothing will be.
    fn poll_end(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if self.ended_there {
            return Poll::Ready(Ok(()));
        }
        if self.reset {
            let text = "the stream was reset";
            return Poll::Ready(Err(failure(io::ErrorKind::ConnectionReset, text)));
        }
        keep(&mut self.reader, cx);
        Poll::Pending
    }

    /// The flags and the credit of a frame that gives it, where that is worth one: half of the
    /// window was read since the last.
    pub(crate) fn grant(&mut self, windows: &mut Windows) -> Option<(u16, u32)> {
        if self.ended_there || self.reset {
            return None;
        }
        let read = self.window - self.theirs - self.unread - self.coming;
        if read < self.window / 2 {
            return None;
        }
        let more = windows.growth(self.window);
        self.window += more;
        self.theirs += read + more;
        Some((self.take_first(), read + more))
    }

    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.reset || self.ended_here {
            let text = "the other end no longer reads this stream";
            return Poll::Ready(Err(failure(io::ErrorKind::BrokenPipe, text)));
        }
        if self.ours == 0 || self.queued > FRAME_BYTES {
            keep(&mut self.writer, cx);
            return Poll::Pending;
        }
        Poll::Ready(Ok(self.ours as usize))
    }

    /// Bytes were written, within what there was room for; the flags of their frame.
    pub(crate) fn written(&mut self, length: usize) -> u16 {
        self.ours -= length as u32;
        self.queued += length;
        self.take_first()
    }

    /// Bytes left the queue.
    pub(crate) fn sent(&mut self, length: usize) {
        self.queued = self.queued.saturating_sub(length);
        if self.queued <= FRAME_BYTES {
            wake(&mut self.writer);
        }
    }

    /// Writes no more; the flags of the frame that says so, the first time.
    pub(crate) fn close(&mut self) -> Option<u16> {
        if self.ended_here || self.reset {
            return None;
        }
        self.ended_here = true;
        wake(&mut self.writer);
        Some(self.take_first())
    }

    fn take_first(&mut self) -> u16 {
        self.known_there = true;
        std::mem::take(&mut self.first)
    }

    pub(crate) fn is_known_there(&self) -> bool {
        self.known_there
    }

    /// Whether both ends have said that they are done.
    pub(crate) fn is_over(&self) -> bool {
        self.reset || (self.ended_here && self.ended_there)
    }

    /// What its window has grown by.
    pub(crate) fn extra(&self) -> usize {
        (self.window - FIRST_WINDOW) as usize
    }
}

fn keep(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

fn wake(place: &mut Option<Waker>) {
    if let Some(waker) = place.take() {
        waker.wake();
    }
}
