//! The commands that carry a mechanism's messages, and their replies (auth, "SASL Mechanisms").

use bson::raw::cstr;
use bson::spec::BinarySubtype;
use bson::{Binary, RawBson, RawBsonRef, RawDocument, RawDocumentBuf};

use super::{AuthError, AuthMechanism};

/// Where a command stands, which decides how it names its database.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// A message of its own.
    Message,
    /// Inside a hello.
    Hello,
}

/// `saslStart` with the mechanism's first message.
pub(super) fn start(
    mechanism: AuthMechanism,
    payload: Vec<u8>,
    source: &str,
    place: Place,
) -> RawDocumentBuf {
    let mut command = RawDocumentBuf::new();
    command.append(cstr!("saslStart"), 1);
    command.append(cstr!("mechanism"), mechanism.as_str());
    command.append(cstr!("payload"), binary(payload));
    if matches!(mechanism, AuthMechanism::ScramSha1 | AuthMechanism::ScramSha256) {
        let mut options = RawDocumentBuf::new();
        options.append(cstr!("skipEmptyExchange"), true);
        command.append(cstr!("options"), options);
    }
    append_database(&mut command, source, place);
    command
}

/// `saslContinue` with the mechanism's next message.
pub(super) fn go_on(conversation_id: &RawBson, payload: Vec<u8>, source: &str) -> RawDocumentBuf {
    let mut command = RawDocumentBuf::new();
    command.append(cstr!("saslContinue"), 1);
    command.append(cstr!("conversationId"), conversation_id.clone());
    command.append(cstr!("payload"), binary(payload));
    append_database(&mut command, source, Place::Message);
    command
}

/// `authenticate` by the certificate that the server has seen; the server takes the name from there
/// unless one is given.
pub(super) fn x509(username: Option<&str>, source: &str, place: Place) -> RawDocumentBuf {
    let mut command = RawDocumentBuf::new();
    command.append(cstr!("authenticate"), 1);
    command.append(cstr!("mechanism"), AuthMechanism::MongoDbX509.as_str());
    if let Some(name) = username {
        command.append(cstr!("user"), name);
    }
    append_database(&mut command, source, place);
    command
}

fn append_database(command: &mut RawDocumentBuf, source: &str, place: Place) {
    match place {
        Place::Message => command.append(cstr!("$db"), source),
        Place::Hello => command.append(cstr!("db"), source),
    }
}

pub(super) fn binary(bytes: Vec<u8>) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes }
}

/// A reply to either SASL command.
pub(super) struct SaslReply<'a> {
    pub(super) conversation_id: RawBson,
    pub(super) payload: &'a [u8],
    pub(super) done: bool,
}

impl<'a> SaslReply<'a> {
    /// Reads a reply that is no failure.
    pub(super) fn read(reply: &'a RawDocument) -> Result<Self, AuthError> {
        let conversation_id = match reply.get("conversationId") {
            Ok(Some(RawBsonRef::Int32(id))) => RawBson::Int32(id),
            Ok(Some(RawBsonRef::Int64(id))) => RawBson::Int64(id),
            _ => return Err(AuthError::malformed("it has no conversationId")),
        };
        let payload = match reply.get("payload") {
            Ok(Some(RawBsonRef::Binary(payload))) => payload.bytes,
            _ => return Err(AuthError::malformed("it has no payload")),
        };
        let done = reply.get_bool("done");
        let done = done.map_err(|_| AuthError::malformed("it does not say whether it is done"))?;
        Ok(Self { conversation_id, payload, done })
    }

    /// Whether it belongs to this conversation.
    pub(super) fn check(&self, conversation_id: &RawBson) -> Result<(), AuthError> {
        if self.conversation_id == *conversation_id {
            return Ok(());
        }
        Err(AuthError::malformed("it belongs to another conversation"))
    }
}
