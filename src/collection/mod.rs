//! A collection: reads and writes, as builders that are awaited.

mod aggregate;
mod batches;
mod bulk_write;
mod count;
mod delete;
mod distinct;
mod find;
mod find_and_modify;
mod indexes;
mod insert;
mod models;
mod update;

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bson::RawDocumentBuf;
use serde::Serialize;

pub use aggregate::Aggregate;
pub(crate) use aggregate::Source;
pub use bulk_write::{BulkWrite, BulkWriteResult};
pub use count::{CountDocuments, EstimatedDocumentCount};
pub use delete::{DeleteMany, DeleteOne, DeleteResult};
pub use distinct::Distinct;
pub use find::{Find, FindOne};
pub use find_and_modify::{FindOneAndDelete, FindOneAndReplace, FindOneAndUpdate};
pub use indexes::{
    CreateIndex, CreateIndexResult, CreateIndexes, CreateIndexesResult, DropIndex, DropIndexes,
    IndexModel, ListIndexNames, ListIndexes,
};
pub use insert::{InsertMany, InsertManyResult, InsertOne, InsertOneResult};
pub use models::{
    DeleteManyModel, DeleteOneModel, InsertOneModel, ReplaceOneModel, UpdateManyModel,
    UpdateOneModel, WriteModel,
};
pub use update::{ReplaceOne, UpdateMany, UpdateOne, UpdateResult};

use crate::database::Database;
use crate::driver::route::Route;
pub use crate::engine::op::{
    ArrayArgument, CursorType, DocumentArgument, Hint, ReturnDocument, UpdateModifications,
    ValueArgument,
};
use crate::engine::selection::ReadPreference;
use crate::error::{Error, Result};
use crate::options::{CollectionOptions, Defaults, ReadConcern, WriteConcern};
use crate::settings::Settings;

/// A collection whose documents are read and written as `T`. Cheap to clone.
///
/// Each method returns a builder named as in the official driver; `.await` runs it:
///
/// ```no_run
/// # async fn example(client: portolan::Client) -> portolan::Result<()> {
/// use portolan::bson::{Document, doc};
///
/// let notes = client.database("app").collection::<Document>("notes");
/// notes.insert_one(doc! { "text": "fair wind" }).await?;
/// let latest = notes.find_one(doc! {}).sort(doc! { "_id": -1 }).await?;
/// # Ok(())
/// # }
/// ```
pub struct Collection<T> {
    inner: Arc<Inner>,
    read: PhantomData<fn() -> T>,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    name: Arc<str>,
    defaults: Defaults,
}

impl<T> Clone for Collection<T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), read: PhantomData }
    }
}

impl<T> std::fmt::Debug for Collection<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Collection({}.{})", self.inner.database.name(), self.inner.name)
    }
}

impl<T> Collection<T> {
    pub(crate) fn new(database: Database, name: &str, options: CollectionOptions) -> Self {
        let defaults = options.within(database.defaults());
        let inner = Inner { database, name: name.into(), defaults };
        Self { inner: Arc::new(inner), read: PhantomData }
    }

    /// The collection's name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The database that the collection belongs to.
    pub fn database(&self) -> &Database {
        &self.inner.database
    }

    /// Which servers may serve its reads, unless they say otherwise.
    pub fn read_preference(&self) -> &ReadPreference {
        &self.inner.defaults.read_preference
    }

    /// How safe the data of its reads must be, unless they say otherwise.
    pub fn read_concern(&self) -> &ReadConcern {
        &self.inner.defaults.read_concern
    }

    /// How safe its writes must be, unless they say otherwise.
    pub fn write_concern(&self) -> &WriteConcern {
        &self.inner.defaults.write_concern
    }

    /// How long one of its operations may take as a whole, unless it says otherwise (`timeoutMS`);
    /// zero for as long as it likes, `None` where no time-out was set.
    pub fn timeout(&self) -> Option<Duration> {
        self.inner.defaults.timeout
    }

    /// The same collection, its documents read and written as `U`.
    pub fn clone_with_type<U>(&self) -> Collection<U> {
        Collection { inner: self.inner.clone(), read: PhantomData }
    }

    /// All documents that `filter` finds.
    pub fn find(&self, filter: impl Into<DocumentArgument>) -> Find<T> {
        Find::new(self.clone(), filter.into())
    }

    /// The first document that `filter` finds.
    pub fn find_one(&self, filter: impl Into<DocumentArgument>) -> FindOne<T> {
        FindOne::new(self.clone(), filter.into())
    }

    /// Inserts one document; without `_id` it gets a new ObjectId.
    pub fn insert_one(&self, document: impl std::borrow::Borrow<T>) -> InsertOne
    where
        T: Serialize,
    {
        InsertOne::new(self.untyped(), serialized(document.borrow()))
    }

    /// Inserts documents in their order, in as many commands as the server's limits ask for.
    pub fn insert_many<D>(&self, documents: impl IntoIterator<Item = D>) -> InsertMany
    where
        T: Serialize,
        D: std::borrow::Borrow<T>,
    {
        let mut scratch = Vec::new();
        let documents =
            documents.into_iter().map(|document| serialized_by(&mut scratch, document.borrow()));
        InsertMany::new(self.untyped(), documents.collect())
    }

    /// [`Collection::insert_many`] of documents that are BSON already, whatever `T` is.
    pub fn insert_raw(&self, documents: Vec<RawDocumentBuf>) -> InsertMany {
        InsertMany::new(self.untyped(), documents.into_iter().map(Ok).collect())
    }

    /// Changes the first document that `filter` finds.
    pub fn update_one(
        &self,
        filter: impl Into<DocumentArgument>,
        update: impl Into<UpdateModifications>,
    ) -> UpdateOne {
        UpdateOne::new(self.untyped(), filter.into(), update.into())
    }

    /// Changes all documents that `filter` finds.
    pub fn update_many(
        &self,
        filter: impl Into<DocumentArgument>,
        update: impl Into<UpdateModifications>,
    ) -> UpdateMany {
        UpdateMany::new(self.untyped(), filter.into(), update.into())
    }

    /// Puts `replacement` in the place of the first document that `filter` finds; the `_id` stays.
    pub fn replace_one(
        &self,
        filter: impl Into<DocumentArgument>,
        replacement: impl std::borrow::Borrow<T>,
    ) -> ReplaceOne
    where
        T: Serialize,
    {
        ReplaceOne::new(self.untyped(), filter.into(), serialized(replacement.borrow()))
    }

    /// [`Collection::replace_one`] by a document that is BSON already, whatever `T` is.
    pub fn replace_raw(
        &self,
        filter: impl Into<DocumentArgument>,
        replacement: RawDocumentBuf,
    ) -> ReplaceOne {
        ReplaceOne::new(self.untyped(), filter.into(), Ok(replacement))
    }

    /// Many writes at once: inserts, updates, replacements and deletes.
    ///
    /// ```no_run
    /// # async fn example(notes: portolan::Collection<bson::Document>) -> portolan::Result<()> {
    /// use portolan::bson::doc;
    /// use portolan::{DeleteManyModel, InsertOneModel, UpdateOneModel, WriteModel};
    ///
    /// let models: [WriteModel; 3] = [
    ///     InsertOneModel::new(doc! { "_id": 1, "text": "fair wind" }).into(),
    ///     UpdateOneModel::new(doc! { "_id": 2 }, doc! { "$inc": { "n": 1 } }).upsert(true).into(),
    ///     DeleteManyModel::new(doc! { "text": "calm" }).into(),
    /// ];
    /// let result = notes.bulk_write(models).ordered(false).await?;
    /// assert_eq!(result.inserted_count, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn bulk_write<M: Into<WriteModel>>(
        &self,
        models: impl IntoIterator<Item = M>,
    ) -> BulkWrite {
        BulkWrite::new(self.untyped(), models.into_iter().map(Into::into).collect())
    }

    /// Removes the first document that `filter` finds, and gives it.
    pub fn find_one_and_delete(&self, filter: impl Into<DocumentArgument>) -> FindOneAndDelete<T> {
        FindOneAndDelete::new(self.clone(), filter.into())
    }

    /// Changes the first document that `filter` finds, and gives it.
    pub fn find_one_and_update(
        &self,
        filter: impl Into<DocumentArgument>,
        update: impl Into<UpdateModifications>,
    ) -> FindOneAndUpdate<T> {
        FindOneAndUpdate::new(self.clone(), filter.into(), update.into())
    }

    /// Puts `replacement` in the place of the first document that `filter` finds, and gives that
    /// document.
    pub fn find_one_and_replace(
        &self,
        filter: impl Into<DocumentArgument>,
        replacement: impl std::borrow::Borrow<T>,
    ) -> FindOneAndReplace<T>
    where
        T: Serialize,
    {
        FindOneAndReplace::new(self.clone(), filter.into(), serialized(replacement.borrow()))
    }

    /// [`Collection::find_one_and_replace`] by a document that is BSON already, whatever `T` is.
    pub fn find_one_and_replace_raw(
        &self,
        filter: impl Into<DocumentArgument>,
        replacement: RawDocumentBuf,
    ) -> FindOneAndReplace<T> {
        FindOneAndReplace::new(self.clone(), filter.into(), Ok(replacement))
    }

    /// The results of a pipeline over the collection.
    pub fn aggregate(
        &self,
        pipeline: impl IntoIterator<Item = impl Into<DocumentArgument>>,
    ) -> Aggregate {
        Aggregate::new(Source::Collection(self.untyped()), pipeline.into_iter().collect())
    }

    /// The values that a field has in the documents that `filter` finds.
    pub fn distinct(
        &self,
        field_name: impl Into<String>,
        filter: impl Into<DocumentArgument>,
    ) -> Distinct {
        Distinct::new(self.untyped(), field_name.into(), filter.into())
    }

    /// Removes the first document that `filter` finds.
    pub fn delete_one(&self, filter: impl Into<DocumentArgument>) -> DeleteOne {
        DeleteOne::new(self.untyped(), filter.into())
    }

    /// Removes all documents that `filter` finds.
    pub fn delete_many(&self, filter: impl Into<DocumentArgument>) -> DeleteMany {
        DeleteMany::new(self.untyped(), filter.into())
    }

    /// How many documents the collection has, by its metadata: quick, and not always exact.
    pub fn estimated_document_count(&self) -> EstimatedDocumentCount {
        EstimatedDocumentCount::new(self.untyped())
    }

    /// Creates an index.
    pub fn create_index(&self, index: IndexModel) -> CreateIndex {
        CreateIndex::new(self.untyped(), index)
    }

    /// Creates indexes, in one command.
    pub fn create_indexes(&self, indexes: impl IntoIterator<Item = IndexModel>) -> CreateIndexes {
        CreateIndexes::new(self.untyped(), indexes.into_iter().collect())
    }

    /// Removes the index of this name.
    pub fn drop_index(&self, name: impl Into<String>) -> DropIndex {
        DropIndex::new(self.untyped(), name.into())
    }

    /// Removes all indexes but that of `_id`.
    pub fn drop_indexes(&self) -> DropIndexes {
        DropIndexes::new(self.untyped())
    }

    /// The indexes of the collection.
    pub fn list_indexes(&self) -> ListIndexes {
        ListIndexes::new(self.untyped())
    }

    /// The names of the collection's indexes.
    pub fn list_index_names(&self) -> ListIndexNames {
        self.list_indexes().names()
    }

    /// How many documents `filter` finds.
    pub fn count_documents(&self, filter: impl Into<DocumentArgument>) -> CountDocuments {
        CountDocuments::new(self.untyped(), filter.into())
    }

    fn shared_name(&self) -> Arc<str> {
        self.inner.name.clone()
    }

    fn untyped(&self) -> Collection<()> {
        self.clone_with_type()
    }

    fn defaults(&self) -> &Defaults {
        &self.inner.defaults
    }

    /// Where a read goes. Its own settings win over the collection's.
    fn read_route<'a>(&'a self, own: &'a Settings) -> Route<'a> {
        own.read(&self.inner.database, &self.inner.defaults)
    }

    /// Where a write goes. Its own write concern wins over the collection's.
    fn write_route<'a>(&'a self, own: &Settings) -> Result<Route<'a>> {
        own.write(&self.inner.database, &self.inner.defaults)
    }
}

/// A document as raw BSON, or why it is none.
fn serialized<T: Serialize>(document: &T) -> Result<RawDocumentBuf> {
    bson::serialize_to_raw_document_buf(document).map_err(Error::bson)
}

/// The same for many: grown in `scratch`, each then has one allocation of its own size.
fn serialized_by<T: Serialize>(scratch: &mut Vec<u8>, document: &T) -> Result<RawDocumentBuf> {
    scratch.clear();
    bson::serialize_to_buffer(document, scratch).map_err(Error::bson)?;
    RawDocumentBuf::from_bytes(scratch.to_vec()).map_err(Error::bson)
}
