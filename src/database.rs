//! A database: commands and collections.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use bson::{Document, RawDocumentBuf};

use crate::client::Client;
use crate::collection::Collection;
use crate::driver::execute::execute;
use crate::driver::route::Route;
use crate::engine::op::{self, TimeBudget};
use crate::engine::selection::ReadPreference;
use crate::error::{Error, Result};
use crate::options::{CollectionOptions, DatabaseOptions, Defaults, ReadConcern, WriteConcern};
use crate::transport::BoxFuture;

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
    /// no read or write concern is added, and it is never tried again.
    pub fn run_command(&self, command: impl Into<Command>) -> RunCommand {
        RunCommand {
            database: self.clone(),
            command: command.into(),
            read_preference: ReadPreference::PRIMARY,
            timeout: None,
        }
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

/// A command: a document whose first field names it.
#[derive(Clone, Debug)]
pub struct Command(Result<RawDocumentBuf>);

impl Command {
    pub(crate) fn into_raw(self) -> Result<RawDocumentBuf> {
        self.0
    }
}

impl From<Document> for Command {
    fn from(document: Document) -> Self {
        Self(RawDocumentBuf::try_from(&document).map_err(Error::bson))
    }
}

impl From<RawDocumentBuf> for Command {
    fn from(document: RawDocumentBuf) -> Self {
        Self(Ok(document))
    }
}

/// A command to be run; `.await` runs it.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Debug)]
pub struct RunCommand {
    database: Database,
    command: Command,
    read_preference: ReadPreference,
    timeout: Option<Duration>,
}

impl RunCommand {
    /// Which server runs the command; by default the primary.
    pub fn read_preference(mut self, read_preference: ReadPreference) -> Self {
        self.read_preference = read_preference;
        self
    }

    /// How long it may take as a whole (`timeoutMS`); by default as the database says.
    ///
    /// Where there is a time-out, `maxTimeMS` is added to the command: leave it out of your own.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Gives the reply as raw BSON.
    pub fn raw(self) -> RunCommandRaw {
        RunCommandRaw(self)
    }

    async fn run(self) -> Result<RawDocumentBuf> {
        let mut operation = op::RunCommand::new(self.command.0?)?;
        let shared = self.database.client().shared();
        let timeout = self.timeout.or(self.database.defaults().timeout);
        let budget = TimeBudget::begin(timeout, || shared.transport.now());
        let route = Route::read(self.database.name(), &self.read_preference);
        let route = Route { budget, ..route };
        let executed = execute(shared, &mut operation, &route).await?;
        Ok(executed.output)
    }
}

impl IntoFuture for RunCommand {
    type Output = Result<Document>;
    type IntoFuture = BoxFuture<'static, Result<Document>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Document::try_from(self.run().await?).map_err(Error::bson) })
    }
}

/// A command whose reply is wanted as raw BSON; `.await` runs it.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Debug)]
pub struct RunCommandRaw(RunCommand);

impl IntoFuture for RunCommandRaw {
    type Output = Result<RawDocumentBuf>;
    type IntoFuture = BoxFuture<'static, Result<RawDocumentBuf>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.0.run())
    }
}
