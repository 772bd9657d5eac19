//! Why an authentication failed, by whose fault.

use std::fmt;

use super::AuthMechanism;
use crate::engine::op::CommandFailure;

/// An authentication that failed: who, where, by what, and why. Shows no secret.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthFailure {
    /// The user's name, where the client has one.
    pub username: Option<String>,
    /// The database that was to know the user.
    pub source: String,
    /// The mechanism; `None` where none was agreed on yet.
    pub mechanism: Option<AuthMechanism>,
    /// What happened.
    pub error: AuthError,
}

impl fmt::Display for AuthFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("authentication")?;
        if let Some(name) = &self.username {
            write!(f, " as \"{name}\"")?;
        }
        write!(f, " on database \"{}\"", self.source)?;
        if let Some(mechanism) = self.mechanism {
            write!(f, " by {}", mechanism.as_str())?;
        }
        write!(f, " failed: {}", self.error)
    }
}

impl std::error::Error for AuthFailure {}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AuthError {
    /// The server refused, for its own reason.
    Refused(Box<CommandFailure>),
    /// The server's nonce does not begin with the client's: the answer is not to this question.
    WrongNonce,
    /// The server could not prove that it knows the password. Nothing was sent after that.
    WrongSignature,
    /// The server asks for a number of iterations that the client does not accept.
    IterationCount {
        /// What the server asks for.
        found: u64,
        /// At least.
        least: u32,
        /// At most.
        most: u32,
    },
    /// The server's answer is not of the mechanism's form.
    Malformed {
        /// What was wrong with it.
        found: String,
    },
    /// The server declares the conversation ended before it was.
    EndedEarly,
    /// The server does not end the conversation.
    Endless,
    /// The credential is not one that the mechanism can use; nothing was sent.
    Credential(String),
    /// The application's own callback gave no token or no credentials.
    Callback(String),
    /// The system gives no random numbers for a nonce; nothing was sent.
    NoRandomness(String),
}

impl AuthError {
    pub(super) fn malformed(found: impl Into<String>) -> Self {
        Self::Malformed { found: found.into() }
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(failure) => failure.fmt(f),
            Self::WrongNonce => f.write_str(
                "the server's nonce does not begin with the client's; somebody may be between \
                 client and server",
            ),
            Self::WrongSignature => f.write_str(
                "the server did not prove that it knows the password; somebody may be in its place",
            ),
            Self::IterationCount { found, least, most } => write!(
                f,
                "the server asks for {found} iterations of the key derivation; accepted are \
                 {least} to {most}"
            ),
            Self::Malformed { found } => write!(f, "the server's answer is malformed: {found}"),
            Self::EndedEarly => {
                f.write_str("the server ended the conversation before it proved anything")
            }
            Self::Endless => f.write_str("the server does not end the conversation"),
            Self::Credential(what) => f.write_str(what),
            Self::Callback(what) => write!(f, "the application's callback failed: {what}"),
            Self::NoRandomness(what) => write!(f, "there is no randomness for a nonce: {what}"),
        }
    }
}

impl std::error::Error for AuthError {}
