//! Questions about one belief, answered without waiting.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::server::{ServerDescription, ServerType};
use super::topology::{TopologyDescription, TopologyType};
use crate::engine::address::ServerAddress;
use crate::engine::selection;

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

    /// The servers that answered the last time that they were asked, in the order of their
    /// addresses.
    pub fn known_servers(&self) -> impl Iterator<Item = &Arc<ServerDescription>> {
        self.servers.values().filter(|server| server.server_type.is_known())
    }

    /// The secondaries that are known, in the order of their addresses.
    pub fn secondaries(&self) -> impl Iterator<Item = &Arc<ServerDescription>> {
        self.servers.values().filter(|server| server.server_type == ServerType::RSSecondary)
    }

    /// Whether a write would find a server now ("hasWritableServer").
    pub fn has_writable_server(&self) -> bool {
        selection::has_writable_server(self)
    }

    /// Whether its servers are monitored at all: a load balancer is not (load-balancers
    /// "Monitoring").
    pub fn is_monitored(&self) -> bool {
        self.topology_type != TopologyType::LoadBalanced
    }

    /// Whether all servers were removed, because none of them belongs here. No check will bring one
    /// back; only new SRV records can.
    pub fn is_deserted(&self) -> bool {
        self.servers.is_empty() && !self.left_out.is_empty()
    }

    /// The average round-trip time of the server; `None` until it was measured.
    pub fn ping_time(&self, address: &ServerAddress) -> Option<Duration> {
        self.server(address)?.round_trip_time
    }

    /// The least of the wire versions that known servers speak at least; 0 when none is known.
    pub fn min_wire_version(&self) -> i32 {
        self.known_servers().map(|server| server.reply.min_wire_version).min().unwrap_or(0)
    }

    /// The greatest of the wire versions that known servers speak at most; [`i32::MAX`] when none
    /// is known.
    pub fn max_wire_version(&self) -> i32 {
        self.known_servers().map(|server| server.reply.max_wire_version).max().unwrap_or(i32::MAX)
    }

    /// The deployment in a word: `rs0/a:27017,b:27017`; without a set's name, the hosts alone.
    pub fn server_address(&self) -> String {
        named_hosts(self.set_name.as_deref(), self.servers.keys())
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

    // MT-10, MT-38
    #[test]
    fn servers_by_what_they_are() {
        let mut topology = topology(vec![
            server("c", ServerType::RSSecondary, (0, 21)),
            server("a", ServerType::RSSecondary, (0, 21)),
            server("b", ServerType::RSPrimary, (0, 21)),
            server("d", ServerType::RSArbiter, (0, 21)),
            server("e", ServerType::Unknown, (0, 0)),
        ]);
        topology.topology_type = TopologyType::ReplicaSetWithPrimary;
        fn names<'s>(servers: impl Iterator<Item = &'s Arc<ServerDescription>>) -> String {
            servers.map(|server| server.address.host()).collect()
        }
        assert_eq!(names(topology.servers.values()), "abcde");
        assert_eq!(names(topology.known_servers()), "abcd");
        assert_eq!(names(topology.secondaries()), "ac");
        assert_eq!(names(topology.primary().into_iter()), "b");
        assert!(topology.has_writable_server() && topology.is_monitored());
        topology.topology_type = TopologyType::ReplicaSetNoPrimary;
        topology.servers.remove(&address("b"));
        assert!(!topology.has_writable_server() && topology.primary().is_none());
        topology.topology_type = TopologyType::LoadBalanced;
        assert!(!topology.is_monitored());
    }

    // MT-11: beside those of Pharo, the types that it does not have.
    #[test]
    fn steady_is_what_needs_no_haste() {
        use TopologyType as T;
        let with = |topology_type, kind| {
            let mut topology = topology(vec![server("a", kind, (0, 21))]);
            topology.topology_type = topology_type;
            topology.is_steady()
        };
        assert!(with(T::Single, ServerType::Standalone));
        assert!(with(T::ReplicaSetWithPrimary, ServerType::RSPrimary));
        assert!(with(T::Sharded, ServerType::Mongos));
        assert!(with(T::LoadBalanced, ServerType::LoadBalancer));
        for crisis in [T::Unknown, T::ReplicaSetNoPrimary, T::Single, T::Sharded] {
            assert!(!with(crisis, ServerType::Unknown), "{crisis}");
        }
        assert!(!with(T::ReplicaSetNoPrimary, ServerType::RSSecondary));
    }
}
