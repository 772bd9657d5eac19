//! The prose tests of client-side-operations-timeout, on a virtual clock: 1 and 11 are in
//! [`super::timeouts`], 2 and 3 need client-side encryption, 6, 7, 9 and 10 need GridFS and
//! transactions.

use futures_util::{FutureExt, StreamExt};
use portolan::bson::doc;
use portolan::event::{Events, PoolEvent, PoolEventKind};
use portolan::options::{ClientOptions, Credential};
use portolan::{Client, CursorType, ReadPreference};

use super::support::scram::Account;
use super::support::server::{Act, Port};
use super::support::{Bed, ms, secs, till};

/// A server that lets only `ann` in, and a client of hers.
fn guarded(options: &str, slow: &[&'static str]) -> (Bed, Client) {
    let bed = Bed::standalone();
    bed.with_server("a:1", |server| server.account = Some(Account::new("ann", "secret")));
    for command in slow {
        bed.rule("a:1", command, 100, Act::Slow(ms(15)));
    }
    let mut options = ClientOptions::parse(&bed.uri(options)).expect("options");
    options.credential = Some(Credential {
        username: Some("ann".to_owned()),
        password: Some("secret".to_owned()),
        source: "admin".to_owned(),
        ..Credential::default()
    });
    let client = bed.client_of(options);
    (bed, client)
}

fn heard(events: &mut Events<PoolEvent>) -> Vec<&'static str> {
    let mut names = Vec::new();
    while let Some(Some(event)) = events.next().now_or_never() {
        names.push(match event.kind {
            PoolEventKind::ConnectionCreated { .. } => "created",
            PoolEventKind::ConnectionReady { .. } => "ready",
            PoolEventKind::ConnectionClosed { .. } => "closed",
            _ => continue,
        });
    }
    names
}

/// 4: "timeoutMS used for handshake commands".
#[test]
fn a_connection_of_the_background_keeps_timeout_ms_for_its_login() {
    let (bed, client) = guarded("minPoolSize=1&timeoutMS=10", &["saslContinue"]);
    let mut events = client.pool_events();
    bed.advance(ms(100));
    assert!(heard(&mut events).starts_with(&["created", "closed"]));
}

/// 4: "timeoutMS is refreshed for each handshake command".
#[test]
fn a_connection_of_the_background_has_it_for_each_command() {
    let (bed, client) = guarded("minPoolSize=1&timeoutMS=20", &["hello", "saslContinue"]);
    let mut events = client.pool_events();
    bed.advance(ms(100));
    assert_eq!(heard(&mut events), ["created", "ready"]);
}

/// 5: "Tailable cursors".
#[test]
fn the_commands_of_one_step_share_its_time() {
    let bed = Bed::set(0);
    let client = bed.settled("timeoutMS=20");
    let first = doc! { "cursor": { "id": 7_i64, "ns": "shop.till", "firstBatch": [{ "x": 1 }] } };
    bed.rule("a:1", "find", 1, Act::Reply(first));
    let find = till(&client).find(doc! {}).cursor_type(CursorType::Tailable);
    let mut cursor = bed.run(async move { find.await }).expect("a cursor");
    let nothing = doc! { "cursor": { "id": 7_i64, "ns": "shop.till", "nextBatch": [] } };
    bed.with_server("a:1", |server| server.delay = ms(15));
    bed.rule("a:1", "getMore", 9, Act::Reply(nothing));
    let (first, second) = bed.run(async move {
        let first = cursor.next().await.expect("an item").expect("a document");
        (first, cursor.next().await.expect("an item"))
    });
    assert_eq!(first, doc! { "x": 1 });
    assert!(second.expect_err("nothing came").is_timeout());
    assert_eq!((bed.named("find").len(), bed.named("getMore").len()), (1, 2));
}

/// 8: the lesser of `timeoutMS` and `serverSelectionTimeoutMS`, zero being infinite.
#[test]
fn selection_takes_the_lesser_of_the_two_times() {
    for options in [
        "serverSelectionTimeoutMS=10",
        "timeoutMS=10&serverSelectionTimeoutMS=20",
        "timeoutMS=20&serverSelectionTimeoutMS=10",
        "timeoutMS=0&serverSelectionTimeoutMS=10",
    ] {
        let bed = Bed::set(0);
        bed.with_server("a:1", |server| server.port = Port::Nameless);
        let client = bed.client(options);
        let began = bed.now();
        let ping = async move { client.ping(ReadPreference::PRIMARY).await };
        let error = bed.run(ping).expect_err("there is nobody");
        assert_eq!(bed.now() - began, ms(10), "{options}");
        assert!(error.to_string().contains("no server was suitable"), "{options}: {error}");
    }
}

/// 8: "honored for connection handshake commands".
#[test]
fn a_login_takes_the_lesser_of_the_two_times() {
    for options in
        ["timeoutMS=10&serverSelectionTimeoutMS=20", "timeoutMS=20&serverSelectionTimeoutMS=10"]
    {
        let (bed, client) = guarded(options, &["saslContinue"]);
        bed.advance(secs(1));
        let began = bed.now();
        let insert = till(&client).insert_one(doc! { "x": 1 });
        let error = bed.run(async move { insert.await }).expect_err("15 ms are too many");
        assert_eq!(bed.now() - began, ms(10), "{options}");
        assert!(error.is_timeout(), "{options}: {error:?}");
    }
}
