//! A jump of the clock: the process stood still, and checks before it trusts (GAP-07).
//!
//! A function that was suspended, a paused virtual machine, a stopped process, an executor that was
//! blocked: time has gone on and nobody ran. The machine sees it by its own deadline, the one that
//! [`Sdam::poll_timeout`] gave: whatever it is told more than [`tolerance`] behind that comes
//! after a standstill. Then
//!
//! 1. every server is Unknown until it has answered again: nothing is sent on an old belief;
//! 2. every pool is cleared, connections in use included, since their streams may be half-open; a
//!    reply that has arrived meanwhile still counts;
//! 3. every monitor drops its connection and checks at once on a new one, without the wait that
//!    keeps checks apart, and whatever arrives on the old one is ignored;
//! 4. the silence of that time is held against no server, and is added up in
//!    [`Sdam::stood_still`]: who waits with a limit of his own may wait so much longer.
//!
//! It can only see what the client's clock shows: on some systems the clock of [`Instant`] itself
//! stands still while a laptop sleeps. Dead connections are found there by the time-outs.

use std::time::Duration;

use super::events::Action;
use super::failover::Detection;
use super::machine::Sdam;
use super::settings::MonitorSettings;
use crate::engine::address::ServerAddress;
use crate::engine::time::{Instant, Shown};

/// How late the machine may be told of its deadline without any doubt: as long as a server may be
/// silent on a stream ("connectTimeoutMS" and "heartbeatFrequencyMS").
pub fn tolerance(settings: &MonitorSettings) -> Duration {
    settings.heartbeat_frequency.saturating_add(settings.connect_timeout)
}

impl Sdam {
    /// How long the process has stood still in all, at least: from the deadlines that it missed to
    /// when it went on.
    pub fn stood_still(&self) -> Duration {
        self.stood_still
    }

    /// From when on any input says that the process stood still.
    pub fn overdue(&self) -> Option<Instant> {
        self.poll_timeout().map(|due| due + tolerance(&self.settings.monitor))
    }

    /// Looks whether the process stood still until `now`, and begins anew if so.
    pub(super) fn notice_standstill(&mut self, now: Instant) {
        let Some(due) = self.poll_timeout() else { return };
        if self.overdue().is_none_or(|overdue| now <= overdue) {
            return;
        }
        self.stood_still += now - due;
        self.next_look = self.next_look.map(|_| now);
        self.elapse_rescan(now);
        let reason = format!("the process stood still for {} or more", Shown(now - due));
        let members: Vec<ServerAddress> = self.members.keys().cloned().collect();
        for address in &members {
            self.detection = Detection::StoodStill;
            let known = self.topology.server(address).is_some_and(|s| s.server_type.is_known());
            if known {
                self.mark_unknown(now, address, reason.as_str().into(), None);
                self.clear_pool(address, reason.as_str().into(), true);
                // The server has not failed: who has a cursor there may go on, on a new connection.
                self.actions.push_back(Action::ReadyPool(address.clone()));
            }
        }
        self.detection = Detection::ServerSaidSo;
        for address in &members {
            let Some(member) = self.members.get_mut(address) else { continue };
            let mut steps = Vec::new();
            member.restart(now, &mut steps);
            self.perform(now, address, steps);
        }
    }
}
