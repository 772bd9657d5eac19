//! Starting sets and clients, and waiting for what a client hears.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_std::future::timeout;
use futures_util::StreamExt as _;
use portolan::event::{Event, EventKind};
use portolan::{Client, ServerType, Topology, TopologyDescription};
use portolan_async_std::Connect as _;
use portolan_support::{
    DEFAULT_VERSION, MemberOptions, MongodBinary, ReplicaSet, ReplicaSetOptions,
};

/// Far more than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// How many events a message names.
const NAMES: usize = 60;

/// A set of three ordinary members.
pub(crate) fn start() -> ReplicaSet {
    start_with(vec![MemberOptions::default(); 3])
}

pub(crate) fn start_with(members: Vec<MemberOptions>) -> ReplicaSet {
    ReplicaSet::start(options(members)).expect("a replica set")
}

/// A set whose members are slow to elect another primary, for tests in which
/// nobody is to be elected: on a loaded machine a second of silence is no death.
pub(crate) fn start_calm(members: Vec<MemberOptions>) -> ReplicaSet {
    let election_timeout = Duration::from_secs(4);
    ReplicaSet::start(ReplicaSetOptions { election_timeout, ..options(members) })
        .expect("a replica set")
}

/// How sets are made here: of the version that `$PORTOLAN_LIVE_MONGOD` names, else of 6.0.5.
pub(crate) fn options(members: Vec<MemberOptions>) -> ReplicaSetOptions {
    ReplicaSetOptions { members, ..ReplicaSetOptions::new(binary(), 0) }
}

pub(crate) fn binary() -> MongodBinary {
    let version = std::env::var("PORTOLAN_LIVE_MONGOD").unwrap_or_else(|_| DEFAULT_VERSION.into());
    MongodBinary::find(Some(&version)).expect("`cargo xtask setup --all` installs mongod")
}

/// Runs a test, which ends in any case.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let limit = Duration::from_secs(300);
    async_std::task::block_on(timeout(limit, test)).expect("the test ends in time");
}

/// A client of `uri`, with all its events from the first on.
pub(crate) async fn connect(uri: &str) -> (Client, Watch) {
    let client = Client::connect(uri).await.expect("a client");
    let watch = Watch { topology: client.topology(), seen: Vec::new() };
    (client, watch)
}

/// What a client has heard so far, and will hear.
pub(crate) struct Watch {
    topology: Topology,
    /// Every event, in its order.
    pub(crate) seen: Vec<Event>,
}

impl Watch {
    /// What the client believes now.
    pub(crate) fn belief(&self) -> Arc<TopologyDescription> {
        self.topology.description()
    }

    /// Waits for an event that was not waited for yet.
    pub(crate) async fn event(&mut self, what: &str, wanted: impl Fn(&EventKind) -> bool) -> Event {
        let deadline = Instant::now() + SOON;
        loop {
            // The time is for the wanted event: others, heartbeats first of all, go on for ever.
            let left = deadline.saturating_duration_since(Instant::now());
            let next = timeout(left, self.topology.next()).await;
            let Ok(Some(event)) = next else {
                panic!("waited for {what}; {}; saw {}", brief(&self.belief()), self.names());
            };
            self.seen.push(event.clone());
            if wanted(&event.kind) {
                return event;
            }
        }
    }

    /// Waits until the belief is as wanted, now or after an event.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        wanted: impl Fn(&TopologyDescription) -> bool,
    ) -> Arc<TopologyDescription> {
        let mut belief = self.belief();
        while !wanted(&belief) {
            let changed =
                |kind: &EventKind| matches!(kind, EventKind::TopologyDescriptionChanged { .. });
            if let EventKind::TopologyDescriptionChanged { new, .. } =
                self.event(what, changed).await.kind
            {
                belief = new;
            }
        }
        belief
    }

    /// Waits for a primary and `members - 1` secondaries.
    pub(crate) async fn until_complete(&mut self, members: usize) -> Arc<TopologyDescription> {
        self.until("a complete set", |belief| {
            belief.primary().is_some()
                && count(belief, ServerType::RSSecondary) == members - 1
                && belief.servers.len() == members
        })
        .await
    }

    /// Takes the events that are there already, without waiting.
    pub(crate) fn catch_up(&mut self) {
        use futures_util::FutureExt as _;
        while let Some(Some(event)) = self.topology.next().now_or_never() {
            self.seen.push(event);
        }
    }

    /// The names of the latest events, each run of equal ones once.
    pub(crate) fn names(&self) -> String {
        let mut names: Vec<String> = self
            .seen
            .iter()
            .map(|event| match event.kind.address() {
                Some(address) => format!("{} {address}", event.kind.name()),
                None => event.kind.name().to_owned(),
            })
            .collect();
        names.dedup();
        // What led to a failure is at the end; a test of minutes hears thousands.
        names.split_off(names.len().saturating_sub(NAMES)).join(", ")
    }
}

pub(crate) fn count(belief: &TopologyDescription, server_type: ServerType) -> usize {
    belief.servers.values().filter(|server| server.server_type == server_type).count()
}

/// The addresses of the servers, as texts.
pub(crate) fn addresses(belief: &TopologyDescription) -> BTreeSet<String> {
    belief.servers.keys().map(ToString::to_string).collect()
}

fn brief(belief: &TopologyDescription) -> String {
    let servers: Vec<String> = belief
        .servers
        .values()
        .map(|server| {
            let error = server.error.as_ref().map_or("", |error| &*error.message);
            format!("{} {} {error}", server.address, server.server_type.as_str())
        })
        .collect();
    format!("{} of {}", belief.topology_type.as_str(), servers.join(", "))
}

/// The address of the primary, as text.
pub(crate) fn primary(belief: &TopologyDescription) -> Option<String> {
    belief.primary().map(|server| server.address.to_string())
}
