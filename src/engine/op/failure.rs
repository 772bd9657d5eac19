//! What a reply says went wrong.

use std::fmt;

use bson::{RawArray, RawDocument, RawDocumentBuf};

use super::codes::{self, MAX_TIME_EXPIRED};
use super::reply::{ReplyFields, integer};
use crate::engine::auth::REAUTHENTICATION_REQUIRED;
use crate::engine::hello::TopologyVersion;

/// Why a reply has no result.
#[derive(Clone, Debug, PartialEq)]
pub enum ReplyFailure {
    /// The command failed (`ok: 0`).
    Command(Box<CommandFailure>),
    /// The command ran (`ok: 1`); some of its writes, or their acknowledgement, failed.
    Write(Box<WriteFailure>),
    /// The reply is not of the command's form.
    Malformed {
        /// The field, with dots for fields inside.
        field: String,
        /// What was found there.
        found: String,
    },
}

/// A command that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandFailure {
    /// The server's error code, where it gave one.
    pub code: Option<i32>,
    /// The code's name.
    pub code_name: Option<String>,
    /// The server's message (`errmsg`), or a better one that this driver knows.
    pub message: String,
    /// Error labels: the server's, and those that the driver adds.
    pub labels: Vec<String>,
    /// How new the server's state was.
    pub topology_version: Option<TopologyVersion>,
    /// A write concern error beside the failure.
    pub write_concern_error: Option<WriteConcernError>,
    /// The whole reply.
    pub raw: RawDocumentBuf,
}

/// Writes that failed in a command that ran.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteFailure {
    /// The statements that failed; their indexes count from the operation's first statement.
    pub write_errors: Vec<WriteError>,
    /// The acknowledgement that was not reached. The writes took place.
    pub write_concern_error: Option<WriteConcernError>,
    /// Error labels: the server's, and those that the driver adds.
    pub labels: Vec<String>,
    /// How new the server's state was.
    pub topology_version: Option<TopologyVersion>,
    /// Documents that were written in spite of it (`n`).
    pub n: u64,
    /// The whole reply.
    pub raw: RawDocumentBuf,
}

/// One statement that failed.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteError {
    /// The statement's place in the operation.
    pub index: usize,
    /// The server's error code.
    pub code: i32,
    /// The code's name.
    pub code_name: Option<String>,
    /// The server's message.
    pub message: String,
    /// What the server adds (`errInfo`).
    pub details: Option<RawDocumentBuf>,
}

/// An acknowledgement that was not reached.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteConcernError {
    /// The server's error code.
    pub code: i32,
    /// The code's name.
    pub code_name: Option<String>,
    /// The server's message.
    pub message: String,
    /// What the server adds (`errInfo`).
    pub details: Option<RawDocumentBuf>,
}

impl fmt::Display for ReplyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(failure) => failure.fmt(f),
            Self::Write(failure) => failure.fmt(f),
            Self::Malformed { field, found } => {
                write!(f, "the reply is malformed: field \"{field}\" is {found}")
            }
        }
    }
}

impl std::error::Error for ReplyFailure {}

impl fmt::Display for CommandFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        fmt_code(f, self.code, self.code_name.as_deref())
    }
}

impl fmt::Display for WriteFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(first) = self.write_errors.first() {
            write!(f, "write {} failed: {}", first.index, first.message)?;
            fmt_code(f, Some(first.code), first.code_name.as_deref())?;
        }
        match self.write_errors.len() {
            0 | 1 => {}
            more => write!(f, " (and {} more)", more - 1)?,
        }
        if let Some(error) = &self.write_concern_error {
            let separator = if self.write_errors.is_empty() { "" } else { "; " };
            write!(f, "{separator}write concern not reached: {}", error.message)?;
            fmt_code(f, Some(error.code), error.code_name.as_deref())?;
        }
        Ok(())
    }
}

fn fmt_code(f: &mut fmt::Formatter<'_>, code: Option<i32>, name: Option<&str>) -> fmt::Result {
    match (code, name) {
        (Some(code), Some(name)) => write!(f, " ({code} {name})"),
        (Some(code), None) => write!(f, " ({code})"),
        (None, _) => Ok(()),
    }
}

impl ReplyFailure {
    pub(super) fn malformed(field: &str, found: impl fmt::Display) -> Self {
        Self::Malformed { field: field.to_owned(), found: found.to_string() }
    }

    /// The error labels.
    pub fn labels(&self) -> &[String] {
        match self {
            Self::Command(failure) => &failure.labels,
            Self::Write(failure) => &failure.labels,
            Self::Malformed { .. } => &[],
        }
    }

    /// Whether the failure has this label.
    pub fn has_label(&self, label: &str) -> bool {
        self.labels().iter().any(|own| own == label)
    }

    /// Adds a label, once.
    pub fn add_label(&mut self, label: &str) {
        let labels = match self {
            Self::Command(failure) => &mut failure.labels,
            Self::Write(failure) => &mut failure.labels,
            Self::Malformed { .. } => return,
        };
        if !labels.iter().any(|own| own == label) {
            labels.push(label.to_owned());
        }
    }

    /// The failure's code: the command's, else the write concern error's, else the first write
    /// error's.
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Command(failure) => failure.code,
            Self::Write(failure) => failure
                .write_concern_error
                .as_ref()
                .map(|error| error.code)
                .or_else(|| failure.write_errors.first().map(|error| error.code)),
            Self::Malformed { .. } => None,
        }
    }

    /// Whether the server's time for the command was over, wherever it says so (CSOT "Error
    /// Transformations").
    pub fn is_max_time_expired(&self) -> bool {
        let concern = match self {
            Self::Command(failure) if failure.code == Some(MAX_TIME_EXPIRED) => return true,
            Self::Command(failure) => &failure.write_concern_error,
            Self::Write(failure) => {
                if failure.write_errors.iter().any(|error| error.code == MAX_TIME_EXPIRED) {
                    return true;
                }
                &failure.write_concern_error
            }
            Self::Malformed { .. } => return false,
        };
        concern.as_ref().is_some_and(|error| error.code == MAX_TIME_EXPIRED)
    }

    /// Whether the server asks for another authentication.
    pub fn is_reauthentication_required(&self) -> bool {
        matches!(self, Self::Command(failure) if failure.code == Some(REAUTHENTICATION_REQUIRED))
    }

    /// What the failure says of the server's state, for the topology: `None` where it says nothing.
    ///
    /// SDAM "not writable primary and node is recovering": a command's error and a write concern
    /// error count, write errors do not.
    pub fn state_change(&self) -> Option<StateChange<'_>> {
        let (code, message, topology_version) = match self {
            Self::Command(failure) => {
                (failure.code, failure.message.as_str(), failure.topology_version)
            }
            Self::Write(failure) => {
                let error = failure.write_concern_error.as_ref()?;
                (Some(error.code), error.message.as_str(), failure.topology_version)
            }
            Self::Malformed { .. } => return None,
        };
        let changed = codes::is_state_change(code, message);
        changed.then_some(StateChange { code, message, topology_version })
    }
}

/// A server that says that it is not what it was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StateChange<'a> {
    /// The server's error code, where it gave one.
    pub code: Option<i32>,
    /// The server's message.
    pub message: &'a str,
    /// How new the server's state was.
    pub topology_version: Option<TopologyVersion>,
}

impl CommandFailure {
    /// Reads a reply with `ok: 0`.
    pub(super) fn of(fields: &ReplyFields<'_>, reply: &RawDocument) -> Self {
        let message = fields.message.unwrap_or("the reply has neither ok: 1 nor a message");
        Self {
            code: fields.code,
            code_name: fields.code_name.map(str::to_owned),
            message: message.to_owned(),
            labels: fields.labels.clone(),
            topology_version: fields.topology_version,
            write_concern_error: fields.write_concern_error.map(WriteConcernError::read),
            raw: reply.to_owned(),
        }
    }
}

impl WriteFailure {
    /// Reads the errors of a reply with `ok: 1`; `None` where it has none.
    pub(super) fn of(
        fields: &ReplyFields<'_>,
        reply: &RawDocument,
        first_index: usize,
    ) -> Result<Option<Self>, ReplyFailure> {
        let write_errors = match fields.write_errors {
            Some(errors) => WriteError::read_all(errors, first_index)?,
            None => Vec::new(),
        };
        if write_errors.is_empty() && fields.write_concern_error.is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            write_errors,
            write_concern_error: fields.write_concern_error.map(WriteConcernError::read),
            labels: fields.labels.clone(),
            topology_version: fields.topology_version,
            n: fields.n,
            raw: reply.to_owned(),
        }))
    }

    /// Joins the failures of two batches of one operation; `later` is the newer one.
    #[must_use]
    pub fn merge(mut self, later: Self) -> Self {
        self.write_errors.extend(later.write_errors);
        self.n += later.n;
        for label in later.labels {
            if !self.labels.contains(&label) {
                self.labels.push(label);
            }
        }
        Self {
            write_concern_error: later.write_concern_error.or(self.write_concern_error),
            topology_version: later.topology_version.or(self.topology_version),
            raw: later.raw,
            ..self
        }
    }
}

impl WriteError {
    fn read_all(errors: &RawArray, first_index: usize) -> Result<Vec<Self>, ReplyFailure> {
        let mut all = Vec::new();
        for error in errors {
            let error = error.map_err(|error| ReplyFailure::malformed("writeErrors", error))?;
            let document = error.as_document();
            let document = document.ok_or_else(|| {
                ReplyFailure::malformed("writeErrors", format!("{:?}", error.element_type()))
            })?;
            let index = number(document, "index").and_then(|index| usize::try_from(index).ok());
            let index = index.ok_or_else(|| {
                ReplyFailure::malformed("writeErrors.index", "missing or no index")
            })?;
            let WriteConcernError { code, code_name, message, details } =
                WriteConcernError::read(document);
            let index = first_index.saturating_add(index);
            all.push(Self { index, code, code_name, message, details });
        }
        Ok(all)
    }
}

impl WriteConcernError {
    fn read(document: &RawDocument) -> Self {
        let code = number(document, "code").and_then(|code| i32::try_from(code).ok());
        Self {
            code: code.unwrap_or(0),
            code_name: document.get_str("codeName").ok().map(str::to_owned),
            message: document.get_str("errmsg").unwrap_or("no reason given").to_owned(),
            details: document.get_document("errInfo").ok().map(RawDocument::to_owned),
        }
    }
}

fn number(document: &RawDocument, key: &str) -> Option<i64> {
    integer(document.get(key).ok()??)
}
