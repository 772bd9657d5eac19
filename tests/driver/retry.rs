//! What is tried again, where, with what, and which error remains.

use portolan::bson::{Document, doc};
use portolan::{Client, Error, ErrorKind, ReadPreference, ServerType};

use super::support::server::{Act, Port, Request};
use super::support::{Bed, Join, address, ms, pool, secs, till};

const RETRYABLE_WRITE: &str = "RetryableWriteError";

fn insert(bed: &Bed, client: &Client) -> Join<portolan::Result<()>> {
    let till = till(client);
    bed.spawn(async move { till.insert_one(doc! { "_id": 1 }).await.map(drop) })
}

fn find(bed: &Bed, client: &Client) -> Join<portolan::Result<()>> {
    let till = till(client);
    bed.spawn(async move { till.find_one(doc! {}).await.map(drop) })
}

fn command(bed: &Bed, client: &Client) -> Join<portolan::Result<()>> {
    let database = client.database("shop");
    bed.spawn(async move { database.run_command(doc! { "buildInfo": 1 }).await.map(drop) })
}

fn outcome(bed: &Bed, join: &Join<portolan::Result<()>>) -> portolan::Result<()> {
    bed.advance(secs(40));
    join.take().expect("it has ended")
}

fn server_type(client: &Client, name: &str) -> ServerType {
    client.topology().description().server(&address(name)).expect("a member").server_type
}

fn addresses(requests: &[Request]) -> Vec<String> {
    requests.iter().map(|request| request.address.to_string()).collect()
}

fn not_primary() -> Document {
    doc! { "ok": 0, "code": 10107, "errmsg": "not primary", "errorLabels": [RETRYABLE_WRITE] }
}

#[test]
fn a_write_that_lost_its_connection_goes_to_the_new_primary_as_the_same_write() {
    let bed = Bed::set(2);
    let client = bed.settled("");
    bed.rule("a:1", "insert", 1, Act::HangUpAfterwards);
    let join = insert(&bed, &client);
    bed.advance(ms(4));
    bed.elect("b:1", 2);
    outcome(&bed, &join).expect("the retry");
    let inserts = bed.named("insert");
    assert_eq!(addresses(&inserts), ["a:1", "b:1"]);
    assert_eq!(inserts[0].lsid(), inserts[1].lsid());
    assert!(inserts[0].lsid().is_some());
    let numbers: Vec<i64> =
        inserts.iter().map(|r| r.body.get_i64("txnNumber").expect("a number")).collect();
    assert_eq!(numbers, [1, 1]);
    // A network error: the session is not used for anything else.
    outcome(&bed, &insert(&bed, &client)).expect("another write");
    let third = &bed.named("insert")[2];
    assert_ne!(third.lsid(), inserts[0].lsid());
}

#[test]
fn each_write_has_a_number_of_its_own() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    for _ in 0..2 {
        outcome(&bed, &insert(&bed, &client)).expect("a write");
    }
    let inserts = bed.named("insert");
    assert_eq!(inserts[0].lsid(), inserts[1].lsid());
    assert_eq!(inserts[0].body.get_i64("txnNumber").ok(), Some(1));
    assert_eq!(inserts[1].body.get_i64("txnNumber").ok(), Some(2));
}

/// CP-10: "errors that the driver can distinguish as never occurring due to server overload, such
/// as DNS lookup failures"; SDAM then marks the server Unknown, as for no error with the label.
#[test]
fn a_name_that_no_longer_resolves_is_no_overload() {
    for (port, overload) in [(Port::Nameless, false), (Port::Refusing, true)] {
        let bed = Bed::set(0);
        let client = bed.settled("retryReads=false&serverSelectionTimeoutMS=1000");
        bed.with_server("a:1", |server| server.port = port);
        let join = find(&bed, &client);
        bed.advance(secs(3));
        let error = join.take().expect("it has ended").expect_err("no connection");
        assert!(matches!(error.kind(), ErrorKind::Network { .. }), "{error:?}");
        for label in ["SystemOverloadedError", "RetryableError"] {
            assert_eq!(error.has_label(label), overload, "{error:?}");
        }
        let unknown = server_type(&client, "a:1") == ServerType::Unknown;
        assert_eq!(unknown, !overload, "{port:?}");
    }
}

/// Load balancers "Initial Handshake Errors": nothing follows for the pool, which nobody would ever
/// make ready again.
#[test]
fn a_load_balancer_that_could_not_be_reached_is_tried_again() {
    for port in [Port::Nameless, Port::Refusing] {
        let bed = Bed::standalone();
        let client = bed.settled("loadBalanced=true&retryReads=false");
        bed.with_server("a:1", |server| server.port = port);
        outcome(&bed, &find(&bed, &client)).expect_err("no connection");
        bed.with_server("a:1", |server| server.port = Port::Open);
        outcome(&bed, &find(&bed, &client)).expect("a connection");
    }
}

#[test]
fn a_read_is_tried_once_more() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    bed.rule("a:1", "find", 1, Act::HangUp);
    outcome(&bed, &find(&bed, &client)).expect("the second attempt");
    assert_eq!(bed.named("find").len(), 2);

    bed.rule("a:1", "find", 2, Act::HangUp);
    let error = outcome(&bed, &find(&bed, &client)).expect_err("two attempts at most");
    assert!(matches!(error.kind(), ErrorKind::Network { .. }));
    assert_eq!(bed.named("find").len(), 4);
}

#[test]
fn options_turn_retries_off() {
    let bed = Bed::set(0);
    let client = bed.settled("retryReads=false&retryWrites=false");
    bed.rule("a:1", "find", 1, Act::HangUp);
    bed.rule("a:1", "insert", 1, Act::HangUp);
    outcome(&bed, &find(&bed, &client)).expect_err("no retry");
    let error = outcome(&bed, &insert(&bed, &client)).expect_err("no retry");
    assert!(!error.has_label(RETRYABLE_WRITE));
    assert_eq!((bed.named("find").len(), bed.named("insert").len()), (1, 1));
    assert!(!bed.named("insert")[0].body.contains_key("txnNumber"));
}

#[test]
fn not_writable_primary_marks_the_server_unknown_and_is_retried_on_the_new_one() {
    let bed = Bed::set(2);
    let client = bed.settled("");
    bed.rule("a:1", "insert", 1, Act::Reply(not_primary()));
    let join = insert(&bed, &client);
    bed.advance(ms(5));
    assert_eq!(server_type(&client, "a:1"), ServerType::Unknown);
    assert!(!join.is_done());
    bed.elect("c:1", 2);
    outcome(&bed, &join).expect("the retry");
    assert_eq!(addresses(&bed.named("insert")), ["a:1", "c:1"]);
    assert_eq!(pool(&client, "a:1").connections, 1, "its connections are good");
}

/// As a primary that steps down: it interrupts its operations before it counts the change.
fn interrupted_in_the_same_state(bed: &Bed, name: &str) -> Document {
    let version = bed.with_server(name, |server| server.topology_version()).expect("it streams");
    doc! {
        "ok": 0, "code": 11602, "errmsg": "operation was interrupted",
        "errorLabels": [RETRYABLE_WRITE], "topologyVersion": version,
    }
}

// SD-36: the error is stale, so that it says nothing to the topology.
#[test]
fn a_retry_waits_for_the_word_of_a_server_that_steps_down() {
    let bed = Bed::set(2);
    let client = bed.settled("");
    bed.rule("a:1", "insert", 1, Act::Reply(interrupted_in_the_same_state(&bed, "a:1")));
    let join = insert(&bed, &client);
    bed.advance(ms(100));
    assert_eq!(server_type(&client, "a:1"), ServerType::RSPrimary);
    assert_eq!(addresses(&bed.named("insert")), ["a:1"], "it would be refused again");
    bed.elect("b:1", 2);
    outcome(&bed, &join).expect("the retry");
    assert_eq!(addresses(&bed.named("insert")), ["a:1", "b:1"]);
}

#[test]
fn a_server_that_goes_on_in_the_same_state_is_tried_again() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    bed.rule("a:1", "insert", 1, Act::Reply(interrupted_in_the_same_state(&bed, "a:1")));
    outcome(&bed, &insert(&bed, &client)).expect("the retry");
    let inserts = bed.named("insert");
    assert_eq!(addresses(&inserts), ["a:1", "a:1"]);
    let waited = inserts[1].at - inserts[0].at;
    assert!((ms(500)..ms(510)).contains(&waited), "{waited:?}");
}

#[test]
fn a_write_concern_error_of_a_server_that_shuts_down_is_retried() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let error = doc! { "code": 91, "errmsg": "shutting down" };
    let reply = doc! { "n": 1, "writeConcernError": error, "errorLabels": [RETRYABLE_WRITE] };
    bed.rule("a:1", "insert", 1, Act::Reply(reply));
    let join = insert(&bed, &client);
    bed.advance(ms(8));
    assert_eq!(server_type(&client, "a:1"), ServerType::Unknown);
    assert_eq!(pool(&client, "a:1").connections, 0, "its connections are about to break");
    outcome(&bed, &join).expect("the retry");
    let inserts = bed.named("insert");
    assert_eq!(inserts.len(), 2);
    assert_eq!(inserts[0].body.get("txnNumber"), inserts[1].body.get("txnNumber"));
}

#[test]
fn a_command_of_the_user_s_own_is_sent_once() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    bed.rule("a:1", "buildInfo", 1, Act::HangUp);
    let error = outcome(&bed, &command(&bed, &client)).expect_err("a lost connection");
    assert!(matches!(error.kind(), ErrorKind::Network { .. }), "{error:?}");
    assert_eq!(error.labels(), &[] as &[String]);
    bed.rule("a:1", "buildInfo", 1, Act::Reply(not_primary()));
    let error = outcome(&bed, &command(&bed, &client)).expect_err("refused");
    assert_eq!(error.code(), Some(10107));
    assert_eq!(bed.named("buildInfo").len(), 2);
}

#[test]
fn a_write_without_a_number_is_sent_once() {
    // Sessions of a negative life, a server without sessions, one of its own: no number, and a
    // write that is sent twice might happen twice.
    for timeout in [Some(-1), None] {
        let bed = Bed::set(0);
        bed.with_server("a:1", |server| match timeout {
            Some(minutes) => {
                server.hello.insert("logicalSessionTimeoutMinutes", minutes);
            }
            None => {
                server.hello.remove("logicalSessionTimeoutMinutes");
            }
        });
        let client = bed.settled("");
        bed.rule("a:1", "insert", 1, Act::HangUpAfterwards);
        outcome(&bed, &insert(&bed, &client)).expect_err("no retry");
        assert_eq!(bed.named("insert").len(), 1, "{timeout:?}");
        assert_eq!(bed.named("insert")[0].lsid(), None, "{timeout:?}");
    }
}

#[test]
fn a_retry_does_not_go_to_a_server_that_cannot_tell_it_is_one() {
    let bed = Bed::set(1);
    let client = bed.settled("");
    bed.rule("a:1", "insert", 1, Act::HangUpAfterwards);
    let join = insert(&bed, &client);
    bed.advance(ms(4));
    bed.net.state().change(&address("b:1"), |hello| {
        hello.remove("logicalSessionTimeoutMinutes");
    });
    bed.elect("b:1", 2);
    let error = outcome(&bed, &join).expect_err("the first attempt's");
    assert!(matches!(error.kind(), ErrorKind::Network { .. }), "{error:?}");
    assert_eq!(addresses(&bed.named("insert")), ["a:1"]);
}

#[test]
fn errors_are_labelled() {
    let bed = Bed::set(0);
    let client = bed.settled("serverSelectionTimeoutMS=100");
    bed.rule("a:1", "insert", 1, Act::HangUp);
    let join = insert(&bed, &client);
    bed.advance(ms(4));
    bed.kill("a:1");
    let error = outcome(&bed, &join).expect_err("nobody is left");
    assert_eq!(error.labels(), [RETRYABLE_WRITE]);

    let bed = Bed::set(0);
    let client = bed.settled("serverSelectionTimeoutMS=100&heartbeatFrequencyMS=60000");
    bed.with_server("a:1", |server| server.port = Port::Refusing);
    let error = outcome(&bed, &insert(&bed, &client)).expect_err("refused");
    for label in ["SystemOverloadedError", "RetryableError", RETRYABLE_WRITE] {
        assert!(error.has_label(label), "{error:?}");
    }
    assert!(error.is_retryable());
}

#[test]
fn a_refused_connection_is_tried_again_with_pauses() {
    let bed = Bed::set(0);
    let client = bed.settled("heartbeatFrequencyMS=60000");
    bed.with_server("a:1", |server| server.port = Port::Refusing);
    bed.forget_log();
    let error = outcome(&bed, &command(&bed, &client)).expect_err("refused");
    assert!(matches!(error.kind(), ErrorKind::Network { .. }));
    let dialled: Vec<_> = bed.net.state().dialled.iter().map(|(at, _)| *at).collect();
    assert_eq!(dialled.len(), 3, "two retries");
    assert!(dialled[1] - dialled[0] < ms(201) && dialled[2] - dialled[1] < ms(401));
    assert!(dialled[2] - dialled[0] > ms(2), "random shares of 200 and 400 ms");
    // An overloaded server is no unknown server.
    assert_eq!(server_type(&client, "a:1"), ServerType::RSPrimary);
}

#[test]
fn options_turn_retries_of_refused_connections_off() {
    for (options, tried) in [("retryWrites=false", 1), ("maxAdaptiveRetries=0", 1)] {
        let bed = Bed::set(0);
        let client = bed.settled(&format!("heartbeatFrequencyMS=60000&{options}"));
        bed.with_server("a:1", |server| server.port = Port::Refusing);
        bed.forget_log();
        outcome(&bed, &command(&bed, &client)).expect_err("refused");
        assert_eq!(bed.net.state().dialled.len(), tried, "{options}");
    }
}

#[test]
fn a_read_avoids_the_server_that_refused() {
    for attempt in 0..10 {
        let bed = Bed::set(1);
        let options = "readPreference=nearest&localThresholdMS=1000&heartbeatFrequencyMS=60000";
        let client = bed.settled(options);
        bed.with_server("b:1", |server| server.port = Port::Refusing);
        outcome(&bed, &find(&bed, &client)).expect("the other one answers");
        assert_eq!(addresses(&bed.named("find")), ["a:1"], "{attempt}");
        let refused =
            bed.net.state().dialled.iter().filter(|(_, to)| *to == address("b:1")).count();
        assert!(refused <= 3, "asked once at most, beside its monitors");
    }
}

#[test]
fn an_overloaded_server_s_answer_is_retried_with_pauses() {
    let busy = doc! {
        "ok": 0, "code": 462, "errmsg": "rate exceeded",
        "errorLabels": ["SystemOverloadedError", "RetryableError"],
    };
    let bed = Bed::set(0);
    let client = bed.settled("");
    bed.rule("a:1", "buildInfo", 2, Act::Reply(busy.clone()));
    outcome(&bed, &command(&bed, &client)).expect("the third attempt");
    assert_eq!(bed.named("buildInfo").len(), 3);
    bed.rule("a:1", "buildInfo", 3, Act::Reply(busy.clone()));
    let error = outcome(&bed, &command(&bed, &client)).expect_err("three attempts");
    assert_eq!(error.code(), Some(462));
    assert_eq!(bed.named("buildInfo").len(), 6);

    let bed = Bed::set(0);
    let client = bed.settled("retryReads=false");
    bed.rule("a:1", "buildInfo", 1, Act::Reply(busy));
    outcome(&bed, &command(&bed, &client)).expect_err("not with retryReads=false");
}

#[test]
fn who_waits_in_a_pool_that_is_cleared_goes_elsewhere() {
    let bed = Bed::set(1);
    let client = bed.settled("maxPoolSize=1");
    bed.rule("a:1", "insert", 1, Act::Slow(secs(20)));
    let busy = insert(&bed, &client);
    bed.advance(ms(10));
    let waits = command(&bed, &client);
    bed.advance(ms(10));
    assert_eq!(pool(&client, "a:1").waiting, 1);
    bed.kill("a:1");
    bed.advance(ms(10));
    bed.elect("b:1", 2);
    outcome(&bed, &waits).expect("on the new primary");
    assert_eq!(addresses(&bed.named("buildInfo")), ["b:1"]);
    outcome(&bed, &busy).expect("the retry");
    assert_eq!(addresses(&bed.named("insert")), ["a:1", "b:1"]);
}

#[test]
fn the_first_error_remains_when_no_server_is_left() {
    let bed = Bed::set(0);
    let client = bed.settled("serverSelectionTimeoutMS=3000");
    bed.rule("a:1", "find", 1, Act::Raw(vec![1, 2, 3]));
    let join = find(&bed, &client);
    bed.advance(ms(6));
    bed.kill("a:1");
    let error = outcome(&bed, &join).expect_err("nobody is left");
    let text = error.to_string();
    assert!(text.contains("the server closed the connection in the middle of a message"), "{text}");
}

#[test]
fn an_error_after_which_nothing_was_written_gives_way_to_the_first() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let first = doc! {
        "ok": 0, "code": 91, "errmsg": "first", "errorLabels": [RETRYABLE_WRITE],
    };
    let second = doc! {
        "ok": 0, "code": 10107, "errmsg": "second",
        "errorLabels": [RETRYABLE_WRITE, "NoWritesPerformed"],
    };
    bed.rule("a:1", "insert", 1, Act::Reply(first));
    bed.rule("a:1", "insert", 1, Act::Reply(second));
    let error: Error = outcome(&bed, &insert(&bed, &client)).expect_err("two failures");
    assert_eq!(error.code(), Some(91), "{error:?}");
}

#[test]
fn a_command_too_large_for_the_server_is_not_sent() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| {
        server.hello.insert("maxMessageSizeBytes", 1000);
    });
    let client = bed.settled("");
    let database = client.database("shop");
    let large = "x".repeat(1000);
    let error = bed
        .run(async move { database.run_command(doc! { "distinct": large }).await })
        .expect_err("too large");
    assert!(matches!(error.kind(), ErrorKind::InvalidArgument(_)), "{error:?}");
    assert_eq!(bed.requests().len(), 0);
    assert_eq!(server_type(&client, "a:1"), ServerType::RSPrimary, "not the server's fault");
    let ping = client.clone();
    bed.run(async move { ping.ping(ReadPreference::primary()).await }).expect("a ping");
    let status = pool(&client, "a:1");
    assert_eq!((status.connections, status.idle), (1, 1), "the connection is good");
}
