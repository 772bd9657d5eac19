//! Many writes of one collection at once.

use std::time::Duration;

use bson::{Bson, Document};

use super::Collection;
use super::batches::in_batches;
use super::models::WriteModel;
use crate::client_session::ClientSession;
use crate::engine::op::{BulkWriteResult, Statement, WriteOptions};
use crate::error::Result;
use crate::identity::object_id;
use crate::options::WriteConcern;
use crate::settings::{Settings, awaited, setters};

/// Inserts, updates and deletes, in as few commands as their kinds and the server's limits allow;
/// `.await` runs it.
///
/// Each command is tried again on its own, unless it has an update or a delete of many documents
/// (retryable-writes "Supported Write Operations"). On an error,
/// [`Error::partial_result`](crate::Error::partial_result) tells what was written.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct BulkWrite {
    collection: Collection<()>,
    models: Vec<WriteModel>,
    options: WriteOptions,
    settings: Settings,
}

impl BulkWrite {
    pub(super) fn new(collection: Collection<()>, models: Vec<WriteModel>) -> Self {
        let (options, settings) = (WriteOptions::default(), Settings::default());
        Self { collection, models, options, settings }
    }

    /// Whether the models are sent in their order, and the first failure stops the rest; by default
    /// so it is.
    pub fn ordered(mut self, ordered: bool) -> Self {
        self.options.ordered = ordered;
        self
    }

    setters! {
        /// Whether the collection's validation is passed over, by inserts and updates.
        bypass_document_validation: bool => options.bypass_document_validation;
        /// Appears in the server's log and profile.
        comment: Bson => options.comment;
        /// Variables for expressions in filters and updates (`let`).
        let_vars: Document => options.let_vars;
        /// How safe the writes must be; by default the collection's write concern.
        write_concern: WriteConcern => settings.write_concern;
        /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
        timeout: Duration => settings.timeout;
        /// The session that it belongs to.
        session: ClientSession => settings.session;
        #[doc(hidden)]
        raw_data: bool => options.raw_data;
    }

    async fn run(self) -> Result<BulkWriteResult> {
        use crate::engine::op::BulkWrite;

        let statements = self.models.into_iter().map(WriteModel::into_statement);
        let statements: Vec<Statement> = statements.collect::<Result<_>>()?;
        let name = self.collection.name();
        let bulk = BulkWrite::new(name, statements, self.options, object_id)?;
        let shared = self.collection.database().client().shared();
        let mut route = self.collection.write_route(&self.settings)?;
        route.operation_id = Some(shared.observers.next_operation_id());
        Ok(in_batches(shared, bulk, &route).await?.into_done())
    }
}

awaited!(BulkWrite => BulkWriteResult);
