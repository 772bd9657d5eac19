//! The shell of [`engine::auth`](crate::engine::auth): it sends what a conversation says, derives
//! keys and draws randomness.

use std::future::poll_fn;
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use super::connection::{Connection, ConnectionError};
#[cfg(feature = "oidc-auth")]
use super::tokens::Tokens;
use crate::engine::address::ServerAddress;
#[cfg(feature = "aws-auth")]
use crate::engine::auth::AwsCredentials;
use crate::engine::auth::{
    AuthAction, AuthError, AuthEvent, AuthFailure, AuthMechanism, Authenticator, Conversation,
    Entropy, KeyCache, KeyRequest, Opening, ScramKeys,
};
use crate::engine::hello::{HelloReply, ServerApi};
use crate::engine::wire::{Flags, OpMsgBuilder};
#[cfg(feature = "aws-auth")]
use crate::options::AwsSource;
use crate::options::{ClientOptions, OptionsError};
use crate::transport::Transport;

/// Who the client is, for all its connections.
#[derive(Debug)]
pub(crate) struct Authentication {
    authenticator: Authenticator,
    server_api: Option<ServerApi>,
    keys: Mutex<KeyCache>,
    #[cfg(feature = "aws-auth")]
    aws: Option<AwsSource>,
    #[cfg(feature = "oidc-auth")]
    tokens: Option<Tokens>,
}

/// How a connection has proved who the client is.
#[derive(Clone, Default)]
pub(crate) struct Proof {
    mechanism: Option<AuthMechanism>,
    /// The token that was used.
    #[cfg(feature = "oidc-auth")]
    token: Option<String>,
}

impl Authentication {
    /// Of the options' credential; `None` where there is none.
    pub(crate) fn of(options: &ClientOptions) -> Result<Option<Self>, OptionsError> {
        let Some(credential) = &options.credential else { return Ok(None) };
        let refuse = |error: AuthError| OptionsError::Credential(error.to_string());
        let checked = Authenticator::new(credential, options.tls_enabled());
        Ok(Some(Self {
            authenticator: checked.map_err(refuse)?.by_hello(options.server_api.is_some()),
            server_api: options.server_api,
            keys: Mutex::default(),
            #[cfg(feature = "aws-auth")]
            aws: options.aws_credentials.clone(),
            #[cfg(feature = "oidc-auth")]
            tokens: Tokens::of(options).map_err(refuse)?,
        }))
    }

    /// What the first hello of a connection carries.
    pub(crate) fn opening(&self) -> Result<Opening, AuthFailure> {
        #[cfg(feature = "oidc-auth")]
        if let Some(token) = self.tokens.as_ref().and_then(Tokens::known) {
            return Ok(self.authenticator.opening_with_token(self.entropy()?, &token));
        }
        Ok(self.authenticator.opening(self.entropy()?))
    }

    /// The authentication of a connection whose hello carried nothing for it.
    pub(crate) fn conversation(&self, hello: &HelloReply) -> Result<Conversation, AuthFailure> {
        self.authenticator.conversation(hello, self.entropy()?)
    }

    /// Another authentication of a connection that has had one.
    fn again(&self, proof: &Proof, hello: &HelloReply) -> Result<Conversation, AuthFailure> {
        #[cfg(feature = "oidc-auth")]
        if let (Some(tokens), Some(token)) = (&self.tokens, &proof.token) {
            tokens.invalidate(token);
        }
        match proof.mechanism {
            Some(mechanism) => self.authenticator.again(mechanism, self.entropy()?),
            None => self.conversation(hello),
        }
    }

    /// Amazon's credentials, and the seconds since 1970: "The order in which Drivers MUST search
    /// for credentials is: 1. A custom AWS credential provider [...] 2. Environment variables".
    #[cfg(feature = "aws-auth")]
    async fn aws_credentials(&self) -> Result<AuthEvent, AuthError> {
        let credentials = match &self.aws {
            Some(source) => {
                let given = source.0.credentials().await;
                given.map_err(|error| AuthError::Callback(error.to_string()))?
            }
            None => AwsCredentials::from_environment(|name| std::env::var(name).ok())?.ok_or_else(
                || {
                    let missing = "there are no credentials: set AWS_ACCESS_KEY_ID and \
                                   AWS_SECRET_ACCESS_KEY, or give a provider \
                                   (ClientOptions::aws_credentials)";
                    AuthError::Credential(missing.to_owned())
                },
            )?,
        };
        let now = bson::DateTime::now().timestamp_millis() / 1_000;
        Ok(AuthEvent::AwsCredentials(credentials, now))
    }

    /// What the conversation asks for that is no message.
    async fn find(
        &self,
        transport: &dyn Transport,
        address: &ServerAddress,
        action: AuthAction,
    ) -> Result<AuthEvent, AuthError> {
        // Only some mechanisms look at these.
        let _ = (transport, address);
        match action {
            AuthAction::Derive(request) => Ok(AuthEvent::Keys(self.keys(transport, request).await)),
            #[cfg(feature = "aws-auth")]
            AuthAction::AwsCredentials => self.aws_credentials().await,
            #[cfg(feature = "oidc-auth")]
            AuthAction::Token(request) => {
                let missing = || AuthError::Credential("MONGODB-OIDC has no source".to_owned());
                let tokens = self.tokens.as_ref().ok_or_else(missing)?;
                tokens.answer(transport, address.host(), &request).await.map(AuthEvent::Token)
            }
            AuthAction::Send(_) => {
                Err(AuthError::Credential("a message is not looked for, but sent".to_owned()))
            }
        }
    }

    fn entropy(&self) -> Result<Entropy, AuthFailure> {
        let mut entropy = [0; size_of::<Entropy>()];
        match getrandom::fill(&mut entropy) {
            Ok(()) => Ok(entropy),
            Err(error) => {
                Err(self.authenticator.failure(AuthError::NoRandomness(error.to_string())))
            }
        }
    }

    async fn keys(&self, transport: &dyn Transport, request: KeyRequest) -> ScramKeys {
        if let Some(keys) = self.cache().find(&request) {
            return keys;
        }
        let salted = transport.salted_password(&request).await;
        let keys = match salted.and_then(|salted| request.keys_of(&salted)) {
            Some(keys) => keys,
            None => derive(&request).await,
        };
        self.cache().insert(request, keys.clone());
        keys
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, KeyCache> {
        self.keys.lock().expect("not poisoned: the cache does not panic")
    }
}

async fn derive(request: &KeyRequest) -> ScramKeys {
    let mut work = request.derive();
    loop {
        if let Some(keys) = work.advance() {
            return keys;
        }
        // It is some milliseconds of work: others on the same executor have their turn.
        yield_now().await;
    }
}

impl Connection {
    /// Proves who the client is, on a connection that has had its hello; `limit` for each exchange.
    ///
    /// A connection on which this failed, or was dropped half-way, must not be used.
    pub(crate) async fn authenticate(
        &mut self,
        transport: &dyn Transport,
        address: &ServerAddress,
        limit: Option<Duration>,
        authentication: &Authentication,
        conversation: Conversation,
    ) -> Result<(), ConnectionError> {
        self.prove(None);
        let proof = self.converse(transport, address, limit, authentication, conversation).await?;
        self.prove(Some(proof));
        Ok(())
    }

    async fn converse(
        &mut self,
        transport: &dyn Transport,
        address: &ServerAddress,
        limit: Option<Duration>,
        authentication: &Authentication,
        mut conversation: Conversation,
    ) -> Result<Proof, ConnectionError> {
        while let Some(action) = conversation.poll_action() {
            let event = match action {
                AuthAction::Send(mut command) => {
                    if let Some(api) = authentication.server_api {
                        api.append_to(&mut command);
                    }
                    let exchange = self.exchange(transport, limit, |buffer, request| {
                        let mut message = OpMsgBuilder::begin(buffer, request, 0, Flags::NONE);
                        message.body(&command);
                        message.finish().map(|_| Flags::NONE)
                    });
                    // Only a request that asks for no reply has none.
                    let Some(reply) = exchange.await? else { continue };
                    AuthEvent::Reply(reply.message.into_document())
                }
                other => {
                    let found = authentication.find(transport, address, other).await;
                    found.map_err(|error| conversation.failure(error))?
                }
            };
            conversation.handle(event)?;
        }
        Ok(Proof {
            mechanism: conversation.mechanism(),
            #[cfg(feature = "oidc-auth")]
            token: conversation.token().map(str::to_owned),
        })
    }

    /// Proves it once more, where the server asks for it on a connection in use.
    pub(crate) async fn reauthenticate(
        &mut self,
        transport: &dyn Transport,
        address: &ServerAddress,
        limit: Option<Duration>,
        authentication: &Authentication,
    ) -> Result<(), ConnectionError> {
        let conversation = authentication.again(self.proof(), self.hello())?;
        self.authenticate(transport, address, limit, authentication, conversation).await
    }
}

/// Lets others on the same executor have their turn.
pub(super) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
