//! Transactions: several operations of a session that take place all together, or not at all.
//!
//! Specification: transactions.

mod convenient;
pub(crate) mod open;

use std::future::{IntoFuture, ready};
use std::sync::Arc;
use std::time::Duration;

use crate::client_session::ClientSession;
use crate::driver::shared::Shared;
use crate::engine::op::Ending;
use crate::engine::selection::ReadPreference;
use crate::engine::session::SessionConcern;
use crate::engine::transaction::TransactionEvent;
use crate::error::{Error, Result};
use crate::options::{ReadConcern, WriteConcern};
use crate::session;
use crate::transport::BoxFuture;

pub use convenient::WithTransactionOptions;

/// What a transaction is like; `None` for the session's
/// [`default_transaction_options`](crate::SessionOptions::default_transaction_options), and where
/// those leave it, for the client's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransactionOptions {
    /// How safe the data must be that it reads.
    pub read_concern: Option<ReadConcern>,
    /// How safe it must be before its commit is acknowledged; not `w: 0`.
    pub write_concern: Option<WriteConcern>,
    /// Where it reads: only the primary will do.
    pub read_preference: Option<ReadPreference>,
    /// How long the server may work on one commit (`maxCommitTimeMS`). Deprecated: a `timeoutMS`
    /// overrides it.
    pub max_commit_time: Option<Duration>,
}

impl TransactionOptions {
    /// Sets how safe the data must be that it reads.
    #[must_use]
    pub fn read_concern(mut self, read_concern: impl Into<ReadConcern>) -> Self {
        self.read_concern = Some(read_concern.into());
        self
    }

    /// Sets how safe it must be before its commit is acknowledged.
    #[must_use]
    pub fn write_concern(mut self, write_concern: WriteConcern) -> Self {
        self.write_concern = Some(write_concern);
        self
    }

    /// Sets where it reads.
    #[must_use]
    pub fn read_preference(mut self, read_preference: ReadPreference) -> Self {
        self.read_preference = Some(read_preference);
        self
    }

    /// Sets how long the server may work on one commit.
    #[must_use]
    pub fn max_commit_time(mut self, max_commit_time: Duration) -> Self {
        self.max_commit_time = Some(max_commit_time);
        self
    }

    /// What is set here, and else what `wider` has.
    fn within(self, wider: &Self) -> Self {
        Self {
            read_concern: self.read_concern.or_else(|| wider.read_concern.clone()),
            write_concern: self.write_concern.or_else(|| wider.write_concern.clone()),
            read_preference: self.read_preference.or_else(|| wider.read_preference.clone()),
            max_commit_time: self.max_commit_time.or(wider.max_commit_time),
        }
    }
}

impl ClientSession {
    /// Begins a transaction: the operations that are given this session belong to it, until
    /// [`commit_transaction`](Self::commit_transaction) or
    /// [`abort_transaction`](Self::abort_transaction). No server is asked.
    ///
    /// Its operations are sent to the primary with the transaction's own concerns, whatever their
    /// collection's are, and are not tried again by themselves. One that fails may have aborted
    /// the transaction on the server: a commit is refused then (`NoSuchTransaction`). After an
    /// error with the label
    /// [`TRANSIENT_TRANSACTION_ERROR`](crate::error::TRANSIENT_TRANSACTION_ERROR) the whole
    /// transaction may be run again, as [`with_transaction`](Self::with_transaction) does.
    ///
    /// # Errors
    ///
    /// If a transaction is open already; in a snapshot session; with an unacknowledged write
    /// concern; where the deployment has no sessions.
    pub fn start_transaction(&self) -> StartTransaction {
        StartTransaction { session: self.clone(), options: TransactionOptions::default() }
    }

    /// Commits the transaction; once more, if it was committed already.
    ///
    /// It is tried again once by itself, whatever `retryWrites` says. After an error with the label
    /// [`UNKNOWN_TRANSACTION_COMMIT_RESULT`](crate::error::UNKNOWN_TRANSACTION_COMMIT_RESULT) it
    /// may be committed or not: commit again to know. A commit that is repeated waits for a
    /// majority of the set (`w: "majority"`), so that nothing is committed twice.
    ///
    /// # Errors
    ///
    /// If there is no transaction, or it was aborted; what the server says, also of its write
    /// concern.
    pub fn commit_transaction(&self) -> CommitTransaction {
        CommitTransaction { session: self.clone(), timeout: None }
    }

    /// Aborts the transaction: nothing of it has happened.
    ///
    /// # Errors
    ///
    /// If there is no transaction, or it has ended already. What the server says is no error: it
    /// aborts what is left of a transaction by itself.
    pub fn abort_transaction(&self) -> AbortTransaction {
        AbortTransaction { session: self.clone(), timeout: None }
    }

    fn begin_transaction(&self, options: TransactionOptions) -> Result<()> {
        let shared = self.shared();
        self.belongs(shared)?;
        let options = options.within(&self.options().default_transaction_options).within(
            &TransactionOptions {
                read_concern: Some(shared.options.read_concern.clone()),
                write_concern: Some(shared.options.write_concern.clone()),
                read_preference: Some(shared.options.read_preference.clone()),
                max_commit_time: None,
            },
        );
        if let Some(concern) = &options.write_concern {
            concern.validate().map_err(Error::from)?;
            if !concern.is_acknowledged() {
                let message = "transactions do not support unacknowledged write concerns";
                return Err(Error::invalid_argument(message));
            }
        }
        let known = shared.view().topology.servers.values().any(|it| it.server_type.is_known());
        if known && session::timeout(shared).is_none() {
            let message = "the deployment has no sessions, and so no transactions";
            return Err(Error::invalid_argument(message));
        }
        let mut state = self.state();
        if matches!(state.concern, SessionConcern::Snapshot { .. }) {
            let message = "Transactions are not supported in snapshot sessions";
            return Err(Error::invalid_argument(message));
        }
        state.transaction.on(TransactionEvent::Start)?;
        let pin = state.transaction.take_pin();
        if let Some(server) = &mut state.server {
            let number = server.next_txn_number();
            state.transaction.begin(number, options);
        }
        drop(state);
        drop(pin);
        Ok(())
    }
}

/// The begin of a transaction; `.await` begins it.
#[must_use = "there is no transaction until it is awaited"]
#[derive(Clone, Debug)]
pub struct StartTransaction {
    session: ClientSession,
    options: TransactionOptions,
}

impl StartTransaction {
    crate::settings::setters! {
        /// How safe the data must be that it reads.
        read_concern: ReadConcern => options.read_concern;
        /// How safe it must be before its commit is acknowledged; not `w: 0`.
        write_concern: WriteConcern => options.write_concern;
        /// Where it reads: only the primary will do.
        read_preference: ReadPreference => options.read_preference;
        /// How long the server may work on one commit (`maxCommitTimeMS`).
        max_commit_time: Duration => options.max_commit_time;
    }

    /// All options at once.
    pub fn with_options(mut self, options: TransactionOptions) -> Self {
        self.options = options;
        self
    }
}

impl IntoFuture for StartTransaction {
    type Output = Result<()>;
    type IntoFuture = BoxFuture<'static, Result<()>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(ready(self.session.begin_transaction(self.options)))
    }
}

/// The commit of a transaction; `.await` runs it.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct CommitTransaction {
    session: ClientSession,
    timeout: Option<Duration>,
}

impl CommitTransaction {
    /// How long it may take as a whole; by default the session's
    /// [`default_timeout`](crate::SessionOptions::default_timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    async fn run(self) -> Result<()> {
        self.session.end_transaction(Ending::Commit, self.timeout, true).await
    }
}

crate::settings::awaited!(CommitTransaction => ());

/// The abort of a transaction; `.await` runs it.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct AbortTransaction {
    session: ClientSession,
    timeout: Option<Duration>,
}

impl AbortTransaction {
    /// How long it may take as a whole; by default the session's
    /// [`default_timeout`](crate::SessionOptions::default_timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    async fn run(self) -> Result<()> {
        self.session.end_transaction(Ending::Abort, self.timeout, true).await
    }
}

crate::settings::awaited!(AbortTransaction => ());

/// The end of a session: it has ended already. `.await` waits until a transaction that was open is
/// aborted; dropped, that happens in the background.
#[derive(Debug)]
pub struct EndSession {
    shared: Arc<Shared>,
    /// The transaction that is to be aborted.
    rest: Option<ClientSession>,
}

impl EndSession {
    pub(crate) fn new(shared: Arc<Shared>, rest: Option<ClientSession>) -> Self {
        Self { shared, rest }
    }
}

impl IntoFuture for EndSession {
    type Output = ();
    type IntoFuture = BoxFuture<'static, ()>;

    fn into_future(mut self) -> Self::IntoFuture {
        let rest = self.rest.take();
        Box::pin(async move {
            if let Some(session) = rest {
                // "Drivers MUST ignore any errors".
                let _ = session.end_transaction(Ending::Abort, None, true).await;
            }
        })
    }
}

impl Drop for EndSession {
    fn drop(&mut self) {
        if let Some(session) = self.rest.take() {
            abort_later(&self.shared, session);
        }
    }
}

/// Leaves it to the driver future to abort the transaction of `session`.
fn abort_later(shared: &Arc<Shared>, session: ClientSession) {
    shared.owe(async move {
        // Nobody is there to hear of a failure.
        let _ = session.end_transaction(Ending::Abort, None, false).await;
    });
}
