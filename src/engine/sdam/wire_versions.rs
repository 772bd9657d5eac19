//! Whether this driver and a server speak a common wire version (SDAM "Checking wire protocol
//! compatibility").

use super::server::ServerDescription;
use super::topology::TopologyDescription;

/// The oldest wire version that this driver speaks.
pub(super) const MIN_WIRE_VERSION: i32 = 8;
/// The server release that first spoke it, for messages.
const MIN_SERVER_RELEASE: &str = "4.2";
/// The newest wire version that this driver speaks (MongoDB 8.2).
pub(super) const MAX_WIRE_VERSION: i32 = 27;

/// Why this driver cannot talk to the topology: the first server that it has no wire version in
/// common with.
pub(super) fn compatibility_error(topology: &TopologyDescription) -> Option<String> {
    topology.servers.values().find_map(|server| server_error(server))
}

fn server_error(server: &ServerDescription) -> Option<String> {
    if !server.server_type.is_known() {
        return None;
    }
    let (min, max) = (server.reply.min_wire_version, server.reply.max_wire_version);
    let address = &server.address;
    if server.server_type == super::ServerType::LoadBalancer {
        None
    } else if min > MAX_WIRE_VERSION {
        Some(format!(
            "Server at {address} requires wire version {min}, but this version of portolan only \
             supports up to {MAX_WIRE_VERSION}."
        ))
    } else if max < MIN_WIRE_VERSION {
        Some(format!(
            "Server at {address} reports wire version {max}, but this version of portolan requires \
             at least {MIN_WIRE_VERSION} (MongoDB {MIN_SERVER_RELEASE})."
        ))
    } else {
        None
    }
}
