//! A blocking connection to one server: one OP_MSG out, one back.
//!
//! The few lines of the wire protocol are repeated here on purpose, so that a mistake in the
//! driver's codec cannot hide itself from the tests. Section "OP_MSG" of the wire protocol.

use std::io::{Cursor, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bson::{Bson, Document};

use crate::{Error, Result};

const OP_MSG: i32 = 2013;
const HEADER: usize = 16;
const MAX_MESSAGE: usize = 48_000_000;

/// A connection to one server, without TLS.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    last_request: i32,
}

impl Connection {
    /// Connects to `address`; `timeout` bounds the connect and later each read and write.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn open(address: SocketAddr, timeout: Duration) -> Result<Self> {
        let doing = || Error::io(format!("connecting to {address}"));
        let stream = TcpStream::connect_timeout(&address, timeout).map_err(doing())?;
        stream.set_read_timeout(Some(timeout)).map_err(doing())?;
        stream.set_write_timeout(Some(timeout)).map_err(doing())?;
        stream.set_nodelay(true).map_err(doing())?;
        Ok(Self { stream, last_request: 0 })
    }

    /// Runs `command` on its own `$db`, or on `admin` when it names none, and answers the reply.
    ///
    /// # Errors
    ///
    /// [`Error::Command`] when the reply is not `ok: 1`, [`Error::Io`], [`Error::Protocol`].
    pub fn run(&mut self, command: &Document) -> Result<Document> {
        let mut body = command.clone();
        if !body.contains_key("$db") {
            body.insert("$db", "admin");
        }
        self.send(&body)?;
        let reply = self.receive()?;
        let ok = match reply.get("ok") {
            Some(Bson::Double(ok)) => *ok == 1.0,
            Some(Bson::Int32(ok)) => *ok == 1,
            Some(Bson::Int64(ok)) => *ok == 1,
            Some(Bson::Boolean(ok)) => *ok,
            _ => false,
        };
        if ok {
            return Ok(reply);
        }
        Err(Error::Command {
            code: reply.get_i32("code").unwrap_or(0),
            message: reply.get_str("errmsg").unwrap_or("no message").to_owned(),
        })
    }

    fn send(&mut self, body: &Document) -> Result<()> {
        let body =
            bson::serialize_to_vec(body).map_err(|error| Error::Protocol(error.to_string()))?;
        self.last_request += 1;
        let length = i32::try_from(HEADER + 5 + body.len())
            .map_err(|_| Error::Protocol("the command is too long".into()))?;
        let mut message = Vec::with_capacity(HEADER + 5 + body.len());
        for field in [length, self.last_request, 0, OP_MSG, 0] {
            message.extend_from_slice(&field.to_le_bytes());
        }
        message.push(0);
        message.extend_from_slice(&body);
        self.stream.write_all(&message).map_err(Error::io("sending a command"))
    }

    fn receive(&mut self) -> Result<Document> {
        let mut header = [0; HEADER];
        self.stream.read_exact(&mut header).map_err(Error::io("reading a reply"))?;
        let field = |at: usize| {
            i32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let length = usize::try_from(field(0)).unwrap_or(0);
        if !(HEADER + 5..=MAX_MESSAGE).contains(&length) {
            return Err(Error::Protocol(format!("a reply of {length} bytes")));
        }
        if field(8) != self.last_request || field(12) != OP_MSG {
            return Err(Error::Protocol(format!(
                "opcode {} in reply to {}, not OP_MSG in reply to {}",
                field(12),
                field(8),
                self.last_request
            )));
        }
        let mut rest = vec![0; length - HEADER];
        self.stream.read_exact(&mut rest).map_err(Error::io("reading a reply"))?;
        // Without the flags that this client never asks for, the reply is one section of kind 0.
        Document::from_reader(Cursor::new(&rest[5..]))
            .map_err(|error| Error::Protocol(error.to_string()))
    }
}
