//! What can go wrong with a deployment, as one comparable value.

use std::fmt;
use std::io;

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a deployment could not do what was asked.
#[derive(Debug)]
pub enum Error {
    /// No mongod was found; the text says where it was looked for and how to install one.
    NoBinary(String),
    /// A process could not be started or ended at once; the text holds the end of its log.
    Start(String),
    /// The server answered that the command failed.
    Command {
        /// The server's error code; 0 where the reply has none.
        code: i32,
        /// The server's message.
        message: String,
    },
    /// The deadline passed; the text says what was waited for.
    Timeout(String),
    /// The bytes of a reply are not what the protocol allows.
    Protocol(String),
    /// A file, a socket or a process; the text says what was being done.
    Io(String, io::Error),
}

impl Error {
    /// An [`Error::Io`] for what was being done, as the argument of `map_err`.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io(doing, source)
    }

    /// The server's error code, where the server answered with one.
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Command { code, .. } => Some(*code),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBinary(text) | Self::Start(text) | Self::Protocol(text) => f.write_str(text),
            Self::Command { code, message } => write!(f, "the server answered {code}: {message}"),
            Self::Timeout(what) => write!(f, "timed out: {what}"),
            Self::Io(doing, source) => write!(f, "{doing}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, source) => Some(source),
            _ => None,
        }
    }
}
