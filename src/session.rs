//! Sessions: what ties the operations of one user together on the server.
//!
//! Every acknowledged operation runs in one, an implicit one where the user gives none; that is
//! what makes a retried write happen once. The deployment's cluster time is kept here too, outside
//! the topology: an unchanged value costs one comparison.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bson::raw::cstr;
use bson::{RawDocument, RawDocumentBuf, Timestamp};

use crate::client_session::ClientSession;
use crate::driver::shared::Shared;
use crate::engine::sdam::TopologyType;
use crate::engine::session::{self, ServerSession};
use crate::published::Published;

/// The client's server sessions and its newest cluster time.
#[derive(Debug, Default)]
pub(crate) struct SessionPool {
    idle: Mutex<session::SessionPool>,
    cluster_time: Published<Option<Arc<ClusterTime>>>,
}

/// A cluster time, signed by the deployment.
#[derive(Debug)]
pub(crate) struct ClusterTime {
    pub(crate) time: Timestamp,
    pub(crate) document: RawDocumentBuf,
}

impl ClusterTime {
    /// Reads a `$clusterTime`.
    pub(crate) fn of(document: &RawDocument) -> Option<Self> {
        let time = document.get_timestamp("clusterTime").ok()?;
        Some(Self { time, document: document.to_owned() })
    }
}

impl SessionPool {
    /// The newest cluster time, to be sent with every command.
    pub(crate) fn cluster_time(&self) -> Option<Arc<ClusterTime>> {
        self.cluster_time.load_full()
    }

    /// Takes note of the `$clusterTime` of a reply ("Gossipping the cluster time").
    pub(crate) fn advance(&self, reply: &RawDocument) {
        let Ok(Some(document)) = reply.get("$clusterTime") else { return };
        let Some(document) = document.as_document() else { return };
        let Ok(time) = document.get_timestamp("clusterTime") else { return };
        let newer =
            |known: &Option<Arc<ClusterTime>>| known.as_ref().is_none_or(|known| known.time < time);
        if !newer(&self.cluster_time.load()) {
            return;
        }
        let next = Arc::new(ClusterTime { time, document: document.to_owned() });
        self.cluster_time.rcu(
            |known| {
                if newer(known) { Some(next.clone()) } else { known.clone() }
            },
        );
    }

    /// All idle sessions' ids, for `endSessions`.
    pub(crate) fn drain(&self) -> Vec<RawDocumentBuf> {
        self.idle().drain().into_iter().map(|session| (*session.lsid).clone()).collect()
    }

    fn idle(&self) -> MutexGuard<'_, session::SessionPool> {
        self.idle.lock().expect("not poisoned: the pool of sessions does not panic")
    }
}

/// A session that an operation uses without the user's knowledge; goes back when dropped.
pub(crate) struct ImplicitSession {
    shared: Arc<Shared>,
    session: Option<ServerSession>,
}

impl ImplicitSession {
    /// A session for one operation; `None` where the deployment has none.
    pub(crate) fn acquire(shared: &Arc<Shared>) -> Option<Self> {
        timeout(shared)?;
        Some(Self { shared: shared.clone(), session: Some(take(shared)) })
    }

    pub(crate) fn get(&mut self) -> &mut ServerSession {
        self.session.as_mut().expect("present until dropped")
    }
}

impl Drop for ImplicitSession {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            give_back(&self.shared, session);
        }
    }
}

/// The session of one operation.
pub(crate) enum OperationSession {
    Implicit(ImplicitSession),
    /// The user's own.
    Explicit(ClientSession),
}

impl OperationSession {
    /// What the server knows of it; `None` once the user has ended it.
    pub(crate) fn with_server<T>(
        &mut self,
        act: impl FnOnce(&mut ServerSession) -> T,
    ) -> Option<T> {
        match self {
            Self::Implicit(session) => Some(act(session.get())),
            Self::Explicit(session) => session.with_server(act),
        }
    }
}

/// The latest idle server session, or a new one.
pub(crate) fn take(shared: &Shared) -> ServerSession {
    let now = shared.transport.now();
    let idle = shared.sessions.idle().acquire(now, timeout(shared));
    idle.unwrap_or_else(|| {
        let mut lsid = RawDocumentBuf::new();
        lsid.append(cstr!("id"), bson::Binary::from(bson::Uuid::new()));
        ServerSession::new(lsid, now)
    })
}

/// Nobody uses the server session any more.
pub(crate) fn give_back(shared: &Shared, mut session: ServerSession) {
    let now = shared.transport.now();
    session.touch(now);
    shared.sessions.idle().release(session, now, timeout(shared));
}

/// For how long a session lives on the server without being used; `None` where there are none.
pub(crate) fn timeout(shared: &Shared) -> Option<Duration> {
    let view = shared.view();
    if view.topology.topology_type == TopologyType::LoadBalanced {
        // Load balancers "Session Expiration": what is behind one has sessions, and the client is
        // not told for how long.
        return Some(Duration::MAX);
    }
    let minutes = view.topology.logical_session_timeout_minutes?;
    // A negative number is no time: there are no sessions then.
    Some(Duration::from_secs(u64::try_from(minutes).ok()?.saturating_mul(60)))
}
