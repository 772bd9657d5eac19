//! The transaction of a session: what its operations ask of it, and tell it.

use std::time::Duration;

use bson::{RawDocument, RawDocumentBuf};

use super::TransactionOptions;
use crate::client_session::ClientSession;
use crate::driver::execute::execute_on;
use crate::driver::pool::PooledConnection;
use crate::driver::route::Route;
use crate::engine::address::ServerAddress;
use crate::engine::op::{EndTransaction, Ending, TimeBudget};
use crate::engine::selection::ReadPreferenceMode;
use crate::engine::transaction::{MAJORITY_LIMIT, TransactionEvent, TransactionState};
use crate::error::{Error, Result};
use crate::options::{Acknowledgment, WriteConcern};
use crate::session::OperationSession;

/// The latest transaction of a session.
#[derive(Default)]
pub(crate) struct Transaction {
    state: TransactionState,
    number: i64,
    options: TransactionOptions,
    /// What a mongos said of it last.
    recovery_token: Option<RawDocumentBuf>,
    /// Whether a commit of it may have been seen by a server: the next one wants a majority.
    majority: bool,
    pin: Option<Pin>,
}

/// Where a transaction stays ("Mongos Pinning").
pub(crate) enum Pin {
    /// On one mongos of several.
    Server(ServerAddress),
    /// Behind a load balancer: on one connection.
    Connection(Box<PooledConnection>),
}

/// An operation's part in a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The transaction's number.
    pub(crate) number: i64,
    /// `None` for an operation in it.
    pub(crate) ending: Option<Ending>,
}

impl Transaction {
    /// Goes on to the next state; whether a server is told.
    pub(super) fn on(&mut self, event: TransactionEvent) -> Result<bool> {
        let step = self.state.on(event).map_err(Error::invalid_argument)?;
        self.state = step.state;
        Ok(step.told)
    }

    pub(super) fn begin(&mut self, number: i64, options: TransactionOptions) {
        (self.number, self.options) = (number, options);
        (self.recovery_token, self.majority) = (None, false);
    }

    /// Takes note of a reply.
    pub(crate) fn saw(&mut self, reply: &RawDocument) {
        if self.state.is_open()
            && let Ok(token) = reply.get_document("recoveryToken")
        {
            self.recovery_token = Some(token.to_owned());
        }
    }

    pub(crate) fn take_pin(&mut self) -> Option<Pin> {
        self.pin.take()
    }

    /// Leaves a transaction that is to be aborted to whoever does that; `None` where no server
    /// knows of any.
    pub(crate) fn abandon(&mut self) -> Option<Self> {
        // A commit that was dropped before it was sent leaves the transaction open on the server.
        let unsent = self.state == TransactionState::Committed && !self.majority;
        let known = self.state == TransactionState::InProgress || unsent;
        if !known && !self.state.is_open() {
            return None;
        }
        self.state = TransactionState::Aborted;
        let pin = self.take_pin();
        known.then(|| Self {
            state: TransactionState::InProgress,
            number: self.number,
            options: self.options.clone(),
            recovery_token: self.recovery_token.take(),
            majority: false,
            pin,
        })
    }

    fn concern(&self, ending: Ending, timed: bool) -> WriteConcern {
        let mut concern = self.options.write_concern.clone().unwrap_or_default();
        if timed {
            // A deprecated option counts only without `timeoutMS`.
            concern.w_timeout = None;
        }
        if ending == Ending::Commit && self.majority {
            concern.w = Some(Acknowledgment::Majority);
            if !timed {
                concern.w_timeout.get_or_insert(MAJORITY_LIMIT);
            }
        }
        concern
    }
}

impl ClientSession {
    #[doc(hidden)]
    pub fn transaction_state(&self) -> TransactionState {
        self.state().transaction.state
    }

    /// Whether its transaction stays on one mongos or, behind a load balancer, on one connection.
    #[doc(hidden)]
    pub fn is_pinned(&self) -> bool {
        self.state().transaction.pin.is_some()
    }

    /// The number of the transaction that is open.
    pub(crate) fn open_transaction(&self) -> Option<i64> {
        let state = self.state();
        state.transaction.state.is_open().then_some(state.transaction.number)
    }

    /// An operation begins: its part in the transaction, if one is open. One that has ended is
    /// forgotten.
    pub(crate) fn enter(&self) -> Result<Option<Part>> {
        let mut state = self.state();
        let transaction = &mut state.transaction;
        transaction.on(TransactionEvent::Operation)?;
        if transaction.state.is_open() {
            return Ok(Some(Part { number: transaction.number, ending: None }));
        }
        transaction.recovery_token = None;
        let pin = transaction.take_pin();
        drop(state);
        drop(pin);
        Ok(None)
    }

    /// The time of the `with_transaction` that is under way.
    pub(crate) fn budget(&self) -> Option<TimeBudget> {
        self.state().budget
    }

    /// Whether the transaction reads where it may.
    pub(crate) fn reads_from_primary(&self) -> bool {
        let state = self.state();
        let preference = &state.transaction.options.read_preference;
        preference.as_ref().is_none_or(|it| it.mode == ReadPreferenceMode::Primary)
    }

    /// Whether the next command is the transaction's first.
    pub(crate) fn is_starting(&self) -> bool {
        self.state().transaction.state == TransactionState::Starting
    }

    /// The read concern of the first command.
    pub(crate) fn first_concern(&self) -> Option<RawDocumentBuf> {
        let state = self.state();
        let own = state.transaction.options.read_concern.as_ref();
        let own = own.filter(|concern| !concern.is_default()).map(|own| own.to_document());
        state.concern.over(own.as_deref()).or(own)
    }

    /// The write concern of the command that ends the transaction.
    pub(crate) fn ending_concern(&self, ending: Ending, timed: bool) -> Option<RawDocumentBuf> {
        let concern = self.state().transaction.concern(ending, timed);
        (!concern.is_default()).then(|| concern.to_document())
    }

    /// A command of the transaction is sent.
    pub(crate) fn sent(&self, part: Part) {
        let transaction = &mut self.state().transaction;
        if part.number != transaction.number {
            return;
        }
        transaction.majority |= part.ending == Some(Ending::Commit);
        if part.ending.is_none()
            && let Ok(step) = transaction.state.on(TransactionEvent::Sent)
        {
            transaction.state = step.state;
        }
    }

    /// The first command was refused before the server did anything.
    pub(crate) fn refused(&self) {
        let transaction = &mut self.state().transaction;
        if let Ok(step) = transaction.state.on(TransactionEvent::Refused) {
            transaction.state = step.state;
        }
    }

    /// Whether the next commit wants a majority.
    pub(crate) fn wants_majority(&self) -> bool {
        self.state().transaction.majority
    }

    pub(crate) fn set_wants_majority(&self, majority: bool) {
        self.state().transaction.majority = majority;
    }

    pub(crate) fn unpin(&self) {
        let pin = self.state().transaction.take_pin();
        // Outside the lock.
        drop(pin);
    }

    pub(crate) fn pin_server(&self, address: &ServerAddress) {
        self.state().transaction.pin = Some(Pin::Server(address.clone()));
    }

    pub(crate) fn pinned_server(&self) -> Option<ServerAddress> {
        match &self.state().transaction.pin {
            Some(Pin::Server(address)) => Some(address.clone()),
            Some(Pin::Connection(_)) | None => None,
        }
    }

    /// The connection that the transaction stays on, for one attempt.
    pub(crate) fn take_connection(&self) -> Option<Box<PooledConnection>> {
        let pin = &mut self.state().transaction.pin;
        match pin.take_if(|pin| matches!(pin, Pin::Connection(_))) {
            Some(Pin::Connection(connection)) => Some(connection),
            Some(Pin::Server(_)) | None => None,
        }
    }

    /// The attempt is over: the transaction stays on the connection as long as both are there.
    pub(crate) fn keep_connection(&self, connection: Box<PooledConnection>, part: Part) {
        let mut state = self.state();
        let stays = state.transaction.number == part.number
            && match state.transaction.state {
                TransactionState::Starting
                | TransactionState::InProgress
                | TransactionState::Committed => state.server.is_some(),
                TransactionState::None
                | TransactionState::CommittedEmpty
                | TransactionState::Aborted => false,
            };
        if stays && connection.is_usable() {
            state.transaction.pin = Some(Pin::Connection(connection));
        } else {
            drop(state);
            drop(connection);
        }
    }

    /// Ends the transaction, and tells the server where it knows of it.
    pub(super) async fn end_transaction(
        &self,
        ending: Ending,
        own: Option<Duration>,
        awaited: bool,
    ) -> Result<()> {
        let shared = self.shared();
        let budget = self.ending_budget(ending, own)?;
        let Some((mut operation, part)) = self.begin_to_end(ending)? else { return Ok(()) };
        let _pin = (ending == Ending::Abort).then(|| Unpinned(self));
        let (part, budget) = (Some(part), budget);
        let route = Route { part, budget, awaited, ..Route::write("admin", None) };
        let session = Some(OperationSession::Explicit(self.clone()));
        let ended = execute_on(shared, &mut operation, &route, session, None).await;
        match ending {
            Ending::Commit => ended.map(drop),
            // "drivers MUST NOT propagate errors from the abortTransaction command".
            Ending::Abort => Ok(()),
        }
    }

    fn begin_to_end(&self, ending: Ending) -> Result<Option<(EndTransaction, Part)>> {
        self.belongs(self.shared())?;
        let mut state = self.state();
        let transaction = &mut state.transaction;
        let event = match ending {
            Ending::Commit => TransactionEvent::Commit,
            Ending::Abort => TransactionEvent::Abort,
        };
        if !transaction.on(event)? {
            let pin = transaction.take_pin();
            drop(state);
            drop(pin);
            return Ok(None);
        }
        let recovery_token = transaction.recovery_token.clone();
        let max_commit_time = transaction.options.max_commit_time;
        let max_commit_time = max_commit_time.filter(|_| ending == Ending::Commit);
        let operation = EndTransaction { ending, max_commit_time, recovery_token };
        Ok(Some((operation, Part { number: transaction.number, ending: Some(ending) })))
    }

    /// The time of a commit is that of the `with_transaction` that it belongs to. An abort has its
    /// own: "drivers MUST refresh the `timeoutMS` value for the `abortTransaction` operation".
    fn ending_budget(&self, ending: Ending, own: Option<Duration>) -> Result<TimeBudget> {
        let shared = self.shared();
        let whole = self.budget();
        if let Some(whole) = whole
            && ending == Ending::Commit
        {
            return if own.is_none() { Ok(whole) } else { Err(timeout_inside()) };
        }
        let wider = self.options().default_timeout.or(shared.options.timeout);
        let timeout = own.or_else(|| whole.and_then(|whole| whole.timeout())).or(wider);
        Ok(TimeBudget::begin(timeout, || shared.transport.now()))
    }
}

/// "Drivers MUST raise a validation error if an explicit session with a timeout is used and the
/// `timeoutMS` option is set at the operation level".
pub(crate) fn timeout_inside() -> Error {
    Error::invalid_argument(
        "an operation of a with_transaction that has a timeout cannot have one of its own",
    )
}

/// However an abort ends, the session is not pinned afterwards.
struct Unpinned<'a>(&'a ClientSession);

impl Drop for Unpinned<'_> {
    fn drop(&mut self) {
        self.0.unpin();
    }
}
