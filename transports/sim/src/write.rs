//! insert, update and delete, each retryable write once.

use std::collections::{BTreeMap, VecDeque};

use bson::oid::ObjectId;
use bson::{Bson, Document, doc};

use crate::cluster::Cluster;
use crate::command::{Failure, namespace};
use crate::filter::{number, truth};
use crate::update::apply;

/// Replies to retryable writes, so that a retry is answered and not done again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    replies: BTreeMap<Key, Document>,
    order: VecDeque<Key>,
}

type Key = (Vec<u8>, i64);

/// More than any client has under way at once.
const REMEMBERED: usize = 10_000;

impl Written {
    fn remember(&mut self, key: Key, reply: Document) {
        self.order.push_back(key.clone());
        self.replies.insert(key, reply);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.replies.remove(&oldest);
        }
    }
}

impl Cluster {
    /// Runs a writing command.
    pub(crate) fn write(&mut self, name: &str, body: &Document) -> Result<Document, Failure> {
        let key = retry_key(body);
        if let Some(reply) = key.as_ref().and_then(|key| self.written.replies.get(key)) {
            return Ok(reply.clone());
        }
        let namespace = namespace(body, name)?;
        let reply = match name {
            "insert" => self.insert(&namespace, body),
            "update" => self.update(&namespace, body)?,
            "delete" => self.delete(&namespace, body)?,
            "drop" if self.store.drop_collection(&namespace) => doc! { "ns": namespace },
            "drop" => return Err(Failure::new(26, "NamespaceNotFound", "ns not found")),
            _ => Document::new(),
        };
        if let Some(key) = key {
            self.written.remember(key, reply.clone());
        }
        Ok(reply)
    }

    fn insert(&mut self, namespace: &str, body: &Document) -> Document {
        let ordered = body.get("ordered").is_none_or(truth);
        let mut inserted = 0;
        let mut errors: Vec<Bson> = Vec::new();
        for (index, document) in (0..).zip(documents(body, "documents")) {
            let mut document = document.clone();
            if !document.contains_key("_id") {
                document.insert("_id", self.new_id());
            }
            let id = document.get("_id").cloned().unwrap_or(Bson::Null);
            if self.store.insert(namespace, document) {
                inserted += 1;
                continue;
            }
            let message = format!("E11000 duplicate key error collection: {namespace} _id: {id}");
            errors.push(doc! { "index": index, "code": 11000, "errmsg": message }.into());
            if ordered {
                break;
            }
        }
        let mut reply = doc! { "n": inserted };
        if !errors.is_empty() {
            reply.insert("writeErrors", errors);
        }
        reply
    }

    fn update(&mut self, namespace: &str, body: &Document) -> Result<Document, Failure> {
        let (mut matched, mut modified) = (0, 0);
        let mut upserted: Vec<Bson> = Vec::new();
        for (index, statement) in (0_i32..).zip(documents(body, "updates")) {
            let filter = statement.get_document("q").cloned().unwrap_or_default();
            let change = statement.get_document("u").map_err(|_| Failure::unknown("pipelines"))?;
            let multi = statement.get("multi").is_some_and(truth);
            let (some, changed) = self
                .store
                .update(namespace, &filter, multi, |document| apply(document, change, false))
                .map_err(Failure::unknown)?;
            matched += some;
            modified += changed;
            if some == 0 && statement.get("upsert").is_some_and(truth) {
                let id = self.upsert(namespace, &filter, change)?;
                upserted.push(doc! { "index": index, "_id": id }.into());
                matched += 1;
            }
        }
        let mut reply = doc! { "n": matched, "nModified": modified };
        if !upserted.is_empty() {
            reply.insert("upserted", upserted);
        }
        Ok(reply)
    }

    fn upsert(
        &mut self,
        namespace: &str,
        filter: &Document,
        change: &Document,
    ) -> Result<Bson, Failure> {
        let is_plain = |value: &Bson| {
            value.as_document().is_none_or(|d| !d.keys().any(|name| name.starts_with('$')))
        };
        let mut document: Document = filter
            .iter()
            .filter(|(name, value)| !name.contains(['$', '.']) && is_plain(value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        apply(&mut document, change, true).map_err(Failure::unknown)?;
        if !document.contains_key("_id") {
            document.insert("_id", self.new_id());
        }
        let id = document.get("_id").cloned().unwrap_or(Bson::Null);
        self.store.insert(namespace, document);
        Ok(id)
    }

    fn delete(&mut self, namespace: &str, body: &Document) -> Result<Document, Failure> {
        let mut deleted = 0;
        for statement in documents(body, "deletes") {
            let filter = statement.get_document("q").cloned().unwrap_or_default();
            let limit = usize::from(statement.get("limit").and_then(number) == Some(1.0));
            deleted += self.store.delete(namespace, &filter, limit).map_err(Failure::unknown)?;
        }
        Ok(doc! { "n": deleted })
    }

    fn new_id(&mut self) -> ObjectId {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.rng.next_u64().to_be_bytes());
        bytes[8..].copy_from_slice(&self.rng.next_u64().to_be_bytes()[..4]);
        ObjectId::from_bytes(bytes)
    }
}

/// The session and its transaction number, where the write can be retried.
fn retry_key(body: &Document) -> Option<Key> {
    let number = body.get_i64("txnNumber").ok()?;
    match body.get_document("lsid").ok()?.get("id")? {
        Bson::Binary(session) => Some((session.bytes.clone(), number)),
        _ => None,
    }
}

fn documents<'a>(body: &'a Document, name: &str) -> impl Iterator<Item = &'a Document> {
    body.get_array(name).into_iter().flatten().filter_map(Bson::as_document)
}
