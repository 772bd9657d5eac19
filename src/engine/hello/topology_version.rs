//! How new a server's description of itself is.

use std::cmp::Ordering;

use bson::RawDocument;
use bson::oid::ObjectId;
use serde::{Deserialize, Serialize};

/// A server's own count of its significant state changes (SDAM "topologyVersion").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopologyVersion {
    /// Chosen anew at each start of the server process.
    #[serde(with = "super::json")]
    pub process_id: ObjectId,
    /// One more at each significant change.
    pub counter: i64,
}

impl TopologyVersion {
    /// Reads `{processId, counter}`; `None` where either is missing or of another type.
    pub fn parse(document: &RawDocument) -> Option<Self> {
        let process_id = document.get_object_id("processId").ok()?;
        let counter = match document.get("counter").ok()?? {
            bson::RawBsonRef::Int64(counter) => counter,
            bson::RawBsonRef::Int32(counter) => i64::from(counter),
            _ => return None,
        };
        Some(Self { process_id, counter })
    }

    /// Compares what is known with what arrives ("topologyVersion Comparison"): either missing, or
    /// another process, means that the arriving one is newer.
    pub fn compare(current: Option<&Self>, arriving: Option<&Self>) -> Ordering {
        match (current, arriving) {
            (Some(current), Some(arriving)) if current.process_id == arriving.process_id => {
                current.counter.cmp(&arriving.counter)
            }
            _ => Ordering::Less,
        }
    }
}
