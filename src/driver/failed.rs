//! An attempt that failed, and what its failure means for the caller, the retry and the topology.

use super::connection::ConnectionError;
use super::execute::Run;
use super::framed::FramedError;
use super::observe::CommandWatch;
use super::open::OpenError;
use super::select::Selected;
use crate::engine::address::ServerAddress;
use crate::engine::auth::AuthError;
use crate::engine::hello::ReplyError;
use crate::engine::op::retry::{self, AttemptError, AttemptServer, Outdated, RetryPolicy};
use crate::engine::op::{self, CommandFailure, ReplyFailure, Retryability, Trouble};
use crate::engine::pool::{Generation, PoolError};
use crate::engine::sdam::{Failure, FailureKind, LinkErrorKind, Stage};
use crate::error::{Error, ErrorKind};

/// An attempt that failed.
pub(crate) struct Failed {
    pub(crate) error: Error,
    pub(crate) trouble: Trouble,
    /// The server to avoid while there are others.
    pub(crate) avoid: Option<ServerAddress>,
}

impl Failed {
    /// Before anything was sent, for a reason that stays.
    pub(crate) fn unsent(error: Error) -> Self {
        Self { error, trouble: Trouble::Client, avoid: None }
    }

    /// With `late`, an operation's time is over: where that is what failed, nothing follows.
    pub(crate) fn for_want_of_time(mut self, late: bool) -> Self {
        let indicates_attempt = match self.trouble {
            Trouble::Sent { indicates_attempt, .. } => indicates_attempt,
            Trouble::Overloaded { sent, .. } => sent,
            _ => false,
        };
        let kind = self.error.kind();
        let waited = matches!(
            kind,
            ErrorKind::Timeout { .. }
                | ErrorKind::ServerSelection { .. }
                | ErrorKind::Pool { error: PoolError::TimedOut { .. }, .. }
        );
        if late && waited {
            self.trouble = Trouble::OutOfTime { indicates_attempt };
        }
        self
    }

    /// Tells whoever watches the command.
    pub(crate) fn told(self, watch: &mut Option<CommandWatch>) -> Self {
        if let Some(watch) = watch {
            watch.failed(&self.error);
        }
        self
    }
}

impl Failed {
    /// The operation left a server that does not answer, or that a newer primary has displaced.
    pub(crate) fn moved(address: &ServerAddress) -> Self {
        let message = "the operation left the server, which does not answer".to_owned();
        let error = Error::new(ErrorKind::Network { address: address.clone(), message });
        Self { error, trouble: Trouble::Moved, avoid: None }
    }
}

impl<E: Into<Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::unsent(error.into())
    }
}

/// A connection's failure, as the topology machine judges it.
pub(crate) fn kind_of(error: &ConnectionError) -> FailureKind {
    let message = error.to_string().into();
    match error {
        ConnectionError::Open(_)
        | ConnectionError::Framed(FramedError::Io(_) | FramedError::Interrupted(_))
        | ConnectionError::Unsendable(_) => FailureKind::Network(message),
        ConnectionError::Timeout { .. } => FailureKind::Timeout(message),
        ConnectionError::Framed(FramedError::Wire(_)) => FailureKind::Protocol(message),
        ConnectionError::Hello(error) => match error {
            ReplyError::Command { code, message, topology_version, .. } => FailureKind::Command {
                code: *code,
                message: message.as_str().into(),
                topology_version: *topology_version,
            },
            ReplyError::Malformed { .. } | ReplyError::NotLoadBalanced => {
                FailureKind::Protocol(message)
            }
        },
        ConnectionError::Authentication(failure) => match &failure.error {
            AuthError::Refused(refusal) => FailureKind::Command {
                code: refusal.code,
                message: refusal.message.as_str().into(),
                topology_version: refusal.topology_version,
            },
            _ => FailureKind::Protocol(message),
        },
    }
}

/// The failure of a connection that was being made, as the topology machine judges it: an
/// overloaded server is not worse than it was, however far the connection had come.
pub(crate) fn making_of(stage: Stage, error: &ConnectionError) -> (Stage, FailureKind) {
    match refusal(error) {
        Some(refusal) if refusal.has_label(retry::SYSTEM_OVERLOADED_ERROR) => {
            (Stage::Handshaking, FailureKind::Network(error.to_string().into()))
        }
        _ => (stage, kind_of(error)),
    }
}

/// Whether a connection that could not be made may have failed for the server's overload.
pub(crate) fn may_be_overload(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::Open(error) => error.kind.may_be_overload(),
        ConnectionError::Framed(FramedError::Io(_)) | ConnectionError::Timeout { .. } => true,
        ConnectionError::Framed(_)
        | ConnectionError::Unsendable(_)
        | ConnectionError::Hello(_)
        | ConnectionError::Authentication(_) => false,
    }
}

/// A connection's failure, as the caller sees it.
pub(crate) fn explain(address: &ServerAddress, error: &ConnectionError) -> Error {
    let (address, message) = (address.clone(), error.to_string());
    Error::new(match error {
        ConnectionError::Authentication(failure) => {
            ErrorKind::Authentication { address, failure: failure.clone() }
        }
        ConnectionError::Open(OpenError { kind: LinkErrorKind::Tls(problem), .. }) => {
            ErrorKind::Tls { address, problem: *problem, message }
        }
        ConnectionError::Open(_) => ErrorKind::Network { address, message },
        ConnectionError::Framed(FramedError::Wire(_))
        | ConnectionError::Unsendable(_)
        | ConnectionError::Hello(_) => ErrorKind::Protocol { address, message },
        ConnectionError::Framed(_) => ErrorKind::Network { address, message },
        ConnectionError::Timeout { .. } => ErrorKind::Timeout { address, message },
    })
}

/// The server's own words, where it refused.
pub(super) fn refusal(error: &ConnectionError) -> Option<ReplyFailure> {
    match error {
        ConnectionError::Authentication(failure) => match &failure.error {
            AuthError::Refused(refusal) => Some(ReplyFailure::Command(refusal.clone())),
            _ => None,
        },
        // "If the hello [...] of the MongoDB Handshake fails with an error, drivers MUST treat this
        // as an authentication error."
        ConnectionError::Hello(ReplyError::Command {
            code,
            message,
            topology_version,
            overload,
        }) => {
            let overload = overload.then(|| retry::SYSTEM_OVERLOADED_ERROR.to_owned());
            let failure = CommandFailure {
                code: *code,
                code_name: None,
                message: message.clone(),
                labels: overload.into_iter().collect(),
                topology_version: *topology_version,
                write_concern_error: None,
                raw: bson::RawDocumentBuf::new(),
            };
            Some(ReplyFailure::Command(Box::new(failure)))
        }
        _ => None,
    }
}

impl Run<'_> {
    /// The client could not prove who it is, or the server who it is, or the connection broke
    /// meanwhile. Nothing of the operation was sent, and nothing of this is overload.
    ///
    /// Retryable-reads, and retryable-writes likewise: "Any of the above retryable errors that
    /// occur during a connection handshake (including the authentication step)."
    pub(super) fn unproved(&self, selected: &Selected, error: &ConnectionError) -> Failed {
        let (address, server) = (selected.pool.address(), AttemptServer::of(&selected.server));
        let (explained, refusal) = (explain(address, error), refusal(error));
        let (explained, cause) = match (error, &refusal) {
            (_, Some(refusal)) => {
                let mut refusal = refusal.clone();
                self.policy.add_handshake_labels(&mut refusal);
                let labels = refusal.labels().iter();
                let error = labels.fold(explained, |error, label| error.with_label(label));
                return self.not_sent(error, AttemptError::Reply(&refusal), &server);
            }
            (ConnectionError::Authentication(_), None) => (explained, AttemptError::Client),
            _ => (self.label_network_error(explained, None), AttemptError::Network),
        };
        self.not_sent(explained, cause, &server)
    }

    fn not_sent(&self, error: Error, cause: AttemptError<'_>, server: &AttemptServer) -> Failed {
        let overloaded = match cause {
            AttemptError::Reply(failure) => Trouble::overloaded(failure, self.may_retry_overload()),
            _ => None,
        };
        let retryable = self.policy.should_retry(1, server, cause);
        let trouble = overloaded.unwrap_or(Trouble::Sent { retryable, indicates_attempt: false });
        Failed { error, trouble, avoid: None }
    }

    /// The connection broke in the middle of an exchange.
    pub(super) fn broken(
        &self,
        error: &ConnectionError,
        selected: &Selected,
        generation: Generation,
    ) -> Failed {
        let address = selected.pool.address();
        if !matches!(error, ConnectionError::Framed(FramedError::Interrupted(_))) {
            self.report(address, generation, Stage::Established, kind_of(error));
        }
        let server = AttemptServer::of(&selected.server);
        let explained = self.label_network_error(explain(address, error), Some(&server));
        self.sent_and_failed(explained, AttemptError::Network, selected)
    }

    /// The server answered that something failed.
    pub(super) fn refused(
        &mut self,
        mut failure: ReplyFailure,
        selected: &Selected,
        generation: Generation,
        server: &AttemptServer,
    ) -> Failed {
        let address = selected.pool.address();
        if let Some(change) = failure.state_change() {
            let kind = FailureKind::Command {
                code: change.code,
                message: change.message.into(),
                topology_version: change.topology_version,
            };
            self.outdated = Outdated::of(address, change.topology_version);
            self.report(address, generation, Stage::Established, kind);
        }
        self.policy.add_labels(server, &mut failure);
        if let ReplyFailure::Command(failure) = &mut failure
            && self.taking.is_none()
        {
            retry::explain_transaction_numbers(failure);
        }
        let error = Error::of_reply(address, failure.clone());
        self.sent_and_failed(error, AttemptError::Reply(&failure), selected)
    }

    fn sent_and_failed(
        &self,
        error: Error,
        cause: AttemptError<'_>,
        selected: &Selected,
    ) -> Failed {
        let server = AttemptServer::of(&selected.server);
        let avoid = retry::deprioritizes(cause, &server).then(|| selected.pool.address().clone());
        // Without its number a write that is sent twice may happen twice.
        let numbered = self.policy.retryability != Retryability::Write || self.txn_number.is_some();
        let overloaded = match cause {
            AttemptError::Reply(failure) => Trouble::overloaded(failure, self.may_retry_overload()),
            _ => None,
        };
        if let AttemptError::Reply(failure) = cause
            && self.route.budget.is_set()
            && failure.is_max_time_expired()
        {
            let trouble = Trouble::OutOfTime { indicates_attempt: true };
            return Failed { error, trouble, avoid: None };
        }
        let trouble = overloaded.unwrap_or_else(|| Trouble::Sent {
            // How many attempts there were is counted by `Attempts`.
            retryable: numbered && self.policy.should_retry(1, &server, cause),
            indicates_attempt: retry::indicates_attempt(cause),
        });
        Failed { error, trouble, avoid }
    }

    pub(super) fn may_retry_overload(&self) -> bool {
        let RetryPolicy { retry_reads, retry_writes, .. } = self.policy;
        op::may_retry_overload(self.kind, retry_reads, retry_writes)
    }

    pub(super) fn label_network_error(
        &self,
        error: Error,
        server: Option<&AttemptServer>,
    ) -> Error {
        if self.policy.labels_network_errors(server) {
            error.with_label(retry::RETRYABLE_WRITE_ERROR)
        } else {
            error
        }
    }

    pub(super) fn report(
        &self,
        address: &ServerAddress,
        generation: Generation,
        stage: Stage,
        kind: FailureKind,
    ) {
        self.shared.report(Failure::of(address, generation, stage, kind));
    }
}
