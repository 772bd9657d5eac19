//! Explicit sessions: operations that belong together, as the user says.
//!
//! Specification: sessions, causal-consistency, snapshot-sessions. Their transactions are in
//! `transaction`.

use std::fmt;
use std::future::{IntoFuture, ready};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bson::{Document, RawDocument, RawDocumentBuf, Timestamp};

use crate::client::Client;
use crate::driver::shared::Shared;
use crate::engine::op::TimeBudget;
use crate::engine::session::{ServerSession, SessionConcern};
use crate::error::{Error, Result};
use crate::session::{self, ClusterTime};
use crate::transaction::open::Transaction;
use crate::transaction::{EndSession, TransactionOptions};
use crate::transport::BoxFuture;

/// A session: the operations that are given it (`.session(&session)`) belong together.
///
/// By default they are causally consistent: each sees what those before it have done, whichever
/// member it runs on. A snapshot session reads all of one moment instead. The clones of a session
/// are the same session; it ends with the last of them. One operation at a time may use it: that is
/// not checked ("ClientSession instances are not thread safe").
///
/// A transaction is begun by [`ClientSession::start_transaction`], or begun, tried again and
/// committed by [`ClientSession::with_transaction`].
///
/// It cannot be given to unacknowledged writes (`w: 0`), nor to operations of another client: both
/// are errors, and so is a deployment that has no sessions.
#[derive(Clone)]
pub struct ClientSession {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    options: SessionOptions,
    state: Mutex<State>,
    /// What it is there for.
    part: Part,
}

/// What a session is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// It is the user's.
    Whole,
    /// To abort the transaction of a session that has ended, then to give the server session back.
    Rest,
    /// To abort a transaction of a session that goes on, and has the server session.
    Abandoned,
}

pub(crate) struct State {
    /// `None` once the session has ended.
    pub(crate) server: Option<ServerSession>,
    cluster_time: Option<Arc<ClusterTime>>,
    pub(crate) concern: SessionConcern,
    pub(crate) transaction: Transaction,
    /// The time of the `with_transaction` that is under way, where it has a `timeoutMS`.
    pub(crate) budget: Option<TimeBudget>,
}

/// How a session was started. It cannot be changed afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionOptions {
    /// Whether operations see what those before them have done; `None` for yes, unless it is a
    /// snapshot session.
    pub causal_consistency: Option<bool>,
    /// Whether all reads are of one moment (servers of 5.0 and later); `None` for no.
    pub snapshot: Option<bool>,
    /// Which moment: an earlier session's [`ClientSession::snapshot_time`]; `None` for that of the
    /// first read.
    pub snapshot_time: Option<Timestamp>,
    /// What its transactions are like where they say nothing themselves.
    pub default_transaction_options: TransactionOptions,
    /// How long a commit, an abort or a `with_transaction` may take as a whole
    /// (`defaultTimeoutMS`); `None` for the client's `timeoutMS`, zero for as long as it likes.
    pub default_timeout: Option<Duration>,
}

impl SessionOptions {
    fn validate(&self) -> Result<()> {
        if self.snapshot == Some(true) && self.causal_consistency == Some(true) {
            return Err(Error::invalid_argument(
                "a session is causally consistent or of one snapshot, not both: set one of \
                 causal_consistency and snapshot",
            ));
        }
        if self.snapshot_time.is_some() && self.snapshot != Some(true) {
            return Err(Error::invalid_argument("snapshot_time is for sessions with snapshot"));
        }
        Ok(())
    }

    fn concern(&self) -> SessionConcern {
        match (self.snapshot, self.causal_consistency) {
            (Some(true), _) => SessionConcern::Snapshot { time: self.snapshot_time },
            (_, Some(false)) => SessionConcern::None { operation_time: None },
            _ => SessionConcern::Causal { operation_time: None },
        }
    }
}

impl Client {
    /// Starts a session; `.await` gives it, without asking any server.
    pub fn start_session(&self) -> StartSession {
        StartSession { client: self.clone(), options: SessionOptions::default() }
    }
}

/// The start of a session; `.await` gives it.
#[must_use = "there is no session until it is awaited"]
#[derive(Clone, Debug)]
pub struct StartSession {
    client: Client,
    options: SessionOptions,
}

impl StartSession {
    crate::settings::setters! {
        /// Whether operations see what those before them have done; by default they do.
        causal_consistency: bool => options.causal_consistency;
        /// Whether all reads are of one moment; not together with causal consistency.
        snapshot: bool => options.snapshot;
        /// The moment of a snapshot session; by default that of its first read.
        snapshot_time: Timestamp => options.snapshot_time;
        /// How long a commit, an abort or a `with_transaction` may take as a whole; by default the
        /// client's `timeoutMS`.
        default_timeout: Duration => options.default_timeout;
    }

    /// What its transactions are like where they say nothing themselves.
    pub fn default_transaction_options(mut self, options: TransactionOptions) -> Self {
        self.options.default_transaction_options = options;
        self
    }

    /// All options at once.
    pub fn with_options(mut self, options: SessionOptions) -> Self {
        self.options = options;
        self
    }

    fn start(self) -> Result<ClientSession> {
        self.options.validate()?;
        let shared = self.client.shared().clone();
        let (server, concern) = (session::take(&shared), self.options.concern());
        let state = State {
            server: Some(server),
            cluster_time: None,
            concern,
            transaction: Transaction::default(),
            budget: None,
        };
        let (options, state) = (self.options, Mutex::new(state));
        let inner = Inner { shared, options, state, part: Part::Whole };
        Ok(ClientSession { inner: Arc::new(inner) })
    }
}

impl IntoFuture for StartSession {
    type Output = Result<ClientSession>;
    type IntoFuture = BoxFuture<'static, Result<ClientSession>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(ready(self.start()))
    }
}

impl ClientSession {
    /// Its id, as commands carry it (`lsid`); `None` once it has ended. Another session may have
    /// the same later on.
    pub fn id(&self) -> Option<Document> {
        let lsid = self.state().server.as_ref().map(|server| server.lsid.clone())?;
        Document::try_from(&**lsid).ok()
    }

    /// How it was started.
    pub fn options(&self) -> &SessionOptions {
        &self.inner.options
    }

    /// The newest cluster time that it has seen.
    pub fn cluster_time(&self) -> Option<Document> {
        let state = self.state();
        state.cluster_time.as_ref().and_then(|time| Document::try_from(&*time.document).ok())
    }

    /// The logical time of its latest operation.
    pub fn operation_time(&self) -> Option<Timestamp> {
        self.state().concern.operation_time()
    }

    /// The moment that a snapshot session reads, once it is known.
    pub fn snapshot_time(&self) -> Option<Timestamp> {
        self.state().concern.snapshot_time()
    }

    /// Lets the session know another's cluster time, so that it comes after that. An older one
    /// changes nothing.
    ///
    /// # Errors
    ///
    /// If it is no cluster time.
    pub fn advance_cluster_time(&self, time: &Document) -> Result<()> {
        let document = RawDocumentBuf::try_from(time).map_err(Error::bson)?;
        let time = ClusterTime::of(&document)
            .ok_or_else(|| Error::invalid_argument("a cluster time has a clusterTime"))?;
        self.state().see(time);
        Ok(())
    }

    /// Lets the session know the time of another's latest operation, so that what it reads comes
    /// after that. An older one changes nothing.
    pub fn advance_operation_time(&self, time: Timestamp) {
        self.state().concern.advance(time);
    }

    /// Ends the session for all its clones; those who use it afterwards get an error. Dropping the
    /// last clone does the same.
    ///
    /// A transaction that is open is aborted: in the background, or awaited by `.end().await`.
    pub fn end(&self) -> EndSession {
        let rest = end(&self.inner.shared, &self.inner.options, &mut self.state());
        EndSession::new(self.inner.shared.clone(), rest)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    /// Takes the open transaction away from the session, for somebody to abort it.
    pub(crate) fn abandon(&self) -> Option<Self> {
        let mut state = self.state();
        let server = state.server.clone()?;
        let transaction = state.transaction.abandon()?;
        let (shared, options) = (&self.inner.shared, &self.inner.options);
        Some(state.rest(shared, options, (server, transaction), Part::Abandoned))
    }

    /// Whether a command of it was left without an answer: its server session is not used again.
    #[doc(hidden)]
    pub fn is_dirty(&self) -> bool {
        self.state().server.as_ref().is_some_and(ServerSession::is_dirty)
    }

    /// Whether it is this client's, and has not ended.
    pub(crate) fn belongs(&self, shared: &Arc<Shared>) -> Result<()> {
        let refuse = |why: &str| Err(Error::invalid_argument(why));
        if !Arc::ptr_eq(&self.inner.shared, shared) {
            return refuse("the session was started by another client");
        }
        if self.state().server.is_none() {
            return refuse("the session has ended");
        }
        Ok(())
    }

    /// Whether an operation of a client can use it.
    pub(crate) fn check(&self, shared: &Arc<Shared>, acknowledged: bool) -> Result<()> {
        self.belongs(shared)?;
        let refuse = |why: &str| Err(Error::invalid_argument(why));
        if !acknowledged {
            return refuse("a write that is not acknowledged (w: 0) cannot be in a session");
        }
        if session::timeout(shared).is_none() {
            return refuse("the deployment has no sessions: use none for this operation");
        }
        Ok(())
    }

    pub(crate) fn with_server<T>(&self, act: impl FnOnce(&mut ServerSession) -> T) -> Option<T> {
        self.state().server.as_mut().map(act)
    }

    /// The newer of its own cluster time and the client's.
    pub(crate) fn newest(&self, known: Option<Arc<ClusterTime>>) -> Option<Arc<ClusterTime>> {
        let own = self.state().cluster_time.clone();
        match (own, known) {
            (Some(own), Some(known)) if known.time > own.time => Some(known),
            (own, known) => own.or(known),
        }
    }

    /// What it adds to a command's read concern.
    pub(crate) fn concern(&self) -> SessionConcern {
        self.state().concern
    }

    /// Takes note of a reply, whether the operation succeeded or not.
    pub(crate) fn saw(&self, reply: &RawDocument) {
        let mut state = self.state();
        if let Ok(time) = reply.get_document("$clusterTime")
            && let Some(time) = ClusterTime::of(time)
        {
            state.see(time);
        }
        state.concern.saw(reply);
        state.transaction.saw(reply);
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().expect("not poisoned: a session does not panic")
    }
}

impl State {
    fn see(&mut self, time: ClusterTime) {
        if self.cluster_time.as_ref().is_none_or(|known| known.time < time.time) {
            self.cluster_time = Some(Arc::new(time));
        }
    }

    /// A session of its own for a transaction that is to be aborted.
    fn rest(
        &self,
        shared: &Arc<Shared>,
        options: &SessionOptions,
        (server, transaction): (ServerSession, Transaction),
        part: Part,
    ) -> ClientSession {
        let state = Self {
            server: Some(server),
            cluster_time: self.cluster_time.clone(),
            concern: self.concern,
            transaction,
            budget: None,
        };
        let (shared, options, state) = (shared.clone(), options.clone(), Mutex::new(state));
        ClientSession { inner: Arc::new(Inner { shared, options, state, part }) }
    }
}

/// Gives the server session back, at once or when what is left has aborted the transaction.
fn end(shared: &Arc<Shared>, options: &SessionOptions, state: &mut State) -> Option<ClientSession> {
    let server = state.server.take()?;
    if let Some(transaction) = state.transaction.abandon() {
        return Some(state.rest(shared, options, (server, transaction), Part::Rest));
    }
    drop(state.transaction.take_pin());
    session::give_back(shared, server);
    None
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Self { shared, options, state, part } = self;
        let Ok(state) = state.get_mut() else { return };
        match part {
            Part::Whole => {
                let rest = end(shared, options, state);
                drop(EndSession::new(shared.clone(), rest));
            }
            Part::Rest => {
                if let Some(server) = state.server.take() {
                    session::give_back(shared, server);
                }
            }
            Part::Abandoned => {}
        }
    }
}

impl From<&Self> for ClientSession {
    fn from(session: &Self) -> Self {
        session.clone()
    }
}

impl From<&mut Self> for ClientSession {
    fn from(session: &mut Self) -> Self {
        session.clone()
    }
}

impl fmt::Debug for ClientSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSession")
            .field("options", &self.inner.options)
            .finish_non_exhaustive()
    }
}
