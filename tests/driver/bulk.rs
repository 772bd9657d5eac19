//! Bulk writes: their commands, and what is told of them when something goes wrong.

use portolan::bson::{Document, doc};
use portolan::{
    BulkWriteResult, Client, DeleteManyModel, DeleteOneModel, Error, ErrorKind, InsertOneModel,
    UpdateOneModel, WriteModel,
};

use super::support::server::Act;
use super::support::{Bed, till};

fn models() -> Vec<WriteModel> {
    vec![
        InsertOneModel::new(doc! { "_id": 1 }).into(),
        InsertOneModel::new(doc! { "_id": 2 }).into(),
        UpdateOneModel::new(doc! { "_id": 1 }, doc! { "$set": { "x": 1 } }).into(),
        DeleteOneModel::new(doc! { "_id": 2 }).into(),
        DeleteManyModel::new(doc! { "y": 1 }).into(),
        InsertOneModel::new(doc! { "_id": 3 }).into(),
    ]
}

fn write(bed: &Bed, client: &Client, ordered: bool) -> Result<BulkWriteResult, Error> {
    let bulk = till(client).bulk_write(models()).ordered(ordered);
    bed.run(async move { bulk.await })
}

fn sent(bed: &Bed) -> Vec<String> {
    let writes = ["insert", "update", "delete"];
    let requests = bed.requests().into_iter().map(|request| request.name);
    requests.filter(|name| writes.contains(&name.as_str())).collect()
}

fn duplicate(n: i32) -> Document {
    doc! { "n": n, "writeErrors": [{ "index": n, "code": 11000, "errmsg": "E11000" }] }
}

#[test]
fn commands_share_a_session_and_count_their_transactions() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let result = write(&bed, &client, true).expect("all is well");
    assert_eq!(sent(&bed), ["insert", "update", "delete", "insert"]);
    assert_eq!((result.inserted_count, result.matched_count, result.deleted_count), (3, 1, 1));
    assert_eq!(result.inserted_ids.keys().copied().collect::<Vec<_>>(), [0, 1, 5]);
    let requests = bed.requests();
    let of = |name: &str| requests.iter().find(|it| it.name == name).expect("sent").clone();
    assert_eq!(of("insert").lsid(), of("delete").lsid());
    assert!(of("update").body.contains_key("txnNumber"));
    assert!(!of("delete").body.contains_key("txnNumber"), "one of its statements is of many");
}

#[test]
fn unordered_all_of_a_kind_go_together() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let result = write(&bed, &client, false).expect("all is well");
    assert_eq!(sent(&bed), ["insert", "update", "delete"]);
    assert_eq!(result.inserted_ids.keys().copied().collect::<Vec<_>>(), [0, 1, 5]);
}

#[test]
fn a_failure_stops_an_ordered_write_and_says_what_was_written() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    bed.rule("a:1", "insert", 1, Act::Reply(duplicate(1)));
    let error = write(&bed, &client, true).expect_err("a duplicate");
    assert_eq!(sent(&bed), ["insert"]);
    let ErrorKind::Write(failure) = error.kind() else { panic!("{error:?}") };
    assert_eq!(failure.write_errors[0].index, 1);
    let written = error.partial_result().expect("a bulk write says it");
    assert_eq!(written.inserted_ids.keys().copied().collect::<Vec<_>>(), [0]);
}

#[test]
fn an_unordered_write_goes_on_and_tells_all_failures_in_the_end() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    bed.rule("a:1", "insert", 1, Act::Reply(duplicate(2)));
    bed.rule("a:1", "delete", 1, Act::Reply(duplicate(0)));
    let error = write(&bed, &client, false).expect_err("a duplicate, and another failure");
    assert_eq!(sent(&bed), ["insert", "update", "delete"]);
    let ErrorKind::Write(failure) = error.kind() else { panic!("{error:?}") };
    let places: Vec<_> = failure.write_errors.iter().map(|error| error.index).collect();
    assert_eq!(places, [5, 3], "the models' own places");
    let written = error.partial_result().expect("a bulk write says it");
    assert_eq!((written.inserted_count, written.matched_count, written.deleted_count), (2, 1, 0));
}

#[test]
fn a_write_concern_that_was_not_reached_stops_nothing() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let late = doc! { "n": 2, "writeConcernError": { "code": 64, "errmsg": "waiting" } };
    bed.rule("a:1", "insert", 1, Act::Reply(late));
    let error = write(&bed, &client, true).expect_err("the concern");
    assert_eq!(sent(&bed), ["insert", "update", "delete", "insert"]);
    assert_eq!(error.code(), Some(64));
    assert_eq!(error.partial_result().map(|it| it.inserted_count), Some(3));
}

#[test]
fn what_breaks_off_half_way_says_what_came_before() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    bed.rule("a:1", "delete", 1, Act::HangUp);
    let error = write(&bed, &client, true).expect_err("many documents: no second attempt");
    assert!(matches!(error.kind(), ErrorKind::Network { .. }), "{error:?}");
    assert_eq!(sent(&bed), ["insert", "update", "delete"]);
    let written = error.partial_result().expect("a bulk write says it");
    assert_eq!((written.inserted_count, written.matched_count, written.deleted_count), (2, 1, 0));
    bed.forget_log();
    bed.rule("a:1", "update", 1, Act::HangUp);
    write(&bed, &client, true).expect("an update of one is sent again");
    assert_eq!(sent(&bed), ["insert", "update", "update", "delete", "insert"]);
}
