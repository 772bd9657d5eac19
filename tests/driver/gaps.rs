//! Acceptance rows of other systems, and of what users miss: small tests, named by their IDs.

use futures_util::{FutureExt, StreamExt};
use portolan::bson::{Document, doc};
use portolan::engine::sdam::RttAverage;
use portolan::event::{Event, EventKind};
use portolan::{Client, ErrorKind, ReadPreference, ServerType, Topology, TopologyType};

use super::support::server::Port;
use super::support::{Bed, address, ms, pool, secs, till};

fn heard(topology: &mut Topology) -> Vec<Event> {
    std::iter::from_fn(|| topology.next().now_or_never().flatten()).collect()
}

fn insert(bed: &Bed, client: &Client) {
    let till = till(client);
    bed.run(async move { till.insert_one(doc! { "n": 1 }).await }).expect("a write");
}

// GAP-02
#[test]
fn a_failover_is_measured_to_the_first_success() {
    let bed = Bed::set(2);
    let client = bed.settled("");
    insert(&bed, &client);
    let mut topology = client.topology();
    let fault = bed.now();
    bed.kill("a:1");
    bed.advance(secs(2));
    bed.elect("b:1", 2);
    bed.advance(ms(100));
    insert(&bed, &client);
    bed.settle();
    let told = heard(&mut topology);
    let timelines: Vec<_> = told
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::FailoverCompleted { timeline } => Some(timeline.clone()),
            _ => None,
        })
        .collect();
    let [timeline] = &timelines[..] else { panic!("{told:?}") };
    assert_eq!((&timeline.from, &timeline.to), (&address("a:1"), &address("b:1")));
    assert!(timeline.detected - fault < ms(10), "the connection broke");
    assert!(timeline.new_primary - fault >= secs(2));
    assert!(timeline.election() >= ms(1990), "{:?}", timeline.election());
    assert!(timeline.first_success > timeline.new_primary);
}

// GAP-05
#[test]
fn two_claims_to_be_the_primary_are_told_with_who_is_believed() {
    let bed = Bed::set(1);
    let client = bed.settled("");
    let mut topology = client.topology();
    // Only `b:1` has noticed its election: `a:1` still says that it is the primary.
    bed.elect_among("b:1", 2, &[address("b:1")]);
    bed.advance(secs(12));
    let contests: Vec<_> = heard(&mut topology)
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::PrimaryContested { contest } => Some(contest),
            _ => None,
        })
        .collect();
    let contest = contests.first().expect("a contest");
    assert_eq!((&contest.winner, &contest.loser), (&Some(address("b:1")), &address("a:1")));
    let belief = client.topology().description();
    assert_eq!(belief.primary().map(|server| server.address.clone()), Some(address("b:1")));
}

// MT-57, MT-81
#[test]
fn a_threshold_of_zero_leaves_the_nearest() {
    let bed = Bed::set(2);
    for (name, delay) in [("a:1", 9), ("b:1", 4), ("c:1", 5)] {
        bed.with_server(name, |server| server.delay = ms(delay));
    }
    let client = bed.settled("readPreference=nearest&localThresholdMS=0");
    let notes = client.database("shop").collection::<Document>("notes");
    for _ in 0..10 {
        let notes = notes.clone();
        bed.run(async move { notes.find_one(doc! {}).await }).expect("an answer");
    }
    let finds = bed.named("find");
    assert_eq!(finds.len(), 10);
    assert!(finds.iter().all(|find| find.address == address("b:1")));
}

// MT-78, MT-79
#[test]
fn with_one_member_left_the_preference_decides() {
    let bed = Bed::set(2);
    let client = bed.settled("heartbeatFrequencyMS=500&connectTimeoutMS=500");
    for frozen in ["a:1", "b:1"] {
        bed.with_server(frozen, |server| server.port = Port::Silent);
    }
    bed.advance(secs(3));
    let preferred = client.clone();
    let ping = bed.run(async move { preferred.ping(ReadPreference::primary_preferred()).await });
    assert_eq!(ping.expect("an answer").address, address("c:1"));
    let start = bed.now();
    bed.run(async move { client.ping(ReadPreference::primary()).await }).expect_err("no primary");
    assert_eq!(bed.now() - start, secs(30));
}

// MT-05, MT-83, RK-43
#[test]
fn a_server_alone_is_single_and_told_once() {
    let bed = Bed::standalone();
    let client = bed.client("heartbeatFrequencyMS=500");
    let mut topology = client.topology();
    assert_eq!(client.topology().description().topology_type, TopologyType::Unknown);
    bed.advance(ms(10));
    assert_eq!(client.topology().description().topology_type, TopologyType::Single);
    bed.advance(secs(3));
    let told = heard(&mut topology);
    let count = |name: &str| told.iter().filter(|event| event.kind.name() == name).count();
    assert!(count("serverHeartbeatSucceeded") >= 4);
    assert_eq!(count("serverDescriptionChanged"), 1);
    assert_eq!(count("topologyDescriptionChanged"), 2, "the first opens it");
    let belief = client.topology().description();
    assert_eq!(belief.topology_type, TopologyType::Single);
    assert_eq!(belief.server(&address("a:1")).map(|s| s.server_type), Some(ServerType::Standalone));
}

// RK-43: unknown, and unknown still; two standalones that belong to nothing.
#[test]
fn who_is_not_there_and_who_does_not_belong_is_not_selected() {
    let fails = |bed: &Bed, client: &Client| {
        let (client, start) = (client.clone(), bed.now());
        let outcome = bed.run(async move { client.ping(ReadPreference::nearest()).await });
        let error = outcome.expect_err("nobody suits");
        assert!(matches!(error.kind(), ErrorKind::ServerSelection { .. }), "{error}");
        assert_eq!(bed.now() - start, ms(700));
    };
    let bed = Bed::standalone();
    bed.with_server("a:1", |server| server.port = Port::Refusing);
    let client = bed.client("serverSelectionTimeoutMS=700");
    for _ in 0..2 {
        fails(&bed, &client);
        let belief = client.topology().description();
        assert_eq!(belief.topology_type, TopologyType::Unknown);
        let server = belief.server(&address("a:1")).expect("the seed");
        assert_eq!(server.server_type, ServerType::Unknown);
    }
    let names = ["a:1", "b:1"].map(str::to_owned);
    let bed = Bed::each(&names, &doc! { "isWritablePrimary": true, "maxWireVersion": 21 });
    let uri = "mongodb://a:1,b:1/?serverSelectionTimeoutMS=700";
    let client = bed.client_of(uri.parse().expect("options"));
    fails(&bed, &client);
    let belief = client.topology().description();
    assert_eq!((belief.topology_type, belief.servers.len()), (TopologyType::Unknown, 0));
}

// RK-44
#[test]
fn a_standalone_that_comes_back_goes_on() {
    let bed = Bed::standalone();
    let client = bed.settled("heartbeatFrequencyMS=1000");
    let kind = |client: &Client| {
        let belief = client.topology().description();
        belief.server(&address("a:1")).map(|server| server.server_type)
    };
    let (counter, till) = (client.clone(), till(&client));
    let inserted = bed.spawn(async move {
        let mut inserted = 0;
        for n in 0..8 {
            inserted += usize::from(till.insert_one(doc! { "n": n }).await.is_ok());
            // Between two of them the server goes away and comes back.
            let _ = counter.ping(ReadPreference::nearest()).await;
        }
        inserted
    });
    bed.advance(ms(15));
    assert!(!inserted.is_done());
    bed.kill("a:1");
    bed.advance(secs(3));
    assert_eq!(kind(&client), Some(ServerType::Unknown));
    assert!(!inserted.is_done(), "it waits");
    bed.with_server("a:1", |server| server.port = Port::Open);
    bed.advance(secs(3));
    assert_eq!(kind(&client), Some(ServerType::Standalone));
    let inserted = inserted.take().expect("done");
    assert!(inserted >= 7, "at most the one that was under way failed: {inserted}");
    assert!(bed.named("insert").len() >= 8);
}

// RK-29, RK-30: connections belong to one client and one server.
#[test]
fn each_client_has_connections_of_its_own() {
    let bed = Bed::set(1);
    let clients = [bed.settled(""), bed.settled("")];
    for client in &clients {
        for preference in [ReadPreference::primary(), ReadPreference::secondary()] {
            let client = client.clone();
            bed.run(async move { client.ping(preference).await }).expect("a ping");
        }
        assert_eq!((pool(client, "a:1").connections, pool(client, "b:1").connections), (1, 1));
    }
    let mut used: Vec<usize> = bed.named("ping").iter().map(|ping| ping.connection).collect();
    used.sort_unstable();
    used.dedup();
    assert_eq!(used.len(), 4);
}

// RK-13: a server that becomes known is checked at once, whatever the others sleep.
#[test]
fn a_server_that_is_found_is_checked_at_once() {
    let bed = Bed::set(2);
    for name in ["a:1", "b:1", "c:1"] {
        bed.with_server(name, |server| server.version = None);
    }
    bed.net.state().change(&address("a:1"), |hello| {
        hello.insert("hosts", vec!["a:1", "b:1"]);
    });
    let client = bed.client("");
    bed.advance(secs(5));
    assert!(!client.description().contains(&address("c:1")));
    bed.net.state().change(&address("a:1"), |hello| {
        hello.insert("hosts", vec!["a:1", "b:1", "c:1"]);
    });
    bed.forget_log();
    bed.advance(secs(6));
    let hellos = bed.named("hello");
    let first = |name: &str| {
        let hello = hellos.iter().find(|hello| hello.address == address(name));
        hello.map(|hello| hello.at).expect("a check")
    };
    assert!(first("c:1") - first("a:1") < ms(10), "as soon as a:1 has named it");
    assert!(client.description().is_host_up(&address("c:1")));
}

// MT-47
#[test]
fn a_check_is_told_measured_and_then_believed() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| server.version = None);
    let client = bed.client("");
    let mut topology = client.topology();
    bed.advance(secs(1));
    let told = heard(&mut topology);
    let names: Vec<&str> = told.iter().map(|event| event.kind.name()).collect();
    let expected = [
        "topologyOpening",
        "topologyDescriptionChanged",
        "serverOpening",
        "serverHeartbeatStarted",
        "serverHeartbeatSucceeded",
        "serverDescriptionChanged",
        "topologyDescriptionChanged",
    ];
    assert_eq!(names, expected);
    let EventKind::ServerDescriptionChanged { new, .. } = &told[5].kind else { panic!() };
    assert_eq!(new.round_trip_time, Some(ms(2)), "measured before it is believed");
    let end = told[4].at;
    bed.advance(secs(10));
    let next = heard(&mut topology);
    assert_eq!(next[0].kind.name(), "serverHeartbeatStarted");
    assert_eq!(next[0].at - end, secs(10), "then it sleeps");
}

// MT-84
#[test]
fn the_average_weighs_as_it_did_in_pharo() {
    let mut average = RttAverage::new();
    assert_eq!(average.average(), None);
    let after = [(10, 10_000), (20, 12_000), (30, 15_600)];
    for (sample, expected) in after {
        average.add(portolan::engine::time::Instant::ZERO, ms(sample));
        let micros = average.average().expect("a sample").as_micros();
        assert!(micros.abs_diff(expected) <= 1, "{micros}");
    }
    average.reset();
    assert_eq!(average.average(), None);
}

// MT-48, MT-03
#[test]
fn a_repeated_failure_is_no_repeated_change() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| server.port = Port::Refusing);
    let client = bed.client("heartbeatFrequencyMS=500");
    let belief = client.topology().description();
    assert!(belief.servers.values().all(|server| server.server_type == ServerType::Unknown));
    let mut topology = client.topology();
    bed.advance(secs(5));
    let told = heard(&mut topology);
    let count = |name: &str| told.iter().filter(|event| event.kind.name() == name).count();
    assert!(count("serverHeartbeatFailed") >= 9);
    assert_eq!(count("serverDescriptionChanged"), 1, "the text of the first failure");
}

// SD-80
#[test]
fn a_displaced_primary_is_checked_at_once_and_keeps_its_connections() {
    let bed = Bed::set(1);
    for name in ["a:1", "b:1"] {
        bed.with_server(name, |server| server.version = None);
    }
    // The checks of `b:1` come three seconds after those of `a:1`.
    bed.with_server("b:1", |server| server.connect_delay = secs(3));
    let client = bed.client("");
    bed.advance(secs(5));
    insert(&bed, &client);
    bed.elect_among("b:1", 2, &[address("b:1")]);
    bed.advance(secs(6));
    bed.forget_log();
    bed.advance(ms(2500));
    let hellos = bed.named("hello");
    let of = |name: &str| hellos.iter().find(|hello| hello.address == address(name));
    let (b, a) = (of("b:1").expect("its check"), of("a:1").expect("a check out of turn"));
    assert!(a.at > b.at && a.at - b.at < ms(20), "{:?} after {:?}", a.at, b.at);
    assert_eq!(pool(&client, "a:1").connections, 1, "its pool is not cleared");
}

// SD-86
#[test]
fn a_secondary_s_version_of_the_configuration_counts_for_nothing() {
    let bed = Bed::set(1);
    bed.with_server("b:1", |server| {
        server.hello.insert("setVersion", 99);
    });
    let client = bed.settled("");
    let belief = client.topology().description();
    assert_ne!(belief.max_set_version, Some(99));
    assert!(belief.primary().is_some());
}

// SD-118
#[test]
fn limits_are_those_of_the_connection_s_own_handshake() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| server.version = None);
    let client = bed.settled("");
    // The monitor has heard of no limit, and does not ask again before the command.
    bed.with_server("a:1", |server| {
        server.hello.insert("maxMessageSizeBytes", 1000);
    });
    let (database, large) = (client.database("shop"), "x".repeat(1000));
    let error = bed
        .run(async move { database.run_command(doc! { "distinct": large }).await })
        .expect_err("too large");
    assert!(matches!(error.kind(), ErrorKind::InvalidArgument(_)), "{error:?}");
    assert_eq!(bed.named("distinct").len(), 0);
}
