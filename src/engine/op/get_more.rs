//! `getMore`: the next batch of a cursor (specification find_getmore_killcursors_commands
//! "getMore"; never retried, as the server may have moved on).

use std::time::Duration;

use bson::RawDocumentBuf;
use bson::raw::cstr;

use super::{
    BuildError, CommandBuilder, CommandContext, CursorReply, Operation, OperationKind,
    ReplyFailure, ValueArgument,
};

/// Continues a cursor, on the server that has it.
#[derive(Clone, Debug, PartialEq)]
pub struct GetMore {
    /// The cursor, not 0.
    pub id: i64,
    /// The collection of the namespace in the latest reply.
    pub collection: String,
    /// Documents of the next batch; 0 and none: as the server likes. See [`get_more_batch_size`].
    pub batch_size: Option<i64>,
    /// How long the server may wait for documents: only for a tailable cursor that awaits data.
    pub max_await_time: Option<Duration>,
    /// The comment of the command that opened the cursor; sent to servers of 4.4 and later.
    pub comment: Option<ValueArgument>,
}

/// Documents that the next batch may have: what is left of `limit` bounds the batch size.
///
/// `limit` of 0 and none mean no limit. `returned` counts the documents of all batches so far.
pub fn get_more_batch_size(
    limit: Option<i64>,
    batch_size: Option<u32>,
    returned: u64,
) -> Option<i64> {
    let size = i64::from(batch_size.filter(|size| *size > 0)?);
    let Some(limit) = limit.filter(|limit| *limit != 0) else { return Some(size) };
    let left = limit.unsigned_abs().saturating_sub(returned);
    // A batch of 0 would be as many as the server likes.
    let left = i64::try_from(left.max(1)).unwrap_or(i64::MAX);
    Some(size.min(left))
}

impl Operation for GetMore {
    type Output = CursorReply;

    fn name(&self) -> &str {
        "getMore"
    }

    fn kind(&self) -> OperationKind {
        OperationKind::Read
    }

    fn build<'a>(
        &'a self,
        context: &CommandContext<'_>,
        into: &mut CommandBuilder<'a>,
    ) -> Result<(), BuildError> {
        into.append(cstr!("getMore"), self.id);
        into.append(cstr!("collection"), self.collection.as_str());
        into.optional(cstr!("batchSize"), self.batch_size.filter(|size| *size > 0));
        into.max_time(self.max_await_time);
        if context.max_wire_version >= COMMENT_SINCE {
            into.bson(cstr!("comment"), self.comment.as_ref())?;
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

/// The wire version of server 4.4, the first that takes a comment here.
const COMMENT_SINCE: i32 = 9;

#[cfg(test)]
mod tests {
    use bson::{doc, rawdoc};

    use super::*;
    use crate::engine::op::Retryability;
    use crate::engine::op::testing::{command, plain};

    fn get_more() -> GetMore {
        GetMore {
            id: 7,
            collection: "ports".into(),
            batch_size: None,
            max_await_time: None,
            comment: Some("why".into()),
        }
    }

    #[test]
    fn only_what_is_set_is_sent() {
        let expected = doc! { "getMore": 7_i64, "collection": "ports", "$db": "harbour" };
        assert_eq!(plain(&get_more()), expected);
        let operation = GetMore {
            batch_size: Some(10),
            max_await_time: Some(Duration::from_millis(500)),
            ..get_more()
        };
        let context = CommandContext { max_wire_version: 9, ..CommandContext::new("harbour") };
        let expected = doc! {
            "getMore": 7_i64, "collection": "ports", "batchSize": 10_i64, "maxTimeMS": 500_i64,
            "comment": "why", "$db": "harbour",
        };
        assert_eq!(command(&operation, &context).unwrap(), expected);
        assert_eq!(operation.retryability(), Retryability::None);
    }

    #[test]
    fn the_limit_bounds_the_batch() {
        // The specification's example: limit 4, batchSize 3, then batchSize 1.
        assert_eq!(get_more_batch_size(Some(4), Some(3), 3), Some(1));
        assert_eq!(get_more_batch_size(Some(100), Some(3), 3), Some(3));
        assert_eq!(get_more_batch_size(Some(4), Some(3), 4), Some(1), "never 0");
        assert_eq!(get_more_batch_size(Some(0), Some(3), 30), Some(3));
        assert_eq!(get_more_batch_size(None, Some(3), 30), Some(3));
        assert_eq!(get_more_batch_size(Some(4), None, 3), None);
        assert_eq!(get_more_batch_size(Some(4), Some(0), 3), None);
    }

    #[test]
    fn a_closed_cursor_has_the_id_0() {
        let reply = rawdoc! {
            "ok": 1, "cursor": { "id": 0_i64, "ns": "harbour.ports", "nextBatch": [{ "a": 1 }] },
        };
        let reply = get_more().read(reply, &CommandContext::new("harbour")).unwrap();
        assert_eq!((reply.id, reply.batch.len()), (0, 1));
    }
}
