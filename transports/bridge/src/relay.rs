//! Bytes both ways between a client's stream and a member.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf,
};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::limits::{COPY_BYTES, PLAIN_COPY_BYTES};
use crate::server::Shared;

/// What the end of one way means for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halves {
    /// Nothing: it goes on, but may rest for no longer than the idle limit.
    Apart,
    /// Its end: a WebSocket without a tunnel closes as a whole.
    Together,
}

/// Carries bytes between a client's two halves and a member until both sides have ended, one
/// breaks, or the bridge drains and nothing is awaited.
pub(crate) async fn relay<R, W>(
    (client_reader, client_writer): (R, W),
    mut member: TcpStream,
    halves: Halves,
    shared: &Shared,
) where
    R: AsyncBufRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (member_reader, member_writer) = member.split();
    let state = State::default();
    let up = pump(client_reader, member_writer, &state, Way::Up, shared);
    let most = match halves {
        Halves::Apart => COPY_BYTES,
        Halves::Together => PLAIN_COPY_BYTES,
    };
    let down = pump(Buffered::new(member_reader, most), client_writer, &state, Way::Down, shared);
    // Where one side breaks, dropping both resets the other: there is nobody else to tell.
    tokio::select! {
        () = both(up, down, halves) => {}
        () = rested(&state, shared.limits.idle) => {}
        () = drained(&state, shared) => {}
    }
}

async fn both(
    up: impl Future<Output = io::Result<()>>,
    down: impl Future<Output = io::Result<()>>,
    halves: Halves,
) {
    match halves {
        Halves::Apart => drop(tokio::try_join!(up, down)),
        Halves::Together => {
            tokio::select! {
                _ = up => {}
                _ = down => {}
            }
        }
    }
}

/// What both ways know of each other.
#[derive(Default)]
struct State {
    /// The last bytes went to the member, whose answer is therefore awaited.
    awaiting: AtomicBool,
    /// How often bytes were moved.
    moves: AtomicU64,
    half_closed: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

async fn pump<R, W>(
    mut reader: R,
    mut writer: W,
    state: &State,
    way: Way,
    shared: &Shared,
) -> io::Result<()>
where
    R: AsyncBufRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let counter = match way {
        Way::Up => &shared.metrics.up,
        Way::Down => &shared.metrics.down,
    };
    loop {
        let bytes = reader.fill_buf().await?;
        let count = bytes.len();
        if count == 0 {
            state.half_closed.store(true, Ordering::Relaxed);
            return writer.shutdown().await;
        }
        state.awaiting.store(way == Way::Up, Ordering::Relaxed);
        state.moves.fetch_add(1, Ordering::Relaxed);
        writer.write_all(bytes).await?;
        writer.flush().await?;
        counter.fetch_add(count as u64, Ordering::Relaxed);
        reader.consume(count);
    }
}

/// Reads into a buffer: small while little comes, for most streams rest most of the time.
pub(crate) struct Buffered<R> {
    reader: R,
    buffer: Buffer,
    /// What of it is read and not yet consumed.
    unread: std::ops::Range<usize>,
}

impl<R: AsyncRead + Unpin> Buffered<R> {
    /// Reads at most `most` bytes at a time.
    pub(crate) fn new(reader: R, most: usize) -> Self {
        Self { reader, buffer: Buffer::new(most), unread: 0..0 }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Buffered<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = ready!(self.as_mut().poll_fill_buf(cx))?;
        let count = bytes.len().min(buf.remaining());
        buf.put_slice(&bytes[..count]);
        self.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl<R: AsyncRead + Unpin> AsyncBufRead for Buffered<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.unread.is_empty() {
            let mut into = ReadBuf::new(&mut this.buffer.bytes);
            ready!(Pin::new(&mut this.reader).poll_read(cx, &mut into))?;
            this.unread = 0..into.filled().len();
        }
        Poll::Ready(Ok(&this.buffer.bytes[this.unread.clone()]))
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.unread.start += count;
        if self.unread.is_empty() {
            let read = self.unread.end;
            self.buffer.fit(read);
        }
    }
}

/// What one way reads into.
struct Buffer {
    bytes: Vec<u8>,
    most: usize,
    /// Reads in a row that a small one would have held.
    small: u32,
}

impl Buffer {
    fn new(most: usize) -> Self {
        Self { bytes: vec![0; REST_BYTES], most, small: 0 }
    }

    /// Grows where a read has filled it, and shrinks where none has for a while.
    fn fit(&mut self, count: usize) {
        if count == self.bytes.len() && count < self.most {
            self.bytes = vec![0; (4 * count).min(self.most)];
        }
        self.small = if count < REST_BYTES { self.small + 1 } else { 0 };
        if self.small > SMALL_READS && self.bytes.len() > REST_BYTES {
            self.bytes = vec![0; REST_BYTES];
        }
    }
}

/// Enough for most commands and replies.
const REST_BYTES: usize = 1024;
const SMALL_READS: u32 = 32;

/// Ends where a half-closed stream has rested for `limit`.
async fn rested(state: &State, limit: Duration) {
    loop {
        let before = state.half_closed.load(Ordering::Relaxed).then(|| state.moved());
        sleep(limit).await;
        if before == Some(state.moved()) {
            return;
        }
    }
}

/// Ends when the bridge drains and this stream owes its client nothing: its last bytes went to the
/// client, and a moment ago. What is awaited for longer than the drain limit is cut off.
async fn drained(state: &State, shared: &Shared) {
    shared.draining.cancelled().await;
    let deadline = Instant::now() + shared.limits.drain;
    loop {
        let before = state.moved();
        sleep(QUIET).await;
        let quiet = before == state.moved() && !state.awaiting.load(Ordering::Relaxed);
        if quiet || Instant::now() >= deadline {
            return;
        }
    }
}

impl State {
    fn moved(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }
}

/// How long a pause within an answer is thought to be, at most.
const QUIET: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_grows_with_what_comes_and_shrinks_when_little_does() {
        let mut buffer = Buffer::new(COPY_BYTES);
        let mut sizes = Vec::new();
        for _ in 0..6 {
            buffer.fit(buffer.bytes.len());
            sizes.push(buffer.bytes.len());
        }
        assert_eq!(sizes[..3], [4096, 16_384, 65_536]);
        assert_eq!(sizes[5], COPY_BYTES);
        for _ in 0..SMALL_READS {
            buffer.fit(200);
        }
        assert_eq!(buffer.bytes.len(), COPY_BYTES);
        buffer.fit(200);
        assert_eq!(buffer.bytes.len(), REST_BYTES);
    }
}
