//! What a client says of itself at any time: before its driver runs, while servers come and go, and
//! when it was shut down.

use std::sync::Arc;

use portolan::options::ClientOptions;
use portolan::{Client, MonitorStatus, ServerType, TopologyType};

use super::support::{Bed, address, ms, secs};

/// Who is on, and who is off.
fn monitors(client: &Client) -> [Vec<String>; 2] {
    let names = |on: bool| {
        let monitors = client.monitors().into_iter();
        monitors.filter(|m: &MonitorStatus| m.is_on == on).map(|m| m.address.to_string()).collect()
    };
    [names(true), names(false)]
}

/// Servers that answered, and secondaries among them.
fn known(client: &Client) -> (Vec<String>, Vec<String>) {
    let belief = client.description();
    (
        belief.known_servers().map(|server| server.address.to_string()).collect(),
        belief.secondaries().map(|server| server.address.to_string()).collect(),
    )
}

// MT-01, MT-03, MT-08, MT-09, MT-10, MT-44
#[test]
fn a_client_can_be_looked_at_at_any_time() {
    let bed = Bed::set(2);
    let options = ClientOptions::parse(&bed.uri("")).expect("options");
    let (client, driver) = Client::new(options, Arc::new(bed.net.clone())).expect("a client");
    assert!(bed.net.state().dialled.is_empty(), "MT-01: it has talked to nobody");
    // Not started: the seed is a server of which nothing is known, its monitor is off.
    let belief = client.description();
    assert_eq!(belief.topology_type, TopologyType::ReplicaSetNoPrimary);
    let seed = belief.server(&address("a:1")).expect("the seed");
    assert_eq!((seed.server_type, belief.servers.len()), (ServerType::Unknown, 1));
    assert_eq!(monitors(&client), [vec![], vec!["a:1".to_owned()]]);
    assert_eq!(client.to_string(), "rs0/a:1 (ON:0;OFF:1)");
    assert_eq!(client.options().repl_set_name.as_deref(), Some("rs0"));
    assert_eq!(known(&client), (vec![], vec![]));
    assert_eq!(client.pools().len(), 0);

    bed.spawn(driver);
    bed.advance(ms(600));
    let all = ["a:1", "b:1", "c:1"].map(str::to_owned).to_vec();
    let secondaries = all[1..].to_vec();
    assert_eq!(monitors(&client), [all.clone(), vec![]]);
    assert_eq!(client.to_string(), "rs0/a:1,b:1,c:1 (ON:3;OFF:0)");
    assert_eq!(known(&client), (all, secondaries));
    let primary = client.description().primary().map(|server| server.address.clone());
    assert_eq!(primary, Some(address("a:1")));

    let belief = client.description();
    let primary = belief.primary().expect("a primary");
    assert_eq!(primary.reply.set_name.as_deref(), Some("rs0"), "MT-44: what it said");
    assert_eq!(primary.error, None);

    bed.kill("a:1");
    bed.advance(secs(1));
    let belief = client.description();
    let lost = belief.server(&address("a:1")).expect("a member");
    let error = lost.error.as_ref().expect("MT-44: why it is Unknown");
    assert!(error.message.contains("refused"), "{}", error.message);
    assert_eq!(known(&client).0, ["b:1", "c:1"], "its monitor failed");
    assert_eq!(client.to_string(), "rs0/a:1,b:1,c:1 (ON:3;OFF:0)", "and goes on");
    assert!(client.description().primary().is_none());

    let ending = client.clone();
    bed.run(async move { ending.shutdown().await });
    bed.settle();
    assert_eq!((client.to_string(), client.monitors()), ("(ON:0;OFF:0)".to_owned(), vec![]));
    assert_eq!(known(&client), (vec![], vec![]));
    assert_eq!(client.options().repl_set_name.as_deref(), Some("rs0"));
}

// MT-09, LB-02
#[test]
fn behind_a_load_balancer_nothing_is_monitored() {
    let bed = Bed::standalone();
    let client = bed.client("loadBalanced=true");
    bed.advance(secs(1));
    assert_eq!(client.to_string(), "a:1 (ON:0;OFF:1)");
}

// MT-38
#[test]
fn a_topology_answers_what_it_is_and_who_is_who() {
    let bed = Bed::set(2);
    let client = bed.settled("");
    let belief = client.description();
    assert_eq!(belief.topology_type, TopologyType::ReplicaSetWithPrimary);
    assert!(belief.has_known_primary() && belief.has_writable_server());
    let servers: Vec<String> = belief.servers.keys().map(ToString::to_string).collect();
    assert_eq!(servers, ["a:1", "b:1", "c:1"]);
    let primary = belief.primary().map(|server| server.address.to_string());
    assert_eq!(primary.as_deref(), Some("a:1"));
    assert_eq!(known(&client).1, ["b:1", "c:1"]);
    bed.kill("a:1");
    bed.advance(secs(1));
    let belief = client.description();
    assert_eq!(belief.topology_type, TopologyType::ReplicaSetNoPrimary);
    assert!(!belief.has_known_primary() && !belief.has_writable_server());
}
