//! The cases, by the names of `web/tests/runtimes/cases.mjs`.

use std::time::Duration;

use futures_util::future::{Either, select, try_join_all};
use futures_util::{StreamExt as _, TryStreamExt as _};
use portolan::bson::{Bson, Document, doc};
use portolan::error::ErrorKind;
use portolan::event::Event;
use portolan::{ClientOptions, ReadPreference, ServerType, TopologyType};

use crate::given::{Given, Outcome, check, equal, failure, fresh, primary};

/// Runs one case; answers what is worth a note.
pub(crate) async fn run(name: &str, given: &Given) -> Outcome<String> {
    match name {
        "discovery" => discovery(given).await,
        "CRUD" => crud(given).await,
        "cursors" => cursors(given).await,
        "16 MB" => large(given).await,
        "BSON types" => types(given).await,
        "errors" => errors(given).await,
        "cancellation" => cancellation(given).await,
        "snapshot" => snapshot(given).await,
        "concurrency" => concurrency(given).await,
        "stepDown" => failover(given, "step-down").await,
        "SIGKILL" => failover(given, "kill").await,
        "closing" => closing(given).await,
        _ => Err(format!("no case is called {name}").into()),
    }
}

fn nothing() -> Outcome<String> {
    Ok(String::new())
}

async fn discovery(given: &Given) -> Outcome<String> {
    let client = given.open().await?;
    let ping = client.ping(ReadPreference::primary()).await?;
    equal(ping.server_type, ServerType::RSPrimary)?;
    let ping = client.ping(ReadPreference::secondary()).await?;
    equal(ping.server_type, ServerType::RSSecondary)?;
    let all_known =
        || client.description().servers.values().all(|server| server.server_type.is_known());
    given.until("three members are known", all_known).await?;
    let topology = client.description();
    equal(topology.topology_type, TopologyType::ReplicaSetWithPrimary)?;
    equal(topology.servers.len(), 3)?;
    client.shutdown().await;
    nothing()
}

async fn crud(given: &Given) -> Outcome<String> {
    let client = given.open().await?;
    let collection = fresh(&client);
    collection.insert_one(doc! { "n": 0 }).await?;
    let many = collection.insert_many([doc! { "n": 1 }, doc! { "_id": "mine", "n": 2 }]).await?;
    equal(many.inserted_ids.get(&1), Some(&Bson::from("mine")))?;
    equal(collection.count_documents(doc! { "n": { "$gte": 1 } }).await?, 2)?;
    let updated = collection.update_one(doc! { "n": 1 }, doc! { "$set": { "n": 10 } }).await?;
    equal((updated.matched_count, updated.modified_count), (1, 1))?;
    let set = doc! { "$set": { "x": 1 } };
    let upserted = collection.update_one(doc! { "n": 99 }, set).upsert(true).await?;
    check(upserted.upserted_id.is_some(), "upserted")?;
    equal(collection.delete_one(doc! { "n": 0 }).await?.deleted_count, 1)?;
    let find = collection.find(doc! {}).sort(doc! { "n": -1 }).skip(1_u64).limit(1_i64);
    let found: Vec<Document> =
        find.projection(doc! { "n": 1, "_id": 0 }).await?.try_collect().await?;
    equal(found, vec![doc! { "n": 10 }])?;
    equal(collection.find_one(doc! { "n": "none" }).await?, None)?;
    client.shutdown().await;
    nothing()
}

async fn cursors(given: &Given) -> Outcome<String> {
    let client = given.open().await?;
    let collection = fresh(&client);
    collection.insert_many((0..250).map(|n| doc! { "n": n })).await?;
    let find = || collection.find(doc! {}).sort(doc! { "n": 1 }).batch_size(20_u32);
    let early: Vec<Document> = find().await?.take(31).try_collect().await?;
    equal(early.len(), 31)?;
    let all: Vec<Document> = find().await?.try_collect().await?;
    let numbers: Vec<i32> = all.iter().filter_map(|found| found.get_i32("n").ok()).collect();
    equal(numbers, (0..250).collect())?;
    let mut left = find().await?;
    check(left.next().await.is_some(), "a first document")?;
    left.close().await?;
    client.shutdown().await;
    nothing()
}

async fn large(given: &Given) -> Outcome<String> {
    let client = given.open().await?;
    let collection = fresh(&client);
    let filler = "abcdefghijklmnopqrstuvwxyz012345".repeat(512 * 1024);
    let filler = &filler[..16_777_216 - 64];
    let started = given.time.now();
    collection.insert_one(doc! { "_id": 1, "filler": filler }).await?;
    let written = given.time.now();
    let back = collection.find_one(doc! { "_id": 1 }).await?.ok_or("it is gone")?;
    let read = given.time.now();
    check(back.get_str("filler")? == filler, "it comes back as it was")?;
    let over = collection.insert_one(doc! { "filler": filler.repeat(2) }).await;
    let error = failure(over)?;
    check(matches!(error.kind(), ErrorKind::InvalidArgument(_)), &error)?;
    client.shutdown().await;
    Ok(format!(
        "up {} ms, down {} ms",
        (written - started).as_millis(),
        (read - written).as_millis()
    ))
}

async fn types(given: &Given) -> Outcome<String> {
    use portolan::bson::spec::BinarySubtype;
    use portolan::bson::{Binary, DateTime, Regex, Timestamp, oid::ObjectId};

    let client = given.open().await?;
    let collection = fresh(&client);
    let id = ObjectId::new();
    let document = doc! {
        "_id": id,
        "long": 9_007_199_254_740_993_i64,
        "decimal": "1.10".parse::<portolan::bson::Decimal128>()?,
        "numbers": [3.0, 0.5, -0.0, 7],
        "dates": [DateTime::from_millis(1_234_567_890_123), DateTime::MAX],
        "bytes": Binary { subtype: BinarySubtype::UserDefined(0x80), bytes: vec![1, 2, 3] },
        "regex": Regex { pattern: "a+".try_into()?, options: "i".try_into()? },
        "ends": [Bson::MinKey, Bson::MaxKey, Bson::Null, true],
        "timestamp": Timestamp { time: 5, increment: 6 },
        "nested": { "array": [1, { "deep": "zwölf ☆" }] },
    };
    collection.insert_one(&document).await?;
    equal(collection.find_one(doc! { "_id": id }).await?, Some(document))?;
    client.shutdown().await;
    nothing()
}

async fn errors(given: &Given) -> Outcome<String> {
    let client = given.open().await?;
    let collection = fresh(&client);
    collection.insert_one(doc! { "_id": 1 }).await?;
    let duplicate = failure(collection.insert_one(doc! { "_id": 1 }).await)?;
    check(matches!(duplicate.kind(), ErrorKind::Write(_)), &duplicate)?;
    equal(duplicate.code(), Some(11000))?;
    let unknown = failure(client.database("admin").run_command(doc! { "nonsense": 1 }).await)?;
    equal(unknown.code(), Some(59))?;
    check(ClientOptions::parse("mongo://x").is_err(), "no connection string")?;
    client.shutdown().await;
    let address = format!("127.0.0.1:{}", given.unused);
    let uri = format!("mongodb://{address}/?serverSelectionTimeoutMS=700&directConnection=true");
    let nobody = given.open_with(ClientOptions::parse(&uri)?).await?;
    let selection = failure(nobody.ping(ReadPreference::primary()).await)?;
    let verdict = selection.verdicts().first().ok_or("no verdict")?;
    equal(verdict.address.to_string(), address)?;
    let note = verdict.to_string();
    nobody.shutdown().await;
    Ok(note)
}

async fn cancellation(given: &Given) -> Outcome<String> {
    let client = given.open().await?;
    let admin = client.database("admin");
    let started = given.time.now();
    let asleep = Box::pin(
        admin.run_command(doc! { "sleep": 1, "millis": 20_000, "lock": "none" }).into_future(),
    );
    let soon = given.time.sleep_until(started + Duration::from_millis(100));
    match select(asleep, soon).await {
        Either::Left(_) => return Err("it did not sleep".into()),
        // Dropped here.
        Either::Right(((), _)) => {}
    }
    admin.run_command(doc! { "ping": 1 }).await?;
    check(given.time.now() - started < Duration::from_secs(5), "it ended at once")?;
    client.shutdown().await;
    nothing()
}

async fn snapshot(given: &Given) -> Outcome<String> {
    let first = given.open().await?;
    let address = first.ping(ReadPreference::primary()).await?.address;
    let kept = serde_json::to_string(&first.description().snapshot())?;
    first.shutdown().await;
    let mut options = given.options()?;
    options.snapshot = Some(serde_json::from_str(&kept)?);
    let second = given.open_with(options).await?;
    let events = second.topology();
    equal(second.ping(ReadPreference::primary()).await?.address, address)?;
    second.shutdown().await;
    // The primary is believed before any server has answered.
    for event in events.collect::<Vec<Event>>().await {
        let event = serde_json::to_value(event)?;
        if event["newDescription"]["topologyType"] == "ReplicaSetWithPrimary" {
            return nothing();
        }
        check(event["kind"] != "serverHeartbeatSucceeded", "a server answered first")?;
    }
    Err("no primary was heard of".into())
}

async fn concurrency(given: &Given) -> Outcome<String> {
    let client = given.open().await?;
    let collection = fresh(&client);
    try_join_all((0..60).map(|id| collection.insert_one(doc! { "_id": id }).into_future())).await?;
    let finds = (0..60).map(|id| collection.find_one(doc! { "_id": id }).into_future());
    let found = try_join_all(finds).await?;
    let expected = (0..60).map(|id| Some(doc! { "_id": id })).collect();
    equal(found, expected)?;
    client.shutdown().await;
    nothing()
}

/// Writes before, while and after the primary changes; how long it took until one succeeded.
async fn failover(given: &Given, action: &str) -> Outcome<String> {
    let client = given.open().await?;
    let collection = fresh(&client);
    collection.insert_one(doc! { "before": true }).await?;
    let old = primary(&client).ok_or("no primary")?;
    let (harmed, deadline) = (given.time.now(), given.deadline());
    given.act(action, &old)?;
    let mut written = 0;
    while written == 0 || primary(&client).is_none_or(|now| now == old) {
        match collection.insert_one(doc! { "during": true }).await {
            Ok(_) => written += 1,
            Err(error) if error.is_retryable() => {}
            Err(error) => return Err(error.into()),
        }
        check(given.time.now() < deadline, "no write on another primary")?;
        given.pause().await;
    }
    let took = given.time.now() - harmed;
    collection.insert_one(doc! { "after": true }).await?;
    let count = collection.count_documents(doc! {}).await?;
    check(count >= written + 2, "nothing acknowledged is lost")?;
    if action == "kill" {
        given.act("restart", &old)?;
    }
    client.shutdown().await;
    Ok(format!("{} ms", took.as_millis()))
}

async fn closing(given: &Given) -> Outcome<String> {
    let client = given.open().await?;
    let events = client.topology();
    client.ping(ReadPreference::primary()).await?;
    client.clone().shutdown().await;
    let error = failure(client.ping(ReadPreference::primary()).await)?;
    check(matches!(error.kind(), ErrorKind::Shutdown), &error)?;
    let heard: Vec<Event> = events.collect().await;
    let last = heard.last().ok_or("no event")?;
    equal(serde_json::to_value(last)?["kind"].as_str(), Some("topologyClosed"))?;
    nothing()
}
