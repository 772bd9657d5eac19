//! What must not allocate, asserted by an allocator that counts.
//!
//! A target of its own: the counting allocator is the whole program's.

use std::sync::Arc;
use std::time::Duration;

use bson::DateTime;
use portolan::ServerAddress;
use portolan::engine::hello::HelloReply;
use portolan::engine::rng::Rng;
use portolan::engine::sdam::{ServerDescription, ServerType, TopologyDescription, TopologyType};
use portolan::engine::selection::{Criteria, ReadPreference, select};
use portolan::engine::time::Instant;

const SERVERS: usize = 50;

fn address(number: usize) -> ServerAddress {
    ServerAddress::tcp(&format!("member-{number}.example"), 27017)
}

/// One primary and 49 secondaries, with tags, write dates and round-trip times.
fn topology() -> TopologyDescription {
    let server = |number: usize| {
        let now = Instant::ZERO + Duration::from_secs(60);
        let tag = if number.is_multiple_of(2) { "east" } else { "west" };
        let reply = HelloReply {
            tags: [("coast".to_owned(), tag.to_owned())].into(),
            last_write_date: Some(DateTime::from_millis(50_000)),
            ..HelloReply::default()
        };
        let kind = if number == 0 { ServerType::RSPrimary } else { ServerType::RSSecondary };
        Arc::new(ServerDescription {
            server_type: kind,
            reply: Arc::new(reply),
            round_trip_time: Some(Duration::from_millis(1 + number as u64 / 2)),
            last_update_time: Some(now),
            ..ServerDescription::unknown(address(number))
        })
    };
    TopologyDescription {
        topology_type: TopologyType::ReplicaSetWithPrimary,
        servers: (0..SERVERS).map(|number| (address(number), server(number))).collect(),
        ..TopologyDescription::empty()
    }
}

#[track_caller]
fn assert_no_allocation(topology: &TopologyDescription, criteria: &Criteria<'_>, what: &str) {
    let mut rng = Rng::seeded(1);
    let mut chosen = 0;
    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            let found = select(topology, criteria, |_| 1, &mut rng).expect("valid criteria");
            chosen += usize::from(found.is_some());
        }
    });
    assert_eq!(chosen, 100, "{what}: a server suits");
    assert_eq!(counted.count_total, 0, "{what}: {counted:?}");
}

#[test]
fn the_allocator_counts() {
    let counted = allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8; 100])));
    assert_eq!((counted.count_total, counted.bytes_total), (1, 100));
}

// ARCHITECTURE section 4: an operation's selection reads an immutable snapshot.
#[test]
fn selection_among_50_servers_allocates_nothing() {
    let topology = topology();
    assert_eq!(topology.servers.len(), SERVERS);
    assert_no_allocation(&topology, &Criteria::write(), "a write");
    let tagged = ReadPreference::secondary()
        .with_tags([("coast", "north")])
        .with_tags([("coast", "west")])
        .with_max_staleness(Duration::from_secs(120));
    for preference in [
        ReadPreference::primary(),
        ReadPreference::primary_preferred(),
        ReadPreference::secondary(),
        ReadPreference::secondary_preferred(),
        ReadPreference::nearest(),
        tagged,
    ] {
        let criteria = Criteria::read(&preference);
        assert_no_allocation(&topology, &criteria, &format!("a read from {preference:?}"));
        let avoided = [address(1), address(3)];
        let criteria = Criteria { deprioritized: &avoided, ..criteria };
        assert_no_allocation(&topology, &criteria, &format!("a retry from {preference:?}"));
    }
}
