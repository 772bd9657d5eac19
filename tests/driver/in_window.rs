//! The prose test of selection in the latency window: two mongoses, one of which is slow.
//!
//! The specification has two processes of mongos for it, which are not among the servers that these
//! tests can start: here two servers of the test bed speak as mongos does. What is tested is the
//! client's choice by the operations that are in flight; the servers only say what they are, and
//! take their time.

use portolan::bson::{Document, doc};
use portolan::options::ClientOptions;

use super::support::server::Act;
use super::support::{Bed, Join, address, ms, secs};

const TASKS: usize = 10;

/// Two mongoses, and each of ten tasks finds so many times, one after the other: how many of the
/// queries went to the first mongos.
fn share(seed: u64, slow: bool, finds: usize) -> usize {
    let hello = doc! { "msg": "isdbgrid", "isWritablePrimary": true, "maxWireVersion": 21 };
    let names = ["a:1", "b:1"].map(str::to_owned);
    let bed = Bed::each(&names, &hello);
    let mut options =
        ClientOptions::parse("mongodb://a:1,b:1/?localThresholdMS=30000").expect("ok");
    options.suspicion.enabled = false;
    options.selection_seed = Some(seed);
    let client = bed.client_of(options);
    bed.advance(ms(600));
    if slow {
        bed.rule("a:1", "find", usize::MAX, Act::Slow(ms(500)));
    }
    let tasks: Vec<Join<()>> = (0..TASKS)
        .map(|_| {
            let till = client.database("shop").collection::<Document>("till");
            bed.spawn(async move {
                for _ in 0..finds {
                    till.find_one(doc! {}).await.expect("an answer");
                }
            })
        })
        .collect();
    bed.advance(secs(60));
    assert!(tasks.iter().all(Join::is_done));
    let queries = bed.named("find");
    assert_eq!(queries.len(), TASKS * finds);
    queries.iter().filter(|query| query.address == address("a:1")).count()
}

// SS-54
#[test]
fn a_slow_mongos_gets_less_than_a_quarter() {
    for seed in 0..20 {
        let slow = share(seed, true, 10);
        assert!(slow < 25, "{slow} of 100 (seed {seed})");
        assert!(slow > 0, "it is chosen while it is not busier than the other (seed {seed})");
    }
}

// SS-54
#[test]
fn equal_mongoses_get_the_same() {
    for seed in 0..5 {
        let first = share(seed, false, 100);
        assert!((400..=600).contains(&first), "{first} of 1000 (seed {seed})");
    }
}
