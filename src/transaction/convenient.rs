//! A transaction that is run again until it is committed (specification
//! transactions-convenient-api).

use std::time::Duration;

use super::{TransactionOptions, abort_later};
use crate::client_session::ClientSession;
use crate::engine::op::codes::MAX_TIME_EXPIRED;
use crate::engine::op::{Ending, TimeBudget};
use crate::engine::time::Instant;
use crate::engine::transaction::{
    AfterCommit, RETRY_LIMIT, TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT,
    longest_pause,
};
use crate::error::{Error, ErrorKind, Result};

/// How a [`ClientSession::with_transaction_options`] runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WithTransactionOptions {
    /// What each transaction is like.
    pub transaction: TransactionOptions,
    /// How long it may take as a whole (`timeoutMS`); `None` for the session's
    /// [`default_timeout`](crate::SessionOptions::default_timeout), zero for as long as it likes.
    pub timeout: Option<Duration>,
}

impl WithTransactionOptions {
    /// Sets what each transaction is like.
    #[must_use]
    pub fn transaction(mut self, options: TransactionOptions) -> Self {
        self.transaction = options;
        self
    }

    /// Sets how long it may take as a whole.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl ClientSession {
    /// Runs `callback` in a transaction and commits that; both again where an error is passing.
    ///
    /// The callback is given the session, for the operations that belong to the transaction. It may
    /// be **called several times**: what it does beside the transaction happens as often. It must
    /// hand on the errors of its operations: an operation that fails aborts the transaction on the
    /// server, so that a callback that goes on in spite of that is called over and over. Whoever
    /// wants to deal with errors himself uses [`start_transaction`](Self::start_transaction). A
    /// callback that commits or aborts by itself has the last word.
    ///
    /// It gives up after 120 seconds, or once the time of the session's
    /// [`default_timeout`](crate::SessionOptions::default_timeout) (else the client's `timeoutMS`)
    /// is over. With such a time the operations of the transaction share it, and cannot have one of
    /// their own (client-side-operations-timeout "Convenient Transactions API"); operations without
    /// the session do not feel it. Dropped before its end, it aborts the transaction in the
    /// background.
    ///
    /// ```no_run
    /// # async fn example(client: portolan::Client) -> portolan::Result<()> {
    /// use portolan::bson::{Document, doc};
    ///
    /// let accounts = client.database("bank").collection::<Document>("accounts");
    /// let session = client.start_session().await?;
    /// session
    ///     .with_transaction(async |session| {
    ///         let pay = |by: i32| doc! { "$inc": { "balance": by } };
    ///         accounts.update_one(doc! { "_id": "Ann" }, pay(-5)).session(&session).await?;
    ///         accounts.update_one(doc! { "_id": "Ben" }, pay(5)).session(&session).await?;
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The callback's error, or that of the commit, unless it is tried again; where the time is
    /// over, an error with [`Error::is_timeout`] that has the last one as its source, and its
    /// labels.
    pub async fn with_transaction<T, F>(&self, callback: impl FnMut(Self) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.with_transaction_options(WithTransactionOptions::default(), callback).await
    }

    /// [`with_transaction`](Self::with_transaction) with options.
    ///
    /// # Errors
    ///
    /// As that.
    pub async fn with_transaction_options<T, F>(
        &self,
        options: WithTransactionOptions,
        mut callback: impl FnMut(Self) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let WithTransactionOptions { transaction, timeout } = options;
        let mut run = Convenient::begin(self, timeout);
        let mut attempts = 0;
        loop {
            self.begin_transaction(transaction.clone())?;
            attempts += 1;
            run.begun = self.open_transaction();
            let error = match callback(self.clone()).await {
                Ok(value) => match run.commit().await? {
                    None => return Ok(value),
                    Some(error) => error,
                },
                Err(error) => run.failed(error).await?,
            };
            run.pause(attempts, error).await?;
        }
    }
}

/// One withTransaction.
struct Convenient<'a> {
    session: &'a ClientSession,
    limit: Duration,
    end: Option<Instant>,
    /// The transaction that was begun last.
    begun: Option<i64>,
}

impl<'a> Convenient<'a> {
    fn begin(session: &'a ClientSession, own: Option<Duration>) -> Self {
        let shared = session.shared();
        let timeout = own.or(session.options().default_timeout).or(shared.options.timeout);
        let now = shared.transport.now();
        let budget = TimeBudget::begin(timeout, || now);
        let end = if budget.is_set() { budget.end() } else { Some(now + RETRY_LIMIT) };
        session.state().budget = budget.is_set().then_some(budget);
        Self { session, limit: timeout.unwrap_or(RETRY_LIMIT), end, begun: None }
    }

    /// The callback has failed: its error, if the transaction is to be run again.
    async fn failed(&self, error: Error) -> Result<Error> {
        if self.session.open_transaction().is_some() {
            // A session that cannot be used any more has no transaction.
            let _ = self.session.end_transaction(Ending::Abort, None, true).await;
        }
        if error.has_label(TRANSIENT_TRANSACTION_ERROR) { Ok(error) } else { Err(error) }
    }

    /// Commits, again and again where nobody knows what came of it; gives an error after which the
    /// transaction is to be run again.
    async fn commit(&self) -> Result<Option<Error>> {
        if self.session.open_transaction().is_none() {
            // "assume the callback intentionally aborted or committed the transaction"
            return Ok(None);
        }
        loop {
            let committed = self.session.end_transaction(Ending::Commit, None, true).await;
            let Err(error) = committed else { return Ok(None) };
            let unknown = error.has_label(UNKNOWN_TRANSACTION_COMMIT_RESULT);
            let transient = error.has_label(TRANSIENT_TRANSACTION_ERROR);
            match AfterCommit::of(unknown, transient, is_max_time_expired(&error)) {
                AfterCommit::CommitAgain if self.is_over(Duration::ZERO) => {
                    return Err(self.out_of_time(error));
                }
                AfterCommit::CommitAgain => {}
                AfterCommit::Restart => return Ok(Some(error)),
                AfterCommit::Fail => return Err(error),
            }
        }
    }

    /// Waits before the transaction is run again.
    async fn pause(&self, attempts: u32, error: Error) -> Result<()> {
        let shared = self.session.shared();
        let share = u32::try_from(shared.rng().below(SHARES)).unwrap_or(0);
        let pause = longest_pause(attempts) * share / SHARES as u32;
        if self.is_over(pause) {
            return Err(self.out_of_time(error));
        }
        shared.transport.sleep_until(shared.transport.now() + pause).await;
        Ok(())
    }

    fn is_over(&self, pause: Duration) -> bool {
        let now = self.session.shared().transport.now();
        self.end.is_some_and(|end| end <= now + pause)
    }

    fn out_of_time(&self, error: Error) -> Error {
        Error::out_of_time(self.limit, error)
    }
}

/// A random share of a pause is so many of these.
const SHARES: usize = 1_000;

/// "can be reported as a top-level error or inside writeConcernError"
fn is_max_time_expired(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::OperationTimeout { cause, .. } => is_max_time_expired(cause),
        ErrorKind::Command(failure) => {
            let concern = failure.write_concern_error.as_ref().map(|error| error.code);
            [failure.code, concern].contains(&Some(MAX_TIME_EXPIRED))
        }
        _ => error.code() == Some(MAX_TIME_EXPIRED),
    }
}

impl Drop for Convenient<'_> {
    fn drop(&mut self) {
        self.session.state().budget = None;
        let open = self.session.open_transaction();
        if open.is_some()
            && open == self.begun
            && let Some(session) = self.session.abandon()
        {
            abort_later(self.session.shared(), session);
        }
    }
}
