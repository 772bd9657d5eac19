//! What there is: the databases of a deployment, the collections of a database.

use std::time::Duration;

use bson::Document;
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};

use super::Database;
use crate::client::Client;
use crate::client_session::ClientSession;
use crate::cursor::{Bounds, Cursor, CursorSettings, decode};
use crate::driver::execute::execute;
use crate::engine::op::{
    self, CursorTime, CursorTimeOptions, DocumentArgument, TimeoutMode, ValueArgument,
};
use crate::error::Result;
use crate::settings::{Settings, awaited, setters};

/// A database, as [`Client::list_databases`] tells of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DatabaseSpecification {
    /// Its name.
    pub name: String,
    /// Its bytes on disk, as far as the server says.
    #[serde(default)]
    pub size_on_disk: u64,
    /// Whether it has no data.
    #[serde(default)]
    pub empty: bool,
    /// In a sharded cluster: the bytes on each shard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<Document>,
}

/// A collection, a view or a time series, as [`Database::list_collections`] tells of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CollectionSpecification {
    /// Its name.
    pub name: String,
    /// `collection`, `view` or `timeseries`.
    #[serde(rename = "type")]
    pub collection_type: String,
    /// What it was created with.
    #[serde(default)]
    pub options: Document,
    /// What the server says besides: `readOnly`, and a collection's `uuid`.
    #[serde(default)]
    pub info: Document,
    /// The index of `_id`; no `ns` in it from servers of 4.4 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_index: Option<Document>,
}

/// The databases of a deployment; `.await` asks the primary.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct ListDatabases {
    admin: Database,
    options: op::ListDatabases,
    settings: Settings,
}

/// The names of a deployment's databases; `.await` asks the primary.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct ListDatabaseNames(ListDatabases);

impl Client {
    /// The databases of the deployment.
    pub fn list_databases(&self) -> ListDatabases {
        let (options, settings) = (op::ListDatabases::default(), Settings::default());
        ListDatabases { admin: self.database("admin"), options, settings }
    }

    /// The names of the deployment's databases.
    pub fn list_database_names(&self) -> ListDatabaseNames {
        let mut list = self.list_databases();
        list.options.name_only = Some(true);
        ListDatabaseNames(list)
    }
}

impl ListDatabases {
    setters! {
        /// Which databases.
        filter: DocumentArgument => options.filter;
        /// Whether only databases are given that the user may see.
        authorized_databases: bool => options.authorized_databases;
        /// Appears in the server's log and profile.
        comment: ValueArgument => options.comment;
        /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
        timeout: Duration => settings.timeout;
        /// The session that it belongs to.
        session: ClientSession => settings.session;
    }

    async fn run(mut self) -> Result<Vec<DatabaseSpecification>> {
        let route = self.settings.primary(&self.admin, self.admin.defaults());
        let shared = self.admin.client().shared();
        let databases = execute(shared, &mut self.options, &route).await?.output;
        databases.iter().map(|database| decode(database)).collect()
    }
}

awaited!(ListDatabases => Vec<DatabaseSpecification>);

impl ListDatabaseNames {
    setters! {
        /// Which databases.
        filter: DocumentArgument => 0.options.filter;
        /// Whether only databases are given that the user may see.
        authorized_databases: bool => 0.options.authorized_databases;
        /// Appears in the server's log and profile.
        comment: ValueArgument => 0.options.comment;
        /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
        timeout: Duration => 0.settings.timeout;
        /// The session that it belongs to.
        session: ClientSession => 0.settings.session;
    }

    async fn run(self) -> Result<Vec<String>> {
        let databases = self.0.run().await?;
        Ok(databases.into_iter().map(|database| database.name).collect())
    }
}

awaited!(ListDatabaseNames => Vec<String>);

/// The collections of a database; `.await` asks the primary and gives a [`Cursor`].
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct ListCollections {
    database: Database,
    options: op::ListCollections,
    settings: Settings,
    mode: Option<TimeoutMode>,
}

/// The names of a database's collections; `.await` asks the primary.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct ListCollectionNames(ListCollections);

impl Database {
    /// The collections, views and time series of the database.
    pub fn list_collections(&self) -> ListCollections {
        let (options, settings) = (op::ListCollections::default(), Settings::default());
        ListCollections { database: self.clone(), options, settings, mode: None }
    }

    /// The names of the database's collections, views and time series.
    pub fn list_collection_names(&self) -> ListCollectionNames {
        ListCollectionNames(self.list_collections())
    }
}

impl ListCollections {
    setters! {
        /// Which collections.
        filter: DocumentArgument => options.filter;
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

    async fn run(self) -> Result<Cursor<CollectionSpecification>> {
        self.open().await
    }

    async fn open<T>(mut self) -> Result<Cursor<T>> {
        let client = self.database.client();
        let bounds = Bounds::new(None, self.options.batch_size);
        let comment = self.options.comment.clone();
        let mut route = self.settings.primary(&self.database, self.database.defaults());
        let time = CursorTimeOptions { mode: self.mode, ..CursorTimeOptions::default() };
        let (time, budget) = CursorTime::new(route.budget, time)?;
        route.budget = budget;
        let first = execute(client.shared(), &mut self.options, &route).await?;
        Ok(Cursor::new(client.clone(), first, CursorSettings { bounds, comment, time }))
    }
}

awaited!(ListCollections => Cursor<CollectionSpecification>);

impl ListCollectionNames {
    setters! {
        /// Which collections.
        filter: DocumentArgument => 0.options.filter;
        /// Whether only collections are given that the user may see.
        authorized_collections: bool => 0.options.authorized_collections;
        /// Appears in the server's log and profile.
        comment: ValueArgument => 0.options.comment;
        /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
        timeout: Duration => 0.settings.timeout;
        /// The session that it belongs to.
        session: ClientSession => 0.settings.session;
        #[doc(hidden)]
        raw_data: bool => 0.options.raw_data;
    }

    async fn run(mut self) -> Result<Vec<String>> {
        self.0.options = self.0.options.names();
        let named: Cursor<Named> = self.0.open().await?;
        named.map_ok(|named| named.name).try_collect().await
    }
}

awaited!(ListCollectionNames => Vec<String>);

#[derive(Deserialize)]
struct Named {
    name: String,
}
