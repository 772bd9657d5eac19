//! Messages of the wire protocol, as a server reads and writes them.

use bson::{Bson, Document, RawDocument, RawDocumentBuf};
use portolan::engine::wire::{
    Flags, Header, OpCode, OpMsg, OpMsgBuilder, OpQuery, WireError, encode_reply,
};

/// A command that arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The client's number of it.
    pub id: i32,
    /// Whether it is the OP_QUERY of a new connection's hello.
    pub legacy: bool,
    /// Whether the client accepts several replies.
    pub exhaust: bool,
    /// Whether the client wants no reply.
    pub silent: bool,
    /// The command, its document sequences as arrays.
    pub body: Document,
}

/// A reply to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The server's number of it.
    pub id: i32,
    /// The number of the message that it answers.
    pub response_to: i32,
    /// Whether OP_REPLY answers an OP_QUERY.
    pub legacy: bool,
    /// Whether another reply follows without a request.
    pub more_to_come: bool,
    /// What the command answered.
    pub body: Document,
}

/// Reads a whole frame.
///
/// # Errors
///
/// What is wrong with it; a server then closes the connection.
pub fn decode(frame: Vec<u8>) -> Result<Request, WireError> {
    let header = Header::of_frame(&frame)?;
    let id = header.request_id;
    match header.op_code {
        OpCode::Msg => {}
        OpCode::Query => {
            let body = document(&OpQuery::parse(frame)?.document)?;
            return Ok(Request { id, legacy: true, exhaust: false, silent: false, body });
        }
        other => return Err(WireError::UnexpectedOpCode(other)),
    }
    let message = OpMsg::parse(frame)?;
    let mut body = document(&message.body)?;
    for sequence in &message.sequences {
        let documents: Result<Vec<_>, WireError> =
            sequence.iter().map(|raw| document(raw).map(Bson::Document)).collect();
        body.insert(sequence.identifier.as_str(), documents?);
    }
    Ok(Request {
        id,
        legacy: false,
        exhaust: message.flags.contains(Flags::EXHAUST_ALLOWED),
        silent: message.flags.contains(Flags::MORE_TO_COME),
        body,
    })
}

/// Appends `reply` to `into`.
///
/// # Errors
///
/// When the document does not fit a message.
pub fn encode(into: &mut Vec<u8>, reply: &Reply) -> Result<(), WireError> {
    let body = RawDocumentBuf::try_from(&reply.body).map_err(bad)?;
    if reply.legacy {
        return encode_reply(into, reply.id, reply.response_to, &body).map(|_| ());
    }
    let flags = if reply.more_to_come { Flags::MORE_TO_COME } else { Flags::NONE };
    let mut message = OpMsgBuilder::begin(into, reply.id, reply.response_to, flags);
    message.body(&body);
    message.finish().map(|_| ())
}

fn document(raw: &RawDocument) -> Result<Document, WireError> {
    Document::try_from(raw).map_err(bad)
}

fn bad(error: impl std::fmt::Display) -> WireError {
    WireError::BadBson(error.to_string())
}
