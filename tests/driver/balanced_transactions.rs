//! Transactions behind a load balancer: each keeps one connection until it is over, however it
//! ends.

use futures_util::{FutureExt, StreamExt};
use portolan::bson::doc;
use portolan::error::InUse;
use portolan::event::{Events, PoolEvent};
use portolan::{Client, ClientSession, Result};

use super::support::server::Act;
use super::support::{Bed, ms, pool, secs, till};

fn bed() -> Bed {
    let bed = Bed::standalone();
    bed.with_server("a:1", |server| {
        server.hello = doc! { "msg": "isdbgrid", "maxWireVersion": 21, "helloOk": true };
        server.services = 2;
        server.documents = 5;
    });
    bed
}

/// A transaction with a write in it.
fn begun(bed: &Bed, client: &Client) -> ClientSession {
    let client = client.clone();
    let begin = async move {
        let session = client.start_session().await?;
        session.start_transaction().await?;
        till(&client).insert_one(doc! {}).session(&session).await?;
        Ok::<_, portolan::Error>(session)
    };
    bed.run(begin).expect("all is well")
}

fn in_use(client: &Client) -> InUse {
    pool(client, "a:1").in_use
}

fn commit(bed: &Bed, session: &ClientSession) -> Result<()> {
    let commit = session.commit_transaction();
    bed.run(async move { commit.await })
}

fn names(events: &mut Events<PoolEvent>) -> Vec<&'static str> {
    let next = || events.next().now_or_never().flatten();
    std::iter::from_fn(next).map(|event| event.kind.name()).collect()
}

const ONE: InUse = InUse { cursors: 0, transactions: 1, other: 0 };

// LB-06: one check-out and one check-in, whatever is in between.
#[test]
fn a_transaction_takes_one_connection_once_and_its_cursors_share_it() {
    let bed = bed();
    let client = bed.settled("loadBalanced=true");
    let mut events = client.pool_events();
    let session = begun(&bed, &client);
    assert!(names(&mut events).ends_with(&["connectionReady", "connectionCheckedOut"]));
    let (on, used) = (client.clone(), session.clone());
    bed.run(async move {
        let mut cursor = till(&on).find(doc! {}).batch_size(2_u32).session(&used).await?;
        while cursor.next().await.transpose()?.is_some() {}
        let left = till(&on).find(doc! {}).batch_size(2_u32).session(&used).await?;
        left.close().await
    })
    .expect("all is well");
    assert_eq!(in_use(&client), ONE);
    let other = begun(&bed, &client);
    assert_eq!(in_use(&client), InUse { transactions: 2, ..ONE });
    names(&mut events);
    commit(&bed, &session).expect("committed");
    assert_eq!((names(&mut events), in_use(&client).transactions), (Vec::new(), 2));
    drop(session);
    assert_eq!(names(&mut events), ["connectionCheckedIn"]);
    drop(other);
    bed.advance(ms(20));
    assert_eq!(names(&mut events), ["connectionCheckedIn"], "after its abort");
    let requests = bed.requests();
    let numbered = |number: usize| requests.iter().filter(move |it| it.connection == number);
    let (first, last) = (requests[0].connection, requests[requests.len() - 1].connection);
    assert_ne!(first, last);
    assert_eq!(numbered(first).count() + numbered(last).count(), requests.len());
    assert_eq!(
        numbered(last).map(|it| &*it.name).collect::<Vec<_>>(),
        ["insert", "abortTransaction"]
    );
}

#[test]
fn what_ends_a_transaction_gives_its_connection_back() {
    let bed = bed();
    let client = bed.settled("loadBalanced=true");
    let labelled = doc! {
        "ok": 0, "code": 251, "errmsg": "gone", "errorLabels": ["TransientTransactionError"],
    };
    for act in [Act::HangUp, Act::Reply(labelled)] {
        let session = begun(&bed, &client);
        bed.rule("a:1", "insert", 1, act);
        let (on, used) = (client.clone(), session.clone());
        let insert = async move { till(&on).insert_one(doc! {}).session(&used).await };
        let error = bed.run(insert).expect_err("it failed");
        assert!(error.has_label("TransientTransactionError"), "{error:?}");
        assert_eq!((in_use(&client), session.is_pinned()), (InUse::default(), false));
    }
    let session = begun(&bed, &client);
    bed.rule("a:1", "commitTransaction", 1, Act::HangUp);
    commit(&bed, &session).expect("on another connection");
    assert_eq!(in_use(&client), InUse::default());
    let session = begun(&bed, &client);
    commit(&bed, &session).expect("committed");
    assert_eq!(in_use(&client), ONE);
    let start = session.start_transaction();
    bed.run(async move { start.await }).expect("another");
    assert_eq!(in_use(&client), InUse::default());
}

#[test]
fn an_operation_that_is_dropped_leaves_the_connection_whole_or_closed() {
    for silent in [false, true] {
        let bed = bed();
        let client = bed.settled("loadBalanced=true");
        let session = begun(&bed, &client);
        if silent {
            bed.rule("a:1", "insert", 1, Act::Silence);
        } else {
            bed.rule("a:1", "insert", 1, Act::Slow(ms(500)));
        }
        let (on, used) = (client.clone(), session.clone());
        let insert = async move { till(&on).insert_one(doc! {}).session(&used).await.map(drop) };
        let join = bed.spawn(insert);
        bed.advance(ms(50));
        assert_eq!(in_use(&client), ONE);
        bed.cancel(join.id);
        assert_eq!((in_use(&client), session.is_pinned()), (InUse::default(), false));
        drop(session);
        bed.advance(secs(1));
        let status = pool(&client, "a:1");
        assert_eq!(status.connections, status.idle, "{status:?}");
        assert_eq!(bed.named("abortTransaction").len(), 1);
    }
}

/// A connection that cannot be made is overload, and says nothing of the attempt before it.
#[test]
fn a_commit_that_was_seen_once_wants_a_majority_however_often_it_is_tried() {
    let bed = bed();
    let client = bed.settled("loadBalanced=true");
    let session = begun(&bed, &client);
    bed.rule("a:1", "commitTransaction", 1, Act::HangUp);
    bed.rule("a:1", "handshake", 1, Act::HangUp);
    commit(&bed, &session).expect("at last");
    let commits = bed.named("commitTransaction");
    let concern = |n: usize| commits[n].body.get_document("writeConcern").ok().cloned();
    let majority = doc! { "w": "majority", "wtimeout": 10_000_i64 };
    assert_eq!((commits.len(), concern(0), concern(1)), (2, None, Some(majority)));
}
