//! Targeting: the names of servers that suit, without a connection to any.

use std::pin::pin;
use std::sync::Arc;

use super::on_demand::attend;
use super::select::{Found, wait};
use super::shared::Shared;
use crate::engine::address::ServerAddress;
use crate::engine::selection::{self, Criteria};
use crate::error::{Error, ErrorKind, Result};
use crate::targeting::Targeting;

/// All servers in the latency window, in random order, waiting where none suits yet.
pub(crate) async fn hosts(
    shared: &Arc<Shared>,
    targeting: &Targeting,
) -> Result<Vec<ServerAddress>> {
    target(shared, targeting, |shared, criteria| {
        let view = shared.view();
        let servers = selection::window(&view.topology, criteria).map_err(Error::of_selection)?;
        let mut hosts: Vec<_> = servers.iter().map(|server| server.address.clone()).collect();
        shared.rng().shuffle(&mut hosts);
        let checked = servers.iter().map(|server| server.last_update_time).min().flatten();
        Ok(Some(Found { what: hosts, checked }).filter(|found| !found.what.is_empty()))
    })
    .await
}

/// The server that an operation would go to now, waiting where none suits yet.
pub(crate) async fn host(shared: &Arc<Shared>, targeting: &Targeting) -> Result<ServerAddress> {
    target(shared, targeting, |shared, criteria| {
        let view = shared.view();
        let busy = |address: &_| view.pools.get(address).map_or(0, |pool| pool.in_flight().count());
        let server = selection::select(&view.topology, criteria, busy, &mut shared.rng())
            .map_err(Error::of_selection)?;
        Ok(server
            .map(|server| Found { what: server.address.clone(), checked: server.last_update_time }))
    })
    .await
}

async fn target<T>(
    shared: &Arc<Shared>,
    targeting: &Targeting,
    find: impl Fn(&Arc<Shared>, &Criteria<'_>) -> Result<Option<Found<T>>>,
) -> Result<T> {
    let criteria = targeting.criteria(&shared.options);
    let timeout = targeting.timeout.unwrap_or(shared.options.server_selection_timeout);
    let attempt = |shared: &Arc<Shared>, criteria: &Criteria<'_>| {
        if shared.is_closed() {
            return Err(Error::new(ErrorKind::Shutdown));
        }
        find(shared, criteria)
    };
    attend(shared, pin!(wait(shared, &criteria, timeout, None, attempt))).await
}
