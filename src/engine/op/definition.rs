//! Commands that change what there is, not what is in it: `create`, `drop`, `dropDatabase`,
//! `collMod`, `createIndexes`, `dropIndexes` (specifications collection-management,
//! index-management).
//!
//! They are of one form: a name, a target, fields that have the server's own names, a write
//! concern. None of them is tried again.

use std::fmt::Write as _;
use std::time::Duration;

use bson::raw::{CStr, cstr};
use bson::{Bson, Document, RawArrayBuf, RawBson, RawDocumentBuf};

use super::{
    BuildError, CommandBuilder, CommandContext, Operation, OperationKind, ReplyFailure, reply,
};

/// One such command.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    command: &'static CStr,
    /// The collection; none: the database itself.
    collection: Option<String>,
    /// What is sent besides, in the order in which it was given.
    options: Document,
    /// Of `createIndexes`.
    indexes: Vec<Document>,
}

impl Definition {
    fn new(command: &'static CStr, collection: &str, options: Document) -> Self {
        let (collection, indexes) = (Some(collection.to_owned()), Vec::new());
        Self { command, collection, options, indexes }
    }

    /// Creates a collection or a view.
    pub fn create_collection(name: &str, options: Document) -> Self {
        Self::new(cstr!("create"), name, options)
    }

    /// Changes a collection's options.
    pub fn modify_collection(name: &str, options: Document) -> Self {
        Self::new(cstr!("collMod"), name, options)
    }

    /// Removes a collection with all that is in it.
    pub fn drop_collection(name: &str, options: Document) -> Self {
        Self::new(cstr!("drop"), name, options)
    }

    /// Removes a database with all that is in it.
    pub fn drop_database(options: Document) -> Self {
        Self { collection: None, ..Self::new(cstr!("dropDatabase"), "", options) }
    }

    /// Creates indexes; each is a document with `key` and `name`.
    pub fn create_indexes(collection: &str, indexes: Vec<Document>, options: Document) -> Self {
        Self { indexes, ..Self::new(cstr!("createIndexes"), collection, options) }
    }

    /// Removes the index of this name.
    ///
    /// # Errors
    ///
    /// For `*`: "the driver MUST raise an error since more than one index would be dropped".
    pub fn drop_index(collection: &str, name: &str, options: Document) -> Result<Self, BuildError> {
        if name == "*" {
            return Err(BuildError::AllIndexes);
        }
        Ok(Self::dropping(collection, name, options))
    }

    /// Removes all indexes but that of `_id`.
    pub fn drop_indexes(collection: &str, options: Document) -> Self {
        Self::dropping(collection, "*", options)
    }

    fn dropping(collection: &str, index: &str, options: Document) -> Self {
        let mut all = bson::doc! { "index": index };
        all.extend(options);
        Self::new(cstr!("dropIndexes"), collection, all)
    }
}

/// "When the client generates a name for an index based on the keys, the driver MUST generate the
/// name as key-direction pairs, separated by underscores."
///
/// # Errors
///
/// [`BuildError::NoKeys`].
pub fn index_name(keys: &Document) -> Result<String, BuildError> {
    let mut name = String::new();
    for (key, direction) in keys {
        let separator = if name.is_empty() { "" } else { "_" };
        let _ = match direction {
            Bson::String(kind) => write!(name, "{separator}{key}_{kind}"),
            other => write!(name, "{separator}{key}_{other}"),
        };
    }
    if name.is_empty() { Err(BuildError::NoKeys) } else { Ok(name) }
}

fn indexes(documents: &[Document]) -> Result<RawArrayBuf, BuildError> {
    let mut array = RawArrayBuf::new();
    for document in documents {
        array.push(RawDocumentBuf::try_from(document)?);
    }
    Ok(array)
}

impl Operation for Definition {
    type Output = ();

    fn name(&self) -> &str {
        self.command.as_str()
    }

    fn kind(&self) -> OperationKind {
        OperationKind::Write
    }

    fn build<'a>(
        &'a self,
        context: &CommandContext<'_>,
        into: &mut CommandBuilder<'a>,
    ) -> Result<(), BuildError> {
        match &self.collection {
            Some(collection) => into.append(self.command, collection.as_str()),
            None => into.append(self.command, 1),
        }
        if !self.indexes.is_empty() {
            into.append(cstr!("indexes"), indexes(&self.indexes)?);
        }
        for (key, value) in &self.options {
            match (key.as_str(), value) {
                ("rawData", Bson::Boolean(raw)) => into.raw_data(Some(*raw), context),
                // Which counts only without `timeoutMS`.
                ("maxTimeMS", Bson::Int64(millis)) => {
                    into.max_time(u64::try_from(*millis).ok().map(Duration::from_millis));
                }
                // "Drivers MUST manually raise an error if this option is specified when creating
                // an index on a pre 4.4 server."
                ("commitQuorum", _) if context.max_wire_version < COMMIT_QUORUM_SINCE => {
                    return Err(BuildError::TooOld { what: "commitQuorum", since: "4.4" });
                }
                (key, value) => {
                    into.append(<&CStr>::try_from(key)?, RawBson::try_from(value.clone())?);
                }
            }
        }
        into.write_concern(context);
        Ok(())
    }

    fn read(&self, reply: RawDocumentBuf, _: &CommandContext<'_>) -> Result<(), ReplyFailure> {
        reply::check_write(&reply, 0).map(drop)
    }
}

/// The wire version of server 4.4.
const COMMIT_QUORUM_SINCE: i32 = 9;

#[cfg(test)]
mod tests {
    use bson::{doc, rawdoc};

    use super::*;
    use crate::engine::op::testing::{command, plain};
    use crate::engine::op::{Retryability, WriteFailure};

    #[test]
    fn each_has_its_form() {
        let options = || doc! { "comment": "why" };
        for (operation, expected) in [
            (
                Definition::create_collection("ports", doc! { "capped": true, "size": 100 }),
                doc! { "create": "ports", "capped": true, "size": 100, "$db": "harbour" },
            ),
            (
                Definition::modify_collection("ports", doc! { "validator": { "a": 1 } }),
                doc! { "collMod": "ports", "validator": { "a": 1 }, "$db": "harbour" },
            ),
            (
                Definition::drop_collection("ports", options()),
                doc! { "drop": "ports", "comment": "why", "$db": "harbour" },
            ),
            (
                Definition::drop_database(options()),
                doc! { "dropDatabase": 1, "comment": "why", "$db": "harbour" },
            ),
            (
                Definition::create_indexes("ports", vec![doc! { "key": { "a": 1 } }], options()),
                doc! {
                    "createIndexes": "ports", "indexes": [{ "key": { "a": 1 } }],
                    "comment": "why", "$db": "harbour",
                },
            ),
            (
                Definition::drop_index("ports", "a_1", options()).unwrap(),
                doc! { "dropIndexes": "ports", "index": "a_1", "comment": "why", "$db": "harbour" },
            ),
            (
                Definition::drop_indexes("ports", doc! {}),
                doc! { "dropIndexes": "ports", "index": "*", "$db": "harbour" },
            ),
        ] {
            assert_eq!(plain(&operation), expected);
            assert_eq!(operation.retryability(), Retryability::None);
            assert_eq!(operation.kind(), OperationKind::Write);
        }
        let star = Definition::drop_index("ports", "*", doc! {});
        assert_eq!(star.unwrap_err(), BuildError::AllIndexes);
    }

    #[test]
    fn what_a_server_is_too_old_for_is_left_out_or_refused() {
        let at = |options: Document, max_wire_version| {
            let concern = rawdoc! { "w": "majority" };
            let context = CommandContext {
                max_wire_version,
                write_concern: Some(&concern),
                ..CommandContext::new("harbour")
            };
            command(&Definition::drop_collection("ports", options), &context)
        };
        let expected =
            doc! { "drop": "ports", "writeConcern": { "w": "majority" }, "$db": "harbour" };
        assert_eq!(at(doc! { "rawData": true }, 26), Ok(expected));
        assert!(at(doc! { "rawData": true }, 27).unwrap().contains_key("rawData"));
        assert!(at(doc! { "commitQuorum": 1 }, 9).is_ok());
        let error = at(doc! { "commitQuorum": 1 }, 8).unwrap_err();
        assert_eq!(error, BuildError::TooOld { what: "commitQuorum", since: "4.4" });
    }

    #[test]
    fn an_index_is_named_by_its_keys() {
        let name = index_name(&doc! { "name": 1, "dob": -1, "text": "2dsphere" });
        assert_eq!(name.unwrap(), "name_1_dob_-1_text_2dsphere");
        assert_eq!(index_name(&doc! {}), Err(BuildError::NoKeys));
    }

    #[test]
    fn a_write_concern_error_is_an_error() {
        let operation = Definition::drop_database(doc! {});
        let reply = rawdoc! { "ok": 1, "writeConcernError": { "code": 64, "errmsg": "slow" } };
        let failure = operation.read(reply, &CommandContext::new("harbour")).unwrap_err();
        let ReplyFailure::Write(failure) = failure else { panic!("{failure}") };
        let WriteFailure { write_concern_error: Some(error), .. } = *failure else { panic!() };
        assert_eq!(error.code, 64);
    }
}
