//! `commitTransaction` and `abortTransaction` (specification transactions "Server Commands").

use std::time::Duration;

use bson::RawDocumentBuf;
use bson::raw::cstr;

use super::{
    BuildError, CommandBuilder, CommandContext, Operation, OperationKind, ReplyFailure,
    Retryability, reply,
};

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// commitTransaction.
    Commit,
    /// abortTransaction.
    Abort,
}

/// Ends a session's transaction. Its write concern comes with the context of each attempt.
#[derive(Clone, Debug)]
pub struct EndTransaction {
    /// How.
    pub ending: Ending,
    /// `maxTimeMS` of a commit, which counts only without `timeoutMS`.
    pub max_commit_time: Option<Duration>,
    /// What a mongos said of the transaction last.
    pub recovery_token: Option<RawDocumentBuf>,
}

impl Operation for EndTransaction {
    type Output = ();

    fn name(&self) -> &str {
        match self.ending {
            Ending::Commit => "commitTransaction",
            Ending::Abort => "abortTransaction",
        }
    }

    fn kind(&self) -> OperationKind {
        OperationKind::Write
    }

    fn retryability(&self) -> Retryability {
        Retryability::Write
    }

    fn build<'a>(
        &'a self,
        context: &CommandContext<'_>,
        into: &mut CommandBuilder<'a>,
    ) -> Result<(), BuildError> {
        match self.ending {
            Ending::Commit => into.append(cstr!("commitTransaction"), 1),
            Ending::Abort => into.append(cstr!("abortTransaction"), 1),
        }
        into.optional(cstr!("recoveryToken"), self.recovery_token.as_deref());
        into.max_time(self.max_commit_time);
        into.write_concern(context);
        Ok(())
    }

    fn read(&self, reply: RawDocumentBuf, _: &CommandContext<'_>) -> Result<(), ReplyFailure> {
        reply::check_write(&reply, 0).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use bson::{doc, rawdoc};

    use super::*;
    use crate::engine::op::TransactionPlace;
    use crate::engine::op::testing::command;

    #[test]
    fn a_commit_says_what_was_set_and_an_abort_less() {
        let concern = rawdoc! { "w": "majority" };
        let context = CommandContext {
            txn_number: Some(3),
            transaction: Some(TransactionPlace::Later),
            write_concern: Some(&concern),
            ..CommandContext::new("admin")
        };
        let commit = EndTransaction {
            ending: Ending::Commit,
            max_commit_time: Some(Duration::from_millis(60)),
            recovery_token: Some(rawdoc! { "t": 1 }),
        };
        let expected = doc! {
            "commitTransaction": 1, "recoveryToken": { "t": 1 }, "maxTimeMS": 60_i64,
            "writeConcern": { "w": "majority" }, "txnNumber": 3_i64, "autocommit": false,
            "$db": "admin",
        };
        assert_eq!(command(&commit, &context).unwrap(), expected);
        let (ending, max_commit_time, recovery_token) = (Ending::Abort, None, None);
        let abort = EndTransaction { ending, max_commit_time, recovery_token };
        let context = CommandContext { write_concern: None, ..context };
        let expected = doc! {
            "abortTransaction": 1, "txnNumber": 3_i64, "autocommit": false, "$db": "admin",
        };
        assert_eq!(command(&abort, &context).unwrap(), expected);
    }

    #[test]
    fn a_write_concern_error_is_an_error() {
        let (ending, max_commit_time, recovery_token) = (Ending::Commit, None, None);
        let commit = EndTransaction { ending, max_commit_time, recovery_token };
        let context = CommandContext::new("admin");
        assert_eq!(commit.read(rawdoc! { "ok": 1 }, &context), Ok(()));
        let reply = rawdoc! { "ok": 1, "writeConcernError": { "code": 64, "errmsg": "slow" } };
        assert!(matches!(commit.read(reply, &context), Err(ReplyFailure::Write(_))));
    }
}
