//! Changing one document and getting it.

use std::time::Duration;

use bson::RawDocumentBuf;
use serde::de::DeserializeOwned;

use super::Collection;
use crate::client_session::ClientSession;
use crate::cursor::decode;
use crate::driver::execute::execute;
use crate::engine::op::{
    ArrayArgument, DocumentArgument, FindAndModify, FindAndModifyOptions, Hint, ReturnDocument,
    UpdateModifications, ValueArgument,
};
use crate::error::Result;
use crate::options::WriteConcern;
use crate::settings::{Settings, awaited, setters};
use crate::transport::MaybeSend;

/// What the three have in common.
#[derive(Clone, Debug)]
struct Parts<T> {
    collection: Collection<T>,
    filter: DocumentArgument,
    options: FindAndModifyOptions,
    settings: Settings,
}

impl<T> Parts<T> {
    fn new(collection: Collection<T>, filter: DocumentArgument) -> Self {
        let (options, settings) = (FindAndModifyOptions::default(), Settings::default());
        Self { collection, filter, options, settings }
    }
}

macro_rules! find_and_modify {
    ($(#[$doc:meta])* $name:ident, { $($field:ident: $type:ty)? }, { $($own:tt)* }) => {
        $(#[$doc])*
        #[must_use = "nothing is sent until it is awaited"]
        #[derive(Clone, Debug)]
        pub struct $name<T> {
            parts: Parts<T>,
            $($field: $type,)?
        }

        impl<T> $name<T> {
            pub(super) fn new(
                collection: Collection<T>,
                filter: DocumentArgument,
                $($field: $type,)?
            ) -> Self {
                Self { parts: Parts::new(collection, filter), $($field,)? }
            }

            setters! {
                /// The order in which the first is the first.
                sort: DocumentArgument => parts.options.sort;
                /// Which fields the result has.
                projection: DocumentArgument => parts.options.projection;
                $($own)*
                /// Which index is used.
                hint: Hint => parts.options.hint;
                /// Appears in the server's log and profile.
                comment: ValueArgument => parts.options.comment;
                /// Variables for expressions in the filter and the update (`let`).
                let_vars: DocumentArgument => parts.options.let_vars;
                /// Rules for comparing texts.
                collation: DocumentArgument => parts.options.collation;
                /// How long the server may work on it. Deprecated: `timeout` overrides it.
                max_time: Duration => parts.options.max_time;
                /// How safe the write must be; by default the collection's write concern.
                write_concern: WriteConcern => parts.settings.write_concern;
                /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
                timeout: Duration => parts.settings.timeout;
                /// The session that it belongs to.
                session: ClientSession => parts.settings.session;
                #[doc(hidden)]
                raw_data: bool => parts.options.raw_data;
            }
        }

        impl<T> $name<T> {
            /// Runs it; the document's own bytes, read by nobody.
            ///
            /// # Errors
            ///
            /// As by `.await`, but for what only reading finds.
            pub async fn raw(self) -> Result<Option<RawDocumentBuf>> {
                let (collection, operation, settings) = self.operation()?;
                run(&collection, operation, &settings).await
            }
        }

        impl<T: DeserializeOwned> $name<T> {
            async fn run(self) -> Result<Option<T>> {
                self.raw().await?.map(|document| decode(&document)).transpose()
            }
        }

        awaited!(for<T: DeserializeOwned + MaybeSend + 'static> $name<T> => Option<T>);
    };
}

find_and_modify! {
    /// The removal of one document, which is given; `.await` runs it.
    FindOneAndDelete, {}, {}
}

find_and_modify! {
    /// The change of one document, which is given as it was before, or as it is; `.await` runs it.
    FindOneAndUpdate, { update: UpdateModifications }, {
        /// Which of the two documents is given; by default the one before the change.
        return_document: ReturnDocument => parts.options.return_document;
        /// Whether a document is inserted where the filter finds none.
        upsert: bool => parts.options.upsert;
        /// Which elements of arrays are changed.
        array_filters: ArrayArgument => parts.options.array_filters;
        /// Whether the collection's validation is passed over.
        bypass_document_validation: bool => parts.options.bypass_document_validation;
    }
}

find_and_modify! {
    /// The replacement of one document, which is given as it was before, or as it is; `.await` runs
    /// it.
    FindOneAndReplace, { replacement: Result<RawDocumentBuf> }, {
        /// Which of the two documents is given; by default the one before the change.
        return_document: ReturnDocument => parts.options.return_document;
        /// Whether a document is inserted where the filter finds none.
        upsert: bool => parts.options.upsert;
        /// Whether the collection's validation is passed over.
        bypass_document_validation: bool => parts.options.bypass_document_validation;
    }
}

impl<T> FindOneAndDelete<T> {
    fn operation(self) -> Result<(Collection<T>, FindAndModify, Settings)> {
        let Parts { collection, filter, options, settings } = self.parts;
        let operation = FindAndModify::delete(collection.name(), filter, options);
        Ok((collection, operation, settings))
    }
}

impl<T> FindOneAndUpdate<T> {
    fn operation(self) -> Result<(Collection<T>, FindAndModify, Settings)> {
        let Parts { collection, filter, options, settings } = self.parts;
        let operation = FindAndModify::update(collection.name(), filter, self.update, options)?;
        Ok((collection, operation, settings))
    }
}

impl<T> FindOneAndReplace<T> {
    fn operation(self) -> Result<(Collection<T>, FindAndModify, Settings)> {
        let Parts { collection, filter, options, settings } = self.parts;
        let replacement = self.replacement?;
        let operation = FindAndModify::replace(collection.name(), filter, replacement, options)?;
        Ok((collection, operation, settings))
    }
}

async fn run<T>(
    collection: &Collection<T>,
    mut operation: FindAndModify,
    settings: &Settings,
) -> Result<Option<RawDocumentBuf>> {
    let client = collection.database().client();
    let route = collection.write_route(settings)?;
    Ok(execute(client.shared(), &mut operation, &route).await?.output)
}
