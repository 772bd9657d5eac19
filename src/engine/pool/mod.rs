//! The pool of one server's connections: who gets one, who waits, which are closed.
//!
//! Specification: connection-monitoring-and-pooling. The machine never touches a connection; it
//! keeps whatever the shell calls one (`C`) and says what is to be done with it. One input, then
//! drain: every method that may help a waiter or discard a connection is followed by
//! [`Pool::poll_action`] until `None`.

mod error;
mod events;
mod generation;
mod rate;
mod tell;
mod usage;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

pub use error::{InUse, PoolError, Purpose};
pub use events::{CheckOutFailedReason, ConnectionClosedReason, PoolEvent, PoolEventKind};
pub use generation::Generation;
pub use rate::MakingRate;

use bson::oid::ObjectId;

use self::generation::Services;
use self::rate::Making as Rate;
use crate::engine::map::SortedMap;
use crate::engine::time::Instant;

#[cfg(test)]
mod service_tests;
#[cfg(test)]
mod tests;

/// What a pool has to know of a connection.
pub trait Numbered {
    /// Its [`Permit::connection_id`].
    fn connection_id(&self) -> u64;
}

/// The limits of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// Connections at most, in use, idle and being made together; 0 for no limit ("maxPoolSize").
    pub max_size: usize,
    /// Connections that are kept ready ("minPoolSize").
    pub min_size: usize,
    /// Connections being made at most ("maxConnecting").
    pub max_connecting: usize,
    /// How long an operation waits for a connection, told to those who listen; the shell keeps the
    /// time ("waitQueueTimeoutMS").
    pub wait_queue_timeout: Option<Duration>,
    /// How long a connection may be idle; zero for no limit ("maxIdleTimeMS").
    pub max_idle_time: Duration,
}

/// Leave to make one connection; it counts until it is [`Pool::established`] or
/// [`Pool::abandoned`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// The number of the connection, unique in its pool ("driverConnectionId").
    pub connection_id: u64,
    /// The generation that the connection belongs to.
    pub generation: u64,
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// What a check-out, or a waiter, gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Grant<C> {
    /// An idle connection.
    Connection(C),
    /// Leave to make one.
    Establish(Permit),
    /// Nothing.
    Refused(PoolError),
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum PoolAction<C> {
    /// Hand this to the waiter.
    Serve(Ticket, Grant<C>),
    /// Close this connection.
    Discard(C),
    /// Tell the subscribers. Only where [`Pool::observe`] said that there are any.
    Notify(PoolEventKind),
}

/// "Connection Pool States".
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Paused { reason: Arc<str> },
    Ready,
    Closed,
}

#[derive(Debug)]
struct Idle<C> {
    connection: C,
    generation: Generation,
    since: Instant,
}

/// A connection while it is made.
#[derive(Debug)]
struct Making {
    created: Instant,
    /// Behind a load balancer: the server that it leads to, once that is known.
    service_id: Option<ObjectId>,
    /// When the operation asked that waits for it; `None` where nobody waits for it.
    asked: Option<Instant>,
}

/// The pool of one server.
#[derive(Debug)]
pub struct Pool<C> {
    settings: PoolSettings,
    state: State,
    generation: u64,
    /// Behind a load balancer: the generations of the servers there.
    services: Services,
    /// The most recently used last.
    idle: VecDeque<Idle<C>>,
    /// Connections in use, idle and being made.
    total: usize,
    /// Connections being made.
    making: SortedMap<u64, Making>,
    /// Connections that were made and that no operation has had yet.
    unasked: SortedMap<u64, ()>,
    /// Connections in use that a cursor or a transaction keeps.
    cursors: usize,
    transactions: usize,
    rate: Rate,
    /// Who waits, and since when.
    queue: VecDeque<(Ticket, Instant)>,
    next_ticket: u64,
    next_connection_id: u64,
    actions: VecDeque<PoolAction<C>>,
    observed: bool,
}

impl<C: Numbered> Pool<C> {
    /// A paused pool of generation 0.
    pub fn new(settings: PoolSettings) -> Self {
        Self {
            settings,
            state: State::Paused { reason: "the server has not been checked yet".into() },
            generation: 0,
            services: Services::default(),
            idle: VecDeque::new(),
            total: 0,
            making: SortedMap::new(),
            unasked: SortedMap::new(),
            cursors: 0,
            transactions: 0,
            rate: Rate::default(),
            queue: VecDeque::new(),
            next_ticket: 0,
            next_connection_id: 1,
            actions: VecDeque::new(),
            observed: false,
        }
    }

    /// Whether anybody listens, from the next input on. Nothing is told, and nothing spent on it,
    /// while nobody does.
    pub fn observe(&mut self, observed: bool) {
        self.observed = observed;
    }

    /// The first input, for those who listen.
    pub fn created(&mut self) {
        self.notify(|pool| PoolEventKind::PoolCreated { settings: pool.settings });
    }

    /// What is to be done next.
    pub fn poll_action(&mut self) -> Option<PoolAction<C>> {
        self.actions.pop_front()
    }

    /// The generation of connections that are made now.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// "Checking Out a Connection": a grant at once, or a place in the queue.
    ///
    /// # Errors
    ///
    /// The [`Ticket`] of those who have to wait.
    pub fn check_out(&mut self, now: Instant) -> Result<Grant<C>, Ticket> {
        self.notify(|_| PoolEventKind::ConnectionCheckOutStarted);
        let refusal = match &self.state {
            State::Paused { reason } => Some(PoolError::Cleared { reason: reason.clone() }),
            State::Closed => Some(PoolError::Closed),
            State::Ready => None,
        };
        if let Some(error) = refusal {
            self.check_out_failed(now, now, &error);
            return Ok(Grant::Refused(error));
        }
        // A fair queue: nobody overtakes those who wait.
        if self.queue.is_empty()
            && let Some(grant) = self.grant(now, now)
        {
            return Ok(grant);
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.queue.push_back((ticket, now));
        Err(ticket)
    }

    /// An idle connection, where there is one and nobody waits; on-demand monitoring scans on it.
    pub fn check_out_idle(&mut self, now: Instant) -> Option<C> {
        if self.state != State::Ready || !self.queue.is_empty() {
            return None;
        }
        let connection = self.take_idle(now)?;
        self.notify(|_| PoolEventKind::ConnectionCheckOutStarted);
        self.checked_out(now, now, connection.connection_id());
        Some(connection)
    }

    /// A waiter has given up.
    pub fn cancel(&mut self, now: Instant, ticket: Ticket) {
        let Some(place) = self.queue.iter().position(|(waiting, _)| *waiting == ticket) else {
            return;
        };
        if let Some((_, asked)) = self.queue.remove(place) {
            self.notify(|_| PoolEventKind::ConnectionCheckOutFailed {
                reason: CheckOutFailedReason::Timeout,
                error: None,
                duration: now - asked,
            });
        }
    }

    /// "Checking In a Connection".
    ///
    /// "A [...] connection that did not originate from the pool" cannot come: the shell's guard of
    /// a connection knows its pool, and nothing else checks in.
    pub fn check_in(&mut self, now: Instant, connection: C, generation: Generation) {
        self.checked_in(connection.connection_id());
        if self.state == State::Closed {
            self.discard(connection, generation, ConnectionClosedReason::PoolClosed);
        } else if self.is_outdated(generation) {
            self.discard(connection, generation, ConnectionClosedReason::Stale);
        } else {
            self.idle.push_back(Idle { connection, generation, since: now });
        }
        self.serve(now);
    }

    /// A connection in use is not coming back: it broke, or its user vanished in the middle.
    /// `interrupted`: by a clear, and by nothing of its own.
    pub fn lost(
        &mut self,
        now: Instant,
        connection_id: u64,
        generation: Generation,
        interrupted: bool,
    ) {
        self.checked_in(connection_id);
        let reason = match interrupted {
            true => ConnectionClosedReason::Stale,
            false => ConnectionClosedReason::Error,
        };
        self.closed(connection_id, reason, None);
        self.services.leave(generation.service_id);
        self.total -= 1;
        self.serve(now);
    }

    /// A connection that is being made has shaken hands: behind a load balancer its generation is
    /// that of the server that it leads to.
    pub fn greeted(&mut self, permit: Permit, service_id: Option<ObjectId>) -> Generation {
        let own = Generation { number: permit.generation, service_id: None };
        let Some(service_id) = service_id else { return own };
        let Some(making) = self.making.get_mut(&permit.connection_id) else { return own };
        making.service_id = Some(service_id);
        self.services.enter(service_id)
    }

    /// A connection was made under a [`Permit`]; it is in use now.
    pub fn established(&mut self, now: Instant, connection_id: u64) {
        let Some(making) = self.making.remove(&connection_id) else { return };
        let duration = now - making.created;
        self.rate.ended(duration);
        self.notify(|_| PoolEventKind::ConnectionReady { connection_id, duration });
        let Some(asked) = making.asked else {
            // It is checked in at once, and goes to who waits: before that, "no Thread tries to
            // start establishing a Connection".
            self.unasked.insert(connection_id, ());
            return;
        };
        self.checked_out(now, asked, connection_id);
        self.serve(now);
    }

    /// A connection could not be made under a [`Permit`]; `error` where it was tried to the end.
    pub fn abandoned(&mut self, now: Instant, connection_id: u64, error: Option<Arc<str>>) {
        let Some(making) = self.making.remove(&connection_id) else { return };
        self.total -= 1;
        self.services.leave(making.service_id);
        self.closed(connection_id, ConnectionClosedReason::Error, error.clone());
        if let Some(asked) = making.asked {
            self.notify(|_| PoolEventKind::ConnectionCheckOutFailed {
                reason: CheckOutFailedReason::ConnectionError,
                error,
                duration: now - asked,
            });
        }
        self.serve(now);
    }

    /// "Marking a Connection Pool as Ready"; nothing for one that is ready or closed.
    pub fn ready(&mut self) {
        if matches!(self.state, State::Paused { .. }) {
            self.state = State::Ready;
            self.notify(|_| PoolEventKind::PoolReady);
        }
    }

    /// Closes connections that were idle for too long (CMAP "Background Thread"): the least
    /// recently used stand first, and a check-out from the other end may never come to them.
    pub fn prune(&mut self, now: Instant) {
        while self.idle.front().is_some_and(|idle| self.is_expired(idle, now)) {
            if let Some(idle) = self.idle.pop_front() {
                self.discard(idle.connection, idle.generation, ConnectionClosedReason::Idle);
            }
        }
    }

    /// Leave to make a connection that nobody waits for, while there are fewer than `min_size`
    /// ("minPoolSize").
    pub fn replenish(&mut self, now: Instant, min_size: usize) -> Option<Permit> {
        let wanted = self.state == State::Ready && self.queue.is_empty() && self.total < min_size;
        if wanted { self.permit(now, None) } else { None }
    }

    /// "Clearing a Connection Pool": a new generation, idle connections closed, waiters refused.
    ///
    /// The shell is to interrupt connections in use itself, where `interrupt_in_use`.
    pub fn clear(
        &mut self,
        now: Instant,
        generation: u64,
        reason: Arc<str>,
        interrupt_in_use: bool,
    ) {
        if self.state == State::Closed {
            return;
        }
        self.generation = generation;
        let paused = State::Paused { reason: reason.clone() };
        if let State::Ready = std::mem::replace(&mut self.state, paused) {
            self.notify(|_| PoolEventKind::PoolCleared {
                service_id: None,
                interrupt_in_use_connections: interrupt_in_use,
            });
        }
        self.discard_idle(ConnectionClosedReason::Stale);
        self.refuse_waiters(now, &PoolError::Cleared { reason });
    }

    /// "Clearing a load balanced pool": the connections to one server, up to this generation of
    /// it. The pool goes on, and nobody in the queue is refused.
    pub fn clear_service(&mut self, now: Instant, service_id: ObjectId, number: u64) {
        if self.state == State::Closed || !self.services.clear(service_id, number) {
            return;
        }
        self.notify(|_| PoolEventKind::PoolCleared {
            service_id: Some(service_id),
            interrupt_in_use_connections: false,
        });
        for idle in std::mem::take(&mut self.idle) {
            let generation = idle.generation;
            if generation.service_id == Some(service_id) && self.is_outdated(generation) {
                self.discard(idle.connection, generation, ConnectionClosedReason::Stale);
            } else {
                self.idle.push_back(idle);
            }
        }
        // There is room now.
        self.serve(now);
    }

    /// "Closing a Connection Pool".
    pub fn close(&mut self, now: Instant) {
        if std::mem::replace(&mut self.state, State::Closed) == State::Closed {
            return;
        }
        self.discard_idle(ConnectionClosedReason::PoolClosed);
        self.refuse_waiters(now, &PoolError::Closed);
        self.notify(|_| PoolEventKind::PoolClosed);
    }

    fn grant(&mut self, now: Instant, asked: Instant) -> Option<Grant<C>> {
        if let Some(connection) = self.take_idle(now) {
            self.checked_out(now, asked, connection.connection_id());
            return Some(Grant::Connection(connection));
        }
        self.permit(now, Some(asked)).map(Grant::Establish)
    }

    /// The idle connection that was used last; those that are past their time are discarded.
    fn take_idle(&mut self, now: Instant) -> Option<C> {
        while let Some(idle) = self.idle.pop_back() {
            if self.is_outdated(idle.generation) {
                self.discard(idle.connection, idle.generation, ConnectionClosedReason::Stale);
            } else if self.is_expired(&idle, now) {
                self.discard(idle.connection, idle.generation, ConnectionClosedReason::Idle);
            } else {
                return Some(idle.connection);
            }
        }
        None
    }

    fn is_outdated(&self, generation: Generation) -> bool {
        match generation.service_id {
            None => generation.number < self.generation,
            Some(service_id) => self.services.is_outdated(service_id, generation.number),
        }
    }

    fn is_expired(&self, idle: &Idle<C>, now: Instant) -> bool {
        let limit = self.settings.max_idle_time;
        !limit.is_zero() && now - idle.since > limit
    }

    fn permit(&mut self, now: Instant, asked: Option<Instant>) -> Option<Permit> {
        let room = self.settings.max_size == 0 || self.total < self.settings.max_size;
        if !room || self.making.len() >= self.settings.max_connecting {
            return None;
        }
        self.total += 1;
        let connection_id = self.next_connection_id;
        self.next_connection_id += 1;
        self.making.insert(connection_id, Making { created: now, service_id: None, asked });
        self.rate.began(now);
        self.notify(|_| PoolEventKind::ConnectionCreated { connection_id });
        Some(Permit { connection_id, generation: self.generation })
    }

    fn serve(&mut self, now: Instant) {
        while self.state == State::Ready
            && let Some((ticket, asked)) = self.queue.front().copied()
        {
            let Some(grant) = self.grant(now, asked) else { return };
            self.queue.pop_front();
            self.actions.push_back(PoolAction::Serve(ticket, grant));
        }
    }

    fn discard(&mut self, connection: C, of: Generation, reason: ConnectionClosedReason) {
        self.total -= 1;
        self.services.leave(of.service_id);
        self.closed(connection.connection_id(), reason, None);
        self.actions.push_back(PoolAction::Discard(connection));
    }

    fn discard_idle(&mut self, reason: ConnectionClosedReason) {
        while let Some(idle) = self.idle.pop_front() {
            self.discard(idle.connection, idle.generation, reason);
        }
    }

    fn refuse_waiters(&mut self, now: Instant, error: &PoolError) {
        while let Some((ticket, asked)) = self.queue.pop_front() {
            self.check_out_failed(now, asked, error);
            self.actions.push_back(PoolAction::Serve(ticket, Grant::Refused(error.clone())));
        }
    }
}
