//! Implicit sessions, cluster time, and what is said at the end.

use futures_util::StreamExt;
use portolan::bson::oid::ObjectId;
use portolan::bson::{Document, Timestamp, doc};
use portolan::options::{Acknowledgment, WriteConcern};
use portolan::{Client, ReadPreference};

use super::support::server::{Act, Port};
use super::support::{Bed, ms, secs, till};

fn ping(bed: &Bed, client: &Client) {
    let client = client.clone();
    bed.run(async move { client.ping(ReadPreference::primary()).await }).expect("a ping");
}

fn lsids(bed: &Bed, name: &str) -> Vec<String> {
    bed.named(name).iter().map(|request| request.lsid().expect("a session")).collect()
}

#[test]
fn the_latest_session_is_used_again() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    bed.rule("a:1", "distinct", 1, Act::Slow(ms(100)));
    bed.rule("a:1", "distinct", 1, Act::Slow(ms(300)));
    let joins = [1, 2].map(|n| {
        let database = client.database("shop");
        bed.spawn(async move { database.run_command(doc! { "distinct": n }).await.map(drop) })
    });
    bed.advance(ms(10));
    let used = lsids(&bed, "distinct");
    assert_ne!(used[0], used[1], "one session, one operation at a time");
    bed.advance(ms(140));
    ping(&bed, &client);
    assert_eq!(lsids(&bed, "ping"), [used[0].clone()], "the only idle one");
    bed.advance(secs(1));
    assert!(joins.iter().all(super::support::Join::is_done));
    ping(&bed, &client);
    ping(&bed, &client);
    assert_eq!(lsids(&bed, "ping")[1..], [used[1].clone(), used[1].clone()], "last in, first out");
}

#[test]
fn a_session_about_to_expire_is_not_used_again() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| {
        server.hello.insert("logicalSessionTimeoutMinutes", 3);
    });
    let client = bed.settled("");
    ping(&bed, &client);
    bed.advance(secs(110));
    ping(&bed, &client);
    bed.advance(secs(121));
    ping(&bed, &client);
    let used = lsids(&bed, "ping");
    assert_eq!(used[0], used[1]);
    assert_ne!(used[1], used[2], "less than a minute is left");
}

#[test]
fn the_longest_life_is_no_overflow() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| {
        server.hello.insert("logicalSessionTimeoutMinutes", i64::MAX);
    });
    let client = bed.settled("");
    ping(&bed, &client);
    ping(&bed, &client);
    let used = lsids(&bed, "ping");
    assert_eq!(used[0], used[1]);
}

#[test]
fn no_session_without_a_time_out_or_an_acknowledgement() {
    let bed = Bed::standalone();
    let client = bed.settled("");
    ping(&bed, &client);
    assert_eq!(bed.named("ping")[0].lsid(), None);

    let bed = Bed::set(0);
    let client = bed.settled("");
    let till = till(&client);
    let unheard = WriteConcern { w: Some(Acknowledgment::Nodes(0)), ..WriteConcern::default() };
    bed.run(async move { till.insert_one(doc! { "_id": 1 }).write_concern(unheard).await })
        .expect("nobody says otherwise");
    bed.advance(ms(10));
    let insert = &bed.named("insert")[0];
    assert_eq!(insert.lsid(), None);
    assert!(!insert.body.contains_key("txnNumber"));
    // The connection is good: no reply is awaited on it.
    ping(&bed, &client);
    assert_eq!(bed.named("ping")[0].connection, insert.connection);
}

fn time(seconds: u32) -> Document {
    doc! { "clusterTime": Timestamp { time: seconds, increment: 1 }, "signature": { "n": 1 } }
}

#[test]
fn the_greatest_cluster_time_goes_round() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let sent = |bed: &Bed| {
        let pings = bed.named("ping");
        pings.last().and_then(|ping| ping.body.get_document("$clusterTime").ok().cloned())
    };
    ping(&bed, &client);
    assert_eq!(sent(&bed), None);
    bed.with_server("a:1", |server| server.cluster_time = Some(time(7)));
    ping(&bed, &client);
    ping(&bed, &client);
    assert_eq!(sent(&bed), Some(time(7)), "as it came, signature included");
    bed.with_server("a:1", |server| server.cluster_time = Some(time(5)));
    ping(&bed, &client);
    ping(&bed, &client);
    assert_eq!(sent(&bed), Some(time(7)), "an older one changes nothing");
    bed.with_server("a:1", |server| server.cluster_time = Some(time(9)));
    let refused = doc! { "ok": 0, "code": 59, "errmsg": "no such command" };
    bed.rule("a:1", "distinct", 1, Act::Reply(refused));
    let database = client.database("shop");
    bed.run(async move { database.run_command(doc! { "distinct": 1 }).await }).expect_err("59");
    ping(&bed, &client);
    assert_eq!(sent(&bed), Some(time(9)), "errors say it too");
    bed.advance(secs(30));
    let hellos = bed.named("hello");
    assert!(hellos.iter().all(|hello| !hello.body.contains_key("$clusterTime")), "monitors do not");
}

#[test]
fn a_cursor_keeps_its_session_to_its_end() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    ping(&bed, &client);
    let first = lsids(&bed, "ping")[0].clone();
    let till = till(&client);
    let mut cursor =
        bed.run(async move { till.find(doc! {}).batch_size(1_u32).await }).expect("a cursor");
    ping(&bed, &client);
    assert_ne!(lsids(&bed, "ping")[1], first, "the cursor has it");
    bed.run(async move { while cursor.next().await.is_some() {} });
    assert_eq!(lsids(&bed, "find").first(), Some(&first));
    assert_eq!(lsids(&bed, "getMore"), [first.clone(), first.clone()]);
    ping(&bed, &client);
    assert_eq!(lsids(&bed, "ping")[2], first, "given back at the end");
}

#[test]
fn a_shutdown_ends_all_sessions() {
    let bed = Bed::set(1);
    let client = bed.settled("");
    bed.rule("a:1", "distinct", 2, Act::Slow(ms(50)));
    for n in [1, 2] {
        let database = client.database("shop");
        bed.spawn(async move { database.run_command(doc! { "distinct": n }).await.map(drop) });
    }
    bed.advance(secs(1));
    bed.run(async move { client.shutdown().await });
    let end = bed.named("endSessions");
    assert_eq!(end.len(), 1);
    let ended = end[0].body.get_array("endSessions").expect("ids");
    let mut ended: Vec<String> = ended.iter().map(ToString::to_string).collect();
    let mut used = lsids(&bed, "distinct");
    ended.sort();
    used.sort();
    assert_eq!(ended, used);
    assert_eq!(end[0].lsid(), None, "in no session of its own, which would be left open");
    assert_eq!(end[0].body.get_str("$db").ok(), Some("admin"));
    bed.settle();
    assert!(bed.driver_ended());
    assert_eq!((bed.open_connections("a:1"), bed.open_connections("b:1")), (0, 0));
}

#[test]
fn a_shutdown_waits_for_nobody_for_long() {
    // A frozen primary, and no primary at all.
    for frozen in [true, false] {
        let bed = Bed::set(0);
        let client = bed.settled("heartbeatFrequencyMS=60000");
        ping(&bed, &client);
        if frozen {
            bed.with_server("a:1", |server| server.port = Port::Silent);
        } else {
            bed.kill("a:1");
            bed.advance(ms(100));
        }
        let start = bed.now();
        let closing = client.clone();
        bed.run(async move { closing.shutdown().await });
        let took = bed.now() - start;
        assert_eq!(took, if frozen { secs(1) } else { ms(0) });
        bed.settle();
        assert!(bed.driver_ended(), "even while an operation is under way");
    }
}

#[test]
fn a_shutdown_in_the_middle_of_a_job_ends_the_driver() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    bed.rule("a:1", "killCursors", 1, Act::Silence);
    let till = till(&client);
    let cursor = bed.run(async move { till.find(doc! {}).batch_size(1_u32).await });
    drop(cursor.expect("a cursor"));
    bed.advance(ms(50));
    assert_eq!(bed.named("killCursors").len(), 1);
    bed.run(async move { client.shutdown().await });
    bed.settle();
    assert!(bed.driver_ended());
    assert_eq!(bed.open_connections("a:1"), 0);
}

#[test]
fn behind_a_load_balancer_there_are_sessions() {
    let bed = Bed::standalone();
    bed.with_server("a:1", |server| {
        let service = ObjectId::from_bytes([5; 12]);
        server.hello = doc! {
            "msg": "isdbgrid", "maxWireVersion": 21, "helloOk": true, "serviceId": service,
        };
    });
    let client = bed.settled("loadBalanced=true");
    ping(&bed, &client);
    bed.advance(secs(100_000));
    ping(&bed, &client);
    let used = lsids(&bed, "ping");
    assert_eq!(used[0], used[1], "their life is not known, and not guessed");
}
