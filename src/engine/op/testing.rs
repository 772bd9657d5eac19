//! What the operations' tests share.

use bson::Document;

use super::{BuildError, CommandContext, Operation, build};

/// The whole command of an operation, its sequence shown as an array.
pub(super) fn command<O: Operation>(
    operation: &O,
    context: &CommandContext<'_>,
) -> Result<Document, BuildError> {
    let document = build(operation, context)?.to_document();
    Ok(Document::try_from(document).expect("a command is valid BSON"))
}

/// The whole command on the database `harbour`.
pub(super) fn plain<O: Operation>(operation: &O) -> Document {
    command(operation, &CommandContext::new("harbour")).expect("the operation can be built")
}
