//! The streams of one tunnel: what arrives, what is sent, and who waits for which.
//!
//! No I/O: whoever carries the tunnel hands in what arrived and takes what is to be sent, and each
//! stream's handle reads and writes here.

use std::collections::VecDeque;
use std::io;
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use crate::failure::failure;
use crate::frame::{
    ACK, FIN, Frame, HEADER_BYTES, Header, Kind, NO_FAULT, PROTOCOL_FAULT, Parser, Part, RST, SYN,
    broken,
};
use crate::stream_state::{FIRST_WINDOW, State};
use crate::window::Windows;
use crate::{FRAME_BYTES, Limits};

/// Which end of the tunnel this is: the client opens streams, with odd numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// A tunnel's state, shared by its driver and the handles of its streams.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<Connection>>);

impl Shared {
    pub(crate) fn new(role: Role, limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(Connection::new(role, limits))))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct Connection {
    role: Role,
    limits: Limits,
    parser: Parser,
    /// By number, ascending.
    streams: Vec<(u32, State)>,
    /// The number of the stream opened last, at whichever end.
    latest: u32,
    /// Streams that the other end has opened and nobody has taken.
    arrived: VecDeque<u32>,
    /// Frames, each with the stream whose bytes it carries: 0 for none.
    outgoing: VecDeque<(u32, Frame)>,
    /// The answer to the latest ping: whoever asks faster than it listens gets one.
    pong: Option<u32>,
    windows: Windows,
    /// The task that carries the tunnel.
    driver: Option<Waker>,
    /// Handles of streams, and those who may open some.
    users: usize,
    ended: Option<(io::ErrorKind, String)>,
    /// The other end said goodbye.
    left: bool,
}

impl Connection {
    fn new(role: Role, limits: Limits) -> Self {
        Self {
            role,
            limits,
            parser: Parser::default(),
            streams: Vec::new(),
            latest: 0,
            arrived: VecDeque::new(),
            outgoing: VecDeque::new(),
            pong: None,
            windows: Windows::new(limits.extra_window_bytes),
            driver: None,
            users: 0,
            ended: None,
            left: false,
        }
    }

    /// Whom to wake where there is something to send, or nobody is left.
    pub(crate) fn driven_by(&mut self, waker: &Waker) {
        if !self.driver.as_ref().is_some_and(|driver| driver.will_wake(waker)) {
            self.driver = Some(waker.clone());
        }
    }

    pub(crate) fn wake_driver(&self) {
        if let Some(driver) = &self.driver {
            driver.wake_by_ref();
        }
    }

    fn find(&mut self, stream: u32) -> Option<&mut State> {
        let place = self.streams.binary_search_by_key(&stream, |(number, _)| *number).ok()?;
        Some(&mut self.streams[place].1)
    }

    /// A handle more, or one less.
    pub(crate) fn used(&mut self) {
        self.users += 1;
    }

    pub(crate) fn unused(&mut self) {
        self.users -= 1;
        if self.users == 0 {
            self.wake_driver();
        }
    }

    /// Whether no handle is left that could want anything.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.users == 0
    }

    /// A new stream; the other end hears of it with its first frame.
    pub(crate) fn open(&mut self) -> u32 {
        self.latest += if self.latest == 0 { 1 } else { 2 };
        self.streams.push((self.latest, State::new(SYN)));
        self.latest
    }

    /// The next stream that the other end has opened.
    pub(crate) fn accept(&mut self) -> Option<u32> {
        self.arrived.pop_front()
    }

    /// Whether there is one.
    pub(crate) fn has_arrived(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// Why the tunnel ended, if it did.
    pub(crate) fn error(&self) -> Option<io::Error> {
        self.ended.as_ref().map(|(kind, text)| failure(*kind, text.clone()))
    }

    /// Whether the other end closed the tunnel in order.
    pub(crate) fn has_left(&self) -> bool {
        self.left
    }

    /// The tunnel is over; the first reason stays.
    pub(crate) fn end(&mut self, error: &io::Error) {
        self.ended.get_or_insert_with(|| (error.kind(), error.to_string()));
        self.outgoing = VecDeque::new();
        for (_, state) in &mut self.streams {
            state.wake_all();
        }
    }

    /// The bytes below have ended.
    ///
    /// # Errors
    ///
    /// They ended within a frame.
    pub(crate) fn finish(&self) -> io::Result<()> {
        match self.parser.is_within() {
            true => Err(io::ErrorKind::UnexpectedEof.into()),
            false => Ok(()),
        }
    }
}

/// What arrives.
impl Connection {
    /// Takes a message.
    ///
    /// # Errors
    ///
    /// The other end broke the protocol; it is told so by what is sent next.
    pub(crate) fn receive(&mut self, mut message: Bytes) -> io::Result<()> {
        let received = self.receive_all(&mut message);
        if received.is_err() {
            self.outgoing.clear();
            self.say_goodbye(PROTOCOL_FAULT);
        }
        received
    }

    fn receive_all(&mut self, message: &mut Bytes) -> io::Result<()> {
        while let Some(part) = self.parser.next(message)? {
            match part {
                Part::Header(header) => self.begin(header)?,
                Part::Body { header, bytes, is_last } => self.body(header, bytes, is_last),
            }
        }
        Ok(())
    }

    /// A frame begins; those without a body end at once.
    fn begin(&mut self, header: Header) -> io::Result<()> {
        match header.kind {
            Kind::Ping if header.has(ACK) => self.windows.answered(header.length),
            Kind::Ping => self.pong = Some(header.length),
            Kind::Goodbye if header.length == NO_FAULT => self.left = true,
            Kind::Goodbye => return Err(broken("the other end says that this one broke it")),
            Kind::Data | Kind::Credit => {
                if header.has(SYN) {
                    self.opened(header)?;
                }
                if header.kind == Kind::Data {
                    self.charge(header)?;
                } else if let Some(state) = self.find(header.stream) {
                    state.credit(header.length).map_err(broken)?;
                }
                if header.has(RST) {
                    self.reset(header.stream);
                } else if header.kind == Kind::Credit && header.has(FIN) {
                    self.half_closed(header.stream);
                }
            }
        }
        Ok(())
    }

    /// The other end opens a stream.
    fn opened(&mut self, header: Header) -> io::Result<()> {
        if self.role == Role::Client || header.stream.is_multiple_of(2) {
            return Err(broken("a stream opened by the wrong end"));
        }
        if header.stream <= self.latest {
            return Err(broken("a stream opened twice"));
        }
        if self.streams.len() >= self.limits.streams + STREAM_SLACK {
            return Err(broken("far too many streams"));
        }
        self.latest = header.stream;
        self.streams.push((header.stream, State::new(ACK)));
        self.arrived.push_back(header.stream);
        Ok(())
    }

    /// Counts what a frame of data will bring against the credit that its sender has.
    fn charge(&mut self, header: Header) -> io::Result<()> {
        // A stream that is forgotten here may still be on its way there.
        let Some(state) = self.find(header.stream) else { return Ok(()) };
        state.charge(header.length).map_err(broken)
    }

    fn body(&mut self, header: Header, bytes: Bytes, is_last: bool) {
        if let Some(probe) = self.windows.received(bytes.len()) {
            self.push(Kind::Ping, SYN, 0, probe);
        }
        if let Some(state) = self.find(header.stream) {
            state.arrived(bytes);
        }
        if is_last && header.has(FIN) {
            self.half_closed(header.stream);
        }
    }

    fn half_closed(&mut self, stream: u32) {
        if let Some(state) = self.find(stream) {
            state.half_closed();
        }
    }

    fn reset(&mut self, stream: u32) {
        if let Some(state) = self.find(stream) {
            state.reset();
        }
    }
}

/// What is sent.
impl Connection {
    /// The next frame.
    pub(crate) fn pop(&mut self) -> Option<Frame> {
        if let Some(length) = self.pong.take() {
            let header = Header { kind: Kind::Ping, flags: ACK, stream: 0, length };
            return Some(Frame::apart(header, Bytes::new()));
        }
        let (stream, frame) = self.outgoing.pop_front()?;
        if let Some(state) = self.find(stream) {
            state.sent(frame.len() - HEADER_BYTES);
        }
        Some(frame)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.pong.is_none() && self.outgoing.is_empty()
    }

    /// The last that is sent.
    pub(crate) fn say_goodbye(&mut self, why: u32) {
        self.push(Kind::Goodbye, 0, 0, why);
    }

    fn push(&mut self, kind: Kind, flags: u16, stream: u32, length: u32) {
        let header = Header { kind, flags, stream, length };
        self.outgoing.push_back((0, Frame::apart(header, Bytes::new())));
        self.wake_driver();
    }
}

/// What a stream's handle does.
impl Connection {
    /// The next piece that arrived; `None` is the end.
    pub(crate) fn poll_piece(
        &mut self,
        stream: u32,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Bytes>>> {
        self.poll_with(stream, cx, |state, cx| state.poll_piece(cx))
    }

    /// Reads into `buf`; 0 is the end.
    pub(crate) fn poll_read(
        &mut self,
        stream: u32,
        buf: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.poll_with(stream, cx, |state, cx| state.poll_read(buf, cx))
    }

    fn poll_with<T>(
        &mut self,
        stream: u32,
        cx: &mut Context<'_>,
        read: impl FnOnce(&mut State, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let over = self.error();
        let Some(state) = self.find(stream) else {
            return Poll::Ready(Err(over.unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())));
        };
        let read = read(state, cx);
        if let (Poll::Pending | Poll::Ready(Err(_)), Some(over)) = (&read, over) {
            return Poll::Ready(Err(over));
        }
        if let Poll::Ready(Ok(_)) = &read {
            self.grant(stream);
        }
        read
    }

    /// Gives credit back once half of the window was read.
    fn grant(&mut self, stream: u32) {
        let mut windows = take(&mut self.windows);
        let granted = self.find(stream).and_then(|state| state.grant(&mut windows));
        self.windows = windows;
        if let Some((flags, credit)) = granted {
            self.push(Kind::Credit, flags, stream, credit);
        }
    }

    /// How many bytes may be written now.
    pub(crate) fn poll_room(
        &mut self,
        stream: u32,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Some(error) = self.error() {
            return Poll::Ready(Err(error));
        }
        match self.find(stream) {
            Some(state) => state.poll_room(cx).map_ok(|room| room.min(FRAME_BYTES)),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Queues the frame that `make` makes of its header, with `length` bytes, for which there is
    /// room.
    pub(crate) fn write(&mut self, stream: u32, length: usize, make: impl FnOnce(Header) -> Frame) {
        let Some(state) = self.find(stream) else { return };
        let flags = state.written(length);
        let header = Header { kind: Kind::Data, flags, stream, length: length as u32 };
        self.outgoing.push_back((stream, make(header)));
        self.wake_driver();
    }

    /// No more is written.
    pub(crate) fn close(&mut self, stream: u32) {
        let over = self.ended.is_some();
        let Some(state) = self.find(stream) else { return };
        if let Some(flags) = state.close()
            && !over
        {
            self.push(Kind::Data, flags | FIN, stream, 0);
        }
    }

    /// The handle is gone: what is not over is reset.
    pub(crate) fn forget(&mut self, stream: u32) {
        let Ok(place) = self.streams.binary_search_by_key(&stream, |(number, _)| *number) else {
            return;
        };
        let (_, state) = self.streams.remove(place);
        self.windows.give_back(state.extra());
        if state.is_known_there() && !state.is_over() && self.ended.is_none() {
            self.push(Kind::Data, RST, stream, 0);
        }
    }
}

/// Streams that are being refused, or that were dropped and not yet forgotten.
const STREAM_SLACK: usize = 64;
const _: () = assert!(FRAME_BYTES <= FIRST_WINDOW as usize);
