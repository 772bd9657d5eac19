//! Creating, changing and removing collections, and removing databases (collection-management).

use std::time::Duration;

use bson::{Bson, Document};

use super::Database;
use crate::client_session::ClientSession;
use crate::collection::Collection;
use crate::driver::execute::execute;
use crate::engine::op::{Definition, codes};
use crate::error::Result;
use crate::options::WriteConcern;
use crate::settings::{Settings, awaited, fields, setters};

macro_rules! definition {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty)? }) => {
        $(#[$doc])*
        #[must_use = "nothing is sent until it is awaited"]
        #[derive(Clone, Debug)]
        pub struct $name {
            database: Database,
            $($field: $type,)?
            options: Document,
            settings: Settings,
        }

        impl $name {
            pub(crate) fn new(database: Database, $($field: $type)?) -> Self {
                let (options, settings) = (Document::new(), Settings::default());
                Self { database, $($field,)? options, settings }
            }

            fields! { options {
                /// Appears in the server's log and profile; servers of 4.4 and later.
                comment: Bson => "comment";
                #[doc(hidden)]
                raw_data: bool => "rawData";
            } }

            setters! {
                /// How safe the change must be; by default the database's write concern.
                write_concern: WriteConcern => settings.write_concern;
                /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
                timeout: Duration => settings.timeout;
                /// The session that it belongs to.
                session: ClientSession => settings.session;
            }
        }

        awaited!($name => ());
    };
}

definition! {
    /// The creation of a collection, a view or a time series; `.await` runs it.
    CreateCollection { name: String }
}

definition! {
    /// A change of a collection's options (`collMod`); `.await` runs it.
    ModifyCollection { name: String }
}

definition! {
    /// The removal of a collection with all that is in it; `.await` runs it. One that is not there
    /// is no error.
    DropCollection { name: String }
}

definition! {
    /// The removal of a database with all that is in it; `.await` runs it.
    DropDatabase {}
}

impl CreateCollection {
    fields! { options {
        /// Whether the oldest documents make room for new ones; needs `size`.
        capped: bool => "capped";
        /// Of a capped collection: bytes at most.
        size: i64 => "size";
        /// Of a capped collection: documents at most.
        max: i64 => "max";
        /// Makes it a time series: which fields are its time and its source, how dense it is.
        timeseries: Document => "timeseries";
        /// Of a time series or a clustered collection: seconds after which documents are removed.
        expire_after_seconds: i64 => "expireAfterSeconds";
        /// Stores the documents in the order of this index.
        clustered_index: Document => "clusteredIndex";
        /// Whether change streams can give documents as they were before a change.
        change_stream_pre_and_post_images: Document => "changeStreamPreAndPostImages";
        /// Rules or expressions that documents must fulfil.
        validator: Document => "validator";
        /// Which writes are checked: `off`, `strict` or `moderate`.
        validation_level: String => "validationLevel";
        /// What becomes of documents that fail the check: `error` or `warn`.
        validation_action: String => "validationAction";
        /// Makes it a view of this collection or view.
        view_on: String => "viewOn";
        /// Of a view: the stages.
        pipeline: Vec<Document> => "pipeline";
        /// Rules for comparing texts where nothing else is said.
        collation: Document => "collation";
        /// Options of the storage engine.
        storage_engine: Document => "storageEngine";
        /// What the indexes of the collection are created with.
        index_option_defaults: Document => "indexOptionDefaults";
    } }

    async fn run(self) -> Result<()> {
        run(&self.database, Definition::create_collection(&self.name, self.options), &self.settings)
            .await
    }
}

impl ModifyCollection {
    fields! { options {
        /// An index, and what changes of it: `hidden`, `expireAfterSeconds`, `unique`.
        index: Document => "index";
        /// Rules or expressions that documents must fulfil.
        validator: Document => "validator";
        /// Which writes are checked: `off`, `strict` or `moderate`.
        validation_level: String => "validationLevel";
        /// What becomes of documents that fail the check: `error` or `warn`.
        validation_action: String => "validationAction";
        /// Of a view: what it is a view of.
        view_on: String => "viewOn";
        /// Of a view: the stages.
        pipeline: Vec<Document> => "pipeline";
        /// Whether change streams can give documents as they were before a change.
        change_stream_pre_and_post_images: Document => "changeStreamPreAndPostImages";
        /// Of a time series: how dense it is.
        timeseries: Document => "timeseries";
        /// Of a time series or a clustered collection: seconds after which documents are removed,
        /// or `"off"`.
        expire_after_seconds: Bson => "expireAfterSeconds";
    } }

    async fn run(self) -> Result<()> {
        run(&self.database, Definition::modify_collection(&self.name, self.options), &self.settings)
            .await
    }
}

impl DropCollection {
    async fn run(self) -> Result<()> {
        let definition = Definition::drop_collection(&self.name, self.options);
        match run(&self.database, definition, &self.settings).await {
            Err(error) if error.code().is_some_and(codes::is_namespace_not_found) => Ok(()),
            outcome => outcome,
        }
    }
}

impl DropDatabase {
    async fn run(self) -> Result<()> {
        run(&self.database, Definition::drop_database(self.options), &self.settings).await
    }
}

async fn run(database: &Database, mut definition: Definition, settings: &Settings) -> Result<()> {
    let route = settings.write(database, database.defaults())?;
    execute(database.client().shared(), &mut definition, &route).await.map(drop)
}

impl Database {
    /// Creates a collection, a view or a time series of this name. A plain collection needs no
    /// creation: the first insert does that.
    pub fn create_collection(&self, name: impl Into<String>) -> CreateCollection {
        CreateCollection::new(self.clone(), name.into())
    }

    /// Changes the options of the collection of this name.
    pub fn modify_collection(&self, name: impl Into<String>) -> ModifyCollection {
        ModifyCollection::new(self.clone(), name.into())
    }

    /// Removes the database with all that is in it.
    pub fn drop(&self) -> DropDatabase {
        DropDatabase::new(self.clone())
    }
}

impl<T> Collection<T> {
    /// Removes the collection with all that is in it.
    pub fn drop(&self) -> DropCollection {
        let mut definition = DropCollection::new(self.database().clone(), self.name().to_owned());
        definition.settings.write_concern = Some(self.write_concern().clone());
        definition
    }
}
