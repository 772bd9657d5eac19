//! One authentication on one connection, from the first message to the last.

use std::fmt;
use std::mem;
use std::sync::Arc;

use bson::{RawBson, RawDocument, RawDocumentBuf};

#[cfg(feature = "aws-auth")]
use super::aws::{AwaitsCredentials, AwaitsServerNonce, AwsCredentials};
use super::keys::{KeyRequest, ScramHash, ScramKeys};
#[cfg(feature = "oidc-auth")]
use super::oidc::{self, TokenAnswer, TokenRequest};
use super::opening::Opening;
use super::sasl::{self, Place, SaslReply};
use super::scram::{AwaitsKeys, AwaitsServerFinal, AwaitsServerFirst};
use super::{AuthError, AuthFailure, AuthMechanism, Entropy, Identity};
use crate::engine::hello::HelloReply;
use crate::engine::op::ReplyFailure;
use crate::engine::op::reply;

/// What is to be done.
pub enum AuthAction {
    /// Send this command as it is, and give its reply to [`Conversation::handle`].
    Send(RawDocumentBuf),
    /// Find these keys in the cache or derive them; [`AuthEvent::Keys`].
    Derive(KeyRequest),
    /// Find Amazon's credentials; [`AuthEvent::AwsCredentials`].
    #[cfg(feature = "aws-auth")]
    AwsCredentials,
    /// Find a token; [`AuthEvent::Token`].
    #[cfg(feature = "oidc-auth")]
    Token(TokenRequest),
}

impl fmt::Debug for AuthAction {
    /// Commands carry secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(_) => f.write_str("Send"),
            Self::Derive(request) => f.debug_tuple("Derive").field(request).finish(),
            #[cfg(feature = "aws-auth")]
            Self::AwsCredentials => f.write_str("AwsCredentials"),
            #[cfg(feature = "oidc-auth")]
            Self::Token(request) => f.debug_tuple("Token").field(request).finish(),
        }
    }
}

/// What has happened.
#[derive(Debug)]
pub enum AuthEvent {
    /// The reply to the command that was sent.
    Reply(RawDocumentBuf),
    /// The keys that were asked for.
    Keys(ScramKeys),
    /// The credentials that were asked for, and the seconds since 1970 at this moment.
    #[cfg(feature = "aws-auth")]
    AwsCredentials(AwsCredentials, i64),
    /// The token that was asked for.
    #[cfg(feature = "oidc-auth")]
    Token(TokenAnswer),
}

/// One authentication. One input, then drain [`Conversation::poll_action`]; the connection is
/// authenticated when there is no action and no error.
///
/// At most a handful of messages, whatever the server says.
#[must_use = "nobody is authenticated until the conversation has ended"]
pub struct Conversation {
    identity: Arc<Identity>,
    mechanism: Option<AuthMechanism>,
    state: State,
    action: Option<AuthAction>,
    /// The token that was sent last.
    #[cfg(feature = "oidc-auth")]
    token: Option<String>,
    /// Tokens that were refused.
    #[cfg(feature = "oidc-auth")]
    refusals: u32,
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("mechanism", &self.mechanism)
            .field("action", &self.action)
            .finish_non_exhaustive()
    }
}

/// What is awaited.
pub(super) enum State {
    /// The reply to a hello that asks for mechanisms.
    Hello(Box<Opening>),
    ScramFirst(AwaitsServerFirst),
    ScramKeys(RawBson, AwaitsKeys),
    ScramFinal(RawBson, AwaitsServerFinal),
    /// The reply to a message without content, which servers before 4.4 want at the end.
    Empty(RawBson),
    /// The one reply of a mechanism of one SASL message.
    Only,
    /// The reply to `authenticate`.
    Certificate,
    #[cfg(feature = "aws-auth")]
    AwsNonce(AwaitsServerNonce),
    #[cfg(feature = "aws-auth")]
    AwsCredentials(RawBson, AwaitsCredentials),
    /// The last reply of a SASL conversation of several messages.
    #[cfg(feature = "aws-auth")]
    Last(RawBson),
    /// A token, new or known.
    #[cfg(feature = "oidc-auth")]
    Token,
    /// Whether the server takes a token after which another one may be tried, or may not.
    #[cfg(feature = "oidc-auth")]
    Jwt {
        certain: bool,
    },
    /// The server's word on whom to ask.
    #[cfg(feature = "oidc-auth")]
    Idp,
    /// The token for it.
    #[cfg(feature = "oidc-auth")]
    IdpToken(RawBson),
    /// Nothing more.
    Done,
}

impl Conversation {
    fn new(
        identity: Arc<Identity>,
        mechanism: Option<AuthMechanism>,
        state: State,
        action: Option<AuthAction>,
    ) -> Self {
        Self {
            identity,
            mechanism,
            state,
            action,
            #[cfg(feature = "oidc-auth")]
            token: None,
            #[cfg(feature = "oidc-auth")]
            refusals: 0,
        }
    }

    /// A conversation that has ended before it began.
    pub(super) fn none(identity: Arc<Identity>) -> Self {
        let mechanism = identity.mechanism;
        Self::new(identity, mechanism, State::Done, None)
    }

    /// Begins with the mechanism's first message.
    pub(super) fn begin(
        identity: Arc<Identity>,
        mechanism: AuthMechanism,
        nonce: &[u8],
    ) -> Result<Self, AuthError> {
        #[cfg(feature = "oidc-auth")]
        if mechanism == AuthMechanism::MongoDbOidc {
            let action = Some(AuthAction::Token(TokenRequest::Any { rejected: None }));
            return Ok(Self::new(identity, Some(mechanism), State::Token, action));
        }
        let (command, state) = first(&identity, mechanism, nonce, Place::Message)?;
        let action = Some(AuthAction::Send(command));
        Ok(Self::new(identity, Some(mechanism), state, action))
    }

    /// Begins with a hello that asks which mechanisms the user has.
    pub(super) fn negotiate(opening: Opening, hello: RawDocumentBuf) -> Self {
        let identity = opening.identity().clone();
        let action = Some(AuthAction::Send(hello));
        Self::new(identity, None, State::Hello(Box::new(opening)), action)
    }

    /// Goes on where the server has answered a first message inside a hello.
    pub(super) fn resume(
        identity: Arc<Identity>,
        mechanism: AuthMechanism,
        state: State,
        reply: &RawDocument,
    ) -> Result<Self, AuthError> {
        let mut conversation = Self::new(identity, Some(mechanism), State::Done, None);
        conversation.state = conversation.answered(state, reply)?;
        Ok(conversation)
    }

    /// What is to be done next; `None` once the connection is authenticated.
    pub fn poll_action(&mut self) -> Option<AuthAction> {
        self.action.take()
    }

    /// By what the connection is, or is about to be, authenticated; `None` while that is asked.
    pub fn mechanism(&self) -> Option<AuthMechanism> {
        self.mechanism
    }

    /// The token that was sent last; a connection keeps it.
    #[cfg(feature = "oidc-auth")]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    #[cfg(feature = "oidc-auth")]
    pub(super) fn set_token(&mut self, token: String) {
        self.token = Some(token);
    }

    /// The failure of what the application was asked for.
    pub fn failure(&self, error: AuthError) -> AuthFailure {
        self.identity.failure(self.mechanism, error)
    }

    /// One input.
    ///
    /// # Errors
    ///
    /// Why the authentication has failed; the connection must not be used.
    pub fn handle(&mut self, event: AuthEvent) -> Result<(), AuthFailure> {
        debug_assert!(self.action.is_none(), "drain the actions before the next input");
        let state = mem::replace(&mut self.state, State::Done);
        match self.step(state, event) {
            Ok(state) => {
                self.state = state;
                Ok(())
            }
            Err(error) => Err(self.identity.failure(self.mechanism, error)),
        }
    }

    fn step(&mut self, state: State, event: AuthEvent) -> Result<State, AuthError> {
        match (state, event) {
            (State::Hello(opening), AuthEvent::Reply(reply)) => self.negotiated(*opening, &reply),
            (State::ScramKeys(id, awaits), AuthEvent::Keys(keys)) => {
                let (message, awaits) = awaits.prove(&keys);
                self.send(&id, message);
                Ok(State::ScramFinal(id, awaits))
            }
            #[cfg(feature = "aws-auth")]
            (State::AwsCredentials(id, awaits), AuthEvent::AwsCredentials(credentials, now)) => {
                let message = awaits.sign(&credentials, now)?;
                self.send(&id, message);
                Ok(State::Last(id))
            }
            #[cfg(feature = "oidc-auth")]
            (state, AuthEvent::Token(answer)) => self.token_found(state, answer),
            #[cfg(feature = "oidc-auth")]
            (State::Jwt { certain: false }, AuthEvent::Reply(reply)) => self.token_tried(&reply),
            (state, AuthEvent::Reply(reply)) => {
                check(&reply)?;
                self.answered(state, &reply)
            }
            (_, event) => {
                let what = format!("the shell gave {event:?}, which nothing asked for");
                Err(AuthError::malformed(what))
            }
        }
    }

    fn negotiated(&mut self, opening: Opening, reply: &RawDocument) -> Result<State, AuthError> {
        check(reply)?;
        let hello = HelloReply::parse(reply);
        let hello = hello.map_err(|error| AuthError::malformed(error.to_string()))?;
        let mut next = opening.answer(&hello, reply)?;
        self.mechanism = next.mechanism;
        self.action = next.action.take();
        Ok(next.state)
    }

    /// The server has answered, and has not refused.
    fn answered(&mut self, state: State, reply: &RawDocument) -> Result<State, AuthError> {
        match state {
            State::ScramFirst(awaits) => {
                let reply = SaslReply::read(reply)?;
                if reply.done {
                    return Err(AuthError::EndedEarly);
                }
                let awaits = awaits.receive(reply.payload)?;
                let password = self.identity.scram_password(awaits.hash())?;
                self.action = Some(AuthAction::Derive(awaits.request(&password)));
                Ok(State::ScramKeys(reply.conversation_id, awaits))
            }
            State::ScramFinal(id, awaits) => {
                let reply = SaslReply::read(reply)?;
                reply.check(&id)?;
                awaits.receive(reply.payload)?;
                if reply.done {
                    return Ok(State::Done);
                }
                self.send(&id, Vec::new());
                Ok(State::Empty(id))
            }
            State::Empty(id) => {
                let reply = SaslReply::read(reply)?;
                reply.check(&id)?;
                if reply.done { Ok(State::Done) } else { Err(AuthError::Endless) }
            }
            State::Only => {
                if SaslReply::read(reply)?.done {
                    Ok(State::Done)
                } else {
                    Err(AuthError::Endless)
                }
            }
            State::Certificate => Ok(State::Done),
            #[cfg(feature = "aws-auth")]
            State::AwsNonce(awaits) => {
                let reply = SaslReply::read(reply)?;
                if reply.done {
                    return Err(AuthError::EndedEarly);
                }
                let awaits = awaits.receive(reply.payload)?;
                self.action = Some(AuthAction::AwsCredentials);
                Ok(State::AwsCredentials(reply.conversation_id, awaits))
            }
            #[cfg(feature = "aws-auth")]
            State::Last(id) => {
                let reply = SaslReply::read(reply)?;
                reply.check(&id)?;
                if reply.done { Ok(State::Done) } else { Err(AuthError::Endless) }
            }
            #[cfg(feature = "oidc-auth")]
            State::Jwt { .. } => {
                if SaslReply::read(reply)?.done {
                    Ok(State::Done)
                } else {
                    Err(AuthError::Endless)
                }
            }
            #[cfg(feature = "oidc-auth")]
            State::Idp => {
                let reply = SaslReply::read(reply)?;
                let idp = oidc::idp_info(reply.payload)?;
                self.action = Some(AuthAction::Token(TokenRequest::Of(idp)));
                Ok(State::IdpToken(reply.conversation_id))
            }
            _ => Err(AuthError::malformed("nothing was asked")),
        }
    }

    #[cfg(feature = "oidc-auth")]
    fn token_found(&mut self, state: State, answer: TokenAnswer) -> Result<State, AuthError> {
        match (state, answer) {
            (State::Token, TokenAnswer::Token { token, certain }) => {
                let start = self.start(oidc::jwt(&token));
                self.action = Some(AuthAction::Send(start));
                self.token = Some(token);
                Ok(State::Jwt { certain: certain || self.refusals == MAX_REFUSALS })
            }
            (State::Token, TokenAnswer::AskServer) => {
                let name = self.identity.username.as_deref();
                let start = self.start(oidc::principal(name));
                self.action = Some(AuthAction::Send(start));
                Ok(State::Idp)
            }
            (State::IdpToken(id), TokenAnswer::Token { token, .. }) => {
                self.send(&id, oidc::jwt(&token));
                self.token = Some(token);
                Ok(State::Jwt { certain: true })
            }
            _ => Err(AuthError::malformed("a token was given that nothing asked for")),
        }
    }

    /// "If the server returns a Authentication error (18), invalidate that access token. Raise any
    /// other errors to the user."
    #[cfg(feature = "oidc-auth")]
    fn token_tried(&mut self, reply: &RawDocument) -> Result<State, AuthError> {
        const AUTHENTICATION_FAILED: i32 = 18;
        match check(reply) {
            Err(AuthError::Refused(failure)) if failure.code == Some(AUTHENTICATION_FAILED) => {
                self.refusals += 1;
                let rejected = self.token.take();
                self.action = Some(AuthAction::Token(TokenRequest::Any { rejected }));
                Ok(State::Token)
            }
            Err(error) => Err(error),
            Ok(()) => self.answered(State::Jwt { certain: true }, reply),
        }
    }

    #[cfg(feature = "oidc-auth")]
    fn start(&self, payload: Vec<u8>) -> RawDocumentBuf {
        let source = &self.identity.source;
        sasl::start(AuthMechanism::MongoDbOidc, payload, source, Place::Message)
    }

    fn send(&mut self, conversation_id: &RawBson, payload: Vec<u8>) {
        let command = sasl::go_on(conversation_id, payload, &self.identity.source);
        self.action = Some(AuthAction::Send(command));
    }
}

/// A mechanism's first command, and what is awaited after it.
pub(super) fn first(
    identity: &Identity,
    mechanism: AuthMechanism,
    nonce: &[u8],
    place: Place,
) -> Result<(RawDocumentBuf, State), AuthError> {
    let source = &identity.source;
    let scram = |hash: ScramHash| {
        let awaits = AwaitsServerFirst::new(hash, identity.name()?, &nonce[..SCRAM_NONCE]);
        let command = sasl::start(mechanism, awaits.message(), source, place);
        Ok((command, State::ScramFirst(awaits)))
    };
    match mechanism {
        AuthMechanism::ScramSha1 => scram(ScramHash::Sha1),
        AuthMechanism::ScramSha256 => scram(ScramHash::Sha256),
        AuthMechanism::MongoDbX509 => {
            let command = sasl::x509(identity.username.as_deref(), source, place);
            Ok((command, State::Certificate))
        }
        AuthMechanism::Plain => {
            let payload = format!("\0{}\0{}", identity.name()?, identity.password()?);
            let command = sasl::start(mechanism, payload.into_bytes(), source, place);
            Ok((command, State::Only))
        }
        #[cfg(feature = "aws-auth")]
        AuthMechanism::MongoDbAws => {
            let awaits = AwaitsServerNonce::new(nonce);
            let command = sasl::start(mechanism, awaits.message(), source, place);
            Ok((command, State::AwsNonce(awaits)))
        }
        _ => Err(AuthError::Credential(super::unavailable(mechanism).unwrap_or_default())),
    }
}

/// Tokens of a client that one conversation tries before the application's word is final: others
/// may fill the cache meanwhile.
#[cfg(feature = "oidc-auth")]
const MAX_REFUSALS: u32 = 3;

/// Bytes of a SCRAM nonce: 32 characters of base64.
const SCRAM_NONCE: usize = 24;

const _: () = assert!(2 * SCRAM_NONCE <= size_of::<Entropy>(), "two nonces for a connection");

/// Whether the server has refused.
fn check(reply: &RawDocument) -> Result<(), AuthError> {
    match reply::check(reply) {
        Ok(_) => Ok(()),
        Err(ReplyFailure::Command(failure)) => Err(AuthError::Refused(failure)),
        Err(other) => Err(AuthError::malformed(other.to_string())),
    }
}
