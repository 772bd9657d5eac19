//! What a worker is told and what it answers: one line of JSON each.

use serde::{Deserialize, Serialize};

/// The database of all measurements.
pub const DATABASE: &str = "bench";
/// The collection that `find_one` and `read_all` read: [`RECORDS`] documents.
pub const COLLECTION: &str = "records";
/// The collection that inserts write.
pub const INSERTED: &str = "inserted";
/// Documents in [`COLLECTION`], and in one `insert_many`.
pub const RECORDS: i32 = 10_000;

/// One order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Make a client and have it reach a server.
    Connect { uri: String },
    /// Run `tasks` tasks that each find one document after another by `_id`, for so long.
    FindOne { tasks: usize, millis: u64 },
    /// Read all records into structs through a cursor, so many times.
    ReadAll { times: u32 },
    /// Insert that many small documents with one `insert_many`.
    InsertMany { documents: i32 },
    /// So many commands `hello`.
    Hello { times: u32 },
    /// So many `ping`s to any member (server selection among all of them).
    Ping { times: u32 },
    /// Find documents 1 to `times` of `collection` by `_id`.
    FindById { collection: String, times: i32 },
    /// Read the whole of `collection` through a cursor.
    FindAll { collection: String },
    /// Insert the document of a file of JSON `times` times, one by one or with one `insert_many`.
    InsertFile { json: String, times: u32, at_once: bool },
    /// One operation after another for so long; the last one may take longer.
    Loop { kind: LoopKind, millis: u64, long_query: Option<String> },
}

/// What a loop does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoopKind {
    /// Each write counts in a document of its own, so that a write that happened twice shows.
    Write,
    /// `find_one` with the client's read preference.
    Read,
}

/// One answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    /// Why the order failed; everything else is empty then.
    pub failure: Option<String>,
    /// Operations that succeeded.
    pub operations: u64,
    /// How long it took.
    pub nanos: u64,
    /// CPU time of the whole process meanwhile.
    pub cpu_nanos: u64,
    /// Allocations meanwhile (where the worker counts).
    pub allocations: u64,
    /// Live heap bytes at the end (where the worker counts).
    pub live_bytes: i64,
    /// Operations of a loop that took longer than [`SLOW_MILLIS`].
    pub slow: Vec<Slow>,
    /// Errors that reached the caller.
    pub errors: Vec<String>,
    /// How long the query beside the loop took, in milliseconds.
    pub long_query_millis: Option<f64>,
}

/// An operation that stood still.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Slow {
    /// When it ended, in milliseconds since 1970.
    pub ended: f64,
    /// How long it took, in milliseconds.
    pub millis: f64,
}

/// From when on an operation of a loop is slow.
pub const SLOW_MILLIS: f64 = 50.0;

/// A small document, as an application has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    #[serde(rename = "_id")]
    pub id: i32,
    pub name: String,
    pub port: i32,
    pub depth: f64,
    pub open: bool,
    pub note: String,
}

impl Record {
    pub fn new(id: i32) -> Self {
        Self {
            id,
            name: format!("harbour {id}"),
            port: 20_000 + id,
            depth: f64::from(id) / 8.0,
            open: id % 2 == 0,
            note: "a fair wind and a following sea".to_owned(),
        }
    }
}
