//! The pool of one server's connections: who gets one, who waits, which are closed.
//!
//! Specification: connection-monitoring-and-pooling. The machine never touches a connection; it
//! keeps whatever the shell calls one (`C`) and says what is to be done with it. One input, then
//! drain: every method that may help a waiter or discard a connection is followed by
//! [`Pool::poll_action`] until `None`.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::time::Instant;

#[cfg(test)]
mod tests;

/// The limits of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// Connections at most, in use, idle and being made together; 0 for no limit ("maxPoolSize").
    pub max_size: usize,
    /// Connections being made at most ("maxConnecting").
    pub max_connecting: usize,
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
}

/// Why a pool gives no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolError {
    /// The server failed, and no check has succeeded since ("PoolClearedError").
    Cleared {
        /// What happened to the server.
        reason: Arc<str>,
    },
    /// The server left the topology, or the client was closed ("PoolClosedError").
    Closed,
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cleared { reason } => write!(f, "the connection pool was cleared: {reason}"),
            Self::Closed => f.write_str(
                "the connection pool was closed: the server left the deployment, or the client was \
                 shut down",
            ),
        }
    }
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
    generation: u64,
    since: Instant,
}

/// The pool of one server.
#[derive(Debug)]
pub struct Pool<C> {
    settings: PoolSettings,
    state: State,
    generation: u64,
    /// The most recently used last.
    idle: VecDeque<Idle<C>>,
    /// Connections in use, idle and being made.
    total: usize,
    /// Connections being made.
    pending: usize,
    queue: VecDeque<Ticket>,
    next_ticket: u64,
    next_connection_id: u64,
    actions: VecDeque<PoolAction<C>>,
}

impl<C> Pool<C> {
    /// A paused pool of generation 0.
    pub fn new(settings: PoolSettings) -> Self {
        Self {
            settings,
            state: State::Paused { reason: "the server has not been checked yet".into() },
            generation: 0,
            idle: VecDeque::new(),
            total: 0,
            pending: 0,
            queue: VecDeque::new(),
            next_ticket: 0,
            next_connection_id: 1,
            actions: VecDeque::new(),
        }
    }

    /// What is to be done next.
    pub fn poll_action(&mut self) -> Option<PoolAction<C>> {
        self.actions.pop_front()
    }

    /// The generation of connections that are made now.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Connections in use, idle and being made.
    pub fn size(&self) -> usize {
        self.total
    }

    /// Connections that nobody uses.
    pub fn idle(&self) -> usize {
        self.idle.len()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// "Checking Out a Connection": a grant at once, or a place in the queue.
    ///
    /// # Errors
    ///
    /// The [`Ticket`] of those who have to wait.
    pub fn check_out(&mut self, now: Instant) -> Result<Grant<C>, Ticket> {
        match &self.state {
            State::Paused { reason } => {
                return Ok(Grant::Refused(PoolError::Cleared { reason: reason.clone() }));
            }
            State::Closed => return Ok(Grant::Refused(PoolError::Closed)),
            State::Ready => {}
        }
        // A fair queue: nobody overtakes those who wait.
        if self.queue.is_empty()
            && let Some(grant) = self.grant(now)
        {
            return Ok(grant);
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.queue.push_back(ticket);
        Err(ticket)
    }

    /// A waiter has given up.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.queue.retain(|waiting| *waiting != ticket);
    }

    /// "Checking In a Connection".
    pub fn check_in(&mut self, now: Instant, connection: C, generation: u64) {
        if self.state == State::Closed || generation < self.generation {
            self.discard(connection);
        } else {
            self.idle.push_back(Idle { connection, generation, since: now });
        }
        self.serve(now);
    }

    /// A connection in use is not coming back: it broke, or its user vanished in the middle.
    pub fn lost(&mut self, now: Instant) {
        self.total -= 1;
        self.serve(now);
    }

    /// A connection was made under a [`Permit`]; it is in use now.
    pub fn established(&mut self, now: Instant) {
        self.pending -= 1;
        self.serve(now);
    }

    /// A connection could not be made under a [`Permit`].
    pub fn abandoned(&mut self, now: Instant) {
        self.pending -= 1;
        self.total -= 1;
        self.serve(now);
    }

    /// "Marking a Connection Pool as Ready"; nothing for one that is ready or closed.
    pub fn ready(&mut self) {
        if matches!(self.state, State::Paused { .. }) {
            self.state = State::Ready;
        }
    }

    /// Closes connections that were idle for too long (CMAP "Background Thread"): the least
    /// recently used stand first, and a check-out from the other end may never come to them.
    pub fn prune(&mut self, now: Instant) {
        while self.idle.front().is_some_and(|idle| self.is_expired(idle, now)) {
            if let Some(idle) = self.idle.pop_front() {
                self.discard(idle.connection);
            }
        }
    }

    /// Leave to make a connection that nobody waits for, while there are fewer than `min_size`
    /// ("minPoolSize").
    pub fn replenish(&mut self, min_size: usize) -> Option<Permit> {
        let wanted = self.state == State::Ready && self.queue.is_empty() && self.total < min_size;
        if wanted { self.permit() } else { None }
    }

    /// "Clearing a Connection Pool": a new generation, idle connections closed, waiters refused.
    pub fn clear(&mut self, generation: u64, reason: Arc<str>) {
        if self.state == State::Closed {
            return;
        }
        self.generation = generation;
        self.state = State::Paused { reason: reason.clone() };
        self.discard_idle();
        self.refuse_waiters(&PoolError::Cleared { reason });
    }

    /// "Closing a Connection Pool".
    pub fn close(&mut self) {
        self.state = State::Closed;
        self.discard_idle();
        self.refuse_waiters(&PoolError::Closed);
    }

    fn grant(&mut self, now: Instant) -> Option<Grant<C>> {
        while let Some(idle) = self.idle.pop_back() {
            if idle.generation == self.generation && !self.is_expired(&idle, now) {
                return Some(Grant::Connection(idle.connection));
            }
            self.discard(idle.connection);
        }
        self.permit().map(Grant::Establish)
    }

    fn is_expired(&self, idle: &Idle<C>, now: Instant) -> bool {
        let limit = self.settings.max_idle_time;
        !limit.is_zero() && now - idle.since > limit
    }

    fn permit(&mut self) -> Option<Permit> {
        let room = self.settings.max_size == 0 || self.total < self.settings.max_size;
        if !room || self.pending >= self.settings.max_connecting {
            return None;
        }
        self.total += 1;
        self.pending += 1;
        let connection_id = self.next_connection_id;
        self.next_connection_id += 1;
        Some(Permit { connection_id, generation: self.generation })
    }

    fn serve(&mut self, now: Instant) {
        while self.state == State::Ready && !self.queue.is_empty() {
            let Some(grant) = self.grant(now) else { return };
            if let Some(ticket) = self.queue.pop_front() {
                self.actions.push_back(PoolAction::Serve(ticket, grant));
            }
        }
    }

    fn discard(&mut self, connection: C) {
        self.total -= 1;
        self.actions.push_back(PoolAction::Discard(connection));
    }

    fn discard_idle(&mut self) {
        while let Some(idle) = self.idle.pop_front() {
            self.discard(idle.connection);
        }
    }

    fn refuse_waiters(&mut self, error: &PoolError) {
        for ticket in self.queue.drain(..) {
            self.actions.push_back(PoolAction::Serve(ticket, Grant::Refused(error.clone())));
        }
    }
}
