//! One attempt of an operation on its connection: session, command, exchange, reply.

use std::time::Duration;

use bson::RawDocumentBuf;

use super::connection::{Connection, ConnectionError};
use super::execute::{Run, Success};
use super::failed::{Failed, kind_of};
use super::lease::{Lease, for_cursor, release};
use super::observe::CommandWatch;
use super::select::Selected;
use super::work::Work;
use crate::engine::op::retry::AttemptServer;
use crate::engine::op::{self, CommandContext, Limits, MaxTime, ReplyFailure, Trouble};
use crate::engine::sdam::Stage;
use crate::engine::wire::{Flags, WireError};
use crate::error::{Error, ErrorKind};

impl Run<'_> {
    /// Runs the operation once, on this connection, and lets go of that as soon as it can.
    pub(super) async fn on_connection(
        &mut self,
        work: &mut dyn Work,
        selected: &Selected,
        mut connection: Lease<'_>,
    ) -> Result<Success, Failed> {
        self.connected_by = None;
        let limits = Limits::of(connection.hello());
        if self.attempt == 0 {
            work.prepare(&limits)?;
            // What fits into the command decides whether it may be sent again.
            self.policy.retryability = work.retryability();
        }
        let server = AttemptServer::of(&selected.server);
        let joined = self.join_session(work.kind(), &server, &connection)?;
        let preference = self
            .route
            .read_preference
            .document_for(selected.topology_type, selected.server.server_type)
            .filter(|_| selected.by_preference && self.taking.is_none());
        let context = CommandContext {
            lsid: joined.lsid(),
            txn_number: self.txn_number,
            transaction: joined.place(),
            cluster_time: joined.cluster_time(),
            read_preference: preference.as_deref(),
            read_concern: self.route.read_concern.as_deref().filter(|_| self.taking.is_none()),
            session_concern: joined.concern(),
            write_concern: match self.taking {
                None => self.route.write_concern.as_deref(),
                Some(_) => joined.write_concern(),
            },
            server_api: self.shared.options.server_api,
            limits,
            max_wire_version: connection.hello().max_wire_version,
            max_time: self.max_time(selected)?,
            ..CommandContext::new(self.route.database)
        };
        self.attempt += 1;
        let sent = self.shared.transport.now();
        let mut watch = self.watch(work.name());
        let exchange = self.exchange_proved(work, &context, &mut connection, selected, &mut watch);
        let reply = exchange.await.map_err(|failed| failed.told(&mut watch))?;
        let generation = connection.generation();
        let connection = release(connection, selected.topology_type);
        match reply {
            None => work.unacknowledged(),
            Some(reply) => {
                joined.saw(self.shared, &reply);
                work.read(reply, &context).map_err(|failure| {
                    let failed = self.refused(failure, selected, generation, &server);
                    failed.told(&mut watch)
                })?;
            }
        }
        let server_type = selected.server.server_type;
        let address = selected.server.address.clone();
        self.shared.succeeded(&address);
        let connection = for_cursor(connection.filter(|_| work.has_open_cursor()));
        Ok(Success { address, server_type, sent, connection })
    }

    /// The exchange, and once more where the server asks for another authentication.
    async fn exchange_proved(
        &mut self,
        work: &dyn Work,
        context: &CommandContext<'_>,
        connection: &mut Connection,
        selected: &Selected,
        watch: &mut Option<CommandWatch>,
    ) -> Result<Option<RawDocumentBuf>, Failed> {
        let reply = self.exchange(work, context, connection, selected, watch).await;
        let Some(refused) = self.wants_reauthentication(&reply) else { return reply };
        // On the heap, as it is rare: it would make every operation's future larger.
        Box::pin(self.prove_and_exchange(work, context, connection, selected, watch, refused)).await
    }

    async fn prove_and_exchange(
        &mut self,
        work: &dyn Work,
        context: &CommandContext<'_>,
        connection: &mut Connection,
        selected: &Selected,
        watch: &mut Option<CommandWatch>,
        refused: ReplyFailure,
    ) -> Result<Option<RawDocumentBuf>, Failed> {
        let error = Error::of_reply(selected.pool.address(), refused);
        let failed = Failed { error, trouble: Trouble::Client, avoid: None };
        failed.told(watch);
        // What comes of it is no command's failure any more.
        *watch = None;
        self.reauthenticate(selected, connection).await?;
        *watch = self.watch(work.name());
        self.exchange(work, context, connection, selected, watch).await
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

    fn watch(&self, name: &str) -> Option<CommandWatch> {
        let shared = self.shared;
        shared.observers.watch(&shared.transport, self.route, name)
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

    async fn exchange(
        &mut self,
        work: &dyn Work,
        context: &CommandContext<'_>,
        connection: &mut Connection,
        selected: &Selected,
        watch: &mut Option<CommandWatch>,
    ) -> Result<Option<RawDocumentBuf>, Failed> {
        let command = work.build(context)?;
        let silent = !context.is_acknowledged() && work.goes_unacknowledged();
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
                if let Some((taking, session)) = self.transaction() {
                    session.sent(taking.part);
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
