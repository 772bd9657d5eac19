//! The topology machine's part in looking up the SRV records again: hosts come and go.

use super::events::Action;
use super::machine::Sdam;
use super::rescan::{Rescan, Step};
use super::{ServerDescription, TopologyDescription, TopologyType};
use crate::engine::address::ServerAddress;
use crate::engine::srv::SrvRecord;
use crate::engine::time::Instant;
use std::sync::Arc;

impl Sdam {
    pub(super) fn rescan_timeout(&self) -> Option<Instant> {
        self.rescan.as_ref()?.timeout(self.topology.topology_type)
    }

    pub(super) fn looked_up(
        &mut self,
        now: Instant,
        number: u64,
        answer: Result<Vec<SrvRecord>, String>,
    ) {
        let topology = self.topology.clone();
        self.rescan(now, |rescan, steps| rescan.answered(now, &topology, number, answer, steps));
    }

    pub(super) fn elapse_rescan(&mut self, now: Instant) {
        let topology = self.topology.clone();
        self.rescan(now, |rescan, steps| rescan.elapse(now, &topology, steps));
    }

    pub(super) fn rescan(&mut self, now: Instant, tell: impl FnOnce(&mut Rescan, &mut Vec<Step>)) {
        let Some(rescan) = &mut self.rescan else { return };
        let mut steps = Vec::new();
        tell(rescan, &mut steps);
        for step in steps {
            match step {
                Step::LookUp { number, name } => {
                    self.actions.push_back(Action::LookUp { number, name });
                }
                Step::Cancel(number) => self.actions.push_back(Action::CancelLookUp(number)),
                Step::Notify(kind) => self.notify(now, kind),
                Step::Change { add, remove } => self.change_hosts(now, &add, &remove),
            }
        }
    }

    fn change_hosts(&mut self, now: Instant, add: &[ServerAddress], remove: &[ServerAddress]) {
        let mut next = TopologyDescription::clone(&self.topology);
        next.servers.retain(|address, _| !remove.contains(address));
        for address in add {
            let unknown = Arc::new(ServerDescription::unknown(address.clone()));
            next.servers.insert(address.clone(), unknown);
        }
        if next.topology_type == TopologyType::Unknown {
            // Whether a standalone may stay depends on how many seeds there are.
            self.settings.seeds = next.servers.keys().cloned().collect();
        }
        next.refresh();
        self.install(now, next, None);
    }
}
