//! What one server's monitor says; the topology machine gives it addresses.

use std::sync::Arc;
use std::time::Duration;

use bson::RawDocumentBuf;

use super::link::LinkError;
use crate::engine::hello::HelloReply;

/// What the monitor wants done or made known.
#[derive(Debug)]
pub(super) enum Step {
    /// A check begins.
    Started { awaited: bool },
    /// Open a new connection, or use one that is there.
    Open(Source),
    /// Write this message on the connection.
    Send(Vec<u8>),
    /// Write this first hello; operations may have the connection later.
    Greet(Vec<u8>),
    /// Close the connection.
    Close,
    /// The connection is for operations again.
    GiveBack,
    /// A check succeeded. `offer`: the connection is for operations from now on.
    Succeeded {
        awaited: bool,
        offer: bool,
        duration: Duration,
        reply: Box<HelloReply>,
        document: Arc<RawDocumentBuf>,
        sample: Sample,
    },
    /// A check failed; the server is to be marked Unknown.
    Failed { awaited: bool, duration: Duration, error: LinkError },
    /// A check was cancelled; the description stays ("CheckCancelledError").
    Cancelled { awaited: bool, duration: Duration, reason: &'static str },
}

/// What a check says of the round-trip time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sample {
    /// Nothing: the server held the reply back.
    Streamed,
    /// This much.
    Measured(Duration),
    /// At least this much: nobody ran when the reply arrived.
    AtLeast(Duration),
}

/// Where the connection of a check comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A new one.
    New,
    /// The one that was offered, if nobody took it.
    Offered,
    /// The same, or one of the operations that is idle.
    Operations,
}
