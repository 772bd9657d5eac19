//! Who the client says it is.
//!
//! Specification: auth, "MongoCredential".

use std::fmt;
use std::str::FromStr;

use super::password;
use crate::engine::map::SortedMap;

/// How the client proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthMechanism {
    /// Salted challenge and response over SHA-1.
    ScramSha1,
    /// Salted challenge and response over SHA-256.
    ScramSha256,
    /// The TLS client certificate.
    MongoDbX509,
    /// Kerberos.
    Gssapi,
    /// The password in clear (LDAP).
    Plain,
    /// AWS credentials.
    MongoDbAws,
    /// OpenID Connect.
    MongoDbOidc,
}

impl AuthMechanism {
    /// All mechanisms.
    pub const ALL: [Self; 7] = [
        Self::ScramSha1,
        Self::ScramSha256,
        Self::MongoDbX509,
        Self::Gssapi,
        Self::Plain,
        Self::MongoDbAws,
        Self::MongoDbOidc,
    ];

    /// The mechanism's name in the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::MongoDbX509 => "MONGODB-X509",
            Self::Gssapi => "GSSAPI",
            Self::Plain => "PLAIN",
            Self::MongoDbAws => "MONGODB-AWS",
            Self::MongoDbOidc => "MONGODB-OIDC",
        }
    }
}

impl FromStr for AuthMechanism {
    /// What is allowed.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mechanism = Self::ALL.into_iter().find(|mechanism| mechanism.as_str() == text);
        mechanism.ok_or_else(|| format!("one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// Who the client says it is. Neither `Debug` nor any error shows password or properties' values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credential {
    /// The user's name; `None` where the mechanism tells it otherwise.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The password after SASLprep (RFC 4013), as SCRAM-SHA-256 takes it. `None` where that is left
    /// to this crate, which can do it everywhere but in wasm32: see
    /// [`Credential::password_to_prepare`].
    pub prepared_password: Option<String>,
    /// The database that knows the user; `$external` where another system does.
    pub source: String,
    /// How to prove it; `None` for what the server prefers.
    pub mechanism: Option<AuthMechanism>,
    /// The mechanism's own settings.
    pub mechanism_properties: SortedMap<String, String>,
}

impl Credential {
    /// Of a user whom another system knows (`$external`), by what the mechanism brings itself: a
    /// certificate, Amazon's credentials, a token.
    pub fn external(mechanism: AuthMechanism) -> Self {
        let source = "$external".to_owned();
        Self { source, mechanism: Some(mechanism), ..Self::default() }
    }

    /// The password, if the host has to prepare it for SCRAM-SHA-256: it is not printable ASCII,
    /// and this build has no tables of Unicode (wasm32).
    pub fn password_to_prepare(&self) -> Option<&str> {
        let by_scram = matches!(self.mechanism, None | Some(AuthMechanism::ScramSha256));
        if password::HAS_TABLES || !by_scram || self.prepared_password.is_some() {
            return None;
        }
        self.password.as_deref().filter(|password| !password::is_plain(password))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "REDACTED"))
            .field("source", &self.source)
            .field("mechanism", &self.mechanism)
            .field("mechanism_properties", &self.mechanism_properties.keys().collect::<Vec<_>>())
            .finish()
    }
}
