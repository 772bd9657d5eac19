//! What a client counts.

use portolan::ReadPreference;
use portolan::bson::doc;
use portolan::options::ClientOptions;

use super::support::server::Act;
use super::support::{Bed, ms, secs, till};

// IC-93, IC-94
#[test]
fn each_host_with_its_state() {
    let bed = Bed::set(2);
    bed.with_server("b:1", |server| {
        server.hello.insert("tags", doc! { "dc": "ny" });
        server.hello.insert("hidden", true);
    });
    bed.kill("c:1");
    let client = bed.settled("");
    let statistics = serde_json::to_value(client.statistics()).expect("JSON");
    assert_eq!(statistics["setName"], "rs0");
    let hosts = statistics["hosts"].as_array().expect("hosts");
    let facts = |host: &serde_json::Value| {
        let flag = |name: &str| host[name].as_bool().expect("a flag");
        let name = host["addr"].as_str().expect("a name").to_owned();
        (name, flag("ok"), flag("ismaster"), flag("hidden"), flag("secondary"))
    };
    let facts: Vec<_> = hosts.iter().map(facts).collect();
    assert_eq!(facts[0], ("a:1".to_owned(), true, true, false, false));
    assert_eq!(facts[1], ("b:1".to_owned(), true, false, true, true));
    assert_eq!(facts[2], ("c:1".to_owned(), false, false, false, false));
    assert!(hosts[0]["pingTimeMillis"].as_f64().is_some_and(|millis| millis > 0.0));
    assert!(hosts[2]["pingTimeMillis"].is_null());
    assert_eq!(hosts[1]["tags"]["dc"], "ny");
}

// IC-95
#[test]
fn calls_and_what_they_cost() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let before = client.statistics();
    assert!(before.hello.total_calls >= 1);
    assert!(before.hello.total_latency_micros > 0 && before.hello.max_latency_micros > 0);
    assert_eq!(before.selection.total_calls, 0);
    let asking = client.clone();
    bed.run(async move { asking.host(ReadPreference::primary()).await }).expect("known");
    let at_once = client.statistics().selection;
    assert_eq!((at_once.total_calls, at_once.total_latency_micros), (1, 0));
    let asking = client.clone();
    let join = bed.spawn(async move { asking.host(ReadPreference::secondary()).await });
    bed.advance(ms(300));
    assert_eq!(client.statistics().selection.currently_active, 1);
    bed.cancel(join.id);
    let dropped = client.statistics().selection;
    assert_eq!((dropped.total_calls, dropped.currently_active), (2, 0));
    assert_eq!((dropped.total_latency_micros, dropped.max_latency_micros), (300_000, 300_000));
    bed.advance(ms(1_500));
    assert_eq!(client.statistics().selection.recent_max_latency_micros, 0);
}

// IC-96
#[test]
fn avoided_servers_are_counted() {
    let names = ["a:1", "b:1"].map(str::to_owned);
    let mongos = doc! { "isWritablePrimary": true, "msg": "isdbgrid", "maxWireVersion": 21 };
    let bed = Bed::each(&names, &mongos);
    let client = bed.client_of(ClientOptions::parse("mongodb://a:1,b:1/shop").expect("good"));
    bed.advance(ms(600));
    assert_eq!(client.statistics().num_targeting_avoided_deprioritized, 0);
    names.iter().for_each(|name| bed.rule(name, "find", 1, Act::HangUp));
    let till = till(&client);
    // Whichever is asked first hangs up; the retry goes to the other one, which does too.
    let _ = bed.run(async move { till.find_one(doc! {}).await });
    assert_eq!(client.statistics().num_targeting_avoided_deprioritized, 1);
}

// IC-95
#[test]
fn a_hello_that_the_server_may_hold_back_costs_nothing() {
    let bed = Bed::set(0);
    let client = bed.settled("");
    let before = client.statistics().hello;
    assert_eq!(before.currently_active, 1, "the server holds one back");
    bed.advance(secs(35));
    let after = client.statistics().hello;
    assert!(after.total_calls > before.total_calls, "{after:?}");
    assert_eq!(after.total_latency_micros, before.total_latency_micros);
    assert_eq!(after.currently_active, 1);
}

// IC-96
#[test]
fn a_server_that_cannot_be_avoided_is_not_counted() {
    let mongos = doc! { "isWritablePrimary": true, "msg": "isdbgrid", "maxWireVersion": 21 };
    let bed = Bed::each(&["a:1".to_owned()], &mongos);
    let client = bed.client_of(ClientOptions::parse("mongodb://a:1/shop").expect("good"));
    bed.advance(ms(600));
    bed.rule("a:1", "find", 1, Act::HangUp);
    let till = till(&client);
    bed.run(async move { till.find_one(doc! {}).await }).expect("the same server serves it");
    assert_eq!(bed.named("find").len(), 2);
    assert_eq!(client.statistics().num_targeting_avoided_deprioritized, 0);
}
