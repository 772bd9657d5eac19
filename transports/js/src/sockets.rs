//! The transport over streams that JavaScript opens: one pair of WHATWG streams a connection.
//!
//! What a runtime calls its sockets is known to a few lines of JavaScript ([`Host`]); here is only
//! how bytes go through such a pair. Nothing is read ahead: a chunk is asked for when the one
//! before it was taken, so that the stream's own queue is the bound, and TCP's window behind it. A
//! write is handed over when the one before it was taken in.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use futures_channel::oneshot;
use futures_io::{AsyncRead, AsyncWrite};
use js_sys::{Array, Promise, Reflect, Uint8Array};
use portolan::engine::address::ServerAddress;
use portolan::transport::{
    BoxFuture, BoxStream, ByteStream, DnsRecord, Instant, KeyRequest, RecordKind, Transport,
    Unresolved, io_error,
};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{AbortController, AbortSignal};

use crate::clock::Clock;
use crate::crypto;
use crate::socket::{thrown, thrown_as};

#[wasm_bindgen]
extern "C" {
    /// What a runtime has of its own: `Platform` in `web/js/platform.ts`.
    #[derive(Clone)]
    pub type Host;

    /// The runtime's name, as the server's log shows it.
    #[wasm_bindgen(method, getter)]
    pub fn name(this: &Host) -> String;

    /// Opens a pair of streams.
    #[wasm_bindgen(method, catch)]
    fn connect(
        this: &Host,
        host: &str,
        port: u16,
        signal: &AbortSignal,
    ) -> Result<Promise, JsValue>;

    /// Looks up records.
    #[wasm_bindgen(method, catch)]
    fn resolve(this: &Host, name: &str, kind: &str) -> Result<Promise, JsValue>;

    type Pair;
    #[wasm_bindgen(method, getter)]
    fn readable(this: &Pair) -> Readable;
    #[wasm_bindgen(method, getter)]
    fn writable(this: &Pair) -> Writable;
    #[wasm_bindgen(method, catch)]
    fn close(this: &Pair) -> Result<JsValue, JsValue>;

    type Readable;
    #[wasm_bindgen(method, catch, js_name = getReader)]
    fn reader(this: &Readable) -> Result<Reader, JsValue>;

    type Reader;
    #[wasm_bindgen(method)]
    fn read(this: &Reader) -> Promise;
    #[wasm_bindgen(method)]
    fn cancel(this: &Reader) -> Promise;

    type Writable;
    #[wasm_bindgen(method, catch, js_name = getWriter)]
    fn writer(this: &Writable) -> Result<Writer, JsValue>;

    type Writer;
    #[wasm_bindgen(method)]
    fn write(this: &Writer, chunk: &Uint8Array) -> Promise;
    #[wasm_bindgen(method, js_name = close)]
    fn finish(this: &Writer) -> Promise;
    #[wasm_bindgen(method)]
    fn abort(this: &Writer) -> Promise;

    type Chunk;
    #[wasm_bindgen(method, getter)]
    fn done(this: &Chunk) -> bool;
    #[wasm_bindgen(method, getter)]
    fn value(this: &Chunk) -> JsValue;
}

/// Reaches the members of a deployment through the sockets of the runtime.
#[derive(Clone)]
pub struct Sockets {
    host: Host,
    name: String,
    clock: Clock,
}

impl Sockets {
    /// A transport whose clock starts now.
    pub fn new(host: Host) -> Self {
        Self { name: host.name(), host, clock: Clock::new() }
    }
}

#[async_trait(?Send)]
impl Transport for Sockets {
    fn runtime(&self) -> &str {
        &self.name
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        Box::pin(self.clock.sleep_until(deadline))
    }

    async fn salted_password(&self, request: &KeyRequest) -> Option<Vec<u8>> {
        crypto::salted_password(request).await
    }

    async fn connect(&self, target: &ServerAddress) -> io::Result<BoxStream> {
        let ServerAddress::Tcp { host, port } = target else {
            let text = format!("{target} is a Unix domain socket, which this runtime cannot open");
            return Err(io_error(io::ErrorKind::Unsupported, text));
        };
        let pair = open(&self.host, host, *port).await.map_err(|value| failure(host, &value))?;
        Ok(Box::new(Pipe::new(pair).map_err(thrown)?))
    }

    async fn resolve(&self, name: &str, kind: RecordKind) -> io::Result<Vec<DnsRecord>> {
        resolve(&self.host, name, kind).await
    }
}

/// Whether the runtime looks up records.
pub(crate) fn has_dns(host: &Host) -> bool {
    Reflect::has(host, &"resolve".into()).unwrap_or(false)
}

/// Looks up records with what the runtime has for it, if it has.
pub(crate) async fn resolve(
    host: &Host,
    name: &str,
    kind: RecordKind,
) -> io::Result<Vec<DnsRecord>> {
    if !has_dns(host) {
        return Err(no_dns(name, kind));
    }
    let word = match kind {
        RecordKind::Srv => "SRV",
        RecordKind::Txt => "TXT",
    };
    let answer = match host.resolve(name, word) {
        Ok(promise) => JsFuture::from(promise).await,
        Err(thrown) => Err(thrown),
    };
    let records = answer.map_err(|value| match code(&value).as_str() {
        "ENOTFOUND" | "NotFound" => {
            let text = format!("{name} does not exist in DNS");
            io_error(io::ErrorKind::NotFound, text)
        }
        _ => thrown(value),
    })?;
    Array::from(&records).iter().map(|record| read_record(&record, kind)).collect()
}

fn no_dns(name: &str, kind: RecordKind) -> io::Error {
    let text = format!(
        "this runtime cannot look up the {kind:?} records of {name}; use a mongodb:// connection \
         string"
    );
    io_error(io::ErrorKind::Unsupported, text)
}

fn read_record(record: &JsValue, kind: RecordKind) -> io::Result<DnsRecord> {
    let invalid = || io_error(io::ErrorKind::InvalidData, format!("no record: {record:?}"));
    match kind {
        RecordKind::Txt => record.as_string().map(DnsRecord::Txt).ok_or_else(invalid),
        RecordKind::Srv => {
            let host = field(record, "host").as_string().ok_or_else(invalid)?;
            let port = field(record, "port").as_f64().ok_or_else(invalid)? as u16;
            let ttl = field(record, "ttl").as_f64().unwrap_or_default() as u32;
            Ok(DnsRecord::Srv { host, port, ttl })
        }
    }
}

/// Has the runtime connect. Dropping the future tells it, and closes what comes all the same.
async fn open(host: &Host, name: &str, port: u16) -> Result<Pair, JsValue> {
    let given_up = GivenUp(Some(AbortController::new()?));
    let signal = given_up.0.as_ref().map(AbortController::signal).unwrap_throw();
    let promise = host.connect(name, port, &signal)?;
    let (sender, receiver) = oneshot::channel();
    spawn_local(async move {
        let opened = JsFuture::from(promise).await.map(JsCast::unchecked_into::<Pair>);
        if let Err(Ok(unwanted)) = sender.send(opened) {
            shut(&unwanted);
        }
    });
    let opened = receiver.await.unwrap_or_else(|_| Err("the task has ended".into()));
    given_up.disarm();
    opened
}

/// Aborts when dropped.
struct GivenUp(Option<AbortController>);

impl GivenUp {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        if let Some(controller) = self.0.take() {
            controller.abort();
        }
    }
}

/// One connection.
struct Pipe {
    pair: Pair,
    reader: Reader,
    writer: Writer,
    read: Option<JsFuture>,
    /// What was read and not yet taken; never empty.
    chunk: Option<Uint8Array>,
    has_ended: bool,
    write: Option<JsFuture>,
    close: Option<JsFuture>,
}

impl Pipe {
    fn new(pair: Pair) -> Result<Self, JsValue> {
        let (reader, writer) = (pair.readable().reader()?, pair.writable().writer()?);
        let (read, chunk, write, close) = (None, None, None, None);
        Ok(Self { pair, reader, writer, read, chunk, has_ended: false, write, close })
    }

    /// Waits until the write before was taken in.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(write) = &mut self.write else { return Poll::Ready(Ok(())) };
        let taken = ready!(Pin::new(write).poll(cx));
        self.write = None;
        Poll::Ready(taken.map(drop).map_err(broken))
    }
}

impl ByteStream for Pipe {}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            if let Some(chunk) = this.chunk.take() {
                let count = chunk.length().min(u32::try_from(buf.len()).unwrap_or(u32::MAX));
                let taken = chunk.subarray(0, count);
                taken.copy_to(&mut buf[..count as usize]);
                this.chunk =
                    (count < chunk.length()).then(|| chunk.subarray(count, chunk.length()));
                return Poll::Ready(Ok(count as usize));
            }
            if this.has_ended || buf.is_empty() {
                return Poll::Ready(Ok(0));
            }
            let read = this.read.get_or_insert_with(|| JsFuture::from(this.reader.read()));
            let answer = ready!(Pin::new(read).poll(cx));
            this.read = None;
            let answer = answer.map_err(broken)?.unchecked_into::<Chunk>();
            if answer.done() {
                this.has_ended = true;
            } else {
                let bytes = answer.value().dyn_into::<Uint8Array>().map_err(thrown)?;
                this.chunk = (bytes.length() > 0).then_some(bytes);
            }
        }
    }
}

/// Bytes that are handed over at once: a copy of them exists until they are taken in.
const WRITE_AT_ONCE: usize = 512 * 1024;

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_room(cx))?;
        let count = buf.len().min(WRITE_AT_ONCE);
        let promise = self.writer.write(&Uint8Array::from(&buf[..count]));
        self.write = Some(JsFuture::from(promise));
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The host sends by itself; nothing is held here.
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_room(cx))?;
        let this = &mut *self;
        let close = this.close.get_or_insert_with(|| JsFuture::from(this.writer.finish()));
        let closed = ready!(Pin::new(close).poll(cx));
        Poll::Ready(closed.map(drop).map_err(broken))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // What becomes of these is nobody's business any more, but a rejection that nobody looks at
        // ends some runtimes.
        for promise in [self.reader.cancel(), self.writer.abort()] {
            drop(JsFuture::from(promise));
        }
        shut(&self.pair);
    }
}

fn shut(pair: &Pair) {
    if let Ok(closing) = pair.close() {
        drop(JsFuture::from(Promise::resolve(&closing)));
    }
}

fn broken(value: JsValue) -> io::Error {
    thrown_as(io::ErrorKind::ConnectionAborted, &value)
}

/// Why there is no connection, by the codes of Node and the names of Deno.
fn failure(host: &str, value: &JsValue) -> io::Error {
    let kind = match code(value).as_str() {
        "ENOTFOUND" | "EAI_AGAIN" => return Unresolved::error(host, thrown(value.clone())),
        "ECONNREFUSED" | "ConnectionRefused" => io::ErrorKind::ConnectionRefused,
        "ECONNRESET" | "ConnectionReset" => io::ErrorKind::ConnectionReset,
        "ETIMEDOUT" | "TimedOut" => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::Other,
    };
    thrown_as(kind, value)
}

fn code(value: &JsValue) -> String {
    let text = |name| field(value, name).as_string();
    text("code").or_else(|| text("name")).unwrap_or_default()
}

fn field(value: &JsValue, name: &str) -> JsValue {
    Reflect::get(value, &name.into()).unwrap_or(JsValue::UNDEFINED)
}
