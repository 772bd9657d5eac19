//! The tests of bulk writes: batches, results, errors.

use bson::{Document, doc, rawdoc};

use super::*;
use crate::engine::map::SortedMap;
use crate::engine::op::testing::plain;
use crate::engine::op::{DeleteOptions, UpdateOptions};

fn insert(id: i32) -> Statement {
    Statement::Insert(rawdoc! { "_id": id })
}

fn update(multi: bool) -> Statement {
    let (filter, set, options) =
        (doc! { "a": 1 }, doc! { "$set": { "b": 2 } }, UpdateOptions::default());
    let statement = match multi {
        false => UpdateStatement::one(filter.into(), set, options),
        true => UpdateStatement::many(filter.into(), set, options),
    };
    Statement::Update(Box::new(statement.unwrap()))
}

fn delete(multi: bool) -> Statement {
    let options = DeleteOptions::default();
    Statement::Delete(Box::new(DeleteStatement { filter: doc! { "a": 1 }.into(), multi, options }))
}

fn bulk(statements: Vec<Statement>, ordered: bool) -> BulkWrite {
    let options = WriteOptions { ordered, ..WriteOptions::default() };
    BulkWrite::new("ports", statements, options, || ObjectId::from_bytes([7; 12])).unwrap()
}

/// The commands that are sent, each answered with `ok: 1`: the name and how many statements.
fn commands(mut bulk: BulkWrite, limits: &Limits) -> Vec<(String, usize)> {
    let mut all = Vec::new();
    loop {
        bulk.prepare(limits).unwrap();
        let command: Document = plain(&bulk);
        let count = ["documents", "updates", "deletes"].iter().find_map(|name| {
            let array = command.get_array(name).ok()?;
            Some(array.len())
        });
        all.push((bulk.name().to_owned(), count.unwrap()));
        if !bulk.advance() {
            return all;
        }
    }
}

fn named(expected: &[(&str, usize)]) -> Vec<(String, usize)> {
    expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[test]
fn neighbours_of_a_kind_go_together_and_unordered_all_of_a_kind() {
    let mixed = vec![insert(1), insert(2), update(false), delete(false), insert(3), update(true)];
    let ordered = commands(bulk(mixed.clone(), true), &Limits::default());
    let expected = [("insert", 2), ("update", 1), ("delete", 1), ("insert", 1), ("update", 1)];
    assert_eq!(ordered, named(&expected));
    let unordered = commands(bulk(mixed, false), &Limits::default());
    assert_eq!(unordered, named(&[("insert", 3), ("update", 2), ("delete", 1)]));
}

#[test]
fn batches_keep_the_limits() {
    let deletes: Vec<_> = (0..5).map(|_| delete(false)).collect();
    let few = Limits { max_write_batch_size: 2, ..Limits::default() };
    let expected = named(&[("delete", 2), ("delete", 2), ("delete", 1)]);
    assert_eq!(commands(bulk(deletes, true), &few), expected);
    let large = (0..5).map(|id| Statement::Insert(rawdoc! { "_id": id, "t": "x".repeat(20_000) }));
    let small = Limits { max_message_size_bytes: 60_000, ..Limits::default() };
    let expected = named(&[("insert", 2), ("insert", 2), ("insert", 1)]);
    assert_eq!(commands(bulk(large.collect(), true), &small), expected);
}

#[test]
fn a_document_above_the_limit_stops_everything_before_it_is_sent() {
    let limits = Limits { max_bson_object_size: 100, ..Limits::default() };
    let large = Statement::Insert(rawdoc! { "_id": 2, "t": "x".repeat(100) });
    let error = bulk(vec![delete(false), large], true).prepare(&limits).unwrap_err();
    assert!(matches!(error, BuildError::DocumentTooLarge { index: 1, max: 100, .. }), "{error}");
    let wide = UpdateStatement::replace(
        doc! { "t": "x".repeat(60) }.into(),
        rawdoc! { "t": "x".repeat(60) },
        UpdateOptions::default(),
    );
    let mut within = bulk(vec![Statement::Update(Box::new(wide.unwrap()))], true);
    assert_eq!(within.prepare(&limits), Ok(()), "neither of its documents is above the limit");
}

#[test]
fn a_batch_with_a_write_of_many_documents_is_not_retried() {
    let kinds = |statements| {
        let mut bulk = bulk(statements, true);
        let mut all = vec![bulk.retryability()];
        while bulk.advance() {
            all.push(bulk.retryability());
        }
        all
    };
    use Retryability::{None, Write};
    let mixed = vec![insert(1), update(false), update(true), delete(false)];
    assert_eq!(kinds(mixed), [Write, None, Write]);
    assert_eq!(kinds(vec![delete(true), delete(false)]), [None]);
    // What fits is known once there is a connection.
    let mut split = bulk(vec![update(false), update(true)], true);
    split.prepare(&Limits { max_write_batch_size: 1, ..Limits::default() }).unwrap();
    assert_eq!(split.retryability(), Write);
}

fn answer(bulk: &mut BulkWrite, reply: RawDocumentBuf) -> Option<WriteFailure> {
    bulk.prepare(&Limits::default()).unwrap();
    match bulk.read(reply, &CommandContext::new("harbour")) {
        Ok(output) => {
            bulk.succeeded(&output);
            None
        }
        Err(ReplyFailure::Write(failure)) => {
            bulk.failed(&failure);
            Some(*failure)
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn results_and_errors_name_the_models_in_their_own_order() {
    let mixed = vec![delete(false), insert(1), update(false), insert(2), update(false)];
    let mut bulk = bulk(mixed, false);
    let errors = rawdoc! {
        "ok": 1, "n": 1, "writeErrors": [{ "index": 0, "code": 11000, "errmsg": "E11000" }],
    };
    let failure = answer(&mut bulk, errors).unwrap();
    assert_eq!(failure.write_errors[0].index, 1, "the first insert is the second model");
    assert!(bulk.advance());
    let upserted = rawdoc! {
        "ok": 1, "n": 2, "nModified": 1, "upserted": [{ "index": 1, "_id": "new" }],
    };
    assert_eq!(answer(&mut bulk, upserted), None);
    assert!(bulk.advance());
    assert_eq!(answer(&mut bulk, rawdoc! { "ok": 1, "n": 1 }), None);
    assert!(!bulk.advance());
    let expected = Written {
        inserted_count: 1,
        inserted_ids: SortedMap::from([(3, 2.into())]),
        matched_count: 1,
        modified_count: 1,
        deleted_count: 1,
        upserted_count: 1,
        upserted_ids: SortedMap::from([(4, "new".into())]),
    };
    assert_eq!(bulk.into_done(), expected);
}

#[test]
fn an_ordered_batch_ends_at_its_first_failure() {
    let mut bulk = bulk((1..5).map(insert).collect(), true);
    let reply = rawdoc! {
        "ok": 1, "n": 2, "writeErrors": [{ "index": 2, "code": 11000, "errmsg": "E11000" }],
    };
    answer(&mut bulk, reply).unwrap();
    assert_eq!(bulk.done().inserted_count, 2);
    assert_eq!(bulk.done().inserted_ids.keys().copied().collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_write_concern_error_takes_nothing_back() {
    let mut bulk = bulk(vec![insert(1), insert(2)], true);
    let reply = rawdoc! { "ok": 1, "n": 2, "writeConcernError": { "code": 64, "errmsg": "slow" } };
    assert!(answer(&mut bulk, reply).unwrap().write_errors.is_empty());
    assert_eq!(bulk.done().inserted_ids.len(), 2);
}

#[test]
fn nothing_is_no_bulk_write() {
    let none =
        BulkWrite::new("ports", [], WriteOptions::default(), || ObjectId::from_bytes([7; 12]));
    assert_eq!(none.unwrap_err(), BuildError::NoModels);
}
