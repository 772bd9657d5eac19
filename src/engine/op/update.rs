//! `update`: changes documents (specification crud "Update").

use bson::raw::{CStr, cstr};
use bson::{RawArray, RawBson, RawDocument, RawDocumentBuf};

use super::argument::append;
use super::builder::append_hint;
use super::write_options::WriteCommand;
use super::{
    ArrayArgument, BuildError, CommandBuilder, CommandContext, DocumentArgument, Hint, Operation,
    OperationKind, ReplyFailure, Retryability, WriteOptions, reply,
};

/// Changes the first document, or all, that a filter finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The collection.
    pub collection: String,
    /// What is changed.
    pub statement: UpdateStatement,
    /// How.
    pub options: WriteOptions,
}

/// One statement of an `update`.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateStatement {
    filter: DocumentArgument,
    change: Change,
    multi: bool,
    options: UpdateOptions,
}

/// What becomes of a document.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    Modifications(UpdateModifications),
    Replacement(RawDocumentBuf),
}

/// What an update does to a document.
#[derive(Clone, Debug, PartialEq)]
pub enum UpdateModifications {
    /// Operators such as `$set`.
    Document(DocumentArgument),
    /// Stages such as `$set` or `$unset`, one after the other.
    Pipeline(ArrayArgument),
}

impl<D: Into<DocumentArgument>> From<D> for UpdateModifications {
    fn from(document: D) -> Self {
        Self::Document(document.into())
    }
}

impl<D: Into<DocumentArgument>> From<Vec<D>> for UpdateModifications {
    fn from(pipeline: Vec<D>) -> Self {
        Self::Pipeline(pipeline.into())
    }
}

/// How documents are changed. What is not set is not sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateOptions {
    /// Whether a document is inserted where the filter finds none.
    pub upsert: Option<bool>,
    /// Which elements of arrays the operators change.
    pub array_filters: Option<ArrayArgument>,
    /// Which index is used.
    pub hint: Option<Hint>,
    /// How texts compare.
    pub collation: Option<DocumentArgument>,
    /// Which of several documents is the first; not of an update of all. Servers of 8.0 and later.
    pub sort: Option<DocumentArgument>,
}

/// What an update did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateOutput {
    /// Documents that the filter found.
    pub matched_count: u64,
    /// Documents that are different now.
    pub modified_count: u64,
    /// The `_id` of the document that was inserted.
    pub upserted_id: Option<RawBson>,
}

impl UpdateStatement {
    /// Changes the first document that the filter finds.
    ///
    /// # Errors
    ///
    /// If the modifications are a replacement or empty: the server would replace the document, or
    /// do nothing.
    pub fn one(
        filter: DocumentArgument,
        modifications: impl Into<UpdateModifications>,
        options: UpdateOptions,
    ) -> Result<Self, BuildError> {
        let change = Change::modifications(modifications.into())?;
        Ok(Self { filter, change, multi: false, options })
    }

    /// Changes all documents that the filter finds; such a write is never retried.
    ///
    /// # Errors
    ///
    /// As [`UpdateStatement::one`].
    pub fn many(
        filter: DocumentArgument,
        modifications: impl Into<UpdateModifications>,
        options: UpdateOptions,
    ) -> Result<Self, BuildError> {
        let change = Change::modifications(modifications.into())?;
        Ok(Self { filter, change, multi: true, options })
    }

    /// Puts another document in the place of the first that the filter finds.
    ///
    /// # Errors
    ///
    /// If the replacement begins with an operator: the server would apply it.
    pub fn replace(
        filter: DocumentArgument,
        replacement: RawDocumentBuf,
        options: UpdateOptions,
    ) -> Result<Self, BuildError> {
        let change = Change::replacement(replacement)?;
        Ok(Self { filter, change, multi: false, options })
    }

    /// Whether it changes all documents that it finds.
    pub fn is_multi(&self) -> bool {
        self.multi
    }

    pub(super) fn to_raw(&self) -> Result<RawDocumentBuf, BuildError> {
        let options = &self.options;
        let mut statement = RawDocumentBuf::new();
        append(&mut statement, cstr!("q"), Some(&self.filter))?;
        self.change.append(cstr!("u"), &mut statement)?;
        if self.multi {
            statement.append(cstr!("multi"), true);
        }
        if let Some(upsert) = options.upsert {
            statement.append(cstr!("upsert"), upsert);
        }
        append(&mut statement, cstr!("arrayFilters"), options.array_filters.as_ref())?;
        append(&mut statement, cstr!("collation"), options.collation.as_ref())?;
        append_hint(&mut statement, options.hint.as_ref())?;
        append(&mut statement, cstr!("sort"), options.sort.as_ref())?;
        Ok(statement)
    }
}

impl Change {
    /// crud "Update vs. Replace Validation": "the update document parameter MUST have only atomic
    /// modifiers". The first key is checked here; the server checks the others.
    pub(super) fn modifications(modifications: UpdateModifications) -> Result<Self, BuildError> {
        if let UpdateModifications::Document(document) = &modifications {
            match first_key(document.get()?)? {
                None => return Err(BuildError::EmptyUpdate),
                Some(key) if key.starts_with('$') => {}
                Some(key) => {
                    return Err(BuildError::ReplacementInUpdate { first_key: key.to_owned() });
                }
            }
        }
        Ok(Self::Modifications(modifications))
    }

    /// "The replacement document parameter MUST NOT begin with an atomic modifier."
    pub(super) fn replacement(replacement: RawDocumentBuf) -> Result<Self, BuildError> {
        match first_key(&replacement)? {
            Some(key) if key.starts_with('$') => {
                Err(BuildError::OperatorInReplacement { first_key: key.to_owned() })
            }
            _ => Ok(Self::Replacement(replacement)),
        }
    }

    pub(super) fn append(&self, key: &CStr, into: &mut RawDocumentBuf) -> Result<(), BuildError> {
        match self {
            Self::Modifications(UpdateModifications::Document(document)) => {
                append(into, key, Some(document))?;
            }
            Self::Modifications(UpdateModifications::Pipeline(stages)) => {
                append(into, key, Some(stages))?;
            }
            Self::Replacement(document) => into.append(key, document.clone()),
        }
        Ok(())
    }
}

/// The name of a document's first element.
fn first_key(document: &RawDocument) -> Result<Option<&str>, BuildError> {
    Ok(document.iter_elements().next().transpose()?.map(|first| first.key().as_str()))
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
        if self.statement.multi { Retryability::None } else { Retryability::Write }
    }

    fn build<'a>(
        &'a self,
        context: &CommandContext<'_>,
        into: &mut CommandBuilder<'a>,
    ) -> Result<(), BuildError> {
        self.options.build(WriteCommand::Update, &self.collection, context, into)?;
        into.sequence(cstr!("updates"), vec![self.statement.to_raw()?]);
        Ok(())
    }

    fn read(
        &self,
        reply: RawDocumentBuf,
        _: &CommandContext<'_>,
    ) -> Result<Self::Output, ReplyFailure> {
        let fields = reply::check_write(&reply, 0)?;
        let (inserted, upserted_id) = match fields.upserted {
            Some(upserted) => {
                let all = read_upserted(upserted)?;
                (all.len() as u64, all.into_iter().next().map(|(_, id)| id))
            }
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

/// The documents that were inserted: the place of each statement in the command, and the `_id`.
pub(super) fn read_upserted(upserted: &RawArray) -> Result<Vec<(usize, RawBson)>, ReplyFailure> {
    let mut all = Vec::new();
    for entry in upserted {
        let entry = entry.map_err(|error| ReplyFailure::malformed("upserted", error))?;
        let field = |name: &str| {
            let value = entry.as_document().and_then(|entry| entry.get(name).ok().flatten());
            value.ok_or_else(|| ReplyFailure::malformed("upserted", format!("without {name}")))
        };
        let id = RawBson::from(field("_id")?);
        let index = reply::integer(field("index")?).and_then(|index| usize::try_from(index).ok());
        let index = index.ok_or_else(|| ReplyFailure::malformed("upserted.index", "no index"))?;
        all.push((index, id));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use bson::{Document, doc, rawdoc};

    use super::*;
    use crate::engine::op::testing::plain;

    fn set() -> Document {
        doc! { "$set": { "b": 2 } }
    }

    fn update(modifications: impl Into<UpdateModifications>) -> Result<Update, BuildError> {
        let options = UpdateOptions::default();
        UpdateStatement::one(doc! { "a": 1 }.into(), modifications, options).map(of)
    }

    fn of(statement: UpdateStatement) -> Update {
        Update { collection: "ports".into(), statement, options: WriteOptions::default() }
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
    fn a_replacement_may_be_anything_but_an_update() {
        let replace = |replacement| {
            UpdateStatement::replace(doc! { "a": 1 }.into(), replacement, UpdateOptions::default())
        };
        let error = replace(rawdoc! { "$set": {}, "b": 2 }).unwrap_err();
        assert_eq!(error, BuildError::OperatorInReplacement { first_key: "$set".into() });
        assert!(replace(rawdoc! {}).is_ok());
        let replacing = of(replace(rawdoc! { "b": 2 }).unwrap());
        let updates = plain(&replacing).get_array("updates").unwrap().clone();
        assert_eq!(updates, [doc! { "q": { "a": 1 }, "u": { "b": 2 } }.into()]);
        assert_eq!(replacing.retryability(), Retryability::Write);
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
        let many = UpdateStatement::many(doc! {}.into(), set(), UpdateOptions::default()).unwrap();
        let many = of(many);
        let updates = plain(&many).get_array("updates").unwrap().clone();
        assert_eq!(updates, [doc! { "q": {}, "u": set(), "multi": true }.into()]);
        assert_eq!(many.retryability(), Retryability::None);
    }

    #[test]
    fn every_option_has_its_place() {
        let options = UpdateOptions {
            upsert: Some(true),
            array_filters: Some(vec![doc! { "x.y": 1 }].into()),
            hint: Some(Hint::Name("a_1".into())),
            collation: Some(doc! { "locale": "pt" }.into()),
            sort: Some(doc! { "c": -1 }.into()),
        };
        let pipeline = vec![doc! { "$set": { "b": "$$v" } }];
        let mut operation = of(UpdateStatement::one(doc! {}.into(), pipeline, options).unwrap());
        operation.options = WriteOptions {
            bypass_document_validation: Some(true),
            comment: Some("why".into()),
            let_vars: Some(doc! { "v": 1 }.into()),
            ..WriteOptions::default()
        };
        let expected = doc! {
            "update": "ports", "ordered": true, "bypassDocumentValidation": true,
            "let": { "v": 1 }, "comment": "why", "$db": "harbour",
            "updates": [{
                "q": {}, "u": [{ "$set": { "b": "$$v" } }], "upsert": true,
                "arrayFilters": [{ "x.y": 1 }], "collation": { "locale": "pt" }, "hint": "a_1",
                "sort": { "c": -1 },
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
        let inserted = UpdateOutput {
            upserted_id: Some(RawBson::String("x".into())),
            ..UpdateOutput::default()
        };
        assert_eq!(read(reply), Ok(inserted));
        let reply = rawdoc! { "ok": 1, "n": 1, "upserted": [{ "index": 0 }] };
        assert!(matches!(read(reply), Err(ReplyFailure::Malformed { .. })));
    }
}
