//! Why options cannot be used, in words that say what to do.

use std::fmt;

/// Why a connection string or a set of options cannot be used.
///
/// No text of it contains a password or another secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionsError {
    /// The connection string is not of the form that it must have.
    Syntax(String),
    /// One option has a value that it cannot have.
    BadValue {
        /// The option's name.
        option: &'static str,
        /// The value; `None` where it may be a secret.
        value: Option<String>,
        /// What is allowed.
        expected: String,
    },
    /// Options that contradict each other.
    Conflict {
        /// The names of the options.
        options: Vec<&'static str>,
        /// Why, and what to do.
        message: String,
    },
    /// User name, password, authentication source and mechanism do not go together.
    Credential(String),
}

impl OptionsError {
    pub(crate) fn syntax(message: impl Into<String>) -> Self {
        Self::Syntax(message.into())
    }

    pub(crate) fn conflict(options: &[&'static str], message: impl Into<String>) -> Self {
        Self::Conflict { options: options.to_vec(), message: message.into() }
    }

    /// The options that the error is about.
    pub fn options(&self) -> &[&'static str] {
        match self {
            Self::BadValue { option, .. } => std::slice::from_ref(option),
            Self::Conflict { options, .. } => options,
            Self::Syntax(_) | Self::Credential(_) => &[],
        }
    }
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(message) => write!(f, "the connection string is invalid: {message}"),
            Self::BadValue { option, value: Some(value), expected } => {
                write!(f, "option {option} cannot be \"{value}\": it must be {expected}")
            }
            Self::BadValue { option, value: None, expected } => {
                write!(f, "option {option} has a bad value: it must be {expected}")
            }
            Self::Conflict { message, .. } => f.write_str(message),
            Self::Credential(message) => write!(f, "the credential is invalid: {message}"),
        }
    }
}

impl std::error::Error for OptionsError {}
