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
use crate::engine::selection::{self, Criteria};
use crate::error::{Error, ErrorKind, Result};
use crate::logging::SelectionLog;

/// A server for one operation, which counts as in flight there for as long as this lives.
pub(crate) struct Selected {
    pub(crate) server: Arc<ServerDescription>,
    pub(crate) topology_type: TopologyType,
    pub(crate) pool: Arc<ServerPool>,
    flight: Option<Flight>,
}

impl Selected {
    /// The same server, for another operation.
    pub(crate) fn again(&self, shared: &Arc<Shared>) -> Self {
        Self {
            server: self.server.clone(),
            topology_type: self.topology_type,
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

/// Selects a server, waiting up to the server selection time-out.
pub(crate) async fn select(
    shared: &Arc<Shared>,
    criteria: &Criteria<'_>,
    operation: &str,
) -> Result<Selected> {
    shared.check_clock();
    let Some(log) = shared.observers.log.selection(criteria, operation) else {
        return wait(shared, criteria, shared.options.server_selection_timeout, None, try_select)
            .await;
    };
    log.started(&shared.view().topology);
    let timeout = shared.options.server_selection_timeout;
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
    attempt: impl Fn(&Arc<Shared>, &Criteria<'_>) -> Result<Option<T>>,
) -> Result<T> {
    let call = shared.observers.counters.selection_begins();
    if let Some(selected) = attempt(shared, criteria)? {
        return Ok(selected);
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
        if let Some(selected) = attempt(shared, criteria)? {
            return Ok(selected);
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

fn try_select(shared: &Arc<Shared>, criteria: &Criteria<'_>) -> Result<Option<Selected>> {
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
    Ok(Some(Selected {
        server: server.clone(),
        topology_type: view.topology.topology_type,
        pool: pool.clone(),
        flight: Some(Flight::begin(shared, pool)),
    }))
}

/// ARCHITECTURE: every server with the reason why it was not chosen.
fn timed_out(shared: &Shared, criteria: &Criteria<'_>, timeout: Duration) -> Error {
    let view = shared.view();
    let verdicts = selection::explain(&view.topology, criteria, shared.transport.now());
    let mut message = format!("no server was suitable for {criteria} within {timeout:?}");
    if !shared.is_running() {
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
