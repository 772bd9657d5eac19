//! Finding the members, and noticing who comes and goes.

use std::collections::BTreeSet;

use portolan::event::EventKind;
use portolan::{ServerType, TopologyType};
use portolan_support::MemberOptions;

use crate::watch::{addresses, connect, primary, run, start};

#[test]
fn every_member_is_found_from_any_single_seed() {
    let set = start();
    let members: BTreeSet<String> = set.seeds().into_iter().collect();
    let writable = set.member(set.primary().expect("a primary")).address().to_string();
    for seed in &members {
        for uri in [format!("mongodb://{seed}/?replicaSet=rs0"), format!("mongodb://{seed}/")] {
            run(async {
                let (client, mut watch) = connect(&uri).await;
                let belief = watch.until_complete(3).await;
                assert_eq!(belief.topology_type, TopologyType::ReplicaSetWithPrimary);
                assert_eq!(belief.set_name.as_deref(), Some("rs0"));
                assert_eq!(addresses(&belief), members);
                assert_eq!(primary(&belief).as_ref(), Some(&writable));

                client.shutdown().await;
                let closed = |kind: &EventKind| matches!(kind, EventKind::TopologyClosed);
                watch.event("the end", closed).await;
                assert_first_events(&watch.seen, seed);
                let opened = opened(&watch.seen);
                assert_eq!(opened.len(), 3, "each member is opened once: {opened:?}");
                assert_eq!(opened.into_iter().collect::<BTreeSet<_>>(), members);
            });
        }
    }
}

/// The specification's order: the topology opens, its seed opens, and only then it is checked.
fn assert_first_events(seen: &[portolan::event::Event], seed: &str) {
    let firsts: Vec<_> = seen.iter().map(|event| event.kind.name()).take(4).collect();
    assert_eq!(
        firsts,
        [
            "topologyOpening",
            "topologyDescriptionChanged",
            "serverOpening",
            "serverHeartbeatStarted"
        ]
    );
    assert_eq!(seen[2].kind.address().map(ToString::to_string).as_deref(), Some(seed));
}

fn opened(seen: &[portolan::event::Event]) -> Vec<String> {
    seen.iter()
        .filter_map(|event| match &event.kind {
            EventKind::ServerOpening { address } => Some(address.to_string()),
            _ => None,
        })
        .collect()
}

#[test]
fn members_that_join_and_leave_are_noticed() {
    let mut set = start();
    run(async {
        let (_client, mut watch) = connect(&set.uri()).await;
        watch.until_complete(3).await;

        let added = set.add_member(MemberOptions::default()).expect("a new member");
        let address = set.member(added).address().to_string();
        let is_new = |kind: &EventKind| match kind {
            EventKind::ServerOpening { address: opened } => opened.to_string() == address,
            _ => false,
        };
        watch.event("the new member", is_new).await;
        watch.until_complete(4).await;

        set.remove_member(added).expect("a change of the configuration");
        let is_gone = |kind: &EventKind| match kind {
            EventKind::ServerClosed { address: closed } => closed.to_string() == address,
            _ => false,
        };
        watch.event("its end", is_gone).await;
        let belief = watch.until_complete(3).await;
        assert!(!addresses(&belief).contains(&address));
    });
}

#[test]
fn hidden_members_and_arbiters_are_what_they_are() {
    let hidden = MemberOptions { hidden: true, priority: 0.0, ..MemberOptions::default() };
    let arbiter = MemberOptions { arbiter: true, ..MemberOptions::default() };
    let set = crate::watch::start_with(vec![MemberOptions::default(), hidden, arbiter]);
    run(async {
        let (_client, mut watch) = connect(&set.uri()).await;
        let belief = watch
            .until("primary and arbiter", |belief| {
                belief.primary().is_some()
                    && crate::watch::count(belief, ServerType::RSArbiter) == 1
            })
            .await;
        let visible: BTreeSet<String> = set.seeds().into_iter().collect();
        assert_eq!(addresses(&belief), visible, "the hidden member is not named by hello");
        assert_eq!(visible.len(), 2);
    });
}
