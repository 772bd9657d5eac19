//! Bytes both ways between a client's stream and a member.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep};

use crate::limits::COPY_BYTES;
use crate::server::Shared;

/// What the end of one way means for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halves {
    /// Nothing: it goes on, but may rest for no longer than the idle limit.
    Apart,
    /// Its end: a WebSocket without a tunnel closes as a whole.
    Together,
}

/// Carries bytes until both sides have ended, one breaks, or the bridge drains and nothing is
/// awaited.
pub(crate) async fn relay<C, M>(client: C, member: M, halves: Halves, shared: &Shared)
where
    C: AsyncRead + AsyncWrite + Unpin,
    M: AsyncRead + AsyncWrite + Unpin,
{
    let (client_reader, client_writer) = tokio::io::split(client);
    let (member_reader, member_writer) = tokio::io::split(member);
    let state = State::default();
    let up = pump(client_reader, member_writer, &state, Way::Up, shared);
    let down = pump(member_reader, client_writer, &state, Way::Down, shared);
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
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let counter = match way {
        Way::Up => &shared.metrics.up,
        Way::Down => &shared.metrics.down,
    };
    let mut buffer = Buffer::new();
    loop {
        let count = reader.read(&mut buffer.bytes).await?;
        if count == 0 {
            state.half_closed.store(true, Ordering::Relaxed);
            return writer.shutdown().await;
        }
        state.awaiting.store(way == Way::Up, Ordering::Relaxed);
        state.moves.fetch_add(1, Ordering::Relaxed);
        writer.write_all(&buffer.bytes[..count]).await?;
        writer.flush().await?;
        counter.fetch_add(count as u64, Ordering::Relaxed);
        buffer.fit(count);
    }
}

/// What one way reads into: small while little comes, for most streams rest most of the time.
struct Buffer {
    bytes: Vec<u8>,
    /// Reads in a row that a small one would have held.
    small: u32,
}

impl Buffer {
    fn new() -> Self {
        Self { bytes: vec![0; REST_BYTES], small: 0 }
    }

    /// Grows where a read has filled it, and shrinks where none has for a while.
    fn fit(&mut self, count: usize) {
        if count == self.bytes.len() && count < COPY_BYTES {
            self.bytes = vec![0; (4 * count).min(COPY_BYTES)];
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
        let mut buffer = Buffer::new();
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
