//! `timeoutMS`: what it bounds, what becomes of the connection, and what the error says.

use std::error::Error as _;
use std::time::Duration;

use futures_util::StreamExt;
use portolan::bson::{Document, doc};
use portolan::options::{CollectionOptions, DatabaseOptions, WriteConcern};
use portolan::{Client, Collection, Cursor, CursorType, Error, ErrorKind, TimeoutMode};

use super::support::server::{Act, Port};
use super::support::{Bed, Join, ms, pool, secs, till};

/// Runs a `find_one` with this time-out, and says how long it took.
fn find_one(bed: &Bed, on: &Collection<Document>, timeout: Duration) -> (Duration, Error) {
    let began = bed.now();
    let find = on.find_one(doc! {}).timeout(timeout);
    let error = bed.run(async move { find.await }).expect_err("no answer");
    (bed.now() - began, error)
}

/// What the operation was doing when its time was over.
fn cause(error: &Error) -> &Error {
    assert!(error.is_timeout(), "{error:?}");
    let ErrorKind::OperationTimeout { cause, .. } = error.kind() else { panic!("{error:?}") };
    let source = error.source().expect("the underlying error");
    assert!(error.to_string().contains(&source.to_string()), "{error}");
    cause
}

fn max_times(bed: &Bed, command: &str) -> Vec<Option<i64>> {
    let named = bed.named(command);
    named.iter().map(|request| request.body.get_i64("maxTimeMS").ok()).collect()
}

fn go(bed: &Bed, client: &Client) -> Join<portolan::Result<()>> {
    let till = till(client);
    bed.spawn(async move { till.insert_one(doc! { "_id": 1 }).await.map(drop) })
}

#[test]
fn the_server_hears_what_is_left_and_an_answer_in_time_is_an_answer() {
    let bed = Bed::set(0);
    let client = bed.settled("timeoutMS=500&maxPoolSize=1");
    bed.advance(secs(1));
    bed.run({
        let till = till(&client);
        async move { till.find_one(doc! {}).await }
    })
    .expect("in time");
    // The round trip of 2 ms is the server's; the first find also waits for the connection.
    let told = max_times(&bed, "find")[0].expect("a limit");
    assert!((490..=498).contains(&told), "{told}");
    let bed = Bed::set(0);
    let client = bed.settled("");
    let till = till(&client);
    bed.run(async move { till.find_one(doc! {}).max_time(ms(7)).await }).expect("an answer");
    assert_eq!(
        max_times(&bed, "find"),
        [Some(7)],
        "the deprecated option counts without timeoutMS"
    );
}

#[test]
fn a_silent_server_is_left_in_time_and_its_connection_closed() {
    let bed = Bed::set(0);
    let client = bed.settled("socketTimeoutMS=20&retryReads=false");
    bed.rule("a:1", "find", 1, Act::Silence);
    let (took, error) = find_one(&bed, &till(&client), ms(300));
    assert_eq!(took, ms(300), "socketTimeoutMS does not count");
    assert!(matches!(cause(&error).kind(), ErrorKind::Timeout { .. }), "{error:?}");
    assert!(error.to_string().contains("timeoutMS of 300ms"), "{error}");
    let status = pool(&client, "a:1");
    assert_eq!((status.connections, status.operations), (0, 0), "{status:?}");
}

#[test]
fn no_server_is_a_time_out_that_lists_them() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| server.port = Port::Refusing);
    let client = bed.client("serverSelectionTimeoutMS=5000");
    let (took, error) = find_one(&bed, &till(&client), ms(300));
    assert_eq!(took, ms(300));
    assert!(matches!(cause(&error).kind(), ErrorKind::ServerSelection { .. }), "{error:?}");
    assert_eq!(error.verdicts().len(), 1);
    let client = bed.client("serverSelectionTimeoutMS=100");
    let (took, error) = find_one(&bed, &till(&client), ms(300));
    assert_eq!(took, ms(100), "the lesser of the two");
    assert!(matches!(cause(&error).kind(), ErrorKind::ServerSelection { .. }), "{error:?}");
}

#[test]
fn waiting_for_a_connection_is_part_of_it() {
    let bed = Bed::set(0);
    let client = bed.settled("maxPoolSize=1&waitQueueTimeoutMS=5&serverSelectionTimeoutMS=400");
    bed.rule("a:1", "insert", 1, Act::Slow(secs(3)));
    let slow = go(&bed, &client);
    bed.advance(ms(10));
    let (took, error) = find_one(&bed, &till(&client), ms(300));
    assert_eq!(took, ms(300), "waitQueueTimeoutMS does not count");
    assert!(cause(&error).to_string().contains("checking out a connection"), "{error}");
    let (took, _) = find_one(&bed, &till(&client), secs(2));
    assert_eq!(took, ms(400), "nor longer than the selection may take");
    assert_eq!(bed.named("find").len(), 0);
    bed.advance(secs(3));
    slow.take().expect("it has ended").expect("it was not disturbed");
    assert_eq!(pool(&client, "a:1").waiting, 0);
}

#[test]
fn making_a_connection_is_part_of_it() {
    for (what, slow) in [("TCP", secs(1)), ("hello", ms(1))] {
        let bed = Bed::set(0);
        let client = bed.settled("");
        bed.with_server("a:1", |server| server.connect_delay = slow);
        if what == "hello" {
            bed.rule("a:1", "handshake", 1, Act::Silence);
        }
        let (took, error) = find_one(&bed, &till(&client), ms(300));
        assert_eq!(took, ms(300), "{what}");
        assert!(matches!(cause(&error).kind(), ErrorKind::Timeout { .. }), "{what}: {error:?}");
        assert_eq!(pool(&client, "a:1").connections, 0, "{what}");
    }
}

#[test]
fn attempts_follow_each_other_for_as_long_as_there_is_time() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let refusal = doc! { "ok": 0, "code": 89, "errmsg": "a shard did not answer" };
    bed.with_server("a:1", |server| server.delay = ms(100));
    bed.rule("a:1", "find", 1000, Act::Reply(refusal));
    let (took, error) = find_one(&bed, &till(&client), secs(3));
    let attempts = bed.named("find").len();
    assert!(attempts > 20, "{attempts} attempts");
    assert_eq!(took, secs(3));
    let last = cause(&error);
    assert!(matches!(last.kind(), ErrorKind::Timeout { .. }), "cut short: {last:?}");
    let told = max_times(&bed, "find");
    assert!(told.is_sorted_by(|a, b| a > b), "less and less: {told:?}");
}

#[test]
fn what_the_server_gave_up_is_a_time_out_of_ours() {
    let expired = doc! { "ok": 0, "code": 50, "errmsg": "operation exceeded time limit" };
    let of_concern = doc! { "writeConcernError": { "code": 50, "errmsg": "too late" } };
    let of_write = doc! { "n": 0, "writeErrors": [{ "index": 0, "code": 50, "errmsg": "late" }] };
    for reply in [expired, of_concern, of_write] {
        let bed = Bed::set(0);
        for (options, timeout) in [("timeoutMS=1000", true), ("timeoutMS=0", true), ("", false)] {
            let client = bed.settled(options);
            bed.rule("a:1", "insert", 1, Act::Reply(reply.clone()));
            let join = go(&bed, &client);
            bed.advance(ms(100));
            let error = join.take().expect("it has ended").expect_err("the server's refusal");
            assert_eq!(error.is_timeout(), timeout, "{options}: {error:?}");
            assert_eq!(error.code(), Some(50), "{options}: {error:?}");
        }
    }
}

#[test]
fn what_cannot_be_answered_in_time_is_not_sent_and_keeps_the_connection() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| server.delay = ms(40));
    let client = bed.settled("heartbeatFrequencyMS=500");
    let join = go(&bed, &client);
    bed.advance(secs(2));
    join.take().expect("it has ended").expect("an answer");
    let (took, error) = find_one(&bed, &till(&client), ms(30));
    assert_eq!(took, Duration::ZERO);
    assert!(cause(&error).to_string().contains("was not sent"), "{error}");
    assert!(cause(&error).to_string().contains("at least 40ms"), "{error}");
    assert_eq!(bed.named("find").len(), 0);
    assert_eq!(pool(&client, "a:1").idle, 1);
}

#[test]
fn the_most_specific_time_out_counts() {
    let bed = Bed::set(0);
    let client = bed.settled("timeoutMS=100&retryReads=false");
    bed.rule("a:1", "find", 10, Act::Silence);
    let database = DatabaseOptions::default().timeout(ms(200));
    let database = client.database_with_options("shop", database);
    let collection = CollectionOptions::default().timeout(ms(400));
    let narrow = database.collection_with_options::<Document>("till", collection);
    let wide = database.collection::<Document>("till");
    assert_eq!((wide.timeout(), narrow.timeout()), (Some(ms(200)), Some(ms(400))));
    for (collection, expected) in [(till(&client), 100), (wide, 200), (narrow.clone(), 400)] {
        let began = bed.now();
        let find = collection.find_one(doc! {});
        bed.run(async move { find.await }).expect_err("no answer");
        assert_eq!(bed.now() - began, ms(expected));
    }
    assert_eq!(find_one(&bed, &narrow, ms(800)).0, ms(800));
}

#[test]
fn the_limit_of_a_write_concern_is_left_out() {
    for (options, expected) in [("", Some(9_i64)), ("timeoutMS=1000", None)] {
        let bed = Bed::set(0);
        let client = bed.settled(options);
        let concern = WriteConcern { w_timeout: Some(ms(9)), ..WriteConcern::majority() };
        let insert = till(&client).insert_one(doc! {}).write_concern(concern);
        bed.run(async move { insert.await }).expect("written");
        let insert = &bed.named("insert")[0];
        let sent = insert.body.get_document("writeConcern").expect("a write concern");
        assert_eq!(sent.get_i64("wtimeout").ok(), expected, "{options}");
        assert_eq!(sent.get_str("w").ok(), Some("majority"));
    }
}

#[test]
fn several_batches_share_the_time() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| server.hello.insert("maxWriteBatchSize", 2));
    let client = bed.settled("");
    bed.rule("a:1", "insert", 10, Act::Slow(ms(200)));
    let documents: Vec<Document> = (0..8).map(|id| doc! { "_id": id }).collect();
    let insert = till(&client).insert_many(documents).timeout(ms(500));
    let began = bed.now();
    let error = bed.run(async move { insert.await }).expect_err("four batches take 800 ms");
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(bed.now() - began, ms(500));
    assert_eq!(bed.named("insert").len(), 3);
}

fn all(bed: &Bed, cursor: Cursor<Document>) -> (usize, Option<Error>) {
    bed.run(async move {
        let results: Vec<portolan::Result<Document>> = cursor.collect().await;
        let count = results.iter().filter(|result| result.is_ok()).count();
        (count, results.into_iter().find_map(Result::err))
    })
}

#[test]
fn a_cursor_lives_as_long_as_its_time_or_has_it_for_each_step() {
    for (mode, count) in [(None, 1), (Some(TimeoutMode::Iteration), 3)] {
        let bed = Bed::set(0);
        let client = bed.settled("");
        bed.rule("a:1", "find", 1, Act::Slow(ms(200)));
        bed.rule("a:1", "getMore", 9, Act::Slow(ms(200)));
        let mut find = till(&client).find(doc! {}).batch_size(1_u32).timeout(ms(300));
        if let Some(mode) = mode {
            find = find.timeout_mode(mode);
        }
        let cursor = bed.run(async move { find.await }).expect("a cursor");
        let (found, error) = all(&bed, cursor);
        assert_eq!(found, count, "{mode:?}");
        assert_eq!(error.as_ref().is_some_and(Error::is_timeout), mode.is_none(), "{error:?}");
        bed.advance(secs(1));
        assert_eq!(bed.with_server("a:1", |server| server.cursors.len()), 0, "{mode:?}");
        assert!(max_times(&bed, "getMore").iter().all(Option::is_none));
        let told = if mode.is_none() { Some(298..=300) } else { None };
        let find = max_times(&bed, "find")[0];
        assert_eq!(find.map(|told| (295..=300).contains(&told)), told.map(|_| true), "{find:?}");
        let killed = max_times(&bed, "killCursors");
        assert_eq!(killed.len(), usize::from(mode.is_none()), "{killed:?}");
        assert!(killed.iter().flatten().all(|told| *told >= 290), "refreshed: {killed:?}");
    }
}

#[test]
fn fetched_documents_are_given_when_the_time_is_over() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let find = till(&client).find(doc! {}).batch_size(2_u32).timeout(ms(300));
    let cursor = bed.run(async move { find.await }).expect("a cursor");
    bed.advance(secs(1));
    let (found, error) = all(&bed, cursor);
    assert_eq!(found, 2);
    assert!(error.is_some_and(|error| error.is_timeout()));
    assert_eq!(bed.named("getMore").len(), 0, "nothing is sent in vain");
}

#[test]
fn a_cursor_is_closed_in_time_and_once() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let open = || {
        let find = till(&client).find(doc! {}).batch_size(1_u32).timeout(ms(300));
        bed.run(async move { find.await }).expect("a cursor")
    };
    let close = open().close();
    bed.run(async move { close.await }).expect("it is closed");
    assert_eq!(bed.named("killCursors").len(), 1);
    bed.rule("a:1", "killCursors", 1, Act::Silence);
    let close = open().close().timeout(ms(700));
    let began = bed.now();
    let error = bed.run(async move { close.await }).expect_err("no answer");
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(bed.now() - began, ms(700));
    bed.forget_log();
    drop(open().close());
    bed.advance(ms(10));
    assert_eq!(bed.named("killCursors").len(), 1, "dropped, it is closed all the same");
}

#[test]
fn a_tailable_cursor_is_asked_once_and_stays() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let empty = doc! { "cursor": { "id": 7_i64, "ns": "shop.till", "firstBatch": [] } };
    let nothing = doc! { "cursor": { "id": 7_i64, "ns": "shop.till", "nextBatch": [] } };
    let one = doc! { "cursor": { "id": 7_i64, "ns": "shop.till", "nextBatch": [{ "a": 1 }] } };
    bed.rule("a:1", "find", 1, Act::Reply(empty));
    bed.rule("a:1", "getMore", 1, Act::Reply(nothing));
    bed.rule("a:1", "getMore", 1, Act::Reply(one));
    let find = till(&client).find(doc! {}).cursor_type(CursorType::TailableAwait);
    let find = find.timeout(secs(1)).max_await_time(ms(250));
    let mut cursor = bed.run(async move { find.await }).expect("a cursor");
    let body = &bed.named("find")[0].body;
    for flag in ["tailable", "awaitData"] {
        assert_eq!(body.get_bool(flag).ok(), Some(true), "{flag}");
    }
    let (cursor, first, second) = bed.run(async move {
        let first = cursor.next_if_any().await.expect("an answer");
        let second = cursor.next_if_any().await.expect("an answer");
        (cursor, first, second)
    });
    assert_eq!((first, second), (None, Some(doc! { "a": 1 })));
    assert!(cursor.has_more_on_server());
    assert_eq!(max_times(&bed, "getMore"), [Some(250), Some(250)]);
}

#[test]
fn options_that_do_not_go_together_are_refused_before_anything_is_sent() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let query = || till(&client).find(doc! {});
    let awaiting = || query().cursor_type(CursorType::TailableAwait);
    for find in [
        query().timeout_mode(TimeoutMode::Iteration),
        awaiting().timeout(ms(100)).timeout_mode(TimeoutMode::CursorLifetime),
        awaiting().timeout(ms(100)).max_await_time(ms(100)),
    ] {
        let error = bed.run(async move { find.await }).expect_err("it makes no sense");
        assert!(matches!(error.kind(), ErrorKind::InvalidArgument(_)), "{error:?}");
    }
    assert_eq!(bed.named("find").len(), 0);
}
