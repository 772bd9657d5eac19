//! An attempt that failed, and what its failure means for the caller, the retry and the topology.

use super::connection::ConnectionError;
use super::framed::FramedError;
use super::observe::CommandWatch;
use super::open::OpenError;
use crate::engine::address::ServerAddress;
use crate::engine::op::Trouble;
use crate::engine::sdam::{FailureKind, LinkErrorKind, Stage};
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
        | ConnectionError::Framed(_)
        | ConnectionError::Unsendable(_)
        | ConnectionError::Hello(_) => FailureKind::Network(message),
        ConnectionError::Timeout { .. } => FailureKind::Timeout(message),
    }
}

/// How far a connection had come that could not be made.
pub(crate) fn stage_of(error: &ConnectionError) -> Stage {
    match error {
        ConnectionError::Open(error) if !error.kind.may_be_overload() => Stage::Preparing,
        _ => Stage::Handshaking,
    }
}

/// Whether a connection that could not be made may have failed for the server's overload.
pub(crate) fn may_be_overload(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::Open(error) => error.kind.may_be_overload(),
        ConnectionError::Framed(FramedError::Io(_)) | ConnectionError::Timeout { .. } => true,
        ConnectionError::Framed(_) | ConnectionError::Unsendable(_) | ConnectionError::Hello(_) => {
            false
        }
    }
}

/// A connection's failure, as the caller sees it.
pub(crate) fn explain(address: &ServerAddress, error: &ConnectionError) -> Error {
    let (address, message) = (address.clone(), error.to_string());
    Error::new(match error {
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
