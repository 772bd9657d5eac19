//! What servers say of themselves and of writes, in commands of a set and of a lone server.

use std::time::Duration;

use bson::{Bson, DateTime, Document, doc};
use portolan::error::ErrorKind;
use portolan::options::WriteConcern;
use portolan::{Client, ReadPreference, ServerType, TopologyType};
use portolan_support::Standalone;

use crate::mongotalk::{at, scenario};
use crate::watch::{binary, connect, run};

async fn admin(client: &Client, command: Document) -> portolan::Result<Document> {
    client.database("admin").run_command(command).await
}

fn texts(reply: &Document, field: &str) -> Vec<String> {
    let list = reply.get_array(field).map(Vec::as_slice).unwrap_or_default();
    let mut texts: Vec<String> =
        list.iter().filter_map(Bson::as_str).map(ToOwned::to_owned).collect();
    texts.sort();
    texts
}

/// MT-85.
#[test]
fn a_lone_server_says_that_it_replicates_nothing() {
    let server = Standalone::start(&binary()).expect("a standalone");
    run(async {
        let (client, mut watch) = connect(&format!("mongodb://{}/", server.address())).await;
        let single =
            watch.until("a single", |b| b.topology_type == TopologyType::Single && b.is_steady());
        let belief = single.await;
        assert!(belief.servers.values().all(|s| s.server_type == ServerType::Standalone));
        assert!(belief.servers.values().all(|s| s.last_write_date().is_none()));
        let hello = admin(&client, doc! { "hello": 1 }).await.expect("hello");
        assert!(hello.get_bool("isWritablePrimary").expect("says it"), "{hello}");
        assert!(!hello.contains_key("setName") && !hello.contains_key("hosts"), "{hello}");
        for command in ["replSetGetConfig", "replSetGetStatus", "replSetStepDown"] {
            let error = admin(&client, doc! { command: 1 }).await.expect_err("no set");
            assert_eq!(error.code(), Some(76), "NoReplicationEnabled: {error}");
            assert!(error.to_string().contains("not running with --replSet"), "{error}");
        }
        client.ping(ReadPreference::PRIMARY).await.expect("it is as well as before");
    });
}

/// MT-86: what A says of the set.
#[test]
fn a_says_who_belongs_to_the_set() {
    let set = scenario(false);
    let names = [0, 1, 2].map(|index| at(&set, index).to_string());
    run(async {
        let (client, mut watch) = connect(&set.uri()).await;
        let belief = watch.until_complete(3).await;
        let hello = admin(&client, doc! { "hello": 1 }).await.expect("hello");
        assert_eq!(hello.get_str("me").ok(), Some(&*names[0]));
        let mut hosts = names[..2].to_vec();
        hosts.sort();
        assert_eq!(texts(&hello, "hosts"), hosts);
        assert_eq!(texts(&hello, "passives"), names[2..]);
        let a = belief.server(&at(&set, 0)).expect("A");
        let written = a.last_write_date().expect("a member says when it wrote");
        assert!(written <= DateTime::now(), "its last write is some time ago: {written}");

        let reply = admin(&client, doc! { "replSetGetConfig": 1 }).await.expect("a configuration");
        let config = reply.get_document("config").expect("a configuration");
        assert_eq!(config.get_str("_id").ok(), Some("rs-test"));
        let priorities: Vec<_> = config
            .get_array("members")
            .expect("members")
            .iter()
            .filter_map(|member| member.as_document()?.get("priority").cloned())
            .collect();
        let wanted = [5, 3, 0];
        for (priority, wanted) in priorities.iter().zip(wanted) {
            let number = priority.as_i32().map(f64::from).or(priority.as_f64());
            assert_eq!(number, Some(f64::from(wanted)), "{priorities:?}");
        }
        assert_eq!(priorities.len(), wanted.len());

        let status = admin(&client, doc! { "replSetGetStatus": 1 }).await.expect("a status");
        let members = status.get_array("members").expect("members");
        let primaries: Vec<_> = members
            .iter()
            .filter_map(Bson::as_document)
            .filter(|member| member.get_str("stateStr").is_ok_and(|state| state == "PRIMARY"))
            .filter_map(|member| member.get_str("name").ok())
            .collect();
        assert_eq!(primaries, [&*names[0]]);
    });
}

/// MT-86: a key that is there already, and more members than there are.
#[test]
fn writes_that_fail_say_with_which_code() {
    let set = scenario(false);
    run(async {
        let (client, mut watch) = connect(&set.uri()).await;
        watch.until_complete(3).await;
        let notes = client.database("live").collection::<Document>("notes");
        notes.insert_one(doc! { "_id": 1 }).await.expect("a write");
        let error = notes.insert_one(doc! { "_id": 1 }).await.expect_err("it is there");
        assert_eq!(error.code(), Some(11000), "DuplicateKey: {error}");

        let many = || WriteConcern::nodes(12);
        let first = doc! { "_id": 1 };
        let errors = [
            notes.insert_one(doc! { "_id": 2 }).write_concern(many()).await.map(|_| ()),
            notes
                .update_one(first.clone(), doc! { "$set": { "n": 1 } })
                .write_concern(many())
                .await
                .map(|_| ()),
            notes.delete_one(first).write_concern(many()).await.map(|_| ()),
        ];
        for result in errors {
            let error = result.expect_err("there are three members");
            assert_eq!(error.code(), Some(100), "UnsatisfiableWriteConcern: {error}");
            let ErrorKind::Write(failure) = error.kind() else { panic!("{error:?}") };
            assert!(failure.write_errors.is_empty() && failure.write_concern_error.is_some());
        }
        // The writes themselves took place.
        let left = notes.find_one(doc! {}).await.expect("an answer").expect("one document");
        assert_eq!(left, doc! { "_id": 2 });
        assert_eq!(notes.count_documents(doc! {}).await.expect("a count"), 1);
    });
}

/// MS-09, the prose test "Parse lastWriteDate".
#[test]
fn the_date_of_the_last_write_follows_a_write() {
    let set = scenario(false);
    run(async {
        let (client, mut watch) = connect(&format!("{}&heartbeatFrequencyMS=500", set.uri())).await;
        watch.until_complete(3).await;
        let notes = client.database("live").collection::<Document>("notes");
        let date = || {
            let belief = client.description();
            let primary = belief.primary().expect("a primary");
            primary.last_write_date().expect("a date").timestamp_millis()
        };
        notes.insert_one(doc! {}).await.expect("a write");
        async_std::task::sleep(Duration::from_secs(1)).await;
        let before = date();
        assert!(before > 0);
        async_std::task::sleep(Duration::from_secs(1)).await;
        notes.insert_one(doc! {}).await.expect("a write");
        // The specification waits a second for the next check; here it is however long it takes.
        while date() == before {
            async_std::task::sleep(Duration::from_millis(20)).await;
        }
        let grown = date() - before;
        assert!((1..10_000).contains(&grown), "by {grown} ms");
    });
}
