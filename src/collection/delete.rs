//! Removing documents.

use std::future::IntoFuture;
use std::time::Duration;

use bson::{Bson, Document};

use super::{Collection, WriteSettings, setters};
use crate::driver::execute::execute;
use crate::engine::op::{self, DeleteOptions, Hint};
use crate::error::Result;
use crate::options::WriteConcern;
use crate::transport::BoxFuture;

/// What [`DeleteOne`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteResult {
    /// Documents that were removed.
    pub deleted_count: u64,
}

/// The removal of one document; `.await` runs it.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct DeleteOne {
    collection: Collection<()>,
    filter: Document,
    options: DeleteOptions,
    settings: WriteSettings,
}

impl DeleteOne {
    pub(super) fn new(collection: Collection<()>, filter: Document) -> Self {
        let (options, settings) = (DeleteOptions::default(), WriteSettings::default());
        Self { collection, filter, options, settings }
    }

    setters! {
        /// Which index is used.
        hint: Hint => options.hint;
        /// Appears in the server's log and profile.
        comment: Bson => options.comment;
        /// Variables for expressions in the filter (`let`).
        let_vars: Document => options.let_vars;
        /// Rules for comparing texts.
        collation: Document => options.collation;
        /// How safe the write must be; by default the collection's write concern.
        write_concern: WriteConcern => settings.write_concern;
        /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
        timeout: Duration => settings.timeout;
    }
}

impl IntoFuture for DeleteOne {
    type Output = Result<DeleteResult>;
    type IntoFuture = BoxFuture<'static, Result<DeleteResult>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let collection = self.collection.name().to_owned();
            let (filter, options) = (self.filter, self.options);
            let mut operation = op::Delete { collection, filter, multi: false, options };
            let client = self.collection.database().client();
            let route = self.collection.write_route(&self.settings)?;
            let output = execute(client.shared(), &mut operation, &route).await?.output;
            Ok(DeleteResult { deleted_count: output.deleted_count })
        })
    }
}
