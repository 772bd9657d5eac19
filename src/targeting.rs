//! Which servers a caller wants to reach: [`Client::hosts`](crate::Client::hosts) and
//! [`Client::host`](crate::Client::host) name them, for those who talk to servers by their own
//! means.

use std::time::Duration;

use bson::Timestamp;

use crate::engine::address::ServerAddress;
use crate::engine::selection::{Criteria, ReadPreference};
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
            heartbeat_frequency: options.heartbeat_frequency(),
            ..Criteria::read(&self.read_preference)
        }
    }
}

impl From<ReadPreference> for Targeting {
    fn from(read_preference: ReadPreference) -> Self {
        Self::new(read_preference)
    }
}
