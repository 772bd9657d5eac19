//! Reading from where the read preference says.

use bson::{Document, doc};
use futures_util::TryStreamExt as _;
use portolan::engine::selection::{Outcome, Reason};
use portolan::{ReadPreference, ServerType};
use portolan_support::{MemberOptions, ReplicaSet};

use crate::watch::{SOON, connect, run, start_with};

fn tagged_set() -> ReplicaSet {
    start_with(["paris", "oslo", "rome"].map(|dc| MemberOptions::tagged("dc", dc)).to_vec())
}

#[test]
fn tagged_secondaries_are_read_from() {
    let set = tagged_set();
    let primary = set.primary().expect("a primary");
    run(async {
        let (client, mut watch) = connect(&format!("{}&w=majority", set.uri())).await;
        watch.until_complete(3).await;
        let ports = client.database("live").collection::<Document>("ports");
        for n in 0..20 {
            ports.insert_one(doc! { "_id": n }).await.expect("an insert");
        }
        for (index, member) in set.members().iter().enumerate().filter(|(i, _)| *i != primary) {
            replicated(&set, index, 20);
            let dc = &member.options().tags[0].1;
            let preference = ReadPreference::secondary().with_tags([("dc", dc.as_str())]);
            let ping = client.ping(preference.clone()).await.expect("a ping");
            assert_eq!(ping.address.to_string(), member.address().to_string());
            assert_eq!(ping.server_type, ServerType::RSSecondary);

            let before = queries(&set, index);
            let cursor = ports
                .find(doc! {})
                .batch_size(7_u32)
                .sort(doc! { "_id": 1 })
                .read_preference(preference)
                .await
                .expect("a cursor");
            assert_eq!(cursor.address().to_string(), member.address().to_string());
            let found: Vec<Document> = cursor.try_collect().await.expect("all batches");
            let ids: Vec<i32> = found.iter().map(|d| d.get_i32("_id").expect("an id")).collect();
            assert_eq!(ids, (0..20).collect::<Vec<_>>());
            assert_eq!(queries(&set, index), before + 1, "the member's own count of queries");
        }
    });
}

#[test]
fn tags_that_no_member_has_are_an_error_that_names_each_member() {
    let set = tagged_set();
    run(async {
        let (client, mut watch) =
            connect(&format!("{}&serverSelectionTimeoutMS=300", set.uri())).await;
        watch.until_complete(3).await;
        let nowhere = ReadPreference::secondary().with_tags([("dc", "atlantis")]);
        let error = client.ping(nowhere).await.expect_err("no such member");
        let verdicts = error.verdicts();
        assert_eq!(verdicts.len(), 3, "{error}");
        let tags = |outcome: &Outcome| matches!(outcome, Outcome::Because(Reason::Tags { .. }));
        assert_eq!(verdicts.iter().filter(|v| tags(&v.outcome)).count(), 2, "{error}");
        for member in set.seeds() {
            assert!(error.to_string().contains(&member), "{error}");
        }
    });
}

/// Waits until a member has `n` documents, as it says itself.
fn replicated(set: &ReplicaSet, index: usize, n: i32) {
    let count = doc! {
        "count": "ports", "$db": "live", "$readPreference": { "mode": "secondaryPreferred" },
    };
    set.wait_until("replication", SOON, |set| {
        set.command(index, &count).is_ok_and(|reply| reply.get_i32("n").is_ok_and(|m| m == n))
    })
    .expect("replicated");
}

/// How many queries on the collection the member has served. Not its count of all queries: other
/// members read its oplog.
fn queries(set: &ReplicaSet, index: usize) -> i64 {
    let top = set.command(index, &doc! { "top": 1 }).expect("top");
    let ports = top.get_document("totals").and_then(|totals| totals.get_document("live.ports"));
    let count =
        ports.and_then(|ports| ports.get_document("queries")).expect("queries").get("count");
    count.and_then(|count| count.as_i64().or(count.as_i32().map(i64::from))).expect("a count")
}
