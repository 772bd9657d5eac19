//! Who may: bearer tokens, static ones and JSON Web Tokens.
//!
//! A browser cannot set a header on a WebSocket. It offers the token as one more subprotocol,
//! `portolan.token.` followed by the token as it is; the answer never names that one. Everybody
//! else sends `Authorization: Bearer`. A token in a query string is not looked for: those end in
//! logs.

mod jwt;
mod token;

use std::fmt;
use std::time::Duration;

use axum::http::{HeaderMap, header};

pub use jwt::JwtKeys;
pub use token::StaticTokens;

/// The subprotocol entry that carries a token, up to the token.
pub const TOKEN_PROTOCOL: &str = "portolan.token.";

/// The name of the deployment that has none, in tokens, paths and metrics.
pub const DEFAULT_DEPLOYMENT: &str = "default";

/// Which tokens are known. Where there are any, every request for a deployment needs one.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Tokens that are known as they are.
    pub tokens: StaticTokens,
    /// Keys of those who sign tokens.
    pub jwt: Option<JwtKeys>,
}

/// Why a token does not do; its text is the answer's body, and says nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// There is none, and one is needed.
    Missing,
    /// There are several.
    Ambiguous,
    /// It is no token that is known here, or its signature is not that of a known key.
    Invalid,
    /// Its time is over (`exp`), or it names none.
    Expired,
    /// Its time has not come (`nbf`).
    Immature,
    /// It is meant for somebody else (`aud`).
    Audience,
    /// It is good, but for other deployments.
    Deployment,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => {
                "This bridge wants a token: as Authorization: Bearer, or from a browser as the \
                 WebSocket subprotocol portolan.token.TOKEN."
            }
            Self::Ambiguous => "The request has more than one token.",
            Self::Invalid => "The token is not valid here.",
            Self::Expired => "The token has expired, or says not when it does.",
            Self::Immature => "The token is not valid yet.",
            Self::Audience => "The token is meant for another audience.",
            Self::Deployment => "The token does not allow this deployment.",
        })
    }
}

impl std::error::Error for Denied {}

/// What a request may, once it was let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// How long the token is good from now on; `None` without end.
    pub lifetime: Option<Duration>,
}

impl Access {
    /// Whether a request needs a token.
    pub fn is_required(&self) -> bool {
        !self.tokens.is_empty() || self.jwt.is_some()
    }

    /// Whether who has `token` may use `deployment`.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check(&self, token: Option<&str>, deployment: &str) -> Result<Granted, Denied> {
        if !self.is_required() {
            return Ok(Granted::default());
        }
        let token = token.ok_or(Denied::Missing)?;
        if let Some(deployments) = self.tokens.find(token) {
            let grants =
                deployments.is_empty() || deployments.iter().any(|name| name == deployment);
            return if grants { Ok(Granted::default()) } else { Err(Denied::Deployment) };
        }
        self.jwt.as_ref().ok_or(Denied::Invalid)?.check(token, deployment)
    }
}

/// The token of a request, if it has one.
///
/// # Errors
///
/// [`Denied::Ambiguous`], or [`Denied::Invalid`] where the header is no bearer token.
pub(crate) fn token_of(headers: &HeaderMap) -> Result<Option<&str>, Denied> {
    let mut found = None;
    let mut add = |token| match found.replace(token) {
        Some(_) => Err(Denied::Ambiguous),
        None => Ok(()),
    };
    for value in headers.get_all(header::AUTHORIZATION) {
        let value = value.to_str().map_err(|_| Denied::Invalid)?;
        let (scheme, token) = value.split_once(' ').ok_or(Denied::Invalid)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Denied::Invalid);
        }
        add(token.trim())?;
    }
    for value in headers.get_all(header::SEC_WEBSOCKET_PROTOCOL) {
        let entries = value.to_str().map_err(|_| Denied::Invalid)?.split(',');
        for token in entries.filter_map(|entry| entry.trim().strip_prefix(TOKEN_PROTOCOL)) {
            add(token)?;
        }
    }
    Ok(found)
}

/// Whether `text` can be a subprotocol's name, as RFC 6455 section 4.1 has it.
pub(crate) fn is_protocol_text(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.clone(), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_token_is_found_in_either_header_and_only_once() {
        let (bearer, protocol) = (header::AUTHORIZATION, header::SEC_WEBSOCKET_PROTOCOL);
        let found =
            |pairs: &[(_, &str)]| token_of(&headers(pairs)).map(|token| token.map(str::to_owned));
        assert_eq!(found(&[]), Ok(None));
        assert_eq!(found(&[(bearer.clone(), "bearer abc")]), Ok(Some("abc".to_owned())));
        let entries = "portolan.v1, portolan.token.a.b-c";
        assert_eq!(found(&[(protocol.clone(), entries)]), Ok(Some("a.b-c".to_owned())));
        assert_eq!(found(&[(bearer.clone(), "Basic YTpi")]), Err(Denied::Invalid));
        let twice = [(bearer, "Bearer abc"), (protocol.clone(), "portolan.token.abc")];
        assert_eq!(found(&twice), Err(Denied::Ambiguous));
        let twice = "portolan.token.a,portolan.token.b";
        assert_eq!(found(&[(protocol, twice)]), Err(Denied::Ambiguous));
    }

    #[test]
    fn static_tokens_may_be_for_some_deployments_only() {
        let text = "# of the shop\nlong-enough-token-one\nlong-enough-token-two orders,stock\n";
        let access = Access { tokens: StaticTokens::parse(text).unwrap(), jwt: None };
        let check = |token, deployment| access.check(token, deployment).map(|_| ());
        assert_eq!(check(Some("long-enough-token-one"), "any"), Ok(()));
        assert_eq!(check(Some("long-enough-token-two"), "stock"), Ok(()));
        assert_eq!(check(Some("long-enough-token-two"), "default"), Err(Denied::Deployment));
        assert_eq!(check(Some("long-enough-token"), "orders"), Err(Denied::Invalid));
        assert_eq!(check(None, "orders"), Err(Denied::Missing));
        assert_eq!(Access::default().check(None, "orders"), Ok(Granted::default()));
    }
}
