//! The test bed: a deployment in memory, virtual time, and an executor of one thread.
//!
//! Why a mock, where the project tests against real servers: virtual time (exact moments of checks,
//! a minute in a millisecond) and futures that are dropped at each single poll are what no real
//! server can do. What real servers say is tested in `tests/live`.

pub(crate) mod net;
pub(crate) mod scram;
pub(crate) mod server;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use portolan::bson::oid::ObjectId;
use portolan::bson::{Document, doc};
use portolan::options::ClientOptions;
use portolan::transport::Instant;
use portolan::{Client, Collection, PoolStatus, ServerAddress};

use net::{Net, State};
use server::{Act, Port, Request, Server};

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn address(text: &str) -> ServerAddress {
    text.parse().expect("a test's address")
}

type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;

/// When a task is dropped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Right after its poll of this number.
    After(usize),
    /// When it was woken for the poll behind the one of this number.
    WokenAfter(usize),
}

struct Task {
    future: Option<LocalFuture>,
    waker: Arc<TaskWaker>,
    polls: usize,
    cut: Option<Cut>,
}

struct TaskWaker {
    id: usize,
    queued: AtomicBool,
    queue: Arc<Mutex<VecDeque<usize>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Ordering::SeqCst) {
            self.queue.lock().expect("a test panicked").push_back(self.id);
        }
    }
}

/// A deployment, its network and an executor.
pub(crate) struct Bed {
    pub(crate) net: Net,
    tasks: RefCell<Vec<Task>>,
    woken: Arc<Mutex<VecDeque<usize>>>,
    driver: Cell<Option<usize>>,
}

/// A task's outcome, once it is there.
pub(crate) struct Join<T> {
    pub(crate) id: usize,
    output: Rc<RefCell<Option<T>>>,
}

impl<T> Join<T> {
    pub(crate) fn is_done(&self) -> bool {
        self.output.borrow().is_some()
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.output.borrow_mut().take()
    }
}

const SET: &str = "rs0";

impl Bed {
    fn empty() -> Self {
        Self {
            net: Net::new(),
            tasks: RefCell::default(),
            woken: Arc::default(),
            driver: Cell::new(None),
        }
    }

    /// One server of its own.
    pub(crate) fn standalone() -> Self {
        let bed = Self::empty();
        let hello = doc! { "isWritablePrimary": true, "maxWireVersion": 21, "helloOk": true };
        bed.add("a:1", hello);
        bed
    }

    /// A replica set of `a:1`, the primary, and so many secondaries `b:1`, `c:1` and so on.
    pub(crate) fn set(secondaries: usize) -> Self {
        let bed = Self::empty();
        let names: Vec<String> =
            ('a'..='z').take(secondaries + 1).map(|name| format!("{name}:1")).collect();
        for name in &names {
            bed.add(name, member(&names, name, "a:1"));
        }
        bed
    }

    /// Servers without a set, each of which says the same of itself.
    pub(crate) fn each(names: &[String], hello: &Document) -> Self {
        let bed = Self::empty();
        names.iter().for_each(|name| bed.add(name, hello.clone()));
        bed
    }

    fn add(&self, name: &str, hello: Document) {
        self.net.state().servers.insert(address(name), Server::new(hello));
    }

    pub(crate) fn with_server<T>(&self, name: &str, act: impl FnOnce(&mut Server) -> T) -> T {
        act(self.net.state().servers.get_mut(&address(name)).expect("a server"))
    }

    pub(crate) fn rule(&self, name: &str, command: &'static str, times: usize, act: Act) {
        self.with_server(name, |server| server.rule(command, times, act));
    }

    /// Closes the port of a server, and every connection that it has.
    pub(crate) fn kill(&self, name: &str) {
        let (mut state, dead) = (self.net.state(), address(name));
        let State { connections, .. } = &*state;
        let open: Vec<usize> = connections
            .iter()
            .enumerate()
            .filter(|(_, connection)| connection.address == dead && connection.held)
            .map(|(id, _)| id)
            .collect();
        for id in open {
            state.hang_up(id, Duration::ZERO);
        }
        state.servers.get_mut(&dead).expect("a server").port = Port::Refusing;
    }

    /// Makes `name` the primary; `times` counts the elections.
    pub(crate) fn elect(&self, name: &str, times: u8) {
        let members: Vec<ServerAddress> = self.net.state().servers.keys().cloned().collect();
        self.elect_among(name, times, &members);
    }

    /// The same, and only these members have noticed.
    pub(crate) fn elect_among(&self, name: &str, times: u8, members: &[ServerAddress]) {
        let mut state = self.net.state();
        for other in members.iter().cloned() {
            let primary = other == address(name);
            state.change(&other, |hello| set_role(hello, primary, name, times));
        }
    }

    /// The connection string of the deployment, with more options.
    pub(crate) fn uri(&self, options: &str) -> String {
        let state = self.net.state();
        let set = state.servers.values().any(|server| server.hello.contains_key("setName"));
        let set = if set { format!("replicaSet={SET}&") } else { String::new() };
        format!("mongodb://a:1/shop?{set}{options}")
    }

    /// A client whose driver is spawned.
    pub(crate) fn client(&self, options: &str) -> Client {
        let mut options = ClientOptions::parse(&self.uri(options)).expect("good options");
        // Tests of slow servers are about something else; tests of frozen ones switch it on.
        options.suspicion.enabled = false;
        self.client_of(options)
    }

    pub(crate) fn client_of(&self, options: ClientOptions) -> Client {
        let transport = Arc::new(self.net.clone());
        let (client, driver) = Client::new(options, transport).expect("a client");
        self.driver.set(Some(self.spawn(driver).id));
        client
    }

    /// A client without a driver: its operations scan.
    pub(crate) fn on_demand(&self, options: &str) -> Client {
        self.on_demand_of(ClientOptions::parse(&self.uri(options)).expect("good options"))
    }

    pub(crate) fn on_demand_of(&self, mut options: ClientOptions) -> Client {
        options.suspicion.enabled = false;
        Client::on_demand(options, Arc::new(self.net.clone())).expect("a client")
    }

    /// A client that has found all servers and stands still.
    pub(crate) fn settled(&self, options: &str) -> Client {
        let client = self.client(options);
        self.advance(ms(600));
        client
    }

    /// How often the driver future was polled.
    pub(crate) fn driver_polls(&self) -> usize {
        self.tasks.borrow()[self.driver.get().expect("a client")].polls
    }

    pub(crate) fn driver_ended(&self) -> bool {
        self.tasks.borrow()[self.driver.get().expect("a client")].future.is_none()
    }

    pub(crate) fn drop_driver(&self) {
        self.cancel(self.driver.get().expect("a client"));
    }

    pub(crate) fn now(&self) -> Instant {
        self.net.state().now
    }

    pub(crate) fn spawn<F>(&self, future: F) -> Join<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_cut(future, None)
    }

    pub(crate) fn spawn_cut<F>(&self, future: F, cut: Option<Cut>) -> Join<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let output = Rc::new(RefCell::new(None));
        let slot = output.clone();
        let mut tasks = self.tasks.borrow_mut();
        let id = tasks.len();
        let waker = TaskWaker { id, queued: AtomicBool::new(false), queue: self.woken.clone() };
        let future: LocalFuture = Box::pin(async move {
            let value = future.await;
            *slot.borrow_mut() = Some(value);
        });
        let waker = Arc::new(waker);
        waker.clone().wake();
        tasks.push(Task { future: Some(future), waker, polls: 0, cut });
        Join { id, output }
    }

    /// Drops a task before its end.
    pub(crate) fn cancel(&self, id: usize) {
        let future = self.tasks.borrow_mut()[id].future.take();
        drop(future);
    }

    pub(crate) fn is_gone(&self, id: usize) -> bool {
        self.tasks.borrow()[id].future.is_none()
    }

    /// Polls whoever was woken, until nobody is.
    pub(crate) fn settle(&self) {
        for _ in 0..1_000_000 {
            let next = self.woken.lock().expect("a test panicked").pop_front();
            let Some(id) = next else { return };
            self.poll(id);
        }
        panic!("the tasks wake each other for ever");
    }

    fn poll(&self, id: usize) {
        let (mut future, waker, cut) = {
            let mut tasks = self.tasks.borrow_mut();
            let task = &mut tasks[id];
            task.waker.queued.store(false, Ordering::SeqCst);
            let Some(future) = task.future.take() else { return };
            if task.cut == Some(Cut::WokenAfter(task.polls)) {
                drop(tasks);
                return drop(future);
            }
            task.polls += 1;
            let cut = task.cut == Some(Cut::After(task.polls));
            (future, Waker::from(task.waker.clone()), cut)
        };
        let outcome = future.as_mut().poll(&mut Context::from_waker(&waker));
        if outcome == Poll::Pending && !cut {
            self.tasks.borrow_mut()[id].future = Some(future);
        }
    }

    /// Lets `time` pass.
    pub(crate) fn advance(&self, time: Duration) {
        let until = self.now() + time;
        self.settle();
        while self.net.next_at().is_some_and(|at| at <= until) {
            self.net.step();
            self.settle();
        }
        self.net.state().now = until;
    }

    /// The process stands still for `time`: the clock goes on, what arrives waits, nobody runs.
    pub(crate) fn stand_still(&self, time: Duration) {
        self.settle();
        let until = self.now() + time;
        while self.net.next_at().is_some_and(|at| at <= until) {
            self.net.step();
        }
        self.net.state().now = until;
    }

    /// Runs `future` to its end, letting as much time pass as it needs.
    pub(crate) fn run<F>(&self, future: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let join = self.spawn(future);
        let limit = self.now() + secs(3600);
        loop {
            self.settle();
            if let Some(output) = join.take() {
                return output;
            }
            assert!(self.net.step(), "nothing is to come, and the future waits");
            assert!(self.now() < limit, "the future waits for ever");
        }
    }

    /// What reached the servers, but for hellos.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let state = self.net.state();
        state.log.iter().filter(|request| request.name != "hello").cloned().collect()
    }

    /// What reached the servers under this name.
    pub(crate) fn named(&self, name: &str) -> Vec<Request> {
        self.net.state().log.iter().filter(|request| request.name == name).cloned().collect()
    }

    pub(crate) fn forget_log(&self) {
        let mut state = self.net.state();
        state.log.clear();
        state.dialled.clear();
    }

    /// Connections to a server that the client holds.
    pub(crate) fn open_connections(&self, name: &str) -> usize {
        let (state, address) = (self.net.state(), address(name));
        let held = |c: &&net::Connection| c.held && c.address == address;
        state.connections.iter().filter(held).count()
    }
}

/// What a member of a set says of itself.
fn member(names: &[String], me: &str, primary: &str) -> Document {
    let mut hello = doc! {
        "setName": SET,
        "hosts": names,
        "me": me,
        "setVersion": 1,
        "maxWireVersion": 21,
        "helloOk": true,
        "logicalSessionTimeoutMinutes": 30,
    };
    set_role(&mut hello, me == primary, primary, 1);
    hello
}

fn set_role(hello: &mut Document, is_primary: bool, primary: &str, elections: u8) {
    hello.insert("isWritablePrimary", is_primary);
    hello.insert("secondary", !is_primary);
    hello.insert("primary", primary);
    let mut id = [0; 12];
    id[11] = elections;
    if is_primary {
        hello.insert("electionId", ObjectId::from_bytes(id));
    } else {
        hello.remove("electionId");
    }
}

/// The collection of the tests.
pub(crate) fn till(client: &Client) -> Collection<Document> {
    client.database("shop").collection("till")
}

/// The pool of one server.
pub(crate) fn pool(client: &Client, name: &str) -> PoolStatus {
    let pools = client.pools();
    pools.into_iter().find(|pool| pool.address == address(name)).expect("a pool")
}
