//! Sessions that the user starts: what they add to commands, and where they are refused. The rest
//! is in the specifications' files (`tests/unified`).

use futures_util::TryStreamExt;
use portolan::bson::{Document, Timestamp, doc};
use portolan::options::WriteConcern;
use portolan::{Client, ClientSession, Error, ErrorKind};

use super::support::server::Act;
use super::support::{Bed, ms, till};

fn started(bed: &Bed, client: &Client) -> ClientSession {
    let start = client.start_session();
    bed.run(async move { start.await }).expect("a session")
}

fn time(seconds: u32) -> Timestamp {
    Timestamp { time: seconds, increment: 1 }
}

fn cluster_time(seconds: u32) -> Document {
    doc! { "clusterTime": time(seconds), "signature": { "keyId": 1_i64 } }
}

fn refused(outcome: Result<(), Error>, why: &str) {
    let error = outcome.expect_err(why);
    assert!(matches!(error.kind(), ErrorKind::InvalidArgument(_)), "{error:?}");
    assert!(error.to_string().contains(why), "{error}");
}

#[test]
fn a_session_is_one_for_all_its_operations_and_its_cursors() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let session = started(&bed, &client);
    let (used, till) = (session.clone(), till(&client));
    bed.run(async move {
        till.insert_one(doc! { "_id": 1 }).session(&used).await?;
        let found = till.find(doc! {}).batch_size(2_u32).session(&used).await?;
        found.try_collect::<Vec<_>>().await.map(drop)
    })
    .expect("all is well");
    let id = session.id().expect("it has not ended");
    for name in ["insert", "find", "getMore"] {
        let request = &bed.named(name)[0];
        assert_eq!(request.body.get_document("lsid").expect("an lsid"), &id, "{name}");
    }
    let other = started(&bed, &client);
    assert_ne!(other.id(), Some(id.clone()), "at the same time nobody has the same");
    session.end();
    assert_eq!(session.id(), None);
    assert_eq!(started(&bed, &client).id(), Some(id), "later on somebody may");
}

#[test]
fn each_operation_comes_after_what_the_session_has_seen() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let session = started(&bed, &client);
    let answer = doc! { "ok": 0, "code": 2, "errmsg": "no", "operationTime": time(7) };
    bed.rule("a:1", "distinct", 1, Act::Reply(answer));
    let (used, till) = (session.clone(), till(&client));
    bed.run(async move {
        let failed = till.distinct("x", doc! {}).session(&used).await;
        assert!(failed.is_err(), "{failed:?}");
        till.find_one(doc! {}).session(&used).await?;
        till.find(doc! {}).batch_size(2_u32).session(&used).await?.try_collect::<Vec<_>>().await?;
        till.delete_many(doc! {}).session(&used).await?;
        till.database().run_command(doc! { "ping": 1 }).session(&used).await?;
        till.find_one(doc! {}).await
    })
    .expect("all is well");
    assert_eq!(session.operation_time(), Some(time(7)), "of an error too");
    assert!(!bed.named("distinct")[0].body.contains_key("readConcern"));
    let after = doc! { "afterClusterTime": time(7) };
    let concern = |name: &str, n: usize| bed.named(name)[n].body.get("readConcern").cloned();
    assert_eq!(concern("find", 0), Some(after.clone().into()));
    assert_eq!(concern("delete", 0), Some(after.into()));
    assert_eq!(concern("getMore", 0), None, "it reads on as it began");
    assert_eq!(concern("ping", 0), None, "a user's command stays as it is");
    assert_eq!(concern("find", 2), None, "who has no session waits for nothing");
}

#[test]
fn a_foreign_cluster_time_goes_no_further_than_its_session() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| server.cluster_time = Some(cluster_time(50)));
    let client = bed.settled("");
    let session = started(&bed, &client);
    session.advance_cluster_time(&cluster_time(90)).expect("a cluster time");
    session.advance_cluster_time(&cluster_time(80)).expect("an older one");
    assert!(session.advance_cluster_time(&doc! { "x": 1 }).is_err());
    let (used, till) = (session.clone(), till(&client));
    bed.run(async move {
        till.find_one(doc! {}).session(&used).await?;
        till.find_one(doc! {}).await
    })
    .expect("all is well");
    let sent = |n: usize| bed.named("find")[n].body.get_document("$clusterTime").cloned();
    assert_eq!(sent(0).expect("the session's"), cluster_time(90));
    assert_eq!(sent(1).expect("the client's"), cluster_time(50));
    assert_eq!(session.cluster_time(), Some(cluster_time(90)));
}

#[test]
fn a_session_is_refused_where_it_means_nothing() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let session = started(&bed, &client);
    let insert = |client: &Client, session: &ClientSession, concern: WriteConcern| {
        let insert = till(client).insert_one(doc! { "x": 1 }).session(session);
        let insert = insert.write_concern(concern);
        bed.run(async move { insert.await.map(drop) })
    };
    refused(insert(&client, &session, WriteConcern::nodes(0)), "w: 0");
    let other = bed.settled("");
    refused(insert(&other, &session, WriteConcern::default()), "another client");
    session.end();
    session.end();
    refused(insert(&client, &session, WriteConcern::default()), "has ended");
    assert_eq!(bed.named("insert").len(), 0, "nothing was sent");
}

#[test]
fn a_deployment_without_sessions_says_so_at_the_first_operation() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| {
        server.hello.remove("logicalSessionTimeoutMinutes");
    });
    let client = bed.settled("");
    let session = started(&bed, &client);
    let find = till(&client).find_one(doc! {}).session(&session);
    refused(bed.run(async move { find.await.map(drop) }), "no sessions");
}

#[test]
fn options_that_contradict_each_other_start_nothing() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let both = client.start_session().snapshot(true).causal_consistency(true);
    refused(bed.run(async move { both.await.map(drop) }), "not both");
    let time_only = client.start_session().snapshot_time(time(1));
    refused(bed.run(async move { time_only.await.map(drop) }), "snapshot");
}

#[test]
fn a_command_without_an_answer_leaves_the_session_dirty() {
    let bed = Bed::set(0);
    let client = bed.settled("retryWrites=false");
    let session = started(&bed, &client);
    let id = session.id();
    bed.rule("a:1", "insert", 1, Act::HangUp);
    let insert = till(&client).insert_one(doc! { "x": 1 }).session(&session);
    bed.run(async move { insert.await }).expect_err("the connection broke");
    assert!(session.is_dirty());
    drop(session);
    bed.advance(ms(600));
    assert_ne!(started(&bed, &client).id(), id, "its server session is not used again");
}
