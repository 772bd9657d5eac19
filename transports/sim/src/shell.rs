//! The set on loopback: std threads that carry bytes and time to [`Cluster`], and decide nothing.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bson::DateTime;
use portolan::engine::time::Instant;
use portolan::engine::wire::{DEFAULT_MAX_MESSAGE_SIZE, Framer};

use crate::cluster::{Action, Cluster, Event};
use crate::codec::{decode, encode};
use crate::node::{Fault, Refused, State};

/// What there is to know of a member from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberInfo {
    /// Its number, from 0.
    pub id: usize,
    /// Where it listens, or did.
    pub address: String,
    /// What its process is doing.
    pub state: State,
}

/// A simulated set that listens on loopback until it is dropped.
#[derive(Debug)]
pub struct SimulatedSet {
    shared: Arc<Shared>,
    timer: Option<JoinHandle<()>>,
}

impl SimulatedSet {
    /// Starts `members` members, listening from port `port_base` on, or on any free ports.
    ///
    /// # Errors
    ///
    /// When a port cannot be listened on.
    pub fn start(name: &str, members: usize, port_base: Option<u16>) -> io::Result<Self> {
        let mut listeners = Vec::new();
        for offset in 0..u16::try_from(members).map_err(io::Error::other)? {
            listeners.push(match port_base {
                Some(base) => {
                    TcpListener::bind((Ipv4Addr::LOCALHOST, base.saturating_add(offset)))?
                }
                None => bind_anywhere()?,
            });
        }
        let addresses: Vec<SocketAddr> =
            listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        let names = addresses.iter().map(SocketAddr::to_string).collect();
        let date = DateTime::now();
        let seed = date.timestamp_millis().cast_unsigned();
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            addresses,
            started: std::time::Instant::now(),
            inner: Mutex::new(Inner {
                cluster: Cluster::new(name, names, date, seed),
                sockets: BTreeMap::new(),
                last_connection: 0,
                open: BTreeMap::new(),
                closing: false,
            }),
            woken: Condvar::new(),
        });
        for (member, listener) in listeners.into_iter().enumerate() {
            shared.listen(&mut shared.lock(), member, listener);
        }
        let timer = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.keep_time()
        });
        Ok(Self { shared, timer: Some(timer) })
    }

    /// A connection string with every member.
    pub fn uri(&self) -> String {
        let addresses: Vec<String> =
            self.members().into_iter().map(|member| member.address).collect();
        format!("mongodb://{}/?replicaSet={}", addresses.join(","), self.shared.name)
    }

    /// Every member.
    pub fn members(&self) -> Vec<MemberInfo> {
        let inner = self.shared.lock();
        (0..inner.cluster.len())
            .filter_map(|id| {
                let (address, state) = inner.cluster.member(id)?;
                Some(MemberInfo { id, address: address.to_owned(), state })
            })
            .collect()
    }

    /// The member that accepts writes now.
    pub fn primary(&self) -> Option<usize> {
        self.shared.lock().cluster.primary()
    }

    /// Does `fault` to a member.
    ///
    /// # Errors
    ///
    /// Why it does not apply.
    pub fn fault(&self, member: usize, fault: Fault) -> Result<(), Refused> {
        let mut inner = self.shared.lock();
        inner.cluster.fault(self.shared.now(), member, fault)?;
        self.shared.perform(&mut inner);
        Ok(())
    }
}

impl Drop for SimulatedSet {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        inner.closing = true;
        for member in 0..inner.cluster.len() {
            self.shared.stop(&mut inner, member);
        }
        drop(inner);
        self.shared.woken.notify_all();
        if let Some(timer) = self.timer.take() {
            let _ = timer.join();
        }
    }
}

/// What the threads share.
#[derive(Debug)]
struct Shared {
    name: String,
    addresses: Vec<SocketAddr>,
    started: std::time::Instant,
    inner: Mutex<Inner>,
    woken: Condvar,
}

#[derive(Debug)]
struct Inner {
    cluster: Cluster,
    /// The sockets of every connection, with the member that each belongs to.
    sockets: BTreeMap<u64, (usize, TcpStream)>,
    last_connection: u64,
    /// The listening members, each with the flag that ends its thread.
    open: BTreeMap<usize, Arc<AtomicBool>>,
    closing: bool,
}

impl Shared {
    fn now(&self) -> Instant {
        let nanos = self.started.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A thread that panicked left the machine between two inputs at worst.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One input, and all that follows from it.
    fn handle(self: &Arc<Self>, inner: &mut Inner, event: Event) {
        inner.cluster.handle(self.now(), event);
        self.perform(inner);
    }

    fn perform(self: &Arc<Self>, inner: &mut Inner) {
        while let Some(action) = inner.cluster.poll_action() {
            match action {
                Action::Send { connection, reply } => {
                    let mut bytes = Vec::new();
                    let sent = encode(&mut bytes, &reply).is_ok()
                        && inner
                            .sockets
                            .get_mut(&connection)
                            .is_some_and(|(_, socket)| socket.write_all(&bytes).is_ok());
                    if !sent && let Some((_, socket)) = inner.sockets.remove(&connection) {
                        let _ = socket.shutdown(Shutdown::Both);
                    }
                }
                Action::Stop { member } => self.stop(inner, member),
                Action::Listen { member } => match self.bind_again(member) {
                    Ok(listener) => self.listen(inner, member, listener),
                    // Somebody else took the port meanwhile: the member stays unreachable.
                    Err(_) => continue,
                },
            }
        }
        self.woken.notify_all();
    }

    fn listen(self: &Arc<Self>, inner: &mut Inner, member: usize, listener: TcpListener) {
        let ended = Arc::new(AtomicBool::new(false));
        inner.open.insert(member, Arc::clone(&ended));
        let shared = Arc::clone(self);
        thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                shared.accept(member, socket);
            }
        });
    }

    /// Ends the thread that listens for `member`, and its connections.
    fn stop(&self, inner: &mut Inner, member: usize) {
        if let Some(ended) = inner.open.remove(&member) {
            ended.store(true, Ordering::SeqCst);
            // The thread waits in `accept`; one more connection lets it look at the flag.
            let _ = TcpStream::connect_timeout(&self.addresses[member], SOON);
        }
        inner.sockets.retain(|_, (of, socket)| {
            let stays = *of != member;
            if !stays {
                let _ = socket.shutdown(Shutdown::Both);
            }
            stays
        });
    }

    /// The old address, as soon as the thread before has let go of it.
    fn bind_again(&self, member: usize) -> io::Result<TcpListener> {
        let mut result = TcpListener::bind(self.addresses[member]);
        for _ in 0..100 {
            if result.is_ok() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
            result = TcpListener::bind(self.addresses[member]);
        }
        result
    }

    fn accept(self: &Arc<Self>, member: usize, socket: TcpStream) {
        let Ok(reader) = socket.try_clone() else { return };
        let _ = socket.set_nodelay(true);
        let _ = socket.set_write_timeout(Some(SOON));
        let mut inner = self.lock();
        if inner.closing || !inner.open.contains_key(&member) {
            return;
        }
        inner.last_connection += 1;
        let connection = inner.last_connection;
        inner.sockets.insert(connection, (member, socket));
        drop(inner);
        let shared = Arc::clone(self);
        thread::spawn(move || {
            // Whatever ends it, a broken message included, ends the connection.
            let _ = shared.read(connection, member, reader);
            let mut inner = shared.lock();
            if let Some((_, socket)) = inner.sockets.remove(&connection) {
                let _ = socket.shutdown(Shutdown::Both);
            }
            shared.handle(&mut inner, Event::Closed { connection });
        });
    }

    fn read(
        self: &Arc<Self>,
        connection: u64,
        member: usize,
        mut socket: TcpStream,
    ) -> io::Result<()> {
        let mut framer = Framer::new(DEFAULT_MAX_MESSAGE_SIZE);
        loop {
            while let Some(frame) = framer.next_frame().map_err(io::Error::other)? {
                let request = decode(frame).map_err(io::Error::other)?;
                let event = Event::Request { connection, member, request };
                self.handle(&mut self.lock(), event);
            }
            let count = socket.read(framer.unfilled(1))?;
            if count == 0 {
                return Ok(());
            }
            framer.filled(count);
        }
    }

    /// Wakes the machine when its time has come, until the set is dropped.
    fn keep_time(self: &Arc<Self>) {
        let mut inner = self.lock();
        while !inner.closing {
            let now = self.now();
            match inner.cluster.poll_timeout() {
                Some(at) if at <= now => self.handle(&mut inner, Event::Wake),
                Some(at) => {
                    let wait = self.woken.wait_timeout(inner, at.duration_since(now));
                    inner = wait.unwrap_or_else(PoisonError::into_inner).0;
                }
                None => {
                    let wait = self.woken.wait(inner);
                    inner = wait.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

/// A free port below those that the system gives to outgoing connections: one of these could take
/// the port of a member that is gone for a while.
fn bind_anywhere() -> io::Result<TcpListener> {
    let mut result = Err(io::ErrorKind::AddrInUse.into());
    for _ in 0..100 {
        let chance = RandomState::new().hash_one(());
        let port = FIRST_PORT + u16::try_from(chance % PORTS).unwrap_or(0);
        result = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        if result.is_ok() {
            break;
        }
    }
    result
}

const FIRST_PORT: u16 = 20_000;
const PORTS: u64 = 12_000;
const SOON: Duration = Duration::from_secs(2);
