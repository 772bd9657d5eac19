//! Where an operation goes, and with what concerns.

use bson::RawDocumentBuf;

use crate::client_session::ClientSession;
use crate::engine::address::ServerAddress;
use crate::engine::op::{OperationKind, TimeBudget};
use crate::engine::selection::{self, Criteria, ReadPreference};
use crate::options::{ClientOptions, ServerSelector};
use crate::transaction::open::Part;

/// Where an operation goes, and with what concerns.
#[derive(Clone, Debug)]
pub(crate) struct Route<'a> {
    pub(crate) database: &'a str,
    pub(crate) read_preference: &'a ReadPreference,
    /// The server that has the cursor, for getMore: no selection.
    pub(crate) server: Option<&'a ServerAddress>,
    pub(crate) read_concern: Option<RawDocumentBuf>,
    pub(crate) write_concern: Option<RawDocumentBuf>,
    /// The user's session.
    pub(crate) session: Option<ClientSession>,
    /// Of a command that ends the session's transaction.
    pub(crate) part: Option<Part>,
    /// What the operation has set for itself.
    pub(crate) own: Own,
    /// Whether it runs in a session, where the deployment has them.
    pub(crate) in_session: bool,
    /// Whether somebody waits for the outcome, so that the limits of waiting count.
    pub(crate) awaited: bool,
    /// What links its commands together in events and messages, where it may take several.
    pub(crate) operation_id: Option<i64>,
    /// The time of the whole operation.
    pub(crate) budget: TimeBudget,
}

/// What an operation has set for itself, where that matters in a transaction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Own {
    /// "read" or "write".
    pub(crate) concern: Option<&'static str>,
    pub(crate) read_preference: bool,
    pub(crate) timeout: bool,
}

static PRIMARY: ReadPreference = ReadPreference::PRIMARY;

impl<'a> Route<'a> {
    /// A read on the server that `read_preference` says.
    pub(crate) fn read(database: &'a str, read_preference: &'a ReadPreference) -> Self {
        Self {
            database,
            read_preference,
            server: None,
            read_concern: None,
            write_concern: None,
            session: None,
            part: None,
            own: Own::default(),
            in_session: true,
            awaited: true,
            operation_id: None,
            budget: TimeBudget::default(),
        }
    }

    /// A write.
    pub(crate) fn write(database: &'a str, write_concern: Option<RawDocumentBuf>) -> Self {
        Self { write_concern, ..Self::read(database, &PRIMARY) }
    }

    /// The next batch of a cursor that `server` has.
    pub(crate) fn pinned(database: &'a str, server: &'a ServerAddress) -> Self {
        Self { server: Some(server), ..Self::read(database, &PRIMARY) }
    }

    /// What is asked of selection for an operation of this kind.
    pub(crate) fn criteria(
        &self,
        options: &'a ClientOptions,
        kind: OperationKind,
        deprioritized: &'a [ServerAddress],
    ) -> Criteria<'a> {
        Criteria {
            operation: match kind {
                OperationKind::Write => selection::OperationKind::Write,
                OperationKind::Output => selection::OperationKind::Output,
                OperationKind::Read | OperationKind::Generic => selection::OperationKind::Read,
            },
            read_preference: self.read_preference,
            deprioritized,
            excluded: &[],
            min_cluster_time: None,
            local_threshold: options.local_threshold,
            heartbeat_frequency: options.heartbeat(),
            server_selector: options.server_selector.as_ref().map(ServerSelector::rule),
        }
    }
}
