//! `delete`: removes documents (specification crud "Delete").

use bson::RawDocumentBuf;
use bson::raw::cstr;

use super::argument::append;
use super::builder::append_hint;
use super::write_options::{WriteCommand, check_hint};
use super::{
    BuildError, CommandBuilder, CommandContext, DocumentArgument, Hint, Operation, OperationKind,
    ReplyFailure, Retryability, WriteOptions, reply,
};

/// Removes the first document, or all, that a filter finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    /// The collection.
    pub collection: String,
    /// Which documents.
    pub statement: DeleteStatement,
    /// How.
    pub options: WriteOptions,
}

/// One statement of a `delete`.
#[derive(Clone, Debug, PartialEq)]
pub struct DeleteStatement {
    /// Which documents.
    pub filter: DocumentArgument,
    /// Whether all of them; only one document is a write that can be retried.
    pub multi: bool,
    /// How.
    pub options: DeleteOptions,
}

/// How documents are found that are removed. What is not set is not sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeleteOptions {
    /// Which index is used.
    pub hint: Option<Hint>,
    /// How texts compare.
    pub collation: Option<DocumentArgument>,
}

/// What a delete did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteOutput {
    /// Documents that were removed.
    pub deleted_count: u64,
}

impl DeleteStatement {
    pub(super) fn to_raw(&self) -> Result<RawDocumentBuf, BuildError> {
        let mut statement = RawDocumentBuf::new();
        append(&mut statement, cstr!("q"), Some(&self.filter))?;
        statement.append(cstr!("limit"), i32::from(!self.multi));
        append(&mut statement, cstr!("collation"), self.options.collation.as_ref())?;
        append_hint(&mut statement, self.options.hint.as_ref())?;
        Ok(statement)
    }
}

impl Operation for Delete {
    type Output = DeleteOutput;

    fn name(&self) -> &str {
        "delete"
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
        check_hint(self.statement.options.hint.as_ref(), context)?;
        self.options.build(WriteCommand::Delete, &self.collection, context, into)?;
        into.sequence(cstr!("deletes"), vec![self.statement.to_raw()?]);
        Ok(())
    }

    fn read(
        &self,
        reply: RawDocumentBuf,
        _: &CommandContext<'_>,
    ) -> Result<Self::Output, ReplyFailure> {
        let fields = reply::check_write(&reply, 0)?;
        Ok(DeleteOutput { deleted_count: fields.n })
    }

    fn unacknowledged(&self) -> Option<Self::Output> {
        Some(DeleteOutput::default())
    }
}

#[cfg(test)]
mod tests {
    use bson::{doc, rawdoc};

    use super::*;
    use crate::engine::op::testing::{command, plain};

    fn delete(multi: bool) -> Delete {
        let statement = DeleteStatement {
            filter: doc! { "a": 1 }.into(),
            multi,
            options: DeleteOptions::default(),
        };
        Delete { collection: "ports".into(), statement, options: WriteOptions::default() }
    }

    #[test]
    fn one_is_retried_and_many_are_not() {
        for (multi, limit, retry) in
            [(false, 1, Retryability::Write), (true, 0, Retryability::None)]
        {
            let expected = doc! {
                "delete": "ports", "ordered": true, "$db": "harbour",
                "deletes": [{ "q": { "a": 1 }, "limit": limit }],
            };
            assert_eq!(plain(&delete(multi)), expected);
            assert_eq!(delete(multi).retryability(), retry);
        }
    }

    #[test]
    fn every_option_has_its_place() {
        let mut operation = delete(false);
        operation.statement.options = DeleteOptions {
            hint: Some(doc! { "a": 1 }.into()),
            collation: Some(doc! { "locale": "pt" }.into()),
        };
        operation.options = WriteOptions {
            comment: Some("why".into()),
            let_vars: Some(doc! { "v": 1 }.into()),
            bypass_document_validation: Some(true),
            ..WriteOptions::default()
        };
        let concern = rawdoc! { "w": 2 };
        let context = CommandContext {
            write_concern: Some(&concern),
            txn_number: Some(4),
            ..CommandContext::new("harbour")
        };
        let expected = doc! {
            "delete": "ports", "ordered": true, "let": { "v": 1 }, "comment": "why",
            "writeConcern": { "w": 2 }, "txnNumber": 4_i64, "$db": "harbour",
            "deletes": [{
                "q": { "a": 1 }, "limit": 1, "collation": { "locale": "pt" }, "hint": { "a": 1 },
            }],
        };
        assert_eq!(command(&operation, &context).unwrap(), expected);
    }

    #[test]
    fn the_reply_counts_or_fails() {
        let context = CommandContext::new("harbour");
        let output = delete(true).read(rawdoc! { "ok": 1, "n": 3 }, &context);
        assert_eq!(output, Ok(DeleteOutput { deleted_count: 3 }));
        let errors = rawdoc! { "ok": 1, "writeErrors": [{ "index": 0, "code": 2 }] };
        assert!(matches!(delete(true).read(errors, &context), Err(ReplyFailure::Write(_))));
    }
}
