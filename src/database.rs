//! A database: commands, collections, and pipelines over itself.

mod command;
mod define;
mod list;

use std::sync::Arc;
use std::time::Duration;

pub use command::{Command, RunCommand, RunCommandRaw, RunCursorCommand};
pub use define::{CreateCollection, DropCollection, DropDatabase, ModifyCollection};
pub use list::{
    CollectionSpecification, DatabaseSpecification, ListCollectionNames, ListCollections,
    ListDatabaseNames, ListDatabases,
};

use crate::client::Client;
use crate::collection::{Aggregate, Collection, Source};
use crate::engine::op::DocumentArgument;
use crate::engine::selection::ReadPreference;
use crate::options::{CollectionOptions, DatabaseOptions, Defaults, ReadConcern, WriteConcern};

/// A database of a deployment. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    name: String,
    defaults: Defaults,
}

impl Database {
    pub(crate) fn new(client: Client, name: &str, options: DatabaseOptions) -> Self {
        let defaults = options.within(&Defaults::of(client.options()));
        Self { inner: Arc::new(Inner { client, name: name.to_owned(), defaults }) }
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The client that the database belongs to.
    pub fn client(&self) -> &Client {
        &self.inner.client
    }

    /// The collection of this name, its documents read and written as `T`.
    pub fn collection<T>(&self, name: &str) -> Collection<T> {
        self.collection_with_options(name, CollectionOptions::default())
    }

    /// The collection of this name, with defaults of its own.
    pub fn collection_with_options<T>(
        &self,
        name: &str,
        options: CollectionOptions,
    ) -> Collection<T> {
        Collection::new(self.clone(), name, options)
    }

    /// Runs any command; awaited, it gives the server's reply.
    ///
    /// The command goes to the primary unless it is given a read preference of its own: the
    /// client's does not apply (server-selection "Passing read preference"). It is sent as it is:
    /// no read or write concern is added, and it is never tried again. Where the client declares a
    /// [Stable API](crate::options::ServerApi), a command must not declare one itself.
    pub fn run_command(&self, command: impl Into<Command>) -> RunCommand {
        RunCommand::new(self.clone(), command.into())
    }

    /// Runs any command whose reply has a cursor; awaited, it gives that as a
    /// [`Cursor`](crate::Cursor).
    ///
    /// As [`run_command`](Self::run_command) otherwise: the command is sent as it is, to the
    /// primary unless it is given a read preference of its own, and never tried again.
    pub fn run_cursor_command(&self, command: impl Into<Command>) -> RunCursorCommand {
        RunCursorCommand::new(self.clone(), command.into())
    }

    /// Runs a pipeline that begins with the database itself, as `$currentOp` or `$documents` do.
    pub fn aggregate(
        &self,
        pipeline: impl IntoIterator<Item = impl Into<DocumentArgument>>,
    ) -> Aggregate {
        Aggregate::new(Source::Database(self.clone()), pipeline.into_iter().collect())
    }

    /// Which servers may serve the reads of its collections, unless those say otherwise.
    pub fn read_preference(&self) -> &ReadPreference {
        &self.inner.defaults.read_preference
    }

    /// How safe the data of those reads must be, unless they say otherwise.
    pub fn read_concern(&self) -> &ReadConcern {
        &self.inner.defaults.read_concern
    }

    /// How safe the writes of its collections must be, unless those say otherwise.
    pub fn write_concern(&self) -> &WriteConcern {
        &self.inner.defaults.write_concern
    }

    /// How long one operation may take as a whole, unless it says otherwise (`timeoutMS`); zero for
    /// as long as it likes, `None` where no time-out was set.
    pub fn timeout(&self) -> Option<Duration> {
        self.inner.defaults.timeout
    }

    pub(crate) fn defaults(&self) -> &Defaults {
        &self.inner.defaults
    }
}
