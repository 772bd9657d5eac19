//! The user's own rule for choosing servers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::sdam::ServerDescription;
use crate::engine::selection::{self, Criteria, ReadPreference};
use crate::options::ClientOptions;

/// A user's own rule (server-selection `serverSelector`): which of the suitable servers may be
/// chosen.
///
/// It gets those that suit by type, staleness and tags, and takes out what it does not want; the
/// latency window and the choice come behind it. What it leaves in the list must have been there.
/// Where it leaves none, the operation waits as if none were suitable.
///
/// ```
/// use portolan::options::{ClientOptions, ServerSelector};
///
/// let mut options = ClientOptions::parse("mongodb://a,b,c/?readPreference=nearest")?;
/// options.server_selector = Some(ServerSelector::new(|servers| {
///     servers.retain(|server| server.tags().get("zone").is_some_and(|zone| zone == "here"));
/// }));
/// # Ok::<_, portolan::options::OptionsError>(())
/// ```
#[derive(Clone)]
pub struct ServerSelector {
    rule: Arc<selection::ServerSelector>,
}

impl ServerSelector {
    /// Calls `rule` at every selection, of every operation: it must be quick, must not use the
    /// client, and should depend on nothing but the list.
    pub fn new(rule: impl Fn(&mut Vec<&Arc<ServerDescription>>) + Send + Sync + 'static) -> Self {
        Self { rule: Arc::new(rule) }
    }

    pub(crate) fn rule(&self) -> &selection::ServerSelector {
        &*self.rule
    }
}

impl fmt::Debug for ServerSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSelector")
    }
}

impl PartialEq for ServerSelector {
    /// Whether both are the same rule.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.rule, &other.rule)
    }
}

/// Which server is wanted, where that differs from the client's options.
///
/// A [`ReadPreference`] makes one.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerChoice {
    /// Which members may serve.
    pub read_preference: ReadPreference,
    /// How much slower than the fastest suitable server it may be; `None` for what the client's
    /// options say.
    pub local_threshold: Option<Duration>,
    /// The user's own rule; `None` for that of the client's options.
    pub server_selector: Option<ServerSelector>,
}

impl ServerChoice {
    pub(crate) fn criteria<'a>(&'a self, options: &'a ClientOptions) -> Criteria<'a> {
        let selector = self.server_selector.as_ref().or(options.server_selector.as_ref());
        Criteria {
            local_threshold: self.local_threshold.unwrap_or(options.local_threshold),
            heartbeat_frequency: options.heartbeat(),
            server_selector: selector.map(ServerSelector::rule),
            ..Criteria::read(&self.read_preference)
        }
    }
}

impl From<ReadPreference> for ServerChoice {
    fn from(read_preference: ReadPreference) -> Self {
        Self { read_preference, local_threshold: None, server_selector: None }
    }
}
