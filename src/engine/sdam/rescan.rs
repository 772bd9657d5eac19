//! The periodic look-up of the SRV records that the seeds came from.
//!
//! One look-up at a time; the interval counts from the end of the one before. It decides which
//! hosts come and go; the topology machine lets them. Specification:
//! polling-srv-records-for-mongos-discovery.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::link;
use super::notice::EventKind;
use super::topology::{TopologyDescription, TopologyType};
use crate::engine::address::ServerAddress;
use crate::engine::rng::Rng;
use crate::engine::srv::{self, SrvError, SrvRecord};
use crate::engine::time::{Instant, Shown};

/// "MUST NOT be lower than 60 seconds."
pub const MIN_RESCAN_INTERVAL: Duration = Duration::from_secs(60);

/// What the look-ups are told once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RescanSettings {
    /// The host name of the connection string.
    pub host: String,
    /// The service name ("srvServiceName").
    pub service_name: String,
    /// How many hosts of the records are used at most; 0 for all ("srvMaxHosts").
    pub max_hosts: usize,
    /// Whether to look up too while a replica set has no known primary. The specification does so
    /// for sharded clusters only.
    pub replica_sets: bool,
    /// How often, whatever time to live the records have.
    pub interval: Option<Duration>,
    /// The time to live of the records that gave the seeds.
    pub ttl: Duration,
    /// The interval after a failure ("heartbeatFrequencyMS").
    pub heartbeat_frequency: Duration,
    /// How long a look-up may take; zero for no limit.
    pub limit: Duration,
    /// Where the choice of hosts begins.
    pub seed: u64,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Step {
    LookUp { number: u64, name: String },
    Cancel(u64),
    Notify(EventKind),
    Change { add: Vec<ServerAddress>, remove: Vec<ServerAddress> },
}

/// The look-ups of one client.
#[derive(Debug)]
pub(super) struct Rescan {
    settings: RescanSettings,
    rng: Rng,
    state: State,
    /// The number of the latest look-up.
    number: u64,
}

#[derive(Debug)]
enum State {
    /// Before the client starts, and after it was closed.
    Off,
    Waiting {
        until: Instant,
    },
    Asking {
        deadline: Option<Instant>,
    },
}

impl Rescan {
    pub(super) fn new(settings: RescanSettings) -> Self {
        let rng = Rng::seeded(settings.seed);
        Self { settings, rng, state: State::Off, number: 0 }
    }

    /// The client starts; its seeds are fresh.
    pub(super) fn start(&mut self, now: Instant) {
        self.state = State::Waiting { until: now + self.interval(self.settings.ttl) };
    }

    /// The client is being closed.
    pub(super) fn close(&mut self, steps: &mut Vec<Step>) {
        if let State::Asking { .. } = self.state {
            steps.push(Step::Cancel(self.number));
        }
        self.state = State::Off;
    }

    pub(super) fn timeout(&self, topology_type: TopologyType) -> Option<Instant> {
        match self.state {
            State::Waiting { until } if self.applies(topology_type) => Some(until),
            State::Asking { deadline } => deadline,
            State::Waiting { .. } | State::Off => None,
        }
    }

    pub(super) fn elapse(
        &mut self,
        now: Instant,
        topology: &TopologyDescription,
        steps: &mut Vec<Step>,
    ) {
        if self.timeout(topology.topology_type).is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::Waiting { .. } => {
                self.number += 1;
                self.state = State::Asking { deadline: link::deadline(now, self.settings.limit) };
                steps.push(Step::LookUp { number: self.number, name: self.name() });
            }
            State::Asking { .. } => {
                steps.push(Step::Cancel(self.number));
                let reason = format!("no answer within {}", Shown(self.settings.limit));
                self.answered(now, topology, self.number, Err(reason), steps);
            }
            State::Off => {}
        }
    }

    /// The answer to a look-up, or why there is none. An answer that nobody waits for is ignored.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        topology: &TopologyDescription,
        number: u64,
        answer: Result<Vec<SrvRecord>, String>,
        steps: &mut Vec<Step>,
    ) {
        if !matches!(self.state, State::Asking { .. }) || number != self.number {
            return;
        }
        let ttl = answer.as_deref().map(srv::least_ttl).unwrap_or_default();
        let read = answer.map_err(|reason| SrvError::LookUp { name: self.name(), reason });
        let verified = read.map(|records| self.verify(&records));
        let (hosts, mut problems) = match verified {
            Ok(verified) => (verified.hosts, verified.refused),
            Err(error) => (Vec::new(), vec![error]),
        };
        if hosts.is_empty() && problems.is_empty() {
            problems.push(SrvError::NoRecords { name: self.name() });
        }
        let interval =
            if hosts.is_empty() { self.settings.heartbeat_frequency } else { self.interval(ttl) };
        self.state = State::Waiting { until: now + interval };
        let problems: Arc<[SrvError]> = problems.into();
        steps.push(Step::Notify(EventKind::SrvRescanned {
            name: self.name().into(),
            hosts: hosts.clone(),
            problems,
            next: interval,
        }));
        if !hosts.is_empty() && self.applies(topology.topology_type) {
            self.change(topology, hosts, steps);
        }
    }

    /// SRV-12: unchanged hosts are left alone.
    fn change(
        &mut self,
        topology: &TopologyDescription,
        hosts: Vec<ServerAddress>,
        steps: &mut Vec<Step>,
    ) {
        // The members of a set name each other. DNS only adds where to begin anew.
        let set = topology.topology_type == TopologyType::ReplicaSetNoPrimary;
        let gone = |address: &&ServerAddress| !set && !hosts.contains(address);
        let remove: Vec<_> = topology.servers.keys().filter(gone).cloned().collect();
        let kept = topology.servers.len() - remove.len();
        let most = match self.settings.max_hosts {
            0 => usize::MAX,
            most if set || most >= hosts.len() => most,
            most => most.saturating_sub(kept),
        };
        let new = hosts.into_iter().filter(|host| topology.server(host).is_none()).collect();
        let add = srv::choose(new, most, &mut self.rng);
        if !add.is_empty() || !remove.is_empty() {
            steps.push(Step::Change { add, remove });
        }
    }

    /// SRV-08.
    fn applies(&self, topology_type: TopologyType) -> bool {
        match topology_type {
            TopologyType::Unknown | TopologyType::Sharded => true,
            TopologyType::ReplicaSetNoPrimary => self.settings.replica_sets,
            TopologyType::Single
            | TopologyType::ReplicaSetWithPrimary
            | TopologyType::LoadBalanced => false,
        }
    }

    /// "rescanSRVIntervalMS".
    fn interval(&self, ttl: Duration) -> Duration {
        self.settings.interval.unwrap_or(ttl.max(MIN_RESCAN_INTERVAL))
    }

    fn verify(&self, records: &[SrvRecord]) -> srv::Verified {
        srv::verify(&self.settings.service_name, &self.settings.host, records)
    }

    fn name(&self) -> String {
        srv::query_name(&self.settings.service_name, &self.settings.host)
    }
}

#[cfg(test)]
#[path = "rescan_tests.rs"]
mod tests;
