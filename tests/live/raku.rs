//! What the Raku driver's tests do to real servers.

use std::time::Duration;

use bson::{Bson, DateTime, Document, doc};
use futures_util::TryStreamExt as _;
use portolan::engine::sdam::DepartureReason;
use portolan::error::ErrorKind;
use portolan::{Client, ReadPreference, ServerType, TopologyType};
use portolan_support::{MemberOptions, ReplicaSet, Standalone};

use crate::kinds::address;
use crate::watch::{binary, connect, count, options, run, start_with};

fn names(reply: &Document, list: &str) -> Vec<String> {
    let entries = match reply.get_document("cursor") {
        Ok(cursor) => cursor.get_array("firstBatch"),
        Err(_) => reply.get_array(list),
    };
    let entries = entries.expect("a list").iter().filter_map(Bson::as_document);
    entries.filter_map(|entry| entry.get_str("name").ok().map(ToOwned::to_owned)).collect()
}

async fn collections(client: &Client) -> Vec<String> {
    let reply = client.database("raku").run_command(doc! { "listCollections": 1 }).await;
    names(&reply.expect("collections"), "collections")
}

async fn databases(client: &Client) -> Vec<String> {
    let reply = client.database("admin").run_command(doc! { "listDatabases": 1 }).await;
    names(&reply.expect("databases"), "databases")
}

/// RK-41: databases, collections, commands.
#[test]
fn databases_and_collections_come_and_go_by_commands() {
    let server = Standalone::start(&binary()).expect("a standalone");
    run(async {
        let (client, _watch) = connect(&format!("mongodb://{}/", server.address())).await;
        let database = client.database("raku");
        assert_eq!((database.name(), database.collection::<Document>("c").name()), ("raku", "c"));
        assert!(!databases(&client).await.contains(&"raku".to_owned()));
        database.run_command(doc! { "create": "c" }).await.expect("a collection");
        assert_eq!(collections(&client).await, ["c"]);
        let error = database.run_command(doc! { "create": "c" }).await.expect_err("it is there");
        assert_eq!(error.code(), Some(48), "NamespaceExists: {error}");
        assert!(databases(&client).await.contains(&"raku".to_owned()));
        database.run_command(doc! { "drop": "c" }).await.expect("it is dropped");
        assert_eq!(collections(&client).await, [""; 0]);

        database.collection("d").insert_one(doc! { "_id": 1 }).await.expect("a write");
        let reply = database.run_command(doc! { "count": "d" }).await.expect("a count");
        assert_eq!(reply.get_i32("n").ok(), Some(1));
        let error = database.run_command(doc! { "sail": 1 }).await.expect_err("no command");
        assert_eq!(error.code(), Some(59), "CommandNotFound: {error}");
        assert!(matches!(error.kind(), ErrorKind::Command(_)), "{error:?}");
        database.run_command(doc! { "dropDatabase": 1 }).await.expect("it is dropped");
        assert!(!databases(&client).await.contains(&"raku".to_owned()));
    });
}

/// RK-41: finds, bulks and cursors; RK-46: dates.
#[test]
fn bulks_are_written_and_cursors_read_to_their_end() {
    let server = Standalone::start(&binary()).expect("a standalone");
    run(async {
        let (client, _watch) = connect(&format!("mongodb://{}/", server.address())).await;
        let notes = client.database("raku").collection::<Document>("notes");
        let day = |n: i64| DateTime::from_millis(n * 24 * 60 * 60 * 1000);
        // Dates before 1970 too.
        let all: Vec<Document> = (-500..500_i64).map(|n| doc! { "_id": n, "at": day(n) }).collect();
        let inserted = notes.insert_many(&all).await.expect("a bulk");
        assert_eq!(inserted.inserted_ids.len(), all.len());

        let cursor = notes.find(doc! {}).sort(doc! { "_id": 1 }).batch_size(64_u32).await;
        let read: Vec<Document> =
            cursor.expect("a cursor").try_collect().await.expect("all batches");
        assert_eq!(read, all);
        let some = notes
            .find(doc! { "at": { "$lt": day(0) } })
            .projection(doc! { "at": 0 })
            .sort(doc! { "at": -1 })
            .skip(1_u64)
            .limit(2_i64)
            .await;
        let some: Vec<Document> = some.expect("a cursor").try_collect().await.expect("a batch");
        assert_eq!(some, [doc! { "_id": -2_i64 }, doc! { "_id": -3_i64 }]);

        // Those that are there already are named by their places; the others are written.
        let mixed = (498..502_i64).map(|n| doc! { "_id": n });
        let error = notes.insert_many(mixed).ordered(false).await.expect_err("two are there");
        let ErrorKind::Write(failure) = error.kind() else { panic!("{error:?}") };
        let places: Vec<_> = failure.write_errors.iter().map(|e| (e.index, e.code)).collect();
        assert_eq!(places, [(0, 11000), (1, 11000)]);
        assert_eq!(notes.count_documents(doc! {}).await.expect("a count"), 1002);

        let mut cursor = notes.find(doc! {}).batch_size(2_u32).await.expect("a cursor");
        cursor.try_next().await.expect("no error").expect("a document");
        assert_eq!(open_cursors(&client).await, 1);
        drop(cursor);
        while open_cursors(&client).await != 0 {
            async_std::task::sleep(Duration::from_millis(20)).await;
        }
    });
}

async fn open_cursors(client: &Client) -> i64 {
    let status = client.database("admin").run_command(doc! { "serverStatus": 1 }).await;
    let status = status.expect("a status");
    let cursors = status.get_document("metrics").and_then(|metrics| metrics.get_document("cursor"));
    let open = cursors.and_then(|cursor| cursor.get_document("open")).expect("open cursors");
    open.get_i64("total").expect("a number")
}

/// RK-46: a server that waits to be initiated, a set of one, and then of four.
#[test]
fn a_set_grows_out_of_a_ghost() {
    let mut set =
        ReplicaSet::start_uninitiated(options(vec![MemberOptions::default()])).expect("a server");
    let ghost = address(&set, 0);
    run(async {
        let (client, mut watch) = connect(&set.uri()).await;
        let (direct, mut direct_watch) =
            connect(&format!("mongodb://{ghost}/?directConnection=true")).await;
        for watch in [&mut watch, &mut direct_watch] {
            watch.until("a ghost", |belief| count(belief, ServerType::RSGhost) == 1).await;
        }
        assert_eq!(watch.belief().topology_type, TopologyType::ReplicaSetNoPrimary);
        assert_eq!(direct_watch.belief().topology_type, TopologyType::Single);
        let notes = direct.database("raku").collection::<Document>("notes");
        let error = notes.find_one(doc! {}).await.expect_err("a ghost has no data");
        assert!(matches!(error.code(), Some(13435 | 13436)), "not primary, nor secondary: {error}");

        set.initiate().expect("a set of one");
        let belief = watch.until_complete(1).await;
        assert_eq!(belief.topology_type, TopologyType::ReplicaSetWithPrimary);
        direct_watch.until("the same", |belief| count(belief, ServerType::RSPrimary) == 1).await;
        assert_eq!(direct_watch.belief().topology_type, TopologyType::Single);
        let version = watch.belief().max_set_version;
        assert!(version.is_some(), "a primary says its configuration's version");
        notes.insert_one(doc! { "_id": 1 }).await.expect("it takes writes now");

        for _ in 0..3 {
            set.add_member(MemberOptions::default()).expect("one more");
        }
        let belief = watch.until_complete(4).await;
        assert!(belief.max_set_version > version, "{:?}", belief.max_set_version);
        let ping = client.ping(ReadPreference::secondary()).await.expect("a secondary answers");
        assert_eq!(ping.server_type, ServerType::RSSecondary);
    });
}

/// RK-46: a lone server among the seeds of a set. By the specification it is the one that leaves.
#[test]
fn a_lone_server_among_the_seeds_of_a_set_is_left_out() {
    let set = start_with(vec![MemberOptions::default()]);
    let alone = Standalone::start(&binary()).expect("a standalone");
    let member = address(&set, 0);
    run(async {
        let (client, mut watch) =
            connect(&format!("mongodb://{member},{}/", alone.address())).await;
        let belief =
            watch.until("the set alone", |b| b.servers.len() == 1 && b.primary().is_some()).await;
        assert!(belief.server(&member).is_some());
        let left: Vec<_> = belief.left_out.values().collect();
        let [departure] = &left[..] else { panic!("{left:?}") };
        assert_eq!(departure.address.to_string(), alone.address().to_string());
        // By its own word, or by the primary's, whichever came first.
        let (found, by) = (ServerType::Standalone, member.clone());
        let reasons = [DepartureReason::OtherKind { found }, DepartureReason::NotListed { by }];
        assert!(reasons.contains(&departure.reason), "{departure:?}");
        assert_eq!(client.ping(ReadPreference::nearest()).await.expect("one").address, member);
    });
}
