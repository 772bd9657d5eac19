//! `count`: how many documents a collection has by its metadata (specification crud
//! "estimatedDocumentCount").

use std::time::Duration;

use bson::RawDocumentBuf;
use bson::raw::cstr;

use super::{
    BuildError, CommandBuilder, CommandContext, Operation, OperationKind, ReplyFailure,
    Retryability, ValueArgument, reply,
};

/// Counts a whole collection without looking at its documents.
#[derive(Clone, Debug, PartialEq)]
pub struct EstimatedDocumentCount {
    /// The collection.
    pub collection: String,
    /// How.
    pub options: EstimatedCountOptions,
}

/// How a collection is counted. What is not set is not sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EstimatedCountOptions {
    /// Appears in the server's log and profile.
    pub comment: Option<ValueArgument>,
    /// How long the server may work on it.
    pub max_time: Option<Duration>,
    /// Whether a time series is counted as it is stored (`rawData`).
    pub raw_data: Option<bool>,
}

impl Operation for EstimatedDocumentCount {
    type Output = u64;

    fn name(&self) -> &str {
        "count"
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
        into.append(cstr!("count"), self.collection.as_str());
        into.bson(cstr!("comment"), self.options.comment.as_ref())?;
        into.max_time(self.options.max_time);
        into.raw_data(self.options.raw_data, context);
        into.read_concern(context);
        Ok(())
    }

    fn read(
        &self,
        reply: RawDocumentBuf,
        _: &CommandContext<'_>,
    ) -> Result<Self::Output, ReplyFailure> {
        Ok(reply::check(&reply)?.n)
    }
}

#[cfg(test)]
mod tests {
    use bson::{doc, rawdoc};

    use super::*;
    use crate::engine::op::testing::plain;

    #[test]
    fn the_metadata_counts() {
        let options = EstimatedCountOptions {
            comment: Some("why".into()),
            max_time: Some(Duration::from_millis(20)),
            raw_data: None,
        };
        let operation = EstimatedDocumentCount { collection: "ports".into(), options };
        let expected =
            doc! { "count": "ports", "comment": "why", "maxTimeMS": 20_i64, "$db": "harbour" };
        assert_eq!(plain(&operation), expected);
        let context = CommandContext::new("harbour");
        assert_eq!(operation.read(rawdoc! { "ok": 1, "n": 5 }, &context), Ok(5));
        assert!(operation.read(rawdoc! { "ok": 0, "n": 5 }, &context).is_err());
    }
}
