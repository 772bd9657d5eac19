//! What can go wrong, by whose fault.
//!
//! [`Error`] is small, opaque and cheap to clone; [`Error::kind`] says what happened as facts,
//! [`Error::has_label`] and [`Error::is_retryable`] what may be done about it. No text of an error
//! contains a secret.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::collection::BulkWriteResult;
use crate::engine::address::ServerAddress;
use crate::engine::auth::{AuthError, AuthFailure};
use crate::engine::op::{BuildError, CommandFailure, ReplyFailure, WriteFailure, Written};
pub use crate::engine::pool::{InUse, PoolError};
pub use crate::engine::sdam::TlsProblem;
use crate::engine::selection::{Hint, Verdict};
use crate::engine::srv::SrvError;
use crate::engine::time::Shown;
use crate::options::OptionsError;

pub use crate::engine::op::retry::RETRYABLE_WRITE_ERROR;
pub use crate::engine::transaction::{
    TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT,
};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation has no result.
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    /// Shared, so that a label more costs no copy of it.
    kind: Arc<ErrorKind>,
    labels: Vec<String>,
    partial: Option<Box<Written>>,
}

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument that cannot be used; nothing was sent.
    InvalidArgument(String),
    /// A connection string or options that cannot be used.
    Options(OptionsError),
    /// DNS names no seeds.
    Srv(SrvError),
    /// No server suited within the time-out, or none ever can.
    ServerSelection {
        /// What was wanted, and why it cannot be had.
        message: String,
        /// Every server, with the reason why it was not chosen.
        verdicts: Vec<Verdict>,
        /// What is probably wrong.
        hints: Vec<Hint>,
    },
    /// A connection broke, or could not be made.
    Network {
        /// The server.
        address: ServerAddress,
        /// What happened.
        message: String,
    },
    /// The two ends do not agree on TLS.
    Tls {
        /// The server.
        address: ServerAddress,
        /// What is wrong.
        problem: TlsProblem,
        /// The same in words that say what to do.
        message: String,
    },
    /// The server took longer than a limit.
    Timeout {
        /// The server.
        address: ServerAddress,
        /// What did not happen, within what time.
        message: String,
    },
    /// The operation did not end within its `timeoutMS`: [`Error::is_timeout`].
    OperationTimeout {
        /// The time that it had; zero where it had no end but the server's time was over.
        timeout: Duration,
        /// What it was doing, or what had come of it by then.
        cause: Error,
    },
    /// The server sent something that is no message of the protocol; the connection was closed.
    Protocol {
        /// The server.
        address: ServerAddress,
        /// What was wrong with it.
        message: String,
    },
    /// The client could not prove who it is, or the server who it is; the connection was closed.
    Authentication {
        /// The server.
        address: ServerAddress,
        /// Who, by what mechanism, and why not.
        failure: Box<AuthFailure>,
    },
    /// The pool of the server's connections gave none.
    Pool {
        /// The server.
        address: ServerAddress,
        /// Why.
        error: PoolError,
    },
    /// The server refused the command.
    Command(Box<CommandFailure>),
    /// The server ran the command, and some of its writes or their acknowledgement failed.
    Write(Box<WriteFailure>),
    /// The server's reply is not of the command's form.
    Reply {
        /// The server.
        address: ServerAddress,
        /// What was found where.
        message: String,
    },
    /// A document that cannot be written as BSON, or read as the type that was asked for.
    Bson(String),
    /// The client was shut down.
    Shutdown,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self::labelled(kind, Vec::new())
    }

    fn labelled(kind: ErrorKind, labels: Vec<String>) -> Self {
        Self { inner: Arc::new(Inner { kind: Arc::new(kind), labels, partial: None }) }
    }

    pub(crate) fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument(message.into()))
    }

    pub(crate) fn bson(error: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Bson(error.to_string()))
    }

    pub(crate) fn of_reply(address: &ServerAddress, failure: ReplyFailure) -> Self {
        let labels = failure.labels().to_vec();
        let kind = match failure {
            ReplyFailure::Command(failure) => ErrorKind::Command(failure),
            ReplyFailure::Write(failure) => ErrorKind::Write(failure),
            malformed @ ReplyFailure::Malformed { .. } => {
                ErrorKind::Reply { address: address.clone(), message: malformed.to_string() }
            }
        };
        Self::labelled(kind, labels)
    }

    pub(crate) fn of_writes(failure: WriteFailure) -> Self {
        let labels = failure.labels.clone();
        Self::labelled(ErrorKind::Write(Box::new(failure)), labels)
    }

    /// What waiting cannot mend.
    pub(crate) fn of_selection(error: impl fmt::Display) -> Self {
        let (message, verdicts, hints) = (error.to_string(), Vec::new(), Vec::new());
        Self::new(ErrorKind::ServerSelection { message, verdicts, hints })
    }

    /// The time was over, and this is what came of the operation by then.
    pub(crate) fn out_of_time(timeout: Duration, cause: Self) -> Self {
        if cause.is_timeout() {
            return cause;
        }
        let labels = cause.labels().to_vec();
        let kind = ErrorKind::OperationTimeout { timeout, cause };
        Self::labelled(kind, labels)
    }

    pub(crate) fn with_label(mut self, label: &str) -> Self {
        if !self.has_label(label) {
            Arc::make_mut(&mut self.inner).labels.push(label.to_owned());
        }
        self
    }

    /// With what was written in spite of it.
    pub(crate) fn with_partial_result(mut self, written: Written) -> Self {
        Arc::make_mut(&mut self.inner).partial = Some(Box::new(written));
        self
    }

    /// Without anything that the server said but code, code name and labels.
    pub(crate) fn redacted(&self) -> Self {
        let ErrorKind::Command(failure) = self.kind() else { return self.clone() };
        let mut failure = failure.clone();
        failure.message = "REDACTED".to_owned();
        failure.raw = bson::RawDocumentBuf::new();
        let mut redacted = self.clone();
        Arc::make_mut(&mut redacted.inner).kind = Arc::new(ErrorKind::Command(failure));
        redacted
    }

    /// What happened.
    pub fn kind(&self) -> &ErrorKind {
        &self.inner.kind
    }

    /// The error labels: the server's, and those that the driver adds.
    pub fn labels(&self) -> &[String] {
        &self.inner.labels
    }

    /// Whether the error has this label.
    pub fn has_label(&self, label: &str) -> bool {
        self.labels().iter().any(|own| own == label)
    }

    /// Whether the same operation may succeed when it is tried again.
    ///
    /// The driver has tried again once already where the specification allows it.
    pub fn is_retryable(&self) -> bool {
        match self.kind() {
            ErrorKind::Network { .. }
            | ErrorKind::Timeout { .. }
            | ErrorKind::OperationTimeout { .. }
            | ErrorKind::Pool { .. }
            | ErrorKind::ServerSelection { .. } => true,
            ErrorKind::Tls { problem, .. } => *problem == TlsProblem::BrokenOff,
            _ => self.has_label(RETRYABLE_WRITE_ERROR),
        }
    }

    /// Whether the operation's `timeoutMS` was over (CSOT "Errors"): whatever it was doing then,
    /// and wherever the time was noticed, client or server. What it was doing is the
    /// [`source`](std::error::Error::source).
    pub fn is_timeout(&self) -> bool {
        matches!(self.kind(), ErrorKind::OperationTimeout { .. })
    }

    /// The server's error code, where it gave one.
    pub fn code(&self) -> Option<i32> {
        match self.kind() {
            ErrorKind::Command(failure) => failure.code,
            ErrorKind::Authentication { failure, .. } => match &failure.error {
                AuthError::Refused(refusal) => refusal.code,
                _ => None,
            },
            ErrorKind::OperationTimeout { cause, .. } => cause.code(),
            ErrorKind::Write(failure) => failure
                .write_errors
                .first()
                .map(|error| error.code)
                .or_else(|| failure.write_concern_error.as_ref().map(|error| error.code)),
            _ => None,
        }
    }

    /// Of an `insert_many` or `bulk_write`: what the servers said that was written before the
    /// error, or beside it (crud "BulkWriteException"). A command that got no answer does not
    /// count.
    pub fn partial_result(&self) -> Option<BulkWriteResult> {
        // An `_id` that is no BSON was sent by no server, and taken by none.
        self.inner.partial.as_deref().and_then(|written| BulkWriteResult::of(written.clone()).ok())
    }

    /// For a selection error: every server, with the reason why it was not chosen.
    pub fn verdicts(&self) -> &[Verdict] {
        match self.kind() {
            ErrorKind::ServerSelection { verdicts, .. } => verdicts,
            ErrorKind::OperationTimeout { cause, .. } => cause.verdicts(),
            _ => &[],
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind() {
            ErrorKind::InvalidArgument(message) => f.write_str(message),
            ErrorKind::Options(error) => error.fmt(f),
            ErrorKind::Srv(error) => error.fmt(f),
            ErrorKind::ServerSelection { message, verdicts, hints } => {
                f.write_str(message)?;
                verdicts.iter().try_for_each(|verdict| write!(f, "\n  {verdict}"))?;
                hints.iter().try_for_each(|hint| write!(f, "\nhint: {hint}"))
            }
            ErrorKind::Network { address, message }
            | ErrorKind::Tls { address, message, .. }
            | ErrorKind::Timeout { address, message } => write!(f, "{address}: {message}"),
            ErrorKind::Pool { address, error } => write!(f, "{address}: {error}"),
            ErrorKind::OperationTimeout { timeout, cause } if timeout.is_zero() => cause.fmt(f),
            ErrorKind::OperationTimeout { timeout, cause } => {
                let timeout = Shown(*timeout);
                write!(f, "the operation did not end within its timeoutMS of {timeout}: {cause}")
            }
            ErrorKind::Protocol { address, message } => {
                write!(f, "{address} sent what is not MongoDB's protocol: {message}")
            }
            ErrorKind::Authentication { address, failure } => write!(f, "{address}: {failure}"),
            ErrorKind::Command(failure) => failure.fmt(f),
            ErrorKind::Write(failure) => failure.fmt(f),
            ErrorKind::Reply { address, message } => {
                write!(f, "{address} sent a reply of an unexpected form: {message}")
            }
            ErrorKind::Bson(message) => write!(f, "BSON: {message}"),
            ErrorKind::Shutdown => f.write_str("the client was shut down"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self}")?;
        if !self.labels().is_empty() {
            write!(f, "; labels: {}", self.labels().join(", "))?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.kind() {
            ErrorKind::Options(error) => Some(error),
            ErrorKind::Srv(error) => Some(error),
            ErrorKind::OperationTimeout { cause, .. } => Some(cause),
            ErrorKind::Authentication { failure, .. } => Some(&**failure),
            _ => None,
        }
    }
}

impl From<OptionsError> for Error {
    fn from(error: OptionsError) -> Self {
        Self::new(ErrorKind::Options(error))
    }
}

impl From<SrvError> for Error {
    fn from(error: SrvError) -> Self {
        Self::new(ErrorKind::Srv(error))
    }
}

impl From<BuildError> for Error {
    fn from(error: BuildError) -> Self {
        Self::invalid_argument(error.to_string())
    }
}
