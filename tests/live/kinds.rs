//! Members that are unlike the others: delayed, voting only, tagged.

use std::time::Duration;

use bson::{Document, doc};
use portolan::engine::sdam::DepartureReason;
use portolan::engine::selection::{OperationKind, Outcome, Reason};
use portolan::options::WriteConcern;
use portolan::{Client, ReadPreference, ServerAddress, ServerType, TopologyDescription};
use portolan_support::{MemberOptions, ReplicaSet};

use crate::watch::{connect, count, primary, run, start_calm, start_with};

/// Far longer than any test.
const HOUR: Duration = Duration::from_secs(60 * 60);

pub(crate) fn address(set: &ReplicaSet, index: usize) -> ServerAddress {
    set.member(index).address().to_string().parse().expect("an address")
}

/// What a client finds of one document.
async fn found(client: &Client, preference: ReadPreference) -> Option<Document> {
    let notes = client.database("live").collection::<Document>("notes");
    notes.find_one(doc! { "_id": 1 }).read_preference(preference).await.expect("an answer")
}

/// A member that applies everything an hour later is named by nobody: no read reaches it but a
/// direct one, until it is a member like others.
#[test]
fn a_delayed_member_is_left_out_until_it_is_delayed_no_more() {
    let delayed = MemberOptions { priority: 0.0, delay: HOUR, ..MemberOptions::default() };
    let mut set = start_with(vec![MemberOptions::default(), MemberOptions::default(), delayed]);
    let late = address(&set, 2);
    run(async {
        let (client, mut watch) = connect(&set.uri()).await;
        let left = |belief: &TopologyDescription| belief.left_out.contains_key(&late);
        let belief = watch.until("the delayed seed to leave", left).await;
        let reason = &belief.left_out[&late].reason;
        assert!(matches!(reason, DepartureReason::NotListed { .. }), "{reason}");
        watch.until_complete(2).await;
        let notes = client.database("live").collection::<Document>("notes");
        let note = doc! { "_id": 1 };
        notes.insert_one(&note).write_concern(WriteConcern::nodes(2)).await.expect("a write");
        for _ in 0..10 {
            assert_eq!(found(&client, ReadPreference::secondary()).await, Some(note.clone()));
        }
        let (direct, _) = connect(&format!("mongodb://{late}/?directConnection=true")).await;
        assert_eq!(found(&direct, ReadPreference::secondary()).await, None, "not for an hour");

        set.set_delay(2, Duration::ZERO).expect("a change of the configuration");
        set.replicate().expect("it catches up");
        let belief = watch.until_complete(3).await;
        assert!(belief.left_out.is_empty(), "{:?}", belief.left_out);
        assert_eq!(found(&direct, ReadPreference::secondary()).await, Some(note));
    });
}

/// An arbiter is known, votes, and serves nobody.
#[test]
fn an_arbiter_elects_and_is_never_chosen() {
    let arbiter = MemberOptions { arbiter: true, ..MemberOptions::default() };
    let mut set = start_with(vec![MemberOptions::default(), MemberOptions::default(), arbiter]);
    let voter = address(&set, 2);
    run(async {
        let (client, mut watch) = connect(&format!("{}&w=1", set.uri())).await;
        let complete = |belief: &TopologyDescription| {
            belief.primary().is_some()
                && count(belief, ServerType::RSSecondary) == 1
                && count(belief, ServerType::RSArbiter) == 1
        };
        let belief = watch.until("primary, secondary and arbiter", complete).await;
        let old = primary(&belief).expect("a primary");
        let everybody = ReadPreference::nearest();
        let explained = client.explain(OperationKind::Read, &everybody).expect("an explanation");
        let verdict = explained.verdicts.iter().find(|v| v.address == voter).expect("is named");
        let Outcome::Because(Reason::WrongType { .. }) = verdict.outcome else {
            panic!("{explained}");
        };
        let hosts = client.hosts(everybody.clone()).await.expect("hosts");
        assert!(!hosts.contains(&voter), "{hosts:?}");

        set.replicate().expect("the secondary can be elected");
        let index = set.index_of(&old).expect("a member");
        set.member_mut(index).kill().expect("SIGKILL");
        watch.until("the other one", |b| primary(b).is_some_and(|new| new != old)).await;
        let notes = client.database("live").collection::<Document>("notes");
        notes.insert_one(doc! { "_id": 1 }).await.expect("one member of three takes writes");
        for _ in 0..10 {
            let ping = client.ping(everybody.clone()).await.expect("an answer");
            assert_ne!(ping.address, voter);
        }
        set.member_mut(index).restart().expect("a restart");
        watch.until("all three again", complete).await;
    });
}

/// The first tag set that any member has decides, and tags follow the set's configuration.
#[test]
fn tag_sets_are_tried_in_order_and_followed_when_they_change() {
    let options = |dc: &str, rack: &str| MemberOptions {
        tags: vec![("dc".into(), dc.into()), ("rack".into(), rack.into())],
        ..MemberOptions::default()
    };
    let set = start_calm(vec![options("oslo", "1"), options("oslo", "2"), options("rome", "1")]);
    run(async {
        let (client, mut watch) = connect(&set.uri()).await;
        watch.until_complete(3).await;
        let chosen = async |preference: ReadPreference| {
            client.ping(preference).await.expect("an answer").address
        };
        let near = ReadPreference::nearest();
        let all = [("oslo", "1", 0), ("oslo", "2", 1), ("rome", "1", 2)];
        for (dc, rack, index) in all {
            let exactly = near.clone().with_tags([("dc", dc), ("rack", rack)]);
            assert_eq!(chosen(exactly).await, address(&set, index));
        }
        let rome_else_any =
            near.clone().with_tags([("dc", "atlantis")]).with_tags([("dc", "rome")]);
        let rome_else_any = rome_else_any.with_tags::<&str, &str>([]);
        for _ in 0..5 {
            assert_eq!(chosen(rome_else_any.clone()).await, address(&set, 2));
        }

        set.reconfigure(1, |entry| {
            entry.insert("tags", doc! { "dc": "atlantis" });
        })
        .expect("a change of the configuration");
        let moved = address(&set, 1);
        watch
            .until("the new tags", |belief| {
                let server = belief.server(&moved);
                server.is_some_and(|s| s.tags().get("dc").is_some_and(|dc| dc == "atlantis"))
            })
            .await;
        assert_eq!(chosen(rome_else_any).await, moved);
    });
}
