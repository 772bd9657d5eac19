//! What becomes of a replica set as a whole: found, possibly changed, confirmed by its primary,
//! dropped.
//!
//! [`SetWatch`] derives it from the events of a topology, for those who keep the list of a set's
//! hosts elsewhere (a configuration, a router's catalogue) and do not care for single servers.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::notice::EventKind;
use super::queries::named_hosts;
use super::topology::{TopologyDescription, TopologyType};
use crate::engine::address::ServerAddress;

/// What a replica set consists of, as far as clients can reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SetState {
    /// The set's name and hosts: `rs0/a:27017,b:27017`.
    pub connection_string: String,
    /// The primary, where it is known.
    pub primary: Option<ServerAddress>,
    /// Members that can never become primary, by the primary's word.
    pub passives: Vec<ServerAddress>,
    /// Greater in each state than in all before it.
    pub generation: u64,
}

/// What happened to a replica set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum SetChange {
    /// The set's name is known: from the options, or from the first member that answered.
    Found {
        /// The set's name.
        name: String,
    },
    /// The set changed while no primary is known: the hosts are those that were confirmed last, or
    /// those that answer.
    Possible {
        /// The set's name.
        name: String,
        /// The set as far as it is known.
        state: Arc<SetState>,
    },
    /// The primary told what the set consists of, and it is not what was told last.
    Confirmed {
        /// The set's name.
        name: String,
        /// The set by the primary's word.
        state: Arc<SetState>,
    },
    /// Nobody watches the set any more: the last change.
    Dropped {
        /// The set's name.
        name: String,
    },
}

impl SetChange {
    /// The set's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Found { name }
            | Self::Possible { name, .. }
            | Self::Confirmed { name, .. }
            | Self::Dropped { name } => name,
        }
    }

    /// The state after the change, where it is known.
    pub fn state(&self) -> Option<&Arc<SetState>> {
        match self {
            Self::Possible { state, .. } | Self::Confirmed { state, .. } => Some(state),
            Self::Found { .. } | Self::Dropped { .. } => None,
        }
    }
}

impl fmt::Display for SetChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found { name } => write!(f, "set {name} found"),
            Self::Possible { state, .. } => write!(f, "possibly {}", state.connection_string),
            Self::Confirmed { state, .. } => write!(f, "confirmed {}", state.connection_string),
            Self::Dropped { name } => write!(f, "set {name} dropped"),
        }
    }
}

/// Derives the changes of one set from the events of one topology.
#[derive(Clone, Debug, Default)]
pub struct SetWatch {
    /// The change told last.
    latest: Option<SetChange>,
    /// The hosts that a primary named last.
    confirmed: Option<Confirmed>,
    generation: u64,
}

#[derive(Clone, Debug)]
struct Confirmed {
    connection_string: String,
    passives: Vec<ServerAddress>,
}

impl SetWatch {
    /// A watch that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The change told last: where somebody who comes late begins.
    pub fn latest(&self) -> Option<&SetChange> {
        self.latest.as_ref()
    }

    /// The changes that follow from `event`, in their order.
    pub fn apply(&mut self, event: &EventKind) -> Vec<SetChange> {
        let changes = match event {
            EventKind::TopologyDescriptionChanged { new, .. } => self.look(new),
            EventKind::TopologyClosed => self.end(),
            _ => Vec::new(),
        };
        if let Some(last) = changes.last() {
            self.latest = Some(last.clone());
        }
        changes
    }

    fn look(&mut self, topology: &TopologyDescription) -> Vec<SetChange> {
        let set = matches!(
            topology.topology_type,
            TopologyType::ReplicaSetNoPrimary | TopologyType::ReplicaSetWithPrimary
        );
        let Some(name) = topology.set_name.as_ref().filter(|_| set) else { return Vec::new() };
        let mut changes = Vec::new();
        if self.latest.is_none() {
            changes.push(SetChange::Found { name: name.clone() });
        }
        changes.extend(match topology.primary() {
            Some(_) => self.confirm(name, topology),
            None => self.suppose(name, topology),
        });
        changes
    }

    fn confirm(&mut self, name: &str, topology: &TopologyDescription) -> Option<SetChange> {
        let primary = topology.primary()?;
        let hosts = primary.reply.hosts.iter().chain(&primary.reply.passives);
        let connection_string = named_hosts(Some(name), hosts);
        let passives = primary.reply.passives.clone();
        let address = Some(primary.address.clone());
        self.confirmed = Some(Confirmed { connection_string, passives });
        let same = |state: &SetState, confirmed: &Confirmed| {
            state.connection_string == confirmed.connection_string
                && state.passives == confirmed.passives
                && state.primary == address
        };
        if let (Some(SetChange::Confirmed { state, .. }), Some(confirmed)) =
            (&self.latest, &self.confirmed)
            && same(state, confirmed)
        {
            return None;
        }
        let state = self.state_of_confirmed(address)?;
        Some(SetChange::Confirmed { name: name.to_owned(), state })
    }

    fn suppose(&mut self, name: &str, topology: &TopologyDescription) -> Option<SetChange> {
        let state = if self.confirmed.is_some() {
            if matches!(self.latest, Some(SetChange::Possible { .. })) {
                return None;
            }
            self.state_of_confirmed(None)?
        } else {
            let routable =
                topology.servers.values().filter(|server| server.server_type.is_data_bearing());
            let hosts: Vec<_> = routable.map(|server| &server.address).collect();
            if hosts.is_empty() {
                return None;
            }
            let connection_string = named_hosts(Some(name), hosts);
            let told = self.latest.as_ref().and_then(SetChange::state);
            if told.is_some_and(|told| told.connection_string == connection_string) {
                return None;
            }
            self.next_state(connection_string, None, Vec::new())
        };
        Some(SetChange::Possible { name: name.to_owned(), state })
    }

    fn state_of_confirmed(&mut self, primary: Option<ServerAddress>) -> Option<Arc<SetState>> {
        let Confirmed { connection_string, passives } = self.confirmed.clone()?;
        Some(self.next_state(connection_string, primary, passives))
    }

    fn next_state(
        &mut self,
        connection_string: String,
        primary: Option<ServerAddress>,
        passives: Vec<ServerAddress>,
    ) -> Arc<SetState> {
        self.generation += 1;
        let generation = self.generation;
        Arc::new(SetState { connection_string, primary, passives, generation })
    }

    fn end(&self) -> Vec<SetChange> {
        match &self.latest {
            None | Some(SetChange::Dropped { .. }) => Vec::new(),
            Some(latest) => vec![SetChange::Dropped { name: latest.name().to_owned() }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::hello::HelloReply;
    use crate::engine::sdam::{ServerDescription, ServerType};

    fn address(name: &str) -> ServerAddress {
        ServerAddress::tcp(name, 1)
    }

    fn addresses(names: &str) -> Vec<ServerAddress> {
        names.split_terminator(' ').map(address).collect()
    }

    /// A set with these servers; the primary names `hosts` and `passives`.
    fn set(servers: &[(&str, ServerType)], hosts: &str, passives: &str) -> EventKind {
        let describe = |(name, server_type): &(&str, ServerType)| {
            let mut reply = HelloReply::default();
            if *server_type == ServerType::RSPrimary {
                (reply.hosts, reply.passives) = (addresses(hosts), addresses(passives));
            }
            let unknown = ServerDescription::unknown(address(name));
            let reply = Arc::new(reply);
            let known = ServerDescription { server_type: *server_type, reply, ..unknown };
            (address(name), Arc::new(known))
        };
        let primary = servers.iter().any(|(_, kind)| *kind == ServerType::RSPrimary);
        changed(TopologyDescription {
            topology_type: match primary {
                true => TopologyType::ReplicaSetWithPrimary,
                false => TopologyType::ReplicaSetNoPrimary,
            },
            set_name: Some("rs0".to_owned()),
            servers: servers.iter().map(describe).collect(),
            ..TopologyDescription::empty()
        })
    }

    fn changed(topology: TopologyDescription) -> EventKind {
        let new = Arc::new(topology);
        EventKind::TopologyDescriptionChanged { previous: new.clone(), new }
    }

    fn told(watch: &mut SetWatch, event: &EventKind) -> Vec<String> {
        watch.apply(event).iter().map(ToString::to_string).collect()
    }

    use ServerType::{RSPrimary as P, RSSecondary as S, Unknown as U};

    // IC-50, IC-51, IC-52, IC-53
    #[test]
    fn a_set_is_found_supposed_confirmed_and_dropped() {
        let mut watch = SetWatch::new();
        assert_eq!(told(&mut watch, &EventKind::TopologyOpening), [""; 0]);
        // Nobody can be reached: no state.
        assert_eq!(told(&mut watch, &set(&[("a", U), ("b", U)], "", "")), ["set rs0 found"]);
        let found = set(&[("a", U), ("b", S)], "", "");
        assert_eq!(told(&mut watch, &found), ["possibly rs0/b:1"]);
        assert_eq!(told(&mut watch, &found), [""; 0], "nothing new");
        let confirmed = set(&[("a", P), ("b", S), ("c", U)], "a b", "c");
        assert_eq!(told(&mut watch, &confirmed), ["confirmed rs0/a:1,b:1,c:1"]);
        let state = watch.latest().unwrap().state().unwrap();
        assert_eq!((&state.primary, &state.passives), (&Some(address("a")), &addresses("c")));
        assert_eq!(told(&mut watch, &confirmed), [""; 0]);
        // The last confirmed hosts, though only b answers.
        let lost = set(&[("a", U), ("b", S), ("c", U)], "", "");
        assert_eq!(told(&mut watch, &lost), ["possibly rs0/a:1,b:1,c:1"]);
        assert_eq!(watch.latest().unwrap().state().unwrap().primary, None);
        let again = set(&[("a", U), ("b", P), ("c", S)], "a b", "c");
        assert_eq!(told(&mut watch, &again), ["confirmed rs0/a:1,b:1,c:1"]);
        assert_eq!(told(&mut watch, &EventKind::TopologyClosed), ["set rs0 dropped"]);
        assert_eq!(told(&mut watch, &EventKind::TopologyClosed), [""; 0]);
    }

    // IC-54
    #[test]
    fn each_state_has_a_greater_generation_and_the_latest_is_kept() {
        let mut watch = SetWatch::new();
        assert_eq!(watch.latest(), None);
        let events = [
            set(&[("a", S)], "", ""),
            set(&[("a", P)], "a", ""),
            set(&[("a", P)], "a b", ""),
            set(&[("a", U), ("b", P)], "a b", ""),
        ];
        let mut generations = Vec::new();
        for event in &events {
            let changes = watch.apply(event);
            assert_eq!(changes.last(), watch.latest());
            generations.extend(changes.iter().filter_map(|c| Some(c.state()?.generation)));
        }
        assert_eq!(generations, [1, 2, 3, 4]);
    }

    // IC-50
    #[test]
    fn what_is_no_set_is_never_found() {
        let mut watch = SetWatch::new();
        let sharded = TopologyDescription {
            topology_type: TopologyType::Sharded,
            ..TopologyDescription::empty()
        };
        assert_eq!(watch.apply(&changed(sharded)), []);
        assert_eq!(watch.apply(&EventKind::TopologyClosed), []);
    }
}
