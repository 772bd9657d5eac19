//! Acceptance rows that are nobody else's: one small test each, named by its ID.

use std::process::Command;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use portolan::bson::oid::ObjectId;
use portolan::bson::{DateTime, Document, Timestamp, doc};
use portolan::engine::hello::HelloReply;
use portolan::event::{Event, EventKind};
use portolan::options::ClientOptions;
use portolan::transport::Instant;
use portolan::{
    Client, ErrorKind, ReadPreference, ServerDescription, ServerType, Topology, TopologyType,
};

use super::support::server::{Act, Port};
use super::support::{Bed, Join, address, ms, pool, secs};

fn heard(topology: &mut Topology) -> Vec<Event> {
    std::iter::from_fn(|| topology.next().now_or_never().flatten()).collect()
}

fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.kind.name()).collect()
}

fn server(client: &Client, name: &str) -> ServerDescription {
    let topology = client.topology().description();
    ServerDescription::clone(topology.server(&address(name)).expect("a member"))
}

fn ping(bed: &Bed, client: &Client) -> Join<portolan::Result<()>> {
    let client = client.clone();
    bed.spawn(async move { client.ping(ReadPreference::primary()).await.map(drop) })
}

fn command(bed: &Bed, client: &Client, name: &str) -> portolan::Result<Document> {
    let (database, command) = (client.database("shop"), doc! { name: "x" });
    bed.run(async move { database.run_command(command).await })
}

/// A set of one whose member is polled, once a second, with a connection in its pool.
fn polled() -> (Bed, Client) {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| server.version = None);
    let client = bed.settled("heartbeatFrequencyMS=1000");
    command(&bed, &client, "distinct").expect("an answer");
    (bed, client)
}

// SS-01, SS-02, SD-29, UO-01
#[test]
fn defaults_are_the_specifications() {
    let options = ClientOptions::parse("mongodb://a").expect("options");
    assert_eq!(options.local_threshold, ms(15));
    assert_eq!(options.server_selection_timeout, secs(30));
    assert_eq!(options.heartbeat_frequency, None);
    assert_eq!(options.connect_timeout, Some(secs(10)));
    assert_eq!(options.read_preference, ReadPreference::PRIMARY);
    assert_eq!((options.direct_connection, options.load_balanced), (None, None));
    // CP-01
    assert_eq!((options.max_pool_size, options.min_pool_size, options.max_connecting), (100, 0, 2));
    assert_eq!((options.max_idle_time, options.wait_queue_timeout), (None, None));
}

// SD-10, RK-42
#[test]
fn nothing_is_known_of_a_server_that_was_not_checked() {
    let server = ServerDescription::unknown(address("a:1"));
    assert_eq!(server.server_type, ServerType::Unknown);
    assert_eq!((server.reply.min_wire_version, server.reply.max_wire_version), (0, 0));
    assert!(server.reply.hosts.is_empty() && server.reply.passives.is_empty());
    assert!(server.reply.arbiters.is_empty() && server.tags().is_empty());
    assert_eq!(server.round_trip_time, None);
    assert_eq!(server.last_update_time, None, "infinitely long ago");
}

// SD-13, SD-14
#[test]
fn what_makes_two_descriptions_differ() {
    let reply = || HelloReply {
        set_name: Some("rs".into()),
        secondary: true,
        max_wire_version: 21,
        ..HelloReply::default()
    };
    let describe = |reply| ServerDescription::from_reply(address("a:1"), reply, Instant::ZERO);
    let changes: [fn(&mut HelloReply); 14] = [
        |reply| reply.secondary = false,
        |reply| reply.min_wire_version = 1,
        |reply| reply.max_wire_version = 20,
        |reply| reply.me = Some("a:1".into()),
        |reply| reply.hosts.push(address("a:1")),
        |reply| reply.passives.push(address("a:1")),
        |reply| reply.arbiters.push(address("a:1")),
        |reply| drop(reply.tags.insert("dc".into(), "ny".into())),
        |reply| reply.set_name = Some("other".into()),
        |reply| reply.election_id = Some(ObjectId::from_bytes([1; 12])),
        |reply| reply.set_version = Some(1),
        |reply| reply.primary = Some(address("b:1")),
        |reply| reply.logical_session_timeout_minutes = Some(30),
        |reply| reply.iscryptd = true,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut other = reply();
        change(&mut other);
        assert_ne!(describe(other), describe(reply()), "change {number}");
    }
    let mut later = HelloReply { last_write_date: Some(DateTime::from_millis(5)), ..reply() };
    later.last_write_op_time = Some(Timestamp { time: 1, increment: 1 });
    let mut later = ServerDescription::from_reply(address("a:1"), later, Instant::from_millis(900));
    later.round_trip_time = Some(ms(5));
    later.min_round_trip_time = ms(4);
    assert_eq!(later, describe(reply()), "none of these is a change");
}

// SD-53
#[test]
fn the_last_write_is_as_the_server_says_it() {
    let bed = Bed::set(1);
    let ts = Timestamp { time: 7, increment: 2 };
    bed.with_server("a:1", |server| {
        let op_time = doc! { "ts": ts, "t": 1_i64 };
        let date = DateTime::from_millis(123_456);
        server.hello.insert("lastWrite", doc! { "opTime": op_time, "lastWriteDate": date });
    });
    let client = bed.settled("");
    let wrote = server(&client, "a:1");
    assert_eq!(wrote.last_write_date(), Some(DateTime::from_millis(123_456)));
    assert_eq!(wrote.last_write_op_time(), Some(ts));
    let silent = server(&client, "b:1");
    assert_eq!((silent.last_write_date(), silent.last_write_op_time()), (None, None));
}

// SD-31, SD-32, SD-63, SD-64
#[test]
fn an_incompatible_server_is_told_with_its_versions_until_it_changes() {
    let bed = Bed::standalone();
    bed.with_server("a:1", |server| server.version = None);
    let speaks = |min: i32, max: i32| {
        bed.net.state().change(&address("a:1"), |hello| {
            hello.insert("minWireVersion", min);
            hello.insert("maxWireVersion", max);
        });
    };
    speaks(0, 7);
    let client = bed.settled("heartbeatFrequencyMS=500");
    for (text, next) in [
        (
            "Server at a:1 reports wire version 7, but this version of portolan requires at least \
             8 (MongoDB 4.2).",
            (28, 30),
        ),
        (
            "Server at a:1 requires wire version 28, but this version of portolan only supports \
             up to 27.",
            (0, 21),
        ),
    ] {
        let topology = client.topology().description();
        assert_eq!(topology.compatibility_error.as_deref(), Some(text));
        let start = bed.now();
        let join = ping(&bed, &client);
        bed.settle();
        let error = join.take().expect("at once").expect_err("incompatible").to_string();
        assert!(error.contains(text), "{error}");
        assert_eq!(bed.now(), start);
        speaks(next.0, next.1);
        bed.advance(secs(1));
    }
    assert!(client.topology().description().compatible());
    let join = ping(&bed, &client);
    bed.advance(ms(10));
    join.take().expect("an answer").expect("a ping");
}

// SD-106, SD-107, SD-108, SD-109, SM-36, SM-48
#[test]
fn a_lost_connection_makes_the_server_unknown_until_its_next_check() {
    let bed = Bed::set(0);
    let client = bed.settled("heartbeatFrequencyMS=5000");
    command(&bed, &client, "distinct").expect("an answer");
    let mut topology = client.topology();
    let _ = heard(&mut topology);
    bed.rule("a:1", "distinct", 1, Act::HangUp);
    let error = command(&bed, &client, "distinct").expect_err("a lost connection");
    assert!(matches!(error.kind(), ErrorKind::Network { .. }), "{error:?}");
    bed.settle();
    let lost = server(&client, "a:1");
    assert_eq!(lost.server_type, ServerType::Unknown);
    assert!(lost.error.is_some());
    let belief = client.topology().description();
    assert_eq!(belief.topology_type, TopologyType::ReplicaSetNoPrimary);
    assert_eq!(pool(&client, "a:1").connections, 0);
    let told = names(&heard(&mut topology));
    let count = |name: &str| told.iter().filter(|told| **told == name).count();
    assert_eq!(count("serverHeartbeatFailed"), 1, "the running check was cancelled: {told:?}");
    assert_eq!(count("serverDescriptionChanged"), 1, "by the application's error: {told:?}");
    assert_eq!(count("serverHeartbeatStarted"), 0, "{told:?}");
    bed.advance(ms(4990));
    assert_eq!(names(&heard(&mut topology)), [""; 0], "nobody asked for an immediate check");
    bed.advance(ms(20));
    assert_eq!(server(&client, "a:1").server_type, ServerType::RSPrimary);
}

// SM-39
#[test]
fn what_becomes_of_a_probe_is_not_told() {
    let bed = Bed::set(0);
    let client = bed.settled("heartbeatFrequencyMS=1000");
    let mut topology = client.topology();
    let _ = heard(&mut topology);
    // The monitor is connection 0; the probe, connection 1, is lost.
    bed.net.state().hang_up(1, Duration::ZERO);
    bed.advance(secs(5));
    let told = heard(&mut topology);
    assert!(!told.is_empty());
    for event in &told {
        let fine = matches!(
            event.kind,
            EventKind::ServerHeartbeatStarted { .. } | EventKind::ServerHeartbeatSucceeded { .. }
        );
        assert!(fine, "{event:?}");
    }
    assert_eq!(server(&client, "a:1").server_type, ServerType::RSPrimary);
}

// SM-42
#[test]
fn round_trip_times_begin_anew_after_a_failure() {
    let (bed, client) = polled();
    assert_eq!(server(&client, "a:1").round_trip_time, Some(ms(2)));
    bed.rule("a:1", "hello", 2, Act::HangUp);
    bed.with_server("a:1", |server| server.delay = ms(80));
    bed.advance(secs(3));
    assert_eq!(server(&client, "a:1").round_trip_time, Some(ms(80)), "nothing of the 2 ms");
}

// SM-46, EV-09, IC-46, MT-64
#[test]
fn a_hello_that_fails_clears_the_pool_and_is_not_repeated_at_once() {
    let (bed, client) = polled();
    let mut topology = client.topology();
    let _ = heard(&mut topology);
    assert_eq!(pool(&client, "a:1").connections, 1);
    bed.rule("a:1", "hello", 1, Act::Reply(doc! { "ok": 0, "errmsg": "no", "code": 8000 }));
    bed.advance(ms(1000));
    assert_eq!(server(&client, "a:1").server_type, ServerType::Unknown);
    assert_eq!(pool(&client, "a:1").connections, 0);
    bed.advance(secs(1));
    let told = heard(&mut topology);
    let checks = |name: &str| -> Vec<Instant> {
        told.iter().filter(|event| event.kind.name() == name).map(|event| event.at).collect()
    };
    let (started, failed) = (checks("serverHeartbeatStarted"), checks("serverHeartbeatFailed"));
    assert_eq!(failed.len(), 1);
    assert_eq!(started[1] - failed[0], ms(1000), "it waits");
    let failure = told.iter().find_map(|event| match &event.kind {
        EventKind::ServerHeartbeatFailed { connection, failure, .. } => Some((connection, failure)),
        _ => None,
    });
    let (connection, failure) = failure.expect("as counted");
    assert_eq!(connection.address, address("a:1"));
    assert!(failure.contains("8000") && failure.contains("no"), "{failure}");
}

// EV-07, EV-08, IC-46, MT-62, MT-63
#[test]
fn a_check_on_a_new_connection_begins_before_the_connection() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| server.connect_delay = secs(2));
    let client = bed.client("");
    let mut topology = client.topology();
    bed.advance(secs(3));
    let told = heard(&mut topology);
    let started = told.iter().find(|event| event.kind.name() == "serverHeartbeatStarted");
    assert_eq!(started.expect("a check").at, bed.net.state().dialled[0].0);
    assert_eq!(started.and_then(|event| event.kind.address()), Some(&address("a:1")));
    let succeeded = told.iter().find_map(|event| match &event.kind {
        EventKind::ServerHeartbeatSucceeded { connection, duration, reply, document, .. } => {
            Some((event.at, connection, *duration, reply, document))
        }
        _ => None,
    });
    let (at, connection, duration, reply, document) = succeeded.expect("a success");
    assert!(duration > secs(2), "connecting counts");
    assert_eq!(at - bed.net.state().dialled[0].0, duration);
    assert_eq!(connection.address, address("a:1"));
    assert_eq!(reply.set_name.as_deref(), Some("rs0"));
    assert_eq!(document.get_str("setName").ok(), Some("rs0"), "the reply as it came");
    assert_eq!(server(&client, "a:1").round_trip_time, Some(ms(2)), "but is no round trip");
}

// EV-13
#[test]
fn every_client_has_a_topology_id_of_its_own() {
    let bed = Bed::set(0);
    let (one, two) = (bed.client(""), bed.client(""));
    assert_ne!(one.topology_id(), two.topology_id());
    let mut topology = one.topology();
    bed.advance(secs(1));
    assert!(heard(&mut topology).iter().all(|event| event.topology_id == one.topology_id()));
}

// LB-02, LB-03, LB-04, SD-47
#[test]
fn the_life_of_a_load_balanced_client_has_these_events_and_no_monitor() {
    let bed = Bed::standalone();
    bed.with_server("a:1", |server| {
        let service = ObjectId::from_bytes([5; 12]);
        server.hello = doc! {
            "msg": "isdbgrid", "maxWireVersion": 21, "helloOk": true, "serviceId": service,
        };
    });
    let client = bed.client("loadBalanced=true");
    let mut topology = client.topology();
    bed.advance(secs(60));
    assert!(bed.net.state().dialled.is_empty(), "no monitor");
    let belief = client.topology().description();
    assert_eq!(belief.topology_type, TopologyType::LoadBalanced);
    assert_eq!(server(&client, "a:1").server_type, ServerType::LoadBalancer);
    let join = ping(&bed, &client);
    bed.advance(ms(10));
    join.take().expect("an answer").expect("a ping");
    bed.run(async move { client.shutdown().await });
    bed.settle();
    assert_eq!(
        names(&heard(&mut topology)),
        [
            "topologyOpening",
            "topologyDescriptionChanged",
            "serverOpening",
            "serverDescriptionChanged",
            "topologyDescriptionChanged",
            "serverClosed",
            "topologyDescriptionChanged",
            "topologyClosed",
        ]
    );
}

// SS-24
#[test]
fn a_command_ignores_the_inherited_preference_and_a_find_honours_it() {
    let bed = Bed::set(1);
    let client = bed.settled("readPreference=secondary");
    command(&bed, &client, "distinct").expect("an answer");
    assert_eq!(bed.named("distinct")[0].address, address("a:1"));
    let notes = client.database("shop").collection::<Document>("notes");
    bed.run(async move { notes.find_one(doc! {}).await }).expect("an answer");
    assert_eq!(bed.named("find")[0].address, address("b:1"));
}

// SS-32
#[test]
fn one_suitable_server_is_enough() {
    let bed = Bed::set(2);
    for silent in ["b:1", "c:1"] {
        bed.with_server(silent, |server| server.port = Port::Silent);
    }
    let client = bed.client("");
    let join = ping(&bed, &client);
    bed.advance(ms(20));
    join.take().expect("nobody waits for the others").expect("a ping");
}

// UO-06
#[test]
fn the_time_of_a_socket_is_no_limit_of_a_monitor() {
    let bed = Bed::set(0);
    let client = bed.settled("socketTimeoutMS=50");
    let mut topology = client.topology();
    bed.advance(secs(35));
    assert!(!names(&heard(&mut topology)).contains(&"serverHeartbeatFailed"));
    bed.rule("a:1", "distinct", 1, Act::Silence);
    let start = bed.now();
    command(&bed, &client, "distinct").expect_err("too late");
    assert!(bed.now() - start < ms(60));
}

// SM-02: the environment is the process's, so that the platform is a process of its own.
#[test]
fn a_function_platform_is_polled() {
    let bed = Bed::set(0);
    let _client = bed.client("");
    bed.advance(secs(25));
    let streams = bed.named("hello").iter().any(|r| r.body.contains_key("maxAwaitTimeMS"));
    let on_platform = std::env::var_os("K_SERVICE").is_some();
    assert_eq!(streams, !on_platform);
    if !on_platform {
        let output = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "rows::a_function_platform_is_polled"])
            .env("K_SERVICE", "service")
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
}
