//! Bytes both ways between a client's stream and a member.

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::poll_immediate;
use futures_util::{Sink, SinkExt as _, Stream, TryStreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep};

use crate::limits::{COPY_BYTES, GATHERED_BYTES};
use crate::server::Shared;

/// What the end of one way means for the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halves {
    /// Nothing: it goes on, but may rest for no longer than the idle limit.
    Apart,
    /// Its end: a WebSocket without a tunnel closes as a whole.
    Together,
}

/// Carries bytes between a client, which sends and takes them in pieces, and a member until both
/// sides have ended, one breaks, or the bridge drains and nothing is awaited.
pub(crate) async fn relay<R, B, W>(
    (from_client, to_client): (R, W),
    mut member: TcpStream,
    halves: Halves,
    shared: &Shared,
) where
    R: Stream<Item = io::Result<B>> + Unpin,
    B: AsRef<[u8]>,
    W: Sink<Bytes, Error = io::Error> + Unpin,
{
    let (member_reader, member_writer) = member.split();
    let state = State::default();
    let up = up(from_client, member_writer, &state, shared);
    let down = down(member_reader, to_client, &state, shared);
    // Where one side breaks, dropping both resets the other: there is nobody else to tell.
    tokio::select! {
        biased;
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

/// What the client sends goes to the member from where it is.
async fn up<B: AsRef<[u8]>>(
    mut from_client: impl Stream<Item = io::Result<B>> + Unpin,
    mut member: WriteHalf<'_>,
    state: &State,
    shared: &Shared,
) -> io::Result<()> {
    let mut pieces = Vec::new();
    loop {
        let ended = gather(&mut from_client, &mut pieces).await;
        if !pieces.is_empty() {
            state.moved(true);
            let count = write_pieces(&mut member, &pieces).await?;
            shared.metrics.up.fetch_add(count as u64, Ordering::Relaxed);
            pieces.clear();
        }
        if let Some(ended) = ended {
            ended?;
            state.half_closed.store(true, Ordering::Relaxed);
            return member.shutdown().await;
        }
    }
}

/// Waits for a piece and takes what has come behind it, for one system call; how the pieces ended,
/// if they did.
async fn gather<B: AsRef<[u8]>>(
    from_client: &mut (impl Stream<Item = io::Result<B>> + Unpin),
    pieces: &mut Vec<B>,
) -> Option<io::Result<()>> {
    let mut next = Some(from_client.try_next().await);
    let mut bytes = 0;
    loop {
        match next? {
            Ok(Some(piece)) => {
                bytes += piece.as_ref().len();
                // Of an empty one the system takes nothing, as where a connection broke.
                if !piece.as_ref().is_empty() {
                    pieces.push(piece);
                }
            }
            Ok(None) => return Some(Ok(())),
            Err(error) => return Some(Err(error)),
        }
        // Behind a small piece nothing comes as a rule: its sender waits for the answer.
        if !(SMALL_BYTES..GATHERED_BYTES).contains(&bytes) {
            return None;
        }
        next = poll_immediate(from_client.try_next()).await;
    }
}

const SMALL_BYTES: usize = 4 * 1024;

/// Writes all of them; how many bytes.
async fn write_pieces<B: AsRef<[u8]>>(
    member: &mut WriteHalf<'_>,
    pieces: &[B],
) -> io::Result<usize> {
    if let [piece] = pieces {
        member.write_all(piece.as_ref()).await?;
        return Ok(piece.as_ref().len());
    }
    let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece.as_ref())).collect();
    let (mut left, mut written) = (&mut slices[..], 0);
    while !left.is_empty() {
        match member.write_vectored(left).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            count => {
                written += count;
                IoSlice::advance_slices(&mut left, count);
            }
        }
    }
    Ok(written)
}

/// What the member sends goes to the client from where it was read to.
async fn down(
    mut member: ReadHalf<'_>,
    mut to_client: impl Sink<Bytes, Error = io::Error> + Unpin,
    state: &State,
    shared: &Shared,
) -> io::Result<()> {
    let (mut buffer, mut size) = (BytesMut::new(), Size::new(COPY_BYTES));
    loop {
        // What was sent meanwhile is used again, where it is large enough.
        buffer.reserve(size.bytes);
        let count = member.read_buf(&mut buffer).await?;
        if count == 0 {
            state.half_closed.store(true, Ordering::Relaxed);
            return to_client.close().await;
        }
        state.moved(false);
        to_client.send(buffer.split().freeze()).await?;
        shared.metrics.down.fetch_add(count as u64, Ordering::Relaxed);
        if size.fit(count) {
            buffer = BytesMut::new();
        }
    }
}

/// How much is read at once: little while little comes, for most streams rest most of the time.
struct Size {
    bytes: usize,
    most: usize,
    /// Reads in a row that a small one would have held.
    small: u32,
}

impl Size {
    fn new(most: usize) -> Self {
        Self { bytes: REST_BYTES, most, small: 0 }
    }

    /// Grows where a read has filled it, and shrinks where none has for a while; whether it shrank.
    fn fit(&mut self, count: usize) -> bool {
        if count >= self.bytes {
            self.bytes = (4 * self.bytes).min(self.most);
        }
        self.small = if count < REST_BYTES { self.small + 1 } else { 0 };
        let shrinks = self.small > SMALL_READS && self.bytes > REST_BYTES;
        if shrinks {
            self.bytes = REST_BYTES;
        }
        shrinks
    }
}

/// Enough for most commands and replies.
const REST_BYTES: usize = 1024;
const SMALL_READS: u32 = 32;

/// Ends where a half-closed stream has rested for `limit`.
async fn rested(state: &State, limit: Duration) {
    loop {
        let before = state.half_closed.load(Ordering::Relaxed).then(|| state.moves());
        sleep(limit).await;
        if before == Some(state.moves()) {
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
        let before = state.moves();
        sleep(QUIET).await;
        let quiet = before == state.moves() && !state.awaiting.load(Ordering::Relaxed);
        if quiet || Instant::now() >= deadline {
            return;
        }
    }
}

impl State {
    /// Bytes were moved, to the member (`up`) or from it.
    fn moved(&self, up: bool) {
        self.awaiting.store(up, Ordering::Relaxed);
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }
}

/// How long a pause within an answer is thought to be, at most.
const QUIET: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt as _, stream};

    use super::*;

    #[tokio::test]
    async fn what_came_before_an_end_is_written_before_it_counts() {
        let large = |byte: u8| vec![byte; SMALL_BYTES];
        let broke = || Err(io::ErrorKind::ConnectionReset.into());
        type Case = (Vec<io::Result<Vec<u8>>>, Vec<Vec<u8>>, Option<bool>);
        let cases: [Case; 5] = [
            (vec![Ok(large(1)), Ok(vec![]), Ok(vec![2])], vec![large(1), vec![2]], Some(true)),
            (vec![Ok(large(1)), broke(), Ok(vec![2])], vec![large(1)], Some(false)),
            (vec![broke()], vec![], Some(false)),
            (vec![], vec![], Some(true)),
            (vec![Ok(vec![1]), broke()], vec![vec![1]], None),
        ];
        for (given, expected, end) in cases {
            let mut pieces = Vec::new();
            let ended = gather(&mut stream::iter(given), &mut pieces).await;
            assert_eq!((pieces, ended.map(|ended| ended.is_ok())), (expected, end));
        }
        let mut rest = stream::iter([Ok(large(1))]).chain(stream::pending());
        let mut pieces = Vec::new();
        assert!(gather(&mut rest, &mut pieces).await.is_none(), "nothing more is waited for");
        assert_eq!(pieces, [large(1)]);
    }

    #[tokio::test]
    async fn so_much_is_gathered_and_no_more() {
        let piece = vec![7; GATHERED_BYTES / 2 + 1];
        let mut many = stream::iter((0..5).map(|_| Ok(piece.clone())));
        for expected in [2, 2, 1] {
            let mut pieces = Vec::new();
            let ended = gather(&mut many, &mut pieces).await;
            assert_eq!((pieces.len(), ended.is_some()), (expected, expected == 1));
        }
    }

    #[test]
    fn a_buffer_grows_with_what_comes_and_shrinks_when_little_does() {
        let mut size = Size::new(COPY_BYTES);
        let mut sizes = Vec::new();
        for _ in 0..6 {
            assert!(!size.fit(size.bytes));
            sizes.push(size.bytes);
        }
        assert_eq!(sizes[..3], [4096, 16_384, 65_536]);
        assert_eq!(sizes[5], COPY_BYTES);
        for _ in 0..SMALL_READS {
            assert!(!size.fit(200));
        }
        assert_eq!(size.bytes, COPY_BYTES);
        assert!(size.fit(200));
        assert_eq!(size.bytes, REST_BYTES);
    }
}
