//! Changing and replacing documents.

use std::time::Duration;

use bson::{Bson, RawDocumentBuf};

use super::Collection;
use crate::client_session::ClientSession;
use crate::driver::execute::execute;
use crate::engine::op::{
    self, ArrayArgument, DocumentArgument, Hint, UpdateModifications, UpdateOptions, UpdateOutput,
    UpdateStatement, ValueArgument, WriteOptions,
};
use crate::error::{Error, Result};
use crate::options::WriteConcern;
use crate::settings::{Settings, awaited, setters};

/// What [`UpdateOne`], [`UpdateMany`] or [`ReplaceOne`] did.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateResult {
    /// Documents that the filter found.
    pub matched_count: u64,
    /// Documents that are different now.
    pub modified_count: u64,
    /// The `_id` of the document that was inserted, where the filter found none.
    pub upserted_id: Option<Bson>,
}

/// What the three have in common.
#[derive(Clone, Debug)]
struct Parts<U> {
    collection: Collection<()>,
    filter: DocumentArgument,
    update: U,
    options: UpdateOptions,
    command: WriteOptions,
    settings: Settings,
}

impl<U> Parts<U> {
    fn new(collection: Collection<()>, filter: DocumentArgument, update: U) -> Self {
        let (options, command) = (UpdateOptions::default(), WriteOptions::default());
        Self { collection, filter, update, options, command, settings: Settings::default() }
    }
}

macro_rules! update {
    ($(#[$doc:meta])* $name:ident, $update:ty, $method:ident, { $($own:tt)* }) => {
        $(#[$doc])*
        #[must_use = "nothing is sent until it is awaited"]
        #[derive(Clone, Debug)]
        pub struct $name(Parts<$update>);

        impl $name {
            pub(super) fn new(
                collection: Collection<()>,
                filter: DocumentArgument,
                update: $update,
            ) -> Self {
                Self(Parts::new(collection, filter, update))
            }

            setters! {
                /// Whether a document is inserted where the filter finds none.
                upsert: bool => 0.options.upsert;
                $($own)*
                /// Whether the collection's validation is passed over.
                bypass_document_validation: bool => 0.command.bypass_document_validation;
                /// Which index is used.
                hint: Hint => 0.options.hint;
                /// Appears in the server's log and profile.
                comment: ValueArgument => 0.command.comment;
                /// Variables for expressions in the filter and the update (`let`).
                let_vars: DocumentArgument => 0.command.let_vars;
                /// Rules for comparing texts.
                collation: DocumentArgument => 0.options.collation;
                /// How safe the write must be; by default the collection's write concern.
                write_concern: WriteConcern => 0.settings.write_concern;
                /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
                timeout: Duration => 0.settings.timeout;
                /// The session that it belongs to.
                session: ClientSession => 0.settings.session;
                #[doc(hidden)]
                raw_data: bool => 0.command.raw_data;
            }

            async fn run(self) -> Result<UpdateResult> {
                let UpdateOutput { matched_count, modified_count, upserted_id } = self.raw().await?;
                let upserted_id = upserted_id.map(Bson::try_from).transpose();
                let upserted_id = upserted_id.map_err(Error::bson)?;
                Ok(UpdateResult { matched_count, modified_count, upserted_id })
            }

            /// Runs it; the id in the bytes of the answer.
            ///
            /// # Errors
            ///
            /// As by `.await`.
            pub async fn raw(self) -> Result<UpdateOutput> {
                let Parts { collection, filter, update, options, command, settings } = self.0;
                let statement = UpdateStatement::$method(filter, update.given()?, options)?;
                run(&collection, statement, command, &settings).await
            }
        }

        awaited!($name => UpdateResult);
    };
}

update! {
    /// The change of one document; `.await` runs it.
    UpdateOne, UpdateModifications, one, {
        /// Which elements of arrays are changed.
        array_filters: ArrayArgument => 0.options.array_filters;
        /// The order in which the first is the first; servers of 8.0 and later.
        sort: DocumentArgument => 0.options.sort;
    }
}

update! {
    /// The change of all documents that a filter finds; `.await` runs it. It is never tried again.
    UpdateMany, UpdateModifications, many, {
        /// Which elements of arrays are changed.
        array_filters: ArrayArgument => 0.options.array_filters;
    }
}

update! {
    /// The replacement of one document; `.await` runs it.
    ReplaceOne, Result<RawDocumentBuf>, replace, {
        /// The order in which the first is the first; servers of 8.0 and later.
        sort: DocumentArgument => 0.options.sort;
    }
}

/// An update may be a document that could not be written.
trait Given {
    type Update;
    fn given(self) -> Result<Self::Update>;
}

impl Given for UpdateModifications {
    type Update = Self;

    fn given(self) -> Result<Self> {
        Ok(self)
    }
}

impl Given for Result<RawDocumentBuf> {
    type Update = RawDocumentBuf;

    fn given(self) -> Self {
        self
    }
}

async fn run(
    collection: &Collection<()>,
    statement: UpdateStatement,
    options: WriteOptions,
    settings: &Settings,
) -> Result<UpdateOutput> {
    let name = collection.name().to_owned();
    let mut operation = op::Update { collection: name, statement, options };
    let client = collection.database().client();
    let route = collection.write_route(settings)?;
    Ok(execute(client.shared(), &mut operation, &route).await?.output)
}
