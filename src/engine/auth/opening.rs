//! What a connection's first hello carries for its authentication.
//!
//! Specification: auth, "Mechanism Negotiation via Handshake" and "Default Authentication Methods";
//! mongodb-handshake, "Speculative Authentication".

use std::fmt;
use std::sync::Arc;

use bson::raw::cstr;
use bson::{RawBsonRef, RawDocument, RawDocumentBuf};

use super::conversation::{Conversation, State, first};
use super::sasl::Place;
use super::{AuthError, AuthFailure, AuthMechanism, Entropy, Identity};
use crate::engine::hello::{HelloCommand, HelloReply};
use crate::engine::wire::{Message, OpMsg, OpMsgBuilder, Reply, WireError};

/// An authentication that begins inside a hello.
pub struct Opening {
    identity: Arc<Identity>,
    entropy: Entropy,
    /// Whose mechanisms are asked for: "dbname.username".
    sasl_supported_mechs: Option<String>,
    speculation: Option<Speculation>,
    /// The token that the hello carries.
    #[cfg(feature = "oidc-auth")]
    token: Option<String>,
}

/// A mechanism's first command in the hello, and what is awaited after it.
struct Speculation {
    mechanism: AuthMechanism,
    command: RawDocumentBuf,
    state: State,
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening")
            .field("sasl_supported_mechs", &self.sasl_supported_mechs)
            .field("mechanism", &self.speculation.as_ref().map(|it| it.mechanism))
            .finish_non_exhaustive()
    }
}

impl Opening {
    pub(super) fn new(identity: Arc<Identity>, entropy: Entropy) -> Self {
        // "If an authentication mechanism is not provided [...] drivers MUST use the SCRAM-SHA-256
        // mechanism for speculative authentication and drivers MUST send `saslSupportedMechs`."
        let asked = identity.mechanism.is_none();
        let mechanism = identity.mechanism.unwrap_or(AuthMechanism::ScramSha256);
        let speculation = match mechanism {
            AuthMechanism::ScramSha1 | AuthMechanism::ScramSha256 | AuthMechanism::MongoDbX509 => {
                let begun = first(&identity, mechanism, &entropy, Place::Hello);
                begun.ok().map(|(command, state)| Speculation { mechanism, command, state })
            }
            AuthMechanism::Plain
            | AuthMechanism::Gssapi
            | AuthMechanism::MongoDbAws
            | AuthMechanism::MongoDbOidc => None,
        };
        let name = identity.username.as_deref().filter(|_| asked);
        // "The username MUST NOT be modified from the form provided by the user."
        let sasl_supported_mechs = name.map(|name| format!("{}.{name}", identity.source));
        Self {
            identity,
            entropy,
            sasl_supported_mechs,
            speculation,
            #[cfg(feature = "oidc-auth")]
            token: None,
        }
    }

    /// Begins with a token, where that is the mechanism.
    #[cfg(feature = "oidc-auth")]
    pub(super) fn with_token(mut self, token: &str) -> Self {
        let mechanism = AuthMechanism::MongoDbOidc;
        if self.identity.mechanism == Some(mechanism) {
            let (payload, source) = (super::oidc::jwt(token), &self.identity.source);
            let command = super::sasl::start(mechanism, payload, source, Place::Hello);
            let state = State::Jwt { certain: true };
            self.speculation = Some(Speculation { mechanism, command, state });
            self.token = Some(token.to_owned());
        }
        self
    }

    pub(super) fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// Whose mechanisms the hello asks for.
    pub fn sasl_supported_mechs(&self) -> Option<&str> {
        self.sasl_supported_mechs.as_deref()
    }

    /// The first command of the conversation, which the hello carries.
    pub fn speculative_authenticate(&self) -> Option<&RawDocument> {
        self.speculation.as_ref().map(|speculation| &*speculation.command)
    }

    /// Joins the beginning of the authentication to a hello that was written without it.
    ///
    /// # Errors
    ///
    /// What is wrong with the message: it is no OP_MSG with one document.
    pub fn join(&self, hello: Vec<u8>) -> Result<Vec<u8>, WireError> {
        rewrite(hello, |body| {
            let mut joined = body.to_owned();
            if let Some(mechs) = self.sasl_supported_mechs() {
                joined.append(cstr!("saslSupportedMechs"), mechs);
            }
            if let Some(command) = self.speculative_authenticate() {
                joined.append(cstr!("speculativeAuthenticate"), command);
            }
            joined
        })
    }

    /// The hello was answered: how it goes on.
    ///
    /// # Errors
    ///
    /// What is wrong with the server's answer to the first command.
    pub fn answered(
        self,
        hello: &HelloReply,
        document: &RawDocument,
    ) -> Result<Conversation, AuthFailure> {
        let (identity, mechanism) = (self.identity.clone(), self.identity.mechanism);
        self.answer(hello, document).map_err(|error| identity.failure(mechanism, error))
    }

    pub(super) fn answer(
        self,
        hello: &HelloReply,
        document: &RawDocument,
    ) -> Result<Conversation, AuthError> {
        let (identity, entropy, speculation) = (self.identity, self.entropy, self.speculation);
        // "If the server is of type RSArbiter, no authentication is possible and the handshake is
        // complete."
        if hello.arbiter_only {
            return Ok(Conversation::none(identity));
        }
        let reply = document.get_document("speculativeAuthenticate");
        if let (Some(begun), Ok(reply)) = (speculation, reply) {
            let Speculation { mechanism, state, .. } = begun;
            #[cfg(feature = "oidc-auth")]
            if let Some(token) = self.token {
                return match Conversation::resume(identity.clone(), mechanism, state, reply) {
                    Ok(mut conversation) => {
                        conversation.set_token(token);
                        Ok(conversation)
                    }
                    // "If [it] indicates authentication was not successful, [...] proceed".
                    Err(_) => Conversation::begin(identity, mechanism, &entropy),
                };
            }
            return Conversation::resume(identity, mechanism, state, reply);
        }
        let mechanism = identity.mechanism.unwrap_or_else(|| default_mechanism(document));
        // The first nonce has been on the wire.
        let (_, fresh) = entropy.split_at(entropy.len() / 2);
        Conversation::begin(identity, mechanism, fresh)
    }

    /// The hello that asks, for a connection that has had its first one without this.
    pub(super) fn hello(&self, hello_ok: bool) -> RawDocumentBuf {
        HelloCommand {
            hello_ok,
            sasl_supported_mechs: self.sasl_supported_mechs(),
            speculative_authenticate: self.speculative_authenticate(),
            ..HelloCommand::default()
        }
        .to_document()
    }
}

/// Parts the reply to a joined hello ([`Opening::join`]): the reply as it would have come to the
/// hello alone, and the whole document, for [`Opening::answered`].
///
/// # Errors
///
/// What is wrong with the message.
pub fn part(reply: Vec<u8>) -> Result<(Vec<u8>, RawDocumentBuf), WireError> {
    let mut whole = RawDocumentBuf::new();
    let alone = rewrite(reply, |body| {
        whole = body.to_owned();
        let mut alone = RawDocumentBuf::new();
        // A document that cannot be read to its end is refused by whoever reads it next.
        for element in body.iter_elements().map_while(Result::ok) {
            let key = element.key();
            if !JOINED.contains(&key.as_str())
                && let Ok(value) = element.value()
            {
                alone.append(key, value);
            }
        }
        alone
    })?;
    Ok((alone, whole))
}

/// What [`Opening::join`] adds, and a server answers.
const JOINED: [&str; 2] = ["saslSupportedMechs", "speculativeAuthenticate"];

/// The same message with another body.
fn rewrite(
    message: Vec<u8>,
    change: impl FnOnce(&RawDocument) -> RawDocumentBuf,
) -> Result<Vec<u8>, WireError> {
    let Reply { header, message } = Reply::parse(message)?;
    let Message::Msg(OpMsg { flags, body, .. }) = message else {
        return Err(WireError::UnexpectedOpCode(header.op_code));
    };
    let mut changed = Vec::new();
    let mut builder =
        OpMsgBuilder::begin(&mut changed, header.request_id, header.response_to, flags);
    builder.body(&change(&body));
    builder.finish()?;
    Ok(changed)
}

/// "If SCRAM-SHA-256 is present in the list of mechanism, then it MUST be used as the default;
/// otherwise, SCRAM-SHA-1". "Drivers MUST NOT validate the contents".
fn default_mechanism(hello: &RawDocument) -> AuthMechanism {
    let offered = hello.get_array("saslSupportedMechs").into_iter().flatten().flatten();
    let sha_256 = RawBsonRef::String(AuthMechanism::ScramSha256.as_str());
    match offered.into_iter().any(|name| name == sha_256) {
        true => AuthMechanism::ScramSha256,
        false => AuthMechanism::ScramSha1,
    }
}
