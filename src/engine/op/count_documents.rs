//! `countDocuments`: an aggregation that counts (specification crud "countDocuments").

use std::time::Duration;

use bson::raw::{CStr, cstr};
use bson::{RawArrayBuf, RawBson, RawDocumentBuf, rawdoc};

use super::reply::integer;
use super::{
    Aggregate, AggregateOptions, BuildError, CommandBuilder, CommandContext, CursorReply,
    DocumentArgument, Hint, Operation, OperationKind, ReplyFailure, Retryability, ValueArgument,
};

/// Counts the documents that a filter finds.
#[derive(Clone, Debug, PartialEq)]
pub struct CountDocuments {
    aggregate: Aggregate,
}

/// How documents are counted. What is not set is not sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CountOptions {
    /// The largest number that is counted; 0: all.
    pub limit: Option<u64>,
    /// Documents that are passed over first.
    pub skip: Option<u64>,
    /// Which index is used.
    pub hint: Option<Hint>,
    /// Appears in the server's log and profile.
    pub comment: Option<ValueArgument>,
    /// How texts compare.
    pub collation: Option<DocumentArgument>,
    /// How long the server may work on it.
    pub max_time: Option<Duration>,
    /// Whether a time series is read as it is stored (`rawData`).
    pub raw_data: Option<bool>,
}

impl CountDocuments {
    /// Counts in a collection.
    pub fn new(
        collection: impl Into<String>,
        filter: DocumentArgument,
        options: CountOptions,
    ) -> Self {
        let counts = [(cstr!("$skip"), options.skip), (cstr!("$limit"), options.limit)];
        let pipeline = filter.map(|filter| {
            let mut stages = RawArrayBuf::new();
            let mut stage = |key: &CStr, value: RawBson| {
                let mut stage = RawDocumentBuf::new();
                stage.append(key, value);
                stages.push(stage);
            };
            stage(cstr!("$match"), filter.into());
            for (key, count) in counts {
                if let Some(count) = count.filter(|count| *count > 0) {
                    stage(key, i64::try_from(count).unwrap_or(i64::MAX).into());
                }
            }
            stage(cstr!("$group"), rawdoc! { "_id": 1, "n": { "$sum": 1 } }.into());
            stages
        });
        let options = AggregateOptions {
            hint: options.hint,
            comment: options.comment,
            collation: options.collation,
            max_time: options.max_time,
            raw_data: options.raw_data,
            ..AggregateOptions::default()
        };
        Self { aggregate: Aggregate { collection: Some(collection.into()), pipeline, options } }
    }
}

impl Operation for CountDocuments {
    type Output = u64;

    fn name(&self) -> &str {
        self.aggregate.name()
    }

    fn kind(&self) -> OperationKind {
        OperationKind::Read
    }

    fn retryability(&self) -> Retryability {
        Retryability::Read
    }

    fn build<'a>(
        &'a self,
        context: &CommandContext<'_>,
        into: &mut CommandBuilder<'a>,
    ) -> Result<(), BuildError> {
        self.aggregate.build(context, into)
    }

    /// "In the event this aggregation is run against an empty collection, an empty array will be
    /// returned with no n field. Drivers MUST interpret this result as a 0 count."
    fn read(
        &self,
        reply: RawDocumentBuf,
        _: &CommandContext<'_>,
    ) -> Result<Self::Output, ReplyFailure> {
        let mut reply = CursorReply::read(reply)?;
        let Some(group) = reply.batch.next_document() else { return Ok(0) };
        let n = group.get("n").ok().flatten().and_then(integer);
        n.and_then(|n| u64::try_from(n).ok())
            .ok_or_else(|| ReplyFailure::malformed("cursor.firstBatch.n", "missing or no count"))
    }
}

#[cfg(test)]
mod tests {
    use bson::{doc, rawdoc};

    use super::*;
    use crate::engine::op::testing::plain;

    #[test]
    fn the_pipeline_is_the_specification_s() {
        let options = CountOptions { limit: Some(5), skip: Some(2), ..CountOptions::default() };
        let operation = CountDocuments::new("ports", doc! { "a": 1 }.into(), options);
        let expected = doc! {
            "aggregate": "ports",
            "pipeline": [
                { "$match": { "a": 1 } }, { "$skip": 2_i64 }, { "$limit": 5_i64 },
                { "$group": { "_id": 1, "n": { "$sum": 1 } } },
            ],
            "cursor": {}, "$db": "harbour",
        };
        assert_eq!(plain(&operation), expected);
        let options = CountOptions { limit: Some(0), skip: Some(0), ..CountOptions::default() };
        let all = plain(&CountDocuments::new("ports", doc! {}.into(), options));
        assert_eq!(all.get_array("pipeline").unwrap().len(), 2);
    }

    #[test]
    fn no_group_means_none() {
        let operation = CountDocuments::new("ports", doc! {}.into(), CountOptions::default());
        let context = CommandContext::new("harbour");
        let read = |reply| operation.read(reply, &context);
        let ns = "harbour.ports";
        let cursor = rawdoc! { "id": 0_i64, "ns": ns, "firstBatch": [] };
        assert_eq!(read(rawdoc! { "ok": 1, "cursor": cursor }), Ok(0));
        let cursor = rawdoc! { "id": 0_i64, "ns": ns, "firstBatch": [{ "_id": 1, "n": 7 }] };
        assert_eq!(read(rawdoc! { "ok": 1, "cursor": cursor }), Ok(7));
        let cursor = rawdoc! { "id": 0_i64, "ns": ns, "firstBatch": [{ "_id": 1, "n": -7 }] };
        let error = read(rawdoc! { "ok": 1, "cursor": cursor }).unwrap_err();
        assert!(matches!(error, ReplyFailure::Malformed { .. }));
    }
}
