//! A command of the user's own that opens a cursor (specification run-command "runCursorCommand").

use bson::RawDocumentBuf;

use super::{
    BuildError, CommandBuilder, CommandContext, CursorReply, Operation, OperationKind,
    ReplyFailure, RunCommand,
};

/// Any command whose reply has a cursor.
#[derive(Clone, Debug)]
pub struct RunCursorCommand(pub RunCommand);

impl Operation for RunCursorCommand {
    type Output = CursorReply;

    fn name(&self) -> &str {
        self.0.name()
    }

    fn kind(&self) -> OperationKind {
        self.0.kind()
    }

    fn build<'a>(
        &'a self,
        context: &CommandContext<'_>,
        into: &mut CommandBuilder<'a>,
    ) -> Result<(), BuildError> {
        self.0.build(context, into)
    }

    /// "If the response from the server does not include a `cursor` field the driver MUST throw an
    /// error".
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
    use crate::engine::op::testing::plain;

    #[test]
    fn the_reply_must_have_a_cursor() {
        let command = RunCommand::new(rawdoc! { "checkMetadataConsistency": 1 }).unwrap();
        let operation = RunCursorCommand(command);
        assert_eq!(operation.name(), "checkMetadataConsistency");
        assert_eq!(plain(&operation), doc! { "checkMetadataConsistency": 1, "$db": "harbour" });
        let context = CommandContext::new("harbour");
        let cursor = rawdoc! { "id": 7_i64, "ns": "harbour.ports", "firstBatch": [{ "a": 1 }] };
        assert_eq!(operation.read(rawdoc! { "ok": 1, "cursor": cursor }, &context).unwrap().id, 7);
        let error = operation.read(rawdoc! { "ok": 1 }, &context).unwrap_err();
        assert!(matches!(error, ReplyFailure::Malformed { .. }));
    }
}
