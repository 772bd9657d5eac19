//! Who is primary, and when that changes.
//!
//! A simplification of the servers' protocol that keeps what clients see: a lost primary is missed
//! after the election timeout, a stepped-down one is replaced sooner, a minority has no primary,
//! each election has a higher term, and a primary that was frozen meanwhile finds itself deposed.

use std::time::Duration;

use portolan::engine::time::Instant;

use crate::cluster::Cluster;
use crate::node::{Fault, Refused, State};

/// How long members go without a primary before one of them stands.
const ELECTION_TIMEOUT: Duration = Duration::from_millis(1000);
/// The latest that a member stands after that, so that not all do at once.
const ELECTION_SPREAD: usize = 150;
/// How long the successor of a primary takes that stepped down by itself.
const HANDOVER: Duration = Duration::from_millis(150);
/// How long a member does not stand again after it stepped down.
const STEP_DOWN: Duration = Duration::from_secs(10);

impl Cluster {
    pub(crate) fn apply(
        &mut self,
        now: Instant,
        member: usize,
        fault: Fault,
    ) -> Result<(), Refused> {
        let state = self.nodes.get(member).ok_or(Refused::NoSuchMember)?.state;
        match (fault, state) {
            (Fault::StepDown, State::Running) => return self.step_down(now, member, STEP_DOWN),
            (Fault::Freeze, State::Running) => self.nodes[member].state = State::Frozen,
            (Fault::Kill, State::Running | State::Frozen) => {
                self.nodes[member].state = State::Stopped;
            }
            (Fault::Thaw, State::Frozen) => {
                self.nodes[member].state = State::Running;
                self.nodes[member].learn(self.primary);
            }
            (Fault::Restart, State::Stopped) => {
                let primary = self.primary.filter(|primary| *primary != member);
                if primary.is_none() {
                    self.primary = None;
                }
                self.nodes[member].start(primary, &mut self.rng);
            }
            (_, state) => return Err(Refused::State(state)),
        }
        self.schedule(now);
        Ok(())
    }

    /// The primary becomes a secondary that does not stand for `time`.
    pub(crate) fn step_down(
        &mut self,
        now: Instant,
        member: usize,
        time: Duration,
    ) -> Result<(), Refused> {
        if self.primary() != Some(member) {
            return Err(Refused::NotPrimary);
        }
        self.depose();
        self.nodes[member].stands_from = now + time;
        self.changes_at = self.next_candidacy().map(|soonest| soonest.max(now + HANDOVER));
        Ok(())
    }

    /// Does what is due at `now`.
    pub(crate) fn advance(&mut self, now: Instant) {
        if self.changes_at.is_none_or(|at| at > now) {
            return;
        }
        self.changes_at = None;
        if !self.has_majority() {
            self.depose();
            return;
        }
        let stands =
            |index: &usize| self.is_running(*index) && self.nodes[*index].stands_from <= now;
        let candidates: Vec<usize> = (0..self.nodes.len()).filter(stands).collect();
        if candidates.is_empty() {
            self.schedule(now);
            return;
        }
        let winner = candidates[self.rng.below(candidates.len())];
        self.elect(winner);
    }

    /// Makes `winner` primary of a new term; who cannot hear of it does not.
    pub(crate) fn elect(&mut self, winner: usize) {
        self.term += 1;
        self.primary = Some(winner);
        for node in self.nodes.iter_mut().filter(|node| node.state == State::Running) {
            node.learn(Some(winner));
        }
    }

    /// Decides when the set will next change by itself.
    fn schedule(&mut self, now: Instant) {
        let settled = self.primary().is_some() == self.has_majority();
        if settled {
            self.changes_at = None;
            return;
        }
        let spread = u64::try_from(self.rng.below(ELECTION_SPREAD)).unwrap_or(0);
        let missed = now + ELECTION_TIMEOUT + Duration::from_millis(spread);
        self.changes_at = match (self.changes_at, self.next_candidacy()) {
            (Some(already), _) if already > now => Some(already),
            (_, Some(soonest)) if self.has_majority() => Some(soonest.max(missed)),
            _ => Some(missed),
        };
    }

    fn depose(&mut self) {
        self.primary = None;
        for node in self.nodes.iter_mut().filter(|node| node.state == State::Running) {
            node.learn(None);
        }
    }

    /// When the first running member may stand.
    fn next_candidacy(&self) -> Option<Instant> {
        self.nodes
            .iter()
            .filter(|node| node.state == State::Running)
            .map(|node| node.stands_from)
            .min()
    }

    fn has_majority(&self) -> bool {
        let running = (0..self.nodes.len()).filter(|index| self.is_running(*index)).count();
        running * 2 > self.nodes.len()
    }

    fn is_running(&self, index: usize) -> bool {
        self.nodes[index].state == State::Running
    }
}
