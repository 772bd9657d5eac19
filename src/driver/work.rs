//! One operation without its type.
//!
//! The path of an operation is long, and compiled once: what differs from one operation to the next
//! is behind [`Work`], of which each costs a few small functions. (Generic over the operation, the
//! path was compiled for each of them anew: a third of the crate's build time.)

use bson::RawDocumentBuf;

use super::lease::is_open_cursor;
use crate::engine::op::{
    self, BuildError, CommandBuilder, CommandContext, Limits, Operation, OperationKind,
    ReplyFailure, Retryability,
};
use crate::transport::{MaybeSend, MaybeSync};

/// An operation, and the place of what it gives.
pub(super) trait Work: MaybeSend + MaybeSync {
    fn name(&self) -> &str;

    fn kind(&self) -> OperationKind;

    fn retryability(&self) -> Retryability;

    /// Takes note of the limits of the connection of the first attempt.
    fn prepare(&mut self, limits: &Limits) -> Result<(), BuildError>;

    /// The whole command of one attempt.
    fn build(&self, context: &CommandContext<'_>) -> Result<CommandBuilder<'_>, BuildError>;

    /// Keeps what the reply means.
    fn read(
        &mut self,
        reply: RawDocumentBuf,
        context: &CommandContext<'_>,
    ) -> Result<(), ReplyFailure>;

    /// Whether it has a result where no reply is asked for.
    fn goes_unacknowledged(&self) -> bool;

    /// Keeps that result.
    fn unacknowledged(&mut self);

    /// Whether what it gave is a cursor that is open on the server.
    fn has_open_cursor(&self) -> bool;
}

/// What can be executed: on the caller's task, wherever that runs.
pub(crate) trait Executable:
    Operation<Output: MaybeSend + MaybeSync + 'static> + MaybeSend + MaybeSync
{
}

impl<O> Executable for O where
    O: Operation<Output: MaybeSend + MaybeSync + 'static> + MaybeSend + MaybeSync
{
}

/// An operation with the place of its output.
pub(super) struct Typed<'a, O: Operation> {
    operation: &'a mut O,
    output: Option<O::Output>,
}

impl<'a, O: Operation> Typed<'a, O> {
    pub(super) fn new(operation: &'a mut O) -> Self {
        Self { operation, output: None }
    }

    /// What it gave; `None` where no attempt has succeeded.
    pub(super) fn into_output(self) -> Option<O::Output> {
        self.output
    }
}

impl<O: Executable> Work for Typed<'_, O> {
    fn name(&self) -> &str {
        self.operation.name()
    }

    fn kind(&self) -> OperationKind {
        self.operation.kind()
    }

    fn retryability(&self) -> Retryability {
        self.operation.retryability()
    }

    fn prepare(&mut self, limits: &Limits) -> Result<(), BuildError> {
        self.operation.prepare(limits)
    }

    fn build(&self, context: &CommandContext<'_>) -> Result<CommandBuilder<'_>, BuildError> {
        op::build(&*self.operation, context)
    }

    fn read(
        &mut self,
        reply: RawDocumentBuf,
        context: &CommandContext<'_>,
    ) -> Result<(), ReplyFailure> {
        self.output = Some(self.operation.read(reply, context)?);
        Ok(())
    }

    fn goes_unacknowledged(&self) -> bool {
        self.operation.unacknowledged().is_some()
    }

    fn unacknowledged(&mut self) {
        self.output = self.operation.unacknowledged();
    }

    fn has_open_cursor(&self) -> bool {
        self.output.as_ref().is_some_and(is_open_cursor)
    }
}
