//! The conversation on one connection of a monitor or probe: hello after hello.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bson::RawDocumentBuf;
use serde::{Deserialize, Serialize};

use super::settings::MonitorSettings;
use crate::engine::hello::{HelloCommand, HelloReply, ReplyError, TopologyVersion};
use crate::engine::op::Ping;
use crate::engine::time::{Instant, Shown};
use crate::engine::wire::{self, Compression, DEFAULT_MAX_MESSAGE_SIZE, WireError};

/// Why a check failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkError {
    kind: LinkErrorKind,
    message: String,
    topology_version: Option<TopologyVersion>,
    /// Whether the server answered so because it has too much to do.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    overload: bool,
}

/// What is wrong with TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum TlsProblem {
    /// The server's certificate has expired.
    Expired,
    /// The server's certificate is not valid yet.
    NotYetValid,
    /// The server's certificate is of another host.
    WrongHost,
    /// The server's certificate is of no authority that is trusted.
    Untrusted,
    /// The server's certificate was revoked.
    Revoked,
    /// The server's certificate is bad in another way.
    BadCertificate,
    /// The server refuses the client's certificate, or wants one.
    ClientCertificate,
    /// What the server sends is not TLS.
    NotTls,
    /// The connection broke during the handshake: an I/O error, which may have any cause.
    BrokenOff,
    /// The handshake failed in another way: no common version, say.
    Handshake,
}

impl TlsProblem {
    /// All of them: a problem's place here stands for it where no name can be sent.
    pub const ALL: [Self; 10] = [
        Self::Expired,
        Self::NotYetValid,
        Self::WrongHost,
        Self::Untrusted,
        Self::Revoked,
        Self::BadCertificate,
        Self::ClientCertificate,
        Self::NotTls,
        Self::BrokenOff,
        Self::Handshake,
    ];
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LinkErrorKind {
    /// The connection broke or could not be opened.
    Network,
    /// The server's name does not resolve.
    Unresolved,
    /// The proxy does not lead to the server.
    Proxy,
    /// The two ends do not agree on TLS.
    Tls(TlsProblem),
    /// Something took longer than its limit: a network error too.
    Timeout,
    /// The server answered with an error.
    Command,
    /// What the server sent is not a message, or no reply to hello.
    Protocol,
}

impl LinkErrorKind {
    /// CMAP "Backpressure-enabled": whether the server's overload may be the cause. Never of "DNS
    /// lookup failures, non-I/O TLS errors (...), or errors encountered while establishing a
    /// connection to a SOCKS5 proxy".
    pub fn may_be_overload(self) -> bool {
        match self {
            Self::Network | Self::Timeout | Self::Tls(TlsProblem::BrokenOff) => true,
            Self::Unresolved | Self::Proxy | Self::Tls(_) | Self::Command | Self::Protocol => false,
        }
    }
}

impl LinkError {
    /// The connection could not be opened, for this reason.
    pub fn opening(kind: LinkErrorKind, message: impl fmt::Display) -> Self {
        Self::new(kind, message.to_string())
    }

    /// A broken connection, in the words of the runtime.
    pub fn network(message: impl fmt::Display) -> Self {
        Self::new(LinkErrorKind::Network, message.to_string())
    }

    /// Something (`what`) did not happen within `limit`.
    pub(super) fn timeout(what: &str, limit: Duration) -> Self {
        Self::new(LinkErrorKind::Timeout, format!("{what} within {}", Shown(limit)))
    }

    fn new(kind: LinkErrorKind, message: String) -> Self {
        Self { kind, message, topology_version: None, overload: false }
    }

    /// What happened, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What kind of failure it was.
    pub fn kind(&self) -> LinkErrorKind {
        self.kind
    }

    /// Whether the connection failed, rather than the command on it.
    pub(super) fn is_network(&self) -> bool {
        match self.kind {
            LinkErrorKind::Network
            | LinkErrorKind::Unresolved
            | LinkErrorKind::Proxy
            | LinkErrorKind::Tls(_)
            | LinkErrorKind::Timeout
            | LinkErrorKind::Protocol => true,
            LinkErrorKind::Command => false,
        }
    }

    pub(super) fn is_timeout(&self) -> bool {
        self.kind == LinkErrorKind::Timeout
    }

    /// Whether the server sheds load (label "SystemOverloadedError").
    pub(super) fn is_overload(&self) -> bool {
        self.overload
    }

    pub(super) fn topology_version(&self) -> Option<TopologyVersion> {
        self.topology_version
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for LinkError {}

impl From<WireError> for LinkError {
    fn from(error: WireError) -> Self {
        Self::new(LinkErrorKind::Protocol, error.to_string())
    }
}

impl From<ReplyError> for LinkError {
    fn from(error: ReplyError) -> Self {
        let message = error.to_string();
        match error {
            ReplyError::Command { topology_version, overload, .. } => {
                let error = Self::new(LinkErrorKind::Command, message);
                Self { topology_version, overload, ..error }
            }
            ReplyError::Malformed { .. } | ReplyError::NotLoadBalanced => {
                Self::new(LinkErrorKind::Protocol, message)
            }
        }
    }
}

/// A reply to hello, and whether the server will send the next unasked.
pub(super) struct Answer {
    pub(super) reply: HelloReply,
    /// The reply as it came.
    pub(super) document: RawDocumentBuf,
    pub(super) more_to_come: bool,
}

/// The conversation on one connection.
#[derive(Debug)]
pub(super) struct Exchange {
    settings: Arc<MonitorSettings>,
    /// Whether the first hello was sent: the connection is in use.
    open: bool,
    /// Whether the server accepts `hello` in place of legacy hello.
    hello_ok: bool,
    /// Whether it did on the connection before this one.
    hello_was_ok: bool,
    /// Which message the next reply answers: a request, or the reply before it in a stream.
    awaited: i32,
    next_request: i32,
}

impl Exchange {
    pub(super) fn new(settings: Arc<MonitorSettings>) -> Self {
        let (hello_ok, hello_was_ok) = (false, false);
        Self { settings, open: false, hello_ok, hello_was_ok, awaited: 0, next_request: 1 }
    }

    /// What the client says of itself has changed: the next first hello says so.
    pub(super) fn describe(&mut self, settings: Arc<MonitorSettings>) {
        self.settings = settings;
    }

    /// The connection is gone.
    pub(super) fn reset(&mut self) {
        self.open = false;
        self.hello_ok = false;
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// The first hello of a new connection: it says who the client is.
    pub(super) fn first_hello(&mut self) -> Vec<u8> {
        self.open = true;
        self.hello_ok = false;
        let settings = self.settings.clone();
        let compression = self.compression().names();
        self.encode(HelloCommand {
            client_metadata: Some(&settings.metadata),
            compression: &compression,
            ..HelloCommand::default()
        })
    }

    /// The first hello on a connection that has shaken hands before.
    pub(super) fn hello_again(&mut self) -> Vec<u8> {
        self.open = true;
        // Legacy hello is understood by all: where nothing is known, it will do.
        self.hello_ok = self.hello_was_ok;
        self.hello()
    }

    /// A hello that the server answers at once.
    pub(super) fn hello(&mut self) -> Vec<u8> {
        self.encode(HelloCommand::default())
    }

    /// A hello that the server answers when something has changed since `version`, and goes on to
    /// answer (exhaust); at the latest after a heartbeat.
    pub(super) fn awaitable_hello(&mut self, version: TopologyVersion) -> Vec<u8> {
        let wait = self.settings.heartbeat_frequency;
        self.encode(HelloCommand {
            topology_version: Some(version),
            max_await_time: Some(wait),
            exhaust: true,
            ..HelloCommand::default()
        })
    }

    /// A `ping`.
    pub(super) fn ping(&mut self) -> Vec<u8> {
        self.awaited = self.next_request;
        self.next_request = self.next_request.wrapping_add(1);
        let mut message = Vec::new();
        Ping::encode(&mut message, self.awaited, self.settings.server_api)
            .expect("a ping is far shorter than the longest message");
        message
    }

    fn encode(&mut self, command: HelloCommand<'_>) -> Vec<u8> {
        self.awaited = self.next_request;
        self.next_request = self.next_request.wrapping_add(1);
        let hello_ok = self.hello_ok;
        let mut message = Vec::new();
        HelloCommand { hello_ok, server_api: self.settings.server_api, ..command }
            .encode(&mut message, self.awaited)
            .expect("a hello is far shorter than the longest message");
        message
    }

    /// "The server MAY reply with compressed data even if the request was not compressed".
    fn parse(&self, message: Vec<u8>) -> Result<wire::Reply, WireError> {
        wire::Reply::parse(self.compression().unpack(message, DEFAULT_MAX_MESSAGE_SIZE)?)
    }

    /// A monitor compresses nothing itself: hello never is.
    fn compression(&self) -> Compression {
        Compression::offer(&self.settings.compressors, 0)
    }

    /// Reads the reply to a ping that is awaited; what it says does not matter.
    pub(super) fn read_pong(&self, message: Vec<u8>) -> Result<(), LinkError> {
        let parsed = self.parse(message)?;
        Ok(wire::check_response(&parsed.header, self.awaited)?)
    }

    /// Reads the reply that is awaited.
    pub(super) fn read(&mut self, message: Vec<u8>) -> Result<Answer, LinkError> {
        let parsed = self.parse(message)?;
        wire::check_response(&parsed.header, self.awaited)?;
        let reply = HelloReply::parse(parsed.message.document())?;
        let more_to_come = parsed.message.more_to_come();
        if more_to_come {
            self.awaited = parsed.header.request_id;
        }
        // Servers say it only where they are asked; it holds as long as the connection.
        self.hello_ok |= reply.hello_ok;
        self.hello_was_ok |= reply.hello_ok;
        Ok(Answer { reply, document: parsed.message.into_document(), more_to_come })
    }
}

/// The deadline `limit` from `now`; a limit of zero is none.
pub(super) fn deadline(now: Instant, limit: Duration) -> Option<Instant> {
    (!limit.is_zero()).then(|| now + limit)
}
