//! Questions about one belief, answered without waiting.

use std::fmt::Write as _;
use std::time::Duration;

use super::server::{ServerDescription, ServerType};
use super::topology::TopologyDescription;
use crate::engine::address::ServerAddress;

impl TopologyDescription {
    /// Whether the server is the primary.
    pub fn is_primary(&self, address: &ServerAddress) -> bool {
        self.server(address).is_some_and(|server| server.server_type == ServerType::RSPrimary)
    }

    /// Whether the server answered the last time that it was asked.
    pub fn is_host_up(&self, address: &ServerAddress) -> bool {
        self.server(address).is_some_and(|server| server.server_type.is_known())
    }

    /// Whether the server belongs to the deployment.
    pub fn contains(&self, address: &ServerAddress) -> bool {
        self.servers.contains_key(address)
    }

    /// Whether a primary is known.
    pub fn has_known_primary(&self) -> bool {
        self.primary().is_some()
    }

    /// The average round-trip time of the server; `None` until it was measured.
    pub fn ping_time(&self, address: &ServerAddress) -> Option<Duration> {
        self.server(address)?.round_trip_time
    }

    /// The least of the wire versions that known servers speak at least; 0 when none is known.
    pub fn min_wire_version(&self) -> i32 {
        self.known().map(|server| server.reply.min_wire_version).min().unwrap_or(0)
    }

    /// The greatest of the wire versions that known servers speak at most; [`i32::MAX`] when none
    /// is known.
    pub fn max_wire_version(&self) -> i32 {
        self.known().map(|server| server.reply.max_wire_version).max().unwrap_or(i32::MAX)
    }

    /// The deployment in a word: `rs0/a:27017,b:27017`; without a set's name, the hosts alone.
    pub fn server_address(&self) -> String {
        named_hosts(self.set_name.as_deref(), self.servers.keys())
    }

    fn known(&self) -> impl Iterator<Item = &ServerDescription> {
        let known = |server: &&ServerDescription| server.server_type.is_known();
        self.servers.values().map(|server| &**server).filter(known)
    }
}

/// `name/host,host`
pub(super) fn named_hosts<'h>(
    name: Option<&str>,
    hosts: impl IntoIterator<Item = &'h ServerAddress>,
) -> String {
    let mut text = name.map_or_else(String::new, |name| format!("{name}/"));
    for (i, host) in hosts.into_iter().enumerate() {
        // Writing to a String does not fail.
        let _ = write!(text, "{}{host}", if i == 0 { "" } else { "," });
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::hello::HelloReply;

    fn address(name: &str) -> ServerAddress {
        ServerAddress::tcp(name, 27017)
    }

    fn server(name: &str, server_type: ServerType, versions: (i32, i32)) -> ServerDescription {
        let mut reply = HelloReply::default();
        (reply.min_wire_version, reply.max_wire_version) = versions;
        let unknown = ServerDescription::unknown(address(name));
        ServerDescription { server_type, reply: Arc::new(reply), ..unknown }
    }

    fn topology(servers: Vec<ServerDescription>) -> TopologyDescription {
        let servers = servers.into_iter().map(|s| (s.address.clone(), Arc::new(s))).collect();
        let set_name = Some("rs0".to_owned());
        TopologyDescription { set_name, servers, ..TopologyDescription::empty() }
    }

    // IC-64
    #[test]
    fn who_is_up_and_who_is_primary() {
        let mut a = server("a", ServerType::RSPrimary, (0, 21));
        a.round_trip_time = Some(Duration::from_millis(5));
        let topology = topology(vec![a, server("b", ServerType::Unknown, (0, 0))]);
        let [a, b, c] = ["a", "b", "c"].map(address);
        let answers =
            |host| (topology.contains(host), topology.is_host_up(host), topology.is_primary(host));
        assert_eq!(answers(&a), (true, true, true));
        assert_eq!(answers(&b), (true, false, false));
        assert_eq!(answers(&c), (false, false, false));
        assert!(topology.has_known_primary());
        assert!(!TopologyDescription::empty().has_known_primary());
        assert_eq!(topology.ping_time(&a), Some(Duration::from_millis(5)));
        assert_eq!((topology.ping_time(&b), topology.ping_time(&c)), (None, None));
    }

    // IC-65
    #[test]
    fn wire_versions_are_those_of_known_servers() {
        let none = topology(vec![server("a", ServerType::Unknown, (3, 4))]);
        assert_eq!((none.min_wire_version(), none.max_wire_version()), (0, i32::MAX));
        let some = topology(vec![
            server("a", ServerType::RSPrimary, (6, 13)),
            server("b", ServerType::RSSecondary, (7, 17)),
            server("c", ServerType::Unknown, (0, 21)),
        ]);
        assert_eq!((some.min_wire_version(), some.max_wire_version()), (6, 17));
    }

    // IC-66
    #[test]
    fn the_deployment_in_a_word() {
        let mut topology = topology(vec![
            server("b", ServerType::Unknown, (0, 0)),
            server("a", ServerType::RSPrimary, (0, 21)),
        ]);
        assert_eq!(topology.server_address(), "rs0/a:27017,b:27017");
        topology.set_name = None;
        assert_eq!(topology.server_address(), "a:27017,b:27017");
        assert_eq!(TopologyDescription::empty().server_address(), "");
    }
}
