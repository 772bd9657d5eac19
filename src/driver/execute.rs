//! The path of one operation: select, check out, send, read; and again where that is allowed.
//!
//! All I/O happens on the caller's task. Whether to try again is the engine's decision
//! ([`Attempts`]); what a failure says about the server is told to the topology machine.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select as either};

use super::failed::Failed;
use super::in_flight::goes_elsewhere;
use super::lease::Lease;
use super::on_demand::attend;
use super::pause;
use super::pool::PooledConnection;
use super::route::Route;
use super::select::{Selected, select};
use super::shared::Shared;
use super::transaction::{Held, Taking};
use super::work::{Executable, Typed, Work};
use crate::engine::address::ServerAddress;
use crate::engine::op::retry::{AttemptServer, Outdated, RetryPolicy};
use crate::engine::op::{
    self, Attempts, CommandContext, Next, OperationKind, Retryability, Trouble,
};
use crate::engine::sdam::ServerType;
use crate::engine::time::Instant;
use crate::error::{Error, Result};
use crate::session::OperationSession;
use crate::transport::MaybeSend;

/// What an operation gave, and where.
pub(crate) struct Executed<T> {
    pub(crate) output: T,
    pub(crate) address: ServerAddress,
    pub(crate) server_type: ServerType,
    /// When the last attempt was sent.
    pub(crate) sent: Instant,
    /// The session that was used; a cursor keeps it.
    pub(crate) session: Option<OperationSession>,
    /// Behind a load balancer: the connection of the cursor that was opened.
    pub(crate) connection: Option<PooledConnection>,
    /// The number of the transaction that it belongs to.
    pub(crate) transaction: Option<i64>,
}

impl Executed<()> {
    fn with<T>(self, output: T) -> Executed<T> {
        let Self { output: (), address, server_type, sent, session, connection, transaction } =
            self;
        Executed { output, address, server_type, sent, session, connection, transaction }
    }
}

/// Runs `operation` in an implicit session.
pub(crate) fn execute<'a, O: Executable>(
    shared: &'a Arc<Shared>,
    operation: &'a mut O,
    route: &'a Route<'_>,
) -> impl Future<Output = Result<Executed<O::Output>>> + MaybeSend + 'a {
    execute_on(shared, operation, route, None, None)
}

/// Runs `operation` in `session`, or else in an implicit one of its own; on the connection that is
/// `pinned`, if one is: it stays so, but for an operation that succeeds and leaves no cursor.
pub(crate) async fn execute_on<O: Executable>(
    shared: &Arc<Shared>,
    operation: &mut O,
    route: &Route<'_>,
    session: Option<OperationSession>,
    pinned: Option<&mut Option<PooledConnection>>,
) -> Result<Executed<O::Output>> {
    let mut work = Typed::new(operation);
    let executed = executed(shared, &mut work, route, session, pinned).await?;
    let output = work.into_output().expect("an attempt succeeded, and left it");
    Ok(executed.with(output))
}

/// All of it that is the same for every operation.
async fn executed(
    shared: &Arc<Shared>,
    work: &mut dyn Work,
    route: &Route<'_>,
    session: Option<OperationSession>,
    pinned: Option<&mut Option<PooledConnection>>,
) -> Result<Executed<()>> {
    let mut run = Run::new(shared, work, route, session);
    let Success { address, server_type, sent, connection } =
        run_to_end(&mut run, work, pinned.unwrap_or(&mut None)).await?;
    let (session, transaction) = (run.session, run.taking.map(|taking| taking.part.number));
    Ok(Executed { output: (), address, server_type, sent, session, connection, transaction })
}

async fn run_to_end(
    run: &mut Run<'_>,
    work: &mut dyn Work,
    pinned: &mut Option<PooledConnection>,
) -> Result<Success> {
    let (shared, awaited) = (run.shared, run.route.awaited);
    let mut attempts = pin!(attempt_until_done(run, work, pinned));
    match awaited {
        true => attend(shared, attempts.as_mut()).await,
        // A job of the driver future itself.
        false => attempts.await,
    }
}

async fn attempt_until_done(
    run: &mut Run<'_>,
    work: &mut dyn Work,
    pinned: &mut Option<PooledConnection>,
) -> Result<Success> {
    let (shared, route) = (run.shared, run.route);
    let budget = &route.budget;
    let attempts = Attempts::new(shared.options.max_adaptive_retries);
    let mut attempts = attempts.timed(budget.is_set());
    run.enter()?;
    loop {
        let failed = match run.attempt(work, pinned).await {
            Ok(success) => return Ok(success),
            Err(failed) => run.transacted(failed),
        };
        run.moves += u32::from(failed.trouble == Trouble::Moved);
        let now = shared.transport.now();
        let over = budget.is_over(now);
        let unconnected = run.connected_by.is_some_and(|end| end <= now);
        let failed = failed.for_want_of_time(over || unconnected);
        match attempts.after(failed.trouble, failed.error, over) {
            Next::Fail(error) => return Err(error),
            Next::OutOfTime(error) => {
                return Err(Error::out_of_time(budget.timeout().unwrap_or_default(), error));
            }
            Next::Retry(pause) => {
                run.deprioritized.extend(failed.avoid);
                let pauses = async {
                    pause::backoff(shared, pause).await;
                    pause::news(shared, run.outdated.take()).await;
                };
                pause::until(shared, budget.end(), pauses).await;
            }
        }
    }
}

/// An attempt that succeeded.
pub(super) struct Success {
    pub(super) address: ServerAddress,
    pub(super) server_type: ServerType,
    pub(super) sent: Instant,
    /// What the cursor that was opened keeps.
    pub(super) connection: Option<PooledConnection>,
}

/// How often one operation may leave a server that does not answer.
const MAX_MOVES: u32 = 3;

/// What is kept from one attempt to the next.
pub(super) struct Run<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) route: &'a Route<'a>,
    pub(super) kind: OperationKind,
    pub(super) policy: RetryPolicy,
    pub(super) session: Option<OperationSession>,
    /// Of a retryable write: the same for every attempt, which is what makes it happen once. Of a
    /// transaction: the same for all its commands.
    pub(super) txn_number: Option<i64>,
    /// Its part in the transaction of its session.
    pub(super) taking: Option<Taking>,
    /// How many attempts were sent.
    pub(super) attempt: u32,
    /// How often it has left a server that did not answer.
    moves: u32,
    deprioritized: Vec<ServerAddress>,
    /// With `timeoutMS`, the end of "computedServerSelectionTimeout": what selects, waits for a
    /// connection or makes one has until then.
    pub(super) connected_by: Option<Instant>,
    /// The server that denied to be what it is believed to be.
    pub(super) outdated: Option<Outdated>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        shared: &'a Arc<Shared>,
        work: &dyn Work,
        route: &'a Route<'a>,
        session: Option<OperationSession>,
    ) -> Self {
        Self {
            shared,
            route,
            kind: work.kind(),
            policy: RetryPolicy {
                retryability: work.retryability(),
                retry_reads: shared.options.retry_reads,
                retry_writes: shared.options.retry_writes,
                in_transaction: false,
                acknowledged: op::CommandContext {
                    write_concern: route.write_concern.as_deref(),
                    ..CommandContext::new(route.database)
                }
                .is_acknowledged(),
            },
            session: session.or_else(|| route.session.clone().map(OperationSession::Explicit)),
            txn_number: None,
            taking: None,
            attempt: 0,
            moves: 0,
            deprioritized: Vec::new(),
            connected_by: None,
            outdated: None,
        }
    }

    async fn attempt(
        &mut self,
        work: &mut dyn Work,
        pinned: &mut Option<PooledConnection>,
    ) -> Result<Success, Failed> {
        let selected = self.select(work.name()).await?;
        let movable = self.is_movable(&selected);
        let (shared, route, kind) = (self.shared, self.route, self.selected_kind());
        let avoided = self.deprioritized.clone();
        let mut attempt = pin!(self.on_server(work, &selected, pinned));
        loop {
            match either(attempt.as_mut(), selected.told()).await {
                Either::Left((outcome, _)) => return outcome,
                Either::Right(_) => {
                    let criteria = route.criteria(&shared.options, kind, &avoided);
                    if movable && goes_elsewhere(shared, &criteria, &selected.pool) {
                        return Err(Failed::moved(selected.pool.address()));
                    }
                }
            }
        }
    }

    /// Whether the operation may leave a server that does not answer: it may be sent twice, has not
    /// moved too often, and any server will do.
    fn is_movable(&self, selected: &Selected) -> bool {
        let policy = &self.policy;
        let repeatable = match policy.retryability {
            // It is over where its primary is displaced, and its caller shall know.
            _ if policy.in_transaction => true,
            Retryability::Read => policy.retry_reads,
            Retryability::Write => {
                policy.needs_transaction_number(&AttemptServer::of(&selected.server))
            }
            Retryability::None => false,
        };
        repeatable && self.route.server.is_none() && self.moves < MAX_MOVES
    }

    async fn on_server(
        &mut self,
        work: &mut dyn Work,
        selected: &Selected,
        pinned: &mut Option<PooledConnection>,
    ) -> Result<Success, Failed> {
        let mut held = match pinned {
            None => self.hold(selected).await?,
            Some(_) => None,
        };
        let lent = held.as_mut().and_then(Held::connection);
        let lease = match pinned.as_mut().or(lent) {
            None => Lease::Own(self.connect(selected).await?),
            Some(connection) => Lease::Lent(connection),
        };
        let outcome = self.on_connection(work, selected, lease).await;
        if outcome.is_ok() && !work.has_open_cursor() {
            *pinned = None;
        }
        outcome
    }

    async fn select(&mut self, name: &str) -> Result<Selected, Failed> {
        let (options, budget) = (&self.shared.options, &self.route.budget);
        let mut timeout = options.server_selection_timeout;
        if budget.is_set() {
            let now = self.shared.transport.now();
            timeout = budget.at_most(timeout, now);
            self.connected_by = Some(now + timeout);
        }
        if let Some(address) = self.route.server {
            return Selected::of(self.shared, address).map_err(Failed::from);
        }
        if let Some((_, session)) = self.transaction()
            && let Some(address) = session.pinned_server()
        {
            return Selected::of(self.shared, &address).map_err(Failed::from);
        }
        let kind = self.selected_kind();
        let criteria = self.route.criteria(options, kind, &self.deprioritized);
        let caller = (name, self.route.operation_id);
        let selected = select(self.shared, &criteria, caller, timeout).await;
        selected.map_err(Failed::unsent)
    }
}
