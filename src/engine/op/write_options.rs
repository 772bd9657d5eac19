//! What all statements of one write command share (crud "UpdateOptions" and its like).

use bson::raw::cstr;

use super::{BuildError, CommandBuilder, CommandContext, DocumentArgument, Hint, ValueArgument};

/// How a write command runs. What is not set is not sent.
#[derive(Clone, Debug, PartialEq)]
pub struct WriteOptions {
    /// Whether the first failure stops the rest.
    pub ordered: bool,
    /// Whether the collection's validation is passed over; of inserts and updates.
    pub bypass_document_validation: Option<bool>,
    /// Variables for filters and updates (`let`); of updates and deletes.
    pub let_vars: Option<DocumentArgument>,
    /// Appears in the server's log and profile.
    pub comment: Option<ValueArgument>,
    /// Whether a time series is worked on as it is stored (`rawData`).
    pub raw_data: Option<bool>,
}

impl Default for WriteOptions {
    fn default() -> Self {
        let (bypass_document_validation, let_vars, comment, raw_data) = (None, None, None, None);
        Self { ordered: true, bypass_document_validation, let_vars, comment, raw_data }
    }
}

/// Which of the three write commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WriteCommand {
    Insert,
    Update,
    Delete,
}

impl WriteCommand {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl WriteOptions {
    /// Writes all of a command but its statements.
    pub(super) fn build(
        &self,
        command: WriteCommand,
        collection: &str,
        context: &CommandContext<'_>,
        into: &mut CommandBuilder<'_>,
    ) -> Result<(), BuildError> {
        let name = match command {
            WriteCommand::Insert => cstr!("insert"),
            WriteCommand::Update => cstr!("update"),
            WriteCommand::Delete => cstr!("delete"),
        };
        into.append(name, collection);
        into.append(cstr!("ordered"), self.ordered);
        if command != WriteCommand::Delete {
            into.optional(cstr!("bypassDocumentValidation"), self.bypass_document_validation);
        }
        if command != WriteCommand::Insert {
            into.document(cstr!("let"), self.let_vars.as_ref())?;
        }
        into.bson(cstr!("comment"), self.comment.as_ref())?;
        into.raw_data(self.raw_data, context);
        into.write_concern(context);
        Ok(())
    }
}

/// crud, of deletes and findAndModify: "For unacknowledged writes and servers < 4.4, the driver
/// MUST raise an error if the caller explicitly provides a value." Acknowledged, the server does.
pub(super) fn check_hint(
    hint: Option<&Hint>,
    context: &CommandContext<'_>,
) -> Result<(), BuildError> {
    if hint.is_some() && !context.is_acknowledged() && context.max_wire_version < HINT_SINCE {
        let what = "a hint, in a write that is not acknowledged,";
        return Err(BuildError::TooOld { what, since: "4.4" });
    }
    Ok(())
}

/// The wire version of server 4.4.
const HINT_SINCE: i32 = 9;

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    #[test]
    fn a_hint_that_an_old_server_would_pass_over_in_silence_is_refused() {
        let (none, majority) = (rawdoc! { "w": 0 }, rawdoc! { "w": "majority" });
        let hint = Hint::Name("a_1".into());
        for (concern, max_wire_version, refused) in
            [(&none, 8, true), (&none, 9, false), (&majority, 8, false)]
        {
            let context = CommandContext {
                write_concern: Some(concern),
                max_wire_version,
                ..CommandContext::new("harbour")
            };
            assert_eq!(check_hint(Some(&hint), &context).is_err(), refused, "{concern:?}");
            assert_eq!(check_hint(None, &context), Ok(()));
        }
    }
}
