//! Pipelines over a collection or a database.

use std::marker::PhantomData;
use std::time::Duration;

use bson::Document;

use super::Collection;
use crate::client_session::ClientSession;
use crate::cursor::{Bounds, Cursor, CursorSettings};
use crate::database::Database;
use crate::driver::execute::execute;
use crate::engine::op::{
    self, AggregateOptions, ArrayArgument, CursorTime, CursorTimeOptions, DocumentArgument, Hint,
    TimeoutMode, ValueArgument,
};
use crate::engine::selection::ReadPreference;
use crate::error::Result;
use crate::options::{Defaults, ReadConcern, WriteConcern};
use crate::settings::{Settings, awaited, setters};

/// A pipeline; `.await` runs it and gives a [`Cursor`].
///
/// One that ends in `$out` or `$merge` gives no results, is never tried again, and runs on the
/// primary unless the read preference says otherwise and all servers are of 5.0 or later (crud
/// "Aggregation Pipelines with Write Stages").
#[must_use = "nothing is sent until it is awaited"]
#[derive(Debug)]
pub struct Aggregate<T = Document> {
    source: Source,
    pipeline: ArrayArgument,
    options: AggregateOptions,
    settings: Settings,
    time: CursorTimeOptions,
    read: PhantomData<fn() -> T>,
}

/// What a pipeline begins with.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Collection(Collection<()>),
    Database(Database),
}

impl Source {
    fn database(&self) -> &Database {
        match self {
            Self::Collection(collection) => collection.database(),
            Self::Database(database) => database,
        }
    }

    fn defaults(&self) -> &Defaults {
        match self {
            Self::Collection(collection) => collection.defaults(),
            Self::Database(database) => database.defaults(),
        }
    }

    fn collection(&self) -> Option<String> {
        match self {
            Self::Collection(collection) => Some(collection.name().to_owned()),
            Self::Database(_) => None,
        }
    }
}

impl<T> Clone for Aggregate<T> {
    fn clone(&self) -> Self {
        Self {
            source: self.source.clone(),
            pipeline: self.pipeline.clone(),
            options: self.options.clone(),
            settings: self.settings.clone(),
            time: self.time,
            read: PhantomData,
        }
    }
}

impl Aggregate {
    pub(crate) fn new(source: Source, pipeline: ArrayArgument) -> Self {
        Self {
            source,
            pipeline,
            options: AggregateOptions::default(),
            settings: Settings::default(),
            time: CursorTimeOptions::default(),
            read: PhantomData,
        }
    }
}

impl<T> Aggregate<T> {
    /// The same pipeline, its results read as `U`.
    pub fn with_type<U>(self) -> Aggregate<U> {
        let Self { source, pipeline, options, settings, time, .. } = self;
        Aggregate { source, pipeline, options, settings, time, read: PhantomData }
    }

    setters! {
        /// Documents a batch.
        batch_size: u32 => options.batch_size;
        /// Which index the first stage uses.
        hint: Hint => options.hint;
        /// Appears in the server's log and profile.
        comment: ValueArgument => options.comment;
        /// Variables for expressions in the stages (`let`).
        let_vars: DocumentArgument => options.let_vars;
        /// Rules for comparing texts.
        collation: DocumentArgument => options.collation;
        /// How long the server may work on it. Deprecated: `timeout` overrides it.
        max_time: Duration => options.max_time;
        /// What `timeout` bounds: by default everything up to the cursor's end. Not with `$out` and
        /// `$merge`.
        timeout_mode: TimeoutMode => time.mode;
        /// How long the server waits for documents, where the pipeline has it wait at all (change
        /// streams); less than `timeout`.
        max_await_time: Duration => time.max_await_time;
        /// Whether the server may write temporary files.
        allow_disk_use: bool => options.allow_disk_use;
        /// Whether a stage that writes passes over the target's validation.
        bypass_document_validation: bool => options.bypass_document_validation;
        /// Which servers may answer; by default that of the collection or database.
        read_preference: ReadPreference => settings.read_preference;
        /// How safe the data must be; by default that of the collection or database.
        read_concern: ReadConcern => settings.read_concern;
        /// How safe the writes of `$out` and `$merge` must be; by default that of the collection or
        /// database.
        write_concern: WriteConcern => settings.write_concern;
        /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
        timeout: Duration => settings.timeout;
        /// The session that it belongs to.
        session: ClientSession => settings.session;
        #[doc(hidden)]
        raw_data: bool => options.raw_data;
    }

    async fn run(self) -> Result<Cursor<T>> {
        let Self { source, pipeline, options, settings, time, .. } = self;
        let bounds = Bounds::new(None, options.batch_size);
        let comment = options.comment.clone();
        let mut operation = op::Aggregate { collection: source.collection(), pipeline, options };
        let (database, writes) = (source.database(), operation.writes());
        let mut route = match writes {
            true => settings.output(database, source.defaults())?,
            false => settings.read(database, source.defaults()),
        };
        let (time, budget) = CursorTime::new(route.budget, CursorTimeOptions { writes, ..time })?;
        route.budget = budget;
        let client = database.client();
        let first = execute(client.shared(), &mut operation, &route).await?;
        Ok(Cursor::new(client.clone(), first, CursorSettings { bounds, comment, time }))
    }
}

awaited!(for<T: 'static> Aggregate<T> => Cursor<T>);
