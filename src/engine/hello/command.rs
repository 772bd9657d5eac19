//! The hello command: the first words of every connection, and the monitors' question.
//!
//! Specification: mongodb-handshake "Connection handshake"; server-monitoring "Awaitable hello or
//! legacy hello Server Specification" for the waiting form.

use std::time::Duration;

use bson::raw::cstr;
use bson::{RawArrayBuf, RawDocument, RawDocumentBuf};

use super::{ClientMetadata, ServerApi, TopologyVersion};
use crate::engine::wire::{Flags, OpMsgBuilder, WireError, encode_query};

/// One hello, as facts; the rules of its form are here.
///
/// ```
/// use portolan::engine::hello::HelloCommand;
///
/// let check = HelloCommand { hello_ok: true, ..HelloCommand::default() };
/// let mut buffer = Vec::new();
/// let length = check.encode(&mut buffer, 1)?;
/// assert_eq!(length, buffer.len());
/// # Ok::<(), portolan::engine::wire::WireError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct HelloCommand<'a> {
    /// Whether the server said `helloOk`: then the command is `hello`, else legacy hello.
    pub hello_ok: bool,
    /// Makes this the first hello of its connection, which introduces the client. Later ones MUST
    /// NOT contain the arguments of a handshake.
    pub client_metadata: Option<&'a ClientMetadata>,
    /// The Stable API that the client declares: then every hello is `hello`, by OP_MSG.
    pub server_api: Option<ServerApi>,
    /// Whether the connection goes to a load balancer.
    pub load_balanced: bool,
    /// In a handshake: the compressors that the client offers, the preferred one first.
    pub compression: &'a [&'a str],
    /// What the client knows of the server: with `max_await_time`, the server answers once it
    /// knows something newer.
    pub topology_version: Option<TopologyVersion>,
    /// How long the server may wait; only with `topology_version`.
    pub max_await_time: Option<Duration>,
    /// Whether the server may go on to answer unasked (the streaming protocol); only where it may
    /// wait.
    pub exhaust: bool,
    /// Whose mechanisms the server is to name ("dbname.username"); never on a monitor's connection.
    pub sasl_supported_mechs: Option<&'a str>,
    /// The first command of an authentication, which the server answers with the hello.
    pub speculative_authenticate: Option<&'a RawDocument>,
    /// How a handshake by legacy hello travels.
    pub legacy_protocol: LegacyProtocol,
}

/// The message that carries the legacy hello of a handshake.
///
/// Servers of 3.6 and later accept both; for older ones the first words must be OP_QUERY, or they
/// close the connection without saying which versions they support. The specification asks for
/// OP_MSG since June 2026, when it gave up all servers before 4.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LegacyProtocol {
    /// Every server understands it, also one that is too old for this driver and is to say so.
    OpQuery,
    /// Servers of 3.6 and later understand it.
    #[default]
    OpMsg,
}

impl HelloCommand<'_> {
    /// Whether the command is `hello` and not legacy hello.
    ///
    /// "If a server API version is requested or `loadBalanced: True`, drivers MUST also use the
    /// `hello` command for the initial handshake."
    pub fn is_hello(&self) -> bool {
        self.hello_ok || self.load_balanced || self.server_api.is_some()
    }

    /// Whether the server may wait before it answers. A reader adds the waiting time to its own
    /// deadline, and such a round trip is no measure of the network.
    pub fn is_awaitable(&self) -> bool {
        self.topology_version.is_some() && self.max_await_time.is_some()
    }

    /// Whether the message is OP_QUERY, which needs no `$db`.
    pub fn is_op_query(&self) -> bool {
        let handshake = self.client_metadata.is_some();
        handshake && !self.is_hello() && self.legacy_protocol == LegacyProtocol::OpQuery
    }

    /// The command, `$db` included where the message is OP_MSG.
    pub fn to_document(&self) -> RawDocumentBuf {
        let mut command = RawDocumentBuf::new();
        if self.is_hello() {
            command.append(cstr!("hello"), 1);
        } else {
            command.append(cstr!("isMaster"), 1);
            command.append(cstr!("helloOk"), true);
        }
        self.append_awaiting(&mut command);
        self.append_handshake(&mut command);
        if let Some(name) = self.sasl_supported_mechs {
            command.append(cstr!("saslSupportedMechs"), name);
        }
        if let Some(first) = self.speculative_authenticate {
            command.append(cstr!("speculativeAuthenticate"), first.to_owned());
        }
        if let Some(api) = self.server_api {
            api.append_to(&mut command);
        }
        if !self.is_op_query() {
            command.append(cstr!("$db"), "admin");
        }
        command
    }

    /// Appends the whole message; returns its length.
    ///
    /// # Errors
    ///
    /// [`WireError::Oversized`], which no hello reaches.
    pub fn encode(&self, into: &mut Vec<u8>, request_id: i32) -> Result<usize, WireError> {
        let command = self.to_document();
        if self.is_op_query() {
            return encode_query(into, request_id, &command);
        }
        let exhaust = self.exhaust && self.is_awaitable();
        let flags = if exhaust { Flags::EXHAUST_ALLOWED } else { Flags::NONE };
        let mut message = OpMsgBuilder::begin(into, request_id, 0, flags);
        message.body(&command);
        message.finish()
    }

    /// Both or neither: a server refuses one without the other.
    fn append_awaiting(&self, command: &mut RawDocumentBuf) {
        let (Some(known), Some(time)) = (&self.topology_version, self.max_await_time) else {
            return;
        };
        let mut version = RawDocumentBuf::new();
        version.append(cstr!("processId"), known.process_id);
        version.append(cstr!("counter"), known.counter);
        command.append(cstr!("topologyVersion"), version);
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        command.append(cstr!("maxAwaitTimeMS"), millis);
    }

    fn append_handshake(&self, command: &mut RawDocumentBuf) {
        let Some(metadata) = self.client_metadata else { return };
        if self.load_balanced {
            command.append(cstr!("loadBalanced"), true);
        }
        command.append(cstr!("client"), metadata.to_document());
        command.append(cstr!("backpressure"), BACKPRESSURE);
        // "When no compression is enabled on the client, drivers SHOULD send an empty" list.
        let mut names = RawArrayBuf::new();
        self.compression.iter().for_each(|name| names.push(*name));
        command.append(cstr!("compression"), names);
    }
}

/// The version of client-backpressure that this driver speaks: a text, not a number.
const BACKPRESSURE: &str = "2";

#[cfg(test)]
mod tests {
    use bson::oid::ObjectId;
    use bson::{Document, doc};

    use super::*;
    use crate::engine::hello::{EnvMetadata, OsMetadata};
    use crate::engine::wire::{Header, Message, OpCode, OpQuery, Reply};

    fn metadata() -> ClientMetadata {
        ClientMetadata::new(OsMetadata::default(), "test", EnvMetadata::default())
    }

    /// The document and the op code that a server would see.
    fn sent(command: &HelloCommand<'_>) -> (OpCode, Document) {
        let mut buffer = Vec::new();
        assert_eq!(command.encode(&mut buffer, 5).unwrap(), buffer.len());
        let header = Header::of_frame(&buffer).unwrap();
        assert_eq!((header.request_id, header.response_to), (5, 0));
        let raw = match header.op_code {
            OpCode::Query => OpQuery::parse(buffer).unwrap().document,
            _ => Reply::parse(buffer).unwrap().message.into_document(),
        };
        (header.op_code, Document::try_from(raw).unwrap())
    }

    fn version() -> TopologyVersion {
        TopologyVersion { process_id: ObjectId::from_bytes([1; 12]), counter: 4 }
    }

    #[test]
    fn the_first_words_are_legacy_hello_with_the_client() {
        let metadata = metadata();
        let first = HelloCommand { client_metadata: Some(&metadata), ..Default::default() };
        let client = Document::try_from(metadata.to_document()).unwrap();
        let mut expected =
            doc! { "isMaster": 1, "helloOk": true, "client": client, "backpressure": "2" };
        expected.insert("compression", bson::Array::new());
        let query = HelloCommand { legacy_protocol: LegacyProtocol::OpQuery, ..first };
        assert_eq!(sent(&query), (OpCode::Query, expected.clone()));

        expected.insert("$db", "admin");
        assert_eq!(sent(&first), (OpCode::Msg, expected));
    }

    #[test]
    fn a_load_balanced_client_begins_with_hello() {
        let metadata = metadata();
        let first = HelloCommand {
            client_metadata: Some(&metadata),
            load_balanced: true,
            ..Default::default()
        };
        let (op_code, document) = sent(&first);
        assert_eq!(op_code, OpCode::Msg, "hello must always be sent using OP_MSG");
        let keys: Vec<_> = document.keys().collect();
        assert_eq!(keys, ["hello", "loadBalanced", "client", "backpressure", "compression", "$db"]);
    }

    // SM-04.
    #[test]
    fn a_client_that_declares_an_api_says_hello_from_the_first_word_on() {
        let metadata = metadata();
        let later = HelloCommand { server_api: Some(ServerApi::V1), ..Default::default() };
        let expected = doc! { "hello": 1, "apiVersion": "1", "$db": "admin" };
        assert_eq!(sent(&later), (OpCode::Msg, expected));
        let first = HelloCommand {
            client_metadata: Some(&metadata),
            legacy_protocol: LegacyProtocol::OpQuery,
            server_api: Some(ServerApi::V1.strict(true)),
            ..later
        };
        let (op_code, document) = sent(&first);
        assert_eq!(op_code, OpCode::Msg);
        let keys: Vec<_> = document.keys().collect();
        let expected =
            ["hello", "client", "backpressure", "compression", "apiVersion", "apiStrict", "$db"];
        assert_eq!(keys, expected);
    }

    #[test]
    fn later_words_have_no_arguments_of_a_handshake() {
        let later = HelloCommand { hello_ok: true, compression: &["zlib"], ..Default::default() };
        assert_eq!(sent(&later), (OpCode::Msg, doc! { "hello": 1, "$db": "admin" }));
        let later = HelloCommand { hello_ok: false, ..later };
        let expected = doc! { "isMaster": 1, "helloOk": true, "$db": "admin" };
        assert_eq!(sent(&later), (OpCode::Msg, expected));
    }

    #[test]
    fn compressors_are_offered_in_their_order() {
        let metadata = metadata();
        let first = HelloCommand {
            client_metadata: Some(&metadata),
            compression: &["zstd", "snappy"],
            ..Default::default()
        };
        let offered = sent(&first).1.get_array("compression").unwrap().clone();
        assert_eq!(offered, ["zstd".into(), "snappy".into()]);
    }

    #[test]
    fn awaiting_needs_both_arguments() {
        let both = HelloCommand {
            hello_ok: true,
            topology_version: Some(version()),
            max_await_time: Some(Duration::from_secs(10)),
            ..Default::default()
        };
        assert!(both.is_awaitable());
        let expected = doc! {
            "hello": 1,
            "topologyVersion": { "processId": version().process_id, "counter": 4_i64 },
            "maxAwaitTimeMS": 10_000_i64,
            "$db": "admin",
        };
        assert_eq!(sent(&both).1, expected);
        let plain = doc! { "hello": 1, "$db": "admin" };
        for one in [
            HelloCommand { topology_version: None, ..both },
            HelloCommand { max_await_time: None, ..both },
        ] {
            assert!(!one.is_awaitable());
            assert_eq!(sent(&one).1, plain);
        }
    }

    #[test]
    fn exhaust_is_allowed_only_where_the_server_may_wait() {
        let flags = |command: &HelloCommand<'_>| {
            let mut buffer = Vec::new();
            command.encode(&mut buffer, 1).unwrap();
            match Reply::parse(buffer).unwrap().message {
                Message::Msg(message) => message.flags,
                Message::Reply(_) => panic!("not an OP_MSG"),
            }
        };
        let streaming = HelloCommand {
            hello_ok: true,
            topology_version: Some(version()),
            max_await_time: Some(Duration::from_secs(10)),
            exhaust: true,
            ..Default::default()
        };
        assert_eq!(flags(&streaming), Flags::EXHAUST_ALLOWED);
        assert_eq!(flags(&HelloCommand { exhaust: false, ..streaming }), Flags::NONE);
        assert_eq!(flags(&HelloCommand { topology_version: None, ..streaming }), Flags::NONE);
    }
}
