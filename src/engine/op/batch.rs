//! A cursor's reply: its id, its namespace, and a batch that stays in the bytes it came in.

use std::ops::Range;

use bson::{RawArray, RawDocument, RawDocumentBuf};

use super::failure::ReplyFailure;
use super::reply::{self, integer};

/// A database and a collection in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// The database.
    pub database: String,
    /// The collection; may contain dots.
    pub collection: String,
}

impl Namespace {
    /// Splits `db.collection` at its first dot; `None` without one.
    pub fn parse(text: &str) -> Option<Self> {
        let (database, collection) = text.split_once('.')?;
        Some(Self { database: database.to_owned(), collection: collection.to_owned() })
    }
}

/// The reply of a command that opens or continues a cursor.
#[derive(Debug)]
pub struct CursorReply {
    /// The server's number of the cursor; 0 once it is closed.
    pub id: i64,
    /// Where `database.collection` stands in the reply.
    namespace: Range<usize>,
    /// The documents that came with the reply.
    pub batch: Batch,
}

impl CursorReply {
    /// Reads a reply with a `cursor`, which keeps the reply's buffer.
    ///
    /// # Errors
    ///
    /// A failed command, a write concern error (aggregate with `$out` or `$merge`), or a cursor
    /// that is not of this form.
    pub fn read(reply: RawDocumentBuf) -> Result<Self, ReplyFailure> {
        let fields = reply::check_write(&reply, 0)?;
        let cursor = fields.cursor.ok_or_else(|| missing("cursor"))?;
        let Fields { id, namespace, batch } = Fields::of(cursor)?;
        let id = id.ok_or_else(|| missing("cursor.id"))?;
        let namespace = namespace.filter(|text| text.contains('.'));
        let namespace = place(&reply, namespace.ok_or_else(|| missing("cursor.ns"))?.as_bytes());
        let array = batch.ok_or_else(|| missing("cursor.firstBatch"))?;
        let Range { start, end } = place(&reply, array.as_bytes());
        Ok(Self { id, namespace, batch: Batch::new(reply, start, end)? })
    }

    /// Where getMore and killCursors must look for the cursor: not always where it was opened.
    ///
    /// Read when it is asked for: most cursors are exhausted by their first batch.
    pub fn namespace(&self) -> Namespace {
        let text = self.batch.reply.as_bytes().get(self.namespace.clone());
        let text = text.and_then(|text| std::str::from_utf8(text).ok());
        text.and_then(Namespace::parse).expect("looked at when the reply was read")
    }
}

/// What a cursor's document says, read in one pass.
#[derive(Default)]
struct Fields<'a> {
    id: Option<i64>,
    namespace: Option<&'a str>,
    batch: Option<&'a RawArray>,
}

impl<'a> Fields<'a> {
    fn of(cursor: &'a RawDocument) -> Result<Self, ReplyFailure> {
        let mut fields = Self::default();
        for element in cursor.iter_elements() {
            let element = element.map_err(|error| ReplyFailure::malformed("cursor", error))?;
            match (element.key().as_str(), element.value()) {
                ("id", Ok(value)) => fields.id = integer(value),
                ("ns", Ok(value)) => fields.namespace = value.as_str(),
                ("firstBatch" | "nextBatch", Ok(value)) => fields.batch = value.as_array(),
                _ => {}
            }
        }
        Ok(fields)
    }
}

/// Where a view of the reply's bytes stands in them: the difference of their addresses.
fn place(reply: &RawDocument, view: &[u8]) -> Range<usize> {
    let start = view.as_ptr() as usize - reply.as_bytes().as_ptr() as usize;
    start..start + view.len()
}

fn missing(field: &str) -> ReplyFailure {
    ReplyFailure::malformed(field, "missing or of another type")
}

/// Documents of one reply, taken one by one.
#[derive(Debug)]
pub struct Batch {
    reply: RawDocumentBuf,
    /// Where the next element begins.
    at: usize,
    /// Where the array's closing zero stands.
    end: usize,
    /// Documents that are left.
    left: usize,
}

impl Batch {
    /// The array at `start..end` of `reply`; walks it once, so that nothing can fail later.
    fn new(reply: RawDocumentBuf, start: usize, end: usize) -> Result<Self, ReplyFailure> {
        let (first, end) = (start + 4, end - 1);
        let (mut at, mut left) = (first, 0);
        while at < end {
            let (_, next) = element(&reply.as_bytes()[..end], at)
                .ok_or_else(|| ReplyFailure::malformed("cursor.firstBatch", "no documents"))?;
            at = next;
            left += 1;
        }
        Ok(Self { reply, at: first, end, left })
    }

    /// Documents that were not taken yet.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether every document was taken.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The next document, a view of the reply's bytes.
    pub fn next_document(&mut self) -> Option<&RawDocument> {
        if self.left == 0 {
            return None;
        }
        let (start, next) = element(&self.reply.as_bytes()[..self.end], self.at)?;
        self.at = next;
        self.left -= 1;
        RawDocument::from_bytes(&self.reply.as_bytes()[start..next]).ok()
    }

    /// The whole reply.
    pub fn reply(&self) -> &RawDocument {
        &self.reply
    }
}

/// The document of the array's element at `at`: where it begins and where it ends.
fn element(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    const DOCUMENT: u8 = 3;
    let (kind, rest) = bytes.get(at..)?.split_first()?;
    if *kind != DOCUMENT {
        return None;
    }
    let key = rest.iter().position(|byte| *byte == 0)?;
    let start = at + 1 + key + 1;
    let length = i32::from_le_bytes(*bytes.get(start..)?.first_chunk()?);
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    RawDocument::from_bytes(bytes.get(start..end)?).ok()?;
    Some((start, end))
}

#[cfg(test)]
mod tests {
    use bson::{RawArrayBuf, RawBsonRef, rawdoc};

    use super::*;
    use crate::engine::rng::Rng;

    fn cursor(documents: &[RawDocumentBuf], key: &str) -> RawDocumentBuf {
        let mut array = RawArrayBuf::new();
        documents.iter().for_each(|document| array.push(&**document));
        let key = bson::raw::CString::try_from(key).unwrap();
        let mut cursor = rawdoc! { "id": 42_i64, "ns": "harbour.a.b" };
        cursor.append(key, array);
        rawdoc! { "cursor": cursor, "ok": 1, "operationTime": 3 }
    }

    #[test]
    fn documents_come_out_one_by_one() {
        let documents: Vec<_> = (0..120).map(|i| rawdoc! { "i": i }).collect();
        for key in ["firstBatch", "nextBatch"] {
            let mut reply = CursorReply::read(cursor(&documents, key)).unwrap();
            assert_eq!(reply.id, 42);
            let expected = Namespace { database: "harbour".into(), collection: "a.b".into() };
            assert_eq!(reply.namespace(), expected);
            assert_eq!(reply.batch.len(), 120);
            for (taken, expected) in documents.iter().enumerate() {
                assert_eq!(reply.batch.len(), 120 - taken);
                assert_eq!(reply.batch.next_document(), Some(&**expected));
            }
            assert!(reply.batch.is_empty());
            assert_eq!(reply.batch.next_document(), None);
        }
        assert!(CursorReply::read(cursor(&[], "nextBatch")).unwrap().batch.is_empty());
    }

    #[test]
    fn what_is_no_cursor_is_malformed() {
        for reply in [
            rawdoc! { "ok": 1 },
            rawdoc! { "ok": 1, "cursor": { "id": "x", "ns": "a.b", "firstBatch": [] } },
            rawdoc! { "ok": 1, "cursor": { "id": 1, "ns": "ab", "firstBatch": [] } },
            rawdoc! { "ok": 1, "cursor": { "id": 1, "ns": "a.b" } },
            rawdoc! { "ok": 1, "cursor": { "id": 1, "ns": "a.b", "firstBatch": [1] } },
        ] {
            let error = CursorReply::read(reply.clone()).unwrap_err();
            assert!(matches!(error, ReplyFailure::Malformed { .. }), "{reply:?}: {error}");
        }
        let failed = CursorReply::read(rawdoc! { "ok": 0, "code": 43, "errmsg": "cursor" });
        assert_eq!(failed.unwrap_err().code(), Some(43));
    }

    #[test]
    fn a_corrupt_batch_never_gives_what_is_not_there() {
        let documents: Vec<_> = (0..5).map(|i| rawdoc! { "i": i, "t": "text" }).collect();
        let valid = cursor(&documents, "firstBatch").into_bytes();
        let mut read = 0;
        for seed in 0..5_000 {
            let mut rng = Rng::seeded(seed);
            let mut bytes = valid.clone();
            for _ in 0..=rng.below(2) {
                let at = rng.below(bytes.len());
                bytes[at] = rng.next_u64() as u8;
            }
            let Ok(document) = RawDocumentBuf::from_bytes(bytes) else { continue };
            let Ok(mut reply) = CursorReply::read(document) else { continue };
            read += 1;
            let mut left = reply.batch.len();
            while let Some(document) = reply.batch.next_document() {
                left -= 1;
                let sum = document.iter().flatten().filter_map(|(_, value)| match value {
                    RawBsonRef::Int32(value) => Some(i64::from(value)),
                    _ => None,
                });
                let _: i64 = sum.sum();
            }
            assert_eq!(left, 0, "seed {seed}");
        }
        assert!(read > 100, "{read}");
    }
}
