//! What is asked of DNS, and which answers belong to it.

use super::{SrvError, SrvRecord};
use crate::engine::address::{ServerAddress, lower_case};

/// What is asked for: `_mongodb._tcp.cluster.example.com`.
pub fn query_name(service: &str, host: &str) -> String {
    format!("_{service}._tcp.{}", plain(host))
}

/// The hosts of SRV records, by whether they may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Those that belong to the domain, each once, in the order of the records.
    pub hosts: Vec<ServerAddress>,
    /// Why each of the others is refused.
    pub refused: Vec<SrvError>,
}

/// Sorts out which hosts of `records` may be used by who asked for `host`.
///
/// "A driver MUST verify that the host names returned through SRV records share the original SRV's
/// `{domainname}`": all of a host name of one or two parts, of a longer one all but the first part.
pub fn verify(service: &str, host: &str, records: &[SrvRecord]) -> Verified {
    let name = query_name(service, host);
    let host = plain(host);
    let domain = domain(&host);
    let mut verified = Verified::default();
    for record in records {
        let target = plain(&record.host);
        if target.is_empty() || record.port == 0 {
            let target = format!("{}:{}", record.host, record.port);
            verified.refused.push(SrvError::NoServer { name: name.clone(), target });
        } else if !is_below(&target, domain) {
            let (name, domain) = (name.clone(), domain.to_owned());
            verified.refused.push(SrvError::ForeignHost { name, target, domain });
        } else {
            let address = ServerAddress::tcp(&target, record.port);
            if !verified.hosts.contains(&address) {
                verified.hosts.push(address);
            }
        }
    }
    verified
}

/// The `{domainname}` of a host name.
fn domain(host: &str) -> &str {
    match host.split_once('.') {
        Some((_subdomain, domain)) if domain.contains('.') => domain,
        _ => host,
    }
}

/// Whether `target` has all parts of `domain` at its end, and at least one more.
fn is_below(target: &str, domain: &str) -> bool {
    let parent = target.strip_suffix(domain).and_then(|rest| rest.strip_suffix('.'));
    parent.is_some_and(|parent| parent.split('.').all(|part| !part.is_empty()))
}

/// A host name in lower case, without the dot of the root.
fn plain(host: &str) -> String {
    lower_case(host.strip_suffix('.').unwrap_or(host))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn check(host: &str, target: &str) -> Verified {
        let ttl = Duration::from_secs(60);
        verify("mongodb", host, &[SrvRecord { host: target.to_owned(), port: 27017, ttl }])
    }

    fn refusal(host: &str, target: &str) -> SrvError {
        let mut verified = check(host, target);
        assert!(verified.hosts.is_empty(), "{target} is taken for {host}");
        verified.refused.remove(0)
    }

    fn foreign(name: &str, target: &str, domain: &str) -> SrvError {
        SrvError::ForeignHost {
            name: name.to_owned(),
            target: target.to_owned(),
            domain: domain.to_owned(),
        }
    }

    // SRV-03
    #[test]
    fn the_query_names_service_and_protocol() {
        assert_eq!(query_name("mongodb", "A.example.com."), "_mongodb._tcp.a.example.com");
        assert_eq!(query_name("custom", "localhost"), "_custom._tcp.localhost");
    }

    // SRV-05, prose test 1
    #[test]
    fn fewer_than_three_parts_are_no_error() {
        assert_eq!(
            check("localhost", "a.localhost.").hosts,
            [ServerAddress::tcp("a.localhost", 27017)]
        );
        assert_eq!(check("mongo.local", "a.Mongo.local").refused, []);
        assert_eq!(check("x.tests.mongodb.co.uk", "y.tests.mongodb.co.uk").refused, []);
        assert_eq!(check("x.example.com", "deep.down.example.com").refused, []);
    }

    // SRV-05, prose test 2
    #[test]
    fn another_domain_is_refused() {
        let name = "_mongodb._tcp.localhost";
        let (target, domain) = ("localhost.mongodb", "localhost");
        assert_eq!(refusal("localhost", target), foreign(name, target, domain));
        let name = "_mongodb._tcp.mongo.local";
        let (target, domain) = ("test_1.evil.local", "mongo.local");
        assert_eq!(refusal("mongo.local", target), foreign(name, target, domain));
        let name = "_mongodb._tcp.blogs.mongodb.com";
        let (target, domain) = ("blogs.evil.com", "mongodb.com");
        assert_eq!(refusal("blogs.mongodb.com", target), foreign(name, target, domain));
    }

    // SRV-05, prose test 3
    #[test]
    fn the_host_itself_is_refused_where_it_has_no_subdomain() {
        let name = "_mongodb._tcp.localhost";
        assert_eq!(refusal("localhost", "localhost"), foreign(name, "localhost", "localhost"));
        let name = "_mongodb._tcp.mongo.local";
        let refused = foreign(name, "mongo.local", "mongo.local");
        assert_eq!(refusal("mongo.local", "mongo.local"), refused);
    }

    // SRV-05, prose test 4
    #[test]
    fn a_domain_that_only_ends_alike_is_refused() {
        refusal("localhost", "test_1.cluster_1localhost");
        refusal("mongo.local", "test_1.my_hostmongo.local");
        refusal("blogs.mongodb.com", "cluster.testmongodb.com");
        refusal("mongo.local", ".mongo.local");
        refusal("mongo.local", "a..mongo.local");
    }

    #[test]
    fn a_record_that_names_no_server_is_refused() {
        let no_service = SrvRecord { host: ".".into(), port: 0, ttl: Duration::ZERO };
        let refused = verify("mongodb", "a.b.c", &[no_service]).refused;
        let expected =
            SrvError::NoServer { name: "_mongodb._tcp.a.b.c".into(), target: ".:0".into() };
        assert_eq!(refused, [expected]);
    }
}
