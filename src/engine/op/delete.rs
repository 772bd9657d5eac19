//! `delete`: removes documents (specification crud "Delete").

use bson::raw::cstr;
use bson::{Bson, Document, RawDocumentBuf};

use super::builder::{append_document, append_hint};
use super::{
    BuildError, CommandBuilder, CommandContext, Hint, Operation, OperationKind, ReplyFailure,
    Retryability, reply,
};

/// Removes the first document, or all, that a filter finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    /// The collection.
    pub collection: String,
    /// Which documents.
    pub filter: Document,
    /// Whether all of them; only one document is a write that can be retried.
    pub multi: bool,
    /// How.
    pub options: DeleteOptions,
}

/// How documents are removed. What is not set is not sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeleteOptions {
    /// Which index is used.
    pub hint: Option<Hint>,
    /// Appears in the server's log and profile.
    pub comment: Option<Bson>,
    /// Variables for the filter (`let`).
    pub let_vars: Option<Document>,
    /// How texts compare.
    pub collation: Option<Document>,
}

/// What a delete did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeleteOutput {
    /// Documents that were removed.
    pub deleted_count: u64,
}

impl Delete {
    fn statement(&self) -> Result<RawDocumentBuf, BuildError> {
        let mut statement = RawDocumentBuf::new();
        append_document(&mut statement, cstr!("q"), Some(&self.filter))?;
        statement.append(cstr!("limit"), i32::from(!self.multi));
        append_document(&mut statement, cstr!("collation"), self.options.collation.as_ref())?;
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
        if self.multi { Retryability::None } else { Retryability::Write }
    }

    fn build<'a>(
        &'a self,
        context: &CommandContext<'_>,
        into: &mut CommandBuilder<'a>,
    ) -> Result<(), BuildError> {
        into.append(cstr!("delete"), self.collection.as_str());
        into.append(cstr!("ordered"), true);
        into.document(cstr!("let"), self.options.let_vars.as_ref())?;
        into.bson(cstr!("comment"), self.options.comment.as_ref())?;
        into.write_concern(context);
        into.sequence(cstr!("deletes"), vec![self.statement()?]);
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
        Delete {
            collection: "ports".into(),
            filter: doc! { "a": 1 },
            multi,
            options: DeleteOptions::default(),
        }
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
        let operation = Delete {
            options: DeleteOptions {
                hint: Some(Hint::Keys(doc! { "a": 1 })),
                comment: Some("why".into()),
                let_vars: Some(doc! { "v": 1 }),
                collation: Some(doc! { "locale": "pt" }),
            },
            ..delete(false)
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
