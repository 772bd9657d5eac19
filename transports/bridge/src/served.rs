//! One deployment that is served: what of it may be dialled and looked up.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use portolan::ServerAddress;
use portolan_mux::{Question, RecordType, Target};

use crate::address::Networks;
use crate::auth::DEFAULT_DEPLOYMENT;
use crate::members::Members;

/// A deployment that the bridge serves, by name.
#[derive(Clone)]
pub struct Served {
    /// What clients call it: the last part of a path, an entry of a token's `deployments`.
    pub name: String,
    /// What may be dialled.
    pub members: Arc<dyn Members>,
    /// The connection string, whose harmless parts pages are given.
    pub uri: String,
    /// What may be dialled besides.
    pub targets: Vec<TargetPattern>,
    /// The addresses beside public ones that all of those may have.
    pub networks: Networks,
    /// The domains whose SRV and TXT records clients may look up.
    pub look_ups: Vec<String>,
}

impl Served {
    /// The one deployment without a name: its members, at public addresses, and nothing else.
    pub fn new(members: Arc<dyn Members>, uri: &str) -> Self {
        Self {
            name: DEFAULT_DEPLOYMENT.to_owned(),
            members,
            uri: uri.to_owned(),
            targets: Vec::new(),
            networks: Networks::default(),
            look_ups: Vec::new(),
        }
    }

    /// Whether `target` may be dialled, should its address be fine.
    pub(crate) fn check_target(&self, target: &Target) -> Result<(), String> {
        if self.targets.iter().any(|pattern| pattern.matches(target)) {
            return Ok(());
        }
        self.members.check(&ServerAddress::tcp(target.host(), target.port()))
    }

    /// Whether `target`, which resolved to `address`, may be dialled there.
    pub(crate) fn allows_address(&self, target: &Target, address: IpAddr) -> bool {
        // Who allows a literal address means that address.
        let literal = target.host().parse::<IpAddr>() == Ok(address)
            && self.targets.iter().any(|pattern| pattern.is_exactly(target));
        literal || self.networks.allows(address)
    }

    /// Whether the configuration has the name of `question`: `_service._tcp.DOMAIN` for SRV, as the
    /// driver asks, and the domain itself for TXT.
    pub(crate) fn may_look_up(&self, question: &Question) -> bool {
        let name = question.name().trim_end_matches('.');
        let domain = match question.record_type() {
            RecordType::Txt => Some(name),
            RecordType::Srv => name
                .split_once('.')
                .filter(|(service, _)| service.starts_with('_'))
                .and_then(|(_, rest)| rest.strip_prefix("_tcp.")),
        };
        domain.is_some_and(|domain| self.look_ups.iter().any(|known| known == domain))
    }
}

/// Hosts and ports that may be dialled: `db.example:27017`, `*.db.example:27017-27019`,
/// `[fd00::1]:27017`, `db.example:*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetPattern {
    /// In lower case.
    host: String,
    /// Whether names below `host` are meant, and not itself.
    below: bool,
    ports: RangeInclusive<u16>,
}

impl TargetPattern {
    fn matches(&self, target: &Target) -> bool {
        let host = target.host();
        let host_fits = if self.below {
            host.strip_suffix(&*self.host).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        } else {
            host == self.host
        };
        host_fits && self.ports.contains(&target.port())
    }

    fn is_exactly(&self, target: &Target) -> bool {
        !self.below && self.matches(target)
    }
}

impl FromStr for TargetPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" is no target; write it as db.example:27017, *.db.example:27017 or \
                 db.example:27017-27019"
            )
        };
        let (host, ports) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
        let ports = match ports.split_once('-') {
            _ if ports == "*" => Some(1..=u16::MAX),
            Some((first, last)) => port(first).zip(port(last)).map(|(first, last)| first..=last),
            None => port(ports).map(|port| port..=port),
        };
        let ports = ports.filter(|ports| !ports.is_empty()).ok_or_else(wrong)?;
        let (host, below) = match host.strip_prefix("*.") {
            Some(host) => (host, true),
            None => (host, false),
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        // A colon needs its brackets: else the last group would be a port.
        if host.contains(':') && bare.len() == host.len() {
            return Err(wrong());
        }
        let host = Target::new(bare, 1).map_err(|_| wrong())?.host().to_owned();
        Ok(Self { host, below, ports })
    }
}

impl fmt::Debug for Served {
    /// Without the connection string, which may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served")
            .field("name", &self.name)
            .field("targets", &self.targets)
            .field("networks", &self.networks)
            .field("look_ups", &self.look_ups)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::members::FixedMembers;

    fn pattern(text: &str) -> TargetPattern {
        text.parse().unwrap()
    }

    fn target(host: &str, port: u16) -> Target {
        Target::new(host, port).unwrap()
    }

    #[test]
    fn patterns_match_what_they_say_and_nothing_near_it() {
        let one = pattern("DB.example:27017");
        assert!(one.matches(&target("db.Example", 27017)));
        assert!(!one.matches(&target("db.example", 27018)));
        assert!(!one.matches(&target("a.db.example", 27017)));
        let below = pattern("*.db.example:27017-27019");
        assert!(below.matches(&target("a.db.example", 27017)));
        assert!(below.matches(&target("a.b.db.example", 27019)));
        for host in ["db.example", ".db.example", "evildb.example", "a.db.example.evil"] {
            assert!(!below.matches(&target(host, 27017)), "{host}");
        }
        assert!(!below.matches(&target("a.db.example", 27020)));
        assert!(pattern("a:*").matches(&target("a", 1)));
        assert!(pattern("[FD00::1]:5").matches(&target("fd00::1", 5)));
        for bad in ["", "a", ":1", "a:0", "a:x", "a:2-1", "a:1-", "*:1", "*.:1", "::1:5", "a b:1"] {
            assert!(bad.parse::<TargetPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_literal_target_is_allowed_at_its_address_only() {
        let mut served = Served::new(Arc::new(FixedMembers(<_>::default())), "mongodb://a");
        served.targets = vec![pattern("127.0.0.1:5"), pattern("name.example:5")];
        let allows =
            |host, address: [u8; 4]| served.allows_address(&target(host, 5), IpAddr::from(address));
        assert!(allows("127.0.0.1", [127, 0, 0, 1]));
        assert!(!allows("127.0.0.1", [127, 0, 0, 2]));
        assert!(!allows("name.example", [127, 0, 0, 1]));
        assert!(allows("name.example", [8, 8, 8, 8]));
    }

    #[test]
    fn only_configured_names_are_looked_up() {
        let mut served = Served::new(Arc::new(FixedMembers(<_>::default())), "mongodb://a");
        served.look_ups = vec!["cluster.example".to_owned()];
        let may =
            |name, record_type| served.may_look_up(&Question::new(name, record_type).unwrap());
        assert!(may("_mongodb._tcp.cluster.example", RecordType::Srv));
        assert!(may("_custom._tcp.Cluster.Example.", RecordType::Srv));
        assert!(may("cluster.example", RecordType::Txt));
        for name in ["cluster.example", "x._tcp.cluster.example", "_a._udp.cluster.example"] {
            assert!(!may(name, RecordType::Srv), "{name}");
        }
        assert!(!may("_mongodb._tcp.other.example", RecordType::Srv));
        assert!(!may("sub.cluster.example", RecordType::Txt));
    }
}
