//! How many operations wait for a server, and how many are under way: the engine hears when the
//! first comes and when the last goes.

use std::sync::Arc;

use super::on_demand::Attendance;
use super::shared::Shared;
use crate::engine::sdam::{Event, ScanStatus};

impl Shared {
    /// Counts an operation that waits for a server; the engine checks all servers often meanwhile.
    pub(crate) fn wait_for_server(self: &Arc<Self>) -> Demand {
        self.change_waiting(1);
        Demand { shared: self.clone() }
    }

    fn change_waiting(self: &Arc<Self>, change: isize) {
        let now = self.transport.now();
        let mut core = self.core();
        let before = core.waiting;
        core.waiting = before.saturating_add_signed(change);
        if (before == 0) != (core.waiting == 0) && !core.closed {
            let demand = core.waiting > 0;
            self.tell(now, core, Event::Demand(demand));
        }
    }

    /// On demand: what an operation runs beside itself.
    pub(crate) fn attendance(&self) -> Option<&Attendance> {
        self.attendance.as_ref()
    }

    /// On demand: how fresh the belief is.
    pub(crate) fn scan_status(&self) -> Option<ScanStatus> {
        self.attendance.as_ref().and_then(|_| self.core().sdam.scan_status())
    }

    /// Counts an operation that is under way, on demand.
    pub(crate) fn begin_attending(self: &Arc<Self>) -> Attending {
        self.change_attending(1);
        Attending { shared: self.clone() }
    }

    /// On demand: what is believed does not do.
    pub(crate) fn mark_stale(self: &Arc<Self>) {
        if self.attendance.is_some() {
            self.drive(self.transport.now(), Event::Stale);
        }
    }

    fn change_attending(self: &Arc<Self>, change: isize) {
        let mut core = self.core();
        let before = core.attending;
        core.attending = before.saturating_add_signed(change);
        if (before == 0) != (core.attending == 0) && !core.closed {
            let attended = core.attending > 0;
            self.tell(self.transport.now(), core, Event::Attended(attended));
        }
    }
}

/// While it lives, an operation is under way, on demand.
pub(crate) struct Attending {
    shared: Arc<Shared>,
}

impl Drop for Attending {
    fn drop(&mut self) {
        self.shared.change_attending(-1);
    }
}

/// While it lives, an operation waits for a server.
pub(crate) struct Demand {
    shared: Arc<Shared>,
}

impl Drop for Demand {
    fn drop(&mut self) {
        self.shared.change_waiting(-1);
    }
}
