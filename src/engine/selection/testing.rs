//! Servers and topologies, spelled shortly, for the tests of this folder.

use std::sync::Arc;
use std::time::Duration;

use bson::{DateTime, Timestamp};

use crate::engine::address::ServerAddress;
use crate::engine::hello::HelloReply;
use crate::engine::sdam::{ServerDescription, ServerType, TopologyDescription, TopologyType};
use crate::engine::time::Instant;

pub(super) struct Server(ServerDescription);

/// An unknown server at `host`.
pub(super) fn server(host: &str) -> Server {
    Server(ServerDescription::unknown(ServerAddress::tcp(host, 27017)))
}

impl Server {
    pub(super) fn kind(mut self, server_type: ServerType) -> Self {
        self.0.server_type = server_type;
        self
    }

    pub(super) fn rtt_ms(mut self, millis: u64) -> Self {
        self.0.round_trip_time = Some(Duration::from_millis(millis));
        self
    }

    /// Seconds of the client's and of the set's clock.
    pub(super) fn times(mut self, updated: u64, wrote: i64) -> Self {
        self.0.last_update_time = Some(Instant::from_millis(updated * 1000));
        self.reply().last_write_date = Some(DateTime::from_millis(wrote * 1000));
        self
    }

    pub(super) fn tag(mut self, name: &str, value: &str) -> Self {
        self.reply().tags.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn op_time(mut self, time: Timestamp) -> Self {
        self.reply().last_write_op_time = Some(time);
        self
    }

    pub(super) fn wire(mut self, max: i32) -> Self {
        self.reply().max_wire_version = max;
        self
    }

    fn reply(&mut self) -> &mut HelloReply {
        Arc::make_mut(&mut self.0.reply)
    }

    pub(super) fn build(self) -> Arc<ServerDescription> {
        Arc::new(self.0)
    }
}

pub(super) fn topology(
    topology_type: TopologyType,
    servers: Vec<Arc<ServerDescription>>,
) -> TopologyDescription {
    let servers = servers.into_iter().map(|server| (server.address.clone(), server)).collect();
    TopologyDescription { topology_type, servers, ..TopologyDescription::empty() }
}
