//! Transactions on a virtual clock: what their commands say, what comes of failures and of dropped
//! futures, when withTransaction tries again. The rest is in the specifications' files
//! (`tests/unified`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use portolan::bson::{Document, Timestamp, doc};
use portolan::error::{TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT};
use portolan::options::{ReadConcernLevel, WriteConcern};
use portolan::{
    Client, ClientSession, Error, ErrorKind, ReadPreference, Result, TransactionOptions,
    WithTransactionOptions,
};

use super::support::server::{Act, Request};
use super::support::{Bed, ms, pool, secs, till};

fn started(bed: &Bed, client: &Client) -> ClientSession {
    let start = client.start_session();
    bed.run(async move { start.await }).expect("a session")
}

async fn insert(client: &Client, session: &ClientSession) -> Result<()> {
    till(client).insert_one(doc! { "x": 1 }).session(session).await.map(drop)
}

/// Begins a transaction, and writes in it.
fn begun(bed: &Bed, client: &Client) -> ClientSession {
    let session = started(bed, client);
    let (client, used) = (client.clone(), session.clone());
    bed.run(async move {
        used.start_transaction().await?;
        insert(&client, &used).await
    })
    .expect("all is well");
    session
}

fn commit(bed: &Bed, session: &ClientSession) -> Result<()> {
    let commit = session.commit_transaction();
    bed.run(async move { commit.await })
}

fn abort(bed: &Bed, session: &ClientSession) -> Result<()> {
    let abort = session.abort_transaction();
    bed.run(async move { abort.await })
}

fn refused(outcome: Result<()>, why: &str) {
    let error = outcome.expect_err(why);
    assert!(matches!(error.kind(), ErrorKind::InvalidArgument(_)), "{error:?}");
    assert!(error.to_string().contains(why), "{error}");
}

fn field(request: &Request, name: &str) -> Option<Document> {
    request.body.get_document(name).ok().cloned()
}

const TRANSIENT: &str = "TransientTransactionError";

fn transient() -> Act {
    Act::Reply(doc! { "ok": 0, "code": 112, "errmsg": "conflict", "errorLabels": [TRANSIENT] })
}

#[test]
fn the_first_command_begins_the_transaction_and_the_concerns_are_its_own() {
    let bed = Bed::set(1);
    let client = bed.settled("w=1&readConcernLevel=local&readPreference=secondary");
    let session = started(&bed, &client);
    let time = Timestamp { time: 7, increment: 1 };
    session.advance_operation_time(time);
    let (on, used) = (client, session);
    bed.run(async move {
        let start = used.start_transaction().read_concern(ReadConcernLevel::Majority);
        let start = start.write_concern(WriteConcern::majority()).max_commit_time(ms(70));
        start.read_preference(ReadPreference::primary()).await?;
        insert(&on, &used).await?;
        till(&on).find_one(doc! {}).session(&used).await?;
        used.commit_transaction().await
    })
    .expect("all is well");
    let requests = bed.requests();
    let names: Vec<_> = requests.iter().map(|request| request.name.as_str()).collect();
    assert_eq!(names, ["insert", "find", "commitTransaction"]);
    for (request, first) in requests.iter().zip([true, false, false]) {
        let body = &request.body;
        assert_eq!(body.get_i64("txnNumber").ok(), Some(1), "{body}");
        assert_eq!(body.get_bool("autocommit").ok(), Some(false), "{body}");
        assert_eq!(body.get_bool("startTransaction").is_ok(), first, "{body}");
        assert_eq!(body.contains_key("readConcern"), first, "{body}");
        assert_eq!(request.address.to_string(), "a:1");
        assert!(!body.contains_key("$readPreference"), "{body}");
    }
    let concern = doc! { "level": "majority", "afterClusterTime": time };
    assert_eq!(field(&requests[0], "readConcern"), Some(concern));
    assert!(!requests[0].body.contains_key("writeConcern"));
    let last = &requests[2];
    assert_eq!(field(last, "writeConcern"), Some(doc! { "w": "majority" }));
    assert_eq!(last.body.get_i64("maxTimeMS").ok(), Some(70));
    assert_eq!(last.body.get_str("$db").ok(), Some("admin"));
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_sent() {
    let bed = Bed::set(0);
    let client = bed.settled("readPreference=secondary");
    let session = started(&bed, &client);
    refused(commit(&bed, &session), "No transaction started");
    let start = session.start_transaction().write_concern(WriteConcern::nodes(0));
    refused(bed.run(async move { start.await }), "unacknowledged write concerns");
    let (on, used) = (client.clone(), session.clone());
    bed.run(async move {
        used.start_transaction().await.expect("a transaction");
        refused(used.start_transaction().await, "Transaction already in progress");
        let find = till(&on).find_one(doc! {}).session(&used).await;
        refused(find.map(drop), "read preference in a transaction must be primary");
        let insert = till(&on).insert_one(doc! {}).session(&used);
        let insert = insert.write_concern(WriteConcern::majority()).await;
        refused(insert.map(drop), "Cannot set write concern after starting a transaction");
        let primary = ReadPreference::primary();
        let find = till(&on).find_one(doc! {}).session(&used).read_preference(primary);
        let find = find.read_concern(ReadConcernLevel::Local).await;
        refused(find.map(drop), "Cannot set read concern after starting a transaction");
    });
    commit(&bed, &session).expect("nothing to commit");
    commit(&bed, &session).expect("nothing to commit");
    refused(abort(&bed, &session), "after calling commitTransaction");
    assert_eq!(bed.requests().len(), 0);
    let snapshot = client.start_session().snapshot(true);
    let start = bed.run(async move { snapshot.await?.start_transaction().await });
    refused(start, "Transactions are not supported in snapshot sessions");
}

#[test]
fn a_commit_that_is_repeated_wants_a_majority() {
    let bed = Bed::set(0);
    let client = bed.settled("retryWrites=false");
    let session = begun(&bed, &client);
    bed.rule("a:1", "commitTransaction", 1, Act::HangUpAfterwards);
    commit(&bed, &session).expect("tried again");
    commit(&bed, &session).expect("once more");
    let sent = bed.named("commitTransaction");
    let majority = Some(doc! { "w": "majority", "wtimeout": 10_000_i64 });
    let concerns: Vec<_> = sent.iter().map(|request| field(request, "writeConcern")).collect();
    assert_eq!(concerns, [None, majority.clone(), majority]);
    // With a time of its own it has no other.
    let session = begun(&bed, &client);
    bed.rule("a:1", "commitTransaction", 1, Act::HangUp);
    let timed = session.commit_transaction().timeout(secs(9));
    bed.run(async move { timed.await }).expect("tried again");
    let sent = bed.named("commitTransaction");
    let last = sent.last().expect("a commit");
    assert_eq!(field(last, "writeConcern"), Some(doc! { "w": "majority" }));
    assert!(last.body.get_i64("maxTimeMS").is_ok_and(|millis| millis < 9_000));
}

#[test]
fn failures_are_labelled_and_operations_are_not_repeated() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let session = begun(&bed, &client);
    bed.rule("a:1", "insert", 1, Act::HangUp);
    let (on, used) = (client.clone(), session.clone());
    let error = bed.run(async move { insert(&on, &used).await }).expect_err("it broke");
    assert_eq!(error.labels(), [TRANSIENT_TRANSACTION_ERROR]);
    assert_eq!(bed.named("insert").len(), 2, "not tried again");
    bed.rule("a:1", "abortTransaction", 2, Act::HangUp);
    abort(&bed, &session).expect("its errors do not matter");
    assert_eq!(bed.named("abortTransaction").len(), 2, "tried again once");
    bed.advance(secs(11));
    let session = begun(&bed, &client);
    bed.rule("a:1", "commitTransaction", 2, Act::HangUp);
    let error = commit(&bed, &session).expect_err("it broke twice");
    assert!(error.has_label(UNKNOWN_TRANSACTION_COMMIT_RESULT), "{error:?}");
    assert!(!error.has_label(TRANSIENT_TRANSACTION_ERROR), "{error:?}");
    bed.advance(secs(11));
    let number = bed.named("commitTransaction")[0].body.get_i64("txnNumber").ok();
    let (on, used) = (client, session);
    bed.run(async move { insert(&on, &used).await }).expect("outside of the transaction");
    let last = bed.named("insert").pop().expect("an insert").body;
    assert!(!last.contains_key("autocommit"), "{last}");
    assert!(last.get_i64("txnNumber").ok() > number, "{last}");
}

#[test]
fn a_session_that_ends_aborts_its_transaction() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let session = begun(&bed, &client);
    let id = session.id();
    let end = session.end();
    bed.run(async move { end.await });
    assert_eq!(bed.named("abortTransaction").len(), 1);
    let session = begun(&bed, &client);
    assert_eq!(session.id(), id, "given back");
    drop(session);
    bed.advance(ms(50));
    let aborts = bed.named("abortTransaction");
    let numbers: Vec<_> = aborts.iter().map(|it| it.body.get_i64("txnNumber").ok()).collect();
    assert_eq!(numbers, [Some(1), Some(2)]);
    let session = started(&bed, &client);
    let start = session.start_transaction();
    bed.run(async move { start.await }).expect("a transaction");
    drop(session);
    bed.advance(ms(50));
    assert_eq!(bed.named("abortTransaction").len(), 2, "no server knew of it");
}

#[test]
fn a_shutdown_right_behind_a_dropped_session_and_cursor_ends_both_first() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let on = client.clone();
    let cursor = bed.run(async move { till(&on).find(doc! {}).batch_size(2_u32).await });
    let session = begun(&bed, &client);
    bed.run(async move {
        drop((cursor.expect("a cursor"), session));
        client.shutdown().await;
    });
    assert_eq!(bed.named("abortTransaction").len(), 1);
    assert_eq!(bed.named("killCursors").len(), 1);
    let last = bed.requests().pop().expect("requests");
    assert_eq!(last.name, "endSessions");
    assert_eq!(last.body.get_array("endSessions").map(Vec::len).ok(), Some(2), "of both");
    bed.settle();
    assert!(bed.driver_ended());
}

#[test]
fn a_mongos_is_kept_until_the_transaction_is_over() {
    let names = ["a:1".to_owned(), "b:1".to_owned()];
    let hello = doc! {
        "msg": "isdbgrid", "maxWireVersion": 21, "helloOk": true,
        "logicalSessionTimeoutMinutes": 30,
    };
    let bed = Bed::each(&names, &hello);
    let options = portolan::ClientOptions::parse("mongodb://a:1,b:1").expect("options");
    let client = bed.client_of(options);
    bed.advance(ms(600));
    for name in &names {
        let reply = doc! { "n": 1, "recoveryToken": { "of": name } };
        bed.rule(name, "insert", 100, Act::Reply(reply));
    }
    let mut used = Vec::new();
    for _ in 0..8 {
        let session = begun(&bed, &client);
        assert!(session.is_pinned());
        let (on, same) = (client.clone(), session.clone());
        bed.run(async move {
            for _ in 0..5 {
                insert(&on, &same).await?;
            }
            same.commit_transaction().await
        })
        .expect("all is well");
        assert!(session.is_pinned(), "it may be committed again");
        let requests = bed.requests();
        let address = requests[0].address.clone();
        assert!(requests.iter().all(|request| request.address == address), "{requests:?}");
        let token = field(requests.last().expect("a commit"), "recoveryToken");
        assert_eq!(token, Some(doc! { "of": address.to_string() }));
        used.push(address);
        bed.forget_log();
    }
    assert!(used.iter().any(|address| *address != used[0]), "any will do at first");
    let session = begun(&bed, &client);
    abort(&bed, &session).expect("no error");
    assert!(!session.is_pinned());
}

/// Counts the calls of a callback that inserts.
fn counted(
    bed: &Bed,
    client: &Client,
    session: &ClientSession,
    options: WithTransactionOptions,
) -> (Result<u32>, u32) {
    let calls = Arc::new(AtomicU32::new(0));
    let (on, session, counter) = (client.clone(), session.clone(), calls.clone());
    let outcome = bed.run(async move {
        let callback = async |session: ClientSession| {
            let call = counter.fetch_add(1, Ordering::Relaxed) + 1;
            insert(&on, &session).await?;
            Ok(call)
        };
        session.with_transaction_options(options, callback).await
    });
    (outcome, calls.load(Ordering::Relaxed))
}

#[test]
fn with_transaction_tries_again_what_is_passing() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let session = started(&bed, &client);
    bed.rule("a:1", "insert", 3, transient());
    let mut options = WithTransactionOptions::default();
    options.transaction = TransactionOptions::default().write_concern(WriteConcern::nodes(1));
    let (outcome, calls) = counted(&bed, &client, &session, options);
    assert_eq!((outcome.expect("at last"), calls), (4, 4));
    assert_eq!(bed.named("abortTransaction").len(), 3);
    let commits = bed.named("commitTransaction");
    assert_eq!(field(&commits[0], "writeConcern"), Some(doc! { "w": 1 }));
    assert_eq!(commits[0].body.get_i64("txnNumber").ok(), Some(4));
    // A commit of which nobody knows how it ended is repeated, the callback is not.
    let unknown = doc! {
        "ok": 1, "writeConcernError": { "code": 64, "errmsg": "slow" },
    };
    bed.rule("a:1", "commitTransaction", 2, Act::Reply(unknown));
    let (outcome, calls) = counted(&bed, &client, &session, WithTransactionOptions::default());
    assert_eq!((outcome.expect("at last"), calls), (1, 1));
    assert_eq!(bed.named("commitTransaction").len(), 4);
    // Any other error is the caller's.
    bed.rule("a:1", "insert", 1, Act::Reply(doc! { "ok": 0, "code": 11000, "errmsg": "twice" }));
    let (outcome, calls) = counted(&bed, &client, &session, WithTransactionOptions::default());
    assert_eq!((outcome.expect_err("refused").code(), calls), (Some(11000), 1));
}

fn passing_for_ever(options: WithTransactionOptions) -> (Bed, Error, Duration, u32) {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let session = started(&bed, &client);
    bed.rule("a:1", "insert", usize::MAX, transient());
    let begun = bed.now();
    let (outcome, calls) = counted(&bed, &client, &session, options);
    let took = bed.now() - begun;
    (bed, outcome.expect_err("out of time"), took, calls)
}

#[test]
fn with_transaction_gives_up_after_two_minutes_or_its_own_time() {
    let default = WithTransactionOptions::default();
    for (options, limit) in [(default.clone(), secs(120)), (default.timeout(secs(3)), secs(3))] {
        let (bed, error, took, calls) = passing_for_ever(options);
        assert!(error.is_timeout(), "{error:?}");
        assert!(error.has_label(TRANSIENT_TRANSACTION_ERROR), "{error:?}");
        assert!(error.code() == Some(112), "{error:?}");
        // No pause begins that would end too late: each is half a second at most. Behind the last
        // one come an attempt and its abort.
        assert!(took <= limit + ms(20) && took + ms(520) > limit, "{took:?} of {limit:?}");
        // Random shares of pauses of half a second: half of that on average.
        let expected = u32::try_from(limit.as_millis() / 250).expect("few");
        assert!(calls > expected / 2 && calls < expected * 2 + 15, "{calls} of {expected}");
        assert_eq!(bed.named("abortTransaction").len(), calls as usize);
    }
}

#[test]
fn the_operations_of_a_timed_with_transaction_share_its_time() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let start = client.start_session().default_timeout(ms(500));
    let session = bed.run(async move { start.await }).expect("a session");
    bed.rule("a:1", "insert", 2, Act::Slow(ms(300)));
    let (on, used) = (client, session);
    let outcome = bed.run(async move {
        let callback = async |session: ClientSession| {
            let timed = till(&on).insert_one(doc! {}).session(&session).timeout(secs(1));
            refused(timed.await.map(drop), "cannot have one of its own");
            insert(&on, &session).await?;
            insert(&on, &session).await
        };
        used.with_transaction(callback).await
    });
    assert!(outcome.expect_err("late").is_timeout());
    let abort = bed.named("abortTransaction").pop().expect("an abort").body;
    assert!(abort.get_i64("maxTimeMS").is_ok_and(|millis| millis > 400), "its own: {abort}");
    assert!(!bed.named("insert")[0].body.contains_key("timeoutMS"));
}

#[test]
fn a_with_transaction_that_is_dropped_aborts() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let session = started(&bed, &client);
    bed.rule("a:1", "find", 1, Act::Silence);
    let (on, used) = (client.clone(), session.clone());
    let join = bed.spawn(async move {
        let callback = async |session: ClientSession| {
            insert(&on, &session).await?;
            till(&on).find_one(doc! {}).session(&session).await.map(drop)
        };
        used.with_transaction(callback).await
    });
    bed.advance(ms(100));
    bed.cancel(join.id);
    bed.advance(ms(100));
    assert_eq!(bed.named("abortTransaction").len(), 1);
    let status = pool(&client, "a:1");
    assert_eq!(status.connections, status.idle, "{status:?}");
    let start = session.start_transaction();
    bed.run(async move { start.await }).expect("the session can go on");
}
