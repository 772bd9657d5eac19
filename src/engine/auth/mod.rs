//! Proving who the client is.
//!
//! ```text
//! Credential -> Authenticator -> Opening (in the first hello) -> Conversation -> authenticated
//! ```
//!
//! - [`Credential`] is what the user says; [`Authenticator`] is that, checked.
//! - [`Opening`] is what the first hello of a connection carries: with it, SCRAM costs one round
//!   trip behind the hello, and a certificate none.
//! - [`Conversation`] speaks [`AuthAction`]s and [`AuthEvent`]s until the connection is
//!   authenticated. It never sends anything behind an answer that proves a lie.
//!
//! Monitors have nothing to do with any of it: "Authentication (including mechanism negotiation)
//! MUST NOT happen on monitoring-only sockets."
//!
//! The engine has no randomness: nonces come in as [`Entropy`]. Specification: auth.

#[cfg(feature = "aws-auth")]
mod aws;
mod conversation;
mod credential;
mod error;
mod hash;
mod keys;
#[cfg(feature = "oidc-auth")]
mod oidc;
mod opening;
mod password;
mod sasl;
mod scram;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

#[cfg(feature = "aws-auth")]
pub use aws::AwsCredentials;
pub use conversation::{AuthAction, AuthEvent, Conversation};
pub use credential::{AuthMechanism, Credential};
pub use error::{AuthError, AuthFailure};
pub use keys::{Derivation, KeyCache, KeyRequest, ScramHash, ScramKeys};
#[cfg(feature = "oidc-auth")]
pub use oidc::{
    DEFAULT_ALLOWED_HOSTS, IdpInfo, OidcToken, TokenAnswer, TokenCache, TokenPlan, TokenRequest,
    is_allowed_host,
};
pub use opening::{Opening, part};
pub use scram::{MAX_ITERATIONS, MIN_ITERATIONS};

use crate::engine::hello::HelloReply;

/// Random bytes from the operating system, for the nonces of one authentication.
pub type Entropy = [u8; 64];

/// The code of an error by which a server asks for another authentication ("Reauthentication").
pub const REAUTHENTICATION_REQUIRED: i32 = 391;

/// Whoever the client says it is, checked as far as that goes without a server.
#[derive(Debug)]
pub struct Authenticator {
    identity: Arc<Identity>,
    /// Whether legacy hello must not be used.
    by_hello: bool,
}

/// What proves a user.
pub(crate) struct Identity {
    username: Option<String>,
    password: Option<String>,
    prepared_password: Option<String>,
    source: String,
    mechanism: Option<AuthMechanism>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("username", &self.username)
            .field("source", &self.source)
            .field("mechanism", &self.mechanism)
            .finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Checks a credential; `tls` says whether connections are encrypted.
    ///
    /// # Errors
    ///
    /// [`AuthError::Credential`] says what is missing.
    pub fn new(credential: &Credential, tls: bool) -> Result<Self, AuthError> {
        let identity = Identity {
            username: credential.username.clone(),
            password: credential.password.clone(),
            prepared_password: credential.prepared_password.clone(),
            source: credential.source.clone(),
            mechanism: credential.mechanism,
        };
        identity.check(tls)?;
        Ok(Self { identity: Arc::new(identity), by_hello: false })
    }

    /// Whether a hello of its own must be `hello`, as where the Stable API is declared.
    #[must_use]
    pub fn by_hello(mut self, by_hello: bool) -> Self {
        self.by_hello = by_hello;
        self
    }

    /// What the first hello of a connection carries.
    pub fn opening(&self, entropy: Entropy) -> Opening {
        Opening::new(self.identity.clone(), entropy)
    }

    /// The same with a token that is known: "Drivers MUST NOT attempt speculative authentication if
    /// the Client Cache does not have a cached access token."
    #[cfg(feature = "oidc-auth")]
    pub fn opening_with_token(&self, entropy: Entropy, token: &str) -> Opening {
        self.opening(entropy).with_token(token)
    }

    /// The user's name, where the client has one.
    pub fn username(&self) -> Option<&str> {
        self.identity.username.as_deref()
    }

    /// The authentication of a connection whose first hello carried nothing for it and was answered
    /// with `hello`.
    ///
    /// # Errors
    ///
    /// [`AuthError::Credential`], if the password cannot be used.
    pub fn conversation(
        &self,
        hello: &HelloReply,
        entropy: Entropy,
    ) -> Result<Conversation, AuthFailure> {
        if hello.arbiter_only {
            return Ok(Conversation::none(self.identity.clone()));
        }
        match self.identity.mechanism {
            Some(mechanism) => self.again(mechanism, entropy),
            None => {
                let opening = self.opening(entropy);
                let hello = opening.hello(self.by_hello || hello.hello_ok);
                Ok(Conversation::negotiate(opening, hello))
            }
        }
    }

    /// Another authentication of a connection that was authenticated by `mechanism`: "Drivers MUST
    /// NOT resend a hello message during reauthentication".
    ///
    /// # Errors
    ///
    /// As [`Authenticator::conversation`].
    pub fn again(
        &self,
        mechanism: AuthMechanism,
        entropy: Entropy,
    ) -> Result<Conversation, AuthFailure> {
        let begun = Conversation::begin(self.identity.clone(), mechanism, &entropy);
        begun.map_err(|error| self.failure(error))
    }

    /// A failure before any message.
    pub fn failure(&self, error: AuthError) -> AuthFailure {
        self.identity.failure(self.identity.mechanism, error)
    }
}

impl Identity {
    fn check(&self, tls: bool) -> Result<(), AuthError> {
        use AuthMechanism as M;
        let refuse = |text: String| Err(AuthError::Credential(text));
        match self.mechanism {
            None | Some(M::ScramSha1) => {
                self.name()?;
                self.password().map(drop)
            }
            Some(M::ScramSha256) => self.scram_password(ScramHash::Sha256).map(drop),
            Some(mechanism @ (M::Plain | M::MongoDbX509)) if !tls => {
                let name = mechanism.as_str();
                refuse(format!("{name} needs an encrypted connection; set tls=true"))
            }
            Some(M::Plain) => {
                self.name()?;
                self.password().map(drop)
            }
            Some(M::MongoDbX509) => Ok(()),
            Some(mechanism @ (M::Gssapi | M::MongoDbAws | M::MongoDbOidc)) => {
                match unavailable(mechanism) {
                    Some(text) => refuse(text),
                    None => Ok(()),
                }
            }
        }
    }

    fn name(&self) -> Result<&str, AuthError> {
        let name = self.username.as_deref().filter(|name| !name.is_empty());
        name.ok_or_else(|| AuthError::Credential("there is no user name".to_owned()))
    }

    fn password(&self) -> Result<&str, AuthError> {
        let missing = || {
            let text = "there is no password; write mongodb://user:password@host";
            AuthError::Credential(text.to_owned())
        };
        self.password.as_deref().ok_or_else(missing)
    }

    /// The password as SCRAM takes it.
    fn scram_password(&self, hash: ScramHash) -> Result<Cow<'_, str>, AuthError> {
        let (name, password) = (self.name()?, self.password()?);
        match hash {
            ScramHash::Sha1 => Ok(password::digest(name, password).into()),
            ScramHash::Sha256 => match &self.prepared_password {
                Some(prepared) => Ok(prepared.into()),
                None if password::is_plain(password) => Ok(password.into()),
                None => password::prepare(password).map(Cow::Owned),
            },
        }
    }

    fn failure(&self, mechanism: Option<AuthMechanism>, error: AuthError) -> AuthFailure {
        let (username, source) = (self.username.clone(), self.source.clone());
        AuthFailure { username, source, mechanism, error }
    }
}

/// Why this build cannot speak a mechanism, and what to do; `None` where it can.
fn unavailable(mechanism: AuthMechanism) -> Option<String> {
    let name = mechanism.as_str();
    let feature = match mechanism {
        AuthMechanism::MongoDbAws if !cfg!(feature = "aws-auth") => "aws-auth",
        AuthMechanism::MongoDbOidc if !cfg!(feature = "oidc-auth") => "oidc-auth",
        AuthMechanism::Gssapi => {
            let instead = "use SCRAM-SHA-256, MONGODB-X509 or another mechanism";
            return Some(format!("{name} is not supported by portolan; {instead}"));
        }
        _ => return None,
    };
    Some(format!("{name} needs the feature {feature} of the crate portolan"))
}
