//! Tokens of a client (MONGODB-OIDC): kept, and asked of the application one at a time. When, the
//! engine says ([`TokenCache`]).

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{Either, select};
use futures_util::lock::Mutex as AsyncMutex;

use crate::engine::auth::{
    AuthError, AuthMechanism, OidcToken, TokenAnswer, TokenCache, TokenPlan, TokenRequest,
    is_allowed_host,
};
use crate::engine::time::{Instant, Shown};
use crate::options::{ClientOptions, OidcCallback, OidcRequest, OidcSource, SourceError};
use crate::transport::Transport;

/// The tokens of one client.
#[derive(Debug)]
pub(super) struct Tokens {
    source: OidcSource,
    username: Option<String>,
    cache: Mutex<TokenCache>,
    /// When the application was asked last; held while it is being asked.
    asked: AsyncMutex<Option<Instant>>,
}

impl Tokens {
    /// Of the options; `None` where the mechanism is another one.
    pub(super) fn of(options: &ClientOptions) -> Result<Option<Self>, AuthError> {
        let credential = options.credential.as_ref();
        let Some(credential) =
            credential.filter(|it| it.mechanism == Some(AuthMechanism::MongoDbOidc))
        else {
            return Ok(None);
        };
        let environment = credential.mechanism_properties.get("ENVIRONMENT").map(String::as_str);
        let refuse = |text: &str| Err(AuthError::Credential(text.to_owned()));
        let source = match (&options.oidc, environment) {
            (Some(_), Some(_)) => {
                return refuse("MONGODB-OIDC takes a callback or an ENVIRONMENT, not both");
            }
            (Some(source), None) => source.clone(),
            (None, Some("test")) => OidcSource::machine(File::of("OIDC_TOKEN_FILE")),
            (None, Some("k8s")) => OidcSource::machine(File::of_kubernetes()),
            (None, Some(_)) => {
                return refuse(
                    "this ENVIRONMENT of MONGODB-OIDC is not built in; give a callback that asks \
                     its metadata service for a token (ClientOptions::oidc)",
                );
            }
            (None, None) => {
                return refuse("MONGODB-OIDC needs a callback (ClientOptions::oidc)");
            }
        };
        let cache = Mutex::new(TokenCache::new(source.human));
        let username = credential.username.clone();
        Ok(Some(Self { source, username, cache, asked: AsyncMutex::new(None) }))
    }

    /// The token that is known.
    pub(super) fn known(&self) -> Option<String> {
        self.cache().access_token().map(str::to_owned)
    }

    /// The server wants another token than this one.
    pub(super) fn invalidate(&self, token: &str) {
        self.cache().invalidate(token);
    }

    /// The answer to the engine's request, for a connection to `host`.
    pub(super) async fn answer(
        &self,
        transport: &dyn Transport,
        host: &str,
        request: &TokenRequest,
    ) -> Result<TokenAnswer, AuthError> {
        if self.source.human && !is_allowed_host(&self.source.allowed_hosts, host) {
            return Err(AuthError::Credential(format!(
                "the host {host} is none of the allowed hosts; nobody was asked for a token"
            )));
        }
        let mut asked = self.asked.lock().await;
        let plan = self.cache().plan(request);
        match plan {
            TokenPlan::Answer(answer) => Ok(answer),
            TokenPlan::Call { idp, refresh_token } => {
                if let Some(last) = *asked {
                    transport.sleep_until(last + PAUSE).await;
                }
                *asked = Some(transport.now());
                let refreshed = refresh_token.is_some();
                let (version, username) = (1, self.username.clone());
                let timeout = if self.source.human { HUMAN } else { MACHINE };
                let request = OidcRequest { version, username, timeout, idp, refresh_token };
                let token = self.ask(transport, request).await?;
                Ok(self.cache().given(token, refreshed))
            }
        }
    }

    async fn ask(
        &self,
        transport: &dyn Transport,
        request: OidcRequest,
    ) -> Result<OidcToken, AuthError> {
        let timeout = request.timeout;
        let late = transport.sleep_until(transport.now() + timeout);
        match select(pin!(self.source.callback.token(request)), late).await {
            Either::Left((Ok(token), _)) if token.access_token.is_empty() => {
                Err(AuthError::Callback("it gave an empty token".to_owned()))
            }
            Either::Left((Ok(token), _)) => Ok(token),
            Either::Left((Err(error), _)) => Err(AuthError::Callback(error.to_string())),
            Either::Right(_) => {
                Err(AuthError::Callback(format!("no token within {}", Shown(timeout))))
            }
        }
    }

    fn cache(&self) -> MutexGuard<'_, TokenCache> {
        self.cache.lock().expect("not poisoned: the cache does not panic")
    }
}

/// "Wait until it has been at least 100ms since the last callback invocation".
const PAUSE: Duration = Duration::from_millis(100);
/// "If CSOT is not applied, then the driver MUST use 1 minute as the timeout."
const MACHINE: Duration = Duration::from_secs(60);
/// "The timeout duration MUST be 5 minutes."
const HUMAN: Duration = Duration::from_secs(300);

/// A file with a token, as the environments `test` and `k8s` have it.
struct File(Arc<dyn Fn() -> Option<String> + Send + Sync>);

impl File {
    /// The file that an environment variable names.
    fn of(variable: &'static str) -> Self {
        Self(Arc::new(move || std::env::var(variable).ok()))
    }

    fn of_kubernetes() -> Self {
        const ELSE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
        let variable = |name: &str| std::env::var(name).ok();
        Self(Arc::new(move || {
            let azure = variable("AZURE_FEDERATED_TOKEN_FILE");
            let amazon = || variable("AWS_WEB_IDENTITY_TOKEN_FILE");
            azure.or_else(amazon).or_else(|| Some(ELSE.to_owned()))
        }))
    }
}

#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
impl OidcCallback for File {
    async fn token(&self, _: OidcRequest) -> Result<OidcToken, SourceError> {
        let path = self.0().ok_or("the environment names no file with a token")?;
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        Ok(OidcToken { access_token: text.trim().to_owned(), refresh_token: None })
    }
}
