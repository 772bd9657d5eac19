//! A scripted deployment: a set in memory that does what a script says, when a client has done what
//! the script waits for.
//!
//! It knows no time: what happens is tied to what the client did (a connection, a hello), never to
//! a clock. So the same client sees the same deployment however late its timers are, and what it
//! does can be compared between runtimes. The client's own time is its runtime's:
//! [`Deployment::transport`] takes clock and timers from another transport and brings the network.
//!
//! An *act* is what the client did, as text: `c3 connect` (the third connection to member `c` is
//! dialled), `c3 hello`, `c3 await` (a hello that may be held back), `c3 ping`; the program around
//! the client adds acts of its own by [`Deployment::note`]. A [`Script`] is a list of steps: all
//! acts of a step, in whatever order, and nothing else; then what the deployment does.

mod member;
mod network;
mod script;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use portolan::transport::Transport;

use crate::codec::{Reply, Request, encode};
use member::Member;
use network::{Connection, Delivery, ScriptedNetwork};
pub use script::{Role, Script, Step};
use script::{Todo, member_of};

/// A scripted deployment; a handle.
#[derive(Clone, Debug)]
pub struct Deployment(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    set_name: String,
    members: BTreeMap<String, Member>,
    connections: BTreeMap<String, Connection>,
    /// What is on its way to the client, and on which connection: it arrives in this order,
    /// whichever connection the client looks at first.
    on_the_way: VecDeque<(String, Delivery)>,
    /// `None` where everything is answered at once.
    steps: Option<VecDeque<Step>>,
    /// What has come of the acts that the present step waits for.
    came: BTreeSet<String>,
    /// The operations that may begin.
    started: BTreeSet<u32>,
    last_reply: i32,
    outcome: Option<Result<(), String>>,
    /// Who waits for an operation's start or for the end.
    waiting: Vec<Waker>,
}

impl Deployment {
    /// A deployment that follows `script`.
    pub fn new(script: Script) -> Self {
        Self::with(&script.set_name, &script.members, Some(script.steps.into()))
    }

    /// A set that accepts every connection and answers every command at once; its first member is
    /// the primary. A hello that may be held back is held for ever: nothing changes.
    pub fn at_once(set_name: &str, members: &[&str]) -> Self {
        let members: Vec<String> = members.iter().map(|&name| name.to_owned()).collect();
        Self::with(set_name, &members, None)
    }

    fn with(set_name: &str, names: &[String], steps: Option<VecDeque<Step>>) -> Self {
        let member = |(n, name): (usize, &String)| (name.clone(), Member::new(name, n == 0, names));
        Self(Arc::new(Mutex::new(State {
            set_name: set_name.to_owned(),
            members: names.iter().enumerate().map(member).collect(),
            connections: BTreeMap::new(),
            on_the_way: VecDeque::new(),
            steps,
            came: BTreeSet::new(),
            started: BTreeSet::new(),
            last_reply: 0,
            outcome: None,
            waiting: Vec::new(),
        })))
    }

    /// A transport to this deployment whose clock and timers are those of `time`.
    pub fn transport(&self, time: Arc<dyn Transport>) -> impl Transport + use<> {
        ScriptedNetwork::new(self.clone(), time)
    }

    /// An act of the program around the client.
    pub fn note(&self, act: &str) {
        self.state().act(act);
    }

    /// Waits until the script lets operation `number` begin.
    pub async fn started(&self, number: u32) {
        self.wait(|state| state.started.contains(&number).then_some(())).await;
    }

    /// Waits until the last step is done.
    ///
    /// # Errors
    ///
    /// What the client did that the script does not know, or what the script wants that cannot be.
    pub async fn finished(&self) -> Result<(), String> {
        self.wait(|state| state.outcome.clone()).await
    }

    /// Whether the last step is done, or nothing more is to be expected.
    pub fn is_finished(&self) -> bool {
        self.state().outcome.is_some()
    }

    /// What the script waits for, for people.
    pub fn awaited(&self) -> String {
        self.state().awaited()
    }

    async fn wait<T>(&self, ready: impl Fn(&State) -> Option<T>) -> T {
        poll_fn(|cx| {
            let mut state = self.state();
            if let Some(value) = ready(&state) {
                return Poll::Ready(value);
            }
            state.waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked left the deployment between two acts at worst.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The client did something: once all that the step waits for has come, the step is done.
    fn act(&mut self, act: &str) {
        if self.outcome.is_some() {
            return;
        }
        let Some(steps) = &mut self.steps else { return };
        let Some(step) = steps.front() else { return };
        if !step.after.iter().any(|awaited| awaited == act) || !self.came.insert(act.to_owned()) {
            let problem = format!("\"{act}\" while the script waits for {}", self.awaited());
            return self.end(Err(problem));
        }
        if self.came.len() < step.after.len() {
            return;
        }
        self.came.clear();
        let then = steps.pop_front().map(|step| step.then).unwrap_or_default();
        let last = steps.is_empty();
        for todo in then {
            if let Err(problem) = self.perform(todo) {
                return self.end(Err(problem));
            }
        }
        if last {
            self.end(Ok(()));
        }
    }

    fn awaited(&self) -> String {
        let Some(step) = self.steps.as_ref().and_then(VecDeque::front) else {
            return "nothing".to_owned();
        };
        let missing = step.after.iter().filter(|act| !self.came.contains(*act));
        let acts: Vec<String> = missing.map(|act| format!("\"{act}\"")).collect();
        acts.join(", ")
    }

    fn end(&mut self, outcome: Result<(), String>) {
        self.outcome = Some(outcome);
        self.wake_waiting();
    }

    fn wake_waiting(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    fn perform(&mut self, todo: Todo) -> Result<(), String> {
        match todo {
            Todo::Accept(name) => return self.send(&name, Delivery::Accepted),
            Todo::Refuse(name) => return self.send(&name, Delivery::Refused),
            Todo::Answer(name) => return self.answer(&name),
            Todo::HangUp(name) => return self.send(&name, Delivery::HungUp),
            Todo::Become(name, role) => self.member(&name)?.change(role),
            Todo::Restart(name) => self.member(&name)?.restart(),
            Todo::Start(number) => {
                self.started.insert(number);
                self.wake_waiting();
            }
        }
        Ok(())
    }

    fn connection(&mut self, name: &str) -> Result<&mut Connection, String> {
        let known = self.connections.get_mut(name);
        known.ok_or_else(|| format!("the script names {name}, which was never dialled"))
    }

    fn member(&mut self, name: &str) -> Result<&mut Member, String> {
        let known = self.members.get_mut(name);
        known.ok_or_else(|| format!("the script names {name}, which is no member"))
    }

    /// The client dials member `host`: the name of the connection, or nothing where there is no
    /// such host.
    fn dial(&mut self, host: &str) -> Option<String> {
        let member = self.members.get_mut(host)?;
        let name = format!("{host}{}", member.count_connection());
        self.connections.insert(name.clone(), Connection::default());
        if self.steps.is_some() {
            self.act(&format!("{name} connect"));
        } else {
            // Nothing is missing: the connection is there, and has asked.
            let _ = self.send(&name, Delivery::Accepted);
        }
        Some(name)
    }

    /// A command has reached the deployment.
    fn asked(&mut self, name: &str, request: Request) {
        let kind = kind(&request);
        if let Some(connection) = self.connections.get_mut(name) {
            connection.asked = Some(request);
        }
        if self.steps.is_some() {
            self.act(&format!("{name} {kind}"));
        } else if kind != AWAIT {
            let _ = self.answer(name);
        }
    }

    /// Answers what was asked on a connection; a stream goes on from there.
    fn answer(&mut self, name: &str) -> Result<(), String> {
        self.last_reply = self.last_reply.wrapping_add(1);
        let id = self.last_reply;
        let set_name = self.set_name.clone();
        let asked = self.connection(name)?.asked.take();
        let request = asked.ok_or_else(|| format!("the script answers {name}, which is silent"))?;
        let body = self.member(member_of(name))?.answer(&set_name, &request.body);
        let well = body.get_f64("ok").is_ok_and(|ok| ok == 1.0);
        let more_to_come = well && request.exhaust && kind(&request) == AWAIT;
        let (response_to, legacy) = (request.id, request.legacy);
        let reply = Reply { id, response_to, legacy, more_to_come, body };
        let mut bytes = Vec::new();
        encode(&mut bytes, &reply).map_err(|error| error.to_string())?;
        if more_to_come {
            self.connection(name)?.asked = Some(Request { id, ..request });
        }
        self.send(name, Delivery::Bytes(bytes))
    }

    fn send(&mut self, name: &str, delivery: Delivery) -> Result<(), String> {
        self.connection(name)?;
        self.on_the_way.push_back((name.to_owned(), delivery));
        self.wake_next();
        Ok(())
    }

    /// Wakes who is to look at what arrives next.
    fn wake_next(&mut self) {
        while let Some((name, _)) = self.on_the_way.front() {
            match self.connections.get_mut(name) {
                Some(connection) if connection.held => return connection.wake(),
                // Nobody is there any more.
                _ => drop(self.on_the_way.pop_front()),
            }
        }
    }

    /// Lets arrive what is on its way to connection `name` before anything else is.
    fn arrive(&mut self, name: &str) {
        while let Some((_, delivery)) = self.on_the_way.pop_front_if(|(next, _)| next == name) {
            if let Some(connection) = self.connections.get_mut(name) {
                connection.arrived(delivery);
            }
        }
        self.wake_next();
    }
}

/// A hello that may be held back.
const AWAIT: &str = "await";

/// How an act names a command.
fn kind(request: &Request) -> String {
    let waits = ["topologyVersion", "maxAwaitTimeMS"].map(|key| request.body.contains_key(key));
    let kind = match request.body.keys().next().map_or("", String::as_str) {
        "hello" | "isMaster" if waits == [true, true] => AWAIT,
        "isMaster" => "hello",
        other => other,
    };
    kind.to_owned()
}
