//! Which servers a caller wants to reach: [`Client::hosts`](crate::Client::hosts) and
//! [`Client::host`](crate::Client::host) name them, for those who talk to servers by their own
//! means.

use std::time::Duration;

use bson::{RawDocument, Timestamp};

use crate::client::Client;
use crate::driver::target;
use crate::engine::address::ServerAddress;
use crate::engine::op;
use crate::engine::sdam::{FailureKind, Stage};
use crate::engine::selection::{Criteria, ReadPreference};
use crate::error::Result;
use crate::options::ClientOptions;

/// Which servers a caller wants to reach.
///
/// ```
/// use portolan::{ReadPreference, Targeting};
/// use std::time::Duration;
///
/// let targeting = Targeting::new(ReadPreference::nearest())
///     .excluding(["a:27017".parse()?])
///     .timeout(Duration::from_secs(15));
/// # Ok::<_, portolan::engine::address::AddressError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targeting {
    /// Which members may serve.
    pub read_preference: ReadPreference,
    /// Servers that must not be named, even where no other is there.
    pub excluded: Vec<ServerAddress>,
    /// Only servers that have written up to this cluster time, by the last thing that they said;
    /// passed over while no server has.
    pub min_cluster_time: Option<Timestamp>,
    /// How long to wait where no server suits; `None` for the client's server selection time-out.
    pub timeout: Option<Duration>,
}

impl Targeting {
    /// Servers of this read preference.
    pub fn new(read_preference: ReadPreference) -> Self {
        Self { read_preference, ..Self::default() }
    }

    /// Never these servers.
    #[must_use]
    pub fn excluding(mut self, servers: impl IntoIterator<Item = ServerAddress>) -> Self {
        self.excluded.extend(servers);
        self
    }

    /// Servers that have written up to this cluster time, while there are any.
    #[must_use]
    pub fn min_cluster_time(mut self, time: Timestamp) -> Self {
        self.min_cluster_time = Some(time);
        self
    }

    /// How long to wait where no server suits; zero to ask only what is known now.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    pub(crate) fn criteria(&self, options: &ClientOptions) -> Criteria<'_> {
        Criteria {
            excluded: &self.excluded,
            min_cluster_time: self.min_cluster_time,
            local_threshold: options.local_threshold,
            heartbeat_frequency: options.heartbeat(),
            ..Criteria::read(&self.read_preference)
        }
    }
}

impl From<ReadPreference> for Targeting {
    fn from(read_preference: ReadPreference) -> Self {
        Self::new(read_preference)
    }
}

/// What somebody who reached a server by his own means found wrong with it
/// ([`Client::host_failed`]).
///
/// The rules of the client's own operations decide what follows (SDAM "Application errors").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFailure {
    stage: Stage,
    kind: FailureKind,
}

impl HostFailure {
    /// A connection that was in use broke: the server becomes Unknown, the client's own connections
    /// to it are closed.
    pub fn broken(message: impl Into<String>) -> Self {
        Self::new(Stage::Established, FailureKind::Network(message.into().into()))
    }

    /// No connection could be made, or its first hello was not answered. That may be overload, and
    /// changes nothing: the monitors find out.
    pub fn not_connected(message: impl Into<String>) -> Self {
        Self::new(Stage::Handshaking, FailureKind::Network(message.into().into()))
    }

    /// A connection that was in use did not answer in time. That may be a slow operation, and
    /// changes nothing.
    pub fn timed_out(message: impl Into<String>) -> Self {
        Self::new(Stage::Established, FailureKind::Timeout(message.into().into()))
    }

    /// The server answered this. If it says that the server is not the primary, recovers or shuts
    /// down, it becomes Unknown and is checked at once; where it shuts down, the client's own
    /// connections to it are closed. `None` for a reply that says nothing of the kind.
    pub fn of_reply(reply: &RawDocument) -> Option<Self> {
        let failure = op::reply::check_write(reply, 0).err()?;
        let change = failure.state_change()?;
        let kind = FailureKind::Command {
            code: change.code,
            message: change.message.into(),
            topology_version: change.topology_version,
        };
        Some(Self::new(Stage::Established, kind))
    }

    fn new(stage: Stage, kind: FailureKind) -> Self {
        Self { stage, kind }
    }
}

impl Client {
    /// All servers that suit, as near as the fastest of them (`localThresholdMS`), in random order;
    /// at once where there are any, else as soon as there are.
    ///
    /// Drop the future to stop waiting.
    ///
    /// # Errors
    ///
    /// If no server suits within the time-out, or none ever can; the error names each server with
    /// the reason. If the client is shut down.
    pub async fn hosts(&self, targeting: impl Into<Targeting>) -> Result<Vec<ServerAddress>> {
        target::hosts(self.shared(), &targeting.into()).await
    }

    /// One of [`hosts`](Self::hosts): where an operation would go now.
    ///
    /// # Errors
    ///
    /// As [`hosts`](Self::hosts).
    pub async fn host(&self, targeting: impl Into<Targeting>) -> Result<ServerAddress> {
        target::host(self.shared(), &targeting.into()).await
    }

    /// Tells what went wrong with a server that [`hosts`](Self::hosts) or [`host`](Self::host)
    /// named: the client believes it as it believes its own operations. A server that is no member
    /// is passed over.
    pub fn host_failed(&self, host: &ServerAddress, failure: HostFailure) {
        self.shared().report_host(host, failure.stage, failure.kind);
    }
}
