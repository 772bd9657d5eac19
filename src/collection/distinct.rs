//! The values of a field.

use std::time::Duration;

use bson::{Bson, RawArrayBuf};

use super::Collection;
use crate::client_session::ClientSession;
use crate::driver::execute::execute;
use crate::engine::op::{self, DistinctOptions, DocumentArgument, Hint, ValueArgument};
use crate::engine::selection::ReadPreference;
use crate::error::{Error, Result};
use crate::options::ReadConcern;
use crate::settings::{Settings, awaited, setters};

/// The values of a field in the documents that a filter finds; `.await` runs it.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct Distinct {
    collection: Collection<()>,
    field: String,
    filter: DocumentArgument,
    options: DistinctOptions,
    settings: Settings,
}

impl Distinct {
    pub(super) fn new(collection: Collection<()>, field: String, filter: DocumentArgument) -> Self {
        let (options, settings) = (DistinctOptions::default(), Settings::default());
        Self { collection, field, filter, options, settings }
    }

    setters! {
        /// Which index is used; servers of 7.1 and later.
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

    async fn run(self) -> Result<Vec<Bson>> {
        let values = self.raw().await?;
        let all: bson::error::Result<_> =
            values.into_iter().map(|value| Bson::try_from(value?)).collect();
        all.map_err(Error::bson)
    }

    /// Runs it; the values in the bytes of the answer, read by nobody.
    ///
    /// # Errors
    ///
    /// As by `.await`, but for what only reading finds.
    pub async fn raw(self) -> Result<RawArrayBuf> {
        let collection = self.collection.name().to_owned();
        let (field, filter, options) = (self.field, self.filter, self.options);
        let mut operation = op::Distinct { collection, field, filter, options };
        let client = self.collection.database().client();
        let route = self.collection.read_route(&self.settings);
        Ok(execute(client.shared(), &mut operation, &route).await?.output)
    }
}

awaited!(Distinct => Vec<Bson>);
