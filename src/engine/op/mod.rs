//! Operations: from a user's wish to a command, from a reply to its meaning.
//!
//! One file an operation. Each builds its command straight into raw BSON and reads its reply from
//! raw BSON; nothing here sends, waits or chooses a server. What is common to all stands beside:
//! [`CommandContext`] (what a connection and a session add), [`CommandBuilder`] (the command while
//! it is built), [`reply`] (what every reply has), [`retry`] (whether to try again).
//!
//! The life of an attempt:
//!
//! 1. [`Operation::prepare`] with the connection's limits, before the first attempt;
//! 2. [`build`], once for each attempt, as the cluster time and the server may differ;
//! 3. [`CommandBuilder::encode`] and the round trip;
//! 4. [`Operation::read`], or [`Operation::unacknowledged`] where no reply was asked for.
//!
//! Specification: crud, find_getmore_killcursors_commands, retryable-reads, retryable-writes.

mod aggregate;
mod argument;
mod attempts;
mod batch;
mod batches;
mod builder;
mod bulk_write;
pub mod codes;
mod context;
mod count_documents;
mod cursor_time;
mod definition;
mod delete;
mod distinct;
mod end_transaction;
mod estimated_count;
mod failure;
mod find;
mod find_and_modify;
mod get_more;
mod insert;
mod kill_cursors;
mod list;
pub mod monitoring;
mod ping;
pub mod reply;
pub mod retry;
mod run_command;
mod run_cursor_command;
#[cfg(test)]
mod testing;
mod timeout;
mod update;
mod write_options;

pub use aggregate::{Aggregate, AggregateOptions};
pub use argument::{Argument, ArrayArgument, DocumentArgument, ValueArgument};
pub use attempts::{Attempts, Next, RETRYABLE_ERROR, Trouble, may_retry_overload};
pub use batch::{Batch, CursorReply, Namespace};
pub use builder::{BuildError, CommandBuilder, Hint, whole_millis};
pub use bulk_write::{BatchOutput, BulkWrite, Statement, Written};
pub use context::{CommandContext, Limits, TransactionPlace};
pub use count_documents::{CountDocuments, CountOptions};
pub use cursor_time::{CursorTime, CursorTimeOptions, CursorType, TimeoutMode};
pub use definition::{Definition, index_name};
pub use delete::{Delete, DeleteOptions, DeleteOutput, DeleteStatement};
pub use distinct::{Distinct, DistinctOptions};
pub use end_transaction::{EndTransaction, Ending};
pub use estimated_count::{EstimatedCountOptions, EstimatedDocumentCount};
pub use failure::{
    CommandFailure, ReplyFailure, StateChange, WriteConcernError, WriteError, WriteFailure,
};
pub use find::{Find, FindOptions};
pub use find_and_modify::{FindAndModify, FindAndModifyOptions, ReturnDocument};
pub use get_more::{GetMore, get_more_batch_size};
pub use insert::{Insert, InsertOutput};
pub use kill_cursors::KillCursors;
pub use list::{ListCollections, ListDatabases, ListIndexes};
pub use ping::Ping;
pub use run_command::RunCommand;
pub use run_cursor_command::RunCursorCommand;
pub use timeout::{MaxTime, ServerLimit, TimeBudget, TooLate};
pub use update::{Update, UpdateModifications, UpdateOptions, UpdateOutput, UpdateStatement};
pub use write_options::WriteOptions;

use bson::RawDocumentBuf;

/// What an operation does to the data, which decides where it may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// Runs where the read preference says.
    Read,
    /// Runs on a writable server.
    Write,
    /// Reads and writes its results ($out, $merge): runs where the read preference says once all
    /// servers are of 5.0 or later, else on a writable server.
    Output,
    /// Runs where the caller says; the driver adds no concerns.
    Generic,
}

/// Which of the two specifications lets an operation be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retryability {
    /// Neither.
    None,
    /// Retryable reads.
    Read,
    /// Retryable writes: needs a session and a transaction number.
    Write,
}

/// One operation.
pub trait Operation {
    /// What its reply means. A [`CursorReply`] of an open cursor keeps its connection behind a load
    /// balancer.
    type Output: 'static;

    /// The command's name.
    fn name(&self) -> &str;

    /// What it does to the data.
    fn kind(&self) -> OperationKind;

    /// Whether it may be tried again.
    fn retryability(&self) -> Retryability {
        Retryability::None
    }

    /// Takes note of a connection's limits; called before the first attempt and not between
    /// attempts, which must send the same statements.
    ///
    /// # Errors
    ///
    /// If what is to be sent cannot keep the limits.
    fn prepare(&mut self, limits: &Limits) -> Result<(), BuildError> {
        let _ = limits;
        Ok(())
    }

    /// Writes the command, without what every command has (`lsid`, `$db` and so on).
    ///
    /// # Errors
    ///
    /// If the user's documents are no BSON or break the command's rules. Nothing was sent.
    fn build<'a>(
        &'a self,
        context: &CommandContext<'_>,
        into: &mut CommandBuilder<'a>,
    ) -> Result<(), BuildError>;

    /// Reads the reply.
    ///
    /// # Errors
    ///
    /// What the server says went wrong, or that the reply is not of the command's form.
    fn read(
        &self,
        reply: RawDocumentBuf,
        context: &CommandContext<'_>,
    ) -> Result<Self::Output, ReplyFailure>;

    /// The result where the write concern asks for no reply; `None` where that makes no sense.
    fn unacknowledged(&self) -> Option<Self::Output> {
        None
    }
}

/// Writes the whole command for one attempt.
///
/// # Errors
///
/// As [`Operation::build`].
pub fn build<'a, O: Operation + ?Sized>(
    operation: &'a O,
    context: &CommandContext<'_>,
) -> Result<CommandBuilder<'a>, BuildError> {
    let mut builder = CommandBuilder::within(context.max_time);
    operation.build(context, &mut builder)?;
    builder.append_globals(context);
    Ok(builder)
}
