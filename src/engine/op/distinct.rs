//! `distinct`: the values of a field (specification crud "Distinct").

use std::time::Duration;

use bson::raw::cstr;
use bson::{RawArrayBuf, RawDocumentBuf};

use super::{
    BuildError, CommandBuilder, CommandContext, DocumentArgument, Hint, Operation, OperationKind,
    ReplyFailure, Retryability, ValueArgument, reply,
};

/// The values that a field has in the documents that a filter finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Distinct {
    /// The collection.
    pub collection: String,
    /// The field, with dots for fields inside.
    pub field: String,
    /// Which documents.
    pub filter: DocumentArgument,
    /// How.
    pub options: DistinctOptions,
}

/// How values are found. What is not set is not sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DistinctOptions {
    /// Which index is used; servers of 7.1 and later.
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

impl Operation for Distinct {
    type Output = RawArrayBuf;

    fn name(&self) -> &str {
        "distinct"
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
        into.append(cstr!("distinct"), self.collection.as_str());
        into.append(cstr!("key"), self.field.as_str());
        into.document(cstr!("query"), Some(&self.filter))?;
        into.hint(options.hint.as_ref())?;
        into.bson(cstr!("comment"), options.comment.as_ref())?;
        into.document(cstr!("collation"), options.collation.as_ref())?;
        into.max_time(options.max_time);
        into.raw_data(options.raw_data, context);
        into.read_concern(context);
        Ok(())
    }

    fn read(
        &self,
        reply: RawDocumentBuf,
        _: &CommandContext<'_>,
    ) -> Result<Self::Output, ReplyFailure> {
        reply::check(&reply)?;
        let values = reply.get_array("values");
        let values = values.map_err(|error| ReplyFailure::malformed("values", error))?;
        Ok(values.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use bson::{doc, rawbson, rawdoc};

    use super::*;
    use crate::engine::op::testing::{command, plain};

    fn distinct(options: DistinctOptions) -> Distinct {
        let (collection, field) = ("ports".into(), "a.b".into());
        Distinct { collection, field, filter: doc! { "c": 1 }.into(), options }
    }

    #[test]
    fn every_option_has_its_field() {
        let options = DistinctOptions {
            hint: Some(doc! { "a": 1 }.into()),
            comment: Some("why".into()),
            collation: Some(doc! { "locale": "pt" }.into()),
            max_time: Some(Duration::from_millis(20)),
            raw_data: Some(false),
        };
        let concern = rawdoc! { "level": "majority" };
        let context = CommandContext {
            read_concern: Some(&concern),
            max_wire_version: 27,
            ..CommandContext::new("harbour")
        };
        let expected = doc! {
            "distinct": "ports", "key": "a.b", "query": { "c": 1 }, "hint": { "a": 1 },
            "comment": "why", "collation": { "locale": "pt" }, "maxTimeMS": 20_i64,
            "rawData": false, "readConcern": { "level": "majority" }, "$db": "harbour",
        };
        assert_eq!(command(&distinct(options), &context).unwrap(), expected);
        let expected =
            doc! { "distinct": "ports", "key": "a.b", "query": { "c": 1 }, "$db": "harbour" };
        assert_eq!(plain(&distinct(DistinctOptions::default())), expected);
    }

    #[test]
    fn values_have_their_types() {
        let operation = distinct(DistinctOptions::default());
        let context = CommandContext::new("harbour");
        let values = operation.read(rawdoc! { "ok": 1, "values": [1, "x", null] }, &context);
        assert_eq!(values, Ok(rawbson!([1, "x", null]).as_array().unwrap().to_owned()));
        let error = operation.read(rawdoc! { "ok": 1 }, &context).unwrap_err();
        assert!(matches!(error, ReplyFailure::Malformed { .. }));
    }
}
