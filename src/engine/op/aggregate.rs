//! `aggregate`: a pipeline (specification crud "Aggregate").

use std::time::Duration;

use bson::raw::cstr;
use bson::{RawBsonRef, RawDocumentBuf};

use super::{
    ArrayArgument, BuildError, CommandBuilder, CommandContext, CursorReply, DocumentArgument, Hint,
    Operation, OperationKind, ReplyFailure, Retryability, ValueArgument,
};

/// A pipeline over a collection, or over a database.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The collection; none: the database.
    pub collection: Option<String>,
    /// The stages.
    pub pipeline: ArrayArgument,
    /// How.
    pub options: AggregateOptions,
}

/// How a pipeline runs. What is not set is not sent: the server's default applies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AggregateOptions {
    /// Documents of one batch.
    pub batch_size: Option<u32>,
    /// Which index the first stage uses.
    pub hint: Option<Hint>,
    /// Appears in the server's log and profile.
    pub comment: Option<ValueArgument>,
    /// Variables for the stages (`let`).
    pub let_vars: Option<DocumentArgument>,
    /// How texts compare.
    pub collation: Option<DocumentArgument>,
    /// How long the server may work on it.
    pub max_time: Option<Duration>,
    /// Whether stages may use the disk.
    pub allow_disk_use: Option<bool>,
    /// Whether a writing stage passes over the target's validation.
    pub bypass_document_validation: Option<bool>,
    /// Whether a time series is read as it is stored (`rawData`).
    pub raw_data: Option<bool>,
}

impl Aggregate {
    /// Whether the pipeline writes: its last stage is `$out` or `$merge`.
    pub fn writes(&self) -> bool {
        let Ok(stages) = self.pipeline.get() else { return false };
        let Some(Ok(RawBsonRef::Document(stage))) = stages.into_iter().last() else { return false };
        let Some(Ok(first)) = stage.iter_elements().next() else { return false };
        matches!(first.key().as_str(), "$out" | "$merge")
    }

    /// "Drivers MUST NOT specify a batchSize of zero in an aggregate command that includes an $out
    /// or $merge stage"; with such a stage there is no batch at all.
    fn cursor(&self) -> RawDocumentBuf {
        let mut cursor = RawDocumentBuf::new();
        if let Some(size) = self.options.batch_size.filter(|_| !self.writes()) {
            cursor.append(cstr!("batchSize"), i64::from(size));
        }
        cursor
    }
}

impl Operation for Aggregate {
    type Output = CursorReply;

    fn name(&self) -> &str {
        "aggregate"
    }

    fn kind(&self) -> OperationKind {
        if self.writes() { OperationKind::Output } else { OperationKind::Read }
    }

    fn retryability(&self) -> Retryability {
        if self.writes() { Retryability::None } else { Retryability::Read }
    }

    fn build<'a>(
        &'a self,
        context: &CommandContext<'_>,
        into: &mut CommandBuilder<'a>,
    ) -> Result<(), BuildError> {
        let options = &self.options;
        match &self.collection {
            Some(collection) => into.append(cstr!("aggregate"), collection.as_str()),
            None => into.append(cstr!("aggregate"), 1),
        }
        into.array(cstr!("pipeline"), Some(&self.pipeline))?;
        into.append(cstr!("cursor"), self.cursor());
        into.hint(options.hint.as_ref())?;
        into.bson(cstr!("comment"), options.comment.as_ref())?;
        into.document(cstr!("let"), options.let_vars.as_ref())?;
        into.document(cstr!("collation"), options.collation.as_ref())?;
        into.max_time(options.max_time);
        into.optional(cstr!("allowDiskUse"), options.allow_disk_use);
        into.optional(cstr!("bypassDocumentValidation"), options.bypass_document_validation);
        into.raw_data(options.raw_data, context);
        into.read_concern(context);
        if self.writes() {
            into.write_concern(context);
        }
        Ok(())
    }

    fn read(
        &self,
        reply: RawDocumentBuf,
        _: &CommandContext<'_>,
    ) -> Result<Self::Output, ReplyFailure> {
        CursorReply::read(reply)
    }
}

#[cfg(test)]
mod tests {
    use bson::{Bson, Document, doc, rawdoc};

    use super::*;
    use crate::engine::op::testing::{command, plain};

    fn aggregate(pipeline: Vec<Document>, options: AggregateOptions) -> Aggregate {
        Aggregate { collection: Some("ports".into()), pipeline: pipeline.into(), options }
    }

    #[test]
    fn every_option_has_its_field() {
        let operation = aggregate(
            vec![doc! { "$match": { "a": 1 } }],
            AggregateOptions {
                batch_size: Some(0),
                hint: Some(doc! { "a": 1 }.into()),
                comment: Some("why".into()),
                let_vars: Some(doc! { "v": 1 }.into()),
                collation: Some(doc! { "locale": "pt" }.into()),
                max_time: Some(Duration::from_millis(20)),
                allow_disk_use: Some(false),
                bypass_document_validation: Some(true),
                raw_data: Some(true),
            },
        );
        let expected = doc! {
            "aggregate": "ports", "pipeline": [{ "$match": { "a": 1 } }],
            "cursor": { "batchSize": 0_i64 }, "hint": { "a": 1 }, "comment": "why",
            "let": { "v": 1 }, "collation": { "locale": "pt" }, "maxTimeMS": 20_i64,
            "allowDiskUse": false, "bypassDocumentValidation": true, "$db": "harbour",
        };
        assert_eq!(plain(&operation), expected);
        assert_eq!(operation.kind(), OperationKind::Read);
        assert_eq!(operation.retryability(), Retryability::Read);
    }

    #[test]
    fn a_writing_pipeline_is_a_write_that_is_not_retried() {
        let concern = rawdoc! { "w": "majority" };
        let context =
            CommandContext { write_concern: Some(&concern), ..CommandContext::new("harbour") };
        for stage in [doc! { "$out": "x" }, doc! { "$merge": { "into": "x" } }] {
            let options = AggregateOptions { batch_size: Some(5), ..AggregateOptions::default() };
            let operation = aggregate(vec![doc! { "$match": {} }, stage], options);
            assert_eq!(operation.kind(), OperationKind::Output);
            assert_eq!(operation.retryability(), Retryability::None);
            let command = command(&operation, &context).unwrap();
            assert_eq!(command.get_document("cursor").unwrap(), &doc! {});
            assert_eq!(command.get_document("writeConcern").unwrap(), &doc! { "w": "majority" });
        }
        let reading = aggregate(vec![], AggregateOptions::default());
        assert!(!command(&reading, &context).unwrap().contains_key("writeConcern"));
    }

    #[test]
    fn a_database_has_no_collection() {
        let operation = Aggregate { collection: None, ..aggregate(vec![], Default::default()) };
        assert_eq!(plain(&operation).get("aggregate"), Some(&Bson::Int32(1)));
    }
}
