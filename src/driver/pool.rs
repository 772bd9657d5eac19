//! One server's pool: the engine's pool machine, its waiters and its connections.
//!
//! In the uncontended case a check-out is one short mutex: no channel, no task.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use bson::oid::ObjectId;
use futures_channel::oneshot;

use super::connection::{Connection, Offered};
use super::framed::Interrupt;
use super::in_flight::InFlight;
use super::observe::PoolObserver;
use super::pool_status::PoolStatus;
use crate::engine::address::ServerAddress;
use crate::engine::map::SortedMap;
use crate::engine::pool::{
    Generation, Grant, Numbered, Permit, Pool, PoolAction, PoolError, PoolSettings, Purpose, Ticket,
};
use crate::engine::time::Instant;
use crate::transport::Transport;

/// One server's pool.
#[derive(Debug)]
pub(crate) struct ServerPool {
    address: ServerAddress,
    core: Mutex<Core>,
    in_flight: InFlight,
}

struct Core {
    machine: Pool<Connection>,
    observer: PoolObserver,
    /// Who waits, in the order of the tickets: many perhaps, of whom the first is served.
    waiters: VecDeque<(Ticket, oneshot::Sender<Grant<Connection>>)>,
    /// How to interrupt each connection, by its number.
    interrupts: SortedMap<u64, (u64, Arc<Interrupt>)>,
    /// A monitor's stream, for the next connection that is made.
    offered: Option<Offered>,
}

impl ServerPool {
    pub(crate) fn new(
        address: ServerAddress,
        settings: PoolSettings,
        observer: PoolObserver,
    ) -> Self {
        let core = Core {
            machine: Pool::new(settings),
            observer,
            waiters: VecDeque::new(),
            interrupts: SortedMap::new(),
            offered: None,
        };
        let pool = Self { address, core: Mutex::new(core), in_flight: InFlight::default() };
        pool.change(|core| core.machine.created());
        pool
    }

    pub(crate) fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// The operations that were given to the server and have not ended (server selection's
    /// "operationCount").
    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.in_flight
    }

    /// The pool at this moment; `monitors` are the connections that are not the pool's.
    pub(crate) fn status(&self, now: Instant, monitors: usize) -> PoolStatus {
        let operations = self.in_flight.count();
        PoolStatus::of(&self.address, &mut self.core().machine, now, monitors, operations)
    }

    /// Why somebody gives up who has waited for `limit`.
    pub(crate) fn timed_out(&self, limit: Duration) -> PoolError {
        self.core().machine.timed_out(limit)
    }

    /// A check of the server has succeeded: connections may be made, old ones are closed.
    pub(crate) fn ready(&self, now: Instant) {
        self.change(|core| {
            core.machine.ready();
            core.machine.prune(now);
        });
    }

    /// Leave to make a connection that nobody waits for, while there are fewer than `min_size`.
    pub(crate) fn replenish(
        self: &Arc<Self>,
        min_size: usize,
        transport: &Arc<dyn Transport>,
    ) -> Option<Slot> {
        let now = transport.now();
        let permit = self.change(|core| core.machine.replenish(now, min_size))?;
        Some(Slot::new(self, transport, permit))
    }

    /// Whether [`ServerPool::replenish`] has something to do.
    pub(crate) fn is_short_of(&self, min_size: usize) -> bool {
        min_size > 0 && self.core().machine.size() < min_size
    }

    pub(crate) fn clear(
        &self,
        now: Instant,
        generation: u64,
        reason: &Arc<str>,
        interrupt_in_use: bool,
    ) {
        self.change(|core| {
            core.offered = None;
            core.machine.clear(now, generation, reason.clone(), interrupt_in_use);
            if interrupt_in_use {
                core.interrupt(&self.address, generation, reason);
            }
        });
    }

    /// Behind a load balancer: connections to one server there, up to this generation of it.
    pub(crate) fn clear_service(&self, now: Instant, service_id: ObjectId, number: u64) {
        self.change(|core| core.machine.clear_service(now, service_id, number));
    }

    /// The generation of connections that are made now.
    pub(crate) fn generation(&self) -> u64 {
        self.core().machine.generation()
    }

    pub(crate) fn close(&self, now: Instant) {
        self.change(|core| {
            core.offered = None;
            core.machine.close(now);
        });
    }

    /// A monitor has no use for its stream: the next connection that is made is made of it.
    pub(crate) fn offer(&self, offered: Offered) {
        self.core().offered = Some(offered);
    }

    /// What was offered and not taken yet.
    pub(crate) fn take_offered(&self) -> Option<Offered> {
        self.core().offered.take()
    }

    /// A connection that nobody uses.
    pub(crate) fn take_idle(
        self: &Arc<Self>,
        transport: &Arc<dyn Transport>,
    ) -> Option<PooledConnection> {
        let connection = self.change(|core| core.machine.check_out_idle(transport.now()))?;
        let (pool, transport) = (self.clone(), transport.clone());
        Some(PooledConnection { pool, transport, connection: Some(connection), pinned: None })
    }

    /// A connection, or leave to make one; waits in turn for either.
    pub(crate) async fn check_out(
        self: &Arc<Self>,
        transport: &Arc<dyn Transport>,
    ) -> Result<CheckedOut, PoolError> {
        let outcome = self.change(|core| match core.machine.check_out(transport.now()) {
            Ok(grant) => Ok(grant),
            Err(ticket) => {
                let (sender, receiver) = oneshot::channel();
                core.waiters.push_back((ticket, sender));
                Err((ticket, receiver))
            }
        });
        let grant = match outcome {
            Ok(grant) => grant,
            Err((ticket, receiver)) => {
                let mut place = Place { pool: self, transport, ticket, receiver };
                (&mut place.receiver).await.unwrap_or(Grant::Refused(PoolError::Closed))
            }
        };
        self.receive(grant, transport)
    }

    fn receive(
        self: &Arc<Self>,
        grant: Grant<Connection>,
        transport: &Arc<dyn Transport>,
    ) -> Result<CheckedOut, PoolError> {
        match grant {
            Grant::Connection(connection) => {
                let (pool, transport) = (self.clone(), transport.clone());
                let (connection, pinned) = (Some(connection), None);
                let connection = PooledConnection { pool, transport, connection, pinned };
                Ok(CheckedOut::Connection(connection))
            }
            Grant::Establish(permit) => Ok(CheckedOut::Slot(Slot::new(self, transport, permit))),
            Grant::Refused(error) => Err(error),
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Core) -> T) -> T {
        let (outcome, discarded) = {
            let mut core = self.core();
            let observed = core.observer.is_wanted();
            core.machine.observe(observed);
            let outcome = change(&mut core);
            (outcome, core.act())
        };
        // Sockets are closed outside the lock.
        drop(discarded);
        outcome
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().expect("not poisoned: the pool machine does not panic")
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl Core {
    /// Whoever has this ticket waits no longer.
    fn leave(&mut self, ticket: Ticket) -> Option<oneshot::Sender<Grant<Connection>>> {
        let place = self.waiters.binary_search_by_key(&ticket, |(ticket, _)| *ticket).ok()?;
        self.waiters.remove(place).map(|(_, waiter)| waiter)
    }

    /// Does what the machine says; returns the connections to close.
    fn act(&mut self) -> Vec<Connection> {
        let mut discarded = Vec::new();
        while let Some(action) = self.machine.poll_action() {
            match action {
                PoolAction::Discard(connection) => {
                    self.interrupts.remove(&connection.id());
                    discarded.push(connection);
                }
                PoolAction::Serve(ticket, grant) => {
                    if let Some(waiter) = self.leave(ticket) {
                        // A place takes the grant back when it is left.
                        let _ = waiter.send(grant);
                    }
                }
                PoolAction::Notify(event) => self.observer.tell(event),
            }
        }
        discarded
    }

    /// Ends the reads on connections in use that are older than `generation`.
    fn interrupt(&self, address: &ServerAddress, generation: u64, reason: &Arc<str>) {
        for (_, interrupt) in self.interrupts.values().filter(|(of, _)| *of < generation) {
            let text = format!(
                "Connection to {address} interrupted due to server monitor timeout: {reason}"
            );
            interrupt.raise(text.into());
        }
    }
}

impl Numbered for Connection {
    fn connection_id(&self) -> u64 {
        self.id()
    }
}

/// A place in the queue; leaving it gives back what was granted in the last moment.
struct Place<'a> {
    pool: &'a Arc<ServerPool>,
    transport: &'a Arc<dyn Transport>,
    ticket: Ticket,
    receiver: oneshot::Receiver<Grant<Connection>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let now = self.transport.now();
        self.pool.change(|core| {
            core.machine.cancel(now, self.ticket);
            core.leave(self.ticket);
        });
        if let Ok(Some(grant)) = self.receiver.try_recv() {
            // What was granted goes back through the guards of the granted thing.
            let _ = self.pool.receive(grant, self.transport);
        }
    }
}

/// What a check-out gives.
pub(crate) enum CheckedOut {
    Connection(PooledConnection),
    Slot(Slot),
}

/// Leave to make one connection; given back when dropped unused.
pub(crate) struct Slot {
    pool: Arc<ServerPool>,
    transport: Arc<dyn Transport>,
    permit: Permit,
    interrupt: Arc<Interrupt>,
    /// What the connection belongs to, once the server has said who it is.
    generation: OnceLock<Generation>,
    used: bool,
    /// Why the connection could not be made.
    error: Option<Arc<str>>,
}

impl Slot {
    fn new(pool: &Arc<ServerPool>, transport: &Arc<dyn Transport>, permit: Permit) -> Self {
        let interrupt = Arc::<Interrupt>::default();
        let entry = (permit.generation, interrupt.clone());
        // CMAP: a pool that interrupts connections in use interrupts those being made too.
        let mut core = pool.core();
        core.interrupts.insert(permit.connection_id, entry);
        if permit.generation < core.machine.generation() {
            interrupt.raise("the connection pool was cleared".into());
        }
        drop(core);
        let (pool, transport) = (pool.clone(), transport.clone());
        let generation = OnceLock::new();
        Self { pool, transport, permit, interrupt, generation, used: false, error: None }
    }

    pub(crate) fn interrupt(&self) -> &Arc<Interrupt> {
        &self.interrupt
    }

    pub(crate) fn permit(&self) -> Permit {
        self.permit
    }

    pub(crate) fn address(&self) -> &ServerAddress {
        &self.pool.address
    }

    /// The server has said who it is: which generation the connection belongs to.
    pub(crate) fn greeted(&self, service_id: Option<ObjectId>) -> Generation {
        *self.generation.get_or_init(|| self.pool.core().machine.greeted(self.permit, service_id))
    }

    /// The generation that the connection belongs to as far as it has come.
    pub(crate) fn generation(&self) -> Generation {
        let early = Generation { number: self.permit.generation, service_id: None };
        self.generation.get().copied().unwrap_or(early)
    }

    /// The stream to make the connection of, if a monitor has offered one.
    pub(crate) fn take_offered(&self) -> Option<Offered> {
        self.pool.take_offered()
    }

    /// The connection could not be made.
    pub(crate) fn fail(mut self, error: Arc<str>) {
        self.error = Some(error);
    }

    /// The connection was made.
    pub(crate) fn fill(mut self, connection: Connection) -> PooledConnection {
        self.used = true;
        let now = self.transport.now();
        self.pool.change(|core| core.machine.established(now, connection.id()));
        PooledConnection {
            pool: self.pool.clone(),
            transport: self.transport.clone(),
            connection: Some(connection),
            pinned: None,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.used {
            let now = self.transport.now();
            let (id, error) = (self.permit.connection_id, self.error.take());
            self.pool.change(|core| {
                core.interrupts.remove(&id);
                core.machine.abandoned(now, id, error);
            });
        }
    }
}

/// A connection in use; goes back to its pool when dropped, unless an exchange on it was broken
/// off.
pub(crate) struct PooledConnection {
    pool: Arc<ServerPool>,
    transport: Arc<dyn Transport>,
    connection: Option<Connection>,
    pinned: Option<Purpose>,
}

impl PooledConnection {
    /// Keeps it out of the pool for this: it is counted so until it is dropped.
    pub(crate) fn pin(&mut self, purpose: Purpose) {
        if self.pinned.is_none() {
            self.pinned = Some(purpose);
            self.pool.core().machine.pin(purpose);
        }
    }
}

impl std::ops::Deref for PooledConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("present until dropped")
    }
}

impl std::ops::DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("present until dropped")
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let (now, generation) = (self.transport.now(), connection.generation());
        self.pool.change(|core| {
            if let Some(purpose) = self.pinned {
                core.machine.unpin(purpose);
            }
            if connection.is_usable() {
                core.machine.check_in(now, connection, generation);
                return None;
            }
            let interrupt = core.interrupts.remove(&connection.id());
            let interrupted = interrupt.is_some_and(|(_, interrupt)| interrupt.is_raised());
            core.machine.lost(now, connection.id(), generation, interrupted);
            // Its socket is closed outside the lock.
            Some(connection)
        });
    }
}
