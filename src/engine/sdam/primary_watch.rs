//! When the primary has changed, and when a set's configuration seems to have gone back: derived
//! from the events of a topology, for the log.

use std::time::Duration;

use super::notice::EventKind;
use super::topology::TopologyDescription;
use crate::engine::address::ServerAddress;
use crate::engine::time::Instant;

/// Another server is the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrimaryChange {
    /// Who was it before.
    pub previous: ServerAddress,
    /// Who is it now.
    pub new: ServerAddress,
    /// For how long the one before had been it, with the time in which nobody was.
    pub since: Duration,
}

/// Watches who the primary is.
#[derive(Clone, Debug, Default)]
pub struct PrimaryWatch {
    /// The latest primary, and since when it is known as such.
    latest: Option<(ServerAddress, Instant)>,
}

impl PrimaryWatch {
    /// Whether `event`, which happened at `at`, says that another server is the primary than the
    /// one before. The first primary is no change, and neither is one that comes back.
    pub fn apply(&mut self, at: Instant, event: &EventKind) -> Option<PrimaryChange> {
        let EventKind::TopologyDescriptionChanged { new, .. } = event else { return None };
        let primary = &new.primary()?.address;
        match &self.latest {
            Some((same, _)) if same == primary => None,
            _ => {
                let (previous, known) = self.latest.replace((primary.clone(), at))?;
                Some(PrimaryChange { previous, new: primary.clone(), since: at - known })
            }
        }
    }
}

/// The set's greatest configuration version before and after, where it has become less: a newer
/// election whose primary has an older configuration (servers from 6.0 on).
pub fn set_version_rollback(
    previous: &TopologyDescription,
    new: &TopologyDescription,
) -> Option<(i64, i64)> {
    let versions = (previous.max_set_version?, new.max_set_version?);
    (versions.1 < versions.0).then_some(versions)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bson::oid::ObjectId;

    use super::*;
    use crate::engine::hello::HelloReply;
    use crate::engine::sdam::{ServerDescription, TopologyType, update};

    fn unknown(names: &[&str]) -> TopologyDescription {
        let mut topology = TopologyDescription::empty();
        topology.topology_type = TopologyType::ReplicaSetNoPrimary;
        for name in names {
            let address = ServerAddress::tcp(name, 27017);
            let server = Arc::new(ServerDescription::unknown(address.clone()));
            topology.servers.insert(address, server);
        }
        topology
    }

    fn primary(name: &str, election: u8, set_version: i64) -> ServerDescription {
        let hosts = ["a", "b"].map(|name| ServerAddress::tcp(name, 27017));
        let reply = HelloReply {
            is_writable_primary: true,
            set_name: Some("rs".to_owned()),
            hosts: hosts.to_vec(),
            election_id: Some(ObjectId::from_bytes([election; 12])),
            set_version: Some(set_version),
            max_wire_version: 21,
            ..HelloReply::default()
        };
        ServerDescription::from_reply(ServerAddress::tcp(name, 27017), reply, Instant::ZERO)
    }

    fn change(previous: &TopologyDescription, new: &TopologyDescription) -> EventKind {
        let (previous, new) = (Arc::new(previous.clone()), Arc::new(new.clone()));
        EventKind::TopologyDescriptionChanged { previous, new }
    }

    // IC-55, IC-118
    #[test]
    fn another_primary_is_a_change_with_the_time_since_the_last() {
        let start = unknown(&["a", "b"]);
        let a = update(&start, primary("a", 1, 1), 2);
        let lost = update(&a, ServerDescription::unknown(ServerAddress::tcp("a", 27017)), 2);
        let b = update(&lost, primary("b", 2, 1), 2);
        let again = update(&b, primary("a", 3, 1), 2);
        let mut watch = PrimaryWatch::default();
        let mut at = |second: u64, previous, new| {
            let change =
                watch.apply(Instant::from_millis(second * 1_000), &change(previous, new))?;
            Some((change.previous.to_string(), change.new.to_string(), change.since.as_secs()))
        };
        let changed = |from: &str, to: &str, after| Some((from.to_owned(), to.to_owned(), after));
        assert_eq!(at(1, &start, &a), None, "the first one");
        assert_eq!(at(5, &a, &lost), None);
        assert_eq!(at(6, &lost, &a), None, "it came back");
        assert_eq!(at(7, &a, &lost), None);
        assert_eq!(at(9, &lost, &b), changed("a:27017", "b:27017", 8));
        assert_eq!(at(10, &b, &again), changed("b:27017", "a:27017", 1), "without a gap");
        assert_eq!(at(11, &again, &TopologyDescription::empty()), None, "closed");
        assert_eq!(watch.apply(Instant::ZERO, &EventKind::TopologyClosed), None);
    }

    // IC-55, IC-88, IC-118
    #[test]
    fn an_older_configuration_of_a_newer_election_is_a_rollback() {
        let start = unknown(&["a", "b"]);
        let at_five = update(&start, primary("a", 1, 5), 2);
        let at_six = update(&at_five, primary("a", 1, 6), 2);
        let back = update(&at_six, primary("b", 2, 4), 2);
        assert_eq!(back.primary().map(|server| server.address.host()), Some("b"));
        assert_eq!(set_version_rollback(&start, &at_five), None);
        assert_eq!(set_version_rollback(&at_five, &at_six), None);
        assert_eq!(set_version_rollback(&at_six, &back), Some((6, 4)));
        assert_eq!(set_version_rollback(&back, &TopologyDescription::empty()), None);
    }
}
