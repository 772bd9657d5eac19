//! One WebSocket as a stream and sink of binary messages.
//!
//! Every event wakes every waiter. Messages that arrived before the close are delivered before the
//! end is. What is sent is bounded: above [`HIGH_WATER_BYTES`] the sink waits, and looks again at
//! each event and after [`DRAIN_CHECK`], because browsers have no event for a drained buffer.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures_util::{Sink, Stream};
use portolan::transport::{Instant, io_error};
use portolan_mux::SUBPROTOCOL;
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, CloseEvent, MessageEvent, WebSocket};

use crate::clock::{Clock, Sleep};

/// Unsent bytes at which the sink waits.
const HIGH_WATER_BYTES: u32 = 1024 * 1024;
/// The subprotocol that carries a token, up to the token.
const TOKEN_PROTOCOL: &str = "portolan.token.";
/// How soon a full buffer is looked at again where no event comes first.
const DRAIN_CHECK: Duration = Duration::from_millis(4);

/// An open WebSocket that speaks `portolan.v1`; dropping it closes it.
pub(crate) struct Socket {
    socket: WebSocket,
    state: Rc<State>,
    clock: Clock,
    drain_check: Option<Pin<Box<Sleep>>>,
    _handlers: Handlers,
}

#[derive(Default)]
struct State {
    is_open: Cell<bool>,
    messages: RefCell<VecDeque<(Instant, Vec<u8>)>>,
    /// When the message taken last had arrived.
    arrived: Rc<Cell<Option<Instant>>>,
    /// Why it closed: `Some` from the close event on.
    closed: RefCell<Option<String>>,
    waiters: RefCell<Vec<Waker>>,
}

impl State {
    fn wait(&self, cx: &Context<'_>) {
        let mut waiters = self.waiters.borrow_mut();
        if !waiters.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiters.push(cx.waker().clone());
        }
    }

    fn wake_all(&self) {
        for waker in self.waiters.take() {
            waker.wake();
        }
    }

    fn error(&self) -> Option<io::Error> {
        let closed = self.closed.borrow();
        closed.as_ref().map(|text| io_error(io::ErrorKind::ConnectionAborted, text.clone()))
    }
}

/// The closures that JavaScript calls; they live as long as the socket does.
struct Handlers {
    open: Closure<dyn FnMut()>,
    message: Closure<dyn FnMut(MessageEvent)>,
    close: Closure<dyn FnMut(CloseEvent)>,
}

impl Handlers {
    fn new(state: &Rc<State>, clock: Clock, url: &str) -> Self {
        let opened = state.clone();
        let open = Closure::new(move || {
            opened.is_open.set(true);
            opened.wake_all();
        });
        let received = state.clone();
        let message = Closure::new(move |event: MessageEvent| {
            let now = clock.now();
            if let Ok(buffer) = event.data().dyn_into::<js_sys::ArrayBuffer>() {
                let bytes = js_sys::Uint8Array::new(&buffer).to_vec();
                received.messages.borrow_mut().push_back((now, bytes));
            }
            received.wake_all();
        });
        let (ended, url) = (state.clone(), url.to_owned());
        let close = Closure::new(move |event: CloseEvent| {
            let text = close_text(&url, ended.is_open.get(), event.code(), &event.reason());
            ended.closed.borrow_mut().get_or_insert(text);
            ended.wake_all();
        });
        Self { open, message, close }
    }

    fn attach(&self, socket: &WebSocket) {
        socket.set_onopen(Some(self.open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(self.message.as_ref().unchecked_ref()));
        // An error event says nothing and is always followed by a close event that says more.
        socket.set_onclose(Some(self.close.as_ref().unchecked_ref()));
    }
}

fn close_text(url: &str, was_open: bool, code: u16, reason: &str) -> String {
    match (was_open, reason) {
        (false, _) => format!("the bridge at {url} cannot be reached, or refused this page"),
        (true, "") => format!("the bridge at {url} closed the tunnel (code {code})"),
        (true, reason) => format!("the bridge at {url} closed the tunnel: {reason} ({code})"),
    }
}

impl Socket {
    /// Opens a WebSocket to `url`. Dropping the future gives up.
    ///
    /// A page cannot set a header on a WebSocket: the token is one more subprotocol that it offers,
    /// and that no bridge chooses.
    pub(crate) async fn dial(url: String, token: Option<String>, clock: Clock) -> io::Result<Self> {
        let protocols = js_sys::Array::of1(&SUBPROTOCOL.into());
        if let Some(token) = token {
            protocols.push(&format!("{TOKEN_PROTOCOL}{token}").into());
        }
        let socket = WebSocket::new_with_str_sequence(&url, &protocols).map_err(thrown)?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let state = Rc::<State>::default();
        let handlers = Handlers::new(&state, clock, &url);
        handlers.attach(&socket);
        let this = Self { socket, state, clock, drain_check: None, _handlers: handlers };
        poll_fn(|cx| this.poll_open(cx)).await?;
        if this.socket.protocol() != SUBPROTOCOL {
            let text = format!("{url} is no bridge: it does not speak {SUBPROTOCOL}");
            return Err(io_error(io::ErrorKind::InvalidData, text));
        }
        Ok(this)
    }

    /// When the message taken last had arrived, as long as the socket lives.
    pub(crate) fn arrived(&self) -> Rc<Cell<Option<Instant>>> {
        self.state.arrived.clone()
    }

    fn poll_open(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.state.error() {
            return Poll::Ready(Err(error));
        }
        if self.state.is_open.get() {
            return Poll::Ready(Ok(()));
        }
        self.state.wait(cx);
        Poll::Pending
    }
}

/// What JavaScript threw, as an error.
#[allow(clippy::needless_pass_by_value)] // What `map_err` hands over.
pub(crate) fn thrown(value: JsValue) -> io::Error {
    thrown_as(io::ErrorKind::Other, &value)
}

/// The same as an error of this kind.
pub(crate) fn thrown_as(kind: io::ErrorKind, value: &JsValue) -> io::Error {
    let words = match value.dyn_ref::<js_sys::Error>() {
        Some(error) => error.message().into(),
        None => format!("{value:?}"),
    };
    io_error(kind, words)
}

impl Stream for Socket {
    type Item = io::Result<Vec<u8>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some((arrived, bytes)) = self.state.messages.borrow_mut().pop_front() {
            self.state.arrived.set(Some(arrived));
            return Poll::Ready(Some(Ok(bytes)));
        }
        if let Some(error) = self.state.error() {
            return Poll::Ready(Some(Err(error)));
        }
        self.state.wait(cx);
        Poll::Pending
    }
}

impl Sink<Vec<u8>> for Socket {
    type Error = io::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?;
        while self.socket.buffered_amount() > HIGH_WATER_BYTES {
            self.state.wait(cx);
            let clock = self.clock;
            let sleep = || Box::pin(clock.sleep_until(clock.now() + DRAIN_CHECK));
            ready!(self.drain_check.get_or_insert_with(sleep).as_mut().poll(cx));
            self.drain_check = None;
        }
        self.drain_check = None;
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: Vec<u8>) -> io::Result<()> {
        self.socket.send_with_u8_array(&message).map_err(thrown)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The host sends by itself; nothing is held here.
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.close().map_err(thrown))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        // Closing a closed socket is allowed and does nothing.
        let _ = self.socket.close();
    }
}
