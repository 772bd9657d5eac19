//! The documents, which every member has at once.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use bson::{Bson, Document};

use crate::filter::{compare, lookup, matches};

/// Collections by namespace (`database.collection`), each in the order of insertion.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    collections: BTreeMap<String, Vec<Document>>,
}

impl Store {
    /// The documents of `namespace` that match `filter`.
    ///
    /// # Errors
    ///
    /// An operator that is not known.
    pub(crate) fn find(&self, namespace: &str, filter: &Document) -> Result<Vec<Document>, String> {
        let mut found = Vec::new();
        for document in self.collections.get(namespace).into_iter().flatten() {
            if matches(document, filter)? {
                found.push(document.clone());
            }
        }
        Ok(found)
    }

    /// Adds `document`; false when its `_id` is there already.
    pub(crate) fn insert(&mut self, namespace: &str, document: Document) -> bool {
        let documents = self.collections.entry(namespace.to_owned()).or_default();
        let id = document.get("_id");
        if documents.iter().any(|known| known.get("_id") == id) {
            return false;
        }
        documents.push(document);
        true
    }

    /// Changes the matching documents, the first alone unless `multi`, and answers how many matched
    /// and how many changed.
    ///
    /// # Errors
    ///
    /// An operator that is not known.
    pub(crate) fn update(
        &mut self,
        namespace: &str,
        filter: &Document,
        multi: bool,
        mut change: impl FnMut(&mut Document) -> Result<bool, String>,
    ) -> Result<(i32, i32), String> {
        let (mut matched, mut changed) = (0, 0);
        for document in self.collections.get_mut(namespace).into_iter().flatten() {
            if !matches(document, filter)? {
                continue;
            }
            matched += 1;
            changed += i32::from(change(document)?);
            if !multi {
                break;
            }
        }
        Ok((matched, changed))
    }

    /// Removes the matching documents, at most `limit` unless it is 0, and answers how many.
    ///
    /// # Errors
    ///
    /// An operator that is not known.
    pub(crate) fn delete(
        &mut self,
        namespace: &str,
        filter: &Document,
        limit: usize,
    ) -> Result<i32, String> {
        let Some(documents) = self.collections.get_mut(namespace) else { return Ok(0) };
        let mut kept = Vec::new();
        let mut deleted = 0_i32;
        for document in std::mem::take(documents) {
            let more = limit == 0 || usize::try_from(deleted).is_ok_and(|n| n < limit);
            if more && matches(&document, filter).unwrap_or(false) {
                deleted += 1;
            } else {
                kept.push(document);
            }
        }
        *documents = kept;
        // An unknown operator matched nothing above, so nothing is lost when it is said now.
        matches(&Document::new(), filter).map(|_| deleted)
    }

    /// Removes a collection; false when there is none.
    pub(crate) fn drop_collection(&mut self, namespace: &str) -> bool {
        self.collections.remove(namespace).is_some()
    }
}

/// Sorts by the fields of `order`, each 1 or -1; a missing field comes first.
pub(crate) fn sort(documents: &mut [Document], order: &Document) {
    documents.sort_by(|left, right| {
        order.iter().fold(Ordering::Equal, |so_far, (path, direction)| {
            so_far.then_with(|| {
                let ordering = match (lookup(left, path), lookup(right, path)) {
                    (Some(left), Some(right)) => compare(left, right).unwrap_or(Ordering::Equal),
                    (left, right) => left.is_some().cmp(&right.is_some()),
                };
                let down = crate::filter::number(direction).is_some_and(|way| way < 0.0);
                if down { ordering.reverse() } else { ordering }
            })
        })
    });
}

/// Keeps or leaves out whole fields, as `projection` says; `_id` stays unless it is left out.
pub(crate) fn project(document: &mut Document, projection: &Document) {
    let wanted = |value: &Bson| crate::filter::truth(value);
    let keeps = projection.iter().any(|(name, value)| name != "_id" && wanted(value));
    let keep_id = projection.get("_id").is_none_or(wanted);
    let names: Vec<String> = document.keys().cloned().collect();
    for name in names {
        let keep = match name.as_str() {
            "_id" => keep_id,
            other => projection.get(other).map_or(!keeps, wanted),
        };
        if !keep {
            document.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    #[test]
    fn documents_come_change_and_go() {
        let mut store = Store::default();
        for n in 0..4 {
            assert!(store.insert("d.c", doc! { "_id": n, "even": n % 2 == 0 }));
        }
        assert!(!store.insert("d.c", doc! { "_id": 1 }));
        assert_eq!(store.find("d.c", &doc! { "even": true }).unwrap().len(), 2);
        let marked = store.update("d.c", &doc! { "even": true }, false, |d| {
            d.insert("x", 1);
            Ok(true)
        });
        assert_eq!(marked, Ok((1, 1)));
        assert_eq!(store.delete("d.c", &doc! { "even": false }, 1), Ok(1));
        assert_eq!(store.delete("d.c", &doc! { "n": { "$mod": [1, 1] } }, 0), Err("$mod".into()));
        assert_eq!(store.find("d.c", &doc! {}).unwrap().len(), 3);
    }

    #[test]
    fn sorted_and_projected() {
        let mut documents = vec![doc! { "_id": 1, "a": 2 }, doc! { "_id": 2, "a": 5.5 }];
        sort(&mut documents, &doc! { "a": -1 });
        assert_eq!(documents[0].get_i32("_id").ok(), Some(2));
        project(&mut documents[0], &doc! { "a": 1, "_id": 0 });
        assert_eq!(documents[0], doc! { "a": 5.5 });
        project(&mut documents[1], &doc! { "a": 0 });
        assert_eq!(documents[1], doc! { "_id": 1 });
    }
}
