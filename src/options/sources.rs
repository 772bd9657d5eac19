//! Where proofs come from that are not in the options themselves: the application's own code.

use std::fmt;
use std::sync::Arc;
#[cfg(feature = "oidc-auth")]
use std::time::Duration;

use async_trait::async_trait;

#[cfg(feature = "aws-auth")]
use crate::engine::auth::AwsCredentials;
#[cfg(feature = "oidc-auth")]
use crate::engine::auth::{DEFAULT_ALLOWED_HOSTS, IdpInfo, OidcToken};
use crate::transport::{MaybeSend, MaybeSync};

/// Why an application's own code gives nothing; its text is shown, so it must hold no secret.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// Gives Amazon's credentials (MONGODB-AWS), for example those of Amazon's own library.
///
/// It is asked for each new connection: what it fetches it must keep for as long as that is good.
#[cfg(feature = "aws-auth")]
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub trait AwsCredentialProvider: MaybeSend + MaybeSync + 'static {
    /// The credentials of this moment.
    ///
    /// # Errors
    ///
    /// Why there are none.
    async fn credentials(&self) -> Result<AwsCredentials, SourceError>;
}

/// An [`AwsCredentialProvider`] as an option: cheap to clone, equal to its clones only.
#[cfg(feature = "aws-auth")]
#[derive(Clone)]
pub struct AwsSource(pub(crate) Arc<dyn AwsCredentialProvider>);

#[cfg(feature = "aws-auth")]
impl<P: AwsCredentialProvider> From<P> for AwsSource {
    fn from(provider: P) -> Self {
        Self(Arc::new(provider))
    }
}

#[cfg(feature = "aws-auth")]
impl PartialEq for AwsSource {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(feature = "aws-auth")]
impl fmt::Debug for AwsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwsSource")
    }
}

/// What a token is asked for with (MONGODB-OIDC).
#[cfg(feature = "oidc-auth")]
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OidcRequest {
    /// The version of this interface.
    pub version: u32,
    /// The user's name of the credential.
    pub username: Option<String>,
    /// How long the answer is waited for.
    pub timeout: Duration,
    /// Where a human is asked: what the server says of whom to ask.
    pub idp: Option<IdpInfo>,
    /// Where a human is asked: what another token may be had for without.
    pub refresh_token: Option<String>,
}

/// Gives access tokens (MONGODB-OIDC). Never asked twice at once, nor more often than each 100 ms.
#[cfg(feature = "oidc-auth")]
#[cfg_attr(not(target_arch = "wasm32"), async_trait)]
#[cfg_attr(target_arch = "wasm32", async_trait(?Send))]
pub trait OidcCallback: MaybeSend + MaybeSync + 'static {
    /// A new token. The driver keeps it until the server refuses it, and drops this future where it
    /// takes too long.
    ///
    /// # Errors
    ///
    /// Why there is none.
    async fn token(&self, request: OidcRequest) -> Result<OidcToken, SourceError>;
}

/// An [`OidcCallback`] as an option: cheap to clone, equal to its clones only.
#[cfg(feature = "oidc-auth")]
#[derive(Clone)]
pub struct OidcSource {
    pub(crate) callback: Arc<dyn OidcCallback>,
    pub(crate) human: bool,
    pub(crate) allowed_hosts: Vec<String>,
}

#[cfg(feature = "oidc-auth")]
impl OidcSource {
    /// Asks a machine: no more than a token is needed, within a minute.
    pub fn machine(callback: impl OidcCallback) -> Self {
        Self { callback: Arc::new(callback), human: false, allowed_hosts: Vec::new() }
    }

    /// Asks a human, who gets five minutes. The server says whom to ask; the token is sent to
    /// [`allowed_hosts`](Self::allowed_hosts) only.
    pub fn human(callback: impl OidcCallback) -> Self {
        let allowed_hosts = DEFAULT_ALLOWED_HOSTS.map(str::to_owned).to_vec();
        Self { callback: Arc::new(callback), human: true, allowed_hosts }
    }

    /// Names or addresses of hosts, and `*.domain` for all below a domain, in place of those of
    /// MongoDB's own services and of this machine.
    #[must_use]
    pub fn allowed_hosts<T: Into<String>>(self, hosts: impl IntoIterator<Item = T>) -> Self {
        let allowed_hosts = hosts.into_iter().map(Into::into).collect();
        Self { allowed_hosts, ..self }
    }
}

#[cfg(feature = "oidc-auth")]
impl PartialEq for OidcSource {
    fn eq(&self, other: &Self) -> bool {
        let (one, another) = (&self.callback, &other.callback);
        Arc::ptr_eq(one, another)
            && (self.human, &self.allowed_hosts) == (other.human, &other.allowed_hosts)
    }
}

#[cfg(feature = "oidc-auth")]
impl fmt::Debug for OidcSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcSource")
            .field("human", &self.human)
            .field("allowed_hosts", &self.allowed_hosts)
            .finish_non_exhaustive()
    }
}
