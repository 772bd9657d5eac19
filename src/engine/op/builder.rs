//! A command while it is built.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bson::raw::{BindRawBsonRef, CStr, cstr};
use bson::{Document, RawArrayBuf, RawDocument, RawDocumentBuf};

use super::argument::{EMPTY, append};
use super::{
    ArrayArgument, CommandContext, DocumentArgument, MaxTime, TransactionPlace, ValueArgument,
};
use crate::engine::wire::{Flags, OpMsgBuilder, WireError};

/// Why a command cannot be sent: always the caller's documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// A command without its name.
    EmptyCommand,
    /// An insert of nothing.
    NoDocuments,
    /// A document larger than the server accepts.
    DocumentTooLarge {
        /// Its place among the documents of the operation.
        index: usize,
        /// Its bytes.
        length: usize,
        /// Bytes that the server accepts.
        max: usize,
    },
    /// An update whose document has no operator.
    EmptyUpdate,
    /// An update whose document is a replacement.
    ReplacementInUpdate {
        /// The document's first key, which is no operator.
        first_key: String,
    },
    /// Options on the time of a cursor that do not go together; what to change.
    CursorTime(&'static str),
    /// A replacement whose document is an update.
    OperatorInReplacement {
        /// The document's first key, which is an operator.
        first_key: String,
    },
    /// A bulk write of nothing.
    NoModels,
    /// Something that the server is too old for, and would pass over in silence.
    TooOld {
        /// What.
        what: &'static str,
        /// The first version that has it.
        since: &'static str,
    },
    /// `*` in the place of an index's name, which would remove them all.
    AllIndexes,
    /// An index without keys.
    NoKeys,
    /// A document is no BSON, or a key contains a zero byte; what the encoder says.
    BadBson(String),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyCommand => write!(f, "the command is an empty document"),
            Self::NoDocuments => write!(f, "there are no documents to insert"),
            Self::DocumentTooLarge { index, length, max } => write!(
                f,
                "document {index} has {length} bytes, where the server accepts at most {max}"
            ),
            Self::EmptyUpdate => {
                write!(f, "the update is empty: it needs at least one operator such as $set")
            }
            Self::ReplacementInUpdate { first_key } => write!(
                f,
                "the update begins with \"{first_key}\", which is no operator: every key must \
                 begin with $ (to replace a whole document, use replace_one)"
            ),
            Self::CursorTime(why) => f.write_str(why),
            Self::OperatorInReplacement { first_key } => write!(
                f,
                "the replacement begins with \"{first_key}\", which is an operator: a replacement \
                 is a whole document (to change fields, use update_one)"
            ),
            Self::NoModels => write!(f, "there is nothing to write"),
            Self::TooOld { what, since } => {
                write!(f, "{what} needs a server of version {since} or later")
            }
            Self::AllIndexes => {
                write!(f, "\"*\" would remove all indexes: use drop_indexes for that")
            }
            Self::NoKeys => write!(f, "an index needs at least one key"),
            Self::BadBson(text) => write!(f, "a document cannot be sent: {text}"),
        }
    }
}

impl std::error::Error for BuildError {}

impl From<bson::error::Error> for BuildError {
    fn from(error: bson::error::Error) -> Self {
        Self::BadBson(error.to_string())
    }
}

/// Which index an operation should use.
#[derive(Clone, Debug, PartialEq)]
pub enum Hint {
    /// The index of these keys.
    Keys(DocumentArgument),
    /// The index of this name.
    Name(String),
}

impl From<Document> for Hint {
    fn from(keys: Document) -> Self {
        Self::Keys(keys.into())
    }
}

/// A command: its body, and the documents that travel beside it.
#[derive(Clone, Debug)]
pub struct CommandBuilder<'a> {
    body: RawDocumentBuf,
    sequence: Option<(&'static CStr, Cow<'a, [RawDocumentBuf]>)>,
    /// The body came from the user and may contain what the driver would add.
    foreign: bool,
    max_time: MaxTime,
}

impl Default for CommandBuilder<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> CommandBuilder<'a> {
    /// An empty command.
    pub fn new() -> Self {
        let mut bytes = Vec::with_capacity(USUAL_LENGTH);
        bytes.extend_from_slice(&EMPTY);
        let body = RawDocumentBuf::from_bytes(bytes).expect("these are the empty document's bytes");
        Self { body, sequence: None, foreign: false, max_time: MaxTime::default() }
    }

    /// An empty command whose `maxTimeMS` comes about like this.
    pub(super) fn within(max_time: MaxTime) -> Self {
        Self { max_time, ..Self::new() }
    }

    /// Takes the user's own command as it is.
    pub(super) fn set_body(&mut self, body: RawDocumentBuf) {
        self.body = body;
        self.foreign = true;
    }

    pub(super) fn body_mut(&mut self) -> &mut RawDocumentBuf {
        &mut self.body
    }

    /// Appends one argument.
    pub fn append(&mut self, key: &CStr, value: impl BindRawBsonRef) {
        self.body.append(key, value);
    }

    /// Appends an argument that is there.
    pub fn optional(&mut self, key: &CStr, value: Option<impl BindRawBsonRef>) {
        if let Some(value) = value {
            self.body.append(key, value);
        }
    }

    /// Appends a flag that is set.
    pub fn flag(&mut self, key: &CStr, value: bool) {
        if value {
            self.body.append(key, true);
        }
    }

    /// Appends a document that is there.
    ///
    /// # Errors
    ///
    /// If it is no BSON.
    pub fn document(
        &mut self,
        key: &CStr,
        value: Option<&DocumentArgument>,
    ) -> Result<(), BuildError> {
        append(&mut self.body, key, value)
    }

    /// Appends a value that is there.
    ///
    /// # Errors
    ///
    /// If it is no BSON.
    pub fn bson(&mut self, key: &CStr, value: Option<&ValueArgument>) -> Result<(), BuildError> {
        append(&mut self.body, key, value)
    }

    /// Appends an array of documents that is there.
    ///
    /// # Errors
    ///
    /// If one of them is no BSON.
    pub fn array(&mut self, key: &CStr, value: Option<&ArrayArgument>) -> Result<(), BuildError> {
        append(&mut self.body, key, value)
    }

    /// Appends a hint that is there.
    ///
    /// # Errors
    ///
    /// If its document is no BSON.
    pub fn hint(&mut self, hint: Option<&Hint>) -> Result<(), BuildError> {
        append_hint(&mut self.body, hint)
    }

    /// Appends the operation's own `maxTimeMS`, which counts only without `timeoutMS`.
    pub fn max_time(&mut self, time: Option<Duration>) {
        if self.max_time == MaxTime::OfOperation {
            self.optional(cstr!("maxTimeMS"), time.map(whole_millis));
        }
    }

    /// Appends `readConcern`, unless it is the server's default.
    pub fn read_concern(&mut self, context: &CommandContext<'_>) {
        let own = context.read_concern.filter(|concern| !concern.is_empty());
        self.optional(cstr!("readConcern"), own.filter(|_| context.session_concern.is_none()));
    }

    /// Appends `writeConcern`, unless it is the server's default.
    pub fn write_concern(&mut self, context: &CommandContext<'_>) {
        let concern = context.write_concern.filter(|concern| !concern.is_empty());
        self.optional(cstr!("writeConcern"), concern);
    }

    /// Appends `rawData`: "MUST NOT be sent when connected to pre-8.2 servers".
    pub fn raw_data(&mut self, value: Option<bool>, context: &CommandContext<'_>) {
        let known = context.max_wire_version >= RAW_DATA_SINCE;
        self.optional(cstr!("rawData"), value.filter(|_| known));
    }

    /// Lets the argument `identifier` travel beside the body (OP_MSG "Command Arguments As
    /// Payload").
    pub fn sequence(
        &mut self,
        identifier: &'static CStr,
        documents: impl Into<Cow<'a, [RawDocumentBuf]>>,
    ) {
        self.sequence = Some((identifier, documents.into()));
    }

    /// Appends what every command has ("Global Command Arguments"; sessions, cluster time).
    pub fn append_globals(&mut self, context: &CommandContext<'_>) {
        self.global(cstr!("readConcern"), context.session_concern);
        self.global(cstr!("lsid"), context.lsid);
        self.global(cstr!("txnNumber"), context.txn_number);
        if let Some(place) = context.transaction {
            let first = (place == TransactionPlace::First).then_some(true);
            self.global(cstr!("startTransaction"), first);
            self.global(cstr!("autocommit"), Some(false));
        }
        self.global(cstr!("$clusterTime"), context.cluster_time);
        self.global(cstr!("$readPreference"), context.read_preference);
        self.global(cstr!("$db"), Some(context.database));
        // Also beside one that a user's own command has: "MUST NOT attempt to check".
        if let MaxTime::Exactly(time) = context.max_time {
            self.append(cstr!("maxTimeMS"), whole_millis(time).min(MAX_MAX_TIME));
        }
        if let Some(api) = context.server_api {
            // Versioned-api "Generic command helper": "MUST NOT inspect the command document".
            api.append_to(&mut self.body);
        }
    }

    fn global(&mut self, key: &CStr, value: Option<impl BindRawBsonRef>) {
        if self.foreign && matches!(self.body.get(key.as_str()), Ok(Some(_))) {
            return;
        }
        self.optional(key, value);
    }

    /// The command without the documents beside it.
    pub fn body(&self) -> &RawDocument {
        &self.body
    }

    /// Appends the whole message to `into`; returns its length.
    ///
    /// # Errors
    ///
    /// [`WireError::Oversized`] for a message that no header can describe.
    pub fn encode(
        &self,
        into: &mut Vec<u8>,
        request_id: i32,
        flags: Flags,
    ) -> Result<usize, WireError> {
        let mut message = OpMsgBuilder::begin(into, request_id, 0, flags);
        message.body(&self.body);
        if let Some((identifier, documents)) = &self.sequence {
            message.sequence(identifier, documents.iter());
        }
        message.finish()
    }

    /// The command as one document, as command events show it.
    pub fn to_document(&self) -> RawDocumentBuf {
        let mut document = self.body.clone();
        if let Some((identifier, documents)) = &self.sequence {
            let array: RawArrayBuf = documents.iter().map(|document| &**document).collect();
            document.append(*identifier, array);
        }
        document
    }
}

/// Appends a hint that is there to any raw document.
pub(super) fn append_hint(
    into: &mut RawDocumentBuf,
    hint: Option<&Hint>,
) -> Result<(), BuildError> {
    match hint {
        None => {}
        Some(Hint::Keys(keys)) => append(into, cstr!("hint"), Some(keys))?,
        Some(Hint::Name(name)) => into.append(cstr!("hint"), name.as_str()),
    }
    Ok(())
}

/// Whole milliseconds, rounded up: a server reads 0 as "no limit".
pub fn whole_millis(time: Duration) -> i64 {
    match i64::try_from(time.as_secs()) {
        Ok(secs) => {
            let rest = time.subsec_nanos().div_ceil(1_000_000);
            secs.saturating_mul(1000).saturating_add(rest.into())
        }
        Err(_) => i64::MAX,
    }
}

/// The longest that servers take.
const MAX_MAX_TIME: i64 = i32::MAX as i64;
/// The wire version of server 8.2.
const RAW_DATA_SINCE: i32 = 27;

/// Most commands fit without a second allocation.
const USUAL_LENGTH: usize = 256;

#[cfg(test)]
mod tests {
    use bson::{doc, rawdoc};

    use super::*;
    use crate::engine::hello::ServerApi;
    use crate::engine::wire::{Message, Reply};

    #[test]
    fn globals_come_last_and_in_order() {
        let (lsid, time) = (rawdoc! { "id": 1 }, rawdoc! { "clusterTime": 2 });
        let preference = rawdoc! { "mode": "secondary" };
        let context = CommandContext {
            lsid: Some(&lsid),
            txn_number: Some(5),
            cluster_time: Some(&time),
            read_preference: Some(&preference),
            server_api: Some(ServerApi::V1.strict(true)),
            ..CommandContext::new("harbour")
        };
        let mut builder = CommandBuilder::new();
        builder.append(cstr!("ping"), 1);
        builder.append_globals(&context);
        let expected = doc! {
            "ping": 1, "lsid": { "id": 1 }, "txnNumber": 5_i64,
            "$clusterTime": { "clusterTime": 2 }, "$readPreference": { "mode": "secondary" },
            "$db": "harbour", "apiVersion": "1", "apiStrict": true,
        };
        assert_eq!(Document::try_from(builder.body()).unwrap(), expected);
    }

    #[test]
    fn a_sequence_travels_beside_the_body_and_shows_as_an_array() {
        let documents = [rawdoc! { "_id": 1 }, rawdoc! { "_id": 2 }];
        let mut builder = CommandBuilder::new();
        builder.append(cstr!("insert"), "ports");
        builder.sequence(cstr!("documents"), documents.as_slice());
        let mut buffer = Vec::new();
        builder.encode(&mut buffer, 3, Flags::MORE_TO_COME).unwrap();
        let reply = Reply::parse(buffer).unwrap();
        assert_eq!(reply.header.request_id, 3);
        let Message::Msg(message) = reply.message else { panic!("not an OP_MSG") };
        assert_eq!(message.flags, Flags::MORE_TO_COME);
        assert_eq!(&*message.body, builder.body());
        assert_eq!(message.sequences[0].iter().count(), 2);
        let whole = Document::try_from(builder.to_document()).unwrap();
        assert_eq!(whole, doc! { "insert": "ports", "documents": [{ "_id": 1 }, { "_id": 2 }] });
    }

    #[test]
    fn a_time_is_never_rounded_to_no_limit() {
        assert_eq!(whole_millis(Duration::from_micros(1)), 1);
        assert_eq!(whole_millis(Duration::from_millis(7)), 7);
        assert_eq!(whole_millis(Duration::from_micros(7001)), 8);
        assert_eq!(whole_millis(Duration::ZERO), 0);
        assert_eq!(whole_millis(Duration::MAX), i64::MAX);
    }

    #[test]
    fn errors_say_what_to_do() {
        let too_large = BuildError::DocumentTooLarge { index: 3, length: 20, max: 16 };
        assert!(too_large.to_string().contains("document 3 has 20 bytes"));
        let key_with_zero = doc! { "a\0b": 1 }.into();
        let mut builder = CommandBuilder::new();
        let error = builder.document(cstr!("filter"), Some(&key_with_zero)).unwrap_err();
        assert!(matches!(error, BuildError::BadBson(_)));
    }
}
