//! What the client says of itself on the wire (mongodb-handshake, "Client Metadata Update Prose
//! Tests"). What the document looks like is tested in `src/engine/hello/metadata_tests.rs`.

use portolan::bson::{Document, doc};
use portolan::options::{ClientOptions, DriverInfo};
use portolan::{Client, ReadPreference};

use super::support::{Bed, ms, secs};

fn info(name: &str, version: Option<&str>, platform: Option<&str>) -> DriverInfo {
    let text = |text: Option<&str>| text.map(str::to_owned);
    DriverInfo { name: name.to_owned(), version: text(version), platform: text(platform) }
}

fn library() -> DriverInfo {
    info("library", Some("1.2"), Some("Library Platform"))
}

fn client(bed: &Bed, initial: Option<DriverInfo>) -> Client {
    let mut options = ClientOptions::parse(&bed.uri("maxIdleTimeMS=1")).expect("good options");
    options.suspicion.enabled = false;
    options.driver_info = initial;
    bed.client_of(options)
}

/// The `client` document of a new connection, whose ping succeeds.
fn said(bed: &Bed, client: &Client) -> Document {
    bed.advance(ms(600));
    bed.forget_log();
    let ping = client.clone();
    bed.run(async move { ping.ping(ReadPreference::primary()).await }).expect("a ping");
    let connection = bed.named("ping")[0].connection;
    let mut hellos = bed.named("hello").into_iter().filter(|it| it.connection == connection);
    let hello = hellos.next().expect("a new connection: the old one was idle for too long");
    hello.body.get_document("client").expect("metadata").clone()
}

fn texts(client: &Document) -> [String; 3] {
    let driver = client.get_document("driver").expect("a driver");
    let texts = [driver.get_str("name"), driver.get_str("version"), client.get_str("platform")];
    texts.map(|text| text.expect("a text").split('|').skip(1).collect::<Vec<_>>().join("|"))
}

/// Tests 1 to 3 and 7, 8: what is appended while the client runs is said on its next connections,
/// by those of monitors too, and nothing else changes.
#[test]
fn what_is_appended_is_said_on_new_connections() {
    for initial in [true, false] {
        let bed = Bed::standalone();
        let client = client(&bed, initial.then(library));
        if !initial {
            client.append_metadata(&library()).expect("good texts");
        }
        let before = said(&bed, &client);
        assert_eq!(texts(&before), ["library", "1.2", "Library Platform"]);
        client.append_metadata(&library()).expect("the same again");
        assert_eq!(said(&bed, &client), before);

        let framework = info("framework", Some("2.0"), Some(""));
        client.append_metadata(&framework).expect("good texts");
        let after = said(&bed, &client);
        assert_eq!(texts(&after), ["library|framework", "1.2|2.0", "Library Platform"]);
        for same in [info("framework", Some("2.0"), None), framework, library()] {
            client.append_metadata(&same).expect("the same again");
            assert_eq!(said(&bed, &client), after);
        }
        let rest = |client: &Document| {
            let mut rest = client.clone();
            rest.remove("driver");
            rest.remove("platform");
            rest
        };
        assert_eq!(rest(&before), rest(&after));
    }
}

#[test]
fn connections_that_are_open_are_left_alone_and_monitors_say_it_on_their_next() {
    let bed = Bed::standalone();
    let client = client(&bed, None);
    bed.advance(ms(600));
    let open = bed.open_connections("a:1");
    bed.forget_log();
    client.append_metadata(&library()).expect("good texts");
    bed.advance(secs(1));
    assert_eq!(bed.open_connections("a:1"), open);
    assert!(!bed.named("hello").iter().any(|it| it.is_handshake()), "no new connection for it");

    bed.kill("a:1");
    bed.advance(secs(1));
    bed.with_server("a:1", |server| server.port = super::support::server::Port::Open);
    bed.forget_log();
    bed.advance(secs(20));
    let hellos = bed.named("hello");
    let first = hellos.iter().find(|it| it.is_handshake()).expect("the monitor is back");
    let said = first.body.get_document("client").expect("metadata");
    assert_eq!(texts(said), ["library", "1.2", "Library Platform"]);
}

#[test]
fn a_text_with_a_delimiter_is_an_error() {
    let bed = Bed::standalone();
    let client = client(&bed, None);
    let error = client.append_metadata(&info("a|b", None, None)).expect_err("two in one");
    assert!(error.to_string().contains("a|b"), "{error}");
}

/// Test 9, and test 2 of the handshake: what a server says of mechanisms is not checked.
#[test]
fn every_handshake_speaks_of_backpressure_and_any_mechanism_is_fine() {
    let bed = Bed::standalone();
    bed.with_server("a:1", |server| {
        server.hello.insert("saslSupportedMechs", vec!["SCRAM-SHA-256", "of the future"]);
    });
    let client = client(&bed, None);
    said(&bed, &client);
    let state = bed.net.state();
    let handshakes: Vec<&Document> =
        state.log.iter().filter(|it| it.is_handshake()).map(|it| &it.body).collect();
    assert!(!handshakes.is_empty());
    for hello in handshakes {
        assert_eq!(hello.get("backpressure"), Some(&"2".into()), "{}", doc! { "hello": hello });
    }
}
