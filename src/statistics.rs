//! Numbers of one client: each server as it is believed to be, and what finding servers cost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::Serialize;

use crate::engine::address::ServerAddress;
use crate::engine::map::SortedMap;
use crate::engine::sdam::{EventKind, ServerDescription, ServerType, TopologyDescription};
use crate::engine::time::Instant;
use crate::transport::Transport;

/// Numbers of one client at one moment ([`Client::statistics`](crate::Client::statistics)).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// The set's name, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_name: Option<String>,
    /// The servers, in the order of their addresses.
    pub hosts: Vec<HostStatistics>,
    /// Checks of servers.
    pub hello: QueryStatistics,
    /// Selections of a server.
    pub selection: QueryStatistics,
    /// Selections that found a server other than those on which the operation had failed.
    pub num_targeting_avoided_deprioritized: u64,
}

/// Numbers of the clients of a [`Registry`](crate::Registry), named as a server's `connPoolStats`
/// names those of its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistryStatistics {
    /// How many clients were made so far, those that have ended among them.
    pub num_replica_set_monitors_created: u64,
    /// Each set that there is a client for, by its name.
    pub replica_sets: SortedMap<String, Statistics>,
}

/// One server, as it is believed to be.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostStatistics {
    /// The server.
    pub addr: ServerAddress,
    /// Whether it answered the last time.
    pub ok: bool,
    /// Whether it is the primary.
    #[serde(rename = "ismaster")]
    pub is_master: bool,
    /// Whether it is hidden from clients.
    pub hidden: bool,
    /// Whether it is a secondary.
    pub secondary: bool,
    /// The average round-trip time in milliseconds; `None` until it was measured.
    pub ping_time_millis: Option<f64>,
    /// Its tags.
    pub tags: SortedMap<String, String>,
}

/// What one kind of query cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryStatistics {
    /// How many began, ever.
    pub total_calls: u64,
    /// How many have begun and not ended.
    pub currently_active: u64,
    /// Microseconds of all that have ended. A hello that the server was free to hold back, and a
    /// selection that need not wait, cost nothing.
    pub total_latency_micros: u64,
    /// Microseconds of the longest, ever.
    pub max_latency_micros: u64,
    /// Microseconds of the longest that ended in the last second or so.
    pub recent_max_latency_micros: u64,
}

impl HostStatistics {
    fn of(server: &ServerDescription) -> Self {
        Self {
            addr: server.address.clone(),
            ok: server.server_type.is_known(),
            is_master: server.server_type == ServerType::RSPrimary,
            hidden: server.reply.hidden,
            secondary: server.server_type.is_known() && server.reply.secondary,
            ping_time_millis: server.round_trip_time.map(|time| time.as_secs_f64() * 1e3),
            tags: server.tags().clone(),
        }
    }
}

/// How long a maximum is a recent one.
const RECENT: Duration = Duration::from_secs(1);

/// What is counted of one kind of query.
#[derive(Debug, Default)]
struct Query {
    started: AtomicU64,
    active: AtomicU64,
    ended: Mutex<Ended>,
}

/// Of the queries that took time.
#[derive(Clone, Copy, Debug, Default)]
struct Ended {
    total: u64,
    max: u64,
    recent_max: u64,
    recent_since: Instant,
}

impl Query {
    fn begin(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    fn end(&self) {
        // Saturates: the end of a check may be told whose beginning was not.
        let less = |active: u64| active.checked_sub(1);
        let _ = self.active.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    fn took(&self, now: Instant, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let mut ended = self.ended();
        if now.duration_since(ended.recent_since) >= RECENT {
            (ended.recent_since, ended.recent_max) = (now, 0);
        }
        ended.total = ended.total.saturating_add(micros);
        ended.max = ended.max.max(micros);
        ended.recent_max = ended.recent_max.max(micros);
    }

    fn statistics(&self, now: Instant) -> QueryStatistics {
        let ended = *self.ended();
        let recent = now.duration_since(ended.recent_since) < RECENT;
        QueryStatistics {
            total_calls: self.started.load(Ordering::Relaxed),
            currently_active: self.active.load(Ordering::Relaxed),
            total_latency_micros: ended.total,
            max_latency_micros: ended.max,
            recent_max_latency_micros: if recent { ended.recent_max } else { 0 },
        }
    }

    fn ended(&self) -> MutexGuard<'_, Ended> {
        self.ended.lock().expect("not poisoned: adding does not panic")
    }
}

/// Counts while a client lives.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    hello: Query,
    selection: Query,
    avoided_deprioritized: AtomicU64,
}

impl Counters {
    /// Counts the checks among the events of a topology.
    pub(crate) fn topology(&self, at: Instant, event: &EventKind) {
        match event {
            EventKind::ServerHeartbeatStarted { .. } => self.hello.begin(),
            EventKind::ServerHeartbeatSucceeded { awaited, duration, .. }
            | EventKind::ServerHeartbeatFailed { awaited, duration, .. } => {
                self.hello.end();
                if !awaited {
                    self.hello.took(at, *duration);
                }
            }
            _ => {}
        }
    }

    /// A selection begins. Costs three additions, no look at the clock, while it need not wait.
    pub(crate) fn selection_begins(&self) -> Call<'_> {
        self.selection.begin();
        Call { query: &self.selection }
    }

    pub(crate) fn avoided_deprioritized(&self) {
        self.avoided_deprioritized.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn statistics(&self, now: Instant, topology: &TopologyDescription) -> Statistics {
        Statistics {
            set_name: topology.set_name.clone(),
            hosts: topology.servers.values().map(|server| HostStatistics::of(server)).collect(),
            hello: self.hello.statistics(now),
            selection: self.selection.statistics(now),
            num_targeting_avoided_deprioritized: self.avoided_deprioritized.load(Ordering::Relaxed),
        }
    }
}

/// A query that is going on; it ends when this is dropped, also because the query was.
pub(crate) struct Call<'c> {
    query: &'c Query,
}

impl<'c> Call<'c> {
    /// It takes time from now on.
    pub(crate) fn waits(self, transport: &'c Arc<dyn Transport>) -> Wait<'c> {
        Wait { since: transport.now(), transport, call: self }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.query.end();
    }
}

/// A query that takes time.
pub(crate) struct Wait<'c> {
    since: Instant,
    transport: &'c Arc<dyn Transport>,
    call: Call<'c>,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let now = self.transport.now();
        self.call.query.took(now, now.duration_since(self.since));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // IC-95
    #[test]
    fn a_recent_maximum_is_forgotten_after_a_second() {
        let query = Query::default();
        let at = Instant::from_millis;
        query.took(at(5_000), Duration::from_millis(30));
        query.took(at(5_900), Duration::from_millis(10));
        let recent = |now| query.statistics(at(now)).recent_max_latency_micros;
        assert_eq!((recent(5_900), recent(6_000)), (30_000, 0));
        query.took(at(6_000), Duration::from_millis(20));
        assert_eq!(recent(6_500), 20_000);
        let all = query.statistics(at(9_000));
        assert_eq!((all.total_latency_micros, all.max_latency_micros), (60_000, 30_000));
    }
}
