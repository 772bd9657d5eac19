//! Counting documents.

use std::future::IntoFuture;
use std::time::Duration;

use bson::{Bson, Document};

use super::{Collection, ReadSettings, setters};
use crate::driver::execute::execute;
use crate::engine::op::{self, CountOptions, Hint};
use crate::engine::selection::ReadPreference;
use crate::error::Result;
use crate::options::ReadConcern;
use crate::transport::BoxFuture;

/// The count of the documents that a filter finds; `.await` runs it.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct CountDocuments {
    collection: Collection<()>,
    filter: Document,
    options: CountOptions,
    settings: ReadSettings,
}

impl CountDocuments {
    pub(super) fn new(collection: Collection<()>, filter: Document) -> Self {
        let (options, settings) = (CountOptions::default(), ReadSettings::default());
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
        comment: Bson => options.comment;
        /// Rules for comparing texts.
        collation: Document => options.collation;
        /// How long the server may work on it. Deprecated: `timeout` overrides it.
        max_time: Duration => options.max_time;
        /// Which servers may answer; by default the collection's read preference.
        read_preference: ReadPreference => settings.read_preference;
        /// How safe the data must be; by default the collection's read concern.
        read_concern: ReadConcern => settings.read_concern;
        /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
        timeout: Duration => settings.timeout;
    }
}

impl IntoFuture for CountDocuments {
    type Output = Result<u64>;
    type IntoFuture = BoxFuture<'static, Result<u64>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let name = self.collection.name();
            let mut operation = op::CountDocuments::new(name, self.filter, self.options);
            let client = self.collection.database().client();
            let route = self.collection.read_route(&self.settings);
            Ok(execute(client.shared(), &mut operation, &route).await?.output)
        })
    }
}
