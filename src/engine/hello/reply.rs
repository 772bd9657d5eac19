//! The reply to hello or legacy hello, parsed once.

use std::fmt;

use bson::oid::ObjectId;
use serde::{Deserialize, Serialize};

use bson::{DateTime, RawBsonRef, RawDocument, Timestamp};

use super::{TopologyVersion, json};
use crate::engine::address::{ServerAddress, lower_case};
use crate::engine::map::SortedMap;
use crate::engine::op::retry::SYSTEM_OVERLOADED_ERROR;

/// What a server says of itself, as typed facts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HelloReply {
    /// Whether the server accepts `hello` in place of legacy hello.
    pub hello_ok: bool,
    /// `isWritablePrimary`, else `ismaster` (SDAM: "MUST look for isWritablePrimary first").
    pub is_writable_primary: bool,
    /// `msg` is "isdbgrid": a mongos.
    pub is_mongos: bool,
    /// `isreplicaset`: a member of a set that is not initiated, or whose configuration is lost.
    pub is_replica_set_ghost: bool,
    /// The set that the member belongs to.
    pub set_name: Option<String>,
    /// Whether the member is a secondary.
    pub secondary: bool,
    /// Whether the member is an arbiter.
    pub arbiter_only: bool,
    /// Whether the member is hidden.
    pub hidden: bool,
    /// The member's own address, as in the set's configuration.
    pub me: Option<String>,
    /// Electable data-bearing members.
    pub hosts: Vec<ServerAddress>,
    /// Members of priority 0.
    pub passives: Vec<ServerAddress>,
    /// Arbiters.
    pub arbiters: Vec<ServerAddress>,
    /// The member that this one takes for the primary.
    pub primary: Option<ServerAddress>,
    /// The member's tags.
    pub tags: SortedMap<String, String>,
    /// The version of the set's configuration.
    pub set_version: Option<i64>,
    /// The id of the election that made this member primary.
    #[serde(with = "json::optional")]
    pub election_id: Option<ObjectId>,
    /// When the member last wrote, by its own clock.
    #[serde(with = "json::optional")]
    pub last_write_date: Option<DateTime>,
    /// The optime of that write.
    #[serde(with = "json::optional")]
    pub last_write_op_time: Option<Timestamp>,
    /// Minutes until an unused session expires.
    pub logical_session_timeout_minutes: Option<i64>,
    /// How new this reply is among the server's own.
    pub topology_version: Option<TopologyVersion>,
    /// The lowest wire protocol version that the server speaks.
    pub min_wire_version: i32,
    /// The highest wire protocol version that the server speaks.
    pub max_wire_version: i32,
    /// Bytes, the largest document.
    pub max_bson_object_size: Option<i32>,
    /// Bytes, the largest message.
    pub max_message_size_bytes: Option<i32>,
    /// Documents, the largest write batch.
    pub max_write_batch_size: Option<i32>,
    /// The server's number of this connection.
    pub connection_id: Option<i64>,
    /// Behind a load balancer: which server answered.
    #[serde(with = "json::optional")]
    pub service_id: Option<ObjectId>,
    /// The compressors of the client's that the server accepts.
    pub compression: Vec<String>,
    /// Whether the server is a `mongocryptd`.
    pub iscryptd: bool,
}

/// Why a reply to hello is no description of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// The reply has no `ok: 1`; the server's code and message.
    Command {
        /// The server's error code, where it gave one.
        code: Option<i32>,
        /// The server's message.
        message: String,
        /// The topology version that came with the error.
        topology_version: Option<TopologyVersion>,
        /// Whether the server says that it is overloaded (label "SystemOverloadedError").
        overload: bool,
    },
    /// The connection string says `loadBalanced=true`, and no load balancer is there.
    NotLoadBalanced,
    /// A field is not of the type that the specification gives it.
    Malformed {
        /// The field's name, or a dot for the document itself.
        field: String,
        /// What was found there.
        found: String,
    },
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command { code: Some(code), message, .. } => {
                write!(f, "the server answered hello with error {code}: {message}")
            }
            Self::Command { code: None, message, .. } => {
                write!(f, "the server answered hello with an error: {message}")
            }
            // The specification's words.
            Self::NotLoadBalanced => f.write_str(
                "Driver attempted to initialize in load balancing mode, but the server does not \
                 support this mode.",
            ),
            Self::Malformed { field, found } => {
                write!(f, "the server's hello reply is malformed: field \"{field}\" is {found}")
            }
        }
    }
}

impl std::error::Error for ReplyError {}

impl HelloReply {
    /// Reads a reply.
    ///
    /// Unknown fields are skipped. A known field of a wrong type is an error, except where the
    /// specification's own tests expect leniency (numbers of any kind).
    ///
    /// # Errors
    ///
    /// [`ReplyError::Command`] without `ok: 1`, [`ReplyError::Malformed`] for a wrong type.
    pub fn parse(document: &RawDocument) -> Result<Self, ReplyError> {
        let mut reply = Self::default();
        let mut failure = Failure::default();
        let mut legacy_primary = None;
        let mut modern_primary = None;
        for element in document {
            let (name, value) = element.map_err(|error| malformed(".", &error))?;
            match name.as_str() {
                "isWritablePrimary" => modern_primary = Some(truth(name.as_str(), value)?),
                "ismaster" => legacy_primary = Some(truth(name.as_str(), value)?),
                "ok" => failure.ok = truth("ok", value)?,
                "code" => failure.code = integer("code", value)?.map(clamp),
                "errmsg" => failure.message = text("errmsg", value)?,
                "errorLabels" => failure.overload = has_overload_label(value),
                name => reply.read_field(name, value)?,
            }
        }
        if !failure.ok {
            return Err(failure.into_error(reply.topology_version));
        }
        reply.is_writable_primary = modern_primary.or(legacy_primary).unwrap_or(false);
        Ok(reply)
    }

    /// Load balancers "Connection Pooling": a server behind a load balancer says which one it is.
    ///
    /// # Errors
    ///
    /// [`ReplyError::NotLoadBalanced`] where one was expected, and none is there.
    pub fn check_load_balanced(&self, expected: bool) -> Result<(), ReplyError> {
        if expected && self.service_id.is_none() {
            return Err(ReplyError::NotLoadBalanced);
        }
        Ok(())
    }

    fn read_field(&mut self, name: &str, value: RawBsonRef<'_>) -> Result<(), ReplyError> {
        match name {
            "helloOk" => self.hello_ok = truth(name, value)?,
            "msg" => self.is_mongos = value.as_str() == Some("isdbgrid"),
            "isreplicaset" => self.is_replica_set_ghost = truth(name, value)?,
            "setName" => self.set_name = text(name, value)?,
            "secondary" => self.secondary = truth(name, value)?,
            "arbiterOnly" => self.arbiter_only = truth(name, value)?,
            "hidden" => self.hidden = truth(name, value)?,
            "me" => self.me = text(name, value)?.map(|me| lower_case(&me)),
            "hosts" => self.hosts = addresses(name, value)?,
            "passives" => self.passives = addresses(name, value)?,
            "arbiters" => self.arbiters = addresses(name, value)?,
            "primary" => {
                self.primary = match text(name, value)? {
                    Some(address) => Some(self::address(name, &address)?),
                    None => None,
                }
            }
            "tags" => self.tags = tags(value)?,
            "setVersion" => self.set_version = integer(name, value)?,
            "electionId" => self.election_id = object_id(name, value)?,
            "lastWrite" => self.read_last_write(value)?,
            "iscryptd" => self.iscryptd = truth(name, value)?,
            "compression" => self.compression = names(name, value)?,
            "serviceId" => self.service_id = object_id(name, value)?,
            _ => self.read_number_field(name, value)?,
        }
        Ok(())
    }

    fn read_number_field(&mut self, name: &str, value: RawBsonRef<'_>) -> Result<(), ReplyError> {
        match name {
            "logicalSessionTimeoutMinutes" => {
                self.logical_session_timeout_minutes = integer(name, value)?;
            }
            "topologyVersion" => {
                self.topology_version = value.as_document().and_then(TopologyVersion::parse);
            }
            "minWireVersion" => self.min_wire_version = integer(name, value)?.map_or(0, clamp),
            "maxWireVersion" => self.max_wire_version = integer(name, value)?.map_or(0, clamp),
            "maxBsonObjectSize" => self.max_bson_object_size = integer(name, value)?.map(clamp),
            "maxMessageSizeBytes" => {
                self.max_message_size_bytes = integer(name, value)?.map(clamp);
            }
            "maxWriteBatchSize" => self.max_write_batch_size = integer(name, value)?.map(clamp),
            "connectionId" => self.connection_id = integer(name, value)?,
            _ => {}
        }
        Ok(())
    }

    fn read_last_write(&mut self, value: RawBsonRef<'_>) -> Result<(), ReplyError> {
        let Some(document) = value.as_document() else { return Ok(()) };
        self.last_write_date = document.get_datetime("lastWriteDate").ok();
        self.last_write_op_time = match document.get("opTime") {
            Ok(Some(RawBsonRef::Document(op_time))) => op_time.get_timestamp("ts").ok(),
            Ok(Some(RawBsonRef::Timestamp(timestamp))) => Some(timestamp),
            Ok(_) => None,
            Err(error) => return Err(malformed("lastWrite.opTime", &error)),
        };
        Ok(())
    }

    /// All members that the reply lists: hosts, passives and arbiters.
    pub fn members(&self) -> impl Iterator<Item = &ServerAddress> {
        self.hosts.iter().chain(&self.passives).chain(&self.arbiters)
    }
}

#[derive(Default)]
struct Failure {
    ok: bool,
    code: Option<i32>,
    message: Option<String>,
    overload: bool,
}

impl Failure {
    fn into_error(self, topology_version: Option<TopologyVersion>) -> ReplyError {
        let message = self.message.unwrap_or_else(|| "the reply has no ok: 1".to_owned());
        let Self { code, overload, .. } = self;
        ReplyError::Command { code, message, topology_version, overload }
    }
}

fn has_overload_label(labels: RawBsonRef<'_>) -> bool {
    let Some(labels) = labels.as_array() else { return false };
    labels.into_iter().flatten().any(|label| label.as_str() == Some(SYSTEM_OVERLOADED_ERROR))
}

fn malformed(field: &str, found: &dyn fmt::Display) -> ReplyError {
    ReplyError::Malformed { field: field.to_owned(), found: found.to_string() }
}

fn wrong_type(field: &str, value: RawBsonRef<'_>) -> ReplyError {
    malformed(field, &format!("{:?}", value.element_type()))
}

/// A boolean, or a number that is not 0.
fn truth(field: &str, value: RawBsonRef<'_>) -> Result<bool, ReplyError> {
    match value {
        RawBsonRef::Boolean(value) => Ok(value),
        RawBsonRef::Int32(value) => Ok(value != 0),
        RawBsonRef::Int64(value) => Ok(value != 0),
        RawBsonRef::Double(value) => Ok(value != 0.0),
        RawBsonRef::Null => Ok(false),
        other => Err(wrong_type(field, other)),
    }
}

fn integer(field: &str, value: RawBsonRef<'_>) -> Result<Option<i64>, ReplyError> {
    match value {
        RawBsonRef::Int32(value) => Ok(Some(i64::from(value))),
        RawBsonRef::Int64(value) => Ok(Some(value)),
        RawBsonRef::Double(value) => Ok(Some(value as i64)),
        RawBsonRef::Null => Ok(None),
        other => Err(wrong_type(field, other)),
    }
}

fn clamp(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX })
}

fn text(field: &str, value: RawBsonRef<'_>) -> Result<Option<String>, ReplyError> {
    match value {
        RawBsonRef::String(value) => Ok(Some(value.to_owned())),
        RawBsonRef::Null => Ok(None),
        other => Err(wrong_type(field, other)),
    }
}

fn object_id(field: &str, value: RawBsonRef<'_>) -> Result<Option<ObjectId>, ReplyError> {
    match value {
        RawBsonRef::ObjectId(value) => Ok(Some(value)),
        RawBsonRef::Null => Ok(None),
        other => Err(wrong_type(field, other)),
    }
}

fn address(field: &str, value: &str) -> Result<ServerAddress, ReplyError> {
    value.parse().map_err(|error| malformed(field, &format!("\"{value}\": {error}")))
}

fn names(field: &str, value: RawBsonRef<'_>) -> Result<Vec<String>, ReplyError> {
    let Some(array) = value.as_array() else { return Err(wrong_type(field, value)) };
    let mut names = Vec::new();
    for item in array {
        let item = item.map_err(|error| malformed(field, &error))?;
        names.push(item.as_str().ok_or_else(|| wrong_type(field, item))?.to_owned());
    }
    Ok(names)
}

fn addresses(field: &str, value: RawBsonRef<'_>) -> Result<Vec<ServerAddress>, ReplyError> {
    let RawBsonRef::Array(array) = value else {
        return match value {
            RawBsonRef::Null => Ok(Vec::new()),
            other => Err(wrong_type(field, other)),
        };
    };
    let mut addresses = Vec::new();
    for item in array {
        let item = item.map_err(|error| malformed(field, &error))?;
        let host = item.as_str().ok_or_else(|| wrong_type(field, item))?;
        addresses.push(address(field, host)?);
    }
    Ok(addresses)
}

fn tags(value: RawBsonRef<'_>) -> Result<SortedMap<String, String>, ReplyError> {
    let Some(document) = value.as_document() else { return Err(wrong_type("tags", value)) };
    let mut tags = SortedMap::new();
    for element in document {
        let (name, value) = element.map_err(|error| malformed("tags", &error))?;
        let value = value.as_str().ok_or_else(|| wrong_type("tags", value))?;
        tags.insert(name.as_str().to_owned(), value.to_owned());
    }
    Ok(tags)
}
