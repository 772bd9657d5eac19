//! What every reply can have, read in one pass over its top level.

use bson::{RawArray, RawBsonRef, RawDocument, RawDocumentBuf, Timestamp};

use super::failure::{CommandFailure, ReplyFailure, WriteFailure};
use crate::engine::hello::TopologyVersion;

/// The top level of a reply; what is large stays where it is.
#[derive(Clone, Debug, Default)]
pub struct ReplyFields<'a> {
    /// Whether the command ran.
    pub ok: bool,
    /// The server's error code.
    pub code: Option<i32>,
    /// The code's name.
    pub code_name: Option<&'a str>,
    /// The server's message.
    pub message: Option<&'a str>,
    /// The server's error labels.
    pub labels: Vec<String>,
    /// How new the server's state is.
    pub topology_version: Option<TopologyVersion>,
    /// The newest cluster time that the server knows.
    pub cluster_time: Option<&'a RawDocument>,
    /// The logical time of the operation.
    pub operation_time: Option<Timestamp>,
    /// The acknowledgement that was not reached.
    pub write_concern_error: Option<&'a RawDocument>,
    /// The statements that failed.
    pub write_errors: Option<&'a RawArray>,
    /// Documents that were matched, inserted or deleted.
    pub n: u64,
    /// Documents that an update changed.
    pub n_modified: u64,
    /// What an update inserted.
    pub upserted: Option<&'a RawArray>,
    /// The cursor.
    pub cursor: Option<&'a RawDocument>,
}

impl<'a> ReplyFields<'a> {
    /// Reads the top level of a reply.
    ///
    /// Unknown fields are skipped; a known field of another type counts as absent, except that a
    /// reply without a true `ok` is a failure.
    ///
    /// # Errors
    ///
    /// [`ReplyFailure::Malformed`] where the document is no BSON.
    pub fn parse(reply: &'a RawDocument) -> Result<Self, ReplyFailure> {
        let mut fields = Self::default();
        for element in reply.iter_elements() {
            let element = element.map_err(|error| ReplyFailure::malformed(".", error))?;
            let name = element.key().as_str();
            if !KNOWN.contains(&name) {
                continue;
            }
            let value = element.value().map_err(|error| ReplyFailure::malformed(name, error))?;
            fields.set(name, value);
        }
        Ok(fields)
    }

    fn set(&mut self, name: &str, value: RawBsonRef<'a>) {
        match name {
            "ok" => self.ok = is_true(value),
            "code" => self.code = integer(value).and_then(|code| i32::try_from(code).ok()),
            "codeName" => self.code_name = value.as_str(),
            "errmsg" => self.message = value.as_str(),
            "errorLabels" => self.labels = texts(value),
            "topologyVersion" => {
                self.topology_version = value.as_document().and_then(TopologyVersion::parse);
            }
            "$clusterTime" => self.cluster_time = value.as_document(),
            "operationTime" => self.operation_time = value.as_timestamp(),
            "writeConcernError" => self.write_concern_error = value.as_document(),
            "writeErrors" => self.write_errors = value.as_array(),
            "n" => self.n = count(value),
            "nModified" => self.n_modified = count(value),
            "upserted" => self.upserted = value.as_array(),
            "cursor" => self.cursor = value.as_document(),
            _ => {}
        }
    }
}

const KNOWN: [&str; 14] = [
    "ok",
    "code",
    "codeName",
    "errmsg",
    "errorLabels",
    "topologyVersion",
    "$clusterTime",
    "operationTime",
    "writeConcernError",
    "writeErrors",
    "n",
    "nModified",
    "upserted",
    "cursor",
];

/// Reads a reply that must have `ok: 1`, whatever else it says.
///
/// # Errors
///
/// [`ReplyFailure::Command`] with `ok: 0`.
pub fn check(reply: &RawDocument) -> Result<ReplyFields<'_>, ReplyFailure> {
    let fields = ReplyFields::parse(reply)?;
    if fields.ok {
        Ok(fields)
    } else {
        Err(ReplyFailure::Command(Box::new(CommandFailure::of(&fields, reply))))
    }
}

/// Reads a reply whose writes must all have succeeded and been acknowledged; the statement of its
/// index 0 is statement `first_index` of the operation.
///
/// # Errors
///
/// [`ReplyFailure::Command`] with `ok: 0`, [`ReplyFailure::Write`] with write errors or a write
/// concern error.
pub fn check_write(
    reply: &RawDocument,
    first_index: usize,
) -> Result<ReplyFields<'_>, ReplyFailure> {
    let fields = check(reply)?;
    match WriteFailure::of(&fields, reply, first_index)? {
        Some(failure) => Err(ReplyFailure::Write(Box::new(failure))),
        None => Ok(fields),
    }
}

/// A reply as it is, once it has `ok: 1`.
///
/// # Errors
///
/// As [`check`].
pub fn checked(reply: RawDocumentBuf) -> Result<RawDocumentBuf, ReplyFailure> {
    check(&reply)?;
    Ok(reply)
}

/// An integer of any numeric type.
pub(super) fn integer(value: RawBsonRef<'_>) -> Option<i64> {
    match value {
        RawBsonRef::Int32(value) => Some(i64::from(value)),
        RawBsonRef::Int64(value) => Some(value),
        RawBsonRef::Double(value) if value.fract() == 0.0 => Some(value as i64),
        _ => None,
    }
}

fn count(value: RawBsonRef<'_>) -> u64 {
    integer(value).and_then(|value| u64::try_from(value).ok()).unwrap_or(0)
}

fn is_true(value: RawBsonRef<'_>) -> bool {
    value.as_bool().unwrap_or_else(|| integer(value).is_some_and(|value| value != 0))
}

fn texts(value: RawBsonRef<'_>) -> Vec<String> {
    let Some(array) = value.as_array() else { return Vec::new() };
    let texts = array.into_iter().filter_map(|text| text.ok()?.as_str().map(str::to_owned));
    texts.collect()
}

#[cfg(test)]
mod tests {
    use bson::oid::ObjectId;
    use bson::rawdoc;

    use super::*;
    use crate::engine::op::failure::{StateChange, WriteConcernError, WriteError};

    fn command_failure(reply: &RawDocument) -> CommandFailure {
        match check(reply) {
            Err(ReplyFailure::Command(failure)) => *failure,
            other => panic!("{other:?}"),
        }
    }

    fn write_failure(reply: &RawDocument, first_index: usize) -> WriteFailure {
        match check_write(reply, first_index) {
            Err(ReplyFailure::Write(failure)) => *failure,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_top_level_is_read_whatever_its_number_types() {
        let reply = rawdoc! {
            "n": 3_i64, "nModified": 2.0, "ok": 1.0, "unknown": [1, 2],
            "$clusterTime": { "clusterTime": Timestamp { time: 1, increment: 2 } },
            "operationTime": Timestamp { time: 3, increment: 4 },
            "cursor": { "id": 5_i64 },
        };
        let fields = check(&reply).unwrap();
        assert_eq!((fields.n, fields.n_modified), (3, 2));
        assert_eq!(fields.operation_time, Some(Timestamp { time: 3, increment: 4 }));
        assert!(fields.cluster_time.is_some() && fields.cursor.is_some());
    }

    #[test]
    fn a_reply_without_a_true_ok_is_a_failure() {
        let process_id = ObjectId::from_bytes([1; 12]);
        let reply = rawdoc! {
            "ok": 0, "code": 10107, "codeName": "NotWritablePrimary", "errmsg": "not primary",
            "errorLabels": ["RetryableWriteError"],
            "topologyVersion": { "processId": process_id, "counter": 6_i64 },
            "writeConcernError": { "code": 64, "errmsg": "waiting" },
        };
        let failure = command_failure(&reply);
        assert_eq!(failure.to_string(), "not primary (10107 NotWritablePrimary)");
        assert_eq!(failure.labels, ["RetryableWriteError"]);
        let version = TopologyVersion { process_id, counter: 6 };
        assert_eq!(failure.topology_version, Some(version));
        assert_eq!(failure.write_concern_error.as_ref().unwrap().code, 64);
        assert_eq!(failure.raw, reply);
        let failure = ReplyFailure::Command(Box::new(failure));
        let expected = StateChange {
            code: Some(10107),
            message: "not primary",
            topology_version: Some(version),
        };
        assert_eq!(failure.state_change(), Some(expected));

        for silent in [rawdoc! {}, rawdoc! { "ok": 0.0 }, rawdoc! { "ok": "yes" }] {
            assert_eq!(command_failure(&silent).code, None);
        }
    }

    #[test]
    fn write_errors_keep_their_place_in_the_operation() {
        let reply = rawdoc! {
            "ok": 1, "n": 1,
            "writeErrors": [
                { "index": 1, "code": 11000, "codeName": "DuplicateKey", "errmsg": "E11000" },
                { "index": 2_i64, "code": 121, "errmsg": "invalid", "errInfo": { "why": 1 } },
            ],
        };
        let failure = write_failure(&reply, 100);
        let indexes: Vec<_> = failure.write_errors.iter().map(|error| error.index).collect();
        assert_eq!(indexes, [101, 102]);
        assert_eq!(failure.write_errors[1].details, Some(rawdoc! { "why": 1 }));
        assert_eq!(failure.n, 1);
        let text = "write 101 failed: E11000 (11000 DuplicateKey) (and 1 more)";
        assert_eq!(failure.to_string(), text);
        assert!(check(&reply).is_ok(), "the command itself ran");
    }

    #[test]
    fn a_write_error_says_nothing_of_the_state_but_a_write_concern_error_does() {
        let errors = rawdoc! {
            "ok": 1, "writeErrors": [{ "index": 0, "code": 10107, "errmsg": "not primary" }],
        };
        let failure = ReplyFailure::Write(Box::new(write_failure(&errors, 0)));
        assert_eq!(failure.state_change(), None);
        assert_eq!(failure.code(), Some(10107));

        let concern = rawdoc! {
            "ok": 1, "n": 1,
            "writeConcernError": { "code": 91, "codeName": "ShutdownInProgress", "errmsg": "bye" },
        };
        let mut failure = ReplyFailure::Write(Box::new(write_failure(&concern, 0)));
        assert_eq!(failure.state_change().unwrap().code, Some(91));
        assert_eq!(failure.to_string(), "write concern not reached: bye (91 ShutdownInProgress)");
        failure.add_label("RetryableWriteError");
        failure.add_label("RetryableWriteError");
        assert_eq!(failure.labels(), ["RetryableWriteError"]);
        assert!(failure.has_label("RetryableWriteError") && !failure.has_label("Other"));
    }

    #[test]
    fn failures_of_two_batches_become_one() {
        let error = |index| WriteError {
            index,
            code: 11000,
            code_name: None,
            message: "E11000".into(),
            details: None,
        };
        let concern = |code| WriteConcernError {
            code,
            code_name: None,
            message: "waiting".into(),
            details: None,
        };
        let failure = |index, n, code| WriteFailure {
            write_errors: vec![error(index)],
            write_concern_error: Some(concern(code)),
            labels: vec!["a".into()],
            topology_version: None,
            n,
            raw: rawdoc! { "code": code },
        };
        let merged = failure(1, 10, 64).merge(failure(7, 5, 100));
        assert_eq!(merged.write_errors.len(), 2);
        assert_eq!((merged.n, merged.labels.len()), (15, 1));
        assert_eq!(merged.write_concern_error.unwrap().code, 100);
    }

    #[test]
    fn malformed_replies_are_errors() {
        let bad_bson = RawDocumentBuf::from_bytes(vec![7, 0, 0, 0, 0x10, b'a', 0]).unwrap();
        assert!(matches!(check(&bad_bson), Err(ReplyFailure::Malformed { .. })));
        for errors in [
            rawdoc! { "ok": 1, "writeErrors": [1] },
            rawdoc! { "ok": 1, "writeErrors": [{ "code": 1 }] },
            rawdoc! { "ok": 1, "writeErrors": [{ "index": -1 }] },
        ] {
            let found = check_write(&errors, 0).unwrap_err();
            assert!(matches!(found, ReplyFailure::Malformed { .. }), "{found}");
        }
    }
}
