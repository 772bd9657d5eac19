//! Each compressor against a real server, which counts what it has compressed and decompressed.

use std::time::Duration;

use bson::{Document, doc};
use futures_util::TryStreamExt as _;
use portolan::options::ClientOptions;
use portolan_support::Standalone;

use crate::watch::{binary, connect, run};

const DOCUMENTS: usize = 200;

/// Bytes that the server has taken in and given out by `compressor`: compressed by the client,
/// compressed by the server.
fn counted(server: &Standalone, compressor: &str) -> [i64; 2] {
    let mut plain = server.connect(Duration::from_secs(30)).expect("a connection");
    let status = plain.run(&doc! { "serverStatus": 1 }).expect("a status");
    let counters = status
        .get_document("network")
        .and_then(|network| network.get_document("compression"))
        .and_then(|all| all.get_document(compressor))
        .unwrap_or_else(|error| panic!("{compressor}: {error} in {status}"));
    ["decompressor", "compressor"].map(|direction| {
        let counter = counters.get_document(direction).expect("both directions").get("bytesIn");
        match counter.cloned() {
            Some(bson::Bson::Int64(bytes)) => bytes,
            Some(bson::Bson::Int32(bytes)) => i64::from(bytes),
            other => panic!("{compressor} {direction}: {other:?}"),
        }
    })
}

/// The specification's test plan: what is asked for is used, in the client's order, and what came
/// back is what was sent.
#[test]
fn each_compressor_is_used_both_ways() {
    let server = Standalone::start(&binary()).expect("a server");
    let address = server.address();
    for (asked, used) in [
        ("snappy", "snappy"),
        ("zlib&zlibCompressionLevel=9", "zlib"),
        ("zstd", "zstd"),
        ("zlib,snappy", "zlib"),
        ("snoopy,zstd", "zstd"),
    ] {
        let before = counted(&server, used);
        let (others, rest): (Vec<_>, Vec<_>) = ["snappy", "zlib", "zstd"]
            .into_iter()
            .filter(|name| *name != used)
            .map(|name| (name, counted(&server, name)))
            .unzip();
        run(async {
            let uri = format!("mongodb://{address}/?compressors={asked}");
            let (client, _watch) = connect(&uri).await;
            let notes = client.database("live").collection::<Document>(used);
            let text = "fair wind and following seas. ".repeat(50);
            let sent: Vec<Document> =
                (0..DOCUMENTS).map(|n| doc! { "_id": n as i64, "text": &text }).collect();
            notes.delete_one(doc! { "_id": -1 }).await.expect("nothing to delete");
            client.database("live").run_command(doc! { "drop": used }).await.ok();
            notes.insert_many(sent.clone()).await.expect("inserted");
            let cursor = notes.find(doc! {}).sort(doc! { "_id": 1 }).batch_size(70_u32).await;
            let read: Vec<Document> = cursor.expect("found").try_collect().await.expect("read");
            assert_eq!(read, sent, "{asked}");
            client.shutdown().await;
        });
        let after = counted(&server, used);
        for (before, after) in before.into_iter().zip(after) {
            assert!(after > before + 1_000, "{asked}: {before} bytes became {after}");
        }
        let unused: Vec<_> = others.iter().map(|name| counted(&server, name)).collect();
        assert_eq!(unused, rest, "{asked}: {others:?} were not asked for");
    }
}

/// On demand the connection that found the server carries the operations too.
#[test]
fn the_one_connection_of_an_on_demand_client_is_compressed() {
    let server = Standalone::start(&binary()).expect("a server");
    let before = counted(&server, "zstd");
    run(async {
        let uri = format!("mongodb://{}/?compressors=zstd", server.address());
        let options = ClientOptions::parse(&uri).expect("good options");
        let client = portolan_async_std::connect_on_demand(options).await.expect("a client");
        let notes = client.database("live").collection::<Document>("demand");
        let text = "fair wind and following seas. ".repeat(100);
        notes.insert_one(doc! { "_id": 1, "text": &text }).await.expect("inserted");
        let found = notes.find_one(doc! {}).await.expect("found").expect("it is there");
        assert_eq!(found.get_str("text").ok(), Some(text.as_str()));
        client.shutdown().await;
    });
    let after = counted(&server, "zstd");
    for (before, after) in before.into_iter().zip(after) {
        assert!(after > before + 100, "{before} bytes became {after}");
    }
}

/// "e.g., empty compression: [] array. No operations should have been compressed."
#[test]
fn nothing_is_compressed_unasked() {
    let server = Standalone::start(&binary()).expect("a server");
    let counters = || ["snappy", "zlib", "zstd"].map(|name| counted(&server, name));
    let before = counters();
    run(async {
        for options in ["", "?compressors=snoopy"] {
            let (client, _watch) =
                connect(&format!("mongodb://{}/{options}", server.address())).await;
            let warned = client.options().warnings.iter().any(|text| text.contains("snoopy"));
            assert_eq!(warned, !options.is_empty());
            let notes = client.database("live").collection("plain");
            notes.insert_one(doc! { "text": "calm" }).await.expect("inserted");
            client.shutdown().await;
        }
    });
    assert_eq!(counters(), before);
}
