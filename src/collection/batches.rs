//! Writes that may take several commands: one after another, in one session.

use std::sync::Arc;

use crate::driver::execute::execute_on;
use crate::driver::route::Route;
use crate::driver::shared::Shared;
use crate::driver::work::Executable;
use crate::engine::op::{
    BatchOutput, BulkWrite, Insert, InsertOutput, Operation, WriteFailure, Written,
};
use crate::error::{Error, ErrorKind, Result};

/// A write that is sent in batches.
pub(super) trait Batched: Operation {
    /// Whether the first failure stops the rest.
    fn is_ordered(&self) -> bool;

    /// Leaves the present batch behind; whether any is left.
    fn advance(&mut self) -> bool;

    fn succeeded(&mut self, output: &Self::Output);

    fn failed(&mut self, failure: &WriteFailure);

    /// What was written so far.
    fn so_far(&self) -> Written;
}

impl Batched for Insert {
    fn is_ordered(&self) -> bool {
        Self::is_ordered(self)
    }

    fn advance(&mut self) -> bool {
        Self::advance(self)
    }

    fn succeeded(&mut self, _: &InsertOutput) {
        self.ended(None);
    }

    fn failed(&mut self, failure: &WriteFailure) {
        self.ended(Some(failure));
    }

    fn so_far(&self) -> Written {
        let inserted_ids = self.inserted_ids();
        let inserted_count = inserted_ids.len() as u64;
        Written { inserted_count, inserted_ids, ..Written::default() }
    }
}

impl Batched for BulkWrite {
    fn is_ordered(&self) -> bool {
        Self::is_ordered(self)
    }

    fn advance(&mut self) -> bool {
        Self::advance(self)
    }

    fn succeeded(&mut self, output: &BatchOutput) {
        Self::succeeded(self, output);
    }

    fn failed(&mut self, failure: &WriteFailure) {
        Self::failed(self, failure);
    }

    fn so_far(&self) -> Written {
        self.done().clone()
    }
}

/// Sends all batches; an error says what was written in spite of it.
///
/// A failed statement stops an ordered write; an acknowledgement that was not reached stops none:
/// what was written stays written.
pub(super) async fn in_batches<B: Batched + Executable>(
    shared: &Arc<Shared>,
    mut write: B,
    route: &Route<'_>,
) -> Result<B> {
    let mut session = None;
    let mut failed: Option<WriteFailure> = None;
    loop {
        match execute_on(shared, &mut write, route, session.take(), None).await {
            Ok(executed) => {
                session = executed.session;
                write.succeeded(&executed.output);
            }
            Err(error) => {
                let ErrorKind::Write(failure) = error.kind() else {
                    return Err(error.with_partial_result(write.so_far()));
                };
                let failure = WriteFailure::clone(failure);
                write.failed(&failure);
                let stops = write.is_ordered() && !failure.write_errors.is_empty();
                let all = match failed.take() {
                    Some(earlier) => earlier.merge(failure),
                    None => failure,
                };
                if stops {
                    return Err(Error::of_writes(all).with_partial_result(write.so_far()));
                }
                failed = Some(all);
            }
        }
        if !write.advance() {
            break;
        }
    }
    match failed {
        Some(failure) => Err(Error::of_writes(failure).with_partial_result(write.so_far())),
        None => Ok(write),
    }
}
