//! A hostile server: whatever it answers ends in a typed error, a closed connection and no panic.

use std::time::{Duration, Instant};

use bson::doc;
use portolan::ErrorKind;
use portolan::event::EventKind;

use crate::script::{Answer, MAX_MESSAGE, Script, Server, Then, body, good, message, op_msg};
use crate::watch::{connect, run};

const OP_MSG: i32 = 2013;

/// Runs `ping` on a server that answers it with `script`: the error must be of the protocol, come
/// soon, and the connection must be closed by the client.
fn assert_refused(script: Script, says: &[&str]) {
    let (error, server) = ping(script);
    assert!(matches!(error.kind(), ErrorKind::Protocol { .. }), "{error:?}");
    let text = error.to_string();
    assert!(says.iter().all(|part| text.contains(part)), "{text}: not all of {says:?}");
    assert!(text.contains(&server.address.to_string()), "{text}: does not name the server");
    let ended = server.ended().expect("the connection is closed");
    assert!(ended.by_client, "{ended:?}");
    // What fits the sockets' buffers may still leave the server.
    assert!(ended.sent_after < 16 << 20, "the client read on: {ended:?}");
}

fn ping(script: Script) -> (portolan::Error, Server) {
    let server = Server::start(script, None);
    let uri = format!("mongodb://{}/?directConnection=true&socketTimeoutMS=1500", server.address);
    let mut result = None;
    run(async {
        let (client, _watch) = connect(&uri).await;
        let began = Instant::now();
        let error = client.database("admin").run_command(doc! { "ping": 1 }).await;
        assert!(began.elapsed() < Duration::from_secs(8), "late: {:?}", began.elapsed());
        result = Some(error.expect_err("a bad reply"));
    });
    (result.expect("the test ran"), server)
}

#[test]
fn a_good_reply_is_taken() {
    let server = Server::start(pong, None);
    let uri = format!("mongodb://{}/?directConnection=true", server.address);
    run(async {
        let (client, _watch) = connect(&uri).await;
        let reply = client.database("admin").run_command(doc! { "ping": 1 }).await;
        assert_eq!(reply.expect("a reply"), doc! { "ok": 1 });
    });
}

#[test]
fn a_truncated_reply() {
    // Half a message, then the end of the connection: whose fault it is, nobody can tell.
    let script = |id| {
        let mut bytes = op_msg(id, &body(&doc! { "ok": 1 }));
        bytes.truncate(bytes.len() / 2);
        Answer { bytes, then: Then::Close }
    };
    let (error, server) = ping(script);
    let kind = error.kind();
    assert!(matches!(kind, ErrorKind::Network { .. } | ErrorKind::Protocol { .. }), "{error:?}");
    assert!(error.to_string().contains(&server.address.to_string()), "{error}");
}

#[test]
fn a_reply_with_a_truncated_document() {
    assert_refused(
        |id| {
            let mut section = body(&doc! { "ok": 1, "text": "to be cut" });
            section.truncate(section.len() - 6);
            wait(op_msg(id, &section))
        },
        &[],
    );
}

#[test]
fn an_oversized_reply() {
    assert_refused(|id| flood(message(MAX_MESSAGE + 100_000, id, OP_MSG, &[])), &["48"]);
}

#[test]
fn the_largest_length_of_all() {
    assert_refused(|id| flood(message(i32::MAX, id, OP_MSG, &[])), &["2147483647"]);
}

#[test]
fn a_negative_length() {
    assert_refused(|id| flood(message(-1, id, OP_MSG, &[])), &["-1"]);
}

#[test]
fn a_length_below_the_header() {
    assert_refused(|id| wait(message(15, id, OP_MSG, &[0; 32])), &["15"]);
}

#[test]
fn a_wrong_op_code() {
    assert_refused(|id| flood(message(64, id, 4711, &[0; 48])), &["4711"]);
}

#[test]
fn a_reply_of_a_wrong_request() {
    assert_refused(|id| wait(op_msg(id + 1000, &body(&doc! { "ok": 1 }))), &[]);
}

#[test]
fn invalid_bson() {
    // A string that claims more bytes than the document has.
    assert_refused(|id| wait(op_msg(id, b"\0\x13\0\0\0\x02ok\0\xff\xff\xff\x7fabcdef\0\0")), &[]);
}

#[test]
fn a_message_without_a_body() {
    assert_refused(|id| wait(op_msg(id, &[])), &[]);
}

#[test]
fn a_reply_that_never_ends() {
    // Within the limit, so it could end; only the socket time-out ends it.
    let script = |id| Answer { bytes: message(MAX_MESSAGE, id, OP_MSG, &[]), then: Then::Drip };
    let (error, server) = ping(script);
    assert!(matches!(error.kind(), ErrorKind::Timeout { .. }), "{error:?}");
    let ended = server.ended().expect("the connection is closed");
    assert!(ended.by_client, "{ended:?}");
}

#[test]
fn a_hostile_hello_makes_the_server_unknown_and_says_why() {
    let hello: Script = |id| flood(message(-5, id, OP_MSG, &[]));
    let server = Server::start(pong, Some(hello));
    let uri = format!(
        "mongodb://{}/?directConnection=true&loadBalanced=false&serverSelectionTimeoutMS=600\
         &heartbeatFrequencyMS=500",
        server.address
    );
    run(async {
        let (client, mut watch) = connect(&uri).await;
        let failed = |kind: &EventKind| matches!(kind, EventKind::ServerHeartbeatFailed { .. });
        let event = watch.event("a failed heartbeat", failed).await;
        let EventKind::ServerHeartbeatFailed { failure, .. } = event.kind else { unreachable!() };
        assert!(failure.contains("-5"), "{failure}");
        let error = client.database("admin").run_command(doc! { "ping": 1 }).await;
        let error = error.expect_err("no usable server");
        assert!(error.to_string().contains("-5"), "{error}");
    });
    let ended = server.ended().expect("the connection is closed");
    assert!(ended.by_client && ended.sent_after < 16 << 20, "{ended:?}");
}

fn pong(id: i32) -> Answer {
    good(op_msg(id, &body(&doc! { "ok": 1 })))
}

fn wait(bytes: Vec<u8>) -> Answer {
    Answer { bytes, then: Then::Wait }
}

/// The bytes, and then more than any client should read.
fn flood(bytes: Vec<u8>) -> Answer {
    Answer { bytes, then: Then::Flood }
}
