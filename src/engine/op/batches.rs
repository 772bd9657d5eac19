//! How many statements fit into one write command (bulk-write splitting: the limits of a server's
//! hello).

use std::ops::Range;

use bson::raw::cstr;
use bson::{RawBson, RawDocumentBuf};

use super::{Limits, WriteOptions};

/// How far a batch from `range.start` reaches: as many statements as fit, at least one.
pub(super) fn batch_end(
    statements: &[RawDocumentBuf],
    range: Range<usize>,
    reserved: usize,
    limits: &Limits,
) -> usize {
    let mut room = limits.max_message_size_bytes.saturating_sub(reserved);
    let Range { start, end: last } = range;
    let most = start.saturating_add(limits.max_write_batch_size.max(1));
    let mut end = start;
    for statement in &statements[start..most.min(last)] {
        let length = statement.as_bytes().len();
        if length > room && end > start {
            break;
        }
        room = room.saturating_sub(length);
        end += 1;
    }
    end
}

/// Bytes of a command that are not statements.
pub(super) fn reserved(collection: &str, options: &WriteOptions) -> usize {
    let comment = options.comment.as_ref().map_or(0, |comment| comment.get().map_or(0, length_of));
    let variables = options.let_vars.as_ref().and_then(|variables| variables.get().ok());
    let variables = variables.map_or(0, |variables| variables.as_bytes().len());
    COMMAND_ROOM + collection.len() + comment + variables
}

fn length_of(value: &RawBson) -> usize {
    let mut document = RawDocumentBuf::new();
    document.append(cstr!(""), value);
    document.as_bytes().len()
}

/// Bytes of a message that are not documents: headers, and a body with session, cluster time and
/// concerns. The same 16 KiB by which a server lets a command exceed a document.
pub(super) const COMMAND_ROOM: usize = 16 * 1024;
