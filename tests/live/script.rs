//! A server that speaks the protocol well until it is asked to ping, and then as it is told.
//!
//! Its few lines of the wire protocol are its own, so that it can break every rule of it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use bson::{DateTime, Document, doc};

const OP_REPLY: i32 = 1;
const OP_QUERY: i32 = 2004;
const OP_MSG: i32 = 2013;

/// The command in its forms, as the first element of a document.
const HELLOS: [&[u8]; 3] = [b"\x10hello\0", b"\x10isMaster\0", b"\x10ismaster\0"];

/// What the server sends in answer to a ping; it is given the request's number.
pub(crate) type Script = fn(i32) -> Answer;

/// Bytes, and what comes after them.
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) then: Then,
}

/// What a server does after its answer.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Then {
    /// It answers the next request.
    GoOn,
    /// It waits for the client to close the connection.
    Wait,
    /// It closes the connection.
    Close,
    /// It sends more bytes, for ever.
    Flood,
    /// It sends one byte now and then, for ever.
    Drip,
}

/// How the connection of the ping ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Whether the client closed it.
    pub(crate) by_client: bool,
    /// Bytes that the server could send after its answer.
    pub(crate) sent_after: usize,
}

/// A scripted server; dropping it ends its threads.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    ended: mpsc::Receiver<Ended>,
    closing: Arc<AtomicBool>,
}

impl Server {
    /// A server that answers what is no hello with `script`, and a hello well, or with `hello`.
    pub(crate) fn start(script: Script, hello: Option<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, ended) = mpsc::channel();
        let closing = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&closing);
        thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                if flag.load(Ordering::SeqCst) {
                    break;
                }
                let (sender, flag) = (sender.clone(), Arc::clone(&flag));
                thread::spawn(move || serve(socket, script, hello, &sender, &flag));
            }
        });
        Self { address, ended, closing }
    }

    /// How the connection of the first bad answer ended; `None` when it is still open after ten
    /// seconds.
    pub(crate) fn ended(&self) -> Option<Ended> {
        self.ended.recv_timeout(Duration::from_secs(10)).ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// Serves one connection until it ends.
fn serve(
    mut socket: TcpStream,
    script: Script,
    hello: Option<Script>,
    sender: &mpsc::Sender<Ended>,
    closing: &AtomicBool,
) {
    let _ = socket.set_read_timeout(Some(Duration::from_millis(100)));
    while let Some((id, op_code, rest)) = request(&mut socket, closing) {
        let is_hello = op_code == OP_QUERY || HELLOS.iter().any(|hello| contains(&rest, hello));
        let answer = match hello {
            _ if !is_hello => script(id),
            Some(hello) => hello(id),
            None if op_code == OP_QUERY => good(hello_reply(id)),
            None => good(op_msg(id, &body(&hello_document()))),
        };
        if socket.write_all(&answer.bytes).is_err() {
            return;
        }
        if answer.then != Then::GoOn {
            let _ = sender.send(end(&mut socket, answer.then, closing));
            return;
        }
    }
}

/// Goes on as `then` says until the connection ends, and says how it ended.
fn end(socket: &mut TcpStream, then: Then, closing: &AtomicBool) -> Ended {
    if then == Then::Close {
        let _ = socket.shutdown(Shutdown::Both);
        return Ended { by_client: false, sent_after: 0 };
    }
    let _ = socket.set_write_timeout(Some(Duration::from_millis(100)));
    let chunk = vec![0; if then == Then::Flood { 64 * 1024 } else { 1 }];
    let mut sent_after = 0;
    let mut scratch = [0; 1024];
    while !closing.load(Ordering::SeqCst) {
        if matches!(then, Then::Flood | Then::Drip) {
            match socket.write(&chunk) {
                Ok(count) => sent_after += count,
                Err(error) if is_waiting(&error) => {}
                Err(_) => return Ended { by_client: true, sent_after },
            }
        }
        if then != Then::Flood {
            // Waits at most its time-out.
            match socket.read(&mut scratch) {
                Ok(0) => return Ended { by_client: true, sent_after },
                Ok(_) => {}
                Err(error) if is_waiting(&error) => {}
                Err(_) => return Ended { by_client: true, sent_after },
            }
        }
    }
    Ended { by_client: false, sent_after }
}

fn is_waiting(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

/// The next request: its number, op code, and the rest; `None` at the end.
fn request(socket: &mut TcpStream, closing: &AtomicBool) -> Option<(i32, i32, Vec<u8>)> {
    let header = exactly(socket, 16, closing)?;
    let field = |at: usize| i32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
    let length = usize::try_from(field(0)).ok()?.checked_sub(16)?;
    let rest = exactly(socket, length, closing)?;
    Some((field(4), field(12), rest))
}

fn exactly(socket: &mut TcpStream, length: usize, closing: &AtomicBool) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut have = 0;
    while have < length {
        match socket.read(&mut bytes[have..]) {
            Ok(0) => return None,
            Ok(count) => have += count,
            Err(error) if is_waiting(&error) && !closing.load(Ordering::SeqCst) => {}
            Err(_) => return None,
        }
    }
    Some(bytes)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// A message with a header as given, whatever it says.
pub(crate) fn message(length: i32, response_to: i32, op_code: i32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in [length, 77, response_to, op_code] {
        bytes.extend_from_slice(&field.to_le_bytes());
    }
    bytes.extend_from_slice(rest);
    bytes
}

/// An OP_MSG whose header is right, around these sections.
pub(crate) fn op_msg(response_to: i32, sections: &[u8]) -> Vec<u8> {
    let mut rest = 0_i32.to_le_bytes().to_vec();
    rest.extend_from_slice(sections);
    let length = i32::try_from(16 + rest.len()).expect("short");
    message(length, response_to, OP_MSG, &rest)
}

/// A section of kind 0.
pub(crate) fn body(document: &Document) -> Vec<u8> {
    let mut section = vec![0];
    section.extend(bson::serialize_to_vec(document).expect("BSON"));
    section
}

/// An answer after which the server goes on.
pub(crate) fn good(bytes: Vec<u8>) -> Answer {
    Answer { bytes, then: Then::GoOn }
}

/// A standalone's hello, as the OP_REPLY for the OP_QUERY of a new connection.
fn hello_reply(id: i32) -> Vec<u8> {
    let mut rest = 8_i32.to_le_bytes().to_vec();
    rest.extend_from_slice(&0_i64.to_le_bytes());
    rest.extend_from_slice(&0_i32.to_le_bytes());
    rest.extend_from_slice(&1_i32.to_le_bytes());
    rest.extend(bson::serialize_to_vec(&hello_document()).expect("BSON"));
    let length = i32::try_from(16 + rest.len()).expect("short");
    message(length, id, OP_REPLY, &rest)
}

fn hello_document() -> Document {
    doc! {
        "helloOk": true,
        "ismaster": true,
        "isWritablePrimary": true,
        "maxBsonObjectSize": 16 * 1024 * 1024,
        "maxMessageSizeBytes": MAX_MESSAGE,
        "maxWriteBatchSize": 100_000,
        "localTime": DateTime::MIN,
        "minWireVersion": 0,
        "maxWireVersion": 17,
        "readOnly": false,
        "ok": 1.0,
    }
}

/// What the server says of its messages' size.
pub(crate) const MAX_MESSAGE: i32 = 48_000_000;
