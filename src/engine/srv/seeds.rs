//! Which hosts of the records become seeds.

use std::time::Duration;

use super::{SrvError, SrvRecord, query_name, verify};
use crate::engine::address::ServerAddress;
use crate::engine::rng::Rng;

/// The seeds that SRV records give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds {
    /// The hosts, at least one.
    pub hosts: Vec<ServerAddress>,
    /// The least time that a record may be kept; zero where that is not known.
    pub ttl: Duration,
}

/// The seeds of who asked for `host`: all, or `max_hosts` of them at random where there are more
/// and it is not 0.
///
/// # Errors
///
/// There is no record, or one of them must not be used.
pub fn seeds(
    service: &str,
    host: &str,
    records: &[SrvRecord],
    max_hosts: usize,
    rng: &mut Rng,
) -> Result<Seeds, SrvError> {
    let verified = verify(service, host, records);
    if let Some(error) = verified.refused.into_iter().next() {
        return Err(error);
    }
    if verified.hosts.is_empty() {
        return Err(SrvError::NoRecords { name: query_name(service, host) });
    }
    let most = if max_hosts == 0 { usize::MAX } else { max_hosts };
    Ok(Seeds { hosts: choose(verified.hosts, most, rng), ttl: least_ttl(records) })
}

/// At most `most` of `hosts`, chosen at random (SRV-06: Fisher-Yates); all in their order where
/// there are no more.
pub fn choose(mut hosts: Vec<ServerAddress>, most: usize, rng: &mut Rng) -> Vec<ServerAddress> {
    if hosts.len() > most {
        rng.shuffle(&mut hosts);
        hosts.truncate(most);
    }
    hosts
}

/// The least time that one of `records` may be kept; zero where there is none.
pub(crate) fn least_ttl(records: &[SrvRecord]) -> Duration {
    records.iter().map(|record| record.ttl).min().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn records(count: u16) -> Vec<SrvRecord> {
        let ttl = |n| Duration::from_secs(100 - u64::from(n));
        (0..count)
            .map(|n| SrvRecord { host: format!("h{n}.b.c."), port: 27017 + n, ttl: ttl(n) })
            .collect()
    }

    fn chosen(most: usize, seed: u64) -> Vec<ServerAddress> {
        let mut rng = Rng::seeded(seed);
        seeds("mongodb", "a.b.c", &records(3), most, &mut rng).unwrap().hosts
    }

    // SRV-06
    #[test]
    fn as_many_hosts_as_are_wanted_are_chosen_at_random() {
        assert_eq!(chosen(0, 1), chosen(3, 2));
        assert_eq!(chosen(0, 1), chosen(4, 3));
        assert_eq!(chosen(0, 1).len(), 3);
        let pairs: BTreeSet<Vec<_>> = (0..200).map(|seed| chosen(2, seed)).collect();
        assert_eq!(pairs.len(), 6, "every ordered pair of three is drawn: {pairs:?}");
        assert!(pairs.iter().all(|pair| pair.len() == 2 && pair[0] != pair[1]));
    }

    // SRV-04
    #[test]
    fn no_record_is_an_error_that_names_what_was_asked() {
        let error = seeds("mongodb", "a.b.c", &[], 0, &mut Rng::seeded(1)).unwrap_err();
        assert_eq!(error, SrvError::NoRecords { name: "_mongodb._tcp.a.b.c".into() });
        assert!(error.to_string().contains("_mongodb._tcp.a.b.c has no SRV records"), "{error}");
    }

    // SRV-05
    #[test]
    fn one_foreign_host_spoils_all() {
        let mut records = records(2);
        records[1].host = "evil.c".into();
        let error = seeds("mongodb", "a.b.c", &records, 1, &mut Rng::seeded(1)).unwrap_err();
        assert!(matches!(&error, SrvError::ForeignHost { target, .. } if target == "evil.c"));
    }

    // SRV-09
    #[test]
    fn the_least_time_to_live_counts_and_equal_records_count_once() {
        let mut twice = records(2);
        twice.extend(records(3));
        let seeds = seeds("mongodb", "a.b.c", &twice, 0, &mut Rng::seeded(1)).unwrap();
        assert_eq!(seeds.hosts.len(), 3);
        assert_eq!(seeds.ttl, Duration::from_secs(98));
    }
}
