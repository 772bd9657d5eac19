//! Who the client says it is, to servers that play by the rules and to servers that lie.

use std::sync::{Arc, Mutex};

use futures_util::{FutureExt, StreamExt};
use portolan::bson::doc;
use portolan::engine::auth::{AuthError, AuthMechanism};
use portolan::engine::time::Instant;
use portolan::event::{CommandEventKind, EventKind};
use portolan::options::{ClientOptions, Credential, TraceSink};
use portolan::{Client, Error, ErrorKind, ServerType};

use super::support::scram::{Account, Lie, refusal};
use super::support::server::{Act, Request};
use super::support::{Bed, ms, secs, till};

const SECRET: &str = "hunter2";

/// A bed whose servers know `ann`, changed by `change`.
fn guarded(bed: Bed, change: impl Fn(&mut Account)) -> Bed {
    let names: Vec<String> = bed.net.state().servers.keys().map(ToString::to_string).collect();
    for name in names {
        bed.with_server(&name, |server| {
            let mut account = Account::new("ann", SECRET);
            change(&mut account);
            server.account = Some(account);
        });
    }
    bed
}

fn options(bed: &Bed, options: &str) -> ClientOptions {
    let mut options = ClientOptions::parse(&bed.uri(options)).expect("good options");
    options.suspicion.enabled = false;
    options.credential = Some(Credential {
        username: Some("ann".to_owned()),
        password: Some(SECRET.to_owned()),
        source: "admin".to_owned(),
        ..Credential::default()
    });
    options
}

fn client(bed: &Bed, more: &str) -> Client {
    let client = bed.client_of(options(bed, more));
    bed.advance(ms(600));
    client
}

fn find(bed: &Bed, client: &Client) -> Result<(), Error> {
    let till = till(client);
    bed.run(async move { till.find_one(doc! {}).await.map(drop) })
}

/// Everything that reached a server, hellos too.
fn log(bed: &Bed) -> Vec<Request> {
    bed.net.state().log.clone()
}

/// The names of what reached `a:1` on connections that were used for more than hellos.
fn application(bed: &Bed) -> Vec<String> {
    let requests = log(bed);
    let used =
        |connection| requests.iter().any(|it| it.connection == connection && it.name != "hello");
    requests.iter().filter(|it| used(it.connection)).map(|it| it.name.clone()).collect()
}

fn mechanism(bed: &Bed) -> Option<&'static str> {
    let connection = bed.named("find").last().expect("a find").connection;
    bed.with_server("a:1", |server| server.account.as_ref()?.mechanism_of(connection))
}

fn failure(error: &Error) -> &AuthError {
    match error.kind() {
        ErrorKind::Authentication { failure, .. } => &failure.error,
        other => panic!("{other:?}"),
    }
}

fn kind(client: &Client) -> ServerType {
    client.description().servers.values().next().expect("a server").server_type
}

/// SM-09: "MUST NOT authenticate or negotiate SASL" on a monitor's connection. A pooled one has its
/// first message in the hello, so that a login costs one round trip.
#[test]
fn a_login_costs_one_round_trip_and_monitors_have_none() {
    let bed = guarded(Bed::set(1), |_| {});
    let client = client(&bed, "");
    bed.forget_log();
    find(&bed, &client).expect("a document");
    assert_eq!(application(&bed), ["hello", "saslContinue", "find"]);
    assert_eq!(mechanism(&bed), Some("SCRAM-SHA-256"));

    bed.advance(secs(30));
    let hellos = bed.named("hello");
    let of_pool = |connection| bed.named("find").iter().any(|it| it.connection == connection);
    assert!(hellos.len() > 5, "monitors have gone on");
    for hello in hellos {
        let body = &hello.body;
        let asks = body.contains_key("saslSupportedMechs");
        assert_eq!(asks, body.contains_key("speculativeAuthenticate"));
        assert_eq!(asks, of_pool(hello.connection), "{body}");
    }
    find(&bed, &client).expect("a document");
    assert_eq!(application(&bed), ["hello", "saslContinue", "find", "find"], "once a connection");
}

/// A stream on which a monitor has said hello, and which it leaves to the operation that waits, has
/// the login's first message in that hello: four round trips from nothing, that of TCP included.
#[test]
fn the_hello_of_a_monitor_begins_the_login_of_the_operation_that_waits() {
    for on_demand in [false, true] {
        let bed = guarded(Bed::standalone(), |_| {});
        let trace = Arc::new(Mutex::new(String::new()));
        let mut options = options(&bed, "");
        let recorded = trace.clone();
        options.trace = Some(TraceSink::new(move |line: &str| {
            recorded.lock().expect("nobody panics").push_str(line);
        }));
        let client = match on_demand {
            true => bed.on_demand_of(options),
            false => bed.client_of(options),
        };
        let mut topology = client.topology();
        find(&bed, &client).expect("a document");
        assert_eq!(bed.now() - Instant::ZERO, ms(7), "1 ms to connect, 2 ms for each exchange");
        assert_eq!(application(&bed), ["hello", "saslContinue", "find"]);
        let body = &bed.named("hello")[0].body;
        assert!(body.contains_key("speculativeAuthenticate") && body.contains_key("client"));
        assert_eq!(mechanism(&bed), Some("SCRAM-SHA-256"));
        // Nobody else hears of it: it is not the monitor's.
        while let Some(Some(event)) = topology.next().now_or_never() {
            let EventKind::ServerHeartbeatSucceeded { document, .. } = event.kind else { continue };
            for field in ["speculativeAuthenticate", "saslSupportedMechs"] {
                assert!(document.get(field).expect("a document").is_none(), "{field}");
            }
        }
        let recorded = trace.lock().expect("nobody panics").clone();
        let hex: String = b"speculative".iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(recorded.contains("received") && !recorded.contains(&hex), "{recorded}");
    }
}

/// Who comes when that hello is on its way begins with another one.
#[test]
fn a_stream_that_has_had_its_hello_goes_on_to_authenticate() {
    let bed = guarded(Bed::standalone(), |_| {});
    let client = bed.client_of(options(&bed, ""));
    bed.advance(ms(2));
    find(&bed, &client).expect("a document");
    assert_eq!(application(&bed), ["hello", "hello", "saslContinue", "find"]);
    let connection = bed.named("find")[0].connection;
    let hellos: Vec<Request> =
        bed.named("hello").into_iter().filter(|it| it.connection == connection).collect();
    let begins = |request: &Request| request.body.contains_key("speculativeAuthenticate");
    assert!(!begins(&hellos[0]) && begins(&hellos[1]));
    assert!(hellos[0].is_handshake() && !hellos[1].is_handshake());
    assert_eq!(mechanism(&bed), Some("SCRAM-SHA-256"));
}

/// A login that began in a hello and fails is the operation's error, and the server is no worse.
#[test]
fn a_login_that_began_in_the_hello_of_a_monitor_fails_as_any_other() {
    let bed = guarded(Bed::standalone(), |account| account.password = "another");
    let client = bed.client_of(options(&bed, "serverSelectionTimeoutMS=1000"));
    let error = find(&bed, &client).expect_err("a wrong password");
    assert!(matches!(failure(&error), AuthError::Refused(_)), "{error:?}");
    assert_eq!(bed.named("find").len(), 0);
}

#[test]
fn older_servers_choose_the_mechanism_and_want_more_round_trips() {
    let old = |account: &mut Account| {
        account.speculative = false;
        account.empty_exchange = true;
    };
    let bed = guarded(Bed::standalone(), old);
    find(&bed, &client(&bed, "")).expect("a document");
    let long = ["hello", "saslStart", "saslContinue", "saslContinue", "find"];
    assert_eq!(application(&bed), long);
    assert_eq!(mechanism(&bed), Some("SCRAM-SHA-256"), "preferred where the server names it");

    let bed = guarded(Bed::standalone(), |account| {
        old(account);
        account.mechanisms = vec!["SCRAM-SHA-1", "of the future"];
    });
    find(&bed, &client(&bed, "")).expect("a document");
    assert_eq!(mechanism(&bed), Some("SCRAM-SHA-1"), "the only one");

    let bed = guarded(Bed::standalone(), |account| {
        old(account);
        account.names_mechanisms = false;
    });
    find(&bed, &client(&bed, "")).expect("a document");
    assert_eq!(mechanism(&bed), Some("SCRAM-SHA-1"), "where the server names none");

    // A user of SHA-1 only, on a server that would answer a first message in the hello.
    let bed = guarded(Bed::standalone(), |account| account.mechanisms = vec!["SCRAM-SHA-1"]);
    find(&bed, &client(&bed, "")).expect("a document");
    assert_eq!(mechanism(&bed), Some("SCRAM-SHA-1"));
    assert_eq!(application(&bed), ["hello", "saslStart", "saslContinue", "find"]);
}

#[test]
fn a_mechanism_that_is_asked_for_is_used_whatever_the_server_prefers() {
    let bed = guarded(Bed::standalone(), |_| {});
    let mut options = options(&bed, "");
    options.credential.as_mut().expect("a user").mechanism = Some(AuthMechanism::ScramSha1);
    let client = bed.client_of(options);
    find(&bed, &client).expect("a document");
    assert_eq!(mechanism(&bed), Some("SCRAM-SHA-1"));
    let negotiated = bed.named("hello").iter().any(|it| it.body.contains_key("saslSupportedMechs"));
    assert!(!negotiated, "there is nothing to negotiate");
}

/// SD-110, SD-113: the error comes at once and once, the server is Unknown and its pool cleared;
/// the next operation waits until the server is found again, and tries again.
#[test]
fn a_refusal_is_told_at_once_and_the_server_is_found_again() {
    let bed = guarded(Bed::standalone(), |account| account.password = "another");
    let client = client(&bed, "");
    for _ in 0..2 {
        bed.forget_log();
        let began = bed.now();
        let error = find(&bed, &client).expect_err("a wrong password");
        assert!(bed.now() - began < ms(700), "at once, or once the server is found again");
        assert!(matches!(failure(&error), AuthError::Refused(_)), "{error:?}");
        assert_eq!(error.code(), Some(18));
        assert!(!error.is_retryable() && error.labels().is_empty(), "{error:?}");
        let text = error.to_string();
        let expected = "a:1: authentication as \"ann\" on database \"admin\" by SCRAM-SHA-256 \
                        failed: Authentication failed. (18 AuthenticationFailed)";
        assert_eq!(text, expected);
        assert_eq!(bed.named("saslContinue").len(), 1, "tried once");
        assert_eq!(kind(&client), ServerType::Unknown);
        let known = client.description().servers.values().next().and_then(|s| s.error.clone());
        assert!(known.is_some_and(|error| error.message.contains("Authentication failed")));
        assert_eq!(client.pools()[0].connections, 0);
    }
    bed.with_server("a:1", |server| server.account = Some(Account::new("ann", SECRET)));
    find(&bed, &client).expect("let in at last");
}

#[test]
fn an_unknown_user_is_refused_like_a_wrong_password() {
    let bed = guarded(Bed::standalone(), |account| account.user = "bob");
    let error = find(&bed, &client(&bed, "")).expect_err("unknown");
    assert!(matches!(failure(&error), AuthError::Refused(_)), "{error:?}");
    assert_eq!(error.code(), Some(18));
}

/// A lie, what is sent of the authentication until it is noticed, and the error.
type Told<'a> = (Lie, &'a [&'a str], &'a dyn Fn(&AuthError) -> bool);

#[test]
fn each_lie_of_a_server_is_an_error_of_its_own_and_nothing_is_sent_behind_it() {
    let malformed = |error: &AuthError| matches!(error, AuthError::Malformed { .. });
    let lies: [Told<'_>; 9] = [
        (Lie::Nonce, &["hello"], &|error| *error == AuthError::WrongNonce),
        (Lie::Signature, &["hello", "saslContinue"], &|e| *e == AuthError::WrongSignature),
        (Lie::Iterations(4_095), &["hello"], &|error| {
            matches!(error, AuthError::IterationCount { found: 4_095, least: 4_096, .. })
        }),
        (Lie::Iterations(4_000_000_000), &["hello"], &|error| {
            matches!(error, AuthError::IterationCount { most: 2_000_000, .. })
        }),
        (Lie::EndsEarly, &["hello"], &|error| *error == AuthError::EndedEarly),
        (Lie::NeverEnds, &["hello", "saslContinue", "saslContinue"], &|error| {
            *error == AuthError::Endless
        }),
        (Lie::Noise, &["hello"], &malformed),
        (Lie::Flood, &["hello"], &malformed),
        (Lie::Stranger, &["hello", "saslContinue"], &malformed),
    ];
    for (lie, sent, expected) in lies {
        let bed = guarded(Bed::standalone(), |account| account.lie = lie);
        let client = client(&bed, "");
        bed.forget_log();
        let error = find(&bed, &client).expect_err("a lie");
        assert!(expected(failure(&error)), "{lie:?}: {error:?}");
        let names: Vec<String> = log(&bed)
            .into_iter()
            .filter(|it| it.name != "hello" || it.body.contains_key("speculativeAuthenticate"))
            .map(|it| it.name)
            .collect();
        assert_eq!(names, sent, "{lie:?}");
        assert_eq!(kind(&client), ServerType::Unknown, "{lie:?}");
        assert_eq!(client.pools()[0].connections, 0, "{lie:?}: the connection is closed");
        assert!(!error.is_retryable());
        assert!(error.to_string().len() < 400, "{error}");
    }
}

/// SD-104, and CP-10: a connection that breaks while it authenticates is no overload.
#[test]
fn a_connection_that_breaks_while_it_authenticates_makes_the_server_unknown() {
    for (act, name) in [(Act::HangUp, "network"), (Act::Silence, "timeout")] {
        let bed = guarded(Bed::set(0), |_| {});
        let client = client(&bed, "retryReads=false&connectTimeoutMS=300");
        bed.rule("a:1", "saslContinue", 1, act);
        let error = find(&bed, &client).expect_err(name);
        let expected = match error.kind() {
            ErrorKind::Network { .. } => "network",
            ErrorKind::Timeout { .. } => "timeout",
            other => panic!("{other:?}"),
        };
        assert_eq!(name, expected);
        assert_eq!(error.labels(), [] as [String; 0]);
        assert_eq!(kind(&client), ServerType::Unknown, "{name}");
        let known = client.description().servers.values().next().and_then(|s| s.error.clone());
        assert!(known.is_some(), "with the error's text");
        // Where it may, an operation is tried once more.
        let retrying = client_of_reads(&bed);
        bed.rule("a:1", "saslContinue", 1, Act::HangUp);
        find(&bed, &retrying).expect("the second attempt");
    }
}

fn client_of_reads(bed: &Bed) -> Client {
    client(bed, "retryReads=true")
}

#[test]
fn a_server_that_shuts_down_meanwhile_is_tried_again_where_that_is_allowed() {
    let stopping = doc! { "ok": 0, "code": 91, "errmsg": "shutting down" };
    let bed = guarded(Bed::set(0), |_| {});
    let client = client(&bed, "");
    bed.rule("a:1", "saslContinue", 1, Act::Reply(stopping.clone()));
    let orders = till(&client);
    bed.run(async move { orders.insert_one(doc! { "a": 1 }).await }).expect("a second attempt");
    assert_eq!(bed.named("insert").len(), 1, "the first did not come to it");

    let client = self::client(&bed, "retryWrites=false&retryReads=false");
    bed.rule("a:1", "saslContinue", 1, Act::Reply(stopping));
    let error = find(&bed, &client).expect_err("no second attempt");
    assert_eq!(error.code(), Some(91));
}

/// "Drivers MUST immediately attempt a reauthentication on the connection [...] and then re-attempt
/// the operation. This attempt MUST be irrespective of whether the operation is considered
/// retryable."
#[test]
fn a_server_that_asks_again_is_answered_on_the_same_connection() {
    let again = doc! { "ok": 0, "code": 391, "errmsg": "reauthentication required" };
    let bed = guarded(Bed::standalone(), |_| {});
    let client = client(&bed, "retryReads=false&retryWrites=false");
    find(&bed, &client).expect("a document");
    let mut events = client.command_events();
    bed.forget_log();
    bed.rule("a:1", "find", 1, Act::Reply(again.clone()));
    find(&bed, &client).expect("a document");
    let names: Vec<String> = bed.requests().into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["find", "saslStart", "saslContinue", "find"]);
    let mut told = Vec::new();
    while let Some(Some(event)) = events.next().now_or_never() {
        told.push(event.kind.name());
    }
    let twice = ["commandStarted", "commandFailed", "commandStarted", "commandSucceeded"];
    assert_eq!(told, twice);

    // Once: a server that never has enough is told to the caller.
    bed.rule("a:1", "find", 2, Act::Reply(again.clone()));
    assert_eq!(find(&bed, &client).expect_err("twice").code(), Some(391));
    // A refusal now is an error like any other, and ends the connection.
    bed.rule("a:1", "find", 1, Act::Reply(again));
    bed.rule("a:1", "saslStart", 1, Act::Reply(refusal()));
    let error = find(&bed, &client).expect_err("not let in again");
    assert!(matches!(failure(&error), AuthError::Refused(_)), "{error:?}");
    assert_eq!(client.pools()[0].connections, 0);
    find(&bed, &client).expect("on a new connection");
}

#[test]
fn no_event_and_no_error_shows_a_secret() {
    let bed = guarded(Bed::standalone(), |_| {});
    let client = client(&bed, "");
    let (mut events, admin) = (client.command_events(), client.database("admin"));
    find(&bed, &client).expect("a document");
    let commands = [
        doc! { "authenticate": 1, "pwd": SECRET },
        doc! { "saslStart": 1, "mechanism": "PLAIN", "payload": SECRET },
        doc! { "createUser": "bob", "pwd": SECRET },
        doc! { "hello": 1, "speculativeAuthenticate": { "payload": SECRET } },
    ];
    let echo = doc! { "ok": 0, "code": 2, "errmsg": SECRET };
    for name in ["authenticate", "saslStart", "createUser", "hello"] {
        bed.rule("a:1", name, 1, Act::Reply(echo.clone()));
    }
    for command in commands {
        let admin = admin.clone();
        let ran = bed.run(async move { admin.run_command(command).await });
        assert!(ran.is_err());
    }
    let mut told = 0;
    while let Some(Some(event)) = events.next().now_or_never() {
        let shown = format!("{event:?}");
        assert!(!shown.contains(SECRET), "{shown}");
        let own = matches!(event.kind, CommandEventKind::CommandStarted { .. });
        told += usize::from(own);
    }
    assert_eq!(told, 5, "the login itself is no command of the user's");
    let shown = format!("{client:?} {:?}", client.options());
    assert!(!shown.contains(SECRET), "{shown}");
}

/// "If the server is of type RSArbiter, no authentication is possible".
#[test]
fn an_arbiter_is_not_asked_to_let_anybody_in() {
    let bed = guarded(Bed::standalone(), |account| account.speculative = false);
    bed.with_server("a:1", |server| {
        server.hello = doc! {
            "helloOk": true, "maxWireVersion": 21, "setName": "rs0", "arbiterOnly": true,
            "hosts": ["b:1"], "arbiters": ["a:1"], "me": "a:1",
        };
    });
    let mut options = options(&bed, "directConnection=true");
    options.repl_set_name = None;
    let client = bed.client_of(options);
    let admin = client.database("admin");
    let error = bed.run(async move { admin.run_command(doc! { "ping": 1 }).await });
    // The test's server lets nobody run anything; a real arbiter answers.
    assert_eq!(error.expect_err("not let in").code(), Some(13));
    assert_eq!(bed.named("saslStart").len(), 0);
}

#[test]
fn a_credential_that_cannot_be_used_is_refused_before_anything_is_sent() {
    let bed = Bed::standalone();
    let refused = |change: fn(&mut Credential)| {
        let mut options = options(&bed, "");
        change(options.credential.as_mut().expect("a user"));
        let made = Client::new(options, std::sync::Arc::new(bed.net.clone()));
        made.map(drop).expect_err("an unusable credential").to_string()
    };
    let text = refused(|it| it.password = None);
    assert!(text.contains("no password"), "{text}");
    let text = refused(|it| it.username = Some(String::new()));
    assert!(text.contains("no user name"), "{text}");
    let text = refused(|it| it.mechanism = Some(AuthMechanism::Plain));
    assert!(text.contains("PLAIN needs an encrypted connection; set tls=true"), "{text}");
    let text = refused(|it| it.mechanism = Some(AuthMechanism::Gssapi));
    assert!(text.contains("GSSAPI is not supported"), "{text}");
    let text = refused(|it| {
        it.mechanism = Some(AuthMechanism::ScramSha256);
        it.password = Some("bell\u{7}".to_owned());
    });
    assert!(text.contains("SASLprep") && !text.contains("bell"), "{text}");
    assert_eq!(bed.requests().len(), 0);
}

/// SD-110: "If the `hello` [...] fails with an error, drivers MUST treat this as an authentication
/// error."
#[test]
fn a_handshake_that_the_server_refuses_makes_it_unknown() {
    let bed = guarded(Bed::standalone(), |_| {});
    let client = client(&bed, "");
    let refusal = doc! { "ok": 0, "code": 8000, "errmsg": "not today" };
    bed.rule("a:1", "handshake", 1, Act::Reply(refusal));
    let error = find(&bed, &client).expect_err("no handshake");
    assert!(error.to_string().contains("not today"), "{error}");
    assert!(error.labels().is_empty(), "{error:?}");
    assert_eq!(kind(&client), ServerType::Unknown);
    find(&bed, &client).expect("a handshake");
}
