//! A bulk write: inserts, updates and deletes of one collection, in as few commands as their kinds
//! and the server's limits allow (crud "Bulk Write").

use std::ops::Range;

use bson::oid::ObjectId;
use bson::raw::cstr;
use bson::{RawBson, RawDocument, RawDocumentBuf};

use super::insert::identified;
use super::reply::ReplyFields;
use super::update::read_upserted;
use super::write_options::{WriteCommand, check_hint};
use super::{
    BuildError, CommandBuilder, CommandContext, DeleteStatement, Hint, Limits, Operation,
    OperationKind, ReplyFailure, Retryability, UpdateStatement, WriteFailure, WriteOptions,
    batches, reply,
};
use crate::engine::map::SortedMap;

/// One statement of a bulk write.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// Inserts a document.
    Insert(RawDocumentBuf),
    /// Changes or replaces documents.
    Update(Box<UpdateStatement>),
    /// Removes documents.
    Delete(Box<DeleteStatement>),
}

/// What a bulk write, or an insert, has done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// Documents that were inserted.
    pub inserted_count: u64,
    /// The `_id` of each document that was inserted, by the place of its model.
    pub inserted_ids: SortedMap<usize, RawBson>,
    /// Documents that updates and replacements found.
    pub matched_count: u64,
    /// Documents that are different now.
    pub modified_count: u64,
    /// Documents that were removed.
    pub deleted_count: u64,
    /// Documents that were inserted because a filter found none.
    pub upserted_count: u64,
    /// The `_id` of each of those, by the place of its model.
    pub upserted_ids: SortedMap<usize, RawBson>,
}

/// Writes statements, one batch a command.
///
/// It lives as an [`Insert`](super::Insert) does: [`Operation::prepare`] chooses a batch,
/// [`BulkWrite::advance`] leaves it behind. An ordered one sends neighbours of a kind together; an
/// unordered one all of a kind.
#[derive(Clone, Debug)]
pub struct BulkWrite {
    collection: String,
    options: WriteOptions,
    /// The statements, in the order in which they are sent.
    statements: Vec<RawDocumentBuf>,
    facts: Vec<Fact>,
    /// The statements of the present command.
    batch: Range<usize>,
    /// Whether the server's limits were looked at for it.
    prepared: bool,
    done: Written,
}

/// What is known of a statement beside its bytes.
#[derive(Clone, Debug)]
struct Fact {
    /// Its place among the models.
    index: usize,
    command: WriteCommand,
    /// Whether it may change several documents: its command is not retried then.
    multi: bool,
    hint: Option<Hint>,
    /// The `_id` of an insert.
    id: Option<RawBson>,
}

/// What one batch did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchOutput {
    n: u64,
    n_modified: u64,
    /// By their places in the batch.
    upserted: Vec<(usize, RawBson)>,
}

impl BulkWrite {
    /// A bulk write of statements; a document without `_id` gets the next `new_id`.
    ///
    /// # Errors
    ///
    /// [`BuildError::NoModels`], or a document that is no BSON.
    pub fn new(
        collection: impl Into<String>,
        statements: impl IntoIterator<Item = Statement>,
        options: WriteOptions,
        mut new_id: impl FnMut() -> ObjectId,
    ) -> Result<Self, BuildError> {
        let mut all = Vec::new();
        for (index, statement) in statements.into_iter().enumerate() {
            all.push(Fact::of(index, statement, &mut new_id)?);
        }
        if all.is_empty() {
            return Err(BuildError::NoModels);
        }
        if !options.ordered {
            all.sort_by_key(|(fact, _)| fact.command);
        }
        let (facts, statements) = all.into_iter().unzip();
        let (collection, done) = (collection.into(), Written::default());
        let (batch, prepared) = (0..0, false);
        let mut bulk = Self { collection, options, statements, facts, batch, prepared, done };
        bulk.choose(&Limits::default());
        Ok(bulk)
    }

    /// Whether the first failure stops the rest.
    pub fn is_ordered(&self) -> bool {
        self.options.ordered
    }

    /// What was done so far.
    pub fn done(&self) -> &Written {
        &self.done
    }

    /// What was done in all.
    pub fn into_done(self) -> Written {
        self.done
    }

    /// The present batch succeeded.
    pub fn succeeded(&mut self, output: &BatchOutput) {
        self.count(output, &[]);
    }

    /// Some statements of the present batch failed, or their acknowledgement.
    pub fn failed(&mut self, failure: &WriteFailure) {
        let failed: Vec<usize> = failure.write_errors.iter().map(|error| error.index).collect();
        // It was read before: what it says is of the right form.
        let output = BatchOutput::of(&failure.raw).unwrap_or_default();
        self.count(&output, &failed);
    }

    /// Leaves the present batch behind; whether any statement is left to send.
    pub fn advance(&mut self) -> bool {
        self.batch = self.batch.end..self.batch.end;
        self.prepared = false;
        if self.batch.end == self.statements.len() {
            return false;
        }
        // What may be retried must be known before a connection is there.
        self.choose(&Limits::default());
        true
    }

    fn command(&self) -> WriteCommand {
        self.facts[self.batch.start].command
    }

    fn choose(&mut self, limits: &Limits) {
        let start = self.batch.start;
        let command = self.facts[start].command;
        let same = self.facts[start..].iter().take_while(|fact| fact.command == command).count();
        let reserved = batches::reserved(&self.collection, &self.options);
        let alike = start..start + same;
        self.batch = start..batches::batch_end(&self.statements, alike, reserved, limits);
    }

    /// A document must not exceed the limit; a statement may, by what is around its documents.
    fn check_sizes(&self, limits: &Limits) -> Result<(), BuildError> {
        for (fact, statement) in self.facts.iter().zip(&self.statements) {
            let room = if fact.command == WriteCommand::Insert { 0 } else { batches::COMMAND_ROOM };
            let max = limits.max_bson_object_size;
            let length = statement.as_bytes().len();
            if length > max.saturating_add(room) {
                return Err(BuildError::DocumentTooLarge { index: fact.index, length, max });
            }
        }
        Ok(())
    }

    /// `failed` are places of models, as errors tell them.
    fn count(&mut self, output: &BatchOutput, failed: &[usize]) {
        let facts = &self.facts[self.batch.clone()];
        let upserted = output.upserted.len() as u64;
        match self.command() {
            WriteCommand::Delete => self.done.deleted_count += output.n,
            WriteCommand::Update => {
                self.done.matched_count += output.n.saturating_sub(upserted);
                self.done.modified_count += output.n_modified;
                self.done.upserted_count += upserted;
                for (place, id) in &output.upserted {
                    let fact = facts.get(*place);
                    self.done.upserted_ids.extend(fact.map(|fact| (fact.index, id.clone())));
                }
            }
            WriteCommand::Insert => {
                self.done.inserted_count += output.n;
                let ordered = self.options.ordered;
                let until = |fact: &&Fact| !ordered || !failed.contains(&fact.index);
                let sent = facts.iter().take_while(until);
                let inserted = sent.filter(|fact| !failed.contains(&fact.index));
                let ids = inserted.filter_map(|fact| Some((fact.index, fact.id.clone()?)));
                self.done.inserted_ids.extend(ids);
            }
        }
    }
}

impl Fact {
    fn of(
        index: usize,
        statement: Statement,
        new_id: impl FnMut() -> ObjectId,
    ) -> Result<(Self, RawDocumentBuf), BuildError> {
        let plain = |command| Self { index, command, multi: false, hint: None, id: None };
        Ok(match statement {
            Statement::Insert(document) => {
                let (id, document) = identified(document, new_id)?;
                (Self { id: Some(id), ..plain(WriteCommand::Insert) }, document)
            }
            Statement::Update(update) => {
                let multi = update.is_multi();
                (Self { multi, ..plain(WriteCommand::Update) }, update.to_raw()?)
            }
            Statement::Delete(delete) => {
                let (multi, hint) = (delete.multi, delete.options.hint.clone());
                (Self { multi, hint, ..plain(WriteCommand::Delete) }, delete.to_raw()?)
            }
        })
    }
}

impl BatchOutput {
    fn of(reply: &RawDocument) -> Result<Self, ReplyFailure> {
        Self::read(&reply::check(reply)?)
    }

    fn read(fields: &ReplyFields<'_>) -> Result<Self, ReplyFailure> {
        let upserted = fields.upserted.map(read_upserted).transpose()?.unwrap_or_default();
        Ok(Self { n: fields.n, n_modified: fields.n_modified, upserted })
    }
}

impl Operation for BulkWrite {
    type Output = BatchOutput;

    fn name(&self) -> &str {
        self.command().name()
    }

    fn kind(&self) -> OperationKind {
        OperationKind::Write
    }

    fn retryability(&self) -> Retryability {
        let multi = self.facts[self.batch.clone()].iter().any(|fact| fact.multi);
        if multi { Retryability::None } else { Retryability::Write }
    }

    /// Chooses the statements of the next command by the server's limits, unless that was done.
    fn prepare(&mut self, limits: &Limits) -> Result<(), BuildError> {
        if self.prepared {
            return Ok(());
        }
        if self.batch.start == 0 {
            self.check_sizes(limits)?;
        }
        self.choose(limits);
        self.prepared = true;
        Ok(())
    }

    fn build<'a>(
        &'a self,
        context: &CommandContext<'_>,
        into: &mut CommandBuilder<'a>,
    ) -> Result<(), BuildError> {
        let batch = self.batch.clone();
        for fact in &self.facts[batch.clone()] {
            check_hint(fact.hint.as_ref(), context)?;
        }
        let command = self.command();
        self.options.build(command, &self.collection, context, into)?;
        let identifier = match command {
            WriteCommand::Insert => cstr!("documents"),
            WriteCommand::Update => cstr!("updates"),
            WriteCommand::Delete => cstr!("deletes"),
        };
        into.sequence(identifier, &self.statements[batch]);
        Ok(())
    }

    /// Errors tell the places of models, whatever order they were sent in.
    fn read(
        &self,
        reply: RawDocumentBuf,
        _: &CommandContext<'_>,
    ) -> Result<Self::Output, ReplyFailure> {
        match reply::check_write(&reply, self.batch.start) {
            Ok(fields) => BatchOutput::read(&fields),
            Err(ReplyFailure::Write(mut failure)) => {
                for error in &mut failure.write_errors {
                    error.index = self.facts.get(error.index).map_or(error.index, |it| it.index);
                }
                Err(ReplyFailure::Write(failure))
            }
            Err(other) => Err(other),
        }
    }

    fn unacknowledged(&self) -> Option<Self::Output> {
        Some(BatchOutput::default())
    }
}

#[cfg(test)]
#[path = "bulk_write_tests.rs"]
mod tests;
