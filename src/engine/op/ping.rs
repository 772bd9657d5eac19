//! `ping`: whether a server answers.

use bson::RawDocumentBuf;
use bson::raw::cstr;

use super::{
    BuildError, CommandBuilder, CommandContext, Operation, OperationKind, ReplyFailure, reply,
};

/// Asks a server for a sign of life.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ping;

impl Operation for Ping {
    type Output = ();

    fn name(&self) -> &str {
        "ping"
    }

    fn kind(&self) -> OperationKind {
        OperationKind::Generic
    }

    fn build<'a>(
        &'a self,
        _: &CommandContext<'_>,
        into: &mut CommandBuilder<'a>,
    ) -> Result<(), BuildError> {
        into.append(cstr!("ping"), 1);
        Ok(())
    }

    fn read(&self, reply: RawDocumentBuf, _: &CommandContext<'_>) -> Result<(), ReplyFailure> {
        reply::check(&reply).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use bson::{doc, rawdoc};

    use super::*;
    use crate::engine::op::testing::plain;

    #[test]
    fn ping_is_answered_or_not() {
        assert_eq!(plain(&Ping), doc! { "ping": 1, "$db": "harbour" });
        let context = CommandContext::new("admin");
        assert_eq!(Ping.read(rawdoc! { "ok": 1 }, &context), Ok(()));
        assert!(Ping.read(rawdoc! { "ok": 0 }, &context).is_err());
    }
}
