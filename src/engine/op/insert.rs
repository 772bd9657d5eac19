//! `insert`: documents, in as many batches as the server's limits need (specifications crud
//! "Insert", and bulk-write's splitting).

use std::ops::Range;

use bson::oid::ObjectId;
use bson::raw::cstr;
use bson::{RawBson, RawDocument, RawDocumentBuf};

use super::write_options::WriteCommand;
use super::{
    BuildError, CommandBuilder, CommandContext, Limits, Operation, OperationKind, ReplyFailure,
    Retryability, WriteFailure, WriteOptions, batches, reply,
};
use crate::engine::map::SortedMap;

/// Inserts documents, one batch a command.
///
/// The life of an insert: [`Operation::prepare`] chooses a batch, which every attempt sends again;
/// [`Insert::advance`] leaves it behind. An ordered insert stops at the first failure; an unordered
/// one goes on and [`WriteFailure::merge`]s them.
#[derive(Clone, Debug)]
pub struct Insert {
    collection: String,
    documents: Vec<RawDocumentBuf>,
    ids: Vec<RawBson>,
    options: WriteOptions,
    /// The documents of the present command; empty before `prepare`.
    batch: Range<usize>,
    /// Documents of the batches that have ended.
    settled: usize,
    /// Those of them that were not inserted.
    failed: SortedMap<usize, ()>,
}

/// What one batch did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InsertOutput {
    /// Documents that were inserted.
    pub inserted_count: u64,
}

impl Insert {
    /// An insert of documents in their order; one without `_id` gets the next `new_id`, as its
    /// first field.
    ///
    /// # Errors
    ///
    /// [`BuildError::NoDocuments`], or a document that is no BSON.
    pub fn new(
        collection: impl Into<String>,
        documents: impl IntoIterator<Item = RawDocumentBuf>,
        options: WriteOptions,
        mut new_id: impl FnMut() -> ObjectId,
    ) -> Result<Self, BuildError> {
        let documents = documents.into_iter();
        let mut all = Vec::with_capacity(documents.size_hint().0);
        let mut ids = Vec::with_capacity(documents.size_hint().0);
        for document in documents {
            let (id, document) = identified(document, &mut new_id)?;
            ids.push(id);
            all.push(document);
        }
        if all.is_empty() {
            return Err(BuildError::NoDocuments);
        }
        let (collection, documents, failed) = (collection.into(), all, SortedMap::new());
        Ok(Self { collection, documents, ids, options, batch: 0..0, settled: 0, failed })
    }

    /// Whether the first failure stops the rest.
    pub fn is_ordered(&self) -> bool {
        self.options.ordered
    }

    /// The documents of the present command, as places in the operation.
    pub fn batch(&self) -> Range<usize> {
        self.batch.clone()
    }

    /// Leaves the present batch behind; whether any document is left to send.
    pub fn advance(&mut self) -> bool {
        self.batch = self.batch.end..self.batch.end;
        self.batch.end < self.documents.len()
    }

    /// The present batch was answered, some of its documents perhaps by `failure`.
    pub fn ended(&mut self, failure: Option<&WriteFailure>) {
        self.settled = self.batch.end;
        let Some(failure) = failure else { return };
        let failed = failure.write_errors.iter().map(|error| error.index);
        if let Some(first) = failed.clone().min().filter(|_| self.options.ordered) {
            self.settled = first.min(self.batch.end);
        }
        self.failed.extend(failed.map(|index| (index, ())));
    }

    /// The `_id` of each document that was inserted, by its place: of all batches that have
    /// ended, but for those that failed and, in an ordered insert, those behind them.
    pub fn inserted_ids(&self) -> SortedMap<usize, RawBson> {
        let all = (0..self.settled).map(|index| (index, self.ids[index].clone()));
        if self.failed.is_empty() {
            return all.collect();
        }
        all.filter(|(index, _)| !self.failed.contains_key(index)).collect()
    }

    /// Refuses a document above the limit while nothing is sent yet.
    fn check_sizes(&self, limits: &Limits) -> Result<(), BuildError> {
        let max = limits.max_bson_object_size;
        for (index, document) in self.documents.iter().enumerate() {
            let length = document.as_bytes().len();
            if length > max {
                return Err(BuildError::DocumentTooLarge { index, length, max });
            }
        }
        Ok(())
    }
}

impl Operation for Insert {
    type Output = InsertOutput;

    fn name(&self) -> &str {
        "insert"
    }

    fn kind(&self) -> OperationKind {
        OperationKind::Write
    }

    fn retryability(&self) -> Retryability {
        Retryability::Write
    }

    /// Chooses the documents of the next command, unless they are chosen.
    fn prepare(&mut self, limits: &Limits) -> Result<(), BuildError> {
        if !self.batch.is_empty() {
            return Ok(());
        }
        let start = self.batch.end;
        if start == 0 {
            self.check_sizes(limits)?;
        }
        let reserved = batches::reserved(&self.collection, &self.options);
        let all = start..self.documents.len();
        self.batch = start..batches::batch_end(&self.documents, all, reserved, limits);
        Ok(())
    }

    fn build<'a>(
        &'a self,
        context: &CommandContext<'_>,
        into: &mut CommandBuilder<'a>,
    ) -> Result<(), BuildError> {
        if self.batch.is_empty() {
            return Err(BuildError::NoDocuments);
        }
        self.options.build(WriteCommand::Insert, &self.collection, context, into)?;
        into.sequence(cstr!("documents"), &self.documents[self.batch.clone()]);
        Ok(())
    }

    fn read(
        &self,
        reply: RawDocumentBuf,
        _: &CommandContext<'_>,
    ) -> Result<Self::Output, ReplyFailure> {
        let fields = reply::check_write(&reply, self.batch.start)?;
        Ok(InsertOutput { inserted_count: fields.n })
    }

    fn unacknowledged(&self) -> Option<Self::Output> {
        Some(InsertOutput::default())
    }
}

/// The document's `_id`, and the document with it: without one, `new_id` before all else.
pub(super) fn identified(
    document: RawDocumentBuf,
    mut new_id: impl FnMut() -> ObjectId,
) -> Result<(RawBson, RawDocumentBuf), BuildError> {
    if let Some(id) = document.get("_id")? {
        return Ok((id.into(), document));
    }
    let id = new_id();
    Ok((RawBson::ObjectId(id), with_id(&document, id)?))
}

/// The document with an `_id` before all else.
fn with_id(document: &RawDocument, id: ObjectId) -> Result<RawDocumentBuf, BuildError> {
    const OBJECT_ID_ELEMENT: &[u8] = b"\x07_id\0";
    let fields = &document.as_bytes()[4..];
    let length = 4 + OBJECT_ID_ELEMENT.len() + id.bytes().len() + fields.len();
    let stated = i32::try_from(length)
        .map_err(|_| BuildError::BadBson(format!("a document of {length} bytes")))?;
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(&stated.to_le_bytes());
    bytes.extend_from_slice(OBJECT_ID_ELEMENT);
    bytes.extend_from_slice(&id.bytes());
    bytes.extend_from_slice(fields);
    Ok(RawDocumentBuf::from_bytes(bytes)?)
}

#[cfg(test)]
mod tests {
    use bson::{Document, doc, rawdoc};

    use super::*;
    use crate::engine::op::testing::{command, plain};
    use crate::engine::op::{WriteError, build};
    use crate::engine::wire::Flags;

    fn oid(number: u8) -> ObjectId {
        ObjectId::from_bytes([number; 12])
    }

    fn insert(documents: Vec<RawDocumentBuf>, ordered: bool) -> Insert {
        let mut next = 0;
        let options = WriteOptions { ordered, ..WriteOptions::default() };
        let new_id = || {
            next += 1;
            oid(next)
        };
        Insert::new("ports", documents, options, new_id).unwrap()
    }

    fn prepared(mut insert: Insert) -> Insert {
        insert.prepare(&Limits::default()).unwrap();
        insert
    }

    fn failure(indexes: &[usize]) -> WriteFailure {
        let error = |index: &usize| WriteError {
            index: *index,
            code: 11000,
            code_name: None,
            message: "E11000".into(),
            details: None,
        };
        WriteFailure {
            write_errors: indexes.iter().map(error).collect(),
            write_concern_error: None,
            labels: vec![],
            topology_version: None,
            n: 0,
            raw: rawdoc! {},
        }
    }

    #[test]
    fn a_missing_id_becomes_the_first_field() {
        let documents = vec![rawdoc! { "a": 1 }, rawdoc! { "b": 2, "_id": "own" }, rawdoc! {}];
        let mut insert = prepared(insert(documents, true));
        let expected = doc! {
            "insert": "ports", "ordered": true, "$db": "harbour",
            "documents": [
                { "_id": oid(1), "a": 1 }, { "b": 2, "_id": "own" }, { "_id": oid(2) },
            ],
        };
        let built = plain(&insert);
        assert_eq!(built, expected);
        let first = built.get_array("documents").unwrap()[0].as_document().unwrap();
        assert_eq!(first.keys().next().unwrap(), "_id");
        let ids = [(0, oid(1).into()), (1, "own".into()), (2, oid(2).into())];
        insert.ended(None);
        assert_eq!(insert.inserted_ids(), SortedMap::from(ids));
    }

    #[test]
    fn every_option_has_its_field() {
        let options = WriteOptions {
            ordered: false,
            bypass_document_validation: Some(true),
            comment: Some("why".into()),
            ..WriteOptions::default()
        };
        let insert = Insert::new("ports", [rawdoc! { "_id": 1 }], options, || oid(1)).unwrap();
        let concern = rawdoc! { "w": "majority" };
        let context =
            CommandContext { write_concern: Some(&concern), ..CommandContext::new("harbour") };
        let expected = doc! {
            "insert": "ports", "ordered": false, "bypassDocumentValidation": true,
            "comment": "why", "writeConcern": { "w": "majority" }, "$db": "harbour",
            "documents": [{ "_id": 1 }],
        };
        assert_eq!(command(&prepared(insert), &context).unwrap(), expected);
    }

    #[test]
    fn nothing_cannot_be_inserted() {
        let none = Insert::new("ports", [], WriteOptions::default(), || oid(1));
        assert_eq!(none.unwrap_err(), BuildError::NoDocuments);
        let unprepared = insert(vec![rawdoc! {}], true);
        let error = command(&unprepared, &CommandContext::new("harbour")).unwrap_err();
        assert_eq!(error, BuildError::NoDocuments);
        let bad = RawDocumentBuf::from_bytes(vec![6, 0, 0, 0, 0xee, 0]).unwrap();
        let error = Insert::new("ports", [bad], WriteOptions::default(), || oid(1)).unwrap_err();
        assert!(matches!(error, BuildError::BadBson(_)));
    }

    fn batches(insert: &mut Insert, limits: &Limits) -> Vec<Range<usize>> {
        let mut all = Vec::new();
        loop {
            insert.prepare(limits).unwrap();
            all.push(insert.batch());
            insert.prepare(limits).unwrap();
            assert_eq!(all.last(), Some(&insert.batch()), "a retry sends the same documents");
            let mut message = Vec::new();
            let context = CommandContext::new("harbour");
            build(insert, &context).unwrap().encode(&mut message, 1, Flags::NONE).unwrap();
            assert!(message.len() <= limits.max_message_size_bytes);
            if !insert.advance() {
                return all;
            }
        }
    }

    #[test]
    fn batches_keep_the_limits_of_count_and_bytes() {
        let documents: Vec<_> = (0..10).map(|i| rawdoc! { "_id": i }).collect();
        let count = Limits { max_write_batch_size: 4, ..Limits::default() };
        assert_eq!(batches(&mut insert(documents.clone(), true), &count), [0..4, 4..8, 8..10]);
        assert!(batches(&mut insert(documents, true), &Limits::default()).iter().eq([&(0..10)]));

        let large: Vec<_> = (0..5).map(|i| rawdoc! { "_id": i, "t": "x".repeat(20_000) }).collect();
        let bytes = Limits { max_message_size_bytes: 60_000, ..Limits::default() };
        assert_eq!(batches(&mut insert(large, true), &bytes), [0..2, 2..4, 4..5]);
    }

    #[test]
    fn a_document_above_the_limit_stops_everything_before_it_is_sent() {
        let documents = vec![rawdoc! { "_id": 1 }, rawdoc! { "_id": 2, "t": "x".repeat(100) }];
        let length = documents[1].as_bytes().len();
        let mut insert = insert(documents, true);
        let limits = Limits { max_bson_object_size: length - 1, ..Limits::default() };
        let error = insert.prepare(&limits).unwrap_err();
        let max = length - 1;
        assert_eq!(error, BuildError::DocumentTooLarge { index: 1, length, max });
        let limits = Limits { max_bson_object_size: length, ..Limits::default() };
        assert_eq!(insert.prepare(&limits), Ok(()));
    }

    #[test]
    fn failures_count_from_the_first_document_of_all() {
        let documents: Vec<_> = (0..10).map(|i| rawdoc! { "_id": i }).collect();
        let mut insert = insert(documents, false);
        let limits = Limits { max_write_batch_size: 4, ..Limits::default() };
        insert.prepare(&limits).unwrap();
        insert.ended(None);
        assert!(insert.advance());
        insert.prepare(&limits).unwrap();
        let reply = rawdoc! {
            "ok": 1, "n": 3, "writeErrors": [{ "index": 2, "code": 11000, "errmsg": "E11000" }],
        };
        let failure = match insert.read(reply, &CommandContext::new("harbour")) {
            Err(ReplyFailure::Write(failure)) => failure,
            other => panic!("{other:?}"),
        };
        assert_eq!(failure.write_errors[0].index, 6);
        assert_eq!(insert.inserted_ids().len(), 4, "only what has ended");
        insert.ended(Some(&failure));
        let inserted: Vec<_> = insert.inserted_ids().into_keys().collect();
        assert_eq!(inserted, [0, 1, 2, 3, 4, 5, 7], "sent, but for the one that failed");
    }

    #[test]
    fn an_ordered_insert_ends_at_its_first_failure() {
        let documents: Vec<_> = (0..5).map(|i| rawdoc! { "_id": i }).collect();
        let ended = |failed: &[usize]| {
            let mut ordered = prepared(insert(documents.clone(), true));
            ordered.ended(Some(&failure(failed)));
            ordered.inserted_ids()
        };
        assert_eq!(ended(&[2]).into_keys().collect::<Vec<_>>(), [0, 1]);
        assert_eq!(ended(&[]).len(), 5, "only the concern failed");
    }

    #[test]
    fn every_document_of_a_large_insert_arrives_once() {
        let documents: Vec<_> = (0..2_500).map(|i| rawdoc! { "_id": i }).collect();
        let mut insert = insert(documents, true);
        let limits = Limits { max_write_batch_size: 1_000, ..Limits::default() };
        let mut seen = Vec::new();
        loop {
            insert.prepare(&limits).unwrap();
            let command: Document = plain(&insert);
            for document in command.get_array("documents").unwrap() {
                seen.push(document.as_document().unwrap().get_i32("_id").unwrap());
            }
            if !insert.advance() {
                break;
            }
        }
        assert!(seen.into_iter().eq(0..2_500));
    }
}
