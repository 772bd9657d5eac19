//! The connection of an attempt: an idle one, or a new one.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select as either};

use super::connection::{Connection, ConnectionError, Patience};
use super::dial::dial;
use super::execute::Run;
use super::failed::{Failed, explain, may_be_overload, refusal};
use super::pool::{CheckedOut, PooledConnection, Slot};
use super::select::Selected;
use crate::engine::op::retry;
use crate::engine::op::{self, Trouble};
use crate::engine::sdam::{Failure, FailureKind, Stage};
use crate::error::{Error, ErrorKind};

impl Run<'_> {
    /// A connection to the selected server: an idle one that is alive, or a new one.
    pub(super) async fn connect(&self, selected: &Selected) -> Result<PooledConnection, Failed> {
        self.shared.tend_unmonitored(&selected.pool);
        loop {
            match self.check_out(selected).await? {
                CheckedOut::Slot(slot) => return self.establish(selected, slot).await,
                CheckedOut::Connection(mut connection) => {
                    if self.rested_too_long(&connection) {
                        return self.probe(selected, connection).await;
                    }
                    if connection.is_alive(self.shared.transport.now()).await {
                        return Ok(connection);
                    }
                }
            }
        }
    }

    /// Server selection "Checking an Idle Socket After socketCheckIntervalMS": on demand only.
    fn rested_too_long(&self, connection: &Connection) -> bool {
        let shared = self.shared;
        shared.attendance().is_some()
            && connection.rested(shared.transport.now()) >= shared.options.socket_check_interval
    }

    /// Asks the server whether it is there: nobody has heard of it for a while.
    async fn probe(
        &self,
        selected: &Selected,
        mut connection: PooledConnection,
    ) -> Result<PooledConnection, Failed> {
        let transport = &*self.shared.transport;
        let options = &self.shared.options;
        let limit = self.limit(options.socket_timeout.or(options.connect_timeout));
        let api = options.server_api;
        let ping = |into: &mut Vec<u8>, request| op::Ping::encode(into, request, api);
        let pong = connection.exchange(transport, limit, ping).await;
        let Err(error) = pong else { return Ok(connection) };
        let address = selected.pool.address().clone();
        let generation = connection.generation();
        drop(connection);
        // "set the server's type to Unknown", whatever was the matter with the connection.
        let kind = FailureKind::Network(error.to_string().into());
        let stage = Stage::Established;
        self.shared.report(Failure::of(&address, generation, stage, kind));
        let error = self.label_network_error(explain(&address, &error), None);
        Err(Failed { error, trouble: Trouble::Unsent, avoid: Some(address) })
    }

    async fn check_out(&self, selected: &Selected) -> Result<CheckedOut, Failed> {
        let transport = &self.shared.transport;
        let check_out = pin!(selected.pool.check_out(transport));
        let limit = match self.connected_by {
            Some(end) => Some(end - transport.now()),
            None if self.route.budget.is_set() => None,
            None => self.shared.options.wait_queue_timeout.filter(|_| self.route.awaited),
        };
        let checked_out = match limit {
            None => check_out.await,
            Some(limit) => {
                let deadline = transport.sleep_until(transport.now() + limit);
                match either(check_out, deadline).await {
                    Either::Left((checked_out, _)) => checked_out,
                    Either::Right(_) => return Err(self.waited_too_long(selected, limit)),
                }
            }
        };
        checked_out.map_err(|error| {
            let address = selected.pool.address().clone();
            let error = Error::new(ErrorKind::Pool { address, error });
            let error = self.label_network_error(error, None);
            Failed { error, trouble: Trouble::Unsent, avoid: None }
        })
    }

    fn waited_too_long(&self, selected: &Selected, limit: Duration) -> Failed {
        let (address, error) = (selected.pool.address().clone(), selected.pool.timed_out(limit));
        Failed::unsent(Error::new(ErrorKind::Pool { address, error }))
    }

    async fn establish(&self, selected: &Selected, slot: Slot) -> Result<PooledConnection, Failed> {
        // On the heap: TLS and authentication would make every operation's future larger.
        let connect = self.shared.options.connect_timeout;
        let patience = Patience { connect, command: None, until: self.connected_by };
        let made = Box::pin(dial(self.shared, slot, patience)).await;
        made.map_err(|(stage, error)| self.unreachable(selected, stage, &error))
    }

    /// No connection could be made. CMAP "Backpressure": that counts as overload, unless the server
    /// answered something else than overload.
    fn unreachable(&self, selected: &Selected, stage: Stage, error: &ConnectionError) -> Failed {
        if stage == Stage::Authenticating || refusal(error).is_some() {
            return self.unproved(selected, error);
        }
        let address = selected.pool.address();
        let explained = self.label_network_error(explain(address, error), None);
        let avoid = Some(address.clone());
        if !may_be_overload(error) {
            return Failed { error: explained, trouble: Trouble::Unsent, avoid };
        }
        let error =
            explained.with_label(retry::SYSTEM_OVERLOADED_ERROR).with_label(op::RETRYABLE_ERROR);
        let retryable = self.may_retry_overload();
        let trouble = Trouble::Overloaded { retryable, sent: false, base: None };
        Failed { error, trouble, avoid }
    }
}
