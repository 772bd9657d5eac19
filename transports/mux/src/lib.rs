//! Portolan's tunnel: many byte streams over one WebSocket.
//!
//! What a page (or any program behind a WebSocket) and a bridge say to each other. Both ends share
//! this crate; it holds every decision and none of the I/O, and compiles to wasm32.
//!
//! ```text
//! TunnelStream   open request | bytes ...        one per connection to a member of the deployment
//! frames         streams, credits both ways      one per WebSocket
//! Messages       binary messages
//! WebSocket      subprotocol portolan.v1
//! ```
//!
//! Opening a stream costs no round trip: the client writes the [`Target`] and its first bytes
//! together. The bridge dials, answers on that stream with one [`Status`], then only bytes follow.
//! A refusal reaches the reader as an [`std::io::Error`] whose source is the [`Refusal`].
//!
//! A stream may also ask for SRV or TXT records ([`ClientTunnel::look_up`]), which browsers cannot.
//!
//! The frames are yamux's, version 0; their implementation is ours, because a bridge's throughput
//! is the copies that it does not make, and the crate `yamux` makes three.
//!
//! Flow control is by credits: a stream whose reader has stopped holds at most its receive window,
//! and the others go on. Closing one half ends the other side's reading and nothing else; dropping
//! a stream that is still open resets it.

mod carrier;
mod client;
mod codec;
mod connection;
mod failure;
mod frame;
mod halves;
mod handle;
mod lookup;
mod message;
mod server;
mod stream;
mod stream_state;
mod window;

pub use client::{ClientDriver, ClientTunnel};
pub use codec::{CloseReason, CodecError, Decoded, Refusal, RefusalCode, Status, Target};
pub use frame::Frame;
pub use halves::{ReadHalf, WriteHalf};
pub use lookup::{Open, Question, Record, RecordType};
pub use message::{MessageIo, Messages};
pub use server::{Incoming, Request, ServerTunnel};
pub use stream::TunnelStream;

/// The WebSocket subprotocol both ends ask for and offer.
pub const SUBPROTOCOL: &str = "portolan.v1";

/// The most payload in one frame. A frame costs a message, a system call and a wake-up at each
/// end, whatever its size; and other streams wait for no more than this.
pub const FRAME_BYTES: usize = 64 * 1024;

/// The largest binary message that either end sends: a frame, its header and small frames before
/// it. A receiver may refuse larger ones.
pub const MAX_MESSAGE_BYTES: usize = FRAME_BYTES + 12 + message::SHARED_BYTES;

/// How much of a tunnel one end is willing to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams open at the same time.
    pub streams: usize,
    /// Bytes that all streams together may hold unread, beyond the 256 KiB that each is given.
    pub extra_window_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { streams: 256, extra_window_bytes: 32 * 1024 * 1024 }
    }
}
