//! Selection as a whole: modes, deprioritized servers, the user's rule, errors, the EV-15 table.

use super::testing::{server, topology};
use super::*;
use ServerType::{Mongos, RSPrimary, RSSecondary, Standalone};
use TopologyType::{ReplicaSetNoPrimary, ReplicaSetWithPrimary, Sharded, Single};

fn replica_set() -> TopologyDescription {
    topology(
        ReplicaSetWithPrimary,
        vec![
            server("p").kind(RSPrimary).rtt_ms(5).build(),
            server("s").kind(RSSecondary).rtt_ms(5).tag("dc", "ny").build(),
            server("t").kind(RSSecondary).rtt_ms(90).tag("dc", "la").build(),
        ],
    )
}

fn hosts(servers: Result<Vec<&Arc<ServerDescription>>, SelectionError>) -> Vec<&str> {
    servers.unwrap().into_iter().map(|server| server.address.host()).collect()
}

fn chosen<'t>(topology: &'t TopologyDescription, criteria: &Criteria<'_>) -> Option<&'t str> {
    let server = select(topology, criteria, |_| 0, &mut Rng::seeded(1)).unwrap()?;
    Some(server.address.host())
}

// SS-08..SS-12
#[test]
fn modes_choose_among_primary_and_secondaries() {
    let set = replica_set();
    for (preference, expected) in [
        (ReadPreference::primary(), &["p"][..]),
        (ReadPreference::primary_preferred(), &["p"]),
        (ReadPreference::secondary(), &["s", "t"]),
        (ReadPreference::secondary_preferred(), &["s", "t"]),
        (ReadPreference::nearest(), &["p", "s", "t"]),
        (ReadPreference::secondary().with_tags([("dc", "la")]), &["t"]),
        (ReadPreference::secondary().with_tags([("dc", "x")]), &[]),
        (ReadPreference::secondary_preferred().with_tags([("dc", "x")]), &["p"]),
    ] {
        assert_eq!(hosts(suitable(&set, &Criteria::read(&preference))), expected, "{preference}");
    }
    assert_eq!(chosen(&set, &Criteria::write()), Some("p"));
}

// SS-26, SS-45
#[test]
fn deprioritized_servers_serve_only_when_no_other_can() {
    let set = replica_set();
    let address = |host| ServerAddress::tcp(host, 27017);
    let with = |preference: &ReadPreference, avoided: &[ServerAddress]| {
        let criteria = Criteria { deprioritized: avoided, ..Criteria::read(preference) };
        hosts(suitable(&set, &criteria)).join(" ")
    };
    let secondaries = [address("s"), address("t")];
    assert_eq!(with(&ReadPreference::secondary_preferred(), &secondaries), "p");
    assert_eq!(with(&ReadPreference::secondary(), &secondaries), "s t");
    assert_eq!(with(&ReadPreference::secondary(), &secondaries[..1]), "t");
    assert_eq!(with(&ReadPreference::primary_preferred(), &[address("p")]), "s t");
    assert_eq!(with(&ReadPreference::primary(), &[address("p")]), "p");
}

// SS-06, SS-27: before the window, so that the rule may choose a slow server.
#[test]
fn the_users_rule_comes_before_the_latency_window() {
    let set = replica_set();
    let last: &ServerSelector = &|servers| {
        servers.sort_by(|a, b| b.address.cmp(&a.address));
        servers.truncate(1);
    };
    let nearest = ReadPreference::nearest();
    let criteria = Criteria { server_selector: Some(last), ..Criteria::read(&nearest) };
    assert_eq!(chosen(&set, &criteria), Some("t"));
    assert_eq!(hosts(window(&set, &criteria)), ["t"]);
    assert_eq!(hosts(window(&set, &Criteria::read(&nearest))), ["p", "s"]);
}

// SS-15, SS-25
#[test]
fn what_waiting_cannot_mend_is_an_error() {
    let small = ReadPreference::nearest().with_max_staleness(Duration::from_secs(89));
    let select = |topology: &TopologyDescription, preference: &ReadPreference| {
        let criteria = Criteria::read(preference);
        select(topology, &criteria, |_| 0, &mut Rng::seeded(1)).map(|server| server.is_some())
    };
    let error = select(&replica_set(), &small).unwrap_err().to_string();
    assert!(error.contains("89 s") && error.contains("at least 90 s"), "{error}");
    let sharded = topology(Sharded, vec![server("m").kind(Mongos).build()]);
    assert_eq!(select(&sharded, &small), Ok(true));
    let old = TopologyDescription { compatibility_error: Some("old".into()), ..replica_set() };
    let error = select(&old, &ReadPreference::nearest());
    assert_eq!(error, Err(SelectionError::Incompatible("old".into())));
}

// EV-15
#[test]
fn readable_and_writable_follow_the_table() {
    let readable = |topology: &TopologyDescription, preference: &ReadPreference| {
        has_readable_server(topology, preference, Duration::from_secs(10))
    };
    let primary = ReadPreference::PRIMARY;
    let secondary = ReadPreference::secondary();
    let empty = TopologyDescription::empty();
    assert!(!readable(&empty, &primary) && !has_writable_server(&empty));
    let single = topology(Single, vec![server("a").kind(Standalone).build()]);
    assert!(readable(&single, &secondary) && has_writable_server(&single));
    let down = topology(Single, vec![server("a").build()]);
    assert!(!readable(&down, &secondary) && !has_writable_server(&down));
    let headless = topology(ReplicaSetNoPrimary, vec![server("a").kind(RSSecondary).build()]);
    assert!(!readable(&headless, &primary) && readable(&headless, &secondary));
    assert!(!has_writable_server(&headless));
    assert!(readable(&replica_set(), &primary) && has_writable_server(&replica_set()));
    let sharded = topology(Sharded, vec![server("m").kind(Mongos).build(), server("n").build()]);
    assert!(readable(&sharded, &secondary) && has_writable_server(&sharded));
    let balancer = Arc::new(ServerDescription::load_balancer(ServerAddress::tcp("l", 1)));
    let balanced = topology(TopologyType::LoadBalanced, vec![balancer]);
    assert!(readable(&balanced, &primary) && has_writable_server(&balanced));
}
