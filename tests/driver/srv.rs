//! Seeds by DNS through the whole driver: the prose tests of initial-dns-seedlist-discovery and of
//! polling-srv-records-for-mongos-discovery (SRV-01 to SRV-14), with DNS that is scripted.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use portolan::bson::{Document, doc};
use portolan::engine::srv::SrvError;
use portolan::error::ErrorKind;
use portolan::event::EventKind;
use portolan::transport::{DnsRecord, Instant, RecordKind, Resolver};
use portolan::{Client, ClientOptions, Error};

use super::support::{Bed, address, ms, secs};

const HOST: &str = "localhost.test.build.10gen.cc";
const TEST1: &str = "_mongodb._tcp.test1.test.build.10gen.cc";
const TEST3: &str = "_mongodb._tcp.test3.test.build.10gen.cc";
const TEST22: &str = "_customname._tcp.test22.test.build.10gen.cc";

/// What DNS says of a name.
#[derive(Clone)]
enum Says {
    Records(Vec<DnsRecord>),
    Fails(io::ErrorKind),
    Nothing,
}

/// DNS servers that are scripted; a name that is not has no records.
#[derive(Clone, Default)]
struct Dns {
    names: Arc<Mutex<BTreeMap<String, Says>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Resolver for Dns {
    async fn resolve(&self, name: &str, _kind: RecordKind) -> io::Result<Vec<DnsRecord>> {
        self.asked.lock().expect("a test panicked").push(name.to_owned());
        let says = self.names.lock().expect("a test panicked").get(name).cloned();
        match says {
            None => Ok(Vec::new()),
            Some(Says::Records(records)) => Ok(records),
            Some(Says::Fails(kind)) => Err(kind.into()),
            Some(Says::Nothing) => std::future::pending().await,
        }
    }
}

impl Dns {
    fn say(&self, name: &str, says: Says) {
        self.names.lock().expect("a test panicked").insert(name.to_owned(), says);
    }

    /// How often `name` was asked for.
    fn asked(&self, name: &str) -> usize {
        self.asked.lock().expect("a test panicked").iter().filter(|asked| *asked == name).count()
    }
}

fn record(host: &str, port: u16) -> DnsRecord {
    DnsRecord::Srv { host: host.to_owned(), port, ttl: 60 }
}

fn ports(ports: &[u16]) -> Says {
    Says::Records(ports.iter().map(|&port| record(HOST, port)).collect())
}

/// Four mongoses, DNS and what the client is told.
struct Cluster {
    bed: Bed,
    dns: Dns,
}

impl Cluster {
    fn new() -> Self {
        Self::of(&doc! { "isWritablePrimary": true, "msg": "isdbgrid", "maxWireVersion": 21 })
    }

    fn of(hello: &Document) -> Self {
        let names: Vec<String> = (27017..=27020).map(|port| format!("{HOST}:{port}")).collect();
        let dns = Dns::default();
        dns.say(TEST1, ports(&[27017, 27018]));
        dns.say(TEST3, ports(&[27017]));
        dns.say(TEST22, ports(&[27017, 27018]));
        Self { bed: Bed::each(&names, hello), dns }
    }

    fn options(&self, uri: &str) -> ClientOptions {
        let mut options = ClientOptions::parse(uri).expect("a connection string");
        options.resolver = Some(self.dns.clone().into());
        options
    }

    fn resolve(&self, uri: &str) -> Result<ClientOptions, Error> {
        let (options, transport) = (self.options(uri), self.bed.net.clone());
        self.bed.run(async move { options.resolve(&transport).await })
    }

    /// The client of a host of the prose tests, which has found its servers.
    fn client(&self, host: &str, query: &str) -> Client {
        let uri = format!("mongodb+srv://{host}.test.build.10gen.cc/?tls=false&{query}");
        let client = self.bed.client_of(self.resolve(&uri).expect("DNS names seeds"));
        self.bed.advance(secs(1));
        client
    }
}

fn known(client: &Client) -> Vec<u16> {
    let topology = client.topology().description();
    topology.servers.keys().filter_map(|address| address.port()).collect()
}

// SRV-14: prose tests 1 to 5, 10 and 11
#[test]
fn hosts_follow_the_records() {
    for (query, now, expected) in [
        ("", &[27017, 27018, 27019][..], &[27017, 27018, 27019][..]),
        ("", &[27017], &[27017]),
        ("", &[27017, 27019], &[27017, 27019]),
        ("", &[27019], &[27019]),
        ("", &[27019, 27020], &[27019, 27020]),
        ("srvMaxHosts=0", &[27017, 27019, 27020], &[27017, 27019, 27020]),
        ("srvMaxHosts=2", &[27019, 27020], &[27019, 27020]),
    ] {
        let cluster = Cluster::new();
        let client = cluster.client("test1", query);
        assert_eq!(known(&client), [27017, 27018]);
        cluster.dns.say(TEST1, ports(now));
        cluster.bed.advance(secs(120));
        assert_eq!(known(&client), expected, "{query} {now:?}");
        let topology = client.topology().description();
        assert!(topology.servers.values().all(|server| server.server_type.is_known()));
        for port in 27017..=27020 {
            let open = cluster.bed.open_connections(&format!("{HOST}:{port}"));
            assert_eq!(open > 0, expected.contains(&port), "{port}: {open} connections");
        }
    }
}

// SRV-14: prose tests 6 to 8
#[test]
fn failures_leave_the_hosts_as_they_are() {
    for says in [
        Says::Nothing,
        Says::Fails(io::ErrorKind::TimedOut),
        Says::Fails(io::ErrorKind::NotFound),
        ports(&[]),
    ] {
        let cluster = Cluster::new();
        let client = cluster.client("test1", "connectTimeoutMS=2000");
        let before = cluster.dns.asked(TEST1);
        cluster.dns.say(TEST1, says);
        cluster.bed.advance(secs(120));
        assert_eq!(known(&client), [27017, 27018]);
        let asked = cluster.dns.asked(TEST1) - before;
        assert!(asked >= 5, "asked {asked} times: not at the heartbeat's interval");
        // And it recovers.
        cluster.dns.say(TEST1, ports(&[27020]));
        cluster.bed.advance(secs(12));
        assert_eq!(known(&client), [27020]);
    }
}

// SRV-08, SRV-14: prose test 9
#[test]
fn the_records_of_a_load_balancer_are_looked_up_once() {
    let cluster = Cluster::new();
    let client = cluster.client("test3", "loadBalanced=true");
    cluster.dns.say(TEST3, ports(&[27017, 27018]));
    cluster.bed.advance(secs(120));
    assert_eq!(known(&client), [27017]);
    assert_eq!(cluster.dns.asked(TEST3), 1);
}

// SRV-12, SRV-14: prose test 12
#[test]
fn new_hosts_are_chosen_at_random_up_to_the_limit() {
    let cluster = Cluster::new();
    let client = cluster.client("test1", "srvMaxHosts=2");
    cluster.dns.say(TEST1, ports(&[27017, 27019, 27020]));
    cluster.bed.advance(secs(120));
    let known = known(&client);
    assert_eq!((known.len(), known[0]), (2, 27017));
    assert!([27019, 27020].contains(&known[1]));
}

// SRV-14: prose test 13
#[test]
fn a_custom_service_is_followed() {
    let cluster = Cluster::new();
    let client = cluster.client("test22", "srvServiceName=customname");
    cluster.dns.say(TEST22, ports(&[27019, 27020]));
    cluster.bed.advance(secs(120));
    assert_eq!(known(&client), [27019, 27020]);
}

// SRV-09
#[test]
fn the_records_are_looked_up_once_a_minute_and_no_more() {
    let cluster = Cluster::new();
    let _client = cluster.client("test1", "");
    cluster.bed.advance(secs(600));
    assert_eq!(cluster.dns.asked(TEST1), 1 + 10);
    // TXT records are asked for at the beginning only.
    assert_eq!(cluster.dns.asked("test1.test.build.10gen.cc"), 1);
}

// GAP-08
#[test]
fn interval_and_replica_sets_are_options() {
    let hello = doc! { "secondary": true, "setName": "rs", "maxWireVersion": 21,
    "hosts": [format!("{HOST}:27017"), format!("{HOST}:27018")] };
    let cluster = Cluster::of(&hello);
    let uri = "mongodb+srv://test1.test.build.10gen.cc/?tls=false";
    let mut options = cluster.resolve(uri).expect("DNS names seeds");
    options.srv_poll_replica_sets = true;
    options.srv_rescan_interval = Some(secs(2));
    let client = cluster.bed.client_of(options.clone());
    cluster.dns.say(TEST1, ports(&[27019]));
    cluster.bed.advance(secs(5));
    assert_eq!(known(&client), [27017, 27018, 27019]);
    assert_eq!(cluster.dns.asked(TEST1), 3);
    options.srv_rescan_interval = Some(ms(499));
    let error = Client::new(options, Arc::new(cluster.bed.net)).unwrap_err();
    assert!(error.to_string().contains("srv_rescan_interval"), "{error}");
}

// SRV-10
#[test]
fn every_look_up_is_told() {
    let cluster = Cluster::new();
    let client = cluster.client("test1", "");
    let mut topology = client.topology();
    while let Some(Some(_)) = topology.next().now_or_never() {}
    let foreign = record("localhost.evil.cc", 27019);
    cluster.dns.say(TEST1, Says::Records(vec![record(HOST, 27018), foreign]));
    cluster.bed.advance(secs(60));
    let mut told = Vec::new();
    while let Some(Some(event)) = topology.next().now_or_never() {
        match &event.kind {
            EventKind::SrvRescanned { name, hosts, problems, next } => {
                assert_eq!((&**name, hosts.len(), *next), (TEST1, 1, secs(60)));
                assert!(matches!(&problems[..], [SrvError::ForeignHost { target, .. }]
                    if target == "localhost.evil.cc"));
                told.push("rescanned".to_owned());
            }
            EventKind::ServerClosed { address } => told.push(format!("closed {address}")),
            EventKind::TopologyDescriptionChanged { .. } => told.push("changed".to_owned()),
            _ => {}
        }
    }
    assert_eq!(
        told,
        ["rescanned".to_owned(), format!("closed {HOST}:27017"), "changed".to_owned()]
    );
    let dialled = cluster.bed.net.state().dialled.clone();
    assert!(dialled.iter().all(|(_, address)| address.host() == HOST));
}

#[test]
fn shutting_down_does_not_wait_for_dns() {
    let cluster = Cluster::new();
    let client = cluster.client("test1", "");
    cluster.dns.say(TEST1, Says::Nothing);
    cluster.bed.advance(secs(60));
    assert_eq!(cluster.dns.asked(TEST1), 2);
    drop(client);
    cluster.bed.settle();
    assert!(cluster.bed.driver_ended());
}

// SRV-05: prose tests 2 to 4 of the initial seed list
#[test]
fn foreign_hosts_are_refused_before_anything_is_dialled() {
    for (host, target) in [
        ("localhost", "localhost.mongodb"),
        ("mongo.local", "test_1.evil.local"),
        ("blogs.mongodb.com", "blogs.evil.com"),
        ("localhost", "localhost"),
        ("mongo.local", "mongo.local"),
        ("localhost", "test_1.cluster_1localhost"),
        ("mongo.local", "test_1.my_hostmongo.local"),
        ("blogs.mongodb.com", "cluster.testmongodb.com"),
    ] {
        let cluster = Cluster::new();
        let name = format!("_mongodb._tcp.{host}");
        cluster.dns.say(&name, Says::Records(vec![record(target, 27017)]));
        let error = cluster.resolve(&format!("mongodb+srv://{host}")).unwrap_err();
        let ErrorKind::Srv(SrvError::ForeignHost { target: named, .. }) = error.kind() else {
            panic!("{host} with {target}: {error}");
        };
        assert_eq!(named, target);
        assert!(cluster.bed.net.state().dialled.is_empty());
    }
}

// SRV-05: prose test 1 of the initial seed list
#[test]
fn hosts_of_one_and_two_parts_are_accepted() {
    for host in ["localhost", "mongo.local"] {
        let cluster = Cluster::new();
        let name = format!("_mongodb._tcp.{host}");
        cluster.dns.say(&name, Says::Records(vec![record(&format!("a.{host}"), 27017)]));
        let options = cluster.resolve(&format!("mongodb+srv://{host}")).unwrap();
        assert_eq!(options.hosts, [address(&format!("a.{host}:27017"))]);
        // SRV-02
        assert!(options.tls_enabled());
    }
}

// SRV-04
#[test]
fn dns_that_does_not_answer_is_an_error_within_the_time_to_connect() {
    let cluster = Cluster::new();
    cluster.dns.say(TEST1, Says::Nothing);
    let uri = "mongodb+srv://test1.test.build.10gen.cc/?connectTimeoutMS=3000";
    let error = cluster.resolve(uri).unwrap_err().to_string();
    assert!(error.contains(TEST1) && error.contains("no answer within 3s"), "{error}");
    assert_eq!(cluster.bed.now() - Instant::ZERO, secs(3));
}

// SRV-07
#[test]
fn a_txt_look_up_that_fails_is_an_error_but_no_such_name_is_none() {
    let cluster = Cluster::new();
    let txt = "test1.test.build.10gen.cc";
    cluster.dns.say(txt, Says::Fails(io::ErrorKind::NotFound));
    assert!(cluster.resolve(&format!("mongodb+srv://{txt}")).is_ok());
    cluster.dns.say(txt, Says::Fails(io::ErrorKind::TimedOut));
    let error = cluster.resolve(&format!("mongodb+srv://{txt}")).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Srv(SrvError::LookUp { name, .. }) if name == txt));
}

// SRV-02
#[test]
fn a_client_says_what_is_missing() {
    let cluster = Cluster::new();
    let refused = |uri: &str| {
        let transport = Arc::new(cluster.bed.net.clone());
        Client::new(cluster.options(uri), transport).unwrap_err().to_string()
    };
    let error = refused("mongodb+srv://test1.test.build.10gen.cc/?tls=false");
    assert!(error.contains("options.resolve(&transport).await?"), "{error}");
    // A transport without DNS says so.
    let mut options = cluster.options("mongodb+srv://test1.test.build.10gen.cc/?tls=false");
    options.resolver = None;
    let transport = cluster.bed.net.clone();
    let error = cluster.bed.run(async move { options.resolve(&transport).await }).unwrap_err();
    assert!(error.to_string().contains("use a mongodb:// connection string"), "{error}");
}

/// What needs no look-up is left alone, and twice is as good as once.
#[test]
fn resolved_options_stay_as_they_are() {
    let cluster = Cluster::new();
    let plain = cluster.resolve("mongodb://a,b").unwrap();
    assert_eq!(plain.hosts.len(), 2);
    let once = cluster.resolve("mongodb+srv://test1.test.build.10gen.cc").unwrap();
    let (again, transport) = (once.clone(), cluster.bed.net.clone());
    let twice = cluster.bed.run(async move { again.resolve(&transport).await }).unwrap();
    assert_eq!(once, twice);
    assert_eq!(cluster.dns.asked(TEST1), 1);
}
