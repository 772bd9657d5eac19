//! The writes of a bulk write, one by one (crud "WriteModel").

use bson::RawDocumentBuf;
use serde::Serialize;

use crate::engine::op::{
    ArrayArgument, DeleteOptions, DeleteStatement, DocumentArgument, Hint, Statement,
    UpdateModifications, UpdateOptions, UpdateStatement,
};
use crate::error::{Error, Result};
use crate::settings::setters;

/// One write of a [`bulk_write`](super::Collection::bulk_write).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WriteModel {
    /// Inserts one document.
    InsertOne(InsertOneModel),
    /// Changes one document.
    UpdateOne(UpdateOneModel),
    /// Changes all documents that are found.
    UpdateMany(UpdateManyModel),
    /// Replaces one document.
    ReplaceOne(ReplaceOneModel),
    /// Removes one document.
    DeleteOne(DeleteOneModel),
    /// Removes all documents that are found.
    DeleteMany(DeleteManyModel),
}

/// The insertion of one document; without `_id` it gets a new ObjectId.
#[derive(Clone, Debug)]
pub struct InsertOneModel {
    document: Result<RawDocumentBuf>,
}

/// The change of the first document that a filter finds.
#[derive(Clone, Debug)]
pub struct UpdateOneModel {
    filter: DocumentArgument,
    update: UpdateModifications,
    options: UpdateOptions,
}

/// The change of all documents that a filter finds.
#[derive(Clone, Debug)]
pub struct UpdateManyModel {
    filter: DocumentArgument,
    update: UpdateModifications,
    options: UpdateOptions,
}

/// The replacement of the first document that a filter finds.
#[derive(Clone, Debug)]
pub struct ReplaceOneModel {
    filter: DocumentArgument,
    replacement: Result<RawDocumentBuf>,
    options: UpdateOptions,
}

/// The removal of the first document that a filter finds.
#[derive(Clone, Debug)]
pub struct DeleteOneModel {
    filter: DocumentArgument,
    options: DeleteOptions,
}

/// The removal of all documents that a filter finds.
#[derive(Clone, Debug)]
pub struct DeleteManyModel {
    filter: DocumentArgument,
    options: DeleteOptions,
}

impl WriteModel {
    pub(super) fn into_statement(self) -> Result<Statement> {
        Ok(match self {
            Self::InsertOne(InsertOneModel { document }) => Statement::Insert(document?),
            Self::UpdateOne(UpdateOneModel { filter, update, options }) => {
                Statement::Update(Box::new(UpdateStatement::one(filter, update, options)?))
            }
            Self::UpdateMany(UpdateManyModel { filter, update, options }) => {
                Statement::Update(Box::new(UpdateStatement::many(filter, update, options)?))
            }
            Self::ReplaceOne(ReplaceOneModel { filter, replacement, options }) => {
                Statement::Update(Box::new(UpdateStatement::replace(
                    filter,
                    replacement?,
                    options,
                )?))
            }
            Self::DeleteOne(DeleteOneModel { filter, options }) => {
                Statement::Delete(Box::new(DeleteStatement { filter, multi: false, options }))
            }
            Self::DeleteMany(DeleteManyModel { filter, options }) => {
                Statement::Delete(Box::new(DeleteStatement { filter, multi: true, options }))
            }
        })
    }
}

macro_rules! into_write_model {
    ($($variant:ident($model:ident),)*) => {
        $(impl From<$model> for WriteModel {
            fn from(model: $model) -> Self {
                Self::$variant(model)
            }
        })*
    };
}

into_write_model! {
    InsertOne(InsertOneModel),
    UpdateOne(UpdateOneModel),
    UpdateMany(UpdateManyModel),
    ReplaceOne(ReplaceOneModel),
    DeleteOne(DeleteOneModel),
    DeleteMany(DeleteManyModel),
}

fn serialized(document: impl Serialize) -> Result<RawDocumentBuf> {
    bson::serialize_to_raw_document_buf(&document).map_err(Error::bson)
}

impl InsertOneModel {
    /// Inserts `document`.
    pub fn new(document: impl Serialize) -> Self {
        Self { document: serialized(document) }
    }
}

impl UpdateOneModel {
    /// Applies `update` to the first document that `filter` finds.
    pub fn new(
        filter: impl Into<DocumentArgument>,
        update: impl Into<UpdateModifications>,
    ) -> Self {
        Self { filter: filter.into(), update: update.into(), options: UpdateOptions::default() }
    }

    setters! {
        /// Whether a document is inserted where the filter finds none.
        upsert: bool => options.upsert;
        /// Which elements of arrays are changed.
        array_filters: ArrayArgument => options.array_filters;
        /// Which index is used.
        hint: Hint => options.hint;
        /// Rules for comparing texts.
        collation: DocumentArgument => options.collation;
        /// The order in which the first is the first; servers of 8.0 and later.
        sort: DocumentArgument => options.sort;
    }
}

impl UpdateManyModel {
    /// Applies `update` to all documents that `filter` finds.
    pub fn new(
        filter: impl Into<DocumentArgument>,
        update: impl Into<UpdateModifications>,
    ) -> Self {
        Self { filter: filter.into(), update: update.into(), options: UpdateOptions::default() }
    }

    setters! {
        /// Whether a document is inserted where the filter finds none.
        upsert: bool => options.upsert;
        /// Which elements of arrays are changed.
        array_filters: ArrayArgument => options.array_filters;
        /// Which index is used.
        hint: Hint => options.hint;
        /// Rules for comparing texts.
        collation: DocumentArgument => options.collation;
    }
}

impl ReplaceOneModel {
    /// Puts `replacement` in the place of the first document that `filter` finds.
    pub fn new(filter: impl Into<DocumentArgument>, replacement: impl Serialize) -> Self {
        let replacement = serialized(replacement);
        Self { filter: filter.into(), replacement, options: UpdateOptions::default() }
    }

    setters! {
        /// Whether the replacement is inserted where the filter finds none.
        upsert: bool => options.upsert;
        /// Which index is used.
        hint: Hint => options.hint;
        /// Rules for comparing texts.
        collation: DocumentArgument => options.collation;
        /// The order in which the first is the first; servers of 8.0 and later.
        sort: DocumentArgument => options.sort;
    }
}

impl DeleteOneModel {
    /// Removes the first document that `filter` finds.
    pub fn new(filter: impl Into<DocumentArgument>) -> Self {
        Self { filter: filter.into(), options: DeleteOptions::default() }
    }

    setters! {
        /// Which index is used.
        hint: Hint => options.hint;
        /// Rules for comparing texts.
        collation: DocumentArgument => options.collation;
    }
}

impl DeleteManyModel {
    /// Removes all documents that `filter` finds.
    pub fn new(filter: impl Into<DocumentArgument>) -> Self {
        Self { filter: filter.into(), options: DeleteOptions::default() }
    }

    setters! {
        /// Which index is used.
        hint: Hint => options.hint;
        /// Rules for comparing texts.
        collation: DocumentArgument => options.collation;
    }
}
