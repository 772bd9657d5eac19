//! What a connection, a session and the options add to a command.

use bson::{RawBsonRef, RawDocument};

use super::MaxTime;
use crate::engine::hello::{HelloReply, ServerApi};

/// What one attempt of a command runs with.
#[derive(Clone, Copy, Debug)]
pub struct CommandContext<'a> {
    /// The database (`$db`).
    pub database: &'a str,
    /// The session's id, where the deployment has sessions.
    pub lsid: Option<&'a RawDocument>,
    /// The number of a retryable write in its session, the same for its every attempt; or of a
    /// transaction, the same for its every command.
    pub txn_number: Option<i64>,
    /// Where the command stands in its transaction; `None` outside.
    pub transaction: Option<TransactionPlace>,
    /// The newest cluster time that the client knows (`$clusterTime`).
    pub cluster_time: Option<&'a RawDocument>,
    /// `$readPreference`, where the server is to be told (server-selection "Passing read
    /// preference").
    pub read_preference: Option<&'a RawDocument>,
    /// `readConcern`, for the operations that take one.
    pub read_concern: Option<&'a RawDocument>,
    /// What a session makes of that, for all operations but those that only go on with a cursor.
    pub session_concern: Option<&'a RawDocument>,
    /// `writeConcern`, for the operations that take one.
    pub write_concern: Option<&'a RawDocument>,
    /// How `maxTimeMS` comes about.
    pub max_time: MaxTime,
    /// The Stable API that the client declares.
    pub server_api: Option<ServerApi>,
    /// The connection's limits.
    pub limits: Limits,
    /// The highest wire version that the server speaks.
    pub max_wire_version: i32,
}

impl<'a> CommandContext<'a> {
    /// A command on this database and nothing else; every other field can be set.
    pub fn new(database: &'a str) -> Self {
        Self {
            database,
            lsid: None,
            txn_number: None,
            transaction: None,
            cluster_time: None,
            read_preference: None,
            read_concern: None,
            session_concern: None,
            write_concern: None,
            max_time: MaxTime::OfOperation,
            server_api: None,
            limits: Limits::default(),
            max_wire_version: 0,
        }
    }

    /// Whether the write concern asks for a reply: anything but `w: 0`.
    ///
    /// Without one the message carries `moreToCome` and there is nothing to read.
    pub fn is_acknowledged(&self) -> bool {
        let w = self.write_concern.and_then(|concern| concern.get("w").ok().flatten());
        !matches!(w, Some(RawBsonRef::Int32(0) | RawBsonRef::Int64(0)))
    }
}

/// Where a command stands in its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionPlace {
    /// It begins the transaction (`startTransaction: true`).
    First,
    /// It comes later, or ends the transaction.
    Later,
}

/// What a connection's server accepts, from its own handshake (SDAM: "use each socket's own").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the largest document.
    pub max_bson_object_size: usize,
    /// Bytes of the largest message.
    pub max_message_size_bytes: usize,
    /// Statements of the largest write command.
    pub max_write_batch_size: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bson_object_size: 16 * 1024 * 1024,
            max_message_size_bytes: 48_000_000,
            max_write_batch_size: 100_000,
        }
    }
}

impl Limits {
    /// The limits in a hello reply; a missing or senseless one has its default.
    pub fn of(reply: &HelloReply) -> Self {
        let default = Self::default();
        let limit = |value: Option<i32>, default: usize| match value {
            Some(value) if value > 0 => value as usize,
            _ => default,
        };
        Self {
            max_bson_object_size: limit(reply.max_bson_object_size, default.max_bson_object_size),
            max_message_size_bytes: limit(
                reply.max_message_size_bytes,
                default.max_message_size_bytes,
            ),
            max_write_batch_size: limit(reply.max_write_batch_size, default.max_write_batch_size),
        }
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    #[test]
    fn only_w_0_asks_for_no_reply() {
        for (concern, acknowledged) in [
            (rawdoc! { "w": 0 }, false),
            (rawdoc! { "w": 0_i64 }, false),
            (rawdoc! { "w": 1 }, true),
            (rawdoc! { "w": "majority" }, true),
            (rawdoc! {}, true),
        ] {
            let context =
                CommandContext { write_concern: Some(&concern), ..CommandContext::new("db") };
            assert_eq!(context.is_acknowledged(), acknowledged, "{concern:?}");
        }
        assert!(CommandContext::new("db").is_acknowledged());
    }

    #[test]
    fn limits_come_from_hello_where_they_make_sense() {
        let reply = HelloReply {
            max_bson_object_size: Some(1000),
            max_message_size_bytes: Some(-1),
            ..HelloReply::default()
        };
        let expected = Limits { max_bson_object_size: 1000, ..Limits::default() };
        assert_eq!(Limits::of(&reply), expected);
    }
}
