//! Where a pipeline runs that writes its results (crud "Aggregation Pipelines with Write Stages",
//! "Read preferences and server selection").

use super::{Criteria, OperationKind};
use crate::engine::sdam::{TopologyDescription, TopologyType};

impl Criteria<'_> {
    /// The same question with the decision made that the servers' age makes: secondaries run such a
    /// pipeline since 5.0, and "if [...] one or more of those servers is pre-5.0 (i.e. wire version
    /// < 13), drivers MUST NOT use the available read preference".
    #[must_use]
    pub fn resolved(self, topology: &TopologyDescription) -> Self {
        if self.operation != OperationKind::Output {
            return self;
        }
        let mut available = topology.servers.values().filter(|it| it.server_type.is_known());
        let old = available.any(|server| server.reply.max_wire_version < ON_SECONDARIES_SINCE);
        // Behind a load balancer are mongos of 5.0 at least.
        let by_preference = topology.topology_type == TopologyType::LoadBalanced || !old;
        let operation = if by_preference { OperationKind::Read } else { OperationKind::Write };
        Self { operation, ..self }
    }
}

/// The wire version of server 5.0.
const ON_SECONDARIES_SINCE: i32 = 13;

#[cfg(test)]
mod tests {
    use super::super::testing::{server, topology};
    use super::*;
    use crate::engine::rng::Rng;
    use crate::engine::sdam::ServerType;
    use crate::engine::selection::{ReadPreference, select};

    fn chosen(wire_versions: [i32; 2]) -> String {
        let [primary, secondary] = wire_versions;
        let set = topology(
            TopologyType::ReplicaSetWithPrimary,
            vec![
                server("a").kind(ServerType::RSPrimary).rtt_ms(1).wire(primary).build(),
                server("b").kind(ServerType::RSSecondary).rtt_ms(1).wire(secondary).build(),
                server("c").build(),
            ],
        );
        let preference = ReadPreference::secondary();
        let criteria = Criteria { operation: OperationKind::Output, ..Criteria::read(&preference) };
        let server = select(&set, &criteria, |_| 0, &mut Rng::seeded(1)).unwrap().unwrap();
        server.address.host().to_owned()
    }

    #[test]
    fn one_old_server_keeps_the_pipeline_on_the_primary() {
        assert_eq!(chosen([13, 13]), "b");
        assert_eq!(chosen([12, 13]), "a");
        assert_eq!(chosen([13, 12]), "a");
    }

    #[test]
    fn behind_a_load_balancer_the_preference_counts_and_elsewhere_nothing_changes() {
        let secondary = ReadPreference::secondary();
        let old = server("a").kind(ServerType::LoadBalancer).build();
        let balanced = topology(TopologyType::LoadBalanced, vec![old]);
        let output = Criteria { operation: OperationKind::Output, ..Criteria::read(&secondary) };
        assert_eq!(output.resolved(&balanced).operation, OperationKind::Read);
        assert_eq!(Criteria::write().resolved(&balanced).operation, OperationKind::Write);
        assert_eq!(output.to_string(), "a write of results with read preference secondary");
    }
}
