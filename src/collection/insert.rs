//! Inserting documents.

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Bson, RawDocumentBuf};

use super::{Collection, WriteSettings, setters};
use crate::driver::execute::execute_in;
use crate::engine::op::{Insert, InsertOptions, WriteFailure};
use crate::error::{Error, ErrorKind, Result};
use crate::options::WriteConcern;
use crate::transport::BoxFuture;

/// What [`InsertOne`] did.
#[derive(Clone, Debug, PartialEq)]
pub struct InsertOneResult {
    /// The `_id` of the new document.
    pub inserted_id: Bson,
}

/// What [`InsertMany`] did.
#[derive(Clone, Debug, PartialEq)]
pub struct InsertManyResult {
    /// The `_id` of each new document, by its place among those given.
    pub inserted_ids: BTreeMap<usize, Bson>,
}

/// The insertion of one document; `.await` runs it.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct InsertOne(InsertMany);

impl InsertOne {
    pub(super) fn new(collection: Collection<()>, document: Result<RawDocumentBuf>) -> Self {
        Self(InsertMany::new(collection, vec![document]))
    }

    setters! {
        /// How safe the write must be; by default the collection's write concern.
        write_concern: WriteConcern => 0.settings.write_concern;
        /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
        timeout: Duration => 0.settings.timeout;
        /// Whether the collection's validation is passed over.
        bypass_document_validation: bool => 0.options.bypass_document_validation;
        /// Appears in the server's log and profile.
        comment: Bson => 0.options.comment;
    }
}

impl IntoFuture for InsertOne {
    type Output = Result<InsertOneResult>;
    type IntoFuture = BoxFuture<'static, Result<InsertOneResult>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut inserted = self.0.run().await?.inserted_ids;
            let id = inserted.pop_first().map(|(_, id)| id);
            Ok(InsertOneResult { inserted_id: id.unwrap_or(Bson::Null) })
        })
    }
}

/// The insertion of many documents; `.await` runs it.
#[must_use = "nothing is sent until it is awaited"]
#[derive(Clone, Debug)]
pub struct InsertMany {
    collection: Collection<()>,
    documents: Vec<Result<RawDocumentBuf>>,
    options: InsertOptions,
    settings: WriteSettings,
}

impl InsertMany {
    pub(super) fn new(collection: Collection<()>, documents: Vec<Result<RawDocumentBuf>>) -> Self {
        let (options, settings) = (InsertOptions::default(), WriteSettings::default());
        Self { collection, documents, options, settings }
    }

    /// Whether the first failure stops the rest; by default it does.
    pub fn ordered(mut self, ordered: bool) -> Self {
        self.options.ordered = ordered;
        self
    }

    setters! {
        /// How safe the writes must be; by default the collection's write concern.
        write_concern: WriteConcern => settings.write_concern;
        /// How long it may take as a whole (`timeoutMS`); zero for as long as it likes.
        timeout: Duration => settings.timeout;
        /// Whether the collection's validation is passed over.
        bypass_document_validation: bool => options.bypass_document_validation;
        /// Appears in the server's log and profile.
        comment: Bson => options.comment;
    }

    async fn run(self) -> Result<InsertManyResult> {
        let documents = self.documents.into_iter().collect::<Result<Vec<_>>>()?;
        let name = self.collection.name();
        let mut insert = Insert::new(name, documents, self.options, ObjectId::new)?;
        let client = self.collection.database().client();
        let route = self.collection.write_route(&self.settings)?;
        let mut session = None;
        let mut failed: Option<WriteFailure> = None;
        loop {
            match execute_in(client.shared(), &mut insert, &route, session.take()).await {
                Ok(executed) => session = executed.session,
                Err(error) => {
                    // What failed in the middle of an unordered insert is told at its end.
                    let ErrorKind::Write(failure) = error.kind() else { return Err(error) };
                    let failure = WriteFailure::clone(failure);
                    let all = match failed.take() {
                        Some(earlier) => earlier.merge(failure),
                        None => failure,
                    };
                    if insert.is_ordered() {
                        return Err(Error::of_writes(all));
                    }
                    failed = Some(all);
                }
            }
            if !insert.advance() {
                break;
            }
        }
        match failed {
            Some(failure) => Err(Error::of_writes(failure)),
            None => Ok(InsertManyResult { inserted_ids: insert.inserted_ids(None) }),
        }
    }
}

impl IntoFuture for InsertMany {
    type Output = Result<InsertManyResult>;
    type IntoFuture = BoxFuture<'static, Result<InsertManyResult>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
