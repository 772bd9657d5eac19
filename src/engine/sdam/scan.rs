//! On-demand monitoring: all servers are scanned when an operation needs it, and never else.
//!
//! Specification: server-monitoring "Single-threaded monitoring", and the scanning part of server
//! selection. For runtimes where nothing may run between requests. The shell runs the machine while
//! an operation is under way ([`Event::Attended`](super::Event::Attended)) and not otherwise.
//!
//! The specification's clients check one server after another and block meanwhile. Here a scan
//! starts the checks in the specification's order without waiting for one another, and an operation
//! goes on as soon as a server suits that has answered *in this scan*
//! ([`crate::engine::selection::Search`]): as a member that does not answer would otherwise cost
//! every cold start its connect time-out. What is left of the scan goes on beside the operation,
//! rests when that ends, and goes on beside the next one.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::events::Action;
use super::machine::Sdam;
use super::monitor::MIN_HEARTBEAT_FREQUENCY;
use super::server::{ServerDescription, ServerType};
use crate::engine::address::ServerAddress;
use crate::engine::rng::Rng;
use crate::engine::time::Instant;

/// How long a scan passes over a server that could not be reached ("cooldownMS"); fixed by the
/// specification.
pub const COOLDOWN: Duration = Duration::from_secs(5);

/// What on-demand monitoring is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScanSettings {
    /// What the order of equal servers follows from.
    pub seed: u64,
}

/// How fresh the belief is: what a selection has to know of scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanStatus {
    /// When the scan that is under way began.
    pub began: Option<Instant>,
    /// When the latest scan ended.
    pub ended: Option<Instant>,
    /// Whether the topology is marked stale.
    pub stale: bool,
    /// After how long without a scan it is stale anyway.
    pub heartbeat_frequency: Duration,
}

impl ScanStatus {
    /// When the next scan may begin at the earliest.
    pub fn earliest(&self) -> Option<Instant> {
        self.ended.map(|ended| ended + MIN_HEARTBEAT_FREQUENCY)
    }

    /// Whether a selection must not begin without a scan (SM-17, SS-34).
    pub fn is_stale(&self, now: Instant) -> bool {
        let old = |ended: Instant| ended + self.heartbeat_frequency < now;
        self.stale || self.ended.is_none_or(old)
    }
}

/// The scans of one client.
#[derive(Debug)]
pub(super) struct Scanner {
    rng: Rng,
    /// Whether the machine was opened: before, there is nothing to scan.
    open: bool,
    attended: bool,
    /// Since when nobody attends.
    rests: Option<Instant>,
    stale: bool,
    scan: Option<Scan>,
    ended: Option<Instant>,
}

/// A scan that is under way.
#[derive(Debug)]
struct Scan {
    began: Instant,
    /// Whose check was ordered in it.
    ordered: Vec<ServerAddress>,
}

impl Scanner {
    pub(super) fn new(settings: ScanSettings) -> Self {
        Self {
            rng: Rng::seeded(settings.seed),
            open: false,
            attended: false,
            rests: None,
            stale: true,
            scan: None,
            ended: None,
        }
    }

    /// When the next scan may begin: "rescan all servers" at least 500 ms behind the latest.
    fn earliest(&self) -> Option<Instant> {
        self.ended.map(|ended| ended + MIN_HEARTBEAT_FREQUENCY)
    }

    fn awaits_scan(&self) -> bool {
        self.open && self.attended && self.stale && self.scan.is_none()
    }
}

impl Sdam {
    /// How fresh the belief is; `None` where monitors keep it fresh in the background.
    pub fn scan_status(&self) -> Option<ScanStatus> {
        let scanner = self.scanner.as_ref()?;
        Some(ScanStatus {
            began: scanner.scan.as_ref().map(|scan| scan.began),
            ended: scanner.ended,
            stale: scanner.stale,
            heartbeat_frequency: self.settings.monitor.heartbeat_frequency,
        })
    }

    /// Whether somebody carries time and bytes to this machine: in the background always.
    pub(super) fn is_attended(&self) -> bool {
        self.scanner.as_ref().is_none_or(|scanner| scanner.attended)
    }

    pub(super) fn open_scanner(&mut self) {
        if let Some(scanner) = &mut self.scanner {
            scanner.open = true;
        }
    }

    /// When a scan that is wanted may begin.
    pub(super) fn scan_timeout(&self) -> Option<Instant> {
        let scanner = self.scanner.as_ref().filter(|scanner| scanner.awaits_scan())?;
        if self.demand { scanner.earliest() } else { None }
    }

    /// "mark the topology stale" (SM-17, SD-101, SS-37).
    pub(super) fn outdated(&mut self) {
        if let Some(scanner) = &mut self.scanner {
            scanner.stale = true;
        }
    }

    /// The server is to be checked in this scan though it was (SD-80).
    pub(super) fn scan_again(&mut self, address: &ServerAddress) {
        if let Some(scan) = self.scanner.as_mut().and_then(|scanner| scanner.scan.as_mut()) {
            scan.ordered.retain(|ordered| ordered != address);
        }
    }

    /// Operations begin, or the last one has ended.
    pub(super) fn attended(&mut self, now: Instant, attended: bool) {
        let Some(scanner) = &mut self.scanner else { return };
        if std::mem::replace(&mut scanner.attended, attended) == attended {
            return;
        }
        if attended {
            let pause = scanner.rests.take().map_or(Duration::ZERO, |since| now - since);
            self.resume(now, pause);
            self.elapse_rescan(now);
        } else {
            scanner.rests = Some(now);
            self.rest(now);
        }
    }

    fn rest(&mut self, now: Instant) {
        if self.next_look.take().is_some() {
            // Whoever begins next is to ask for a look again.
            self.actions.push_back(Action::ReportInFlight);
        }
        let addresses: Vec<ServerAddress> = self.members.keys().cloned().collect();
        for address in addresses {
            let Some(member) = self.members.get_mut(&address) else { continue };
            let mut steps = Vec::new();
            member.rest(now, &mut steps);
            self.perform(now, &address, steps);
        }
    }

    fn resume(&mut self, now: Instant, pause: Duration) {
        let addresses: Vec<ServerAddress> = self.members.keys().cloned().collect();
        for address in addresses {
            let Some(member) = self.members.get_mut(&address) else { continue };
            let mut steps = Vec::new();
            if member.resume(now, pause, &mut steps) {
                self.scan_again(&address);
            }
            self.perform(now, &address, steps);
        }
    }

    /// Begins a scan that is due, orders the checks that are left of it, ends it.
    pub(super) fn scan(&mut self, now: Instant) {
        let demand = self.demand;
        let Some(scanner) = self.scanner.as_mut().filter(|_| !self.closed) else { return };
        if demand && scanner.awaits_scan() && scanner.earliest().is_none_or(|at| at <= now) {
            scanner.stale = false;
            scanner.scan = Some(Scan { began: now, ordered: Vec::new() });
        }
        let Some(scan) = scanner.scan.as_mut().filter(|_| scanner.attended) else { return };
        let left = |address: &ServerAddress| {
            let member = self.members.get(address);
            member.is_some_and(|member| member.is_monitored() && !member.is_cooling(scan.began))
                && !scan.ordered.contains(address)
        };
        let servers = self.topology.servers.values();
        let mut left: Vec<_> = servers.filter(|server| left(&server.address)).cloned().collect();
        if left.is_empty() {
            if !self.members.values().any(|member| member.is_checking()) {
                scanner.scan = None;
                scanner.ended = Some(now);
                // Who waits for the end of the scan looks again.
                self.actions.push_back(Action::Publish(self.topology.clone()));
            }
            return;
        }
        order(&mut left, &mut scanner.rng);
        scan.ordered.extend(left.iter().map(|server| server.address.clone()));
        for server in left {
            let Some(member) = self.members.get_mut(&server.address) else { continue };
            let mut steps = Vec::new();
            member.order(now, &mut steps);
            self.perform(now, &server.address, steps);
        }
    }
}

/// Server monitoring "Scanning order": primaries, possible primaries, then whatever was checked
/// longest ago, unknown servers and ghosts last; equal ones in random order (SM-19, SM-21).
fn order(servers: &mut [Arc<ServerDescription>], rng: &mut Rng) {
    rng.shuffle(servers);
    servers.sort_by_key(|server| (rank(server.server_type), server.last_update_time));
}

fn rank(server_type: ServerType) -> u8 {
    match server_type {
        ServerType::RSPrimary => 0,
        ServerType::PossiblePrimary => 1,
        ServerType::Standalone
        | ServerType::Mongos
        | ServerType::RSSecondary
        | ServerType::RSArbiter
        | ServerType::RSOther
        | ServerType::LoadBalancer => 2,
        ServerType::Unknown | ServerType::RSGhost => 3,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn server(port: u16, server_type: ServerType, checked: Option<u64>) -> Arc<ServerDescription> {
        Arc::new(ServerDescription {
            server_type,
            last_update_time: checked.map(Instant::from_millis),
            ..ServerDescription::unknown(ServerAddress::tcp("h", port))
        })
    }

    fn ordered(mut servers: Vec<Arc<ServerDescription>>, seed: u64) -> Vec<String> {
        order(&mut servers, &mut Rng::seeded(seed));
        servers.iter().map(|server| server.address.to_string()).collect()
    }

    // SM-19
    #[test]
    fn primaries_come_first_and_unknown_servers_last() {
        let servers = vec![
            server(1, ServerType::Unknown, None),
            server(2, ServerType::RSGhost, Some(3)),
            server(3, ServerType::RSSecondary, Some(9)),
            server(4, ServerType::RSArbiter, Some(5)),
            server(5, ServerType::PossiblePrimary, None),
            server(6, ServerType::RSPrimary, Some(10)),
            server(7, ServerType::Unknown, Some(1)),
        ];
        for seed in 0..20 {
            let order = ordered(servers.clone(), seed);
            assert_eq!(order, ["h:6", "h:5", "h:4", "h:3", "h:1", "h:7", "h:2"]);
        }
    }

    // SM-21
    #[test]
    fn what_was_never_checked_is_scanned_in_random_order_and_then_in_the_same() {
        let unchecked = |port| server(port, ServerType::Unknown, None);
        let first: BTreeSet<_> =
            (0..200).map(|seed| ordered((1..=3).map(unchecked).collect(), seed)).collect();
        assert_eq!(first.len(), 6, "every order there is");
        let checked = |port: u16| server(port, ServerType::Mongos, Some(100 - u64::from(port)));
        let later: BTreeSet<_> =
            (0..200).map(|seed| ordered((1..=3).map(checked).collect(), seed)).collect();
        assert_eq!(later.into_iter().collect::<Vec<_>>(), [["h:3", "h:2", "h:1"]]);
    }
}
