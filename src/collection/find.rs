//! Reading documents.

use std::time::Duration;

use bson::RawDocumentBuf;
use serde::de::DeserializeOwned;

use super::Collection;
use crate::client_session::ClientSession;
use crate::cursor::{Bounds, Cursor, CursorSettings, decode};
use crate::driver::execute::execute;
use crate::engine::op::{
    self, Batch, CursorTime, CursorTimeOptions, CursorType, DocumentArgument, FindOptions, Hint,
    TimeoutMode, ValueArgument,
};
use crate::engine::selection::ReadPreference;
use crate::error::Result;
use crate::options::ReadConcern;
use crate::settings::{Settings, awaited, setters};
use crate::transport::MaybeSend;

/// A query; `.await` runs it and gives a [`Cursor`].
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct Find<T> {
    collection: Collection<T>,
    filter: DocumentArgument,
    options: FindOptions,
    settings: Settings,
    time: CursorTimeOptions,
}

impl<T> Find<T> {
    pub(super) fn new(collection: Collection<T>, filter: DocumentArgument) -> Self {
        let (options, settings) = (FindOptions::default(), Settings::default());
        let time = CursorTimeOptions::default();
        Self { collection, filter, options, settings, time }
    }

    /// Whether the cursor ends with the last document; others stay open for documents that come
    /// later, and are for capped collections.
    pub fn cursor_type(mut self, cursor_type: CursorType) -> Self {
        (self.options.cursor_type, self.time.cursor_type) = (cursor_type, cursor_type);
        self
    }

    setters! {
        /// The order of the results.
        sort: DocumentArgument => options.sort;
        /// Results at most; 0 for all. A negative number is one batch of at most that many.
        limit: i64 => options.limit;
        /// Results to leave out at the beginning.
        skip: u64 => options.skip;
        /// Which fields the results have.
        projection: DocumentArgument => options.projection;
        /// Documents a batch.
        batch_size: u32 => options.batch_size;
        /// Which index is used.
        hint: Hint => options.hint;
        /// Appears in the server's log and profile.
        comment: ValueArgument => options.comment;
        /// Rules for comparing texts.
        collation: DocumentArgument => options.collation;
        /// Variables for expressions in the filter (`let`).
        let_vars: DocumentArgument => options.let_vars;
        /// How long the server may work on it. Deprecated: `timeout` overrides it.
        max_time: Duration => options.max_time;
        /// Whether the server may write temporary files.
        allow_disk_use: bool => options.allow_disk_use;
        /// Whether the cursor stays when nobody asks for more.
        no_cursor_timeout: bool => options.no_cursor_timeout;
        /// What `timeout` bounds: by default everything up to the cursor's end; of a tailable
        /// cursor each step of the iteration.
        timeout_mode: TimeoutMode => time.mode;
        /// How long the server waits for documents before it answers
        /// ([`CursorType::TailableAwait`]); less than `timeout`.
        max_await_time: Duration => time.max_await_time;
        /// The least values of the index's keys, all of them, in their order; needs a hint.
        min: DocumentArgument => options.min;
        /// What the values of the index's keys stay below; needs a hint.
        max: DocumentArgument => options.max;
        /// Whether only the keys of the index come back.
        return_key: bool => options.return_key;
        /// Whether each result says where it is stored (`$recordId`).
        show_record_id: bool => options.show_record_id;
        /// Whether results come without the shards that are down.
        allow_partial_results: bool => options.allow_partial_results;
        /// Which servers may answer; by default the collection's read preference.
        read_preference: ReadPreference => settings.read_preference;
        /// How safe the data must be; by default the collection's read concern.
        read_concern: ReadConcern => settings.read_concern;
        /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
        timeout: Duration => settings.timeout;
        /// The session that it belongs to.
        session: ClientSession => settings.session;
        #[doc(hidden)]
        raw_data: bool => options.raw_data;
    }
}

impl<T> Find<T> {
    async fn run(self) -> Result<Cursor<T>> {
        let Self { collection, filter, options, settings, time } = self;
        let bounds = Bounds::new(options.limit, options.batch_size);
        let comment = options.comment.clone();
        let name = collection.shared_name();
        let mut operation = op::Find { collection: name, filter, options };
        let client = collection.database().client();
        let mut route = collection.read_route(&settings);
        let (time, budget) = CursorTime::new(route.budget, time)?;
        route.budget = budget;
        let first = execute(client.shared(), &mut operation, &route).await?;
        Ok(Cursor::new(client.clone(), first, CursorSettings { bounds, comment, time }))
    }
}

awaited!(for<T: 'static> Find<T> => Cursor<T>);

/// A query for one document; `.await` runs it.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct FindOne<T> {
    collection: Collection<T>,
    filter: DocumentArgument,
    options: FindOptions,
    settings: Settings,
}

impl<T> FindOne<T> {
    pub(super) fn new(collection: Collection<T>, filter: DocumentArgument) -> Self {
        let (options, settings) = (FindOptions::default(), Settings::default());
        Self { collection, filter, options, settings }
    }

    setters! {
        /// The order in which the first is the first.
        sort: DocumentArgument => options.sort;
        /// Documents to leave out before the first.
        skip: u64 => options.skip;
        /// Which fields the result has.
        projection: DocumentArgument => options.projection;
        /// Which index is used.
        hint: Hint => options.hint;
        /// Appears in the server's log and profile.
        comment: ValueArgument => options.comment;
        /// Rules for comparing texts.
        collation: DocumentArgument => options.collation;
        /// How long the server may work on it. Deprecated: `timeout` overrides it.
        max_time: Duration => options.max_time;
        /// Variables for expressions in the filter (`let`).
        let_vars: DocumentArgument => options.let_vars;
        /// Whether the server may write temporary files.
        allow_disk_use: bool => options.allow_disk_use;
        /// The least values of the index's keys, all of them, in their order; needs a hint.
        min: DocumentArgument => options.min;
        /// What the values of the index's keys stay below; needs a hint.
        max: DocumentArgument => options.max;
        /// Whether only the keys of the index come back.
        return_key: bool => options.return_key;
        /// Whether each result says where it is stored (`$recordId`).
        show_record_id: bool => options.show_record_id;
        /// Whether results come without the shards that are down.
        allow_partial_results: bool => options.allow_partial_results;
        /// Which servers may answer; by default the collection's read preference.
        read_preference: ReadPreference => settings.read_preference;
        /// How safe the data must be; by default the collection's read concern.
        read_concern: ReadConcern => settings.read_concern;
        /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
        timeout: Duration => settings.timeout;
        /// The session that it belongs to.
        session: ClientSession => settings.session;
        #[doc(hidden)]
        raw_data: bool => options.raw_data;
    }
}

impl<T> FindOne<T> {
    /// Runs it; the document's own bytes, read by nobody.
    ///
    /// # Errors
    ///
    /// As by `.await`, but for what only reading finds.
    pub async fn raw(self) -> Result<Option<RawDocumentBuf>> {
        let mut found = self.fetch().await?;
        Ok(found.next_document().map(ToOwned::to_owned))
    }

    async fn fetch(self) -> Result<Batch> {
        let Self { collection, filter, options, settings } = self;
        let mut operation = op::Find::one(collection.shared_name(), filter, options);
        let client = collection.database().client();
        let route = collection.read_route(&settings);
        Ok(execute(client.shared(), &mut operation, &route).await?.output.batch)
    }
}

impl<T: DeserializeOwned> FindOne<T> {
    async fn run(self) -> Result<Option<T>> {
        self.fetch().await?.next_document().map(decode).transpose()
    }
}

awaited!(for<T: DeserializeOwned + MaybeSend + 'static> FindOne<T> => Option<T>);
