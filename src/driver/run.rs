//! The future that runs the monitors.
//!
//! It waits for four things at once: a message on a link, the engine's deadline, an input that an
//! operation gave to the engine, and jobs that operations leave behind (killCursors of a dropped
//! cursor). It is woken for nothing else: an idle client costs its heartbeats.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use async_channel::{Receiver, Sender};
use futures_util::future::{AbortHandle, AbortRegistration, Abortable, Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::framed::{Framed, FramedError};
use super::shared::{LinkAction, Shared};
use crate::engine::sdam::{Event, LinkError, LinkId};
use crate::engine::time::Instant;
use crate::engine::wire::DEFAULT_MAX_MESSAGE_SIZE;
use crate::resolve::srv_records;
use crate::transport::{BoxFuture, MaybeSend};

/// The client's background work, as one future.
///
/// Spawn it on the runtime of the transport; it ends when the client is shut down, or when its last
/// handle is dropped. While it is not polled, nothing is monitored and no server can be selected.
#[must_use = "the client discovers nothing until this future is spawned"]
pub struct Driver {
    future: BoxFuture<'static, ()>,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { future: Box::pin(Runner::new(shared).run()) }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.future.as_mut().poll(cx)
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Driver")
    }
}

type LinkEvent = (Instant, Event);

struct Link {
    commands: Sender<Vec<u8>>,
    abort: AbortHandle,
}

struct Runner {
    shared: Arc<Shared>,
    links: BTreeMap<LinkId, Link>,
    /// The latest look-up of SRV records, which may have ended.
    look_up: Option<(u64, AbortHandle)>,
    tasks: FuturesUnordered<BoxFuture<'static, ()>>,
    events: (Sender<LinkEvent>, Receiver<LinkEvent>),
}

/// What woke the runner.
enum Woken {
    Link(LinkEvent),
    Deadline,
    Input,
    TaskEnded,
}

impl Runner {
    fn new(shared: Arc<Shared>) -> Self {
        let events = async_channel::unbounded();
        let (links, tasks) = (BTreeMap::new(), FuturesUnordered::new());
        Self { shared, links, look_up: None, tasks, events }
    }

    async fn run(mut self) {
        self.shared.started();
        let now = self.shared.transport.now();
        self.shared.drive(now, Event::Open);
        loop {
            self.start_work();
            if self.shared.is_closed() && self.tasks.is_empty() {
                return;
            }
            match self.wait().await {
                Woken::Link((at, event)) => self.shared.drive(at, event),
                Woken::Deadline => {
                    let now = self.shared.transport.now();
                    self.shared.drive(now, Event::Elapsed);
                }
                Woken::Input | Woken::TaskEnded => {}
            }
        }
    }

    fn start_work(&mut self) {
        for action in self.shared.take_link_actions() {
            match action {
                LinkAction::Open(id) => self.open(id),
                LinkAction::Send(id, message) => {
                    if let Some(link) = self.links.get(&id) {
                        // A link that has ended has said so already.
                        let _ = link.commands.try_send(message);
                    }
                }
                LinkAction::Close(id) => {
                    if let Some(link) = self.links.remove(&id) {
                        link.abort.abort();
                    }
                }
                LinkAction::LookUp(number, name) => self.look_up(number, name),
                LinkAction::CancelLookUp(number) => {
                    if let Some((_, look_up)) = self.look_up.take_if(|(own, _)| *own == number) {
                        look_up.abort();
                    }
                }
            }
        }
        for job in self.shared.take_jobs() {
            self.tasks.push(job);
        }
    }

    fn open(&mut self, id: LinkId) {
        let (commands, inbox) = async_channel::unbounded();
        let (abort, registration) = AbortHandle::new_pair();
        let work = carry(self.shared.clone(), id.clone(), inbox, self.events.0.clone());
        self.start(work, registration);
        self.links.insert(id, Link { commands, abort });
    }

    fn look_up(&mut self, number: u64, name: String) {
        let (abort, registration) = AbortHandle::new_pair();
        let (shared, events) = (self.shared.clone(), self.events.0.clone());
        let work = async move {
            let answer = srv_records(&shared.options, &*shared.transport, &name).await;
            let event = Event::LookedUp { number, answer };
            let _ = events.send((shared.transport.now(), event)).await;
        };
        self.start(work, registration);
        self.look_up = Some((number, abort));
    }

    fn start(
        &self,
        work: impl Future<Output = ()> + MaybeSend + 'static,
        abort: AbortRegistration,
    ) {
        let task = Abortable::new(work, abort);
        self.tasks.push(Box::pin(async move {
            let _aborted = task.await;
        }));
    }

    async fn wait(&mut self) -> Woken {
        let input = self.shared.input();
        if self.shared.has_work() {
            return Woken::Input;
        }
        let sleep = match self.shared.timeout() {
            Some(deadline) => self.shared.transport.sleep_until(deadline),
            None => Box::pin(std::future::pending()),
        };
        let outside = pin!(async {
            match select(sleep, input).await {
                Either::Left(_) => Woken::Deadline,
                Either::Right(_) => Woken::Input,
            }
        });
        let tasks = &mut self.tasks;
        let ended = pin!(async {
            match tasks.next().await {
                Some(()) => Woken::TaskEnded,
                None => std::future::pending().await,
            }
        });
        let event = pin!(async {
            match self.events.1.recv().await {
                Ok(event) => Woken::Link(event),
                Err(_) => std::future::pending().await,
            }
        });
        // Tasks first: they carry the bytes whose arrival the events report.
        match select(ended, select(event, outside)).await {
            Either::Left((woken, _)) => woken,
            Either::Right((Either::Left((woken, _)) | Either::Right((woken, _)), _)) => woken,
        }
    }
}

/// Carries bytes between one link and the engine, until either side ends it.
async fn carry(
    shared: Arc<Shared>,
    id: LinkId,
    commands: Receiver<Vec<u8>>,
    events: Sender<LinkEvent>,
) {
    let transport = &*shared.transport;
    let stream = match transport.connect(&id.address).await {
        Ok(stream) => stream,
        Err(error) => {
            let error = LinkError::network(error);
            let _ = events.try_send((transport.now(), Event::Broken { link: id, error }));
            return;
        }
    };
    let _ = events.try_send((transport.now(), Event::Opened(id.clone())));
    let mut framed = Framed::new(stream, DEFAULT_MAX_MESSAGE_SIZE);
    let mut written = transport.now();
    let error = loop {
        let next = {
            let read = pin!(framed.read(transport, None));
            let command = pin!(commands.recv());
            match select(read, command).await {
                Either::Left((read, _)) => Either::Left(read),
                Either::Right((command, _)) => Either::Right(command),
            }
        };
        match next {
            Either::Left(Ok(arrival)) => {
                let link = id.clone();
                let event = Event::Received { link, message: arrival.frame, written };
                let _ = events.try_send((arrival.at, event));
            }
            Either::Left(Err(error)) => break error,
            Either::Right(Ok(message)) => {
                written = transport.now();
                if let Err(error) = framed.write(&message).await {
                    break error;
                }
            }
            Either::Right(Err(_)) => return,
        }
    };
    let error = match error {
        FramedError::Wire(error) => LinkError::from(error),
        other => LinkError::network(other),
    };
    let _ = events.try_send((transport.now(), Event::Broken { link: id, error }));
}
