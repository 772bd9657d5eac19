//! The replica set as one machine: `handle`, then drain `poll_action`, wake at `poll_timeout`.

use std::collections::{BTreeMap, VecDeque};

use bson::{DateTime, Document};
use portolan::engine::rng::Rng;
use portolan::engine::time::Instant;

use crate::codec::{Reply, Request};
use crate::cursor::Cursors;
use crate::hello::Awaiting;
use crate::node::{Fault, Node, Refused, State};
use crate::store::Store;
use crate::write::Written;

/// What happens to the set.
#[derive(Clone, Debug)]
pub enum Event {
    /// A command arrived on a connection of a member.
    Request {
        /// The shell's number of the connection.
        connection: u64,
        /// Whose connection it is.
        member: usize,
        /// The command.
        request: Request,
    },
    /// A connection is gone.
    Closed {
        /// The shell's number of it.
        connection: u64,
    },
    /// The time of [`Cluster::poll_timeout`] has come.
    Wake,
}

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send a reply.
    Send {
        /// On which connection.
        connection: u64,
        /// The reply.
        reply: Reply,
    },
    /// A process is gone: stop listening for it and close its connections.
    Stop {
        /// Which member.
        member: usize,
    },
    /// A process is back: listen for it at its old address.
    Listen {
        /// Which member.
        member: usize,
    },
}

/// A simulated replica set.
///
/// Invariant: after each `handle` or `fault`, actions are drained until `None`.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) name: String,
    pub(crate) started: DateTime,
    pub(crate) nodes: Vec<Node>,
    pub(crate) primary: Option<usize>,
    pub(crate) term: i64,
    pub(crate) changes_at: Option<Instant>,
    pub(crate) store: Store,
    pub(crate) cursors: Cursors,
    pub(crate) written: Written,
    pub(crate) rng: Rng,
    pub(crate) last_write: Instant,
    actions: VecDeque<Action>,
    waiting: Vec<Waiting>,
    delayed: BTreeMap<usize, Vec<(u64, Request)>>,
    last_reply: i32,
}

/// A hello that is answered when the member changes, or at its deadline.
#[derive(Clone, Debug)]
struct Waiting {
    connection: u64,
    member: usize,
    request: Request,
    response_to: i32,
    seen: i64,
    deadline: Instant,
}

impl Cluster {
    /// A set `name` of members at `addresses`, the first of them primary; `started` is the date at
    /// [`Instant::ZERO`], and all chance follows from `seed`.
    pub fn new(name: &str, addresses: Vec<String>, started: DateTime, seed: u64) -> Self {
        let mut rng = Rng::seeded(seed);
        let nodes = addresses.into_iter().map(|address| Node::new(address, &mut rng)).collect();
        let mut cluster = Self {
            name: name.to_owned(),
            started,
            nodes,
            primary: None,
            term: 0,
            changes_at: None,
            store: Store::default(),
            cursors: Cursors::default(),
            written: Written::default(),
            rng,
            last_write: Instant::ZERO,
            actions: VecDeque::new(),
            waiting: Vec::new(),
            delayed: BTreeMap::new(),
            last_reply: 0,
        };
        cluster.elect(0);
        cluster
    }

    /// One input. A time before an earlier one counts as that one's.
    pub fn handle(&mut self, now: Instant, event: Event) {
        debug_assert!(self.actions.is_empty(), "actions are drained before the next input");
        match event {
            Event::Request { connection, member, request } => {
                self.request(now, connection, member, request);
            }
            Event::Closed { connection } => self.forget(connection),
            Event::Wake => {
                self.advance(now);
                self.answer_waiting(now);
            }
        }
    }

    /// Does `fault` to a member.
    ///
    /// # Errors
    ///
    /// Why it does not apply; then nothing changed.
    pub fn fault(&mut self, now: Instant, member: usize, fault: Fault) -> Result<(), Refused> {
        debug_assert!(self.actions.is_empty(), "actions are drained before the next input");
        self.apply(now, member, fault)?;
        match fault {
            Fault::Kill => {
                self.waiting.retain(|waiting| waiting.member != member);
                self.delayed.remove(&member);
                self.actions.push_back(Action::Stop { member });
            }
            Fault::Restart => self.actions.push_back(Action::Listen { member }),
            Fault::Thaw => {
                for (connection, request) in self.delayed.remove(&member).unwrap_or_default() {
                    self.request(now, connection, member, request);
                }
            }
            Fault::StepDown | Fault::Freeze => {}
        }
        self.answer_waiting(now);
        Ok(())
    }

    /// The next thing to do; `None` when there is no more.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to wake the machine at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let frozen = |member: usize| self.nodes[member].state == State::Frozen;
        let hellos = self.waiting.iter().filter(|w| !frozen(w.member)).map(|w| w.deadline);
        hellos.chain(self.changes_at).min()
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The address and state of a member.
    pub fn member(&self, member: usize) -> Option<(&str, State)> {
        self.nodes.get(member).map(|node| (node.address.as_str(), node.state))
    }

    /// The member that accepts writes now.
    pub fn primary(&self) -> Option<usize> {
        self.primary.filter(|primary| self.nodes[*primary].state == State::Running)
    }

    fn request(&mut self, now: Instant, connection: u64, member: usize, request: Request) {
        match self.nodes.get(member).map(|node| node.state) {
            Some(State::Running) => {}
            Some(State::Frozen) => {
                self.delayed.entry(member).or_default().push((connection, request));
                return;
            }
            // A process that is gone reads nothing.
            Some(State::Stopped) | None => return,
        }
        let awaiting = awaiting(&request.body);
        if let Some(awaiting) = awaiting
            && self.knows_it_all(member, awaiting)
        {
            let (response_to, seen) = (request.id, awaiting.counter);
            let deadline = now + awaiting.wait;
            let waiting = Waiting { connection, member, request, response_to, seen, deadline };
            self.waiting.push(waiting);
            return;
        }
        let body = self.run(now, member, &request);
        self.answer_waiting(now);
        if !request.silent {
            // "moreToCome" is never set with an error.
            let well = body.get_f64("ok").is_ok_and(|ok| ok == 1.0);
            let stream = awaiting.filter(|_| request.exhaust && well);
            let more = stream.is_some();
            let id = self.send(connection, request.id, more, request.legacy, body);
            if let Some(Awaiting { wait, .. }) = stream {
                self.wait_on(now + wait, connection, member, request, id);
            }
        }
    }

    /// A hello with the topology version that the member still has is answered later (SDAM
    /// "awaitable hello or legacy hello").
    fn knows_it_all(&self, member: usize, awaiting: Awaiting) -> bool {
        let node = &self.nodes[member];
        awaiting.is_up_to_date(node.process_id, node.counter) == Ok(true)
    }

    fn wait_on(
        &mut self,
        deadline: Instant,
        connection: u64,
        member: usize,
        request: Request,
        response_to: i32,
    ) {
        let seen = self.nodes[member].counter;
        let waiting = Waiting { connection, member, request, response_to, seen, deadline };
        self.waiting.push(waiting);
    }

    /// Answers the hellos whose member changed or whose time has come.
    fn answer_waiting(&mut self, now: Instant) {
        for waiting in std::mem::take(&mut self.waiting) {
            let node = &self.nodes[waiting.member];
            let due = node.counter > waiting.seen || waiting.deadline <= now;
            if node.state != State::Running || !due {
                self.waiting.push(waiting);
                continue;
            }
            let Waiting { connection, member, request, response_to, .. } = waiting;
            let body = self.run(now, member, &request);
            let id = self.send(connection, response_to, request.exhaust, request.legacy, body);
            if let Some(Awaiting { wait, .. }) = awaiting(&request.body)
                && request.exhaust
            {
                self.wait_on(now + wait, connection, member, request, id);
            }
        }
    }

    fn send(
        &mut self,
        connection: u64,
        response_to: i32,
        more_to_come: bool,
        legacy: bool,
        body: Document,
    ) -> i32 {
        self.last_reply = self.last_reply.wrapping_add(1);
        let id = self.last_reply;
        let reply = Reply { id, response_to, legacy, more_to_come, body };
        self.actions.push_back(Action::Send { connection, reply });
        id
    }

    fn forget(&mut self, connection: u64) {
        self.waiting.retain(|waiting| waiting.connection != connection);
        for requests in self.delayed.values_mut() {
            requests.retain(|(known, _)| *known != connection);
        }
    }
}

/// What a hello that asks to be answered later says, if it is one that may.
fn awaiting(body: &Document) -> Option<Awaiting> {
    let is_hello = body
        .keys()
        .next()
        .is_some_and(|name| matches!(name.as_str(), "hello" | "isMaster" | "ismaster"));
    if is_hello { Awaiting::read(body).ok().flatten() } else { None }
}
