//! The future that runs the monitors.
//!
//! It waits for four things at once: a message on a link, the engine's deadline, an input that an
//! operation gave to the engine, and jobs that operations leave behind (killCursors of a dropped
//! cursor). It is woken for nothing else: an idle client costs its heartbeats.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use event_listener::EventListener;
use futures_channel::mpsc;
use futures_util::future::{AbortHandle, AbortRegistration, Abortable, Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::authenticate::yield_now;
use super::link::{LinkAction, LinkEvent, LinkSlot, carry, send};
use super::shared::Shared;
use crate::engine::map::SortedMap;
use crate::engine::sdam::{Event, LinkId};
use crate::resolve::srv_records;
use crate::transport::{BoxFuture, MaybeSend};

/// The client's background work, as one future.
///
/// Spawn it on the runtime of the transport; it ends when the client is shut down, or when its last
/// handle is dropped. While it is not polled, nothing is monitored and no server can be selected;
/// dropping it shuts the client down.
#[must_use = "the client discovers nothing until this future is spawned"]
pub struct Driver {
    shared: Arc<Shared>,
    future: BoxFuture<'static, ()>,
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { future: run(shared.clone()), shared }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.future.as_mut().poll(cx)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.ended();
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Driver")
    }
}

/// The background work of `shared`, which the future keeps alive.
pub(crate) fn run(shared: Arc<Shared>) -> BoxFuture<'static, ()> {
    Box::pin(Runner::new(shared).run())
}

struct Link {
    commands: mpsc::UnboundedSender<Vec<u8>>,
    slot: Arc<LinkSlot>,
    abort: AbortHandle,
}

struct Runner {
    shared: Arc<Shared>,
    links: SortedMap<LinkId, Link>,
    /// The latest look-up of SRV records, which may have ended.
    look_up: Option<(u64, AbortHandle)>,
    tasks: FuturesUnordered<BoxFuture<'static, ()>>,
    events: (mpsc::Sender<LinkEvent>, mpsc::Receiver<LinkEvent>),
}

/// What woke the runner.
enum Woken {
    Link(LinkEvent),
    /// The deadline, an input, or a task that ended.
    Else,
}

impl Runner {
    fn new(shared: Arc<Shared>) -> Self {
        let events = mpsc::channel(EVENTS);
        let (links, tasks) = (SortedMap::new(), FuturesUnordered::new());
        Self { shared, links, look_up: None, tasks, events }
    }

    async fn run(mut self) {
        self.shared.started();
        self.shared.drive(self.shared.transport.now(), Event::Open);
        for turn in 1_usize.. {
            // Taken before looking: what is given from now on ends the wait.
            let input = self.shared.input();
            self.start_work();
            if self.shared.is_closed() {
                // Links and jobs end with this future.
                return self.shared.ended();
            }
            if turn.is_multiple_of(TURNS) {
                yield_now().await;
            }
            if let Woken::Link((at, event)) = self.wait(input).await {
                if let Event::Broken { link, .. } = &event {
                    self.links.remove(link);
                }
                self.shared.drive(at, event);
            }
            // Whatever woke this: a busy link must not keep others from their deadlines.
            let now = self.shared.transport.now();
            if self.shared.timeout().is_some_and(|deadline| deadline <= now) {
                self.shared.drive(now, Event::Elapsed);
            }
        }
    }

    fn start_work(&mut self) {
        for action in self.shared.take_link_actions() {
            match action {
                LinkAction::Open(id, slot) => self.open(id, slot),
                LinkAction::Send(id, message) => {
                    if let Some(link) = self.links.get(&id) {
                        // A link that has ended has said so already.
                        let _ = link.commands.unbounded_send(message);
                    }
                }
                LinkAction::Greet(id, message) => {
                    if let Some(link) = self.links.get(&id) {
                        let message = link.slot.greeting(&self.shared, message);
                        let _ = link.commands.unbounded_send(message);
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

    fn open(&mut self, id: LinkId, slot: Arc<LinkSlot>) {
        let (commands, inbox) = mpsc::unbounded();
        let (abort, registration) = AbortHandle::new_pair();
        let events = self.events.0.clone();
        let work = carry(self.shared.clone(), id.clone(), slot.clone(), inbox, events);
        self.start(work, registration);
        self.links.insert(id, Link { commands, slot, abort });
    }

    fn look_up(&mut self, number: u64, name: String) {
        let (abort, registration) = AbortHandle::new_pair();
        let (shared, mut events) = (self.shared.clone(), self.events.0.clone());
        let work = async move {
            let answer = srv_records(&shared.options, &*shared.transport, &name).await;
            let event = Event::LookedUp { number, answer };
            send(&mut events, (shared.transport.now(), event)).await;
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

    async fn wait(&mut self, input: EventListener) -> Woken {
        let sleep = match self.shared.timeout() {
            Some(deadline) => self.shared.transport.sleep_until(deadline),
            None => Box::pin(std::future::pending()),
        };
        let tasks = &mut self.tasks;
        let ended = pin!(async {
            if tasks.next().await.is_none() {
                std::future::pending::<()>().await;
            }
        });
        // Only those tasks send events, and they are polled first, right before this: whatever
        // there is can be seen now, and a waker here would only wake this future from inside
        // itself.
        let events = &mut self.events.1;
        let event = poll_fn(|_| match events.try_recv() {
            Ok(event) => Poll::Ready(event),
            Err(_) => Poll::Pending,
        });
        match select(select(ended, event), select(sleep, input)).await {
            Either::Left((Either::Right((event, _)), _)) => Woken::Link(event),
            Either::Left((Either::Left(_), _)) | Either::Right(_) => Woken::Else,
        }
    }
}

/// Events handled before others have their turn, should events never cease.
const TURNS: usize = 64;

/// Events that wait for the engine at most: a server that sends without end waits for it, and fills
/// no memory.
const EVENTS: usize = 32;
