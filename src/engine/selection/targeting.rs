//! The hard filters of targeting: servers that a caller excludes, and the cluster time that a
//! server must have reached.

use bson::Timestamp;

use crate::engine::sdam::ServerDescription;

/// Whether `server` has written up to `time`, by the last thing that it said. One that does not say
/// when it last wrote has not.
pub(super) fn is_at(server: &ServerDescription, time: Option<Timestamp>) -> bool {
    time.is_none_or(|time| server.last_write_op_time().is_some_and(|written| written >= time))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{server, topology};
    use super::super::{Criteria, Outcome, ReadPreference, Reason, explain, window};
    use super::*;
    use crate::engine::address::ServerAddress;
    use crate::engine::sdam::{ServerType, TopologyDescription, TopologyType};
    use crate::engine::time::Instant;

    const fn at(time: u32) -> Timestamp {
        Timestamp { time, increment: 1 }
    }

    fn address(name: &str) -> ServerAddress {
        ServerAddress::tcp(name, 27017)
    }

    /// A primary `a` at 30; secondaries `b` at 20, `c` at 10 and `d`, which does not say.
    fn set() -> TopologyDescription {
        let member = |name, kind| server(name).kind(kind).rtt_ms(5);
        let servers = vec![
            member("a", ServerType::RSPrimary).op_time(at(30)).build(),
            member("b", ServerType::RSSecondary).op_time(at(20)).build(),
            member("c", ServerType::RSSecondary).op_time(at(10)).build(),
            member("d", ServerType::RSSecondary).build(),
        ];
        topology(TopologyType::ReplicaSetWithPrimary, servers)
    }

    fn hosts(criteria: &Criteria<'_>) -> String {
        let set = set();
        let servers = window(&set, criteria).unwrap();
        servers.iter().map(|server| server.address.host()).collect()
    }

    // IC-58
    #[test]
    fn an_excluded_server_is_never_chosen_a_deprioritized_one_if_it_must_be() {
        let (primary, nearest) = (ReadPreference::primary(), ReadPreference::nearest());
        let a = [address("a")];
        assert_eq!(hosts(&Criteria { deprioritized: &a, ..Criteria::read(&primary) }), "a");
        assert_eq!(hosts(&Criteria { excluded: &a, ..Criteria::read(&primary) }), "");
        assert_eq!(hosts(&Criteria { excluded: &a, ..Criteria::write() }), "");
        assert_eq!(hosts(&Criteria { excluded: &a, ..Criteria::read(&nearest) }), "bcd");
        let all = ["a", "b", "c", "d"].map(address);
        assert_eq!(hosts(&Criteria { excluded: &all, ..Criteria::read(&nearest) }), "");
        let preferred = ReadPreference::primary_preferred();
        assert_eq!(hosts(&Criteria { excluded: &a, ..Criteria::read(&preferred) }), "bcd");
    }

    // IC-68
    #[test]
    fn servers_behind_the_cluster_time_are_left_out_while_others_are_there() {
        let nearest = ReadPreference::nearest();
        let criteria =
            |time| Criteria { min_cluster_time: Some(at(time)), ..Criteria::read(&nearest) };
        assert_eq!(hosts(&criteria(10)), "abc");
        assert_eq!(hosts(&criteria(11)), "ab");
        assert_eq!(hosts(&criteria(30)), "a");
        assert_eq!(
            hosts(&criteria(31)),
            "abcd",
            "nobody is there yet: as if it were not asked for"
        );
        let second = ReadPreference::secondary_preferred();
        let time = Some(at(25));
        let criteria = Criteria { min_cluster_time: time, ..Criteria::read(&second) };
        assert_eq!(hosts(&criteria), "a", "in time comes before preferred");
        let secondary = ReadPreference::secondary();
        let criteria = Criteria { min_cluster_time: time, ..Criteria::read(&secondary) };
        assert_eq!(hosts(&criteria), "bcd");
        let a = [address("a")];
        let criteria =
            Criteria { excluded: &a, min_cluster_time: time, ..Criteria::read(&nearest) };
        assert_eq!(hosts(&criteria), "bcd", "the exclusion is never ignored");
    }

    // IC-58, IC-68
    #[test]
    fn the_explanation_names_the_filter() {
        let nearest = ReadPreference::nearest();
        let a = [address("a")];
        let criteria =
            Criteria { excluded: &a, min_cluster_time: Some(at(20)), ..Criteria::read(&nearest) };
        let outcomes: Vec<Outcome> = explain(&set(), &criteria, Instant::ZERO)
            .into_iter()
            .map(|verdict| verdict.outcome)
            .collect();
        let behind = Outcome::Because(Reason::BehindClusterTime);
        assert_eq!(
            outcomes,
            [Outcome::Because(Reason::Excluded), Outcome::Suitable, behind.clone(), behind]
        );
    }
}
