//! The tunnel between a page and a bridge.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_executor::{LocalPool, LocalSpawner};
use futures_util::FutureExt as _;
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use futures_util::task::LocalSpawnExt as _;
use portolan_mux::{
    ClientTunnel, Decoded, Frame, Limits, Messages, Open, Question, Record, RecordType,
    ServerTunnel, Status, Target,
};

const LIMITS: Limits = Limits { streams: 4, extra_window_bytes: 64 * 1024 };

/// What arrives at an end of the tunnel: its parts are read or refused, and whoever waits for
/// something hears of the tunnel's end.
pub fn tunnel(bytes: &[u8]) {
    match bytes.split_first() {
        Some((b'c', rest)) => codec(rest),
        Some((b's', rest)) => server(Incoming::at_once(rest)),
        Some((b'S', rest)) => server(Incoming::in_parts(rest)),
        Some((b'o', rest)) => client(Incoming::at_once(rest)),
        Some((b'O', rest)) => client(Incoming::in_parts(rest)),
        _ => {}
    }
}

fn codec(bytes: &[u8]) {
    match Open::decode(bytes) {
        Ok(Decoded::Done(open)) => {
            let written = match &open {
                Open::Connect(target) => target.encode(),
                Open::LookUp(question) => question.encode(),
            };
            // Names are lower case from then on.
            assert!(bytes.len() >= written.len());
            assert!(bytes[..written.len()].eq_ignore_ascii_case(&written));
            assert_eq!(Open::decode(&written), Ok(Decoded::Done(open)));
        }
        Ok(Decoded::Needs(needs)) => assert!(needs > 0 && bytes.len() + needs <= 4 + 255),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match Status::decode(bytes) {
        Ok(Decoded::Done(status)) => {
            let written = status.encode();
            assert_eq!(Status::decode(&written), Ok(Decoded::Done(status)));
        }
        Ok(Decoded::Needs(needs)) => assert!(needs > 0 && bytes.len() + needs <= 3 + 1024),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(records) = Record::decode_all(bytes) {
        assert_eq!(Record::encode_all(&records), bytes);
    }
}

/// The bytes of a WebSocket that ends.
struct Incoming {
    bytes: Vec<u8>,
    at: usize,
    /// Whether each read waits once, so that streams are served before the next bytes arrive.
    in_parts: bool,
    waited: bool,
}

impl Incoming {
    fn at_once(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), at: 0, in_parts: false, waited: false }
    }

    fn in_parts(bytes: &[u8]) -> Self {
        Self { in_parts: true, ..Self::at_once(bytes) }
    }
}

impl Messages for Incoming {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.waited = self.in_parts && !self.waited;
        if self.waited {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let rest = &self.bytes[self.at..];
        let count = if self.in_parts { rest.len().min(PART) } else { rest.len() };
        let message = Bytes::copy_from_slice(&rest[..count]);
        self.at += count;
        Poll::Ready((count > 0).then_some(Ok(message)))
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, frame: Frame) -> io::Result<()> {
        assert_eq!(frame.len(), frame.into_vec().len());
        Ok(())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Bytes of one of many messages: frames, whose headers are larger, lie across them.
const PART: usize = 7;

/// A bridge whose client sends what `io` has and leaves.
fn server(io: Incoming) {
    let mut pool = LocalPool::new();
    let tasks = Tasks { spawner: pool.spawner(), running: Rc::default() };
    let each = tasks.clone();
    let connected = Rc::new(Cell::new(0));
    tasks.spawn(async move {
        let mut tunnel = ServerTunnel::new(io, LIMITS);
        while let Ok(Some(incoming)) = tunnel.accept().await {
            let connected = connected.clone();
            each.spawn(async move {
                let Ok(request) = incoming.request().await else { return };
                if request.target().is_none() {
                    let _ = request.answer(&[Record::Txt("text".to_owned())]).await;
                } else if let Ok(mut stream) = request.accept(Duration::ZERO).await {
                    let mut read = Vec::new();
                    connected.set(connected.get() + 1);
                    assert!(connected.get() <= LIMITS.streams, "more streams than are allowed");
                    let _ = stream.read_to_end(&mut read).await;
                    let _ = stream.write_all(&read).await;
                    let _ = stream.close().await;
                    connected.set(connected.get() - 1);
                }
            });
        }
    });
    pool.run_until_stalled();
    assert_eq!(tasks.running.get(), 0, "a stream was not told that the tunnel has ended");
}

/// A page whose bridge sends what `io` has and leaves.
fn client(io: Incoming) {
    // Each read may wait.
    let turns = 64 + io.bytes.len();
    let mut pool = LocalPool::new();
    let tasks = Tasks { spawner: pool.spawner(), running: Rc::default() };
    let (tunnel, driver) = ClientTunnel::new(io, LIMITS);
    let target = Target::new("db0.example", 27017).expect("a target");
    let question = Question::new("_mongodb._tcp.example", RecordType::Srv).expect("a question");
    for _ in 0..3 {
        let (tunnel, target) = (tunnel.clone(), target.clone());
        tasks.spawn(async move {
            let Ok(mut stream) = tunnel.open(&target).await else { return };
            let _ = stream.write_all(b"hello").await;
            let mut read = Vec::new();
            let _ = stream.read_to_end(&mut read).await;
        });
    }
    let asking = tunnel.clone();
    tasks.spawn(async move { drop(asking.look_up(&question).await) });
    // Kept after its end, as a task that is joined later would keep it.
    let mut driver = driver;
    let mut ended = false;
    for _ in 0..turns {
        pool.run_until_stalled();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        if driver.poll_unpin(&mut cx).is_ready() {
            ended = true;
            break;
        }
    }
    pool.run_until_stalled();
    assert_eq!(tasks.running.get(), 0, "an opening was not told that the tunnel has ended");
    assert!(ended && tunnel.is_closed());
}

/// Spawns tasks and knows how many have not finished.
#[derive(Clone)]
struct Tasks {
    spawner: LocalSpawner,
    running: Rc<Cell<usize>>,
}

impl Tasks {
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let running = self.running.clone();
        running.set(running.get() + 1);
        let task = task.map(move |()| running.set(running.get() - 1));
        self.spawner.spawn_local(task).expect("the pool is there");
    }
}
