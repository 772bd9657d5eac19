//! An attempt joins its session: what that adds to the command, and what it learns of the reply.

use std::sync::Arc;

use bson::{RawDocument, RawDocumentBuf};

use super::connection::Connection;
use super::execute::Run;
use super::failed::Failed;
use super::shared::Shared;
use crate::client_session::ClientSession;
use crate::engine::op::retry::AttemptServer;
use crate::engine::op::{OperationKind, TransactionPlace};
use crate::engine::session::{SNAPSHOT_SINCE, ServerSession};
use crate::error::Error;
use crate::session::{ClusterTime, ImplicitSession, OperationSession};

/// What a session adds to one command.
pub(super) struct Joined {
    lsid: Option<Arc<RawDocumentBuf>>,
    cluster_time: Option<Arc<ClusterTime>>,
    concern: Option<RawDocumentBuf>,
    explicit: Option<ClientSession>,
    place: Option<TransactionPlace>,
    write_concern: Option<RawDocumentBuf>,
}

impl Joined {
    pub(super) fn lsid(&self) -> Option<&RawDocument> {
        self.lsid.as_ref().map(|lsid| &***lsid)
    }

    pub(super) fn cluster_time(&self) -> Option<&RawDocument> {
        self.cluster_time.as_ref().map(|time| &*time.document)
    }

    /// What the user's session makes of the read concern.
    pub(super) fn concern(&self) -> Option<&RawDocument> {
        self.concern.as_deref()
    }

    /// Where the command stands in a transaction.
    pub(super) fn place(&self) -> Option<TransactionPlace> {
        self.place
    }

    /// Of a command that ends a transaction.
    pub(super) fn write_concern(&self) -> Option<&RawDocument> {
        self.write_concern.as_deref()
    }

    /// The server has answered, one way or the other.
    pub(super) fn saw(&self, shared: &Shared, reply: &RawDocument) {
        shared.sessions.advance(reply);
        if let Some(session) = &self.explicit {
            session.saw(reply);
        }
    }
}

impl Run<'_> {
    /// Gives the operation its session and, for a retryable write, its transaction number.
    pub(super) fn join_session(
        &mut self,
        kind: OperationKind,
        server: &AttemptServer,
        connection: &Connection,
    ) -> Result<Joined, Failed> {
        let mut explicit = None;
        match &self.session {
            Some(OperationSession::Explicit(session)) => {
                session.check(self.shared, self.policy.acknowledged)?;
                explicit = Some(session.clone());
            }
            None if self.policy.acknowledged && self.route.in_session => {
                let session = ImplicitSession::acquire(self.shared);
                self.session = session.map(OperationSession::Implicit);
            }
            _ => {}
        }
        self.take_place();
        self.number(server)?;
        let lsid = self.session.as_mut().and_then(|it| it.with_server(|it| it.lsid.clone()));
        let known = self.shared.sessions.cluster_time();
        let Some(session) = &explicit else {
            let (concern, place, write_concern) = (None, None, None);
            let cluster_time = known;
            return Ok(Joined { lsid, cluster_time, concern, explicit, place, write_concern });
        };
        let cluster_time = session.newest(known);
        let Some(taking) = &self.taking else {
            let concern = self.session_concern(kind, session, connection)?;
            let (place, write_concern) = (None, None);
            return Ok(Joined { lsid, cluster_time, concern, explicit, place, write_concern });
        };
        let first = taking.is_first();
        let concern = if first { session.first_concern() } else { None };
        let place = Some(if first { TransactionPlace::First } else { TransactionPlace::Later });
        let timed = self.route.budget.is_set();
        let ending = taking.part.ending;
        let write_concern = ending.and_then(|ending| session.ending_concern(ending, timed));
        Ok(Joined { lsid, cluster_time, concern, explicit, place, write_concern })
    }

    fn number(&mut self, server: &AttemptServer) -> Result<(), Failed> {
        if self.taking.is_some() {
            return Ok(());
        }
        let numbered = self.policy.needs_transaction_number(server);
        if self.txn_number.is_some() && !numbered {
            // "If the driver cannot select a server that supports retryable writes, retrying is
            // not possible": whoever sees this sees the first attempt's error.
            let message = "the server of the retry does not support retryable writes";
            return Err(Failed::unsent(Error::invalid_argument(message)));
        }
        if self.txn_number.is_none()
            && numbered
            && let Some(session) = &mut self.session
        {
            self.txn_number = session.with_server(ServerSession::next_txn_number);
        }
        Ok(())
    }

    fn session_concern(
        &self,
        kind: OperationKind,
        session: &ClientSession,
        connection: &Connection,
    ) -> Result<Option<RawDocumentBuf>, Failed> {
        let concern = session.concern();
        if concern.is_snapshot() && connection.hello().max_wire_version < SNAPSHOT_SINCE {
            let message = "Snapshot reads require MongoDB 5.0 or later";
            return Err(Failed::unsent(Error::invalid_argument(message)));
        }
        // What goes on with a cursor reads on as it began, and a user's own command is left as it
        // is, but for a snapshot.
        let of_user = kind == OperationKind::Generic;
        if self.route.server.is_some() || (of_user && !concern.is_snapshot()) {
            return Ok(None);
        }
        Ok(concern.over(self.route.read_concern.as_deref()))
    }

    pub(super) fn set_dirty(&mut self, dirty: bool) -> bool {
        let session = self.session.as_mut();
        session.and_then(|session| session.with_server(|it| it.set_dirty(dirty))).unwrap_or(false)
    }
}
