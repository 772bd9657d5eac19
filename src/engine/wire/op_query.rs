//! OP_QUERY and OP_REPLY, only as far as the legacy hello of a new connection uses them.
//!
//! A server answers this pair for hello even where it refuses every other legacy message.

use bson::raw::{CStr, cstr};
use bson::{RawDocument, RawDocumentBuf};

use super::section::Cursor;
use super::{HEADER_LENGTH, Header, OpCode, WireError};

/// A command as OP_QUERY: what the server's side reads.
#[derive(Clone, Debug, PartialEq)]
pub struct OpQuery {
    /// The flag bits.
    pub flags: u32,
    /// The collection: `admin.$cmd` for a command.
    pub namespace: String,
    /// The command.
    pub document: RawDocumentBuf,
}

impl OpQuery {
    /// Reads a whole frame, whose header was read already.
    ///
    /// # Errors
    ///
    /// If a part goes beyond the end, is no BSON, or bytes are left over.
    pub fn parse(mut frame: Vec<u8>) -> Result<Self, WireError> {
        let mut cursor = Cursor::new(&frame);
        cursor.take(HEADER_LENGTH)?;
        let flags = cursor.i32()?.cast_unsigned();
        let namespace = cursor.cstring()?.to_owned();
        let _number_to_skip = cursor.i32()?;
        let _number_to_return = cursor.i32()?;
        let document = cursor.document()?;
        if cursor.left() > 0 {
            return Err(WireError::TrailingBytes(cursor.left()));
        }
        frame.drain(..document.start);
        Ok(Self { flags, namespace, document: RawDocumentBuf::from_bytes(frame)? })
    }
}

/// Appends a command to the database `admin` as OP_QUERY; returns the message's length.
///
/// # Errors
///
/// [`WireError::Oversized`] if the message has more bytes than its header can say.
pub fn encode_query(
    into: &mut Vec<u8>,
    request_id: i32,
    command: &RawDocument,
) -> Result<usize, WireError> {
    let start = into.len();
    Header::begin(into, request_id, 0, OpCode::Query);
    into.extend_from_slice(&SECONDARY_OK.to_le_bytes());
    into.extend_from_slice(ADMIN_COMMANDS.as_str().as_bytes());
    into.push(0);
    into.extend_from_slice(&0_i32.to_le_bytes());
    into.extend_from_slice(&ONE_DOCUMENT_AND_CLOSE.to_le_bytes());
    into.extend_from_slice(command.as_bytes());
    Header::finish(into, start)
}

/// The answer to OP_QUERY.
#[derive(Clone, Debug, PartialEq)]
pub struct OpReply {
    /// The flag bits.
    pub flags: u32,
    /// The command's reply.
    pub document: RawDocumentBuf,
}

impl OpReply {
    /// Reads a whole frame, whose header was read already. The frame's buffer becomes the
    /// document's.
    ///
    /// # Errors
    ///
    /// [`WireError::QueryFailure`] with that flag, [`WireError::WrongDocumentCount`] unless there
    /// is one document, and whatever is wrong with the lengths.
    pub fn parse(mut frame: Vec<u8>) -> Result<Self, WireError> {
        let mut cursor = Cursor::new(&frame);
        cursor.take(HEADER_LENGTH)?;
        let flags = cursor.i32()?.cast_unsigned();
        let _cursor_id = cursor.i64()?;
        let _starting_from = cursor.i32()?;
        let count = cursor.i32()?;
        if count != 1 {
            return Err(WireError::WrongDocumentCount(count));
        }
        let document = cursor.document()?;
        if cursor.left() > 0 {
            return Err(WireError::TrailingBytes(cursor.left()));
        }
        frame.drain(..document.start);
        let document = RawDocumentBuf::from_bytes(frame)?;
        if flags & QUERY_FAILURE != 0 {
            let message = document.get_str("$err").unwrap_or("no reason given");
            return Err(WireError::QueryFailure(message.to_owned()));
        }
        Ok(Self { flags, document })
    }
}

/// Appends a reply of one document, as a server sends it; returns the message's length.
///
/// # Errors
///
/// [`WireError::Oversized`] if the message has more bytes than its header can say.
pub fn encode_reply(
    into: &mut Vec<u8>,
    request_id: i32,
    response_to: i32,
    document: &RawDocument,
) -> Result<usize, WireError> {
    let start = into.len();
    Header::begin(into, request_id, response_to, OpCode::Reply);
    into.extend_from_slice(&AWAIT_CAPABLE.to_le_bytes());
    into.extend_from_slice(&0_i64.to_le_bytes());
    into.extend_from_slice(&0_i32.to_le_bytes());
    into.extend_from_slice(&1_i32.to_le_bytes());
    into.extend_from_slice(document.as_bytes());
    Header::finish(into, start)
}

const ADMIN_COMMANDS: &CStr = cstr!("admin.$cmd");
/// OP_QUERY bit 2: a secondary may answer.
const SECONDARY_OK: u32 = 1 << 2;
/// OP_QUERY numberToReturn of a command.
const ONE_DOCUMENT_AND_CLOSE: i32 = -1;
/// OP_REPLY bit 1.
const QUERY_FAILURE: u32 = 1 << 1;
/// OP_REPLY bit 3: every server since 1.6 sets it.
const AWAIT_CAPABLE: u32 = 1 << 3;
