//! find, getMore, killCursors, count, and aggregate as far as counting needs it.

use std::collections::{BTreeMap, VecDeque};

use bson::{Bson, Document, doc};

use crate::cluster::Cluster;
use crate::command::{Failure, namespace};
use crate::filter::{number, truth};
use crate::store::{project, sort};

/// Documents in a first batch when the client names no number.
const FIRST_BATCH: usize = 101;

/// Cursors that have more to give.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cursors {
    open: BTreeMap<i64, VecDeque<Document>>,
    last: i64,
}

impl Cursors {
    /// A cursor over `rest`; 0, which is none, when nothing is left.
    fn keep(&mut self, rest: VecDeque<Document>) -> i64 {
        if rest.is_empty() {
            return 0;
        }
        self.last += 1;
        self.open.insert(self.last, rest);
        self.last
    }
}

impl Cluster {
    /// Runs a reading command.
    pub(crate) fn read(&mut self, name: &str, body: &Document) -> Result<Document, Failure> {
        match name {
            "find" => self.find(body),
            "getMore" => self.get_more(body),
            "killCursors" => Ok(self.kill_cursors(body)),
            "count" => self.count(body),
            _ => self.aggregate(body),
        }
    }

    fn find(&mut self, body: &Document) -> Result<Document, Failure> {
        let namespace = namespace(body, "find")?;
        let mut found = self.query(&namespace, body, "filter")?;
        if let Ok(projection) = body.get_document("projection") {
            found.iter_mut().for_each(|document| project(document, projection));
        }
        let limit = amount(body, "limit");
        let size = match amount(body, "batchSize") {
            0 if body.contains_key("batchSize") => 0,
            0 => FIRST_BATCH,
            size => size,
        };
        if limit > 0 {
            found.truncate(limit);
        }
        let mut rest = VecDeque::from(found);
        let batch = take(&mut rest, size);
        let one_batch = body.get("singleBatch").is_some_and(truth);
        let id = if one_batch { 0 } else { self.cursors.keep(rest) };
        Ok(doc! { "cursor": { "firstBatch": batch, "id": id, "ns": namespace } })
    }

    fn get_more(&mut self, body: &Document) -> Result<Document, Failure> {
        let id = body.get_i64("getMore").unwrap_or(0);
        let namespace = namespace(body, "collection")?;
        let Some(mut rest) = self.cursors.open.remove(&id) else {
            return Err(Failure::new(43, "CursorNotFound", format!("cursor id {id} not found")));
        };
        let size = match amount(body, "batchSize") {
            0 => rest.len(),
            size => size,
        };
        let batch = take(&mut rest, size);
        let left = if rest.is_empty() { 0 } else { id };
        if left != 0 {
            self.cursors.open.insert(id, rest);
        }
        Ok(doc! { "cursor": { "nextBatch": batch, "id": left, "ns": namespace } })
    }

    fn kill_cursors(&mut self, body: &Document) -> Document {
        let asked = body.get_array("cursors").cloned().unwrap_or_default();
        let (killed, unknown): (Vec<Bson>, Vec<Bson>) = asked
            .into_iter()
            .partition(|id| id.as_i64().is_some_and(|id| self.cursors.open.remove(&id).is_some()));
        let none: Vec<Bson> = Vec::new();
        doc! {
            "cursorsKilled": killed,
            "cursorsNotFound": unknown,
            "cursorsAlive": none.clone(),
            "cursorsUnknown": none,
        }
    }

    fn count(&mut self, body: &Document) -> Result<Document, Failure> {
        let namespace = namespace(body, "count")?;
        let found = self.query(&namespace, body, "query")?.len();
        let limit = amount(body, "limit");
        let counted = if limit > 0 { found.min(limit) } else { found };
        Ok(doc! { "n": i32::try_from(counted).unwrap_or(i32::MAX) })
    }

    /// `$match`, `$skip`, `$limit`, and a `$group` that counts.
    fn aggregate(&mut self, body: &Document) -> Result<Document, Failure> {
        let namespace = namespace(body, "aggregate")?;
        let stages = body.get_array("pipeline").cloned().unwrap_or_default();
        let mut documents =
            self.store.find(&namespace, &Document::new()).map_err(Failure::unknown)?;
        for stage in stages.iter().filter_map(Bson::as_document) {
            let Some((name, argument)) = stage.iter().next() else { continue };
            let many = number(argument).map_or(0, whole);
            match (name.as_str(), argument) {
                ("$match", Bson::Document(filter)) => {
                    let mut kept = Vec::new();
                    for document in documents {
                        if crate::filter::matches(&document, filter).map_err(Failure::unknown)? {
                            kept.push(document);
                        }
                    }
                    documents = kept;
                }
                ("$skip", _) => documents = documents.split_off(many.min(documents.len())),
                ("$limit", _) => documents.truncate(many),
                ("$group", Bson::Document(group)) => documents = counted(group, documents.len())?,
                (other, _) => return Err(Failure::unknown(other)),
            }
        }
        let mut rest = VecDeque::from(documents);
        let batch = take(&mut rest, FIRST_BATCH);
        let id = self.cursors.keep(rest);
        Ok(doc! { "cursor": { "firstBatch": batch, "id": id, "ns": namespace } })
    }

    fn query(
        &self,
        namespace: &str,
        body: &Document,
        filter: &str,
    ) -> Result<Vec<Document>, Failure> {
        let filter = body.get_document(filter).cloned().unwrap_or_default();
        let mut found = self.store.find(namespace, &filter).map_err(Failure::unknown)?;
        if let Ok(order) = body.get_document("sort") {
            sort(&mut found, order);
        }
        Ok(found.split_off(amount(body, "skip").min(found.len())))
    }
}

/// The one group that counts everything: `{_id: constant, NAME: {$sum: 1}}`.
fn counted(group: &Document, number_of: usize) -> Result<Vec<Document>, Failure> {
    if number_of == 0 {
        return Ok(Vec::new());
    }
    let mut result = Document::new();
    for (name, value) in group {
        match value {
            Bson::Document(sum)
                if name != "_id" && sum.get("$sum").and_then(number) == Some(1.0) =>
            {
                result.insert(name, i32::try_from(number_of).unwrap_or(i32::MAX));
            }
            Bson::Document(_) => return Err(Failure::unknown("this $group")),
            Bson::String(path) if path.starts_with('$') => {
                return Err(Failure::unknown("this $group"));
            }
            constant => {
                result.insert(name, constant.clone());
            }
        }
    }
    Ok(vec![result])
}

fn take(rest: &mut VecDeque<Document>, size: usize) -> Vec<Document> {
    rest.drain(..size.min(rest.len())).collect()
}

/// A number of documents; a negative one counts as its amount.
fn amount(body: &Document, name: &str) -> usize {
    body.get(name).and_then(number).map_or(0, |value| whole(value.abs()))
}

fn whole(value: f64) -> usize {
    // Saturates; NaN is 0.
    value as usize
}
