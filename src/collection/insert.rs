//! Inserting documents.

use std::time::Duration;

use bson::{Bson, RawBson, RawDocumentBuf};

use super::Collection;
use super::batches::in_batches;
use super::bulk_write::ids;
use crate::client_session::ClientSession;
use crate::engine::map::SortedMap;
use crate::engine::op::{Insert, ValueArgument, WriteOptions};
use crate::error::{Error, Result};
use crate::identity::object_id;
use crate::options::WriteConcern;
use crate::settings::{Settings, awaited, setters};

/// What [`InsertOne`] did.
#[derive(Clone, Debug, PartialEq)]
pub struct InsertOneResult {
    /// The `_id` of the new document.
    pub inserted_id: Bson,
}

/// What [`InsertMany`] did.
#[derive(Clone, Debug, PartialEq)]
pub struct InsertManyResult {
    /// The `_id` of each new document, by its place among those given.
    pub inserted_ids: SortedMap<usize, Bson>,
}

/// The insertion of one document; `.await` runs it.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct InsertOne(InsertMany);

impl InsertOne {
    pub(super) fn new(collection: Collection<()>, document: Result<RawDocumentBuf>) -> Self {
        Self(InsertMany::new(collection, vec![document]))
    }

    setters! {
        /// How safe the write must be; by default the collection's write concern.
        write_concern: WriteConcern => 0.settings.write_concern;
        /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
        timeout: Duration => 0.settings.timeout;
        /// The session that it belongs to.
        session: ClientSession => 0.settings.session;
        /// Whether the collection's validation is passed over.
        bypass_document_validation: bool => 0.options.bypass_document_validation;
        /// Appears in the server's log and profile.
        comment: ValueArgument => 0.options.comment;
        #[doc(hidden)]
        raw_data: bool => 0.options.raw_data;
    }
}

impl InsertOne {
    async fn run(self) -> Result<InsertOneResult> {
        let inserted = self.0.run().await?.inserted_ids;
        let inserted_id = inserted.into_values().next().unwrap_or(Bson::Null);
        Ok(InsertOneResult { inserted_id })
    }
}

awaited!(InsertOne => InsertOneResult);

/// The insertion of many documents; `.await` runs it.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct InsertMany {
    collection: Collection<()>,
    documents: Vec<Result<RawDocumentBuf>>,
    options: WriteOptions,
    settings: Settings,
}

impl InsertMany {
    pub(super) fn new(collection: Collection<()>, documents: Vec<Result<RawDocumentBuf>>) -> Self {
        let (options, settings) = (WriteOptions::default(), Settings::default());
        Self { collection, documents, options, settings }
    }

    /// Whether the first failure stops the rest; by default it does.
    pub fn ordered(mut self, ordered: bool) -> Self {
        self.options.ordered = ordered;
        self
    }

    setters! {
        /// How safe the writes must be; by default the collection's write concern.
        write_concern: WriteConcern => settings.write_concern;
        /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
        timeout: Duration => settings.timeout;
        /// The session that it belongs to.
        session: ClientSession => settings.session;
        /// Whether the collection's validation is passed over.
        bypass_document_validation: bool => options.bypass_document_validation;
        /// Appears in the server's log and profile.
        comment: ValueArgument => options.comment;
        #[doc(hidden)]
        raw_data: bool => options.raw_data;
    }

    async fn run(self) -> Result<InsertManyResult> {
        let inserted_ids = ids(self.raw().await?).map_err(Error::bson)?;
        Ok(InsertManyResult { inserted_ids })
    }

    /// Runs it; the ids in the bytes that were sent.
    ///
    /// # Errors
    ///
    /// As by `.await`.
    pub async fn raw(self) -> Result<SortedMap<usize, RawBson>> {
        let documents = self.documents.into_iter().collect::<Result<Vec<_>>>()?;
        let name = self.collection.name();
        let several = documents.len() > 1;
        let insert = Insert::new(name, documents, self.options, object_id)?;
        let shared = self.collection.database().client().shared();
        let mut route = self.collection.write_route(&self.settings)?;
        route.operation_id = several.then(|| shared.observers.next_operation_id());
        let insert = in_batches(shared, insert, &route).await?;
        Ok(insert.inserted_ids())
    }
}

awaited!(InsertMany => InsertManyResult);
