//! A network in memory: the [`Transport`] of the tests, on a clock that they turn by hand.
//!
//! A discrete-event simulation: whatever happens later stands in one queue, ordered by its time and
//! then by its turn. Nothing happens by itself; [`Net::step`] lets the next thing happen.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{AsyncRead, AsyncWrite};
use portolan::ServerAddress;
use portolan::engine::wire::{DEFAULT_MAX_MESSAGE_SIZE, Framer};
use portolan::transport::{BoxFuture, BoxStream, ByteStream, Instant, Transport, Unresolved};

use super::server::{Port, Request, Server};

/// The network; a handle.
#[derive(Clone)]
pub(crate) struct Net(Arc<Mutex<State>>);

pub(crate) struct State {
    pub(crate) now: Instant,
    pub(crate) servers: BTreeMap<ServerAddress, Server>,
    pub(crate) connections: Vec<Connection>,
    /// Every request that reached a server.
    pub(crate) log: Vec<Request>,
    /// When each connection was begun, and to whom.
    pub(crate) dialled: Vec<(Instant, ServerAddress)>,
    /// Bytes that one read or write moves at most; a write first says "not yet".
    pub(crate) chunk: Option<usize>,
    /// What a look at the clock takes.
    pub(crate) tick: Duration,
    turn: u64,
    queue: BTreeMap<(Instant, u64), Todo>,
}

/// One connection, as both ends see it.
pub(crate) struct Connection {
    pub(crate) address: ServerAddress,
    /// The client has not dropped it.
    pub(crate) held: bool,
    /// A command other than hello came on it.
    pub(crate) of_application: bool,
    /// The server has closed it.
    pub(crate) hung_up: bool,
    inbox: Framer,
    outbox: VecDeque<u8>,
    reader: Option<Waker>,
    write_refused: bool,
    /// A streaming hello that is held back: what its next reply answers, and how long to wait.
    pub(crate) stream: Option<(i32, Duration)>,
    /// One more at each reply of the stream, so that an old expiry is known as such.
    pub(crate) streamed: u64,
}

/// What happens later.
pub(crate) enum Todo {
    Wake(Waker),
    Deliver(usize, Vec<u8>),
    HangUp(usize),
    /// The stream of this connection has waited long enough, if it has sent this many replies.
    StreamExpired(usize, u64),
}

impl Connection {
    /// Bytes that have arrived and that the client has not read.
    pub(crate) fn unread(&self) -> usize {
        self.outbox.len()
    }
}

impl Net {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            now: Instant::from_millis(0),
            servers: BTreeMap::new(),
            connections: Vec::new(),
            log: Vec::new(),
            dialled: Vec::new(),
            chunk: None,
            tick: Duration::ZERO,
            turn: 0,
            queue: BTreeMap::new(),
        })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A test that fails drops its streams all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the next thing happens.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.state().queue.keys().next().map(|(at, _)| *at)
    }

    /// Lets the next thing happen; false where nothing is to come.
    pub(crate) fn step(&self) -> bool {
        let mut state = self.state();
        let Some(((at, _), todo)) = state.queue.pop_first() else { return false };
        state.now = state.now.max(at);
        match todo {
            Todo::Wake(waker) => waker.wake(),
            Todo::Deliver(id, bytes) => {
                state.connections[id].outbox.extend(bytes);
                state.wake_reader(id);
            }
            Todo::HangUp(id) => {
                state.connections[id].hung_up = true;
                state.wake_reader(id);
            }
            Todo::StreamExpired(id, streamed) => {
                if state.connections[id].streamed == streamed {
                    state.stream_reply(id);
                }
            }
        }
        true
    }
}

impl State {
    pub(crate) fn later(&mut self, at: Instant, todo: Todo) -> (Instant, u64) {
        self.turn += 1;
        self.queue.insert((at, self.turn), todo);
        (at, self.turn)
    }

    pub(crate) fn deliver(&mut self, id: usize, after: Duration, bytes: Vec<u8>) {
        let at = self.now + after;
        self.later(at, Todo::Deliver(id, bytes));
    }

    pub(crate) fn hang_up(&mut self, id: usize, after: Duration) {
        let at = self.now + after;
        self.later(at, Todo::HangUp(id));
    }

    fn wake_reader(&mut self, id: usize) {
        if let Some(waker) = self.connections[id].reader.take() {
            waker.wake();
        }
    }

    fn open(&mut self, address: &ServerAddress) -> usize {
        self.connections.push(Connection {
            address: address.clone(),
            held: true,
            of_application: false,
            hung_up: false,
            inbox: Framer::new(DEFAULT_MAX_MESSAGE_SIZE),
            outbox: VecDeque::new(),
            reader: None,
            write_refused: false,
            stream: None,
            streamed: 0,
        });
        self.connections.len() - 1
    }

    /// The client's bytes have arrived; the server reads the messages that are complete.
    fn receive(&mut self, id: usize, mut bytes: &[u8]) {
        let mut frames = Vec::new();
        let inbox = &mut self.connections[id].inbox;
        while !bytes.is_empty() {
            let room = inbox.unfilled(1);
            let count = room.len().min(bytes.len());
            room[..count].copy_from_slice(&bytes[..count]);
            inbox.filled(count);
            bytes = &bytes[count..];
            while let Some(frame) = inbox.next_frame().expect("the client sends whole messages") {
                frames.push(frame);
            }
        }
        for frame in frames {
            self.serve(id, frame);
        }
    }
}

#[async_trait]
impl Transport for Net {
    fn runtime(&self) -> &str {
        "driver-test"
    }

    fn now(&self) -> Instant {
        let mut state = self.state();
        let tick = state.tick;
        state.now = state.now + tick;
        state.now
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        Box::pin(Sleep { net: self.clone(), deadline, place: None })
    }

    async fn connect(&self, target: &ServerAddress) -> io::Result<BoxStream> {
        let delay = {
            let mut state = self.state();
            let dialled = (state.now, target.clone());
            state.dialled.push(dialled);
            let server = state.servers.get(target);
            server.map_or(Duration::ZERO, |server| server.connect_delay)
        };
        self.sleep_until(self.now() + delay).await;
        let port = self.state().servers.get(target).map(|server| server.port);
        match port {
            None | Some(Port::Nameless) => {
                Err(Unresolved::error(target.host(), io::ErrorKind::NotFound.into()))
            }
            Some(Port::Refusing) => Err(io::ErrorKind::ConnectionRefused.into()),
            Some(Port::Silent) => std::future::pending().await,
            Some(Port::Open) => {
                let id = self.state().open(target);
                Ok(Box::new(Stream { net: self.clone(), id }))
            }
        }
    }
}

struct Sleep {
    net: Net,
    deadline: Instant,
    place: Option<(Instant, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let net = self.net.clone();
        let mut state = net.state();
        if let Some(place) = self.place.take() {
            state.queue.remove(&place);
        }
        if state.now >= self.deadline {
            return Poll::Ready(());
        }
        self.place = Some(state.later(self.deadline, Todo::Wake(cx.waker().clone())));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.net.state().queue.remove(&place);
        }
    }
}

/// The client's end of a connection.
struct Stream {
    net: Net,
    id: usize,
}

impl ByteStream for Stream {
    fn held_up(&self) -> Duration {
        let state = self.net.state();
        let server = state.servers.get(&state.connections[self.id].address);
        server.map_or(Duration::ZERO, |server| server.held_up)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.net.state();
        let most = state.chunk.unwrap_or(usize::MAX).min(buffer.len());
        let connection = &mut state.connections[self.id];
        let count = most.min(connection.outbox.len());
        if count == 0 && !connection.hung_up {
            connection.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        for (slot, byte) in buffer.iter_mut().zip(connection.outbox.drain(..count)) {
            *slot = byte;
        }
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.net.state();
        let chunk = state.chunk;
        let connection = &mut state.connections[self.id];
        if connection.hung_up {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if chunk.is_some() && !std::mem::replace(&mut connection.write_refused, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        connection.write_refused = false;
        let count = chunk.unwrap_or(usize::MAX).min(buffer.len());
        state.receive(self.id, &buffer[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.net.state().connections[self.id].held = false;
    }
}
