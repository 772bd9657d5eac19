//! The indexes of a collection (index-management "Standard API").

use std::time::Duration;

use bson::{Bson, Document};
use futures_util::TryStreamExt;
use serde::{Deserialize, Deserializer};

use super::Collection;
use crate::client_session::ClientSession;
use crate::cursor::{Bounds, Cursor, CursorSettings};
use crate::driver::execute::execute;
use crate::engine::op::{
    self, CursorTime, CursorTimeOptions, Definition, TimeoutMode, ValueArgument, index_name,
};
use crate::error::{Error, Result};
use crate::options::WriteConcern;
use crate::settings::{Settings, awaited, fields, setters};

/// An index: its keys and its options.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct IndexModel {
    /// The fields, each with its direction (1 or -1) or kind (`text`, `2dsphere`, `hashed`).
    pub keys: Document,
    /// Everything else, under the server's names.
    pub options: Document,
}

impl IndexModel {
    /// An index of these keys.
    pub fn new(keys: Document) -> Self {
        Self { keys, options: Document::new() }
    }

    fields! { options {
        /// Its name; by default the keys with their directions, as `name_1_age_-1`.
        name: String => "name";
        /// Whether no two documents may have the same keys.
        unique: bool => "unique";
        /// Whether only documents are in it that have the keys.
        sparse: bool => "sparse";
        /// Which documents are in it.
        partial_filter_expression: Document => "partialFilterExpression";
        /// Whether queries pass it over.
        hidden: bool => "hidden";
        /// Seconds after a document's date when the document is removed.
        expire_after_seconds: i32 => "expireAfterSeconds";
        /// Rules for comparing texts.
        collation: Document => "collation";
        /// Of a text index: how much each field counts.
        weights: Document => "weights";
        /// Of a text index: the language of the documents.
        default_language: String => "default_language";
        /// Of a text index: the field that names a document's language.
        language_override: String => "language_override";
        /// Of a wildcard index: which fields.
        wildcard_projection: Document => "wildcardProjection";
        /// Options of the storage engine.
        storage_engine: Document => "storageEngine";
    } }

    /// Any option of the server's, under its name.
    pub fn option(mut self, name: impl Into<String>, value: impl Into<Bson>) -> Self {
        self.options.insert(name, value);
        self
    }

    /// As the server wants it, and the name.
    fn into_document(mut self) -> Result<(Document, String)> {
        let name = match self.options.get("name") {
            Some(Bson::String(name)) => name.clone(),
            _ => index_name(&self.keys)?,
        };
        let mut document = bson::doc! { "key": self.keys, "name": name.clone() };
        self.options.remove("name");
        document.extend(self.options);
        Ok((document, name))
    }
}

impl<'de> Deserialize<'de> for IndexModel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut options = Document::deserialize(deserializer)?;
        let keys = match options.remove("key") {
            Some(Bson::Document(keys)) => keys,
            _ => return Err(serde::de::Error::missing_field("key")),
        };
        Ok(Self { keys, options })
    }
}

/// What [`CreateIndex`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreateIndexResult {
    /// The index's name.
    pub index_name: String,
}

/// What [`CreateIndexes`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreateIndexesResult {
    /// The indexes' names, in the order of their models.
    pub index_names: Vec<String>,
}

macro_rules! index_command {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty)? } => $output:ty) => {
        $(#[$doc])*
        #[must_use = "nothing is sent until it is awaited"]
        #[derive(Clone, Debug)]
        pub struct $name {
            collection: Collection<()>,
            $($field: $type,)?
            options: Document,
            settings: Settings,
        }

        impl $name {
            pub(super) fn new(collection: Collection<()>, $($field: $type)?) -> Self {
                let (options, settings) = (Document::new(), Settings::default());
                Self { collection, $($field,)? options, settings }
            }

            fields! { options {
                /// Appears in the server's log and profile; servers of 4.4 and later.
                comment: Bson => "comment";
                #[doc(hidden)]
                raw_data: bool => "rawData";
            } }

            /// How long the server may work on it. Deprecated: `timeout` overrides it.
            pub fn max_time(mut self, time: Duration) -> Self {
                self.options.insert("maxTimeMS", op::whole_millis(time));
                self
            }

            setters! {
                /// How safe the change must be; by default the collection's write concern.
                write_concern: WriteConcern => settings.write_concern;
                /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
                timeout: Duration => settings.timeout;
                /// The session that it belongs to.
                session: ClientSession => settings.session;
            }
        }

        awaited!($name => $output);
    };
}

index_command! {
    /// The creation of one index; `.await` runs it.
    CreateIndex { index: IndexModel } => CreateIndexResult
}

index_command! {
    /// The creation of indexes; `.await` runs it.
    CreateIndexes { indexes: Vec<IndexModel> } => CreateIndexesResult
}

index_command! {
    /// The removal of one index; `.await` runs it.
    DropIndex { name: String } => ()
}

index_command! {
    /// The removal of all indexes but that of `_id`; `.await` runs it.
    DropIndexes {} => ()
}

impl CreateIndex {
    fields! { options {
        /// How many members must have built it: a number, `majority` or `votingMembers`; servers of
        /// 4.4 and later, an error before.
        commit_quorum: Bson => "commitQuorum";
    } }

    async fn run(self) -> Result<CreateIndexResult> {
        let Self { collection, index, options, settings } = self;
        let mut names = create(&collection, vec![index], options, &settings).await?;
        Ok(CreateIndexResult { index_name: names.pop().unwrap_or_default() })
    }
}

impl CreateIndexes {
    fields! { options {
        /// How many members must have built them: a number, `majority` or `votingMembers`; servers
        /// of 4.4 and later, an error before.
        commit_quorum: Bson => "commitQuorum";
    } }

    async fn run(self) -> Result<CreateIndexesResult> {
        let Self { collection, indexes, options, settings } = self;
        let index_names = create(&collection, indexes, options, &settings).await?;
        Ok(CreateIndexesResult { index_names })
    }
}

async fn create(
    collection: &Collection<()>,
    indexes: Vec<IndexModel>,
    options: Document,
    settings: &Settings,
) -> Result<Vec<String>> {
    if indexes.is_empty() {
        return Err(Error::invalid_argument("there are no indexes to create"));
    }
    let documents = indexes.into_iter().map(IndexModel::into_document);
    let (indexes, names) = documents.collect::<Result<Vec<_>>>()?.into_iter().unzip();
    run(collection, Definition::create_indexes(collection.name(), indexes, options), settings)
        .await?;
    Ok(names)
}

impl DropIndex {
    async fn run(self) -> Result<()> {
        let definition = Definition::drop_index(self.collection.name(), &self.name, self.options)?;
        run(&self.collection, definition, &self.settings).await
    }
}

impl DropIndexes {
    async fn run(self) -> Result<()> {
        let definition = Definition::drop_indexes(self.collection.name(), self.options);
        run(&self.collection, definition, &self.settings).await
    }
}

async fn run(
    collection: &Collection<()>,
    mut definition: Definition,
    settings: &Settings,
) -> Result<()> {
    let route = collection.write_route(settings)?;
    let client = collection.database().client();
    execute(client.shared(), &mut definition, &route).await.map(drop)
}

/// The indexes of a collection; `.await` asks the primary and gives a [`Cursor`].
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct ListIndexes {
    collection: Collection<()>,
    options: op::ListIndexes,
    settings: Settings,
    mode: Option<TimeoutMode>,
}

/// The names of a collection's indexes; `.await` asks the primary.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct ListIndexNames(ListIndexes);

impl ListIndexes {
    pub(super) fn new(collection: Collection<()>) -> Self {
        let options = op::ListIndexes {
            collection: collection.name().to_owned(),
            ..op::ListIndexes::default()
        };
        Self { collection, options, settings: Settings::default(), mode: None }
    }

    /// Only the names.
    pub(super) fn names(self) -> ListIndexNames {
        ListIndexNames(self)
    }

    setters! {
        /// Documents a batch.
        batch_size: u32 => options.batch_size;
        /// Appears in the server's log and profile.
        comment: ValueArgument => options.comment;
        /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
        timeout: Duration => settings.timeout;
        /// The session that it belongs to.
        session: ClientSession => settings.session;
        /// What `timeout` bounds: by default everything up to the cursor's end.
        timeout_mode: TimeoutMode => mode;
        #[doc(hidden)]
        raw_data: bool => options.raw_data;
    }

    async fn run(mut self) -> Result<Cursor<IndexModel>> {
        let database = self.collection.database();
        let client = database.client();
        let bounds = Bounds::new(None, self.options.batch_size);
        let comment = self.options.comment.clone();
        let mut route = self.settings.primary(database, self.collection.defaults());
        let time = CursorTimeOptions { mode: self.mode, ..CursorTimeOptions::default() };
        let (time, budget) = CursorTime::new(route.budget, time)?;
        route.budget = budget;
        let first = execute(client.shared(), &mut self.options, &route).await?;
        Ok(Cursor::new(client.clone(), first, CursorSettings { bounds, comment, time }))
    }
}

awaited!(ListIndexes => Cursor<IndexModel>);

impl ListIndexNames {
    setters! {
        /// Appears in the server's log and profile.
        comment: ValueArgument => 0.options.comment;
        /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
        timeout: Duration => 0.settings.timeout;
        /// The session that it belongs to.
        session: ClientSession => 0.settings.session;
        #[doc(hidden)]
        raw_data: bool => 0.options.raw_data;
    }

    async fn run(self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut indexes = self.0.run().await?;
        while let Some(index) = indexes.try_next().await? {
            let name = index.options.get_str("name").map_err(Error::bson)?;
            names.push(name.to_owned());
        }
        Ok(names)
    }
}

awaited!(ListIndexNames => Vec<String>);

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn a_model_becomes_what_the_server_wants_and_comes_back() {
        let model = IndexModel::new(doc! { "name": 1, "dob": -1 }).unique(true);
        let (document, name) = model.clone().into_document().unwrap();
        let expected =
            doc! { "key": { "name": 1, "dob": -1 }, "name": "name_1_dob_-1", "unique": true };
        assert_eq!((document.clone(), name.as_str()), (expected, "name_1_dob_-1"));
        let listed: IndexModel = bson::deserialize_from_document(document).unwrap();
        assert_eq!(listed, IndexModel { options: doc! { "name": name, "unique": true }, ..model });
        let named = IndexModel::new(doc! { "a": 1 }).name("own").option("v", 2);
        let (document, name) = named.into_document().unwrap();
        assert_eq!(name, "own");
        assert_eq!(document, doc! { "key": { "a": 1 }, "name": "own", "v": 2 });
        assert!(IndexModel::new(doc! {}).into_document().is_err());
    }
}
