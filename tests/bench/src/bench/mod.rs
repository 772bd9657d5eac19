//! The measurements, one file each.

mod allocations;
mod bridge;
mod bulk;
mod faults;
mod find_one;
mod idle;
mod javascript;
mod members;
mod memory;
mod round_trips;
mod size;
mod spec;

use crate::peer::Failure;

/// One measurement.
pub struct Bench {
    pub name: &'static str,
    pub what: &'static str,
    pub run: fn() -> Result<(), Failure>,
}

/// In the order of running.
pub const BENCHES: [Bench; 14] = [
    Bench {
        name: "find_one",
        what: "find_one by _id at 1, 16 and 64 tasks: operations and client CPU",
        run: find_one::run,
    },
    Bench {
        name: "cursor",
        what: "10,000 documents read into structs through a cursor",
        run: bulk::cursor,
    },
    Bench {
        name: "insert_many",
        what: "insert_many of 10,000 small documents",
        run: bulk::insert_many,
    },
    Bench {
        name: "allocations",
        what: "allocations of a find_one after warm-up",
        run: allocations::run,
    },
    Bench { name: "spec", what: "the specification's benchmark suite", run: spec::run },
    Bench {
        name: "members",
        what: "a ping among 50 members beside a ping of one: what selection costs",
        run: members::run,
    },
    Bench {
        name: "memory",
        what: "memory of a client for each monitored server",
        run: memory::run,
    },
    Bench { name: "idle", what: "wake-ups of an idle client of three members", run: idle::run },
    Bench {
        name: "frozen",
        what: "a member that freezes: the longest write, the longest read",
        run: faults::frozen,
    },
    Bench {
        name: "failover",
        what: "a primary that is killed: what the client adds to the election",
        run: faults::failover,
    },
    Bench {
        name: "round_trips",
        what: "round trips from nothing to the first result, at 50 ms each way",
        run: round_trips::run,
    },
    Bench {
        name: "bridge",
        what: "the bridge beside direct TCP, websockify, Node ws and websocat",
        run: bridge::run,
    },
    Bench {
        name: "size",
        what: "crates, build time and program size (builds both drivers from nothing)",
        run: size::run,
    },
    Bench {
        name: "javascript",
        what: "the npm package beside the official Node.js driver: size, round trips, logins",
        run: javascript::run,
    },
];

/// Runs of each measurement.
fn rounds() -> usize {
    let given = std::env::var("PORTOLAN_BENCH_ROUNDS").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(5).max(1)
}
