//! The monitors through the shell, on the virtual clock: when which hello goes out, what a round
//! trip is, and what an idle client costs.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use portolan::bson::Document;
use portolan::event::EventKind;
use portolan::options::{ClientOptions, RttProbe};
use portolan::transport::Instant;
use portolan::{Client, ServerAddress, ServerDescription, ServerType};

use super::support::net::Connection;
use super::support::server::{Act, Port, Request};
use super::support::{Bed, address, ms, secs};

fn server(client: &Client, name: &str) -> ServerDescription {
    let topology = client.topology().description();
    ServerDescription::clone(topology.server(&address(name)).expect("a member"))
}

/// What kind of hello it is.
fn word(request: &Request) -> &'static str {
    let has = |key| Document::contains_key(&request.body, key);
    match (has("client"), has("maxAwaitTimeMS")) {
        (true, _) => "first",
        (false, true) => "await",
        (false, false) => "plain",
    }
}

/// Milliseconds since `start`, the connection's number and the kind of each hello.
fn table(bed: &Bed, start: Instant) -> Vec<(u128, usize, &'static str)> {
    let hellos = bed.named("hello");
    hellos.iter().map(|r| ((r.at - start).as_millis(), r.connection, word(r))).collect()
}

// RK-42
#[test]
fn a_streaming_monitor_asks_once_and_a_probe_every_ten_seconds() {
    let bed = Bed::set(0);
    let _client = bed.client("");
    bed.advance(secs(35));
    assert_eq!(
        table(&bed, Instant::ZERO),
        [
            (1, 0, "first"),
            // The reply takes 2 ms; the stream begins with it, and so does the probe.
            (3, 0, "await"),
            (4, 1, "first"),
            (10_006, 1, "plain"),
            (20_008, 1, "plain"),
            (30_010, 1, "plain"),
        ]
    );
    let streamed: u64 = bed.net.state().connections[0].streamed;
    assert_eq!(streamed, 3, "the server itself answers every ten seconds");
}

#[test]
fn a_polling_monitor_asks_ten_seconds_after_each_answer() {
    for (version, options) in [(None, ""), (Some(1), "serverMonitoringMode=poll")] {
        let bed = Bed::set(0);
        bed.with_server("a:1", |server| server.version = version);
        let _client = bed.client(options);
        bed.advance(secs(35));
        assert_eq!(
            table(&bed, Instant::ZERO),
            [(1, 0, "first"), (10_003, 0, "plain"), (20_005, 0, "plain"), (30_007, 0, "plain")]
        );
    }
}

#[test]
fn a_change_is_known_as_soon_as_the_server_says_it() {
    let bed = Bed::set(1);
    let client = bed.settled("");
    bed.advance(ms(2000));
    bed.elect("b:1", 2);
    bed.advance(ms(1));
    assert_eq!(server(&client, "b:1").server_type, ServerType::RSPrimary);
    assert_eq!(server(&client, "a:1").server_type, ServerType::RSSecondary);
}

#[test]
fn a_server_that_does_not_connect_is_given_up_in_time() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| server.port = Port::Silent);
    let client = bed.client("connectTimeoutMS=700&heartbeatFrequencyMS=2000");
    bed.advance(ms(699));
    assert_eq!(server(&client, "a:1").error, None);
    bed.advance(ms(1));
    let error = server(&client, "a:1").error.expect("a failure");
    assert_eq!(&*error.message, "no connection within 700ms");
    bed.advance(secs(6));
    let dialled: Vec<u128> =
        bed.net.state().dialled.iter().map(|(at, _)| at.as_nanos().into()).collect();
    assert_eq!(dialled, [0, 2_700, 5_400].map(|ms| ms * 1_000_000));
}

#[test]
fn a_server_that_does_not_answer_is_given_up_in_time() {
    let bed = Bed::set(0);
    bed.rule("a:1", "hello", 1, Act::Silence);
    let client = bed.client("connectTimeoutMS=700&heartbeatFrequencyMS=2000");
    bed.advance(ms(701));
    let error = server(&client, "a:1").error.expect("a failure");
    assert_eq!(&*error.message, "no reply to hello within 700ms");

    // Frozen while it streams: the heartbeat's time and the time-out.
    let bed = Bed::set(0);
    let client = bed.settled("connectTimeoutMS=700&heartbeatFrequencyMS=2000");
    bed.with_server("a:1", |server| server.port = Port::Silent);
    bed.advance(ms(2_102));
    assert_eq!(server(&client, "a:1").error, None);
    bed.advance(ms(1));
    let error = server(&client, "a:1").error.expect("a failure");
    assert_eq!(&*error.message, "no reply to an awaitable hello within 2.7s");
}

#[test]
fn a_known_server_is_asked_once_more_before_the_pause() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| server.version = None);
    let client = bed.settled("heartbeatFrequencyMS=1000");
    bed.forget_log();
    let start = bed.now();
    bed.rule("a:1", "hello", 2, Act::HangUp);
    bed.advance(ms(3000));
    // Due at 1003 ms since the client began; each failure takes 2 ms, a new connection 1 ms.
    let expected = [(403, 0, "plain"), (406, 1, "first"), (1409, 2, "first"), (2411, 2, "plain")];
    assert_eq!(table(&bed, start), expected);
    assert_eq!(server(&client, "a:1").server_type, ServerType::RSPrimary);
}

#[test]
fn a_round_trip_is_from_the_request_to_its_answer() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| {
        server.connect_delay = secs(2);
        server.delay = ms(30);
    });
    let client = bed.client("heartbeatFrequencyMS=1000");
    bed.advance(ms(2_031));
    // Neither the two seconds of connecting, nor the second for which a stream is silent.
    assert_eq!(server(&client, "a:1").round_trip_time, Some(ms(30)));
    bed.with_server("a:1", |server| server.delay = ms(80));
    bed.advance(ms(2_100));
    assert_eq!(server(&client, "a:1").round_trip_time, Some(ms(40)), "a fifth of 80, the rest 30");
    assert_eq!(server(&client, "a:1").min_round_trip_time, ms(30));
    // Of a connection's later requests too, each from its own beginning.
    bed.advance(secs(1) + ms(80));
    assert_eq!(server(&client, "a:1").round_trip_time, Some(ms(48)));
}

/// A tunnel gives a connection out before the server is reached.
#[test]
fn what_a_transport_takes_to_reach_the_server_is_no_round_trip() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| {
        server.held_up = secs(2);
        server.delay = ms(30);
    });
    let client = bed.client("heartbeatFrequencyMS=1000");
    bed.advance(ms(2_031));
    assert_eq!(server(&client, "a:1").round_trip_time, Some(ms(30)));
    // A later request of the connection waits for nothing.
    bed.with_server("a:1", |server| server.delay = ms(80));
    bed.advance(ms(2_100));
    assert_eq!(server(&client, "a:1").round_trip_time, Some(ms(40)), "a fifth of 80, the rest 30");
}

#[test]
fn an_answer_in_pieces_is_an_answer() {
    let bed = Bed::set(0);
    bed.net.state().chunk = Some(2);
    let client = bed.client("");
    bed.advance(ms(100));
    assert_eq!(server(&client, "a:1").server_type, ServerType::RSPrimary);
    assert_eq!(server(&client, "a:1").round_trip_time, Some(ms(2)));
}

/// How often the driver is polled in a minute, and how many messages that minute had.
fn minute(options: &str, secondaries: usize) -> (usize, usize) {
    let bed = Bed::set(secondaries);
    let _client = bed.client(options);
    bed.advance(secs(5));
    let streamed =
        |bed: &Bed| bed.net.state().connections.iter().map(|c| c.streamed as usize).sum::<usize>();
    let (polls, replies) = (bed.driver_polls(), streamed(&bed));
    bed.forget_log();
    bed.advance(secs(60));
    let messages = 2 * bed.named("hello").len() + streamed(&bed) - replies;
    (bed.driver_polls() - polls, messages)
}

#[test]
fn an_idle_client_wakes_for_its_checks_only() {
    // A question is asked when its time has come, and wakes the driver once more as it is handed to
    // the task that carries it; an answer wakes it when it arrives.
    for secondaries in [0, 2] {
        let (polls, messages) = minute("", secondaries);
        let servers = secondaries + 1;
        assert_eq!(messages, 18 * servers, "6 streamed answers, 6 probes and their answers");
        assert!(polls <= 24 * servers, "{polls} polls for {messages} messages");
    }
    let (polls, messages) = minute("serverMonitoringMode=poll", 2);
    assert_eq!(messages, 36);
    assert!(polls <= 54, "{polls} polls for {messages} messages");
}

#[test]
fn nothing_is_kept_of_connections_that_failed() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| server.port = Port::Refusing);
    let client = bed.client("heartbeatFrequencyMS=500");
    // Events are kept for the first who listens: here nobody will.
    drop(client.topology());
    // All that names the server shares its name.
    let holders = || match &client.options().hosts[0] {
        ServerAddress::Tcp { host, .. } => Arc::strong_count(host),
        ServerAddress::Unix { .. } => unreachable!("a:1"),
    };
    bed.advance(secs(100));
    bed.forget_log();
    let before = holders();
    bed.advance(secs(400));
    assert!((790..=800).contains(&bed.net.state().dialled.len()));
    bed.forget_log();
    assert_eq!(holders(), before, "after 800 more connections");
}

#[test]
fn a_server_that_floods_its_stream_delays_nobody() {
    // Time passes while the client works: 1 µs whenever it looks at the clock.
    let bed = Bed::set(1);
    let client = bed.settled("heartbeatFrequencyMS=1000&connectTimeoutMS=500");
    bed.with_server("a:1", |server| server.port = Port::Silent);
    bed.advance(ms(1_400));
    let to_b = |c: &Connection| c.address == address("b:1") && c.stream.is_some();
    let stream = bed.net.state().connections.iter().position(to_b).expect("a stream");
    let (mut events, net) = (client.topology(), bed.net.clone());
    let heard = Rc::new(RefCell::new(Vec::new()));
    let hears = heard.clone();
    bed.spawn(async move {
        while let Some(event) = events.next().await {
            hears.borrow_mut().push((event.kind, net.state().connections[stream].unread()));
        }
    });
    bed.settle();
    bed.net.state().flood(stream, 20_000);
    bed.net.state().tick = Duration::from_micros(1);
    bed.advance(ms(10));
    bed.net.state().tick = Duration::ZERO;
    bed.advance(ms(10));
    let heard = heard.take();
    let of = |name: &str| {
        let name = address(name);
        move |kind: &EventKind| kind.address() == Some(&name)
    };
    let failed = heard.iter().position(|(kind, _)| {
        matches!(kind, EventKind::ServerHeartbeatFailed { .. }) && of("a:1")(kind)
    });
    let failed = failed.expect("a:1 is given up");
    let from_b = heard[failed..].iter().filter(|(kind, _)| of("b:1")(kind)).count();
    assert!(from_b > 10_000, "while b:1 still sends: {from_b} of {}", heard.len());
    // Others get their turns meanwhile, and what is not handled yet waits in the network.
    let unread = heard.iter().map(|(_, unread)| *unread).max();
    assert!(unread > Some(1_000_000), "{unread:?} bytes were not read when an event was heard");
}

/// IC-29, AMB-08: pings behind the handshake, from the start of one to the start of the next.
#[test]
fn round_trips_can_be_measured_by_pings() {
    let bed = Bed::set(0);
    bed.with_server("a:1", |server| server.delay = ms(40));
    let mut options = ClientOptions::parse(&bed.uri("heartbeatFrequencyMS=1000")).expect("options");
    options.rtt_probe = RttProbe::Ping;
    let client = bed.client_of(options);
    bed.advance(ms(4500));
    let pings = bed.named("ping");
    let gaps: Vec<_> = pings.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    assert!(gaps.len() >= 3 && gaps.iter().all(|gap| *gap == ms(1000)), "{gaps:?}");
    assert!(pings.iter().all(|ping| ping.connection == pings[0].connection));
    let hellos = bed.named("hello");
    let on_probe = hellos.iter().filter(|hello| hello.connection == pings[0].connection);
    assert!(on_probe.map(Request::is_handshake).eq([true]), "one hello, then pings");
    let rtt = |client: &Client| {
        let description = client.topology().description();
        description.primary().and_then(|server| server.round_trip_time).expect("a primary")
    };
    assert_eq!(rtt(&client), ms(40));
    bed.with_server("a:1", |server| server.delay = ms(240));
    bed.advance(secs(2));
    assert!(rtt(&client) >= ms(80), "0.2 of each new sample");
}

// IC-32, IC-117: of two servers that are pinged, one leaves: it is pinged no more, the other is;
// and behind the end of the client none is. IC-31: nor does a ping that fails end them.
#[test]
fn pings_end_with_their_server_and_not_with_a_failure() {
    let bed = Bed::set(1);
    let mut options = ClientOptions::parse(&bed.uri("heartbeatFrequencyMS=1000")).expect("options");
    options.rtt_probe = RttProbe::Ping;
    let client = bed.client_of(options);
    bed.advance(ms(2500));
    let pings = |bed: &Bed| {
        let pings = bed.named("ping");
        let of = |name| pings.iter().filter(|ping| ping.address == address(name)).count();
        let counts = (of("a:1"), of("b:1"));
        bed.forget_log();
        counts
    };
    assert_eq!(pings(&bed), (3, 3));
    bed.rule("a:1", "ping", 2, Act::HangUp);
    bed.advance(secs(6));
    let (a, b) = pings(&bed);
    assert!((4..=6).contains(&a) && b == 6, "{a} and {b}");
    bed.net.state().change(&address("a:1"), |hello| {
        hello.insert("hosts", vec!["a:1"]);
    });
    bed.advance(ms(100));
    assert!(client.topology().description().server(&address("b:1")).is_none());
    let _ = pings(&bed);
    bed.advance(secs(5));
    assert_eq!(pings(&bed), (5, 0));
    bed.run(async move { client.shutdown().await });
    bed.settle();
    let _ = pings(&bed);
    bed.advance(secs(5));
    assert_eq!(pings(&bed), (0, 0));
}
