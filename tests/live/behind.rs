//! Staleness in real time: a limit of 90 seconds is the least that there is.

use std::time::{Duration, Instant};

use bson::{Document, doc};
use portolan::engine::selection::{OperationKind, Outcome, Reason};
use portolan::options::WriteConcern;
use portolan::{Client, ReadPreference, ServerAddress};
use portolan_support::MemberOptions;

use crate::kinds::address;
use crate::watch::{connect, run, start_calm};

const LIMIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(200);

/// MT-80. By the specification the lag behind the primary counts (MS-02), not the age of a write:
/// so it is C's replication that stands still here, and not the whole of A and B.
#[test]
fn a_member_that_falls_behind_is_left_and_taken_again() {
    let [a_or_b, late] = ["live", "late"].map(|copy| MemberOptions::tagged("copy", copy));
    let late = MemberOptions { priority: 0.0, ..late };
    let set = start_calm(vec![a_or_b.clone(), a_or_b, late]);
    let c = address(&set, 2);
    let began = Instant::now();
    set.set_replication(2, false).expect("a fail point");
    run(async {
        let quick = "heartbeatFrequencyMS=500&serverSelectionTimeoutMS=1000";
        let (client, mut watch) = connect(&format!("{}&{quick}", set.uri())).await;
        watch.until_complete(3).await;
        let notes = client.database("live").collection::<Document>("notes");
        let fresh = ReadPreference::secondary().with_max_staleness(LIMIT);
        let whatever_c = ReadPreference::secondary().with_tags([("copy", "late")]);
        let only_c = whatever_c.clone().with_max_staleness(LIMIT);
        let ping = client.ping(only_c.clone()).await.expect("C is fresh");
        assert_eq!(ping.address, c);

        // The primary goes on writing, so that C falls behind, second by second.
        let (limit, estimate) = loop {
            let note = doc! { "text": "C does not hear of it" };
            let others = WriteConcern::nodes(2);
            notes.insert_one(note).write_concern(others).await.expect("a write");
            // Dates of writes are in whole seconds: near the limit the estimate goes to and fro.
            if let Some(Reason::Staleness { estimate, limit }) = reason(&client, &only_c, &c)
                && estimate > LIMIT + MARGIN
            {
                break (limit, estimate);
            }
            assert!(began.elapsed() < 3 * LIMIT, "C is never stale: {:?}", watch.belief());
            async_std::task::sleep(PAUSE).await;
        };
        assert_eq!(limit, LIMIT);
        assert!(estimate > LIMIT && began.elapsed() + SKEW > LIMIT, "{estimate:?} so soon");

        let error = client.ping(only_c.clone()).await.expect_err("C is stale");
        assert!(error.to_string().contains("staleness"), "{error}");
        let verdicts = error.verdicts();
        let of_c = verdicts.iter().find(|v| v.address == c).expect("C is named");
        let Outcome::Because(Reason::Staleness { .. }) = of_c.outcome else { panic!("{error}") };
        for _ in 0..10 {
            let ping = client.ping(fresh.clone()).await.expect("B is fresh");
            assert_ne!(ping.address, c);
        }
        assert_eq!(client.ping(whatever_c).await.expect("without a limit").address, c);

        set.set_replication(2, true).expect("a fail point");
        set.replicate().expect("C catches up");
        while reason(&client, &only_c, &c).is_some() {
            assert!(began.elapsed() < 3 * LIMIT, "C stays stale: {:?}", watch.belief());
            async_std::task::sleep(PAUSE).await;
        }
        assert_eq!(client.ping(only_c).await.expect("C is fresh again").address, c);
    });
}

/// How far over the limit C is for good.
const MARGIN: Duration = Duration::from_secs(5);

/// A client's estimate may be over what it is by an interval of checks, and a write's age.
const SKEW: Duration = Duration::from_secs(15);

/// Why a server cannot be read from at this moment, if it cannot.
fn reason(client: &Client, preference: &ReadPreference, of: &ServerAddress) -> Option<Reason> {
    let explained = client.explain(OperationKind::Read, preference).expect("an explanation");
    let verdict = explained.verdicts.into_iter().find(|verdict| verdict.address == *of);
    match verdict.expect("the server is named").outcome {
        Outcome::Suitable => None,
        Outcome::Because(reason) => Some(reason),
    }
}
