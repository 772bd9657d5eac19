//! The sixteen bytes before every message.

use std::fmt;

use super::WireError;

/// Bytes of a header.
pub const HEADER_LENGTH: usize = 16;

/// What kind of message follows the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpCode {
    /// OP_REPLY: the answer to OP_QUERY.
    Reply,
    /// OP_QUERY: here only the legacy hello of a new connection.
    Query,
    /// OP_COMPRESSED: another message inside.
    Compressed,
    /// OP_MSG: everything else.
    Msg,
}

impl OpCode {
    /// The op code of this number.
    ///
    /// # Errors
    ///
    /// [`WireError::UnknownOpCode`] for every other number.
    pub fn from_number(number: i32) -> Result<Self, WireError> {
        match number {
            1 => Ok(Self::Reply),
            2004 => Ok(Self::Query),
            2012 => Ok(Self::Compressed),
            2013 => Ok(Self::Msg),
            other => Err(WireError::UnknownOpCode(other)),
        }
    }

    /// The number on the wire.
    pub fn number(self) -> i32 {
        match self {
            Self::Reply => 1,
            Self::Query => 2004,
            Self::Compressed => 2012,
            Self::Msg => 2013,
        }
    }
}

impl fmt::Display for OpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reply => "OP_REPLY",
            Self::Query => "OP_QUERY",
            Self::Compressed => "OP_COMPRESSED",
            Self::Msg => "OP_MSG",
        })
    }
}

/// A message's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the whole message, this header included.
    pub length: usize,
    /// The sender's number of the message.
    pub request_id: i32,
    /// The number of the message that this one answers; 0 for a request.
    pub response_to: i32,
    /// What kind of message it is.
    pub op_code: OpCode,
}

impl Header {
    /// Reads the first sixteen bytes of `bytes`; `None` means more bytes.
    ///
    /// # Errors
    ///
    /// A negative length, one below sixteen, or an unknown op code.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, WireError> {
        let Some(bytes) = bytes.first_chunk::<HEADER_LENGTH>() else { return Ok(None) };
        let [length, request_id, response_to, op_code] = fields(bytes);
        let length = usize::try_from(length).map_err(|_| WireError::Negative { length })?;
        if length < HEADER_LENGTH {
            return Err(WireError::TooShort { length, least: HEADER_LENGTH });
        }
        let op_code = OpCode::from_number(op_code)?;
        Ok(Some(Self { length, request_id, response_to, op_code }))
    }

    /// Reads the header of a whole frame.
    ///
    /// # Errors
    ///
    /// As [`Header::parse`]; and a frame of another length than its header says.
    pub fn of_frame(frame: &[u8]) -> Result<Self, WireError> {
        let actual = frame.len();
        let short = WireError::TooShort { length: actual, least: HEADER_LENGTH };
        let header = Self::parse(frame)?.ok_or(short)?;
        if header.length != actual {
            return Err(WireError::WrongLength { header: header.length, actual });
        }
        Ok(header)
    }

    /// Appends the header of a message that is still to be written, with length 0.
    pub(super) fn begin(into: &mut Vec<u8>, request_id: i32, response_to: i32, op_code: OpCode) {
        for field in [0, request_id, response_to, op_code.number()] {
            into.extend_from_slice(&field.to_le_bytes());
        }
    }

    /// Writes the length into the header at `start`, now that the message is complete.
    pub(super) fn finish(message: &mut [u8], start: usize) -> Result<usize, WireError> {
        let length = message.len() - start;
        let Ok(field) = i32::try_from(length) else {
            return Err(WireError::Oversized { length, max: i32::MAX as usize });
        };
        message[start..start + 4].copy_from_slice(&field.to_le_bytes());
        Ok(length)
    }
}

fn fields(bytes: &[u8; HEADER_LENGTH]) -> [i32; 4] {
    std::array::from_fn(|index| {
        let at = index * 4;
        i32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    })
}
