//! Explicit sessions: operations that belong together, as the user says.
//!
//! Specification: sessions, causal-consistency, snapshot-sessions.

use std::fmt;
use std::future::{IntoFuture, ready};
use std::sync::{Arc, Mutex, MutexGuard};

use bson::{Document, RawDocument, RawDocumentBuf, Timestamp};

use crate::client::Client;
use crate::driver::shared::Shared;
use crate::engine::session::{ServerSession, SessionConcern};
use crate::error::{Error, Result};
use crate::session::{self, ClusterTime};
use crate::transport::BoxFuture;

/// A session: the operations that are given it (`.session(&session)`) belong together.
///
/// By default they are causally consistent: each sees what those before it have done, whichever
/// member it runs on. A snapshot session reads all of one moment instead. The clones of a session
/// are the same session; it ends with the last of them. One operation at a time may use it: that is
/// not checked ("ClientSession instances are not thread safe").
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
}

struct State {
    /// `None` once the session has ended.
    server: Option<ServerSession>,
    cluster_time: Option<Arc<ClusterTime>>,
    concern: SessionConcern,
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
        let state = State { server: Some(server), cluster_time: None, concern };
        let inner = Inner { shared, options: self.options, state: Mutex::new(state) };
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
    pub fn end(&self) {
        if let Some(server) = self.state().server.take() {
            session::give_back(&self.inner.shared, server);
        }
    }

    /// Whether a command of it was left without an answer: its server session is not used again.
    #[doc(hidden)]
    pub fn is_dirty(&self) -> bool {
        self.state().server.as_ref().is_some_and(ServerSession::is_dirty)
    }

    /// Whether an operation of a client can use it.
    pub(crate) fn check(&self, shared: &Arc<Shared>, acknowledged: bool) -> Result<()> {
        let refuse = |why: &str| Err(Error::invalid_argument(why));
        if !Arc::ptr_eq(&self.inner.shared, shared) {
            return refuse("the session was started by another client");
        }
        if self.state().server.is_none() {
            return refuse("the session has ended");
        }
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
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().expect("not poisoned: a session does not panic")
    }
}

impl State {
    fn see(&mut self, time: ClusterTime) {
        if self.cluster_time.as_ref().is_none_or(|known| known.time < time.time) {
            self.cluster_time = Some(Arc::new(time));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let server = self.state.get_mut().ok().and_then(|state| state.server.take());
        if let Some(server) = server {
            session::give_back(&self.shared, server);
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
