//! `update`: changes documents (specification crud "Update").

use bson::raw::cstr;
use bson::{Bson, Document, RawArray, RawDocumentBuf};

use super::builder::{append_document, append_hint, array_of};
use super::{
    BuildError, CommandBuilder, CommandContext, Hint, Operation, OperationKind, ReplyFailure,
    Retryability, reply,
};

/// Changes the first document, or all, that a filter finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    collection: String,
    filter: Document,
    modifications: UpdateModifications,
    multi: bool,
    options: UpdateOptions,
}

/// What an update does to a document.
#[derive(Clone, Debug, PartialEq)]
pub enum UpdateModifications {
    /// Operators such as `$set`.
    Document(Document),
    /// Stages such as `$set` or `$unset`, one after the other.
    Pipeline(Vec<Document>),
}

impl From<Document> for UpdateModifications {
    fn from(document: Document) -> Self {
        Self::Document(document)
    }
}

impl From<Vec<Document>> for UpdateModifications {
    fn from(pipeline: Vec<Document>) -> Self {
        Self::Pipeline(pipeline)
    }
}

/// How documents are changed. What is not set is not sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateOptions {
    /// Whether a document is inserted where the filter finds none.
    pub upsert: Option<bool>,
    /// Which elements of arrays the operators change.
    pub array_filters: Option<Vec<Document>>,
    /// Whether the collection's validation is passed over.
    pub bypass_document_validation: Option<bool>,
    /// Which index is used.
    pub hint: Option<Hint>,
    /// Appears in the server's log and profile.
    pub comment: Option<Bson>,
    /// Variables for the filter and the stages (`let`).
    pub let_vars: Option<Document>,
    /// How texts compare.
    pub collation: Option<Document>,
}

/// What an update did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateOutput {
    /// Documents that the filter found.
    pub matched_count: u64,
    /// Documents that are different now.
    pub modified_count: u64,
    /// The `_id` of the document that was inserted.
    pub upserted_id: Option<Bson>,
}

impl Update {
    /// Changes the first document that the filter finds.
    ///
    /// # Errors
    ///
    /// If the modifications are a replacement or empty: the server would replace the document, or
    /// do nothing.
    pub fn one(
        collection: impl Into<String>,
        filter: Document,
        modifications: impl Into<UpdateModifications>,
        options: UpdateOptions,
    ) -> Result<Self, BuildError> {
        Self::new(collection.into(), filter, modifications.into(), false, options)
    }

    /// Changes all documents that the filter finds; such a write is never retried.
    ///
    /// # Errors
    ///
    /// As [`Update::one`].
    pub fn many(
        collection: impl Into<String>,
        filter: Document,
        modifications: impl Into<UpdateModifications>,
        options: UpdateOptions,
    ) -> Result<Self, BuildError> {
        Self::new(collection.into(), filter, modifications.into(), true, options)
    }

    fn new(
        collection: String,
        filter: Document,
        modifications: UpdateModifications,
        multi: bool,
        options: UpdateOptions,
    ) -> Result<Self, BuildError> {
        modifications.check()?;
        Ok(Self { collection, filter, modifications, multi, options })
    }

    fn statement(&self) -> Result<RawDocumentBuf, BuildError> {
        let options = &self.options;
        let mut statement = RawDocumentBuf::new();
        append_document(&mut statement, cstr!("q"), Some(&self.filter))?;
        match &self.modifications {
            UpdateModifications::Document(document) => {
                append_document(&mut statement, cstr!("u"), Some(document))?;
            }
            UpdateModifications::Pipeline(stages) => {
                statement.append(cstr!("u"), array_of(stages)?);
            }
        }
        if self.multi {
            statement.append(cstr!("multi"), true);
        }
        if let Some(upsert) = options.upsert {
            statement.append(cstr!("upsert"), upsert);
        }
        if let Some(filters) = &options.array_filters {
            statement.append(cstr!("arrayFilters"), array_of(filters)?);
        }
        append_document(&mut statement, cstr!("collation"), options.collation.as_ref())?;
        append_hint(&mut statement, options.hint.as_ref())?;
        Ok(statement)
    }
}

impl UpdateModifications {
    /// crud: "the update document parameter MUST have only atomic modifiers". The first key is
    /// checked here; the server checks the others.
    fn check(&self) -> Result<(), BuildError> {
        let Self::Document(document) = self else { return Ok(()) };
        match document.keys().next() {
            None => Err(BuildError::EmptyUpdate),
            Some(key) if key.starts_with('$') => Ok(()),
            Some(key) => Err(BuildError::ReplacementInUpdate { first_key: key.clone() }),
        }
    }
}

impl Operation for Update {
    type Output = UpdateOutput;

    fn name(&self) -> &str {
        "update"
    }

    fn kind(&self) -> OperationKind {
        OperationKind::Write
    }

    fn retryability(&self) -> Retryability {
        if self.multi { Retryability::None } else { Retryability::Write }
    }

    fn build<'a>(
        &'a self,
        context: &CommandContext<'_>,
        into: &mut CommandBuilder<'a>,
    ) -> Result<(), BuildError> {
        let options = &self.options;
        into.append(cstr!("update"), self.collection.as_str());
        into.append(cstr!("ordered"), true);
        into.optional(cstr!("bypassDocumentValidation"), options.bypass_document_validation);
        into.document(cstr!("let"), options.let_vars.as_ref())?;
        into.bson(cstr!("comment"), options.comment.as_ref())?;
        into.write_concern(context);
        into.sequence(cstr!("updates"), vec![self.statement()?]);
        Ok(())
    }

    fn read(
        &self,
        reply: RawDocumentBuf,
        _: &CommandContext<'_>,
    ) -> Result<Self::Output, ReplyFailure> {
        let fields = reply::check_write(&reply, 0)?;
        let (inserted, upserted_id) = match fields.upserted {
            Some(upserted) => read_upserted(upserted)?,
            None => (0, None),
        };
        Ok(UpdateOutput {
            matched_count: fields.n.saturating_sub(inserted),
            modified_count: fields.n_modified,
            upserted_id,
        })
    }

    fn unacknowledged(&self) -> Option<Self::Output> {
        Some(UpdateOutput::default())
    }
}

/// How many documents were inserted, and the `_id` of the first.
fn read_upserted(upserted: &RawArray) -> Result<(u64, Option<Bson>), ReplyFailure> {
    let mut inserted = 0;
    let mut first = None;
    for entry in upserted {
        let entry = entry.map_err(|error| ReplyFailure::malformed("upserted", error))?;
        inserted += 1;
        if first.is_some() {
            continue;
        }
        let id = entry.as_document().and_then(|entry| entry.get("_id").ok().flatten());
        let id = id.ok_or_else(|| ReplyFailure::malformed("upserted._id", "missing"))?;
        let id = Bson::try_from(id);
        first = Some(id.map_err(|error| ReplyFailure::malformed("upserted._id", error))?);
    }
    Ok((inserted, first))
}

#[cfg(test)]
mod tests {
    use bson::{doc, rawdoc};

    use super::*;
    use crate::engine::op::testing::plain;

    fn set() -> Document {
        doc! { "$set": { "b": 2 } }
    }

    fn update(modifications: impl Into<UpdateModifications>) -> Result<Update, BuildError> {
        Update::one("ports", doc! { "a": 1 }, modifications, UpdateOptions::default())
    }

    #[test]
    fn a_replacement_is_refused_before_anything_is_sent() {
        let error = update(doc! { "b": 2, "$set": {} }).unwrap_err();
        assert_eq!(error, BuildError::ReplacementInUpdate { first_key: "b".into() });
        assert!(error.to_string().contains("\"b\""), "{error}");
        assert_eq!(update(doc! {}).unwrap_err(), BuildError::EmptyUpdate);
        assert!(update(vec![doc! { "$unset": "b" }]).is_ok());
    }

    #[test]
    fn one_is_retried_and_many_are_not() {
        let one = update(set()).unwrap();
        let expected = doc! {
            "update": "ports", "ordered": true, "$db": "harbour",
            "updates": [{ "q": { "a": 1 }, "u": set() }],
        };
        assert_eq!(plain(&one), expected);
        assert_eq!(one.retryability(), Retryability::Write);
        let many = Update::many("ports", doc! {}, set(), UpdateOptions::default()).unwrap();
        let updates = plain(&many).get_array("updates").unwrap().clone();
        assert_eq!(updates, [doc! { "q": {}, "u": set(), "multi": true }.into()]);
        assert_eq!(many.retryability(), Retryability::None);
    }

    #[test]
    fn every_option_has_its_place() {
        let options = UpdateOptions {
            upsert: Some(true),
            array_filters: Some(vec![doc! { "x.y": 1 }]),
            bypass_document_validation: Some(true),
            hint: Some(Hint::Name("a_1".into())),
            comment: Some("why".into()),
            let_vars: Some(doc! { "v": 1 }),
            collation: Some(doc! { "locale": "pt" }),
        };
        let pipeline = vec![doc! { "$set": { "b": "$$v" } }];
        let operation = Update::one("ports", doc! {}, pipeline, options).unwrap();
        let expected = doc! {
            "update": "ports", "ordered": true, "bypassDocumentValidation": true,
            "let": { "v": 1 }, "comment": "why", "$db": "harbour",
            "updates": [{
                "q": {}, "u": [{ "$set": { "b": "$$v" } }], "upsert": true,
                "arrayFilters": [{ "x.y": 1 }], "collation": { "locale": "pt" }, "hint": "a_1",
            }],
        };
        assert_eq!(plain(&operation), expected);
    }

    #[test]
    fn an_upsert_is_no_match() {
        let operation = update(set()).unwrap();
        let context = CommandContext::new("harbour");
        let read = |reply| operation.read(reply, &context);
        let changed = UpdateOutput { matched_count: 1, modified_count: 1, upserted_id: None };
        assert_eq!(read(rawdoc! { "ok": 1, "n": 1, "nModified": 1 }), Ok(changed));
        let reply =
            rawdoc! { "ok": 1, "n": 1, "nModified": 0, "upserted": [{ "index": 0, "_id": "x" }] };
        let inserted = UpdateOutput { upserted_id: Some("x".into()), ..UpdateOutput::default() };
        assert_eq!(read(reply), Ok(inserted));
        let reply = rawdoc! { "ok": 1, "n": 1, "upserted": [{ "index": 0 }] };
        assert!(matches!(read(reply), Err(ReplyFailure::Malformed { .. })));
    }
}
