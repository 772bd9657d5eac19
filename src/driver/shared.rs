//! What the driver future and the operations share.
//!
//! One mutex guards the machine; it is held for one input and its actions, never across an await.
//! Operations read the [`View`] that it publishes, without a lock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use event_listener::EventListener;

use super::authenticate::Authentication;
use super::link::{LinkAction, LinkSlot};
use super::observe::Observers;
use super::on_demand::Attendance;
use super::open::Opener;
use super::owed::Owed;
use super::pool::ServerPool;
use crate::engine::address::ServerAddress;
use crate::engine::hello::{ClientMetadata, DelimiterInDriverInfo, DriverInfo, HelloReply};
use crate::engine::map::SortedMap;
use crate::engine::pool::Generation;
use crate::engine::rng::Rng;
use crate::engine::sdam::{
    Action, Event, Failure, FailureKind, LinkId, Sdam, Stage, TopologyDescription,
};
use crate::engine::time::Instant;
use crate::options::ClientOptions;
use crate::published::{Guard, Published};
use crate::session::SessionPool;
use crate::transport::{BoxFuture, Transport};

/// What an operation sees: one consistent belief, with the pools that belong to it.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) topology: Arc<TopologyDescription>,
    pub(crate) pools: SortedMap<ServerAddress, Arc<ServerPool>>,
    /// The new primary whose first success completes a failover.
    awaited_success: Option<ServerAddress>,
}

type Job = BoxFuture<'static, ()>;

/// What is behind the mutex.
pub(super) struct Core {
    pub(super) sdam: Sdam,
    pub(super) pools: SortedMap<ServerAddress, Arc<ServerPool>>,
    /// Where the stream of each link lies.
    pub(super) slots: SortedMap<LinkId, Arc<LinkSlot>>,
    link_actions: VecDeque<LinkAction>,
    pub(super) waiting: usize,
    /// On demand: the operations that are under way.
    pub(super) attending: usize,
    pub(super) closed: bool,
}

/// What the driver future and the operations share.
pub(crate) struct Shared {
    pub(crate) transport: Arc<dyn Transport>,
    /// Proxy and TLS above the transport.
    pub(crate) opener: Opener,
    pub(crate) options: ClientOptions,
    /// What the client says of itself in the first hello of a connection.
    metadata: Published<Arc<ClientMetadata>>,
    /// Who the client is; `None` for nobody.
    pub(crate) authentication: Option<Authentication>,
    pub(crate) sessions: SessionPool,
    /// Who listens to what happens.
    pub(crate) observers: Arc<Observers>,
    core: Mutex<Core>,
    view: Published<Arc<View>>,
    /// Notified at each new view.
    changed: event_listener::Event,
    /// Notified when the driver future has something to do.
    input: event_listener::Event,
    /// On demand: the driver future, for whoever has an operation under way.
    pub(super) attendance: Option<Attendance>,
    /// Work for the driver future; `None` once that has ended.
    jobs: Mutex<Option<Vec<Job>>>,
    /// Which of it the servers are to hear before a shutdown.
    pub(super) owed: Arc<Owed>,
    rng: Mutex<Rng>,
    running: AtomicBool,
    /// Whether the engine looks at the operations in flight from time to time.
    watching: AtomicBool,
    /// From when on the process must have stood still (nanoseconds of an instant).
    overdue: AtomicU64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("topology", &self.view.load().topology).finish()
    }
}

impl Shared {
    pub(crate) fn new(
        options: ClientOptions,
        (transport, opener): (Arc<dyn Transport>, Opener),
        sdam: Sdam,
        seed: u64,
        metadata: ClientMetadata,
        authentication: Option<Authentication>,
        observers: Arc<Observers>,
    ) -> Self {
        let view = View {
            topology: Arc::new(sdam.seeded()),
            pools: SortedMap::new(),
            awaited_success: None,
        };
        let attendance = sdam.scan_status().map(|_| Attendance::default());
        let core = Core {
            sdam,
            pools: SortedMap::new(),
            slots: SortedMap::new(),
            link_actions: VecDeque::new(),
            waiting: 0,
            attending: 0,
            closed: false,
        };
        Self {
            transport,
            opener,
            options,
            metadata: Published::new(Arc::new(metadata)),
            authentication,
            sessions: SessionPool::default(),
            observers,
            core: Mutex::new(core),
            view: Published::new(Arc::new(view)),
            changed: event_listener::Event::new(),
            input: event_listener::Event::new(),
            attendance,
            jobs: Mutex::new(Some(Vec::new())),
            owed: Arc::default(),
            rng: Mutex::new(Rng::seeded(seed)),
            running: AtomicBool::new(false),
            watching: AtomicBool::new(false),
            overdue: AtomicU64::new(u64::MAX),
        }
    }

    /// The present belief.
    pub(crate) fn view(&self) -> Guard<Arc<View>> {
        self.view.load()
    }

    /// Ends at the next new view. Take it before looking at the present one.
    pub(crate) fn changed(&self) -> EventListener {
        self.changed.listen()
    }

    /// The client's randomness.
    pub(crate) fn rng(&self) -> MutexGuard<'_, Rng> {
        self.rng.lock().expect("not poisoned: a draw does not panic")
    }

    /// Gives the engine one input and does what it says, except for links: those are the driver
    /// future's.
    pub(crate) fn drive(self: &Arc<Self>, now: Instant, event: Event) {
        let mut core = self.core();
        core.closed |= matches!(event, Event::Close);
        if let Event::Broken { link, .. } = &event {
            core.slots.remove(link);
        }
        self.tell(now, core, event);
    }

    pub(super) fn tell(
        self: &Arc<Self>,
        now: Instant,
        mut core: MutexGuard<'_, Core>,
        event: Event,
    ) {
        self.record(now, &event);
        core.sdam.handle(now, event);
        self.perform(now, &mut core);
        self.set_overdue(&core);
        drop(core);
        self.input.notify(usize::MAX);
    }

    /// Under the lock, so that the recording has the order in which the machine was told.
    #[cfg(any(not(target_arch = "wasm32"), feature = "recording"))]
    fn record(&self, now: Instant, event: &Event) {
        if let Some(trace) = &self.options.trace {
            trace.input(now, event);
        }
    }

    #[cfg(not(any(not(target_arch = "wasm32"), feature = "recording")))]
    fn record(&self, _now: Instant, _event: &Event) {}

    /// What the client says of itself in the first hello of a connection.
    pub(crate) fn metadata(&self) -> Arc<ClientMetadata> {
        self.metadata.load_full()
    }

    /// Adds what a library on top says of itself, for connections that are opened from now on.
    pub(crate) fn append_metadata(
        self: &Arc<Self>,
        library: &DriverInfo,
    ) -> Result<(), DelimiterInDriverInfo> {
        let mut outcome = Ok(false);
        self.metadata.rcu(|metadata| {
            let mut metadata = (**metadata).clone();
            outcome = metadata.append(library);
            metadata
        });
        if outcome? {
            self.drive(self.transport.now(), Event::Named(library.clone()));
        }
        Ok(())
    }

    /// Tells the engine that an operation failed in a way that may say something about its server.
    pub(crate) fn report(self: &Arc<Self>, failure: Failure) {
        self.drive(self.transport.now(), Event::Failed(failure));
    }

    /// The same of somebody who has no connection of the client's pools.
    pub(crate) fn report_host(
        self: &Arc<Self>,
        address: &ServerAddress,
        stage: Stage,
        kind: FailureKind,
    ) {
        let Some(generation) = self.core().sdam.pool_generation(address) else { return };
        let generation = Generation { number: generation, service_id: None };
        self.report(Failure::of(address, generation, stage, kind));
    }

    /// An operation succeeded on `address`: worth telling only where a failover waits for it.
    pub(crate) fn succeeded(self: &Arc<Self>, address: &ServerAddress) {
        if self.view().awaited_success.as_ref() == Some(address) {
            self.drive(self.transport.now(), Event::Succeeded(address.clone()));
        }
    }

    /// Closes pools and monitors; whoever waits for a server fails.
    pub(crate) fn close(self: &Arc<Self>) {
        if !self.is_closed() {
            self.drive(self.transport.now(), Event::Close);
        }
        if let Some(attendance) = &self.attendance {
            attendance.dismiss();
            // Nobody is left to do them, and they hold what holds them.
            let jobs = self.jobs().take();
            drop(jobs);
        }
    }

    fn perform(self: &Arc<Self>, now: Instant, core: &mut Core) {
        let mut report = false;
        while let Some(action) = core.sdam.poll_action() {
            match action {
                Action::OpenLink(link) => core.open_link(link, LinkSlot::default()),
                Action::BorrowLink { link, idle } => {
                    let borrowed = |pool: &Arc<ServerPool>| match idle {
                        true => LinkSlot::offered_or_idle(pool, &self.transport),
                        false => LinkSlot::offered(pool),
                    };
                    let slot = core.pools.get(&link.address).map(borrowed).unwrap_or_default();
                    core.open_link(link, slot);
                }
                Action::OfferLink { link, reply } => core.let_go(now, link, Some(reply)),
                Action::ReturnLink(link) => core.let_go(now, link, None),
                Action::Send(link, message) => {
                    core.link_actions.push_back(LinkAction::Send(link, message));
                }
                Action::Greet(link, message) => {
                    core.link_actions.push_back(LinkAction::Greet(link, message));
                }
                Action::CloseLink(link) => {
                    core.slots.remove(&link);
                    core.link_actions.push_back(LinkAction::Close(link));
                }
                Action::LookUp { number, name } => {
                    core.link_actions.push_back(LinkAction::LookUp(number, name));
                }
                Action::CancelLookUp(number) => {
                    core.link_actions.push_back(LinkAction::CancelLookUp(number));
                }
                Action::OpenPool(address) => {
                    core.pools.insert(address.clone(), self.open_pool(address));
                }
                Action::ReadyPool(address) => {
                    with_pool(core, &address, |pool| self.tend(now, pool));
                }
                Action::ClearService { address, service_id, generation } => {
                    with_pool(core, &address, |pool| {
                        pool.clear_service(now, service_id, generation);
                    });
                }
                Action::ClearPool { address, generation, reason, interrupt_in_use } => {
                    with_pool(core, &address, |pool| {
                        pool.clear(now, generation, &reason, interrupt_in_use);
                    });
                }
                Action::ClosePool(address) => {
                    if let Some(pool) = core.pools.remove(&address) {
                        pool.close(now);
                    }
                }
                Action::ReportInFlight => report = true,
                Action::Reconsider { address, .. } => {
                    with_pool(core, &address, |pool| pool.in_flight().reconsider());
                }
                Action::Publish(topology) => {
                    let pools = core.pools.clone();
                    let awaited_success = core.sdam.awaited_success().cloned();
                    self.view.store(Arc::new(View { topology, pools, awaited_success }));
                    self.changed.notify(usize::MAX);
                }
                Action::Notify(event) => self.observers.tell_topology(event),
            }
        }
        if report {
            self.report_in_flight(now, core);
        }
    }

    /// Tells the engine which operations are in flight; it looks again while there are any.
    fn report_in_flight(self: &Arc<Self>, now: Instant, core: &mut Core) {
        // First, so that an operation that begins behind this line asks for another look.
        self.watching.store(false, Ordering::SeqCst);
        let since = |(address, pool): (&ServerAddress, &Arc<ServerPool>)| {
            Some((address.clone(), pool.in_flight().oldest()?))
        };
        let oldest: Vec<_> = core.pools.iter().filter_map(since).collect();
        self.watching.fetch_or(!oldest.is_empty(), Ordering::SeqCst);
        let event = Event::InFlight(oldest);
        self.record(now, &event);
        core.sdam.handle(now, event);
        self.perform(now, core);
    }

    /// An operation begins. Costs one load while operations are watched already.
    pub(crate) fn busy(self: &Arc<Self>) {
        if self.options.suspicion.enabled
            && !self.watching.load(Ordering::Relaxed)
            && !self.watching.swap(true, Ordering::SeqCst)
        {
            self.drive(self.transport.now(), Event::Busy);
        }
    }

    /// Leaves a piece of work to the driver future; once that has ended, nobody does it.
    pub(crate) fn leave_job(&self, job: Job) {
        if let Some(jobs) = &mut *self.jobs() {
            jobs.push(job);
            self.input.notify(usize::MAX);
        }
    }

    pub(crate) fn take_jobs(&self) -> Vec<Job> {
        self.jobs().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The driver future ends, by itself or because somebody dropped it.
    pub(crate) fn ended(self: &Arc<Self>) {
        let jobs = self.jobs().take();
        drop(jobs);
        self.close();
    }

    fn jobs(&self) -> MutexGuard<'_, Option<Vec<Job>>> {
        self.jobs.lock().expect("not poisoned: nothing panics with it")
    }

    pub(crate) fn take_link_actions(&self) -> VecDeque<LinkAction> {
        std::mem::take(&mut self.core().link_actions)
    }

    /// Ends when the driver future has something to do. Take it before looking.
    pub(crate) fn input(&self) -> EventListener {
        self.input.listen()
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.core().sdam.poll_timeout()
    }

    /// Tells the engine what time it is, then says how long the process has stood still in all.
    pub(crate) fn stood_still(self: &Arc<Self>, now: Instant) -> Duration {
        self.drive(now, Event::Elapsed);
        self.core().sdam.stood_still()
    }

    fn set_overdue(&self, core: &Core) {
        let overdue = core.sdam.overdue().map_or(u64::MAX, Instant::as_nanos);
        self.overdue.store(overdue, Ordering::Relaxed);
    }

    /// An operation begins: has the engine told of a standstill before the operation trusts what
    /// was known. Costs a look at the clock.
    pub(crate) fn check_clock(self: &Arc<Self>) {
        let now = self.transport.now();
        if now.as_nanos() > self.overdue.load(Ordering::Relaxed) {
            self.drive(now, Event::Elapsed);
        }
    }

    /// How long the process has stood still in all, as far as is known.
    pub(crate) fn known_standstill(&self) -> Duration {
        self.core().sdam.stood_still()
    }

    /// The interval of checks at this moment.
    pub(crate) fn monitoring_interval(&self) -> Duration {
        self.core().sdam.monitoring_interval()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.core().closed
    }

    /// The driver future was polled for the first time.
    pub(crate) fn started(&self) {
        self.running.store(true, Ordering::Relaxed);
    }

    /// Whether the driver future was ever polled.
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    pub(super) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().expect("not poisoned: the engine does not panic")
    }
}

impl Core {
    fn open_link(&mut self, link: LinkId, slot: LinkSlot) {
        let slot = Arc::new(slot);
        self.slots.insert(link.clone(), slot.clone());
        self.link_actions.push_back(LinkAction::Open(link, slot));
    }

    fn let_go(&mut self, now: Instant, link: LinkId, hello: Option<Arc<HelloReply>>) {
        if let Some(slot) = self.slots.remove(&link)
            && let Some(pool) = self.pools.get(&link.address)
        {
            slot.let_go(pool, now, hello);
        }
        self.link_actions.push_back(LinkAction::Close(link));
    }
}

fn with_pool(core: &Core, address: &ServerAddress, act: impl FnOnce(&Arc<ServerPool>)) {
    if let Some(pool) = core.pools.get(address) {
        act(pool);
    }
}
