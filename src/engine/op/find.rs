//! `find`: a query (specifications find_getmore_killcursors_commands "find", crud "Find").

use std::sync::Arc;
use std::time::Duration;

use bson::RawDocumentBuf;
use bson::raw::cstr;

use super::{
    BuildError, CommandBuilder, CommandContext, CursorReply, CursorType, DocumentArgument, Hint,
    Operation, OperationKind, ReplyFailure, Retryability, ValueArgument,
};

/// A query.
#[derive(Clone, Debug, PartialEq)]
pub struct Find {
    /// The collection.
    pub collection: Arc<str>,
    /// Which documents.
    pub filter: DocumentArgument,
    /// How.
    pub options: FindOptions,
}

/// How a query runs. What is not set is not sent: the server's default applies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FindOptions {
    /// The order of the results.
    pub sort: Option<DocumentArgument>,
    /// The largest number of results; 0: all; negative: that many in a single batch.
    pub limit: Option<i64>,
    /// Results that are passed over first.
    pub skip: Option<u64>,
    /// Which fields come back.
    pub projection: Option<DocumentArgument>,
    /// Documents of one batch; 0: as the server likes.
    pub batch_size: Option<u32>,
    /// Whether the cursor is closed after its first batch.
    pub single_batch: bool,
    /// Which index is used.
    pub hint: Option<Hint>,
    /// Appears in the server's log and profile.
    pub comment: Option<ValueArgument>,
    /// Variables for the filter (`let`).
    pub let_vars: Option<DocumentArgument>,
    /// How texts compare.
    pub collation: Option<DocumentArgument>,
    /// Whether the cursor ends with the last document.
    pub cursor_type: CursorType,
    /// How long the server may work on it.
    pub max_time: Option<Duration>,
    /// Whether the server may sort on disk.
    pub allow_disk_use: Option<bool>,
    /// Whether the cursor stays when nobody asks for more.
    pub no_cursor_timeout: Option<bool>,
    /// Whether results come without the shards that are down.
    pub allow_partial_results: Option<bool>,
    /// The least values of an index's keys.
    pub min: Option<DocumentArgument>,
    /// What the values of an index's keys stay below.
    pub max: Option<DocumentArgument>,
    /// Whether only the keys of the index come back.
    pub return_key: Option<bool>,
    /// Whether each result says where it is stored.
    pub show_record_id: Option<bool>,
    /// Whether a time series is read as it is stored (`rawData`).
    pub raw_data: Option<bool>,
}

impl Find {
    /// A query for the first document ("findOne API details": limit 1, a single batch, no batch
    /// size). Of the options, those that only make sense for many documents are passed over.
    pub fn one(
        collection: impl Into<Arc<str>>,
        filter: DocumentArgument,
        options: FindOptions,
    ) -> Self {
        let options = FindOptions {
            limit: Some(1),
            single_batch: true,
            batch_size: None,
            no_cursor_timeout: None,
            cursor_type: CursorType::NonTailable,
            ..options
        };
        Self { collection: collection.into(), filter, options }
    }
}

/// The three numbers on the wire ("Mapping OP_QUERY behavior to the find command limit and
/// batchSize fields"; crud "Setting limit and batchSize options for find commands").
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    limit: Option<i64>,
    batch_size: Option<i64>,
    single_batch: bool,
}

impl Counts {
    fn of(options: &FindOptions) -> Self {
        let given = options.limit.unwrap_or(0);
        let limit = i64::try_from(given.unsigned_abs()).unwrap_or(i64::MAX);
        let batch_size = i64::from(options.batch_size.unwrap_or(0));
        let batch_size = if given < 0 {
            limit
        } else if given > 0 && batch_size == limit && !options.single_batch {
            // One more than the limit, or the server would leave an exhausted cursor open.
            limit.saturating_add(1)
        } else {
            batch_size
        };
        Self {
            limit: (limit != 0).then_some(limit),
            batch_size: (batch_size != 0).then_some(batch_size),
            single_batch: given < 0 || options.single_batch,
        }
    }
}

impl Operation for Find {
    type Output = CursorReply;

    fn name(&self) -> &str {
        "find"
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
        let options = &self.options;
        let counts = Counts::of(options);
        into.append(cstr!("find"), &*self.collection);
        into.document(cstr!("filter"), Some(&self.filter))?;
        into.document(cstr!("sort"), options.sort.as_ref())?;
        into.document(cstr!("projection"), options.projection.as_ref())?;
        let skip = options.skip.map(|skip| i64::try_from(skip).unwrap_or(i64::MAX));
        into.optional(cstr!("skip"), skip);
        into.optional(cstr!("limit"), counts.limit);
        into.optional(cstr!("batchSize"), counts.batch_size);
        into.flag(cstr!("singleBatch"), counts.single_batch);
        into.hint(options.hint.as_ref())?;
        into.bson(cstr!("comment"), options.comment.as_ref())?;
        into.document(cstr!("let"), options.let_vars.as_ref())?;
        into.document(cstr!("collation"), options.collation.as_ref())?;
        into.max_time(options.max_time);
        into.optional(cstr!("allowDiskUse"), options.allow_disk_use);
        into.flag(cstr!("tailable"), options.cursor_type != CursorType::NonTailable);
        into.flag(cstr!("awaitData"), options.cursor_type == CursorType::TailableAwait);
        into.optional(cstr!("noCursorTimeout"), options.no_cursor_timeout);
        into.optional(cstr!("allowPartialResults"), options.allow_partial_results);
        into.document(cstr!("min"), options.min.as_ref())?;
        into.document(cstr!("max"), options.max.as_ref())?;
        into.optional(cstr!("returnKey"), options.return_key);
        into.optional(cstr!("showRecordId"), options.show_record_id);
        into.raw_data(options.raw_data, context);
        into.read_concern(context);
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
    use bson::{doc, rawdoc};

    use super::*;
    use crate::engine::op::testing::{command, plain};

    fn counts(limit: Option<i64>, batch_size: Option<u32>) -> (Option<i64>, Option<i64>, bool) {
        let options = FindOptions { limit, batch_size, ..FindOptions::default() };
        let Counts { limit, batch_size, single_batch } = Counts::of(&options);
        (limit, batch_size, single_batch)
    }

    #[test]
    fn limit_and_batch_size_follow_the_table() {
        assert_eq!(counts(None, None), (None, None, false));
        assert_eq!(counts(Some(0), Some(0)), (None, None, false));
        assert_eq!(counts(Some(20), Some(10)), (Some(20), Some(10), false));
        assert_eq!(counts(Some(-5), None), (Some(5), Some(5), true));
        assert_eq!(counts(Some(-5), Some(2)), (Some(5), Some(5), true));
        assert_eq!(counts(Some(4), Some(4)), (Some(4), Some(5), false), "limit + 1");
        assert_eq!(counts(None, Some(4)), (None, Some(4), false));
        assert_eq!(counts(Some(i64::MIN), None), (Some(i64::MAX), Some(i64::MAX), true));
    }

    #[test]
    fn find_one_asks_for_one_and_no_cursor() {
        let options = FindOptions {
            batch_size: Some(5),
            no_cursor_timeout: Some(true),
            sort: Some(doc! { "a": -1 }.into()),
            ..FindOptions::default()
        };
        let expected = doc! {
            "find": "ports", "filter": {}, "sort": { "a": -1 }, "limit": 1_i64,
            "singleBatch": true, "$db": "harbour",
        };
        assert_eq!(plain(&Find::one("ports", doc! {}.into(), options)), expected);
    }

    #[test]
    fn every_option_has_its_field() {
        let operation = Find {
            collection: "ports".into(),
            filter: doc! { "x": { "$gt": 1 } }.into(),
            options: FindOptions {
                sort: Some(doc! { "b": 1, "a": -1 }.into()),
                limit: Some(10),
                skip: Some(3),
                projection: Some(doc! { "_id": 0 }.into()),
                batch_size: Some(4),
                single_batch: false,
                hint: Some(Hint::Name("a_1".into())),
                comment: Some(5.into()),
                let_vars: Some(doc! { "v": 1 }.into()),
                collation: Some(doc! { "locale": "pt" }.into()),
                cursor_type: CursorType::TailableAwait,
                max_time: Some(Duration::from_secs(2)),
                allow_disk_use: Some(true),
                no_cursor_timeout: Some(false),
                allow_partial_results: Some(true),
                min: Some(doc! { "a": 1 }.into()),
                max: Some(doc! { "a": 9 }.into()),
                return_key: Some(true),
                show_record_id: Some(false),
                raw_data: Some(true),
            },
        };
        let concern = rawdoc! { "level": "majority" };
        let context =
            CommandContext { read_concern: Some(&concern), ..CommandContext::new("harbour") };
        let expected = doc! {
            "find": "ports", "filter": { "x": { "$gt": 1 } }, "sort": { "b": 1, "a": -1 },
            "projection": { "_id": 0 }, "skip": 3_i64, "limit": 10_i64, "batchSize": 4_i64,
            "hint": "a_1", "comment": 5, "let": { "v": 1 }, "collation": { "locale": "pt" },
            "maxTimeMS": 2000_i64, "allowDiskUse": true, "noCursorTimeout": false,
            "allowPartialResults": true, "min": { "a": 1 }, "max": { "a": 9 }, "returnKey": true,
            "showRecordId": false, "tailable": true, "awaitData": true,
            "readConcern": { "level": "majority" },
            "$db": "harbour",
        };
        let built = command(&operation, &context).unwrap();
        assert_eq!(built, expected);
        assert_eq!(built.keys().next().unwrap(), "find", "the command's name comes first");
        assert_eq!(operation.retryability(), Retryability::Read);
    }
}
