//! What single descriptions do to topologies (IC-114): beside the specification's files, which test
//! the same in long stories, one step at a time over every kind of topology and server.

use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Document, rawdoc};

use super::*;
use crate::engine::address::ServerAddress;
use crate::engine::hello::{HelloReply, ReplyError};
use crate::engine::sdam::DescriptionError;
use crate::engine::time::Instant;

fn address(name: &str) -> ServerAddress {
    name.parse().expect("an address")
}

/// Unknown servers, one per letter.
fn topology(topology_type: TopologyType, names: &str) -> TopologyDescription {
    let mut topology = TopologyDescription::empty();
    topology.topology_type = topology_type;
    for name in names.chars().map(|name| address(&name.to_string())) {
        topology.servers.insert(name.clone(), Arc::new(ServerDescription::unknown(name)));
    }
    topology
}

/// What `name` would say if it were of this type, in a set of `hosts`.
fn server_in(name: &str, server_type: ServerType, hosts: &str) -> ServerDescription {
    let in_set = server_type != ServerType::Standalone
        && server_type != ServerType::Mongos
        && server_type != ServerType::RSGhost;
    let reply = HelloReply {
        is_writable_primary: server_type == ServerType::RSPrimary,
        secondary: server_type == ServerType::RSSecondary,
        arbiter_only: server_type == ServerType::RSArbiter,
        hidden: server_type == ServerType::RSOther,
        is_mongos: server_type == ServerType::Mongos,
        is_replica_set_ghost: server_type == ServerType::RSGhost,
        set_name: in_set.then(|| "rs".to_owned()),
        hosts: hosts.chars().map(|host| address(&host.to_string())).collect(),
        max_wire_version: 21,
        logical_session_timeout_minutes: Some(30),
        ..HelloReply::default()
    };
    let address = address(name);
    match server_type {
        ServerType::LoadBalancer => ServerDescription::load_balancer(address),
        ServerType::Unknown => ServerDescription::unknown(address),
        ServerType::PossiblePrimary => {
            ServerDescription { server_type, ..ServerDescription::unknown(address) }
        }
        _ => {
            let server = ServerDescription::from_reply(address, reply, Instant::from_millis(7));
            assert_eq!(server.server_type, server_type, "the reply is of the type");
            server
        }
    }
}

fn server(name: &str, server_type: ServerType) -> ServerDescription {
    server_in(name, server_type, "ab")
}

/// The topology's type and who is in it.
fn shape(topology: &TopologyDescription) -> (TopologyType, String) {
    (topology.topology_type, topology.servers.keys().map(ServerAddress::host).collect())
}

// SD-07, SD-08, RK-07, RK-08: by the names that users, logs and other drivers know them by.
#[test]
fn every_kind_has_the_specifications_name() {
    let topologies = TopologyType::ALL.map(TopologyType::as_str);
    let expected = [
        "Single",
        "ReplicaSetNoPrimary",
        "ReplicaSetWithPrimary",
        "Sharded",
        "LoadBalanced",
        "Unknown",
    ];
    assert_eq!(topologies, expected);
    let mut servers = ServerType::ALL.map(ServerType::as_str);
    servers.sort_unstable();
    let expected = [
        "LoadBalancer",
        "Mongos",
        "PossiblePrimary",
        "RSArbiter",
        "RSGhost",
        "RSOther",
        "RSPrimary",
        "RSSecondary",
        "Standalone",
        "Unknown",
    ];
    assert_eq!(servers, expected);
}

// IC-114: one step from each kind of topology.
#[test]
fn one_description_makes_this_of_that() {
    use ServerType as S;
    use TopologyType as T;
    // Of seeds a and b, what a says, and what comes of it.
    let table: [(T, &str, S, T, &str); 22] = [
        (T::Unknown, "a", S::Standalone, T::Single, "a"),
        (T::Unknown, "ab", S::Standalone, T::Unknown, "b"),
        (T::Unknown, "ab", S::Mongos, T::Sharded, "ab"),
        (T::Unknown, "a", S::RSPrimary, T::ReplicaSetWithPrimary, "ab"),
        (T::Unknown, "a", S::RSSecondary, T::ReplicaSetNoPrimary, "ab"),
        (T::Unknown, "a", S::RSArbiter, T::ReplicaSetNoPrimary, "ab"),
        (T::Unknown, "a", S::RSOther, T::ReplicaSetNoPrimary, "ab"),
        (T::Unknown, "ab", S::RSGhost, T::Unknown, "ab"),
        (T::Unknown, "ab", S::Unknown, T::Unknown, "ab"),
        (T::Sharded, "ab", S::Mongos, T::Sharded, "ab"),
        (T::Sharded, "ab", S::Standalone, T::Sharded, "b"),
        (T::Sharded, "ab", S::RSPrimary, T::Sharded, "b"),
        (T::Sharded, "ab", S::RSGhost, T::Sharded, "b"),
        (T::Sharded, "ab", S::Unknown, T::Sharded, "ab"),
        (T::ReplicaSetNoPrimary, "ab", S::Standalone, T::ReplicaSetNoPrimary, "b"),
        (T::ReplicaSetNoPrimary, "ab", S::Mongos, T::ReplicaSetNoPrimary, "b"),
        (T::ReplicaSetNoPrimary, "a", S::RSPrimary, T::ReplicaSetWithPrimary, "ab"),
        (T::ReplicaSetNoPrimary, "a", S::RSSecondary, T::ReplicaSetNoPrimary, "ab"),
        (T::ReplicaSetNoPrimary, "ab", S::RSGhost, T::ReplicaSetNoPrimary, "ab"),
        (T::Single, "a", S::RSPrimary, T::Single, "a"),
        (T::Single, "a", S::Mongos, T::Single, "a"),
        (T::LoadBalanced, "a", S::LoadBalancer, T::LoadBalanced, "a"),
    ];
    for (before, seeds, heard, after, left) in table {
        let next = update(&topology(before, seeds), server("a", heard), seeds.len());
        assert_eq!(shape(&next), (after, left.to_owned()), "{before} of {seeds}, a is {heard}");
    }
}

// IC-114: from a set with the primary b and the secondary a.
#[test]
fn a_set_with_a_primary_keeps_it_unless_it_is_the_primary_that_changes() {
    use ServerType as S;
    let start = update(&topology(TopologyType::Unknown, "ab"), server("b", S::RSPrimary), 2);
    let start = update(&start, server("a", S::RSSecondary), 2);
    let (with, without) = (TopologyType::ReplicaSetWithPrimary, TopologyType::ReplicaSetNoPrimary);
    let table = [
        ("a", S::Unknown, with, "ab", Some("b")),
        ("a", S::RSArbiter, with, "ab", Some("b")),
        ("a", S::RSGhost, with, "ab", Some("b")),
        ("a", S::Standalone, with, "b", Some("b")),
        ("a", S::Mongos, with, "b", Some("b")),
        ("a", S::RSPrimary, with, "ab", Some("a")),
        ("b", S::Unknown, without, "ab", None),
        ("b", S::RSSecondary, without, "ab", None),
        ("b", S::RSOther, without, "ab", None),
        ("b", S::RSGhost, without, "ab", None),
        ("b", S::Standalone, without, "a", None),
        ("c", S::RSPrimary, with, "ab", Some("b")),
    ];
    for (name, heard, after, left, primary) in table {
        let next = update(&start, server(name, heard), 2);
        let case = format!("{name} is {heard}");
        assert_eq!(shape(&next), (after, left.to_owned()), "{case}");
        assert_eq!(next.primary().map(|server| server.address.host()), primary, "{case}");
    }
    let displaced = update(&start, server("a", S::RSPrimary), 2);
    let old = displaced.server(&address("b")).expect("it stays a member");
    assert_eq!(old.server_type, S::Unknown, "there is one primary at most");
    let alone = update(&start, server_in("b", S::RSPrimary, "b"), 2);
    assert_eq!(shape(&alone), (with, "b".to_owned()), "whom the primary does not list is removed");
}

// IC-91: over every kind of topology and server, an equal description changes nothing; but the
// newest one is kept, with its times.
#[test]
fn an_equal_description_is_installed_and_changes_nothing_else() {
    for topology_type in TopologyType::ALL {
        for server_type in ServerType::ALL {
            let first = server("a", server_type);
            let once = update(&topology(topology_type, "ab"), first.clone(), 2);
            let mut again = first;
            again.last_update_time = Some(Instant::from_millis(99));
            again.round_trip_time = Some(Duration::from_millis(5));
            let twice = update(&once, again, 2);
            let case = format!("{topology_type}, {server_type}");
            assert_eq!(twice, once, "{case}");
            let newest = twice.server(&address("a")).map(|server| server.last_update_time);
            let kept = newest.is_none_or(|at| at == Some(Instant::from_millis(99)));
            // What a primary's or a removed server's description becomes is the table's business.
            let installed = once.server(&address("a")).map(|s| s.server_type) == Some(server_type);
            assert!(kept || !installed, "{case}: the older one was kept");
        }
    }
}

// IC-90, IC-114: by process and counter.
#[test]
fn what_is_older_than_what_is_known_is_passed_over() {
    let version = |process: u8, counter| {
        Some(TopologyVersion { process_id: ObjectId::from_bytes([process; 12]), counter })
    };
    let with = |server_type, topology_version| ServerDescription {
        topology_version,
        ..server("a", server_type)
    };
    let known = with(ServerType::RSPrimary, version(1, 5));
    let start = update(&topology(TopologyType::Unknown, "ab"), known, 2);
    for (arriving, applied) in [
        (version(1, 4), false),
        (version(1, 5), true),
        (version(1, 6), true),
        (version(2, 0), true),
        (None, true),
    ] {
        let next = update(&start, with(ServerType::RSSecondary, arriving), 2);
        assert_eq!(next.primary().is_none(), applied, "{arriving:?}");
    }
}

// IC-92, IC-114: the deployment's versions and sessions are those of all its servers.
#[test]
fn a_topology_says_what_its_servers_have_in_common() {
    let start = topology(TopologyType::ReplicaSetNoPrimary, "ab");
    let with = |name: &str, versions: (i32, i32), minutes: Option<i64>| {
        let mut server = server(name, ServerType::RSSecondary);
        let reply = Arc::make_mut(&mut server.reply);
        (reply.min_wire_version, reply.max_wire_version) = versions;
        reply.logical_session_timeout_minutes = minutes;
        server
    };
    let sessions = |a, b| {
        let one = update(&start, with("a", (0, 21), a), 2);
        update(&one, with("b", (0, 21), b), 2).logical_session_timeout_minutes
    };
    assert_eq!(start.logical_session_timeout_minutes, None);
    assert_eq!(sessions(Some(30), Some(10)), Some(10));
    assert_eq!(sessions(Some(30), None), None);
    let arbiter = server("b", ServerType::RSArbiter);
    let one = update(&start, with("a", (0, 21), Some(20)), 2);
    let beside = update(&one, arbiter, 2).logical_session_timeout_minutes;
    assert_eq!(beside, Some(20), "who bears no data does not count");
    for (versions, compatible) in [((0, 21), true), ((0, 7), false), ((99, 100), false)] {
        let next = update(&start, with("a", versions, None), 2);
        assert_eq!(next.compatible(), compatible, "{versions:?}");
        let back = update(&next, server("a", ServerType::Unknown), 2);
        assert!(back.compatible(), "who is unknown speaks no version");
    }
}

// IC-114: what a server's words make of it.
#[test]
fn a_reply_says_what_a_server_is() {
    use ServerType as S;
    let table = [
        (rawdoc! { "ok": 1 }, S::Standalone),
        (rawdoc! { "ok": 1, "isWritablePrimary": true }, S::Standalone),
        (rawdoc! { "ok": 1, "msg": "isdbgrid" }, S::Mongos),
        (rawdoc! { "ok": 1, "isreplicaset": true }, S::RSGhost),
        (rawdoc! { "ok": 1, "setName": "rs", "isWritablePrimary": true }, S::RSPrimary),
        (rawdoc! { "ok": 1, "setName": "rs", "ismaster": true }, S::RSPrimary),
        (rawdoc! { "ok": 1.0, "setName": "rs", "secondary": true }, S::RSSecondary),
        (rawdoc! { "ok": true, "setName": "rs", "arbiterOnly": true }, S::RSArbiter),
        (rawdoc! { "ok": 1, "setName": "rs" }, S::RSOther),
        (rawdoc! { "ok": 1, "setName": "rs", "hidden": true, "secondary": true }, S::RSOther),
    ];
    for (reply, expected) in table {
        let shown = Document::try_from(reply.clone()).expect("BSON").to_string();
        let reply = HelloReply::parse(&reply).expect("a reply");
        let server = ServerDescription::from_reply(address("a"), reply, Instant::ZERO);
        assert_eq!((server.server_type, server.error), (expected, None), "{shown}");
    }
    for refused in [rawdoc! { "ok": 0 }, rawdoc! { "ok": 0.0, "errmsg": "no", "code": 91 }] {
        let error = HelloReply::parse(&refused).expect_err("a refusal");
        assert!(matches!(error, ReplyError::Command { .. }), "{error:?}");
    }
    let error = DescriptionError::new(Instant::ZERO, "no route");
    let failed = ServerDescription::failed(address("a"), error);
    assert_eq!((failed.server_type, failed.round_trip_time), (S::Unknown, None));
    assert_eq!(failed.error.as_ref().map(|error| &*error.message), Some("no route"));
}
