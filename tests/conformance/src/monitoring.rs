//! The events of server discovery and monitoring against those of a file.
//!
//! Events and their order are compared exactly; of a description, the fields that the files write.
//! Heartbeat events are not part of these files.

use bson::{Bson, Document, doc};
use portolan::engine::sdam::{EventKind, Notice, ServerDescription, TopologyDescription};

use crate::json::same;

/// The files' stand-in for a topology's id.
const TOPOLOGY_ID: &str = "42";

/// Compares the events of one phase.
pub(crate) fn compare(expected: &[Bson], told: &[Notice]) -> Result<(), String> {
    if let Some(notice) = told.iter().find(|notice| notice.topology_id != told[0].topology_id) {
        return Err(format!("the topologyId changes with {}", notice.kind.name()));
    }
    let expected: Vec<Document> =
        expected.iter().filter_map(Bson::as_document).map(normalized).collect();
    let actual: Vec<Document> = told.iter().filter_map(|notice| event(&notice.kind)).collect();
    for (i, expected) in expected.iter().enumerate() {
        let actual = actual.get(i).ok_or_else(|| format!("event {i} is missing: {expected}"))?;
        same(&format!("event {i}"), expected, actual)?;
    }
    match actual.get(expected.len()) {
        Some(extra) => Err(format!("an event too many: {extra}")),
        None => Ok(()),
    }
}

/// An event as the files write it; `None` for heartbeats.
fn event(kind: &EventKind) -> Option<Document> {
    let id = TOPOLOGY_ID;
    let address = kind.address().map(ToString::to_string);
    Some(match kind {
        EventKind::TopologyOpening => doc! {"topology_opening_event": {"topologyId": id}},
        EventKind::TopologyClosed => doc! {"topology_closed_event": {"topologyId": id}},
        EventKind::ServerOpening { .. } => {
            doc! {"server_opening_event": {"topologyId": id, "address": address}}
        }
        EventKind::ServerClosed { .. } => {
            doc! {"server_closed_event": {"topologyId": id, "address": address}}
        }
        EventKind::ServerDescriptionChanged { previous, new, .. } => {
            doc! {"server_description_changed_event": {
                "topologyId": id,
                "address": address,
                "previousDescription": server(previous),
                "newDescription": server(new),
            }}
        }
        EventKind::TopologyDescriptionChanged { previous, new } => {
            doc! {"topology_description_changed_event": {
                "topologyId": id,
                "previousDescription": topology(previous),
                "newDescription": topology(new),
            }}
        }
        // Portolan's own, beside the specification's.
        EventKind::PrimaryContested { .. }
        | EventKind::ServerSuspected { .. }
        | EventKind::ServerTrusted { .. }
        | EventKind::FailoverCompleted { .. } => return None,
        EventKind::ServerHeartbeatStarted { .. }
        | EventKind::ServerHeartbeatSucceeded { .. }
        | EventKind::ServerHeartbeatFailed { .. }
        | EventKind::SrvRescanned { .. } => return None,
    })
}

fn topology(topology: &TopologyDescription) -> Document {
    let servers: Vec<Document> = topology.servers.values().map(|one| server(one)).collect();
    let mut document = doc! {"topologyType": topology.topology_type.as_str(), "servers": servers};
    if let Some(name) = &topology.set_name {
        document.insert("setName", name);
    }
    document
}

fn server(server: &ServerDescription) -> Document {
    let names = |addresses: &[portolan::engine::address::ServerAddress]| -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    };
    let reply = &server.reply;
    let mut document = doc! {
        "address": server.address.to_string(),
        "arbiters": names(&reply.arbiters),
        "hosts": names(&reply.hosts),
        "passives": names(&reply.passives),
        "type": server.server_type.as_str(),
    };
    if let Some(primary) = &reply.primary {
        document.insert("primary", primary.to_string());
    }
    if let Some(name) = server.set_name() {
        document.insert("setName", name);
    }
    document
}

/// The file's event with servers in the order of their addresses and without nulls.
fn normalized(event: &Document) -> Document {
    let mut normal = Document::new();
    for (name, value) in event {
        match value {
            Bson::Null => {}
            Bson::Document(inner) => drop(normal.insert(name, normalized(inner))),
            Bson::Array(servers) if name == "servers" => {
                let mut servers: Vec<Document> =
                    servers.iter().filter_map(Bson::as_document).map(normalized).collect();
                servers.sort_by_key(|server| server.get_str("address").map(str::to_owned).ok());
                normal.insert(name, servers);
            }
            other => drop(normal.insert(name, other.clone())),
        }
    }
    normal
}
