//! A collection: reads and writes, as builders that are awaited.

mod count;
mod delete;
mod find;
mod insert;
mod update;

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bson::{Document, RawDocumentBuf};
use serde::Serialize;

pub use count::CountDocuments;
pub use delete::{DeleteOne, DeleteResult};
pub use find::{Find, FindOne};
pub use insert::{InsertMany, InsertManyResult, InsertOne, InsertOneResult};
pub use update::{UpdateOne, UpdateResult};

use crate::database::Database;
use crate::driver::route::Route;
use crate::engine::op::TimeBudget;
pub use crate::engine::op::UpdateModifications;
use crate::engine::selection::ReadPreference;
use crate::error::{Error, Result};
use crate::options::{CollectionOptions, Defaults, ReadConcern, WriteConcern};

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
    pub fn find(&self, filter: Document) -> Find<T> {
        Find::new(self.clone(), filter)
    }

    /// The first document that `filter` finds.
    pub fn find_one(&self, filter: Document) -> FindOne<T> {
        FindOne::new(self.clone(), filter)
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
        let documents = documents.into_iter().map(|document| serialized(document.borrow()));
        InsertMany::new(self.untyped(), documents.collect())
    }

    /// Changes the first document that `filter` finds.
    pub fn update_one(
        &self,
        filter: Document,
        update: impl Into<UpdateModifications>,
    ) -> UpdateOne {
        UpdateOne::new(self.untyped(), filter, update.into())
    }

    /// Removes the first document that `filter` finds.
    pub fn delete_one(&self, filter: Document) -> DeleteOne {
        DeleteOne::new(self.untyped(), filter)
    }

    /// How many documents `filter` finds.
    pub fn count_documents(&self, filter: Document) -> CountDocuments {
        CountDocuments::new(self.untyped(), filter)
    }

    fn shared_name(&self) -> Arc<str> {
        self.inner.name.clone()
    }

    fn untyped(&self) -> Collection<()> {
        self.clone_with_type()
    }

    /// Where a read goes. Its own settings win over the collection's.
    fn read_route<'a>(&'a self, own: &'a ReadSettings) -> Route<'a> {
        let read_preference = own.read_preference.as_ref().unwrap_or(self.read_preference());
        let read_concern = own.read_concern.as_ref().unwrap_or(self.read_concern());
        let read_concern = (!read_concern.is_default()).then(|| read_concern.to_document());
        let budget = self.budget(own.timeout);
        Route { read_concern, budget, ..Route::read(self.inner.database.name(), read_preference) }
    }

    /// Where a write goes. Its own settings win over the collection's.
    fn write_route<'a>(&'a self, own: &WriteSettings) -> Result<Route<'a>> {
        let database = &self.inner.database;
        let mut concern = own.write_concern.as_ref().unwrap_or(self.write_concern());
        concern.validate().map_err(Error::from)?;
        let budget = self.budget(own.timeout);
        let untimed;
        if budget.is_set() && concern.w_timeout.is_some() {
            // A deprecated option counts only without `timeoutMS`.
            untimed = WriteConcern { w_timeout: None, ..concern.clone() };
            concern = &untimed;
        }
        let document = (!concern.is_default()).then(|| concern.to_document());
        Ok(Route { budget, ..Route::write(database.name(), document) })
    }

    /// The time of an operation that begins now.
    fn budget(&self, own: Option<Duration>) -> TimeBudget {
        let timeout = own.or(self.inner.defaults.timeout);
        let transport = &self.inner.database.client().shared().transport;
        TimeBudget::begin(timeout, || transport.now())
    }
}

/// What a read may set for itself.
#[derive(Clone, Debug, Default)]
struct ReadSettings {
    read_preference: Option<ReadPreference>,
    read_concern: Option<ReadConcern>,
    timeout: Option<Duration>,
}

/// What a write may set for itself.
#[derive(Clone, Debug, Default)]
struct WriteSettings {
    write_concern: Option<WriteConcern>,
    timeout: Option<Duration>,
}

/// A document as raw BSON, or why it is none.
fn serialized<T: Serialize>(document: &T) -> Result<RawDocumentBuf> {
    bson::serialize_to_raw_document_buf(document).map_err(Error::bson)
}

/// Setters of a builder's options.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty => $($path:tt).+;)*) => {
        $($(#[$doc])*
        pub fn $name(mut self, value: impl Into<$type>) -> Self {
            self.$($path).+ = Some(value.into());
            self
        })*
    };
}
use setters;
