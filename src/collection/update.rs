//! Changing documents.

use std::future::IntoFuture;
use std::time::Duration;

use bson::{Bson, Document};

use super::{Collection, WriteSettings, setters};
use crate::driver::execute::execute;
use crate::engine::op::{self, Hint, UpdateModifications, UpdateOptions};
use crate::error::Result;
use crate::options::WriteConcern;
use crate::transport::BoxFuture;

/// What [`UpdateOne`] did.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateResult {
    /// Documents that the filter found.
    pub matched_count: u64,
    /// Documents that are different now.
    pub modified_count: u64,
    /// The `_id` of the document that was inserted, where the filter found none.
    pub upserted_id: Option<Bson>,
}

/// The change of one document; `.await` runs it.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct UpdateOne {
    collection: Collection<()>,
    filter: Document,
    update: UpdateModifications,
    options: UpdateOptions,
    settings: WriteSettings,
}

impl UpdateOne {
    pub(super) fn new(
        collection: Collection<()>,
        filter: Document,
        update: UpdateModifications,
    ) -> Self {
        let (options, settings) = (UpdateOptions::default(), WriteSettings::default());
        Self { collection, filter, update, options, settings }
    }

    setters! {
        /// Whether a document is inserted where the filter finds none.
        upsert: bool => options.upsert;
        /// Which elements of arrays are changed.
        array_filters: Vec<Document> => options.array_filters;
        /// Whether the collection's validation is passed over.
        bypass_document_validation: bool => options.bypass_document_validation;
        /// Which index is used.
        hint: Hint => options.hint;
        /// Appears in the server's log and profile.
        comment: Bson => options.comment;
        /// Variables for expressions in the filter and the update (`let`).
        let_vars: Document => options.let_vars;
        /// Rules for comparing texts.
        collation: Document => options.collation;
        /// How safe the write must be; by default the collection's write concern.
        write_concern: WriteConcern => settings.write_concern;
        /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
        timeout: Duration => settings.timeout;
    }
}

impl IntoFuture for UpdateOne {
    type Output = Result<UpdateResult>;
    type IntoFuture = BoxFuture<'static, Result<UpdateResult>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let name = self.collection.name();
            let mut operation = op::Update::one(name, self.filter, self.update, self.options)?;
            let client = self.collection.database().client();
            let route = self.collection.write_route(&self.settings)?;
            let output = execute(client.shared(), &mut operation, &route).await?.output;
            Ok(UpdateResult {
                matched_count: output.matched_count,
                modified_count: output.modified_count,
                upserted_id: output.upserted_id,
            })
        })
    }
}
