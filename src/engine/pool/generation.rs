//! Which connections are outdated: by the pool's generation, and behind a load balancer by that of
//! each server there.
//!
//! Specification: connection-monitoring-and-pooling "Load Balancer Mode".

use bson::oid::ObjectId;

use crate::engine::map::SortedMap;

/// The generation that a connection belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generation {
    /// It counts the clears: of the pool, or of the service.
    pub number: u64,
    /// Behind a load balancer: the server that the connection leads to, known from its hello on.
    pub service_id: Option<ObjectId>,
}

/// A server behind a load balancer.
#[derive(Debug, Default)]
struct Service {
    generation: u64,
    connections: usize,
}

/// The servers behind a load balancer that connections lead to ("serviceGenerations"). One without
/// connections is forgotten.
#[derive(Debug, Default)]
pub(super) struct Services {
    known: SortedMap<ObjectId, Service>,
}

impl Services {
    /// One more connection leads to this server.
    pub(super) fn enter(&mut self, service_id: ObjectId) -> Generation {
        let service = self.known.get_or_insert_with(service_id, Service::default);
        service.connections += 1;
        Generation { number: service.generation, service_id: Some(service_id) }
    }

    /// One connection less.
    pub(super) fn leave(&mut self, service_id: Option<ObjectId>) {
        let Some(service_id) = service_id else { return };
        let Some(service) = self.known.get_mut(&service_id) else { return };
        service.connections -= 1;
        if service.connections == 0 {
            self.known.remove(&service_id);
        }
    }

    /// Outdates the connections up to `number`; `false` where they are already, or there are none.
    pub(super) fn clear(&mut self, service_id: ObjectId, number: u64) -> bool {
        let Some(service) = self.known.get_mut(&service_id) else { return false };
        let current = service.generation <= number;
        if current {
            service.generation = number + 1;
        }
        current
    }

    pub(super) fn is_outdated(&self, service_id: ObjectId, number: u64) -> bool {
        self.known.get(&service_id).is_none_or(|service| number < service.generation)
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.known.len()
    }
}
