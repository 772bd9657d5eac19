//! Servers that say what no server should: errors, never a panic, a hang or a wrong answer.

use futures_util::StreamExt;
use portolan::bson::{Bson, DateTime, Document, doc};
use portolan::{Client, ErrorKind, ReadPreference, ServerType};

use super::support::server::Act;
use super::support::{Bed, address, secs, till};

/// What a hello says beside the sensible, one at a time.
fn strange_facts() -> Vec<(&'static str, Bson)> {
    let dates = [i64::MIN, -1, i64::MAX].map(DateTime::from_millis);
    let mut facts: Vec<(&'static str, Bson)> = Vec::new();
    for key in [
        "logicalSessionTimeoutMinutes",
        "maxMessageSizeBytes",
        "maxBsonObjectSize",
        "maxWriteBatchSize",
        "setVersion",
        "connectionId",
        "minWireVersion",
        "maxWireVersion",
    ] {
        for number in [i64::MIN, -1, 0, 1, i64::from(i32::MAX), i64::MAX] {
            facts.push((key, Bson::Int64(number)));
        }
        facts.push((key, Bson::Double(f64::NAN)));
        facts.push((key, Bson::Double(f64::INFINITY)));
        facts.push((key, Bson::String("many".to_owned())));
    }
    for date in dates {
        facts.push(("lastWrite", doc! { "lastWriteDate": date }.into()));
    }
    facts.push(("hosts", vec!["a:1", ""].into()));
    facts.push(("hosts", vec!["a:1", "[::1"].into()));
    facts.push(("hosts", Vec::<Bson>::new().into()));
    facts.push(("hosts", 7.into()));
    facts.push(("me", "z:1".into()));
    facts.push(("primary", ":::".into()));
    facts.push(("setName", "".into()));
    facts.push(("tags", "".into()));
    facts.push(("isreplicaset", true.into()));
    facts.push(("msg", "isdbgrid".into()));
    facts.push(("ok", 0.into()));
    facts.push(("topologyVersion", doc! { "processId": 1, "counter": i64::MIN }.into()));
    facts
}

/// Some of everything; what comes of it is not the point, that it ends is.
fn use_it(bed: &Bed, client: &Client) {
    let client = client.clone();
    let all = bed.spawn(async move {
        let till = till(&client);
        let nearest = ReadPreference::nearest().with_max_staleness(secs(90));
        let _ = client.ping(nearest.clone()).await;
        let _ = till.insert_many((0..5).map(|n| doc! { "_id": n })).await;
        if let Ok(mut cursor) = till.find(doc! {}).read_preference(nearest).batch_size(1_u32).await
        {
            while let Some(Ok(_)) = cursor.next().await {}
        }
        client.shutdown().await;
    });
    bed.advance(secs(30));
    assert!(all.is_done());
    assert!(bed.driver_ended());
}

#[test]
fn a_hello_of_any_content_is_survived() {
    for (key, value) in strange_facts() {
        for version in [Some(1), Some(i64::MAX - 10), None] {
            let bed = Bed::set(1);
            bed.with_server("b:1", |server| {
                server.hello.insert(key, value.clone());
                server.version = version;
            });
            let client = bed.settled("serverSelectionTimeoutMS=1000&heartbeatFrequencyMS=1000");
            bed.with_server("a:1", |server| {
                server.hello.insert(key, value.clone());
            });
            bed.net.state().change(&address("a:1"), |_| {});
            bed.advance(secs(2));
            use_it(&bed, &client);
        }
    }
}

/// No message, or not the one that was asked for.
fn junk() -> Vec<Vec<u8>> {
    let header = |length: i32, answers: i32, code: i32| {
        [length, 1, answers, code].iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>()
    };
    vec![
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        header(-1, 0, 2013),
        header(0, 0, 2013),
        header(15, 0, 2013),
        header(16, 0, 2013),
        header(i32::MAX, 0, 2013),
        header(100_000_000, 0, 2013),
        header(16, 0, 7),
        header(16, 0, 2012),
        [header(21, 1, 2013), vec![0; 5]].concat(),
        [header(26, 1, 2013), vec![0, 0, 0, 0, 0, 255, 255, 255, 255, 0]].concat(),
        [header(36, 1, 1), vec![255; 20]].concat(),
        // Compressed: two gigabytes, an unknown compressor, one that lies.
        [header(29, 1, 2012), compressed(i32::MAX, 2)].concat(),
        [header(29, 1, 2012), compressed(100, 77)].concat(),
        [header(29, 1, 2012), compressed(100, 0)].concat(),
    ]
}

/// OP_COMPRESSED from its original op code on, with four bytes of contents.
fn compressed(size: i32, compressor: u8) -> Vec<u8> {
    [&2013_i32.to_le_bytes()[..], &size.to_le_bytes(), &[compressor], &[0; 4]].concat()
}

#[test]
fn junk_is_an_error_of_that_connection() {
    for bytes in junk() {
        let bed = Bed::set(0);
        bed.with_server("a:1", |server| server.version = None);
        let client = bed.settled("retryReads=false&socketTimeoutMS=500&compressors=snappy,zlib");
        bed.rule("a:1", "ping", 1, Act::Raw(bytes.clone()));
        let ping = || {
            let client = client.clone();
            bed.run(async move { client.ping(ReadPreference::primary()).await.map(drop) })
        };
        let error = ping().expect_err("junk");
        let known = matches!(error.kind(), ErrorKind::Protocol { .. } | ErrorKind::Timeout { .. });
        assert!(known, "{bytes:?}: {error:?}");
        ping().expect("on another connection");
    }
}

#[test]
fn junk_from_a_monitored_server_makes_it_unknown_for_a_moment() {
    for bytes in junk() {
        let bed = Bed::set(0);
        bed.with_server("a:1", |server| server.version = None);
        let client = bed.settled("heartbeatFrequencyMS=1000&connectTimeoutMS=500");
        bed.rule("a:1", "hello", 2, Act::Raw(bytes.clone()));
        bed.advance(secs(2));
        bed.advance(secs(3));
        let description = client.topology().description();
        let server = description.server(&address("a:1")).expect("a member");
        assert_eq!(server.server_type, ServerType::RSPrimary, "{bytes:?}");
    }
}

#[test]
fn a_cursor_of_any_content_is_survived() {
    let cursor = |id: Bson, ns: &str, batch: &str, documents: Bson| {
        doc! { "cursor": { "id": id, "ns": ns, batch: documents } }
    };
    let one = || Bson::from(vec![doc! { "_id": 1 }]);
    let replies: Vec<Document> = vec![
        doc! {},
        doc! { "cursor": 7 },
        cursor(Bson::Null, "shop.till", "firstBatch", one()),
        cursor(7_i64.into(), "shop", "firstBatch", one()),
        cursor(7_i64.into(), "shop.till", "firstBatch", "none".into()),
        cursor(7_i64.into(), "shop.till", "firstBatch", vec![1, 2].into()),
        cursor((-7_i64).into(), "shop.till", "firstBatch", one()),
        cursor(i64::MIN.into(), ".", "firstBatch", one()),
        cursor(7_i64.into(), "shop.till", "nextBatch", one()),
        cursor(7_i64.into(), "shop.till", "nextBatch", Vec::<Bson>::new().into()),
        doc! { "ok": "yes" },
        doc! { "ok": 1, "writeErrors": [7], "n": -1 },
    ];
    for command in ["find", "getMore", "killCursors", "insert"] {
        for reply in &replies {
            let bed = Bed::set(0);
            let client = bed.settled("serverSelectionTimeoutMS=1000");
            bed.rule("a:1", command, 3, Act::Reply(reply.clone()));
            use_it(&bed, &client);
        }
    }
}
