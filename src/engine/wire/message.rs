//! One whole message, whatever its op code.

use bson::{RawDocument, RawDocumentBuf};

use super::{Flags, Header, OpCode, OpMsg, OpReply, WireError};

/// What a server can send.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// OP_MSG.
    Msg(OpMsg),
    /// OP_REPLY.
    Reply(OpReply),
}

impl Message {
    /// The reply's document.
    pub fn document(&self) -> &RawDocument {
        match self {
            Self::Msg(message) => &message.body,
            Self::Reply(reply) => &reply.document,
        }
    }

    /// The reply's document, in the buffer that it came in.
    pub fn into_document(self) -> RawDocumentBuf {
        match self {
            Self::Msg(message) => message.body,
            Self::Reply(reply) => reply.document,
        }
    }

    /// Whether the sender will send another message without being asked (an exhaust reply).
    pub fn more_to_come(&self) -> bool {
        match self {
            Self::Msg(message) => message.flags.contains(Flags::MORE_TO_COME),
            Self::Reply(_) => false,
        }
    }
}

/// A message from a server, with its header.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The header.
    pub header: Header,
    /// What it says.
    pub message: Message,
}

impl Reply {
    /// Reads one whole frame of a [`super::Framer`].
    ///
    /// # Errors
    ///
    /// Any [`WireError`]; [`WireError::UnexpectedOpCode`] for a compressed message (it is
    /// unpacked before, by [`super::Compression::unpack`]) and for a request.
    pub fn parse(frame: Vec<u8>) -> Result<Self, WireError> {
        let header = Header::of_frame(&frame)?;
        let message = match header.op_code {
            OpCode::Msg => Message::Msg(OpMsg::parse(frame)?),
            OpCode::Reply => Message::Reply(OpReply::parse(frame)?),
            code @ (OpCode::Query | OpCode::Compressed) => {
                return Err(WireError::UnexpectedOpCode(code));
            }
        };
        Ok(Self { header, message })
    }
}

/// Checks that a reply answers the request that waits for it.
///
/// In an exhaust stream each reply names the reply before it ("moreToCome On Responses"): pass that
/// one's `request_id`.
///
/// # Errors
///
/// [`WireError::WrongResponse`] with both numbers.
pub fn check_response(header: &Header, request_id: i32) -> Result<(), WireError> {
    if header.response_to == request_id {
        Ok(())
    } else {
        Err(WireError::WrongResponse { expected: request_id, found: header.response_to })
    }
}
