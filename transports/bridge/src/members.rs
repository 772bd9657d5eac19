//! What the bridge may dial.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::StreamExt as _;
use portolan::{ServerAddress, ServerDescription, ServerType, Topology, TopologyDescription};
use tokio::sync::watch;

/// The members of the deployment, as known at this moment.
pub trait Members: Send + Sync + 'static {
    /// The members that may be dialled now; seeds while nothing else is known.
    fn addresses(&self) -> BTreeSet<ServerAddress>;

    /// Whether one of them has answered: what a load balancer asks for.
    fn is_ready(&self) -> bool {
        true
    }

    /// Whether `target` may be dialled now.
    ///
    /// # Errors
    ///
    /// A sentence that names the target and how many members there are.
    fn check(&self, target: &ServerAddress) -> Result<(), String> {
        let members = self.addresses();
        if members.contains(target) {
            return Ok(());
        }
        let count = match members.len() {
            0 => "which has no known members".to_owned(),
            1 => "which has 1 member".to_owned(),
            count => format!("which has {count} members"),
        };
        Err(format!("{target} is not a member of this deployment, {count}"))
    }
}

/// Members that never change.
#[derive(Clone, Debug)]
pub struct FixedMembers(pub BTreeSet<ServerAddress>);

impl Members for FixedMembers {
    fn addresses(&self) -> BTreeSet<ServerAddress> {
        self.0.clone()
    }
}

/// The members by a driver's belief: the seeds until the first of them answers, what the members
/// say of each other from then on.
#[derive(Clone, Debug)]
pub struct Believed(watch::Receiver<Arc<TopologyDescription>>);

impl Believed {
    /// Follows `topology` for as long as its client lives, in a task of its own.
    pub fn follow(mut topology: Topology) -> Self {
        let (believe, believed) = watch::channel(topology.description());
        tokio::spawn(async move {
            while topology.next().await.is_some() {
                believe.send_replace(topology.description());
            }
        });
        Self(believed)
    }
}

impl Members for Believed {
    fn addresses(&self) -> BTreeSet<ServerAddress> {
        self.0.borrow().servers.keys().cloned().collect()
    }

    fn is_ready(&self) -> bool {
        let known = |server: &Arc<ServerDescription>| server.server_type != ServerType::Unknown;
        self.0.borrow().servers.values().any(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_target_and_counts_the_members() {
        let members = FixedMembers(
            ["a:1", "b:2", "c:3"].iter().map(|text| text.parse().expect("an address")).collect(),
        );
        assert_eq!(members.check(&ServerAddress::tcp("B", 2)), Ok(()));
        assert_eq!(
            members.check(&ServerAddress::tcp("10.0.0.1", 22)).unwrap_err(),
            "10.0.0.1:22 is not a member of this deployment, which has 3 members"
        );
        assert!(members.check(&ServerAddress::tcp("a", 2)).is_err(), "the port counts");
    }
}
