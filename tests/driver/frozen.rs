//! Members that are alive to TCP and answer nothing, and slow operations on healthy ones.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use portolan::bson::doc;
use portolan::event::EventKind;
use portolan::options::ClientOptions;
use portolan::{Client, ReadPreference, Topology};

use super::support::server::Act;
use super::support::{Bed, Join, address, ms, secs, till};

/// A client with the rules about frozen members, in a set that it has discovered.
fn watchful(bed: &Bed, options: &str) -> Client {
    let client = bed.client_of(ClientOptions::parse(&bed.uri(options)).expect("good options"));
    bed.advance(ms(600));
    client
}

/// Makes the connection to the primary that later operations use.
fn warm(bed: &Bed, client: &Client) {
    let client = client.clone();
    bed.run(async move { client.ping(ReadPreference::primary()).await }).expect("a ping");
    bed.forget_log();
}

/// From now on the server answers nothing; its connections stay open.
fn freeze(bed: &Bed, name: &str) {
    for command in ["handshake", "hello", "find", "insert", "update", "buildInfo"] {
        bed.rule(name, command, usize::MAX, Act::Silence);
    }
}

fn read(bed: &Bed, client: &Client) -> Join<portolan::Result<()>> {
    let till = till(client);
    let secondary = ReadPreference::secondary();
    bed.spawn(async move { till.find_one(doc! {}).read_preference(secondary).await.map(drop) })
}

fn kinds(events: &mut Topology) -> Vec<EventKind> {
    let mut kinds = Vec::new();
    while let Some(Some(event)) = events.next().now_or_never() {
        kinds.push(event.kind);
    }
    kinds
}

fn is_suspected(kind: &EventKind) -> bool {
    matches!(kind, EventKind::ServerSuspected { .. })
}

/// Runs until the operation ends; how long that took.
fn time(bed: &Bed, join: &Join<portolan::Result<()>>) -> Duration {
    let start = bed.now();
    while !join.is_done() {
        assert!(bed.now() - start < secs(60), "it stands still");
        bed.advance(ms(10));
    }
    bed.now() - start
}

#[test]
fn a_read_leaves_a_frozen_secondary_for_another_one() {
    let bed = Bed::set(2);
    let client = watchful(&bed, "");
    let mut events = client.topology();
    freeze(&bed, "b:1");
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let join = read(&bed, &client);
        longest = longest.max(time(&bed, &join));
        join.take().expect("ended").expect("no error reaches the caller");
    }
    assert!(longest > ms(900), "one of them met the frozen server: {longest:?}");
    assert!(longest <= ms(1200), "{longest:?}");
    assert_eq!(kinds(&mut events).iter().filter(|kind| is_suspected(kind)).count(), 1);
    let description = client.topology().description();
    let frozen = description.server(&address("b:1")).expect("a member");
    assert!(frozen.suspect, "avoided");
    assert!(frozen.server_type.is_known(), "and not called Unknown before the specification does");
}

// MT-82: the first attempt meets the frozen primary, the second one the one member that is left.
#[test]
fn a_read_that_may_leaves_a_frozen_primary_for_the_secondary_that_is_left() {
    let bed = Bed::set(2);
    let client = watchful(&bed, "");
    warm(&bed, &client);
    freeze(&bed, "a:1");
    freeze(&bed, "b:1");
    let till = till(&client);
    let preferred = ReadPreference::primary_preferred();
    let join =
        bed.spawn(async move { till.find_one(doc! {}).read_preference(preferred).await.map(drop) });
    let took = time(&bed, &join);
    join.take().expect("ended").expect("no error reaches the caller");
    let asked: Vec<String> = bed.named("find").iter().map(|r| r.address.to_string()).collect();
    assert_eq!(asked.first().map(String::as_str), Some("a:1"), "{asked:?}");
    assert_eq!(asked.last().map(String::as_str), Some("c:1"), "{asked:?}");
    assert!(took < secs(5), "no time-out of ten seconds is waited for: {took:?}");
}

#[test]
fn a_thawed_server_is_trusted_again() {
    let bed = Bed::set(2);
    let client = watchful(&bed, "");
    let mut events = client.topology();
    freeze(&bed, "b:1");
    for _ in 0..10 {
        time(&bed, &read(&bed, &client));
    }
    bed.with_server("b:1", super::support::server::Server::forget_rules);
    bed.advance(secs(25));
    let kinds = kinds(&mut events);
    assert!(kinds.iter().any(is_suspected));
    assert!(kinds.iter().any(|kind| matches!(kind, EventKind::ServerTrusted { .. })));
    let description = client.topology().description();
    assert!(!description.server(&address("b:1")).expect("a member").suspect);
}

#[test]
fn a_slow_operation_on_a_healthy_server_is_never_cut() {
    let bed = Bed::set(1);
    let client = watchful(&bed, "");
    let mut events = client.topology();
    bed.rule("b:1", "find", 1, Act::Slow(secs(5)));
    let join = read(&bed, &client);
    let took = time(&bed, &join);
    join.take().expect("ended").expect("an answer");
    assert!(took >= secs(5), "{took:?}");
    assert_eq!(bed.named("find").len(), 1, "and never sent again");
    assert!(!kinds(&mut events).iter().any(is_suspected));
}

#[test]
fn a_write_leaves_a_displaced_primary_as_the_same_write() {
    let bed = Bed::set(2);
    let client = watchful(&bed, "");
    warm(&bed, &client);
    freeze(&bed, "a:1");
    let till = till(&client);
    let join = bed.spawn(async move { till.insert_one(doc! { "_id": 1 }).await.map(drop) });
    bed.advance(ms(2000));
    assert!(!join.is_done(), "there is nobody else to write to");
    bed.elect_among("b:1", 2, &[address("b:1"), address("c:1")]);
    bed.advance(ms(50));
    join.take().expect("at once").expect("no error reaches the caller");
    let inserts = bed.named("insert");
    let to: Vec<String> = inserts.iter().map(|request| request.address.to_string()).collect();
    assert_eq!(to, ["a:1", "b:1"]);
    let number = |n: usize| inserts[n].body.get_i64("txnNumber").expect("a number");
    assert_eq!((inserts[0].lsid(), number(0)), (inserts[1].lsid(), number(1)));
}

#[test]
fn what_must_not_be_sent_twice_stays_where_it_is() {
    let bed = Bed::set(2);
    let client = watchful(&bed, "");
    warm(&bed, &client);
    freeze(&bed, "a:1");
    let database = client.database("shop");
    let command = async move { database.run_command(doc! { "buildInfo": 1 }).await.map(drop) };
    let join = bed.spawn(command);
    bed.advance(ms(1500));
    bed.elect_among("b:1", 2, &[address("b:1"), address("c:1")]);
    bed.advance(ms(500));
    assert!(!join.is_done());
    assert_eq!(bed.named("buildInfo").len(), 1);
}

#[test]
fn the_rules_can_be_switched_off() {
    let bed = Bed::set(2);
    let client = bed.settled("");
    let mut events = client.topology();
    freeze(&bed, "b:1");
    freeze(&bed, "c:1");
    let join: Join<portolan::Result<()>> = read(&bed, &client);
    bed.advance(secs(5));
    assert!(!join.is_done());
    let kinds = kinds(&mut events);
    assert!(!kinds.iter().any(is_suspected), "{kinds:?}");
}

/// It is lost with its primary, and its caller hears so at once: to run it again, elsewhere.
#[test]
fn a_transaction_leaves_a_frozen_primary_and_is_run_again_on_the_new_one() {
    let bed = Bed::set(2);
    let client = watchful(&bed, "");
    warm(&bed, &client);
    bed.rule("a:1", "insert", 1, Act::Reply(doc! { "n": 1 }));
    let on = client;
    let join = bed.spawn(async move {
        let callback = async |session| {
            for n in 0..3 {
                till(&on).insert_one(doc! { "n": n }).session(&session).await?;
            }
            Ok(())
        };
        on.start_session().await?.with_transaction(callback).await
    });
    freeze(&bed, "a:1");
    bed.advance(ms(500));
    let names = ["b:1", "c:1"].map(address);
    bed.elect_among("b:1", 2, &names);
    let took = time(&bed, &join);
    join.take().expect("ended").expect("no error reaches the caller");
    assert!(took < secs(5), "{took:?}");
    let inserts = bed.named("insert");
    let of = |name: &str| inserts.iter().filter(|it| it.address == address(name)).count();
    assert_eq!((of("a:1"), of("b:1")), (2, 3));
    assert_eq!(bed.named("commitTransaction")[0].address, address("b:1"));
}
