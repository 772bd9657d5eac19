//! An operation's part in its session's transaction: where it goes, what its failure means.
//!
//! Specification: transactions. Outside a transaction none of this happens.

use super::execute::Run;
use super::failed::Failed;
use super::pool::PooledConnection;
use super::select::Selected;
use crate::client_session::ClientSession;
use crate::engine::op::{Ending, OperationKind, Trouble};
use crate::engine::pool::Purpose;
use crate::engine::sdam::{ServerType, TopologyType};
use crate::engine::selection::ReadPreferenceMode;
use crate::engine::transaction::{
    TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT, leaves_commit_open,
};
use crate::error::{Error, ErrorKind, RETRYABLE_WRITE_ERROR, Result};
use crate::session::OperationSession;
use crate::transaction::open::{Part, timeout_inside};

/// What is kept of a transaction from one attempt to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taking {
    pub(super) part: Part,
    /// Whether the attempt's command is the transaction's first.
    first: bool,
    /// Whether a commit wanted a majority before this attempt.
    majority: bool,
}

impl Taking {
    pub(super) fn is_first(&self) -> bool {
        self.first
    }
}

/// A transaction's connection behind a load balancer, for one attempt: it goes back to the session
/// afterwards, unless the exchange on it was broken off. On the heap: it would make every
/// operation's future larger.
pub(super) struct Held {
    session: ClientSession,
    part: Part,
    /// `None` when it is given back.
    connection: Option<Box<PooledConnection>>,
}

impl Held {
    pub(super) fn connection(&mut self) -> Option<&mut PooledConnection> {
        self.connection.as_deref_mut()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.session.keep_connection(connection, self.part);
        }
    }
}

impl Run<'_> {
    /// The operation begins: takes its part in the transaction of its session.
    pub(super) fn enter(&mut self) -> Result<()> {
        let Some(OperationSession::Explicit(session)) = &self.session else { return Ok(()) };
        session.belongs(self.shared)?;
        if self.route.own.timeout && session.budget().is_some() {
            return Err(timeout_inside());
        }
        let part = match self.route.part {
            Some(part) => part,
            None => match session.enter()? {
                Some(part) => part,
                None => return Ok(()),
            },
        };
        if part.ending.is_none() {
            self.check_in_transaction(session)?;
        }
        let ends = part.ending.is_some();
        self.taking = Some(Taking { part, first: false, majority: false });
        self.policy.in_transaction = !ends;
        // Commit and abort "regardless of whether retryWrites is set".
        self.policy.retry_writes |= ends;
        // The concerns of collections do not count.
        self.policy.acknowledged = true;
        Ok(())
    }

    fn check_in_transaction(&self, session: &ClientSession) -> Result<()> {
        let own = &self.route.own;
        if let Some(what) = own.concern {
            let message = format!("Cannot set {what} concern after starting a transaction");
            return Err(Error::invalid_argument(message));
        }
        let preferred = match own.read_preference {
            true => self.route.read_preference.mode == ReadPreferenceMode::Primary,
            false => session.reads_from_primary(),
        };
        if self.kind != OperationKind::Write && !preferred {
            let message = "read preference in a transaction must be primary";
            return Err(Error::invalid_argument(message));
        }
        Ok(())
    }

    /// The session of the transaction that the operation takes part in.
    pub(super) fn transaction(&self) -> Option<(Taking, &ClientSession)> {
        match (&self.session, self.taking) {
            (Some(OperationSession::Explicit(session)), Some(taking)) => Some((taking, session)),
            _ => None,
        }
    }

    /// For selection: everything in a transaction goes to the primary.
    pub(super) fn selected_kind(&self) -> OperationKind {
        if self.taking.is_some() { OperationKind::Write } else { self.kind }
    }

    /// The connection or the mongos that the transaction stays on.
    pub(super) async fn hold(&self, selected: &Selected) -> Result<Option<Held>, Failed> {
        let Some((Taking { part, .. }, session)) = self.transaction() else { return Ok(None) };
        let session = session.clone();
        if let Some(connection) = session.take_connection() {
            return Ok(Some(Held { session, part, connection: Some(connection) }));
        }
        if part.ending.is_some() {
            return Ok(None);
        }
        if selected.topology_type == TopologyType::LoadBalanced {
            let mut connection = Box::new(Box::pin(self.connect(selected)).await?);
            connection.pin(Purpose::Transaction);
            return Ok(Some(Held { session, part, connection: Some(connection) }));
        }
        if selected.server.server_type == ServerType::Mongos {
            session.pin_server(&selected.server.address);
        }
        Ok(None)
    }

    /// The attempt is about to make its command.
    pub(super) fn take_place(&mut self) {
        let Some((taking, session)) = self.transaction() else { return };
        let first = taking.part.ending.is_none() && session.is_starting();
        let majority = session.wants_majority();
        self.txn_number = Some(taking.part.number);
        self.taking = Some(Taking { first, majority, ..taking });
    }

    /// What a failure means for the transaction: labels, and whether it stays where it is.
    pub(super) fn transacted(&self, mut failed: Failed) -> Failed {
        let Some((taking, session)) = self.transaction() else { return failed };
        // Whether the server said that it has done nothing.
        let undone = matches!(failed.trouble, Trouble::Overloaded { sent: true, .. });
        match taking.part.ending {
            None => {
                if undone && taking.first {
                    session.refused();
                }
                if is_of_network(&failed.error) {
                    failed.error = failed.error.with_label(TRANSIENT_TRANSACTION_ERROR);
                }
                failed.trouble = once(failed.trouble);
                if failed.error.has_label(TRANSIENT_TRANSACTION_ERROR) {
                    session.unpin();
                }
            }
            Some(Ending::Commit) => {
                if undone {
                    session.set_wants_majority(taking.majority);
                } else if !matches!(failed.trouble, Trouble::Overloaded { .. }) {
                    session.set_wants_majority(true);
                }
                if is_unknown(&failed.error) {
                    failed.error = failed.error.with_label(UNKNOWN_TRANSACTION_COMMIT_RESULT);
                }
                let labels = [TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT];
                if labels.iter().any(|label| failed.error.has_label(label)) {
                    session.unpin();
                }
            }
            Some(Ending::Abort) => session.unpin(),
        }
        failed
    }
}

/// Operations of a transaction are not tried again by themselves, but where the server is
/// overloaded.
fn once(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Moved => Trouble::Sent { retryable: false, indicates_attempt: true },
        Trouble::Unsent => Trouble::Client,
        Trouble::Overloaded { .. }
        | Trouble::Sent { .. }
        | Trouble::Client
        | Trouble::OutOfTime { .. } => trouble,
    }
}

/// "Any network error or server selection error", "PoolClearedError".
fn is_of_network(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Network { .. }
            | ErrorKind::Timeout { .. }
            | ErrorKind::ServerSelection { .. }
            | ErrorKind::Pool { .. }
    )
}

/// Whether a commit that failed so may have taken place, or may succeed yet.
fn is_unknown(error: &Error) -> bool {
    use crate::engine::op::codes::MAX_TIME_EXPIRED;

    let concern = match error.kind() {
        ErrorKind::Command(failure) if failure.code == Some(MAX_TIME_EXPIRED) => return true,
        ErrorKind::Command(failure) => &failure.write_concern_error,
        ErrorKind::Write(failure) => &failure.write_concern_error,
        ErrorKind::Protocol { .. } => return true,
        _ => &None,
    };
    is_of_network(error)
        || error.has_label(RETRYABLE_WRITE_ERROR)
        || concern.as_ref().is_some_and(|concern| leaves_commit_open(concern.code))
}
