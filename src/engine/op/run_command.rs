//! A command of the user's own, sent as it is (specification run-command).

use bson::RawDocumentBuf;

use super::{
    BuildError, CommandBuilder, CommandContext, Operation, OperationKind, ReplyFailure, reply,
};

/// Any command. The driver never changes it; what the driver adds comes behind it, except fields
/// that the command has already.
#[derive(Clone, Debug)]
pub struct RunCommand {
    name: String,
    command: RawDocumentBuf,
}

impl RunCommand {
    /// A command whose first field is its name.
    ///
    /// # Errors
    ///
    /// [`BuildError::EmptyCommand`] without a field, [`BuildError::BadBson`] without a readable
    /// one.
    pub fn new(command: RawDocumentBuf) -> Result<Self, BuildError> {
        let first = command.iter_elements().next().ok_or(BuildError::EmptyCommand)??;
        let name = first.key().as_str().to_owned();
        Ok(Self { name, command })
    }
}

impl Operation for RunCommand {
    type Output = RawDocumentBuf;

    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> OperationKind {
        OperationKind::Generic
    }

    fn build<'a>(
        &'a self,
        _: &CommandContext<'_>,
        into: &mut CommandBuilder<'a>,
    ) -> Result<(), BuildError> {
        into.set_body(self.command.clone());
        Ok(())
    }

    fn read(
        &self,
        reply: RawDocumentBuf,
        _: &CommandContext<'_>,
    ) -> Result<Self::Output, ReplyFailure> {
        reply::checked(reply)
    }
}

#[cfg(test)]
mod tests {
    use bson::{doc, rawdoc};

    use super::*;
    use crate::engine::op::Retryability;
    use crate::engine::op::testing::{command, plain};

    #[test]
    fn the_command_goes_out_as_it_is() {
        let operation = RunCommand::new(rawdoc! { "buildInfo": 1, "x": 2 }).unwrap();
        assert_eq!(operation.name(), "buildInfo");
        assert_eq!(operation.retryability(), Retryability::None);
        assert_eq!(plain(&operation), doc! { "buildInfo": 1, "x": 2, "$db": "harbour" });
    }

    #[test]
    fn what_the_user_says_is_not_said_twice() {
        let lsid = rawdoc! { "id": 1 };
        let context = CommandContext {
            lsid: Some(&lsid),
            write_concern: Some(&lsid),
            ..CommandContext::new("harbour")
        };
        let operation = RunCommand::new(rawdoc! { "ping": 1, "$db": "other" }).unwrap();
        let expected = doc! { "ping": 1, "$db": "other", "lsid": { "id": 1 } };
        assert_eq!(command(&operation, &context).unwrap(), expected);
    }

    #[test]
    fn a_command_needs_a_name() {
        assert_eq!(RunCommand::new(rawdoc! {}).unwrap_err(), BuildError::EmptyCommand);
        let bad = RawDocumentBuf::from_bytes(vec![6, 0, 0, 0, 0xee, 0]).unwrap();
        assert!(matches!(RunCommand::new(bad), Err(BuildError::BadBson(_))));
    }

    #[test]
    fn the_reply_comes_back_raw_unless_the_command_failed() {
        let operation = RunCommand::new(rawdoc! { "ping": 1 }).unwrap();
        let context = CommandContext::new("harbour");
        let reply = rawdoc! { "ok": 1, "writeConcernError": { "code": 64, "errmsg": "x" } };
        assert_eq!(operation.read(reply.clone(), &context), Ok(reply));
        let failure = operation.read(rawdoc! { "ok": 0, "code": 59 }, &context).unwrap_err();
        assert_eq!(failure.code(), Some(59));
    }
}
