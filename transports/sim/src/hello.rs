//! What a member says of itself.

use bson::oid::ObjectId;
use bson::{DateTime, Document, Timestamp, doc};
use portolan::engine::time::Instant;

use crate::cluster::Cluster;

/// As MongoDB 6.0.
const MAX_WIRE_VERSION: i32 = 17;

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
            reply.insert("electionId", self.election_id());
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

    /// `7fffffff` and the term, as servers make it.
    pub(crate) fn election_id(&self) -> ObjectId {
        let mut bytes = [0xff; 12];
        bytes[0] = 0x7f;
        bytes[4..].copy_from_slice(&self.term.to_be_bytes());
        ObjectId::from_bytes(bytes)
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
