//! One client per replica set, shared by those who ask: by set, by host, until nobody holds it.

use std::rc::Rc;
use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use portolan::options::ClientOptions;
use portolan::transport::Transport as _;
use portolan::{Client, ErrorKind, ReadPreference, Registry, RegistryError};

use super::sets::heard;
use super::support::{Bed, address, ms, secs};

fn options(text: &str) -> ClientOptions {
    ClientOptions::parse(text).expect("good options")
}

fn make(bed: &Bed, options: ClientOptions) -> portolan::Result<Client> {
    let (client, driver) = Client::new(options, Arc::new(bed.net.clone()))?;
    bed.spawn(driver);
    Ok(client)
}

/// The client for `text`; the test fails where there is none.
fn get(registry: &Registry, bed: &Bed, text: &str) -> Client {
    registry.get_or_create(options(text), |options| make(bed, options)).expect("a client")
}

const RS0: &str = "mongodb://a:1/?replicaSet=rs0";

// IC-01, IC-05, IC-07
#[test]
fn who_asks_again_gets_the_same_client() {
    let (bed, registry) = (Bed::set(1), Registry::new());
    assert!(registry.get("rs0").is_none() && registry.is_empty());
    let first = get(&registry, &bed, RS0);
    let second = registry
        .get_or_create(options("mongodb://b:1/?replicaSet=rs0"), |_| unreachable!("one is there"))
        .expect("a client");
    assert_eq!(first.topology_id(), second.topology_id());
    assert_eq!(registry.get("rs0").expect("a client").topology_id(), first.topology_id());
    assert_eq!((registry.names(), registry.len()), (vec!["rs0".to_owned()], 1));
    let other = get(&registry, &bed, "mongodb://x:1/?replicaSet=other");
    assert_ne!(other.topology_id(), first.topology_id());
    assert_eq!(registry.names(), ["other", "rs0"]);
    assert!(registry.get("rs1").is_none());
}

// IC-01, IC-09
#[test]
fn a_client_that_nobody_holds_ends() {
    let (bed, registry) = (Bed::set(1), Registry::new());
    let first = get(&registry, &bed, RS0);
    bed.advance(ms(600));
    let id = first.topology_id();
    let second = first.clone();
    drop(first);
    assert_eq!(registry.get("rs0").map(|client| client.topology_id()), Some(id));
    drop(second);
    assert!(registry.get("rs0").is_none() && registry.is_empty());
    bed.advance(ms(10));
    assert_eq!((bed.open_connections("a:1"), bed.open_connections("b:1")), (0, 0));
    assert_ne!(get(&registry, &bed, RS0).topology_id(), id);
}

// IC-02
#[test]
fn only_replica_sets_are_shared() {
    let registry = Registry::new();
    let refused = registry.get_or_create(options("mongodb://a:1"), |_| unreachable!("no set"));
    assert!(matches!(refused, Err(RegistryError::NoSetName)), "{refused:?}");
}

// IC-04
#[test]
fn other_tls_options_are_an_error_and_not_another_client() {
    let (bed, registry) = (Bed::set(0), Registry::new());
    let client = get(&registry, &bed, RS0);
    for other in
        ["mongodb://a:1/?replicaSet=rs0&tls=true", "mongodb://a:1/?replicaSet=rs0&tlsCAFile=x"]
    {
        let refused = registry.get_or_create(options(other), |_| unreachable!("refused"));
        let error = refused.expect_err("other TLS options");
        assert!(matches!(&error, RegistryError::OtherTls { name } if name == "rs0"), "{error}");
        assert_eq!(error.code(), Some(51042));
    }
    let user = "mongodb://u:p@a:1/?replicaSet=rs0";
    let refused = registry.get_or_create(options(user), |_| unreachable!("refused"));
    assert!(matches!(refused, Err(RegistryError::OtherCredential { .. })), "{refused:?}");
    assert_eq!(registry.get("rs0").expect("it stays").topology_id(), client.topology_id());
}

// IC-04
#[test]
fn what_the_maker_says_is_told_and_not_kept() {
    let (bed, registry) = (Bed::set(0), Registry::new());
    let tls = options("mongodb://a:1/?replicaSet=rs0&tlsCAFile=no-such-file");
    let refused = registry.get_or_create(tls, |options| make(&bed, options));
    assert!(matches!(refused, Err(RegistryError::Client(_))), "{refused:?}");
    assert!(registry.is_empty());
    get(&registry, &bed, RS0);
}

// IC-06
#[test]
fn a_client_is_found_by_any_member() {
    let (bed, registry) = (Bed::set(1), Registry::new());
    let client = get(&registry, &bed, RS0);
    assert!(registry.get_for_host(&address("b:1")).is_none(), "not known to be a member yet");
    bed.advance(ms(600));
    let found = registry.get_for_host(&address("b:1")).expect("a member");
    assert_eq!(found.topology_id(), client.topology_id());
    assert!(registry.get_for_host(&address("z:1")).is_none());
}

// IC-08, IC-15, IC-16
#[test]
fn a_removed_client_ends_whoever_holds_it() {
    let (bed, registry) = (Bed::set(0), Registry::new());
    let client = get(&registry, &bed, RS0);
    bed.advance(ms(600));
    let waiting = client.clone();
    let join = bed.spawn(async move { waiting.hosts(ReadPreference::secondary()).await });
    bed.advance(ms(600));
    assert!(!join.is_done());
    assert!(registry.remove("rs0"));
    bed.settle();
    let error = join.take().expect("it fails at once").expect_err("no secondary");
    assert!(matches!(error.kind(), ErrorKind::Shutdown), "{error}");
    assert!(!registry.remove("rs0"), "there is none any more");
    assert!(registry.get("rs0").is_none());
    let late = bed.run(async move { client.host(ReadPreference::primary()).await });
    assert!(matches!(late.expect_err("closed").kind(), ErrorKind::Shutdown));
    get(&registry, &bed, RS0);
}

// IC-03, IC-10, IC-15
#[test]
fn after_its_shutdown_a_registry_makes_no_clients() {
    let (bed, registry) = (Bed::set(0), Registry::new());
    let client = get(&registry, &bed, RS0);
    bed.advance(ms(600));
    let join = bed.spawn(async move { client.hosts(ReadPreference::secondary()).await });
    bed.advance(ms(600));
    assert!(!registry.is_shut_down());
    registry.shutdown();
    bed.settle();
    let error = join.take().expect("it fails at once").expect_err("no secondary");
    assert!(matches!(error.kind(), ErrorKind::Shutdown), "{error}");
    assert!(registry.is_shut_down() && registry.is_empty());
    let refused = registry.get_or_create(options(RS0), |_| unreachable!("refused"));
    let error = refused.expect_err("shut down");
    assert_eq!(error.code(), Some(91));
    assert_eq!(error.to_string(), "there is no client for set rs0: the registry was shut down");
}

// IC-01, IC-10
#[test]
fn of_two_who_connect_at_once_one_client_is_shared() {
    let (bed, registry) = (Rc::new(Bed::set(0)), Rc::new(Registry::new()));
    let connect = |pause| {
        let (bed, registry) = (bed.clone(), registry.clone());
        let making = bed.clone();
        bed.spawn(async move {
            let connect = |options| async move {
                making.net.sleep_until(making.now() + pause).await;
                make(&making, options)
            };
            registry.get_or_connect(options(RS0), connect).await.expect("a client")
        })
    };
    let (slow, fast) = (connect(secs(2)), connect(secs(1)));
    bed.advance(secs(3));
    let (slow, fast) = (slow.take().expect("done"), fast.take().expect("done"));
    assert_eq!(slow.topology_id(), fast.topology_id());
    assert_eq!(registry.len(), 1);
}

// IC-11, IC-12
#[test]
fn one_stream_tells_what_becomes_of_all_sets() {
    let (bed, registry) = (Bed::set(1), Registry::new());
    let mut before = registry.set_changes();
    let client = get(&registry, &bed, RS0);
    bed.advance(ms(600));
    let mut after = registry.set_changes();
    assert_eq!(heard(&mut after), ["confirmed rs0/a:1,b:1"]);
    let told = heard(&mut before);
    assert_eq!(told.first().map(String::as_str), Some("set rs0 found"), "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("confirmed rs0/a:1,b:1"), "{told:?}");
    let other = get(&registry, &bed, "mongodb://x:1/?replicaSet=other");
    bed.advance(ms(600));
    assert_eq!(heard(&mut after), ["set other found"]);
    drop(client);
    assert_eq!(heard(&mut after), ["set rs0 dropped"]);
    registry.shutdown();
    assert_eq!(heard(&mut before), ["set other found", "set rs0 dropped", "set other dropped"]);
    assert_eq!(before.next().now_or_never(), Some(None), "the stream ends");
    assert!(registry.set_changes().next().now_or_never().is_some_and(|end| end.is_none()));
    drop(other);
}

// IC-93, IC-94
#[test]
fn the_numbers_of_all_sets_are_there_at_once() {
    let (bed, registry) = (Bed::set(1), Registry::new());
    let client = get(&registry, &bed, RS0);
    let other = get(&registry, &bed, "mongodb://x:1/?replicaSet=other");
    bed.advance(ms(600));
    let numbers = serde_json::to_value(registry.statistics()).expect("JSON");
    assert_eq!(numbers["numReplicaSetMonitorsCreated"], 2);
    let sets = numbers["replicaSets"].as_object().expect("sets");
    assert_eq!(sets.keys().collect::<Vec<_>>(), ["other", "rs0"]);
    let hosts = sets["rs0"]["hosts"].as_array().expect("hosts");
    assert_eq!((&hosts[0]["addr"], &hosts[1]["addr"]), (&"a:1".into(), &"b:1".into()));
    assert!(hosts.iter().all(|host| host["pingTimeMillis"].as_f64() == Some(2.0)), "{hosts:?}");
    drop((client, other));
    let _again = get(&registry, &bed, RS0);
    let numbers = registry.statistics();
    assert_eq!(numbers.num_replica_set_monitors_created, 3, "ever");
    assert_eq!(numbers.replica_sets.len(), 1, "now");
}

// IC-05, IC-16
#[test]
fn a_client_that_its_holder_shut_down_is_not_given_again() {
    let (bed, registry) = (Bed::set(0), Registry::new());
    let client = get(&registry, &bed, RS0);
    bed.advance(ms(600));
    let ending = client.clone();
    bed.run(async move { ending.shutdown().await });
    assert!(registry.get("rs0").is_none() && registry.is_empty());
    assert!(registry.get_for_host(&address("a:1")).is_none());
    assert_ne!(get(&registry, &bed, RS0).topology_id(), client.topology_id());
}
