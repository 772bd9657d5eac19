//! MONGODB-OIDC: an access token of somebody else proves the user.
//!
//! Where a token comes from is the application's; when one is asked for, and when it is used again,
//! is decided here. Specification: auth, "MONGODB-OIDC".

use std::fmt;

use bson::raw::cstr;
use bson::{RawBsonRef, RawDocument, RawDocumentBuf};

use super::AuthError;

/// What a server says of those who give tokens for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdpInfo {
    /// The authentication server.
    pub issuer: String,
    /// The application's id there.
    pub client_id: Option<String>,
    /// What is to be asked for besides.
    pub request_scopes: Vec<String>,
}

/// A token as an application gives it. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct OidcToken {
    /// The access token.
    pub access_token: String,
    /// What another access token can be had for, without a human.
    pub refresh_token: Option<String>,
}

impl fmt::Debug for OidcToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OidcToken")
    }
}

/// What is needed of whoever keeps the tokens of a client ([`TokenCache`]).
#[derive(Clone, PartialEq, Eq)]
pub enum TokenRequest {
    /// A token, known or new. `rejected` is one that the server has just refused: it must not be
    /// given again.
    Any {
        /// The token that was refused.
        rejected: Option<String>,
    },
    /// A new token for those who ask a human, now that the server has said whom to ask.
    Of(IdpInfo),
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any { rejected } => write!(f, "Any {{ again: {} }}", rejected.is_some()),
            Self::Of(idp) => f.debug_tuple("Of").field(idp).finish(),
        }
    }
}

/// The answer to a [`TokenRequest`].
#[derive(Clone, PartialEq, Eq)]
pub enum TokenAnswer {
    /// This token; `certain` where it is new from the application, so that a refusal is final.
    Token {
        /// The access token.
        token: String,
        /// Whether another one may be tried after it.
        certain: bool,
    },
    /// The server must first say whom to ask.
    AskServer,
}

impl fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token { certain, .. } => write!(f, "Token {{ certain: {certain} }}"),
            Self::AskServer => f.write_str("AskServer"),
        }
    }
}

/// What is to be done for a [`TokenRequest`].
#[derive(Debug, PartialEq, Eq)]
pub enum TokenPlan {
    /// The answer is known.
    Answer(TokenAnswer),
    /// Ask the application, and give what it says to [`TokenCache::given`].
    Call {
        /// Whom to ask, where a human is asked.
        idp: Option<IdpInfo>,
        /// Instead of the human.
        refresh_token: Option<String>,
    },
}

/// The tokens of one client ("Credential Caching"). `Debug` shows nothing of them.
#[derive(Default)]
pub struct TokenCache {
    /// Whether tokens are asked of a human.
    human: bool,
    access_token: Option<String>,
    refresh_token: Option<String>,
    /// The access token that a refresh token has brought and that nobody was given since.
    refreshed: Option<String>,
    idp: Option<IdpInfo>,
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").field("human", &self.human).finish_non_exhaustive()
    }
}

impl TokenCache {
    /// An empty cache; `human` where tokens are asked of one.
    pub fn new(human: bool) -> Self {
        Self { human, ..Self::default() }
    }

    /// The access token that is known.
    pub fn access_token(&self) -> Option<&str> {
        self.access_token.as_deref()
    }

    /// "Invalidation MUST only clear the cached access token if it is the same as the invalid
    /// access token".
    pub fn invalidate(&mut self, token: &str) {
        if self.access_token.as_deref() == Some(token) {
            self.access_token = None;
        }
    }

    /// What is to be done for a request.
    pub fn plan(&mut self, request: &TokenRequest) -> TokenPlan {
        let idp = match request {
            TokenRequest::Of(idp) => {
                self.idp = Some(idp.clone());
                // "Drivers MUST NOT pass a cached refresh token to the callback when performing a
                // new Two-Step conversation."
                return TokenPlan::Call { idp: Some(idp.clone()), refresh_token: None };
            }
            TokenRequest::Any { rejected } => {
                if let Some(rejected) = rejected {
                    self.invalidate(rejected);
                    // What a refresh token brought is refused: so would be what it brings next.
                    if self.refreshed.as_ref() == Some(rejected) {
                        self.refresh_token = None;
                    }
                }
                self.idp.clone()
            }
        };
        self.refreshed = None;
        if let Some(token) = self.access_token.clone() {
            return TokenPlan::Answer(TokenAnswer::Token { token, certain: false });
        }
        if !self.human {
            return TokenPlan::Call { idp: None, refresh_token: None };
        }
        // A refresh token is good for one attempt; what comes of it may bring the next.
        match self.refresh_token.take() {
            Some(refresh) => TokenPlan::Call { idp, refresh_token: Some(refresh) },
            None => TokenPlan::Answer(TokenAnswer::AskServer),
        }
    }

    /// The application has given a token; `refreshed` where it was for a refresh token.
    pub fn given(&mut self, token: OidcToken, refreshed: bool) -> TokenAnswer {
        let OidcToken { access_token, refresh_token } = token;
        self.access_token = Some(access_token.clone());
        self.refresh_token = refresh_token.filter(|_| self.human);
        self.refreshed = refreshed.then(|| access_token.clone());
        TokenAnswer::Token { token: access_token, certain: !refreshed }
    }
}

/// Hosts that a human's token may be sent to, unless the application says otherwise
/// ("ALLOWED_HOSTS").
pub const DEFAULT_ALLOWED_HOSTS: [&str; 8] = [
    "*.mongodb.net",
    "*.mongodb-qa.net",
    "*.mongodb-dev.net",
    "*.mongodbgov.net",
    "localhost",
    "127.0.0.1",
    "::1",
    "*.mongo.com",
];

/// Whether `host` is one of those, or below one that begins with `*.`.
pub fn is_allowed_host(allowed: &[String], host: &str) -> bool {
    allowed.iter().any(|pattern| match pattern.strip_prefix("*.") {
        Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
        None => pattern == host,
    })
}

/// `JwtStepRequest`.
pub(super) fn jwt(token: &str) -> Vec<u8> {
    let mut message = RawDocumentBuf::new();
    message.append(cstr!("jwt"), token);
    message.into_bytes()
}

/// `PrincipalStepRequest`.
pub(super) fn principal(name: Option<&str>) -> Vec<u8> {
    let mut message = RawDocumentBuf::new();
    if let Some(name) = name {
        message.append(cstr!("n"), name);
    }
    message.into_bytes()
}

/// The server's answer to a [`principal`].
pub(super) fn idp_info(payload: &[u8]) -> Result<IdpInfo, AuthError> {
    let document = RawDocument::from_bytes(payload);
    let document = document.map_err(|_| AuthError::malformed("its payload is no document"))?;
    let issuer = document.get_str("issuer");
    let issuer = issuer.map_err(|_| AuthError::malformed("it names no issuer"))?.to_owned();
    let client_id = document.get_str("clientId").ok().map(str::to_owned);
    let scopes = document.get_array("requestScopes").into_iter().flatten().flatten();
    let text = |scope: RawBsonRef<'_>| scope.as_str().map(str::to_owned);
    Ok(IdpInfo { issuer, client_id, request_scopes: scopes.filter_map(text).collect() })
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    fn token(access: &str, refresh: Option<&str>) -> OidcToken {
        let refresh_token = refresh.map(str::to_owned);
        OidcToken { access_token: access.to_owned(), refresh_token }
    }

    fn any(rejected: Option<&str>) -> TokenRequest {
        TokenRequest::Any { rejected: rejected.map(str::to_owned) }
    }

    fn known(token: &str) -> TokenPlan {
        TokenPlan::Answer(TokenAnswer::Token { token: token.to_owned(), certain: false })
    }

    #[test]
    fn a_machine_s_token_is_used_until_it_is_refused() {
        let mut cache = TokenCache::new(false);
        let call = TokenPlan::Call { idp: None, refresh_token: None };
        assert_eq!(cache.plan(&any(None)), call);
        let given = cache.given(token("one", Some("never kept")), false);
        assert_eq!(given, TokenAnswer::Token { token: "one".to_owned(), certain: true });
        assert_eq!(cache.plan(&any(None)), known("one"));
        assert_eq!(cache.plan(&any(Some("another"))), known("one"), "somebody else's is new");
        assert_eq!(cache.plan(&any(Some("one"))), call);
    }

    #[test]
    fn a_human_is_asked_once_the_server_has_said_whom() {
        let idp = IdpInfo {
            issuer: "https://issuer".to_owned(),
            client_id: Some("abcd".to_owned()),
            request_scopes: vec!["a".to_owned(), "b".to_owned()],
        };
        let mut cache = TokenCache::new(true);
        assert_eq!(cache.plan(&any(None)), TokenPlan::Answer(TokenAnswer::AskServer));
        let call = TokenPlan::Call { idp: Some(idp.clone()), refresh_token: None };
        assert_eq!(cache.plan(&TokenRequest::Of(idp.clone())), call);
        cache.given(token("one", Some("again")), false);
        assert_eq!(cache.plan(&any(None)), known("one"));
        let refresh = TokenPlan::Call { idp: Some(idp), refresh_token: Some("again".to_owned()) };
        assert_eq!(cache.plan(&any(Some("one"))), refresh);
        let given = cache.given(token("two", Some("once more")), true);
        assert_eq!(given, TokenAnswer::Token { token: "two".to_owned(), certain: false });
        let ask = TokenPlan::Answer(TokenAnswer::AskServer);
        assert_eq!(cache.plan(&any(Some("two"))), ask, "what comes of it is no better");
    }

    /// The example of "Two-Step".
    #[test]
    fn whom_to_ask_is_read_from_the_server_s_answer() {
        let payload = rawdoc! {
            "issuer": "https://issuer", "clientId": "abcd", "requestScopes": ["a", "b"],
        };
        let idp = idp_info(payload.as_bytes()).unwrap();
        assert_eq!(idp.issuer, "https://issuer");
        assert_eq!(idp.client_id.as_deref(), Some("abcd"));
        assert_eq!(idp.request_scopes, ["a", "b"]);
        let less = idp_info(rawdoc! { "issuer": "x" }.as_bytes()).unwrap();
        assert_eq!((less.client_id, less.request_scopes), (None, Vec::new()));
        assert!(idp_info(rawdoc! {}.as_bytes()).is_err() && idp_info(b"noise").is_err());
        assert_eq!(jwt("abcd1234"), rawdoc! { "jwt": "abcd1234" }.into_bytes());
        assert_eq!(principal(None), rawdoc! {}.into_bytes());
    }

    #[test]
    fn a_human_s_token_goes_to_allowed_hosts_only() {
        let allowed = DEFAULT_ALLOWED_HOSTS.map(str::to_owned);
        for host in ["localhost", "127.0.0.1", "::1", "a.mongodb.net", "a.b.mongodb.net"] {
            assert!(is_allowed_host(&allowed, host), "{host}");
        }
        for host in ["mongodb.net", "evilmongodb.net", "localhost.evil.com", "", "10.0.0.1"] {
            assert!(!is_allowed_host(&allowed, host), "{host}");
        }
        assert!(!is_allowed_host(&[], "localhost"));
    }

    #[test]
    fn no_text_shows_a_token() {
        let mut cache = TokenCache::new(true);
        let answer = cache.given(token("secret", Some("secret")), false);
        let (asked, given) = (any(Some("secret")), token("secret", None));
        let shown = format!("{cache:?} {answer:?} {asked:?} {given:?}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}
