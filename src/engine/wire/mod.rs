//! The wire protocol: bytes to messages and messages to bytes.
//!
//! Frame first, then meaning. A [`Framer`] cuts a stream of bytes into whole messages and knows
//! nothing of their contents; [`Reply::parse`] reads one whole message, once. What a hostile or
//! broken peer sends ends in a [`WireError`], never in a panic, and never costs more memory than
//! the agreed maximum.
//!
//! Specification: message/OP_MSG; compression/OP_COMPRESSED; OP_QUERY and OP_REPLY as far as the
//! legacy hello needs them.

mod checksum;
mod codec;
mod compression;
mod error;
mod framer;
mod header;
mod message;
mod op_msg;
mod op_query;
mod section;
#[cfg(test)]
mod tests;

pub use compression::{Compression, Compressor};
pub use error::WireError;
pub use framer::{DEFAULT_MAX_MESSAGE_SIZE, FRAME_SLACK, Framer};
pub use header::{HEADER_LENGTH, Header, OpCode};
pub use message::{Message, Reply, check_response};
pub use op_msg::{Flags, OpMsg, OpMsgBuilder};
pub use op_query::{OpQuery, OpReply, encode_query, encode_reply};
pub use section::DocumentSequence;
