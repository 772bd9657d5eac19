//! Operations of sessions.

use bson::Bson;
use portolan::ClientSession;

use super::{Outcome, Output};

pub(super) fn run(session: &ClientSession, name: &str) -> Outcome {
    match name {
        "endSession" => {
            session.end();
            Ok(Ok(Output::Value(None)))
        }
        "getSnapshotTime" => Ok(Ok(Output::Value(session.snapshot_time().map(Bson::Timestamp)))),
        _ => Err(format!("a session has no operation {name}")),
    }
}
