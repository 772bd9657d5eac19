//! `findAndModify`: changes one document and gives it, as it was or as it is (specification crud
//! "Find And Modify").

use std::time::Duration;

use bson::raw::cstr;
use bson::{RawBsonRef, RawDocumentBuf};

use super::update::Change;
use super::write_options::check_hint;
use super::{
    ArrayArgument, BuildError, CommandBuilder, CommandContext, DocumentArgument, Hint, Operation,
    OperationKind, ReplyFailure, Retryability, UpdateModifications, ValueArgument, reply,
};

/// Changes, replaces or removes the first document that a filter finds.
#[derive(Clone, Debug, PartialEq)]
pub struct FindAndModify {
    collection: String,
    filter: DocumentArgument,
    /// `None` removes.
    change: Option<Change>,
    options: FindAndModifyOptions,
}

/// How the document is found, changed and given. What is not set is not sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FindAndModifyOptions {
    /// The order in which the first is the first.
    pub sort: Option<DocumentArgument>,
    /// Which fields the document has that is given.
    pub projection: Option<DocumentArgument>,
    /// Which of the two documents is given; by default the one before the change.
    pub return_document: Option<ReturnDocument>,
    /// Whether a document is inserted where the filter finds none.
    pub upsert: Option<bool>,
    /// Which elements of arrays the operators change.
    pub array_filters: Option<ArrayArgument>,
    /// Whether the collection's validation is passed over.
    pub bypass_document_validation: Option<bool>,
    /// Which index is used.
    pub hint: Option<Hint>,
    /// Appears in the server's log and profile.
    pub comment: Option<ValueArgument>,
    /// Variables for the filter and the update (`let`).
    pub let_vars: Option<DocumentArgument>,
    /// How texts compare.
    pub collation: Option<DocumentArgument>,
    /// How long the server may work on it.
    pub max_time: Option<Duration>,
    /// Whether a time series is worked on as it is stored (`rawData`).
    pub raw_data: Option<bool>,
}

/// Which document is given of one that was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReturnDocument {
    /// As it was before.
    #[default]
    Before,
    /// As it is now, also where it was inserted.
    After,
}

impl FindAndModify {
    /// Removes the document.
    pub fn delete(
        collection: impl Into<String>,
        filter: DocumentArgument,
        options: FindAndModifyOptions,
    ) -> Self {
        Self { collection: collection.into(), filter, change: None, options }
    }

    /// Changes the document.
    ///
    /// # Errors
    ///
    /// If the modifications are a replacement or empty.
    pub fn update(
        collection: impl Into<String>,
        filter: DocumentArgument,
        modifications: impl Into<UpdateModifications>,
        options: FindAndModifyOptions,
    ) -> Result<Self, BuildError> {
        let change = Some(Change::modifications(modifications.into())?);
        Ok(Self { collection: collection.into(), filter, change, options })
    }

    /// Puts another document in its place.
    ///
    /// # Errors
    ///
    /// If the replacement begins with an operator.
    pub fn replace(
        collection: impl Into<String>,
        filter: DocumentArgument,
        replacement: RawDocumentBuf,
        options: FindAndModifyOptions,
    ) -> Result<Self, BuildError> {
        let change = Some(Change::replacement(replacement)?);
        Ok(Self { collection: collection.into(), filter, change, options })
    }
}

impl Operation for FindAndModify {
    /// The document; `None` where there was none.
    type Output = Option<RawDocumentBuf>;

    fn name(&self) -> &str {
        "findAndModify"
    }

    fn kind(&self) -> OperationKind {
        OperationKind::Write
    }

    fn retryability(&self) -> Retryability {
        Retryability::Write
    }

    fn build<'a>(
        &'a self,
        context: &CommandContext<'_>,
        into: &mut CommandBuilder<'a>,
    ) -> Result<(), BuildError> {
        let options = &self.options;
        check_hint(options.hint.as_ref(), context)?;
        into.append(cstr!("findAndModify"), self.collection.as_str());
        into.document(cstr!("query"), Some(&self.filter))?;
        match &self.change {
            None => into.append(cstr!("remove"), true),
            Some(change) => change.append(cstr!("update"), into.body_mut())?,
        }
        let after = options.return_document.map(|which| which == ReturnDocument::After);
        into.optional(cstr!("new"), after);
        into.document(cstr!("fields"), options.projection.as_ref())?;
        into.document(cstr!("sort"), options.sort.as_ref())?;
        into.optional(cstr!("upsert"), options.upsert);
        into.array(cstr!("arrayFilters"), options.array_filters.as_ref())?;
        into.optional(cstr!("bypassDocumentValidation"), options.bypass_document_validation);
        into.hint(options.hint.as_ref())?;
        into.document(cstr!("collation"), options.collation.as_ref())?;
        into.document(cstr!("let"), options.let_vars.as_ref())?;
        into.bson(cstr!("comment"), options.comment.as_ref())?;
        into.max_time(options.max_time);
        into.raw_data(options.raw_data, context);
        into.write_concern(context);
        Ok(())
    }

    fn read(
        &self,
        reply: RawDocumentBuf,
        _: &CommandContext<'_>,
    ) -> Result<Self::Output, ReplyFailure> {
        reply::check_write(&reply, 0)?;
        match reply.get("value") {
            Ok(Some(RawBsonRef::Document(document))) => Ok(Some(document.to_owned())),
            Ok(None | Some(RawBsonRef::Null)) => Ok(None),
            Ok(Some(other)) => {
                Err(ReplyFailure::malformed("value", format!("{:?}", other.element_type())))
            }
            Err(error) => Err(ReplyFailure::malformed("value", error)),
        }
    }

    /// Nobody says what was found.
    fn unacknowledged(&self) -> Option<Self::Output> {
        Some(None)
    }
}

#[cfg(test)]
mod tests {
    use bson::{Document, doc, rawdoc};

    use super::*;
    use crate::engine::op::testing::plain;

    fn set() -> Document {
        doc! { "$set": { "b": 2 } }
    }

    #[test]
    fn every_option_has_its_field() {
        let options = FindAndModifyOptions {
            sort: Some(doc! { "a": -1 }.into()),
            projection: Some(doc! { "_id": 0 }.into()),
            return_document: Some(ReturnDocument::After),
            upsert: Some(true),
            array_filters: Some(vec![doc! { "x.y": 1 }].into()),
            bypass_document_validation: Some(true),
            hint: Some(Hint::Name("a_1".into())),
            comment: Some("why".into()),
            let_vars: Some(doc! { "v": 1 }.into()),
            collation: Some(doc! { "locale": "pt" }.into()),
            max_time: Some(Duration::from_millis(20)),
            raw_data: Some(true),
        };
        let operation =
            FindAndModify::update("ports", doc! { "a": 1 }.into(), set(), options).unwrap();
        let expected = doc! {
            "findAndModify": "ports", "query": { "a": 1 }, "update": set(), "new": true,
            "fields": { "_id": 0 }, "sort": { "a": -1 }, "upsert": true,
            "arrayFilters": [{ "x.y": 1 }], "bypassDocumentValidation": true, "hint": "a_1",
            "collation": { "locale": "pt" }, "let": { "v": 1 }, "comment": "why",
            "maxTimeMS": 20_i64, "$db": "harbour",
        };
        assert_eq!(plain(&operation), expected, "rawData is for servers from 8.2 on");
        assert_eq!(operation.retryability(), Retryability::Write);
    }

    #[test]
    fn it_removes_replaces_or_changes() {
        let options = FindAndModifyOptions::default;
        let removing = FindAndModify::delete("ports", doc! {}.into(), options());
        let expected =
            doc! { "findAndModify": "ports", "query": {}, "remove": true, "$db": "harbour" };
        assert_eq!(plain(&removing), expected);
        let replacing =
            FindAndModify::replace("ports", doc! {}.into(), rawdoc! { "b": 2 }, options());
        let update = plain(&replacing.unwrap()).get_document("update").unwrap().clone();
        assert_eq!(update, doc! { "b": 2 });
        assert!(
            FindAndModify::replace("ports", doc! {}.into(), rawdoc! { "$set": 2 }, options())
                .is_err()
        );
        assert!(
            FindAndModify::update("ports", doc! {}.into(), doc! { "b": 2 }, options()).is_err()
        );
    }

    #[test]
    fn the_document_is_given_where_there_is_one() {
        let operation =
            FindAndModify::delete("ports", doc! {}.into(), FindAndModifyOptions::default());
        let context = CommandContext::new("harbour");
        let read = |reply| operation.read(reply, &context);
        let value = rawdoc! { "a": 1 };
        assert_eq!(read(rawdoc! { "ok": 1, "value": value.clone() }), Ok(Some(value)));
        assert_eq!(read(rawdoc! { "ok": 1, "value": null }), Ok(None));
        assert!(matches!(
            read(rawdoc! { "ok": 1, "value": 5 }),
            Err(ReplyFailure::Malformed { .. })
        ));
        let concern = rawdoc! { "ok": 1, "value": null, "writeConcernError": { "code": 64 } };
        assert!(matches!(read(concern), Err(ReplyFailure::Write(_))));
    }
}
