//! Operations of sessions.

use std::sync::{Arc, Mutex};

use bson::{Bson, Document};
use portolan::{
    AbortTransaction, ClientSession, CommitTransaction, Error, TransactionOptions,
    WithTransactionOptions,
};

use super::arguments::{document, documents, millis, required};
use super::{Arguments, Outcome, Output};
use crate::run::perform_one;
use crate::schema::Operation;
use crate::world::{World, read_concern, read_preference, write_concern};

pub(super) async fn run(
    world: &Arc<World>,
    session: &ClientSession,
    name: &str,
    arguments: &Arguments,
) -> Outcome {
    let outcome = match name {
        "endSession" => {
            session.end().await;
            Ok(())
        }
        "getSnapshotTime" => {
            return Ok(Ok(Output::Value(session.snapshot_time().map(Bson::Timestamp))));
        }
        "startTransaction" => {
            let options = transaction_options(arguments)?;
            session.start_transaction().with_options(options).await
        }
        "commitTransaction" => {
            let commit = session.commit_transaction();
            timed(commit, arguments, CommitTransaction::timeout)?.await
        }
        "abortTransaction" => {
            let abort = session.abort_transaction();
            timed(abort, arguments, AbortTransaction::timeout)?.await
        }
        "withTransaction" => return with_transaction(world, session, arguments).await,
        _ => return Err(format!("a session has no operation {name}")),
    };
    Ok(outcome.map(|()| Output::Value(None)))
}

fn timed<T>(
    operation: T,
    arguments: &Arguments,
    set: impl FnOnce(T, std::time::Duration) -> T,
) -> Result<T, String> {
    match arguments.get("timeoutMS") {
        Some(timeout) => Ok(set(operation, millis(timeout)?)),
        None => Ok(operation),
    }
}

async fn with_transaction(
    world: &Arc<World>,
    session: &ClientSession,
    arguments: &Arguments,
) -> Outcome {
    let mut options = WithTransactionOptions::default();
    options.transaction = transaction_options(arguments)?;
    options.timeout = arguments.get("timeoutMS").map(millis).transpose()?;
    let operations = callback(arguments)?;
    let wrong = Mutex::new(None);
    let ran = session.with_transaction_options(options, async |_| {
        for operation in &operations {
            match perform_one(world, operation).await {
                Ok(None) => {}
                // What was expected is handed on all the same.
                Ok(Some(error)) => return Err::<(), Error>(error),
                Err(what) => {
                    let what = format!("callback: {}: {what}", operation.name);
                    wrong.lock().expect("nobody panics with it").get_or_insert(what);
                    break;
                }
            }
        }
        Ok(())
    });
    let ran = ran.await;
    match wrong.into_inner().expect("nobody panics with it") {
        Some(what) => Err(what),
        None => Ok(ran.map(|()| Output::Value(None))),
    }
}

/// The operations of a callback.
pub(crate) fn callback(arguments: &Document) -> Result<Vec<Operation>, String> {
    let operations = documents(required(arguments, "callback")?)?;
    let operation = |document| bson::deserialize_from_bson(Bson::Document(document));
    let operations = operations.into_iter().map(operation).collect::<Result<_, _>>();
    operations.map_err(|error| format!("callback: {error}"))
}

/// The options of transactions among the arguments, or of a session.
pub(crate) fn transaction_options(from: &Document) -> Result<TransactionOptions, String> {
    let mut options = TransactionOptions::default();
    for (name, value) in from {
        match name.as_str() {
            "readConcern" => options.read_concern = Some(read_concern(&document(value)?)?),
            "writeConcern" => options.write_concern = Some(write_concern(&document(value)?)?),
            "readPreference" => {
                options.read_preference = Some(read_preference(&document(value)?)?);
            }
            "maxCommitTimeMS" => options.max_commit_time = Some(millis(value)?),
            _ => {}
        }
    }
    Ok(options)
}
