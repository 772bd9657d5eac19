//! Many writes of one collection at once.

use std::time::Duration;

use bson::{Bson, RawBson};

use super::Collection;
use super::batches::in_batches;
use super::models::WriteModel;
use crate::client_session::ClientSession;
use crate::engine::map::SortedMap;
use crate::engine::op::{DocumentArgument, Statement, ValueArgument, WriteOptions, Written};
use crate::error::{Error, Result};
use crate::identity::object_id;
use crate::options::WriteConcern;
use crate::settings::{Settings, awaited, setters};

/// What a bulk write did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BulkWriteResult {
    /// Documents that were inserted.
    pub inserted_count: u64,
    /// The `_id` of each document that was inserted, by the place of its model.
    pub inserted_ids: SortedMap<usize, Bson>,
    /// Documents that updates and replacements found.
    pub matched_count: u64,
    /// Documents that are different now.
    pub modified_count: u64,
    /// Documents that were removed.
    pub deleted_count: u64,
    /// Documents that were inserted because a filter found none.
    pub upserted_count: u64,
    /// The `_id` of each of those, by the place of its model.
    pub upserted_ids: SortedMap<usize, Bson>,
}

impl BulkWriteResult {
    /// # Errors
    ///
    /// An `_id` is no BSON.
    pub(crate) fn of(written: Written) -> bson::error::Result<Self> {
        Ok(Self {
            inserted_count: written.inserted_count,
            inserted_ids: ids(written.inserted_ids)?,
            matched_count: written.matched_count,
            modified_count: written.modified_count,
            deleted_count: written.deleted_count,
            upserted_count: written.upserted_count,
            upserted_ids: ids(written.upserted_ids)?,
        })
    }
}

/// What was sent or answered, as users read it.
pub(super) fn ids(raw: SortedMap<usize, RawBson>) -> bson::error::Result<SortedMap<usize, Bson>> {
    raw.into_iter().map(|(index, id)| Ok((index, Bson::try_from(id)?))).collect()
}

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
        comment: ValueArgument => options.comment;
        /// Variables for expressions in filters and updates (`let`).
        let_vars: DocumentArgument => options.let_vars;
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
        let bulk = in_batches(shared, bulk, &route).await?;
        BulkWriteResult::of(bulk.into_done()).map_err(Error::bson)
    }
}

awaited!(BulkWrite => BulkWriteResult);
