//! What each mechanism says, and what it makes of the answers. Whole conversations with a server
//! are in `tests/driver/auth.rs`.

use bson::{Document, RawDocumentBuf, doc, rawdoc};

use super::sasl::binary;
use super::*;

const ENTROPY: Entropy = {
    let mut bytes = [0; 64];
    let mut at = 0;
    while at < 64 {
        bytes[at] = at as u8;
        at += 1;
    }
    bytes
};

fn authenticator(mechanism: Option<AuthMechanism>) -> Authenticator {
    let credential = Credential {
        username: Some("user".to_owned()),
        password: Some("pencil".to_owned()),
        source: "admin".to_owned(),
        mechanism,
        ..Credential::default()
    };
    Authenticator::new(&credential, true).expect("a good credential")
}

fn sent(conversation: &mut Conversation) -> Document {
    match conversation.poll_action() {
        Some(AuthAction::Send(command)) => Document::try_from(command).expect("BSON"),
        other => panic!("{other:?}"),
    }
}

fn reply(message: &[u8], done: bool) -> RawDocumentBuf {
    rawdoc! { "conversationId": 1, "done": done, "payload": binary(message.to_vec()), "ok": 1.0 }
}

#[test]
fn plain_says_it_all_at_once() {
    let mut talk = authenticator(Some(AuthMechanism::Plain))
        .conversation(&HelloReply::default(), ENTROPY)
        .unwrap();
    let expected = doc! {
        "saslStart": 1, "mechanism": "PLAIN", "payload": binary(b"\0user\0pencil".to_vec()),
        "$db": "admin",
    };
    assert_eq!(sent(&mut talk), expected);
    talk.handle(AuthEvent::Reply(reply(b"", true))).unwrap();
    assert!(talk.poll_action().is_none());
    assert_eq!(talk.mechanism(), Some(AuthMechanism::Plain));

    let mut talk = authenticator(Some(AuthMechanism::Plain))
        .conversation(&HelloReply::default(), ENTROPY)
        .unwrap();
    sent(&mut talk);
    let failure = talk.handle(AuthEvent::Reply(reply(b"more", false))).unwrap_err();
    assert_eq!(failure.error, AuthError::Endless);
}

#[test]
fn a_certificate_names_the_user_unless_a_name_is_given() {
    let with = |username: Option<&str>| {
        let credential = Credential {
            username: username.map(str::to_owned),
            source: "$external".to_owned(),
            mechanism: Some(AuthMechanism::MongoDbX509),
            ..Credential::default()
        };
        Authenticator::new(&credential, true).unwrap().opening(ENTROPY)
    };
    let first = |opening: &Opening| {
        Document::try_from(opening.speculative_authenticate().unwrap()).unwrap()
    };
    let mut expected = doc! { "authenticate": 1, "mechanism": "MONGODB-X509", "db": "$external" };
    assert_eq!(first(&with(None)), expected);
    expected.insert("user", "CN=ann");
    assert_eq!(first(&with(Some("CN=ann"))), expected);

    // Answered in the hello: no message more.
    let answer = rawdoc! {
        "ok": 1, "speculativeAuthenticate": { "dbname": "$external", "user": "CN=ann" },
    };
    let mut talk = with(None).answered(&HelloReply::default(), &answer).unwrap();
    assert!(talk.poll_action().is_none());
    // Not answered: the same as a message of its own.
    let mut talk = with(None).answered(&HelloReply::default(), &rawdoc! { "ok": 1 }).unwrap();
    let expected = doc! { "authenticate": 1, "mechanism": "MONGODB-X509", "$db": "$external" };
    assert_eq!(sent(&mut talk), expected);
    let refusal = rawdoc! { "ok": 0, "code": 18, "errmsg": "no such user" };
    let failure = talk.handle(AuthEvent::Reply(refusal)).unwrap_err();
    let expected =
        "authentication on database \"$external\" by MONGODB-X509 failed: no such user (18)";
    assert_eq!(failure.to_string(), expected);
}

#[test]
fn the_hello_asks_for_the_mechanisms_of_the_name_as_it_was_given() {
    let opening = authenticator(None).opening(ENTROPY);
    assert_eq!(opening.sasl_supported_mechs(), Some("admin.user"));
    let first = Document::try_from(opening.speculative_authenticate().unwrap()).unwrap();
    assert_eq!(first.get_str("mechanism").unwrap(), "SCRAM-SHA-256");
    assert_eq!(first.get_str("db").unwrap(), "admin");
    assert!(!first.contains_key("$db"));
    let named = authenticator(Some(AuthMechanism::ScramSha1)).opening(ENTROPY);
    assert_eq!(named.sasl_supported_mechs(), None);
    let first = Document::try_from(named.speculative_authenticate().unwrap()).unwrap();
    assert_eq!(first.get_str("mechanism").unwrap(), "SCRAM-SHA-1");
}

/// The nonce that was on the wire already is not used again.
#[test]
fn a_second_conversation_has_a_nonce_of_its_own() {
    let opening = authenticator(None).opening(ENTROPY);
    let message = |command: &Document| {
        String::from_utf8(command.get_binary_generic("payload").unwrap().clone()).unwrap()
    };
    let first = Document::try_from(opening.speculative_authenticate().unwrap()).unwrap();
    let hello = rawdoc! { "ok": 1, "saslSupportedMechs": ["X", "SCRAM-SHA-256", 7] };
    let mut talk = opening.answered(&HelloReply::default(), &hello).unwrap();
    let second = sent(&mut talk);
    assert_eq!(second.get_str("mechanism").unwrap(), "SCRAM-SHA-256");
    assert_ne!(message(&first), message(&second));
}

/// A connection that has had its hello is asked with another one, where there is something to ask.
#[test]
fn a_connection_after_its_hello_can_go_on_to_authenticate() {
    let mut talk = authenticator(None).conversation(&HelloReply::default(), ENTROPY).unwrap();
    assert_eq!(talk.mechanism(), None);
    let hello = sent(&mut talk);
    let keys: Vec<&str> = hello.keys().map(String::as_str).collect();
    let expected = ["isMaster", "helloOk", "saslSupportedMechs", "speculativeAuthenticate", "$db"];
    assert_eq!(keys, expected);
    let modern = authenticator(None).by_hello(true);
    let mut other = modern.conversation(&HelloReply::default(), ENTROPY).unwrap();
    assert_eq!(sent(&mut other).keys().next().unwrap(), "hello", "the Stable API allows no other");
    let answer = rawdoc! { "ok": 1, "saslSupportedMechs": ["SCRAM-SHA-1"] };
    talk.handle(AuthEvent::Reply(answer)).unwrap();
    assert_eq!(sent(&mut talk).get_str("mechanism").unwrap(), "SCRAM-SHA-1");
    assert_eq!(talk.mechanism(), Some(AuthMechanism::ScramSha1));

    let mut talk = authenticator(Some(AuthMechanism::ScramSha1))
        .conversation(&HelloReply::default(), ENTROPY)
        .unwrap();
    assert!(sent(&mut talk).contains_key("saslStart"), "nothing to ask");
    let mut again = authenticator(None).again(AuthMechanism::ScramSha1, ENTROPY).unwrap();
    assert!(sent(&mut again).contains_key("saslStart"), "no hello on a connection in use");
}

#[test]
fn what_is_shown_has_no_secret() {
    let who = authenticator(None);
    let talk = who.conversation(&HelloReply::default(), ENTROPY).unwrap();
    let shown = format!("{who:?} {:?} {talk:?}", who.opening(ENTROPY));
    assert!(shown.contains("user") && !shown.contains("pencil"), "{shown}");
}

#[test]
fn encryption_is_a_must_where_the_password_is_in_clear() {
    for mechanism in [AuthMechanism::Plain, AuthMechanism::MongoDbX509] {
        let credential = Credential {
            username: Some("user".to_owned()),
            password: Some("pencil".to_owned()),
            mechanism: Some(mechanism),
            ..Credential::default()
        };
        let error = Authenticator::new(&credential, false).unwrap_err().to_string();
        assert!(error.contains("encrypted"), "{error}");
    }
}
