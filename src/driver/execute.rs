//! The path of one operation: select, check out, send, read; and again where that is allowed.
//!
//! All I/O happens on the caller's task. Whether to try again is the engine's decision
//! ([`Attempts`]); what a failure says about the server is told to the topology machine.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bson::RawDocumentBuf;
use futures_util::future::{Either, select as either};

use super::connection::{Connection, ConnectionError};
use super::failed::{Failed, kind_of};
use super::in_flight::goes_elsewhere;
use super::lease::{Lease, for_cursor, is_open_cursor, release};
use super::observe::CommandWatch;
use super::on_demand::attend;
use super::pause;
use super::pool::PooledConnection;
use super::route::Route;
use super::select::{Selected, select};
use super::shared::Shared;
use crate::engine::address::ServerAddress;
use crate::engine::op::retry::{AttemptServer, Outdated, RetryPolicy};
use crate::engine::op::{
    self, Attempts, CommandContext, Limits, MaxTime, Next, Operation, OperationKind, ReplyFailure,
    Retryability, Trouble,
};
use crate::engine::sdam::{ServerType, Stage};
use crate::engine::time::Instant;
use crate::engine::wire::{Flags, WireError};
use crate::error::{Error, ErrorKind, Result};
use crate::session::OperationSession;

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
}

/// Runs `operation` in an implicit session.
pub(crate) async fn execute<O: Operation>(
    shared: &Arc<Shared>,
    operation: &mut O,
    route: &Route<'_>,
) -> Result<Executed<O::Output>> {
    execute_in(shared, operation, route, None).await
}

/// Runs `operation` in `session`, or else in an implicit one of its own.
pub(crate) async fn execute_in<O: Operation>(
    shared: &Arc<Shared>,
    operation: &mut O,
    route: &Route<'_>,
    session: Option<OperationSession>,
) -> Result<Executed<O::Output>> {
    execute_on(shared, operation, route, session, &mut None).await
}

/// The same on the connection that is `pinned`, if one is: it stays so, but for an operation that
/// succeeds and leaves no cursor.
pub(crate) async fn execute_on<O: Operation>(
    shared: &Arc<Shared>,
    operation: &mut O,
    route: &Route<'_>,
    session: Option<OperationSession>,
    pinned: &mut Option<PooledConnection>,
) -> Result<Executed<O::Output>> {
    let mut run = Run::new(shared, operation, route, session);
    let work = attempt_until_done(&mut run, operation, pinned);
    let success = match route.awaited {
        true => attend(shared, work).await,
        // A job of the driver future itself.
        false => work.await,
    };
    Ok(success?.executed(run.session))
}

async fn attempt_until_done<O: Operation>(
    run: &mut Run<'_>,
    operation: &mut O,
    pinned: &mut Option<PooledConnection>,
) -> Result<Success<O::Output>> {
    let (shared, route) = (run.shared, run.route);
    let budget = &route.budget;
    let attempts = Attempts::new(shared.options.max_adaptive_retries);
    let mut attempts = attempts.timed(budget.is_set());
    loop {
        let failed = match run.attempt(operation, pinned).await {
            Ok(success) => return Ok(success),
            Err(failed) => failed,
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
pub(super) struct Success<T> {
    pub(super) output: T,
    address: ServerAddress,
    server_type: ServerType,
    sent: Instant,
    /// What the cursor that was opened keeps.
    connection: Option<PooledConnection>,
}

impl<T> Success<T> {
    fn executed(self, session: Option<OperationSession>) -> Executed<T> {
        let Self { output, address, server_type, sent, connection } = self;
        Executed { output, address, server_type, sent, session, connection }
    }
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
    /// Of a retryable write: the same for every attempt, which is what makes it happen once.
    pub(super) txn_number: Option<i64>,
    /// How many attempts were sent.
    attempt: u32,
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
    pub(super) fn new<O: Operation>(
        shared: &'a Arc<Shared>,
        operation: &O,
        route: &'a Route<'a>,
        session: Option<OperationSession>,
    ) -> Self {
        Self {
            shared,
            route,
            kind: operation.kind(),
            policy: RetryPolicy {
                retryability: operation.retryability(),
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
            attempt: 0,
            moves: 0,
            deprioritized: Vec::new(),
            connected_by: None,
            outdated: None,
        }
    }

    async fn attempt<O: Operation>(
        &mut self,
        operation: &mut O,
        pinned: &mut Option<PooledConnection>,
    ) -> Result<Success<O::Output>, Failed> {
        let selected = self.select(operation).await?;
        let movable = self.is_movable(&selected);
        let (shared, route, kind) = (self.shared, self.route, self.kind);
        let avoided = self.deprioritized.clone();
        let mut work = pin!(self.on_server(operation, &selected, pinned));
        loop {
            match either(work.as_mut(), selected.told()).await {
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
            Retryability::Read => policy.retry_reads,
            Retryability::Write => {
                policy.needs_transaction_number(&AttemptServer::of(&selected.server))
            }
            Retryability::None => false,
        };
        repeatable && self.route.server.is_none() && self.moves < MAX_MOVES
    }

    async fn on_server<O: Operation>(
        &mut self,
        operation: &mut O,
        selected: &Selected,
        pinned: &mut Option<PooledConnection>,
    ) -> Result<Success<O::Output>, Failed> {
        let Some(connection) = pinned.as_deref_mut() else {
            let connection = self.connect(selected).await?;
            return self.on_connection(operation, selected, connection).await;
        };
        let outcome = self.on_connection(operation, selected, connection).await;
        if outcome.as_ref().is_ok_and(|it| !is_open_cursor(&it.output)) {
            *pinned = None;
        }
        outcome
    }

    /// Runs the operation once, on this connection, and lets go of that as soon as it can.
    pub(super) async fn on_connection<O: Operation>(
        &mut self,
        operation: &mut O,
        selected: &Selected,
        mut connection: impl Lease,
    ) -> Result<Success<O::Output>, Failed> {
        self.connected_by = None;
        let limits = Limits::of(connection.hello());
        if self.attempt == 0 {
            operation.prepare(&limits)?;
            // What fits into the command decides whether it may be sent again.
            self.policy.retryability = operation.retryability();
        }
        let server = AttemptServer::of(&selected.server);
        let joined = self.join_session(operation, &server, &connection)?;
        let preference = self
            .route
            .read_preference
            .document_for(selected.topology_type, selected.server.server_type)
            .filter(|_| selected.by_preference);
        let context = CommandContext {
            lsid: joined.lsid(),
            txn_number: self.txn_number,
            cluster_time: joined.cluster_time(),
            read_preference: preference.as_deref(),
            read_concern: self.route.read_concern.as_deref(),
            session_concern: joined.concern(),
            write_concern: self.route.write_concern.as_deref(),
            server_api: self.shared.options.server_api,
            limits,
            max_wire_version: connection.hello().max_wire_version,
            max_time: self.max_time(selected)?,
            ..CommandContext::new(self.route.database)
        };
        self.attempt += 1;
        let sent = self.shared.transport.now();
        let mut watch = self.watch(operation);
        let mut reply =
            self.exchange(operation, &context, &mut connection, selected, &mut watch).await;
        if let Some(refused) = self.wants_reauthentication(&reply) {
            let error = Error::of_reply(selected.pool.address(), refused);
            let failed = Failed { error, trouble: Trouble::Client, avoid: None };
            failed.told(&mut watch);
            self.reauthenticate(selected, &mut connection).await?;
            watch = self.watch(operation);
            reply = self.exchange(operation, &context, &mut connection, selected, &mut watch).await;
        }
        let reply = reply.map_err(|failed| failed.told(&mut watch))?;
        let generation = connection.generation();
        let connection = release(connection, selected.topology_type);
        let output = match reply {
            None => operation
                .unacknowledged()
                .ok_or_else(|| Error::invalid_argument("w: 0 gives this operation no result"))?,
            Some(reply) => {
                joined.saw(self.shared, &reply);
                operation.read(reply, &context).map_err(|failure| {
                    let failed = self.refused(failure, selected, generation, &server);
                    failed.told(&mut watch)
                })?
            }
        };
        let server_type = selected.server.server_type;
        let address = selected.server.address.clone();
        self.shared.succeeded(&address);
        let connection = for_cursor(connection.filter(|_| is_open_cursor(&output)));
        Ok(Success { output, address, server_type, sent, connection })
    }

    /// What the server is told of the time that is left.
    fn max_time(&self, selected: &Selected) -> Result<MaxTime, Failed> {
        let (budget, server) = (&self.route.budget, &selected.server);
        if !budget.is_set() {
            return Ok(MaxTime::OfOperation);
        }
        let now = self.shared.transport.now();
        budget.max_time(now, server.min_round_trip_time).map_err(|late| {
            let (address, message) = (server.address.clone(), late.to_string());
            let error = Error::new(ErrorKind::Timeout { address, message });
            let trouble = Trouble::OutOfTime { indicates_attempt: false };
            Failed { error, trouble, avoid: None }
        })
    }

    /// How long a command that is sent now may take; `usual` counts without `timeoutMS`.
    pub(super) fn limit(&self, usual: Option<Duration>) -> Option<Duration> {
        let budget = &self.route.budget;
        if !budget.is_set() {
            return usual;
        }
        budget.reply_limit(usual, self.shared.transport.now())
    }

    fn watch(&self, operation: &impl Operation) -> Option<CommandWatch> {
        let shared = self.shared;
        shared.observers.watch(&shared.transport, self.route, operation.name())
    }

    /// The reply by which a server asks for another authentication, where the client has one.
    fn wants_reauthentication(
        &self,
        reply: &Result<Option<RawDocumentBuf>, Failed>,
    ) -> Option<ReplyFailure> {
        self.shared.authentication.as_ref()?;
        let Ok(Some(reply)) = reply else { return None };
        op::reply::check(reply).err().filter(ReplyFailure::is_reauthentication_required)
    }

    /// Auth "Reauthentication": "Drivers MUST immediately attempt a reauthentication on the
    /// connection [...] and then re-attempt the operation", whether it is retryable or not.
    async fn reauthenticate(
        &self,
        selected: &Selected,
        connection: &mut Connection,
    ) -> Result<(), Failed> {
        let Some(authentication) = &self.shared.authentication else { return Ok(()) };
        let transport = &*self.shared.transport;
        let limit = self.limit(self.shared.options.connect_timeout);
        let generation = connection.generation();
        let address = selected.pool.address();
        let proved = connection.reauthenticate(transport, address, limit, authentication).await;
        proved.map_err(|error| {
            self.report(address, generation, Stage::Authenticating, kind_of(&error));
            self.unproved(selected, &error)
        })
    }

    async fn select<O: Operation>(&mut self, operation: &O) -> Result<Selected, Failed> {
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
        let criteria = self.route.criteria(options, operation.kind(), &self.deprioritized);
        let caller = (operation.name(), self.route.operation_id);
        let selected = select(self.shared, &criteria, caller, timeout).await;
        selected.map_err(Failed::unsent)
    }

    async fn exchange<O: Operation>(
        &mut self,
        operation: &O,
        context: &CommandContext<'_>,
        connection: &mut Connection,
        selected: &Selected,
        watch: &mut Option<CommandWatch>,
    ) -> Result<Option<RawDocumentBuf>, Failed> {
        let command = op::build(operation, context)?;
        let silent = !context.is_acknowledged() && operation.unacknowledged().is_some();
        let flags = if silent { Flags::MORE_TO_COME } else { Flags::NONE };
        let transport = &*self.shared.transport;
        let limit = self.limit(self.shared.options.socket_timeout);
        let generation = connection.generation();
        let most = context.limits.max_message_size_bytes;
        // Whoever drops this future leaves an operation behind that may still run on the server.
        let was_dirty = self.set_dirty(true);
        let (address, peer) = (selected.pool.address(), connection.peer());
        let reply = connection
            .exchange(transport, limit, |buffer, request| {
                let length = command.encode(buffer, request, flags)?;
                if length > most {
                    return Err(WireError::Oversized { length, max: most });
                }
                if let Some(watch) = &mut *watch {
                    watch.started(&command, request, (address, peer));
                }
                Ok(flags)
            })
            .await;
        match reply {
            Ok(reply) => {
                self.set_dirty(was_dirty);
                let reply = reply.map(|reply| reply.message.into_document());
                if let Some(watch) = watch
                    && reply.as_ref().is_none_or(|reply| op::reply::check(reply).is_ok())
                {
                    watch.succeeded(reply.as_deref());
                }
                Ok(reply)
            }
            Err(ConnectionError::Unsendable(error)) => {
                self.set_dirty(was_dirty);
                let message = format!("the command cannot be sent: {error}");
                Err(Failed::unsent(Error::invalid_argument(message)))
            }
            Err(error) => Err(self.broken(&error, selected, generation)),
        }
    }
}
