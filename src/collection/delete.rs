//! Removing documents.

use std::time::Duration;

use super::Collection;
use crate::client_session::ClientSession;
use crate::driver::execute::execute;
use crate::engine::op::{
    self, DeleteOptions, DeleteStatement, DocumentArgument, Hint, ValueArgument, WriteOptions,
};
use crate::error::Result;
use crate::options::WriteConcern;
use crate::settings::{Settings, awaited, setters};

/// What [`DeleteOne`] or [`DeleteMany`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteResult {
    /// Documents that were removed.
    pub deleted_count: u64,
}

macro_rules! delete {
    ($(#[$doc:meta])* $name:ident, $multi:literal) => {
        $(#[$doc])*
        #[must_use = "nothing is sent until it is awaited"]
        #[derive(Clone, Debug)]
        pub struct $name {
            collection: Collection<()>,
            filter: DocumentArgument,
            options: DeleteOptions,
            command: WriteOptions,
            settings: Settings,
        }

        impl $name {
            pub(super) fn new(collection: Collection<()>, filter: DocumentArgument) -> Self {
                let (options, command) = (DeleteOptions::default(), WriteOptions::default());
                Self { collection, filter, options, command, settings: Settings::default() }
            }

            setters! {
                /// Which index is used.
                hint: Hint => options.hint;
                /// Appears in the server's log and profile.
                comment: ValueArgument => command.comment;
                /// Variables for expressions in the filter (`let`).
                let_vars: DocumentArgument => command.let_vars;
                /// Rules for comparing texts.
                collation: DocumentArgument => options.collation;
                /// How safe the write must be; by default the collection's write concern.
                write_concern: WriteConcern => settings.write_concern;
                /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
                timeout: Duration => settings.timeout;
                /// The session that it belongs to.
                session: ClientSession => settings.session;
                #[doc(hidden)]
                raw_data: bool => command.raw_data;
            }

            async fn run(self) -> Result<DeleteResult> {
                let (filter, options) = (self.filter, self.options);
                let statement = DeleteStatement { filter, multi: $multi, options };
                run(&self.collection, statement, self.command, &self.settings).await
            }
        }

        awaited!($name => DeleteResult);
    };
}

delete! {
    /// The removal of one document; `.await` runs it.
    DeleteOne, false
}

delete! {
    /// The removal of all documents that a filter finds; `.await` runs it. It is never tried again.
    DeleteMany, true
}

async fn run(
    collection: &Collection<()>,
    statement: DeleteStatement,
    options: WriteOptions,
    settings: &Settings,
) -> Result<DeleteResult> {
    let name = collection.name().to_owned();
    let mut operation = op::Delete { collection: name, statement, options };
    let client = collection.database().client();
    let route = collection.write_route(settings)?;
    let output = execute(client.shared(), &mut operation, &route).await?.output;
    Ok(DeleteResult { deleted_count: output.deleted_count })
}
