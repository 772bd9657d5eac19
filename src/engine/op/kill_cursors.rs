//! `killCursors`: tells a server that nobody will read on (specification
//! find_getmore_killcursors_commands "killCursors").

use bson::raw::cstr;
use bson::{RawArrayBuf, RawDocumentBuf};

use super::{
    BuildError, CommandBuilder, CommandContext, Operation, OperationKind, ReplyFailure, reply,
};

/// Closes cursors of one namespace, on the server that has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillCursors {
    /// The collection of the cursors' namespace.
    pub collection: String,
    /// The cursors.
    pub ids: Vec<i64>,
}

impl Operation for KillCursors {
    type Output = ();

    fn name(&self) -> &str {
        "killCursors"
    }

    fn kind(&self) -> OperationKind {
        OperationKind::Generic
    }

    fn build<'a>(
        &'a self,
        _: &CommandContext<'_>,
        into: &mut CommandBuilder<'a>,
    ) -> Result<(), BuildError> {
        into.append(cstr!("killCursors"), self.collection.as_str());
        into.append(cstr!("cursors"), self.ids.iter().copied().collect::<RawArrayBuf>());
        Ok(())
    }

    /// "The result from the killCursors command MAY be safely ignored", except that it failed.
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
    fn the_cursors_are_named() {
        let operation = KillCursors { collection: "ports".into(), ids: vec![7, 8] };
        let expected = doc! { "killCursors": "ports", "cursors": [7_i64, 8_i64], "$db": "harbour" };
        assert_eq!(plain(&operation), expected);
        let reply = rawdoc! { "ok": 1, "cursorsNotFound": [7_i64] };
        assert_eq!(operation.read(reply, &CommandContext::new("harbour")), Ok(()));
    }
}
