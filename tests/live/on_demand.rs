//! A client without background work, against a real set.

use bson::{Document, doc};
use portolan::options::ClientOptions;
use portolan::{Client, ReadPreference, ServerType};

use crate::watch::{run, start};

async fn on_demand(uri: &str) -> Client {
    let options = ClientOptions::parse(uri).expect("good options");
    portolan_async_std::connect_on_demand(options).await.expect("a client")
}

/// How many connections of this client the primary has.
async fn connections(client: &Client) -> usize {
    let command = doc! {
        "aggregate": 1,
        "pipeline": [
            { "$currentOp": { "idleConnections": true } },
            { "$match": { "appName": APP_NAME, "type": "op" } },
            { "$group": { "_id": "$connectionId" } },
        ],
        "cursor": {},
    };
    let reply = client.database("admin").run_command(command).await.expect("what goes on");
    let cursor = reply.get_document("cursor").expect("a cursor");
    cursor.get_array("firstBatch").expect("a batch").len()
}

const APP_NAME: &str = "scans-on-demand";

// SD-34, SD-116: scans find the set, and find the new primary.
#[test]
fn a_failover_costs_an_operation_nothing_but_the_election() {
    let mut set = start();
    run(async {
        let client =
            on_demand(&format!("{}&w=majority&serverSelectionTryOnce=false", set.uri())).await;
        let notes = client.database("app").collection::<Document>("notes");
        notes.insert_one(doc! { "_id": 0 }).await.expect("a write");
        let old = client.description().primary().expect("a primary").address.to_string();
        let index = set.index_of(&old).expect("a member");
        set.member_mut(index).kill().expect("kill");
        for id in 1..=20 {
            notes.insert_one(doc! { "_id": id }).await.expect("no error reaches the caller");
        }
        let new = client.description().primary().expect("a primary").address.to_string();
        assert_ne!(old, new);
        let count = notes.count_documents(doc! {}).await.expect("a count");
        assert_eq!(count, 21, "each is there once");
        set.member_mut(index).restart().expect("restart");
    });
}

// SS-04, SM-17: whatever goes on, one connection per server serves checks and operations.
#[test]
fn one_connection_per_server_serves_checks_and_operations() {
    let set = start();
    run(async {
        let uri = format!("{}&heartbeatFrequencyMS=500&appName={APP_NAME}", set.uri());
        let client = on_demand(&uri).await;
        let notes = client.database("app").collection::<Document>("notes");
        notes.insert_one(doc! { "_id": 0 }).await.expect("a write");
        for round in 0..6 {
            async_std::task::sleep(std::time::Duration::from_millis(600)).await;
            let filter = doc! { "_id": 0 };
            let nearest = ReadPreference::nearest();
            notes.find_one(filter).read_preference(nearest).await.expect("a read");
            notes.insert_one(doc! { "_id": round + 1 }).await.expect("a write");
        }
        let belief = client.description();
        let secondaries = belief.servers.values();
        let secondaries = secondaries.filter(|s| s.server_type == ServerType::RSSecondary);
        assert_eq!(secondaries.count(), 2, "{belief:?}");
        for pool in client.pools() {
            assert!(pool.connections <= 1, "{pool:?}");
        }
        assert_eq!(connections(&client).await, 1, "scans and operations share it");
    });
}
