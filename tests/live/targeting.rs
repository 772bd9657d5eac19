//! Names of members, changes of the set and numbers, against a real set.

use futures_util::StreamExt as _;
use portolan::bson::doc;
use portolan::event::SetChange;
use portolan::{ReadPreference, Registry, ServerAddress, ServerDescription, Targeting};
use portolan_support::MemberOptions;

use crate::watch::{connect, run, start_with};

// IC-52, IC-54, IC-57, IC-58, IC-66, IC-68, IC-93
#[test]
fn members_are_named_left_out_and_counted() {
    let set = start_with(vec![MemberOptions::default(); 3]);
    let primary = set.members()[set.primary().expect("a primary")].address().to_string();
    let mut members = set.seeds();
    members.sort();
    run(async {
        let (client, mut watch) = connect(&format!("{}&localThresholdMS=10000", set.uri())).await;
        watch.until_complete(3).await;
        let names = |hosts: Vec<ServerAddress>| {
            let mut names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            names.sort();
            names
        };
        let all = client.hosts(ReadPreference::nearest()).await.expect("hosts");
        assert_eq!(names(all), members);
        let others = Targeting::new(ReadPreference::nearest())
            .excluding([primary.parse().expect("an address")]);
        let named = names(client.hosts(others).await.expect("hosts"));
        assert!(named.len() == 2 && !named.contains(&primary), "{named:?}");

        let reply = client.database("admin").run_command(doc! { "hello": 1 }).await.expect("hello");
        let written = reply.get_document("lastWrite").expect("a set's member");
        let written = written.get_document("opTime").expect("an optime");
        let time = written.get_timestamp("ts").expect("a timestamp");
        let past = an_hour_before(time);
        let belief = client.description();
        let told = |server: &ServerDescription| server.last_write_op_time() >= Some(past);
        assert!(belief.servers.values().all(|server| told(server)), "each says when it wrote");
        let reached = Targeting::new(ReadPreference::nearest()).min_cluster_time(past);
        assert_eq!(names(client.hosts(reached).await.expect("hosts")), members);

        let change = client.set_changes().next().await.expect("the latest");
        let SetChange::Confirmed { name, state } = change else { panic!("{change:?}") };
        assert_eq!(state.primary.as_ref().map(ToString::to_string), Some(primary.clone()));
        let (set_name, hosts) = state.connection_string.split_once('/').expect("name/hosts");
        let mut hosts: Vec<&str> = hosts.split(',').collect();
        hosts.sort_unstable();
        assert_eq!((set_name, hosts.as_slice()), (name.as_str(), &*as_str(&members)));

        let statistics = client.statistics();
        assert_eq!(statistics.hosts.iter().filter(|host| host.ok).count(), 3);
        let masters: Vec<_> = statistics.hosts.iter().filter(|host| host.is_master).collect();
        assert!(masters.len() == 1 && masters[0].addr.to_string() == primary, "{statistics:?}");
        assert!(statistics.hello.total_calls >= 3, "{statistics:?}");
    });
}

// IC-01, IC-06, IC-10
#[test]
fn a_leaf_s_connect_makes_the_clients_of_a_registry() {
    let set = start_with(vec![MemberOptions::default()]);
    run(async {
        let registry = Registry::new();
        let options = portolan::ClientOptions::parse(&set.uri()).expect("options");
        let connect = || registry.get_or_connect(options.clone(), portolan_async_std::connect_with);
        let (first, second) = (connect().await.expect("first"), connect().await.expect("second"));
        assert_eq!(first.topology_id(), second.topology_id());
        first.ping(ReadPreference::primary()).await.expect("a ping");
        let host = set.seeds()[0].parse().expect("an address");
        assert!(registry.get_for_host(&host).is_some());
        registry.shutdown();
        first.ping(ReadPreference::primary()).await.expect_err("it was shut down");
        let error = connect().await.expect_err("it was shut down");
        assert_eq!(error.code(), Some(91), "{error}");
    });
}

/// A moment that every member that answers has reached: long before `time`.
fn an_hour_before(time: portolan::bson::Timestamp) -> portolan::bson::Timestamp {
    portolan::bson::Timestamp { time: time.time.saturating_sub(60 * 60), increment: 1 }
}

fn as_str(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}
