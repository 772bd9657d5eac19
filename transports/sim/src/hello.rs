//! What a member says of itself.

use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Bson, DateTime, Document, Timestamp, doc};
use portolan::engine::time::Instant;

use crate::cluster::Cluster;
use crate::command::Failure;

/// As MongoDB 6.0.
pub(crate) const MAX_WIRE_VERSION: i32 = 17;

impl Cluster {
    /// The reply to hello, or to its legacy form.
    pub(crate) fn hello(
        &self,
        now: Instant,
        member: usize,
        legacy: bool,
        asked: &Document,
    ) -> Document {
        let node = &self.nodes[member];
        let is_primary = node.believes == Some(member);
        let mut reply = Document::new();
        if asked.contains_key("helloOk") {
            reply.insert("helloOk", true);
        }
        let version = doc! { "processId": node.process_id, "counter": node.counter };
        reply.insert("topologyVersion", version);
        let hosts: Vec<&str> = self.nodes.iter().map(|node| node.address.as_str()).collect();
        reply.insert("hosts", hosts);
        reply.insert("setName", &self.name);
        reply.insert("setVersion", 1);
        reply.insert(if legacy { "ismaster" } else { "isWritablePrimary" }, is_primary);
        reply.insert("secondary", !is_primary);
        if let Some(primary) = node.believes {
            reply.insert("primary", &self.nodes[primary].address);
        }
        reply.insert("me", &node.address);
        if is_primary {
            reply.insert("electionId", election_id(self.term));
        }
        reply.insert("lastWrite", self.last_write());
        reply.extend(doc! {
            "maxBsonObjectSize": 16 * 1024 * 1024,
            "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000,
            "localTime": self.date(now),
            "logicalSessionTimeoutMinutes": 30,
            "minWireVersion": 0,
            "maxWireVersion": MAX_WIRE_VERSION,
            "readOnly": false,
            "ok": 1.0,
        });
        reply
    }

    /// The date at `now`.
    pub(crate) fn date(&self, now: Instant) -> DateTime {
        let since =
            i64::try_from(now.duration_since(Instant::ZERO).as_millis()).unwrap_or(i64::MAX);
        DateTime::from_millis(self.started.timestamp_millis().saturating_add(since))
    }

    fn last_write(&self) -> Document {
        let date = self.date(self.last_write);
        let seconds = u32::try_from(date.timestamp_millis() / 1000).unwrap_or(0);
        let time = doc! { "ts": Timestamp { time: seconds, increment: 1 }, "t": self.term };
        doc! {
            "opTime": time.clone(),
            "lastWriteDate": date,
            "majorityOpTime": time,
            "majorityWriteDate": date,
        }
    }
}

/// `7fffffff` and the term, as servers make it.
pub(crate) fn election_id(term: i64) -> ObjectId {
    let mut bytes = [0xff; 12];
    bytes[0] = 0x7f;
    bytes[4..].copy_from_slice(&term.to_be_bytes());
    ObjectId::from_bytes(bytes)
}

/// What a hello that may be held back says: what its sender knows, and how long it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Awaiting {
    pub(crate) process_id: ObjectId,
    pub(crate) counter: i64,
    pub(crate) wait: Duration,
}

impl Awaiting {
    /// Nothing where the hello is to be answered at once: it has neither argument.
    ///
    /// # Errors
    ///
    /// One without the other, or an argument that cannot be; with the codes of mongod 6.0
    /// (server-monitoring "Awaitable hello or legacy hello Server Specification").
    pub(crate) fn read(body: &Document) -> Result<Option<Self>, Failure> {
        let (version, wait) = match (body.get("topologyVersion"), body.get("maxAwaitTimeMS")) {
            (None, None) => return Ok(None),
            (Some(version), Some(wait)) => (version, wait),
            (Some(_), None) => {
                return Err(refused(31368, "hello has topologyVersion and no maxAwaitTimeMS"));
            }
            (None, Some(_)) => {
                return Err(refused(31368, "hello has maxAwaitTimeMS and no topologyVersion"));
            }
        };
        let fields = version.as_document().ok_or_else(|| {
            Failure::new(14, "TypeMismatch", "the topologyVersion of hello is no document")
        })?;
        let missing = || refused(40414, "the topologyVersion of hello is not complete");
        let process_id = fields.get_object_id("processId").map_err(|_| missing())?;
        let counter = fields.get_i64("counter").map_err(|_| missing())?;
        if counter < 0 {
            return Err(refused(31372, "the counter of the topologyVersion of hello is negative"));
        }
        let millis = match wait {
            Bson::Int32(millis) => u64::try_from(*millis).ok(),
            Bson::Int64(millis) => u64::try_from(*millis).ok(),
            _ => None,
        };
        let millis = millis.ok_or_else(|| {
            refused(51024, "the maxAwaitTimeMS of hello is no number of milliseconds")
        })?;
        Ok(Some(Self { process_id, counter, wait: Duration::from_millis(millis) }))
    }

    /// Whether a member with this process and counter has nothing new to say.
    ///
    /// # Errors
    ///
    /// The sender claims to know more of this process than the process itself.
    pub(crate) fn is_up_to_date(
        &self,
        process_id: ObjectId,
        counter: i64,
    ) -> Result<bool, Failure> {
        if self.process_id != process_id || self.counter < counter {
            return Ok(false);
        }
        if self.counter > counter {
            return Err(refused(51764, "the topologyVersion of hello is from the future"));
        }
        Ok(true)
    }
}

/// Servers name errors without a name of their own after their number.
fn refused(code: i32, message: &str) -> Failure {
    Failure::new(code, format!("Location{code}"), message)
}
