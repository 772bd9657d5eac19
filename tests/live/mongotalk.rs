//! MongoTalk's scenario: A of priority 5, B of 3, C of 0, and what its tests do to them.
//!
//! C is an ordinary member that is never primary, or a hidden one.

use std::time::Duration;

use bson::{Document, doc};
use portolan::engine::selection::{Outcome, Reason};
use portolan::event::EventKind;
use portolan::options::WriteConcern;
use portolan::{Client, ErrorKind, ReadPreference, ServerAddress, ServerType, TopologyType};
use portolan_support::{MemberOptions, ReplicaSet, ReplicaSetOptions};

use crate::watch::{SOON, Watch, addresses, connect, options, primary, run};

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

/// So that a frozen member is noticed soon.
const QUICK: &str = "heartbeatFrequencyMS=500&connectTimeoutMS=1000";

/// MT-70. Its ports are free ones: sets of several tests stand beside each other.
pub(crate) fn scenario(c_is_hidden: bool) -> ReplicaSet {
    let of = |priority| MemberOptions {
        priority,
        // A secondary notices soon that the frozen A no longer feeds it.
        extra_args: vec!["--setParameter".into(), "oplogNetworkTimeoutBufferSeconds=1".into()],
        ..MemberOptions::default()
    };
    let c = MemberOptions { hidden: c_is_hidden, ..of(0.0) };
    let set = ReplicaSet::start(ReplicaSetOptions {
        name: "rs-test".into(),
        // On a loaded machine nobody is taken for dead who is not.
        election_timeout: Duration::from_secs(2),
        ..options(vec![of(5.0), of(3.0), c])
    });
    let set = set.expect("a replica set");
    set.wait_until("A to be the primary", SOON, |set| set.member(A).is_writable_primary())
        .expect("a healthy set");
    set
}

pub(crate) fn at(set: &ReplicaSet, index: usize) -> ServerAddress {
    set.member(index).address().to_string().parse().expect("an address")
}

async fn until_primary(watch: &mut Watch, set: &ReplicaSet, index: usize) {
    let address = at(set, index).to_string();
    watch
        .until(&format!("{address} to be the primary"), |belief| {
            primary(belief).as_ref() == Some(&address)
        })
        .await;
}

async fn until_unknown(watch: &mut Watch, set: &ReplicaSet, index: usize) {
    let address = at(set, index);
    watch
        .until(&format!("{address} to be Unknown"), |belief| {
            belief.server(&address).is_some_and(|server| server.server_type == ServerType::Unknown)
        })
        .await;
}

/// MT-70, MT-72, MT-77: whoever is asked first, all that are visible are found, and A is primary.
fn a_is_found_from_each_seed(c_is_hidden: bool) {
    let set = scenario(c_is_hidden);
    let members = if c_is_hidden { 2 } else { 3 };
    for seed in [A, B, C] {
        let c = at(&set, C);
        run(async {
            let (client, mut watch) = connect(&format!("mongodb://{}/", at(&set, seed))).await;
            let belief = watch.until_complete(members).await;
            assert_eq!(belief.topology_type, TopologyType::ReplicaSetWithPrimary);
            assert_eq!(belief.set_name.as_deref(), Some("rs-test"));
            assert_eq!(primary(&belief), Some(at(&set, A).to_string()));
            assert_eq!(addresses(&belief), set.seeds().into_iter().collect());
            assert_eq!(belief.server(&c).is_none(), c_is_hidden);
            // A hidden seed gives way to those whom the primary names, and that is told.
            assert_eq!(belief.left_out.contains_key(&c), c_is_hidden && seed == C);
            client.shutdown().await;
        });
    }
}

#[test]
fn a_is_found_from_a_b_and_c() {
    a_is_found_from_each_seed(false);
}

#[test]
fn a_is_found_from_a_b_and_a_hidden_c() {
    a_is_found_from_each_seed(true);
}

/// MT-76: four periods of checks of a quiet set are told, and change nothing.
#[test]
fn a_quiet_set_is_checked_and_changes_nothing() {
    let set = scenario(false);
    run(async {
        let polled = "heartbeatFrequencyMS=500&serverMonitoringMode=poll";
        let (_client, mut watch) = connect(&format!("{}&{polled}", set.uri())).await;
        watch.until_complete(3).await;
        let mut succeeded = [0; 3];
        while succeeded.iter().any(|times| *times < 5) {
            let told = watch
                .event("checks of each member", |kind| kind.name() == "serverHeartbeatSucceeded")
                .await;
            let address = told.kind.address().expect("a heartbeat names its server").clone();
            let index = [A, B, C].into_iter().find(|index| at(&set, *index) == address);
            succeeded[index.expect("a member")] += 1;
        }
        let count = |name| watch.seen.iter().filter(|event| event.kind.name() == name).count();
        let (started, done) = (count("serverHeartbeatStarted"), count("serverHeartbeatSucceeded"));
        assert!(started >= done && done >= 3 * 4, "{started} started, {done} succeeded");
        assert!(count("serverDescriptionChanged") >= 3, "{}", watch.names());
        assert!(count("topologyDescriptionChanged") >= 1, "{}", watch.names());
        let belief = watch.belief();
        assert_eq!((belief.servers.len(), primary(&belief)), (3, Some(at(&set, A).to_string())));
    });
}

/// MT-71, MT-73, MT-74: the priorities decide who is primary while A is frozen, and afterwards.
fn a_is_primary_again_after_sigcont(c_is_hidden: bool) {
    let mut set = scenario(c_is_hidden);
    run(async {
        let (client, mut watch) = connect(&format!("{}&{QUICK}", set.uri())).await;
        until_primary(&mut watch, &set, A).await;
        set.member_mut(A).freeze().expect("SIGSTOP");
        until_primary(&mut watch, &set, B).await;
        until_unknown(&mut watch, &set, A).await;
        let ping = client.ping(ReadPreference::PRIMARY).await.expect("B answers");
        assert_eq!(ping.address, at(&set, B));

        set.member_mut(A).thaw().expect("SIGCONT");
        until_primary(&mut watch, &set, A).await;
        let ping = client.ping(ReadPreference::PRIMARY).await.expect("A answers");
        assert_eq!(ping.address, at(&set, A));
        let members = if c_is_hidden { 2 } else { 3 };
        watch.until_complete(members).await;
    });
}

#[test]
fn b_leads_while_a_is_frozen() {
    a_is_primary_again_after_sigcont(false);
}

#[test]
fn b_leads_while_a_is_frozen_and_c_is_hidden() {
    a_is_primary_again_after_sigcont(true);
}

/// MT-75, and MT-86 of the socket: who steps down keeps its connections, refuses writes, and is
/// primary again by its priority.
#[test]
fn b_leads_while_a_has_stepped_down() {
    let set = scenario(false);
    run(async {
        let (client, mut watch) = connect(&set.uri()).await;
        watch.until_complete(3).await;
        let mut connection = client.connection(ReadPreference::PRIMARY).await.expect("a socket");
        assert_eq!(connection.address(), &at(&set, A));
        let step_down = doc! {
            "replSetStepDown": 10, "secondaryCatchUpPeriodSecs": 5, "force": true,
        };
        connection.run_command("admin", step_down).await.expect("A steps down");
        let write = doc! { "insert": "notes", "documents": [{ "_id": "late" }] };
        let error = connection.run_command("live", write).await.expect_err("A is secondary");
        assert_eq!(error.code(), Some(10107), "NotWritablePrimary: {error}");
        assert!(connection.is_usable(), "the socket is open");
        connection.run_command("admin", doc! { "ping": 1 }).await.expect("the same answers");
        drop(connection);

        until_primary(&mut watch, &set, B).await;
        let notes = client.database("live").collection::<Document>("notes");
        notes.insert_one(doc! { "_id": "in between" }).await.expect("B, or A again, takes it");
        until_primary(&mut watch, &set, A).await;
        watch.until_complete(3).await;
        let failed = |kind: &EventKind| matches!(kind, EventKind::ServerHeartbeatFailed { .. });
        assert!(!watch.seen.iter().any(|event| failed(&event.kind)), "{}", watch.names());
        assert_eq!(notes.count_documents(doc! {}).await.expect("a count"), 1);
    });
}

/// Where a read of `preference` went: of a collection, and of a command.
async fn read(client: &Client, preference: &ReadPreference) -> portolan::Result<ServerAddress> {
    let notes = client.database("live").collection::<Document>("notes");
    let cursor = notes.find(doc! {}).read_preference(preference.clone()).await?;
    let mut told = client.connection(preference.clone()).await?;
    told.run_command("admin", doc! { "ping": 1 }).await?;
    assert_eq!(cursor.address(), told.address());
    Ok(cursor.address().clone())
}

/// Every preference that a lone secondary can serve.
fn served_by_a_secondary() -> [ReadPreference; 5] {
    [
        ReadPreference::primary_preferred(),
        ReadPreference::secondary(),
        ReadPreference::secondary_preferred(),
        ReadPreference::nearest(),
        // Without a primary the freshest secondary is the measure, and C is that (MS-03).
        ReadPreference::nearest().with_max_staleness(Duration::from_secs(90)),
    ]
}

/// MT-78, MT-79, MT-82.
#[test]
fn c_is_read_from_while_a_and_b_are_frozen() {
    let mut set = scenario(false);
    run(async {
        let (client, mut watch) = connect(&format!("{}&{QUICK}", set.uri())).await;
        watch.until_complete(3).await;
        let hurried = format!("{}&{QUICK}&serverSelectionTimeoutMS=500", set.uri());
        let (hurried, mut hurried_watch) = connect(&hurried).await;
        hurried_watch.until_complete(3).await;
        let notes = client.database("live").collection::<Document>("notes");
        let everywhere = WriteConcern::nodes(3);
        notes.insert_one(doc! { "_id": 1 }).write_concern(everywhere).await.expect("a write");

        set.member_mut(B).freeze().expect("SIGSTOP");
        until_unknown(&mut watch, &set, B).await;
        set.member_mut(A).freeze().expect("SIGSTOP");
        // The read begins at A, which nobody knows to be frozen, and ends at C.
        let preferred = ReadPreference::primary_preferred();
        let cursor = notes.find(doc! {}).read_preference(preferred).await.expect("no error");
        assert_eq!(cursor.address(), &at(&set, C));

        for watch in [&mut watch, &mut hurried_watch] {
            until_unknown(watch, &set, A).await;
            until_unknown(watch, &set, B).await;
        }
        for preference in served_by_a_secondary() {
            assert_eq!(read(&client, &preference).await.expect("C answers"), at(&set, C));
        }
        let error = read(&hurried, &ReadPreference::PRIMARY).await.expect_err("no primary");
        assert!(matches!(error.kind(), ErrorKind::ServerSelection { .. }), "{error}");
        assert_eq!(error.verdicts().len(), 3, "{error}");
        for verdict in error.verdicts() {
            let Outcome::Because(reason) = &verdict.outcome else { panic!("{error}") };
            let is_c = verdict.address == at(&set, C);
            assert_eq!(matches!(reason, Reason::WrongType { .. }), is_c, "{error}");
            assert_eq!(matches!(reason, Reason::Unknown { .. }), !is_c, "{error}");
        }

        set.member_mut(A).thaw().expect("SIGCONT");
        set.member_mut(B).thaw().expect("SIGCONT");
        until_primary(&mut watch, &set, A).await;
        notes.insert_one(doc! { "_id": 2 }).await.expect("a write");
        watch.until_complete(3).await;
    });
}

/// MT-78, MT-79 with C hidden: there is nobody who may be read from.
#[test]
fn a_hidden_c_serves_nobody_while_a_and_b_are_frozen() {
    let mut set = scenario(true);
    run(async {
        let uri = format!("{}&{QUICK}&serverSelectionTimeoutMS=500", set.uri());
        let (client, mut watch) = connect(&uri).await;
        watch.until_complete(2).await;
        for index in [A, B] {
            set.member_mut(index).freeze().expect("SIGSTOP");
        }
        until_unknown(&mut watch, &set, A).await;
        until_unknown(&mut watch, &set, B).await;
        for preference in [ReadPreference::PRIMARY].into_iter().chain(served_by_a_secondary()) {
            let error = read(&client, &preference).await.expect_err("nobody is there");
            assert!(matches!(error.kind(), ErrorKind::ServerSelection { .. }), "{error}");
            let named: Vec<_> = error.verdicts().iter().map(|v| v.address.to_string()).collect();
            assert_eq!(named.into_iter().collect::<std::collections::BTreeSet<_>>(), {
                set.seeds().into_iter().collect()
            });
        }
        for index in [A, B] {
            set.member_mut(index).thaw().expect("SIGCONT");
        }
        until_primary(&mut watch, &set, A).await;
        let ping = client.ping(ReadPreference::secondary_preferred()).await;
        ping.expect("somebody answers");
    });
}
