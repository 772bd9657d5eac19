//! Counting documents.

use std::time::Duration;

use super::Collection;
use crate::client_session::ClientSession;
use crate::driver::execute::execute;
use crate::engine::op::{
    self, CountOptions, DocumentArgument, EstimatedCountOptions, Hint, ValueArgument,
};
use crate::engine::selection::ReadPreference;
use crate::error::Result;
use crate::options::ReadConcern;
use crate::settings::{Settings, awaited, setters};

/// The count of the documents that a filter finds; `.await` runs it.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct CountDocuments {
    collection: Collection<()>,
    filter: DocumentArgument,
    options: CountOptions,
    settings: Settings,
}

impl CountDocuments {
    pub(super) fn new(collection: Collection<()>, filter: DocumentArgument) -> Self {
        let (options, settings) = (CountOptions::default(), Settings::default());
        Self { collection, filter, options, settings }
    }

    setters! {
        /// Count at most this many.
        limit: u64 => options.limit;
        /// Documents to leave out at the beginning.
        skip: u64 => options.skip;
        /// Which index is used.
        hint: Hint => options.hint;
        /// Appears in the server's log and profile.
        comment: ValueArgument => options.comment;
        /// Rules for comparing texts.
        collation: DocumentArgument => options.collation;
        /// How long the server may work on it. Deprecated: `timeout` overrides it.
        max_time: Duration => options.max_time;
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

    async fn run(self) -> Result<u64> {
        let name = self.collection.name();
        let mut operation = op::CountDocuments::new(name, self.filter, self.options);
        let client = self.collection.database().client();
        let route = self.collection.read_route(&self.settings);
        Ok(execute(client.shared(), &mut operation, &route).await?.output)
    }
}

awaited!(CountDocuments => u64);

/// The count of all documents by the collection's metadata; `.await` runs it.
///
/// Quick, and not exact: after an unclean shutdown, and in a sharded cluster while chunks move
/// (crud "estimatedDocumentCount"). The server's command is `count`, which the Stable API has since
/// 5.0.9 and 5.3.2.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct EstimatedDocumentCount {
    collection: Collection<()>,
    options: EstimatedCountOptions,
    settings: Settings,
}

impl EstimatedDocumentCount {
    pub(super) fn new(collection: Collection<()>) -> Self {
        let (options, settings) = (EstimatedCountOptions::default(), Settings::default());
        Self { collection, options, settings }
    }

    setters! {
        /// Appears in the server's log and profile.
        comment: ValueArgument => options.comment;
        /// How long the server may work on it. Deprecated: `timeout` overrides it.
        max_time: Duration => options.max_time;
        /// Which servers may answer; by default the collection's read preference.
        read_preference: ReadPreference => settings.read_preference;
        /// How safe the data must be; by default the collection's read concern.
        read_concern: ReadConcern => settings.read_concern;
        /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
        timeout: Duration => settings.timeout;
        #[doc(hidden)]
        raw_data: bool => options.raw_data;
    }

    async fn run(self) -> Result<u64> {
        let (collection, options) = (self.collection.name().to_owned(), self.options);
        let mut operation = op::EstimatedDocumentCount { collection, options };
        let client = self.collection.database().client();
        let route = self.collection.read_route(&self.settings);
        Ok(execute(client.shared(), &mut operation, &route).await?.output)
    }
}

awaited!(EstimatedDocumentCount => u64);
