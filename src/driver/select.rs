//! From criteria to a server and its pool, waiting where none suits yet.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select as either};

use super::in_flight::{Flight, Told};
use super::pool::ServerPool;
use super::shared::Shared;
use crate::engine::address::ServerAddress;
use crate::engine::sdam::{ServerDescription, TopologyType};
use crate::engine::selection::search::Step;
use crate::engine::selection::{self, Criteria, OperationKind, Search};
use crate::engine::time::{Instant, Shown};
use crate::error::{Error, ErrorKind, Result};
use crate::logging::SelectionLog;

/// A server for one operation, which counts as in flight there for as long as this lives.
pub(crate) struct Selected {
    pub(crate) server: Arc<ServerDescription>,
    pub(crate) topology_type: TopologyType,
    /// Whether the read preference had its say.
    pub(crate) by_preference: bool,
    pub(crate) pool: Arc<ServerPool>,
    flight: Option<Flight>,
}

impl Selected {
    /// The same server, for another operation.
    pub(crate) fn again(&self, shared: &Arc<Shared>) -> Self {
        Self {
            server: self.server.clone(),
            topology_type: self.topology_type,
            by_preference: self.by_preference,
            pool: self.pool.clone(),
            flight: Some(Flight::begin(shared, &self.pool)),
        }
    }

    /// Ends when the operation is to reconsider where it is.
    pub(crate) fn told(&self) -> Told<'_> {
        Told(self.flight.as_ref())
    }

    /// The operation is over, the server is still wanted.
    pub(crate) fn rests(&mut self) {
        self.flight = None;
    }

    /// The server that has a cursor, whatever it has become.
    pub(crate) fn of(shared: &Arc<Shared>, address: &ServerAddress) -> Result<Self> {
        shared.check_clock();
        let view = shared.view();
        match (view.topology.server(address), view.pools.get(address)) {
            (Some(server), Some(pool)) => Ok(Self {
                server: server.clone(),
                topology_type: view.topology.topology_type,
                by_preference: true,
                pool: pool.clone(),
                flight: Some(Flight::begin(shared, pool)),
            }),
            _ => Err(Error::new(ErrorKind::Network {
                address: address.clone(),
                message: "the server left the deployment, and the cursor with it".to_owned(),
            })),
        }
    }
}

/// Selects a server, waiting up to `timeout`. The operation is its name and, where it may take
/// several commands, its number.
pub(crate) async fn select(
    shared: &Arc<Shared>,
    criteria: &Criteria<'_>,
    operation: (&str, Option<i64>),
    timeout: Duration,
) -> Result<Selected> {
    shared.check_clock();
    let Some(log) = shared.observers.log.selection(criteria, operation) else {
        return wait(shared, criteria, timeout, None, try_select).await;
    };
    log.started(&shared.view().topology);
    let outcome = wait(shared, criteria, timeout, Some(&log), try_select).await;
    match &outcome {
        Ok(selected) => log.succeeded(&shared.view().topology, &selected.server.address),
        Err(error) => log.failed(&shared.view().topology, error),
    }
    outcome
}

/// Waits until `attempt` finds something in the belief, up to `timeout`.
pub(super) async fn wait<T>(
    shared: &Arc<Shared>,
    criteria: &Criteria<'_>,
    timeout: Duration,
    log: Option<&SelectionLog<'_>>,
    attempt: impl Fn(&Arc<Shared>, &Criteria<'_>) -> Result<Option<Found<T>>>,
) -> Result<T> {
    if shared.attendance().is_some() {
        return search(shared, criteria, timeout, log, attempt).await;
    }
    let call = shared.observers.counters.selection_begins();
    if let Some(found) = attempt(shared, criteria)? {
        return Ok(found.what);
    }
    let _call = call.waits(&shared.transport);
    if let Some(log) = log {
        log.waiting(&shared.view().topology, timeout);
    }
    let started = shared.transport.now();
    let mut limit = started + timeout;
    let stood_still = shared.known_standstill();
    let mut deadline = shared.transport.sleep_until(limit);
    let _demand = shared.wait_for_server();
    loop {
        let changed = shared.changed();
        if let Some(found) = attempt(shared, criteria)? {
            return Ok(found.what);
        }
        if let Either::Right(_) = either(changed, &mut deadline).await {
            // Time that passed while nobody ran does not count.
            let lost = shared.stood_still(shared.transport.now()) - stood_still;
            if started + timeout + lost <= limit {
                return Err(timed_out(shared, criteria, timeout));
            }
            limit = started + timeout + lost;
            deadline = shared.transport.sleep_until(limit);
        }
    }
}

/// The same on demand: scans in between, as [`Search`] says.
async fn search<T>(
    shared: &Arc<Shared>,
    criteria: &Criteria<'_>,
    timeout: Duration,
    log: Option<&SelectionLog<'_>>,
    attempt: impl Fn(&Arc<Shared>, &Criteria<'_>) -> Result<Option<Found<T>>>,
) -> Result<T> {
    let mut call = Some(shared.observers.counters.selection_begins());
    let try_once = shared.options.server_selection_try_once != Some(false);
    let search = Search::new(shared.transport.now(), timeout, try_once);
    let mut waiting = None;
    loop {
        let changed = shared.changed();
        let Some(status) = shared.scan_status() else {
            return Err(Error::new(ErrorKind::Shutdown));
        };
        let found = attempt(shared, criteria).inspect_err(|_| shared.mark_stale())?;
        let now = shared.transport.now();
        match (search.next(now, &status, found.as_ref().map(|found| found.checked)), found) {
            (Step::Take, Some(found)) => return Ok(found.what),
            (Step::Fail, _) => return Err(timed_out(shared, criteria, timeout)),
            (Step::Scan, _) => shared.mark_stale(),
            (Step::Take | Step::Wait, _) => {}
        }
        waiting.get_or_insert_with(|| {
            if let Some(log) = log {
                log.waiting(&shared.view().topology, timeout);
            }
            (call.take().map(|call| call.waits(&shared.transport)), shared.wait_for_server())
        });
        changed.await;
    }
}

/// What an attempt has found.
pub(super) struct Found<T> {
    pub(super) what: T,
    /// When the server was last checked; the first of several.
    pub(super) checked: Option<Instant>,
}

fn try_select(shared: &Arc<Shared>, criteria: &Criteria<'_>) -> Result<Option<Found<Selected>>> {
    let view = shared.view();
    let busy = |address: &_| view.pools.get(address).map_or(0, |pool| pool.in_flight().count());
    let chosen = selection::select(&view.topology, criteria, busy, &mut shared.rng());
    let server = match chosen {
        Ok(Some(server)) => server,
        Ok(None) if shared.is_closed() => return Err(Error::new(ErrorKind::Shutdown)),
        Ok(None) => return Ok(None),
        Err(error) => return Err(Error::of_selection(error)),
    };
    let Some(pool) = view.pools.get(&server.address) else { return Ok(None) };
    if !criteria.deprioritized.is_empty() && !criteria.deprioritized.contains(&server.address) {
        shared.observers.counters.avoided_deprioritized();
    }
    let selected = Selected {
        server: server.clone(),
        topology_type: view.topology.topology_type,
        by_preference: criteria.resolved(&view.topology).operation != OperationKind::Write,
        pool: pool.clone(),
        flight: Some(Flight::begin(shared, pool)),
    };
    Ok(Some(Found { what: selected, checked: server.last_update_time }))
}

/// ARCHITECTURE: every server with the reason why it was not chosen.
fn timed_out(shared: &Shared, criteria: &Criteria<'_>, timeout: Duration) -> Error {
    let view = shared.view();
    let verdicts = selection::explain(&view.topology, criteria, shared.transport.now());
    let mut message = format!("no server was suitable for {criteria} within {}", Shown(timeout));
    if shared.attendance().is_some() {
        // What was tried is told of each server; a time-out there may have been none.
        message = format!("no server was suitable for {criteria} after a scan of all servers");
    } else if !shared.is_running() {
        message.push_str("; the Driver future was never polled: spawn it");
    }
    if verdicts.is_empty() {
        let wanted = view.topology.set_name.as_deref();
        message.push_str("; no server is left in the topology");
        if let Some(name) = wanted {
            let _ = write!(message, ": none of the seeds is a member of replica set \"{name}\"");
        }
    }
    let hints = selection::hints(&view.topology);
    Error::new(ErrorKind::ServerSelection { message, verdicts, hints })
}
