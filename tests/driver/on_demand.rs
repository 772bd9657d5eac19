//! On-demand monitoring: when a scan is made, whom it asks, what an operation takes from it, and
//! that nothing runs between operations.

use std::time::Duration;

use futures_util::StreamExt;
use portolan::bson::doc;
use portolan::event::EventKind;
use portolan::options::ClientOptions;
use portolan::transport::Instant;
use portolan::{Client, ErrorKind, ReadPreference, Targeting};

use super::support::server::{Act, Port, Request};
use super::support::{Bed, Join, address, ms, pool, secs, till};

pub(super) fn write(bed: &Bed, client: &Client) -> portolan::Result<()> {
    let till = till(client);
    bed.run(async move { till.insert_one(doc! { "n": 1 }).await.map(drop) })
}

fn begin_write(bed: &Bed, client: &Client) -> Join<portolan::Result<()>> {
    let till = till(client);
    bed.spawn(async move { till.insert_one(doc! { "n": 1 }).await.map(drop) })
}

fn read(bed: &Bed, client: &Client, preference: ReadPreference) -> portolan::Result<()> {
    let till = till(client);
    bed.run(async move { till.find_one(doc! {}).read_preference(preference).await.map(drop) })
}

/// Who was asked by hello, in order.
fn asked(bed: &Bed) -> Vec<String> {
    bed.named("hello").iter().map(|hello| hello.address.to_string()).collect()
}

fn dialled(bed: &Bed, name: &str) -> Vec<Instant> {
    let state = bed.net.state();
    state.dialled.iter().filter(|(_, to)| *to == address(name)).map(|(at, _)| *at).collect()
}

// SD-34
#[test]
fn nothing_happens_before_the_first_operation() {
    let bed = Bed::set(2);
    let client = bed.on_demand("");
    bed.advance(secs(100));
    assert!(bed.net.state().dialled.is_empty());
    write(&bed, &client).expect("a write");
    assert!(!asked(&bed).is_empty());
}

// Issue: one connection for discovery and operations; three round trips from cold.
#[test]
fn the_connection_of_the_scan_is_the_operation_s() {
    for on_demand in [true, false] {
        let bed = Bed::standalone();
        let client = if on_demand { bed.on_demand("") } else { bed.client("") };
        write(&bed, &client).expect("a write");
        // 1 ms to connect, 2 ms for each exchange: hello and insert.
        assert_eq!(bed.now() - Instant::ZERO, ms(5), "on demand: {on_demand}");
        let requests = bed.net.state().log.clone();
        let first: Vec<(&str, usize)> =
            requests.iter().take(2).map(|r| (r.name.as_str(), r.connection)).collect();
        assert_eq!(first, [("hello", 0), ("insert", 0)], "on demand: {on_demand}");
        for _ in 0..3 {
            bed.advance(secs(61));
            write(&bed, &client).expect("a write");
        }
        if on_demand {
            assert_eq!(bed.open_connections("a:1"), 1, "scans and operations share it");
            assert_eq!(dialled(&bed, "a:1").len(), 1);
        }
    }
}

/// In the background too the first connection is the operation's, and the monitor makes its own
/// half a second later; one that nobody wanted it takes back.
#[test]
fn in_the_background_the_monitor_goes_on_with_a_connection_of_its_own() {
    let bed = Bed::set(1);
    let client = bed.client("");
    write(&bed, &client).expect("a write");
    bed.advance(secs(2));
    let hellos: Vec<Request> = bed.named("hello");
    let streams = |name: &str| {
        let awaits = |r: &&Request| r.body.contains_key("maxAwaitTimeMS");
        hellos.iter().filter(|r| r.address == address(name)).find(awaits).map(|r| r.connection)
    };
    let inserts: Vec<usize> = bed.named("insert").iter().map(|r| r.connection).collect();
    assert_eq!(inserts, [0], "the first connection");
    assert!(streams("a:1").is_some_and(|connection| connection != 0), "{hellos:?}");
    // Nobody wrote to `b:1`: its first connection streams, and the probe has one.
    assert_eq!(dialled(&bed, "b:1").len(), 2);
    assert_eq!(pool(&client, "b:1").connections, 0);
}

#[test]
fn nothing_runs_between_operations() {
    let bed = Bed::set(2);
    let client = bed.on_demand("");
    write(&bed, &client).expect("a write");
    bed.settle();
    bed.net.state().log.clear();
    bed.advance(secs(59));
    assert!(bed.net.next_at().is_none(), "no timer is left");
    assert!(bed.net.state().log.is_empty());
}

// SM-17, SS-34
#[test]
fn a_scan_comes_first_when_the_latest_is_older_than_a_heartbeat() {
    for (options, heartbeat) in [("", secs(60)), ("heartbeatFrequencyMS=7000", secs(7))] {
        let bed = Bed::set(2);
        let client = bed.on_demand(options);
        for _ in 0..4 {
            read(&bed, &client, ReadPreference::primary()).expect("a read");
            bed.advance(ms(10));
        }
        bed.forget_log();
        bed.advance(heartbeat - ms(100));
        read(&bed, &client, ReadPreference::nearest()).expect("a read");
        assert_eq!(asked(&bed), Vec::<String>::new(), "{options}");
        bed.advance(ms(200));
        write(&bed, &client).expect("a write");
        bed.advance(ms(10));
        write(&bed, &client).expect("a write");
        let mut all = asked(&bed);
        all.sort();
        assert_eq!(all, ["a:1", "b:1", "c:1"], "{options}");
        let order: Vec<String> = bed.net.state().log.iter().map(|r| r.name.clone()).collect();
        let place = |name: &str| order.iter().position(|other| other == name);
        assert!(place("hello") < place("insert"), "{order:?}");
    }
}

// SM-19, SM-20
#[test]
fn a_scan_ends_with_whom_it_discovers_and_the_next_begins_with_the_primary() {
    let bed = Bed::set(3);
    let client = bed.on_demand("");
    write(&bed, &client).expect("a write");
    bed.advance(ms(50));
    write(&bed, &client).expect("a write");
    let mut discovered = asked(&bed);
    discovered.sort();
    // Those whose reply arrived when nobody ran are asked again, for their round-trip time.
    discovered.dedup();
    assert_eq!(discovered, ["a:1", "b:1", "c:1", "d:1"], "all that the seed named");
    bed.advance(ms(50));
    write(&bed, &client).expect("a write");
    bed.advance(ms(50));
    write(&bed, &client).expect("a write");
    bed.elect("c:1", 2);
    bed.advance(secs(61));
    write(&bed, &client).expect("a write");
    bed.forget_log();
    bed.advance(secs(61));
    write(&bed, &client).expect("a write");
    assert_eq!(asked(&bed)[0], "c:1", "the primary is asked first");
}

// SM-18, SS-37
#[test]
fn once_is_one_scan_whatever_the_time_out() {
    let bed = Bed::set(1);
    for name in ["a:1", "b:1"] {
        bed.with_server(name, |server| server.port = Port::Refusing);
    }
    let client = bed.on_demand("serverSelectionTimeoutMS=30000");
    let error = write(&bed, &client).expect_err("no server");
    assert!(bed.now() - Instant::ZERO < ms(10), "one scan, no waiting");
    assert_eq!(bed.net.state().dialled.len(), 1);
    assert!(matches!(error.kind(), ErrorKind::ServerSelection { .. }), "{error}");
    assert!(error.to_string().contains("after a scan of all servers"), "{error}");
}

// SM-16, SM-18, SD-116, SS-35, SS-38
#[test]
fn else_scans_follow_every_half_second_and_pass_over_who_was_unreachable() {
    let bed = Bed::set(1);
    bed.with_server("b:1", |server| server.port = Port::Refusing);
    let client = bed.on_demand("serverSelectionTryOnce=false&serverSelectionTimeoutMS=12000");
    let error = read(&bed, &client, ReadPreference::secondary()).expect_err("no secondary");
    assert!(matches!(error.kind(), ErrorKind::ServerSelection { .. }), "{error}");
    let took = bed.now() - Instant::ZERO;
    assert!(took > ms(11_400) && took < ms(12_600), "{took:?}");
    let hellos = bed.named("hello");
    assert!((22..=25).contains(&hellos.len()), "{}", hellos.len());
    for pair in hellos.windows(2) {
        assert!(pair[1].at - pair[0].at >= ms(500), "{:?}", pair[1].at - pair[0].at);
    }
    let dead = dialled(&bed, "b:1");
    assert_eq!(dead.len(), 3, "at once, after 5 s, after 10 s");
    assert!(dead.windows(2).all(|pair| pair[1] - pair[0] >= secs(5)));
}

// SD-116
#[test]
fn a_scan_finds_the_server_that_comes_later() {
    let bed = Bed::set(1);
    bed.elect_among("z:1", 2, &[]);
    bed.with_server("a:1", |server| {
        server.hello.insert("isWritablePrimary", false);
        server.hello.insert("secondary", true);
        server.hello.remove("electionId");
        server.hello.remove("primary");
    });
    bed.with_server("b:1", |server| drop(server.hello.remove("primary")));
    let client = bed.on_demand("serverSelectionTryOnce=false");
    let join = begin_write(&bed, &client);
    bed.advance(secs(3));
    assert!(!join.is_done());
    bed.elect("b:1", 3);
    bed.advance(ms(600));
    join.take().expect("done").expect("on the new primary");
}

// SM-22
#[test]
fn an_overloaded_server_keeps_its_connection_and_its_description() {
    let bed = Bed::standalone();
    let client = bed.on_demand("");
    write(&bed, &client).expect("a write");
    bed.advance(secs(61));
    let overloaded = doc! {
        "ok": 0, "code": 462, "errmsg": "too much to do",
        "errorLabels": ["SystemOverloadedError"],
    };
    bed.rule("a:1", "hello", 1, Act::Reply(overloaded));
    let mut topology = client.topology();
    write(&bed, &client).expect("a write");
    assert_eq!(dialled(&bed, "a:1").len(), 1, "the same connection");
    assert_eq!(bed.named("insert").len(), 2);
    let told = bed.run(async move {
        let mut told = Vec::new();
        while let Some(event) = futures_util::FutureExt::now_or_never(topology.next()).flatten() {
            told.push(event.kind);
        }
        told
    });
    let changed = |kind: &&EventKind| matches!(kind, EventKind::ServerDescriptionChanged { .. });
    assert_eq!(told.iter().filter(changed).count(), 1, "of the first scan: {told:?}");
}

// SD-101
#[test]
fn a_primary_that_is_none_any_more_makes_the_belief_stale_and_a_recovering_one_does_not() {
    for (code, rescans) in [(10107, true), (11600, true), (13436, false)] {
        let bed = Bed::set(1);
        let client = bed.on_demand("retryWrites=false");
        write(&bed, &client).expect("a write");
        bed.advance(secs(1));
        write(&bed, &client).expect("a write");
        let refused = doc! { "ok": 0, "code": code, "errmsg": "not now" };
        bed.rule("a:1", "insert", 1, Act::Reply(refused));
        bed.forget_log();
        write(&bed, &client).expect_err("refused");
        bed.advance(secs(1));
        // A secondary is still known: whether there is a scan before it is asked tells.
        let secondary = ReadPreference::secondary();
        read(&bed, &client, secondary).expect("a read");
        let log = bed.net.state().log.clone();
        let find = log.iter().position(|request| request.name == "find").expect("a read");
        let scanned = log[..find].iter().any(|request| request.name == "hello");
        assert_eq!(scanned, rescans, "{code}");
    }
}

// SS-04, SS-39
#[test]
fn a_connection_that_rested_is_asked_for_a_sign_of_life() {
    let bed = Bed::standalone();
    let client = bed.on_demand("");
    write(&bed, &client).expect("a write");
    bed.advance(ms(4900));
    write(&bed, &client).expect("a write");
    assert!(bed.named("ping").is_empty(), "5 s by default");
    bed.advance(ms(5100));
    write(&bed, &client).expect("a write");
    let names: Vec<String> = bed.requests().iter().map(|request| request.name.clone()).collect();
    assert_eq!(names, ["insert", "insert", "ping", "insert"]);
    bed.advance(ms(5100));
    bed.rule("a:1", "ping", 1, Act::HangUp);
    write(&bed, &client).expect("selected once more");
    assert_eq!(dialled(&bed, "a:1").len(), 2, "on a new connection");
    assert_eq!(bed.named("insert").len(), 4, "nothing was sent on the broken one");
}

// SS-36
#[test]
fn equal_servers_are_chosen_at_random() {
    let bed = Bed::set(2);
    let client = bed.on_demand("");
    for _ in 0..40 {
        bed.advance(ms(5));
        read(&bed, &client, ReadPreference::secondary()).expect("a read");
    }
    let finds = bed.named("find");
    for name in ["b:1", "c:1"] {
        let share = finds.iter().filter(|find| find.address == address(name)).count();
        assert!(share > 4, "{name}: {share} of {}", finds.len());
    }
}

// GAP-03
#[test]
fn a_member_that_answers_nothing_delays_nobody() {
    let bed = Bed::set(2);
    bed.with_server("c:1", |server| server.port = Port::Silent);
    let client = bed.on_demand("");
    for _ in 0..5 {
        let start = bed.now();
        write(&bed, &client).expect("a write");
        read(&bed, &client, ReadPreference::primary()).expect("a read");
        assert!(bed.now() - start < ms(12), "{:?}", bed.now() - start);
        bed.advance(ms(100));
    }
    let dead = dialled(&bed, "c:1").len();
    assert_eq!(dead, 1, "the attempt goes on beside each operation");
}

/// Whoever waits runs the scan when the one who ran it has gone.
#[test]
fn an_operation_that_is_dropped_leaves_the_scan_to_the_next() {
    let bed = Bed::set(2);
    let client = bed.on_demand("");
    let (first, second) = (begin_write(&bed, &client), begin_write(&bed, &client));
    bed.advance(ms(1));
    bed.cancel(first.id);
    bed.advance(ms(20));
    second.take().expect("done").expect("a write");
    assert!(!first.is_done());
    assert_eq!(bed.named("insert").len(), 1);
}

/// What was under way when the last operation ended is not held against the server.
#[test]
fn a_pause_in_the_middle_of_a_check_is_no_failure() {
    for pause in [ms(100), secs(30), secs(3600)] {
        let bed = Bed::set(1);
        bed.with_server("b:1", |server| server.delay = ms(50));
        let client = bed.on_demand("");
        write(&bed, &client).expect("a write");
        let mut topology = client.topology();
        bed.advance(pause);
        read(&bed, &client, ReadPreference::secondary()).expect("a read");
        let failed = bed.run(async move {
            let mut failed = 0;
            while let Some(event) = futures_util::FutureExt::now_or_never(topology.next()).flatten()
            {
                let description = match &event.kind {
                    EventKind::ServerDescriptionChanged { new, .. } => new,
                    _ => continue,
                };
                failed += usize::from(description.error.is_some());
            }
            failed
        });
        assert_eq!(failed, 0, "{pause:?}");
        let rtt = client.description().server(&address("b:1")).and_then(|s| s.round_trip_time);
        assert!(rtt.is_none_or(|rtt| rtt < ms(60)), "{pause:?}: {rtt:?}");
    }
}

// A snapshot costs no more round trips, and its word is not taken unseen.
#[test]
fn a_snapshot_lets_the_first_scan_begin_with_the_primary() {
    let bed = Bed::set(2);
    let client = bed.on_demand("");
    write(&bed, &client).expect("a write");
    bed.advance(ms(10));
    read(&bed, &client, ReadPreference::secondary()).expect("a read");
    let snapshot = client.description().snapshot();
    bed.elect("b:1", 2);
    for (seed, primary) in [("a:1", "b:1"), ("b:1", "b:1"), ("c:1", "b:1")] {
        let uri = format!("mongodb://{seed}/shop?replicaSet=rs0");
        let mut options = ClientOptions::parse(&uri).expect("good options");
        options.snapshot = Some(snapshot.clone());
        let (client, start) = (bed.on_demand_of(options), bed.now());
        bed.forget_log();
        write(&bed, &client).expect("a write");
        assert_eq!(bed.now() - start, ms(5), "three round trips from {seed}");
        assert_eq!(bed.named("insert")[0].address, address(primary));
    }
}

// "Switching mode changes no selection result."
#[test]
fn both_modes_find_the_same_servers() {
    let bed = Bed::set(4);
    for (name, zone, delay) in [("a:1", "x", 2), ("b:1", "x", 9), ("c:1", "y", 4), ("d:1", "y", 90)]
    {
        bed.with_server(name, |server| {
            server.hello.insert("tags", doc! { "zone": zone });
            server.delay = ms(delay);
        });
    }
    let background = bed.settled("");
    let on_demand = bed.on_demand("");
    bed.advance(secs(1));
    // A scan, and the time to end it.
    for _ in 0..3 {
        read(&bed, &on_demand, ReadPreference::nearest()).expect("a read");
        bed.advance(ms(100));
        let till = till(&on_demand);
        bed.rule("a:1", "insert", 1, Act::Slow(ms(300)));
        bed.run(async move { till.insert_one(doc! {}).await }).expect("a write");
    }
    let zone = |zone: &str| [("zone".to_owned(), zone.to_owned())];
    for preference in [
        ReadPreference::primary(),
        ReadPreference::primary_preferred(),
        ReadPreference::secondary(),
        ReadPreference::secondary_preferred(),
        ReadPreference::nearest(),
        ReadPreference::secondary().with_tags(zone("x")),
        ReadPreference::nearest().with_tags(zone("y")),
    ] {
        let hosts = |client: &Client| {
            let (client, preference) = (client.clone(), preference.clone());
            let mut hosts = bed
                .run(async move { client.hosts(Targeting::from(preference)).await })
                .expect("hosts");
            hosts.sort();
            hosts
        };
        assert_eq!(hosts(&on_demand), hosts(&background), "{preference:?}");
    }
}

// SD-36: as in the background, but nobody tells unless he is asked.
#[test]
fn a_retry_asks_what_has_become_of_a_server_that_steps_down() {
    let bed = Bed::set(2);
    let client = bed.on_demand("serverSelectionTryOnce=false");
    write(&bed, &client).expect("a write");
    bed.advance(secs(1));
    let version = bed.with_server("a:1", |server| server.topology_version()).expect("a version");
    let interrupted = doc! {
        "ok": 0, "code": 11602, "errmsg": "operation was interrupted",
        "errorLabels": ["RetryableWriteError"], "topologyVersion": version,
    };
    bed.rule("a:1", "insert", 1, Act::Reply(interrupted));
    bed.forget_log();
    let join = begin_write(&bed, &client);
    bed.advance(ms(1));
    bed.elect("b:1", 2);
    bed.advance(secs(2));
    join.take().expect("done").expect("on the new primary");
    let asked: Vec<String> =
        bed.named("insert").iter().map(|insert| insert.address.to_string()).collect();
    assert_eq!(asked, ["a:1", "b:1"]);
}

#[test]
fn the_option_is_for_this_mode_only() {
    let bed = Bed::standalone();
    let client = bed.on_demand("serverSelectionTryOnce=false");
    assert_eq!(client.options().warnings, Vec::<String>::new());
    assert_eq!(client.options().heartbeat_frequency, Some(Duration::from_secs(60)));
}
