//! Events as lines for people: time, member, what.

use portolan::engine::sdam::{ServerDescription, TopologyDescription};
use portolan::event::{Event, EventKind};

/// Wide enough for an IPv4 address and port; longer names move their line only.
const MEMBER_WIDTH: usize = 21;

/// One aligned line, without its end.
pub(crate) fn line(event: &Event) -> String {
    let seconds = event.at.as_millis_f64() / 1e3;
    let member = match event.kind.address() {
        Some(address) => address.to_string(),
        None => "topology".to_owned(),
    };
    // A server's error may have several lines.
    let what = what(&event.kind).lines().map(str::trim).collect::<Vec<_>>().join("; ");
    format!("{seconds:>9.3}s  {member:<MEMBER_WIDTH$}  {what}")
}

fn what(kind: &EventKind) -> String {
    match kind {
        EventKind::TopologyOpening => "opening".to_owned(),
        EventKind::TopologyClosed => "closed".to_owned(),
        EventKind::TopologyDescriptionChanged { previous, new } => topology(previous, new),
        EventKind::ServerOpening { .. } => "server added".to_owned(),
        EventKind::ServerClosed { .. } => "server removed".to_owned(),
        EventKind::ServerDescriptionChanged { previous, new, .. } => server(previous, new),
        EventKind::ServerHeartbeatStarted { awaited, .. } => {
            format!("heartbeat started{}", of(*awaited))
        }
        EventKind::ServerHeartbeatSucceeded { awaited, duration, .. } => {
            let millis = duration.as_secs_f64() * 1e3;
            format!("heartbeat succeeded after {millis:.1} ms{}", of(*awaited))
        }
        EventKind::ServerHeartbeatFailed { awaited, duration, failure, .. } => {
            let millis = duration.as_secs_f64() * 1e3;
            format!("heartbeat FAILED after {millis:.1} ms{}: {failure}", of(*awaited))
        }
    }
}

fn of(awaited: bool) -> &'static str {
    if awaited { " (awaited)" } else { "" }
}

fn server(previous: &ServerDescription, new: &ServerDescription) -> String {
    let mut text = if previous.server_type == new.server_type {
        format!("server {} updated", new.server_type)
    } else {
        format!("server {} -> {}", previous.server_type, new.server_type)
    };
    let primary = &new.reply.primary;
    if new.error.is_none() && *primary != previous.reply.primary {
        text += &match primary {
            Some(primary) => format!(", follows {primary}"),
            None => ", follows no primary".to_owned(),
        };
    }
    if let Some(error) = &new.error {
        text += &format!(": {}", error.message);
    }
    text
}

fn topology(previous: &TopologyDescription, new: &TopologyDescription) -> String {
    let mut text = if previous.topology_type == new.topology_type {
        format!("{}", new.topology_type)
    } else {
        format!("{} -> {}", previous.topology_type, new.topology_type)
    };
    let primary =
        |topology: &TopologyDescription| topology.primary().map(|server| server.address.clone());
    text += &match (primary(previous), primary(new)) {
        (before, Some(now)) if before.as_ref() == Some(&now) => format!(", primary {now}"),
        (_, Some(now)) => format!(", new primary {now}"),
        (Some(before), None) => format!(", lost primary {before}"),
        (None, None) => String::new(),
    };
    let known = new.servers.values().filter(|server| server.server_type.is_known()).count();
    text += &format!(", {known} of {} servers known", new.servers.len());
    if let Some(error) = &new.compatibility_error {
        text += &format!(": {error}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use portolan::engine::address::ServerAddress;
    use portolan::engine::sdam::{DescriptionError, ServerType, TopologyId, TopologyType};
    use portolan::event::HeartbeatConnection;
    use portolan::transport::Instant;

    use super::*;

    fn at(millis: u64, kind: EventKind) -> String {
        let topology_id = TopologyId(portolan::bson::oid::ObjectId::from_bytes([0; 12]));
        line(&Event { at: Instant::from_millis(millis), topology_id, kind })
    }

    fn address(port: u16) -> ServerAddress {
        ServerAddress::tcp("127.0.0.1", port)
    }

    fn described(port: u16, server_type: ServerType) -> Arc<ServerDescription> {
        Arc::new(ServerDescription { server_type, ..ServerDescription::unknown(address(port)) })
    }

    fn topology_of(
        topology_type: TopologyType,
        servers: &[Arc<ServerDescription>],
    ) -> Arc<TopologyDescription> {
        let servers =
            servers.iter().map(|server| (server.address.clone(), server.clone())).collect();
        Arc::new(TopologyDescription { topology_type, servers, ..TopologyDescription::empty() })
    }

    #[test]
    fn a_failover_reads_in_order() {
        let error = DescriptionError::new(Instant::from_millis(8123), "connection refused");
        let failed = Arc::new(ServerDescription::failed(address(27101), error));
        let (primary, secondary) =
            (described(27101, ServerType::RSPrimary), described(27102, ServerType::RSSecondary));
        let elected = described(27102, ServerType::RSPrimary);
        let before =
            topology_of(TopologyType::ReplicaSetWithPrimary, &[primary.clone(), secondary.clone()]);
        let without =
            topology_of(TopologyType::ReplicaSetNoPrimary, &[failed.clone(), secondary.clone()]);
        let after =
            topology_of(TopologyType::ReplicaSetWithPrimary, &[failed.clone(), elected.clone()]);
        let lines = [
            at(
                8123,
                EventKind::ServerHeartbeatFailed {
                    connection: HeartbeatConnection {
                        address: address(27101),
                        number: 1,
                        server_connection_id: None,
                    },
                    awaited: true,
                    duration: Duration::from_micros(4_567_800),
                    failure: "connection\n  refused".into(),
                },
            ),
            at(
                8123,
                EventKind::ServerDescriptionChanged {
                    address: address(27101),
                    previous: primary,
                    new: failed,
                },
            ),
            at(
                8123,
                EventKind::TopologyDescriptionChanged { previous: before, new: without.clone() },
            ),
            at(
                10_456,
                EventKind::ServerDescriptionChanged {
                    address: address(27102),
                    previous: secondary,
                    new: elected,
                },
            ),
            at(10_456, EventKind::TopologyDescriptionChanged { previous: without, new: after }),
        ];
        let expected = "    \
    8.123s  127.0.0.1:27101        heartbeat FAILED after 4567.8 ms (awaited): connection; refused
    8.123s  127.0.0.1:27101        server RSPrimary -> Unknown: connection refused
    8.123s  topology               ReplicaSetWithPrimary -> ReplicaSetNoPrimary, lost primary \
                        127.0.0.1:27101, 1 of 2 servers known
   10.456s  127.0.0.1:27102        server RSSecondary -> RSPrimary
   10.456s  topology               ReplicaSetNoPrimary -> ReplicaSetWithPrimary, new primary \
                        127.0.0.1:27102, 1 of 2 servers known";
        assert_eq!(lines.join("\n"), expected);
    }
}
