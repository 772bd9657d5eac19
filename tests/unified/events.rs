//! Events of the driver as the format names them, and whether they are those that a test expects.

use bson::{Bson, Document, doc};
use portolan::event::{CommandEvent, CommandEventKind, Event, EventKind, PoolEvent, PoolEventKind};

use crate::matching::{Names, matches, matches_root};
use crate::schema::EventType;

/// One event that a client was heard to give.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    /// `commandStartedEvent` and so on.
    pub(crate) name: String,
    pub(crate) kind: EventType,
    /// What tests look at.
    pub(crate) data: Document,
}

impl Observed {
    pub(crate) fn command(event: &CommandEvent) -> Result<Self, String> {
        let mut data = doc! {
            "commandName": &event.command_name,
            "databaseName": &event.database_name,
            "hasServiceId": event.service_id.is_some(),
            "hasServerConnectionId": event.server_connection_id.is_some(),
        };
        let document = |raw: &bson::RawDocument| {
            Document::try_from(raw).map_err(|error| format!("an event's document: {error}"))
        };
        match &event.kind {
            CommandEventKind::CommandStarted { command } => {
                data.insert("command", document(command)?);
            }
            CommandEventKind::CommandSucceeded { reply, .. } => {
                data.insert("reply", document(reply)?);
            }
            CommandEventKind::CommandFailed { .. } => {}
        }
        Ok(Self::new(event.kind.name(), EventType::Command, data))
    }

    pub(crate) fn pool(event: &PoolEvent) -> Self {
        let mut data = Document::new();
        match &event.kind {
            PoolEventKind::PoolCleared { service_id, interrupt_in_use_connections } => {
                data.insert("hasServiceId", service_id.is_some());
                data.insert("interruptInUseConnections", *interrupt_in_use_connections);
            }
            PoolEventKind::ConnectionClosed { reason, .. } => {
                data.insert("reason", reason.as_str());
            }
            PoolEventKind::ConnectionCheckOutFailed { reason, .. } => {
                data.insert("reason", reason.as_str());
            }
            _ => {}
        }
        Self::new(event.kind.name(), EventType::Cmap, data)
    }

    pub(crate) fn topology(event: &Event) -> Self {
        let mut data = Document::new();
        match &event.kind {
            EventKind::TopologyDescriptionChanged { previous, new } => {
                let described = |topology: &portolan::TopologyDescription| {
                    doc! { "type": topology.topology_type.to_string() }
                };
                data.insert("previousDescription", described(previous));
                data.insert("newDescription", described(new));
            }
            EventKind::ServerDescriptionChanged { previous, new, .. } => {
                let described = |server: &portolan::ServerDescription| {
                    doc! { "type": server.server_type.to_string() }
                };
                data.insert("previousDescription", described(previous));
                data.insert("newDescription", described(new));
            }
            EventKind::ServerHeartbeatStarted { awaited, .. }
            | EventKind::ServerHeartbeatSucceeded { awaited, .. }
            | EventKind::ServerHeartbeatFailed { awaited, .. } => {
                data.insert("awaited", *awaited);
            }
            // The format names no fields of the others.
            _ => {}
        }
        Self::new(event.kind.name(), EventType::Sdam, data)
    }

    fn new(name: &str, kind: EventType, data: Document) -> Self {
        Self { name: format!("{name}Event"), kind, data }
    }

    /// Whether this is the event that a test expects (`{ "<name>": { ... } }`).
    pub(crate) fn matches(&self, expected: &Document, names: &dyn Names) -> Result<(), String> {
        let (name, fields) = parse(expected)?;
        if name != self.name {
            return Err(format!("expected {name}, found {}", self.name));
        }
        for (field, value) in fields {
            let actual = self.data.get(field);
            let outcome = match (value, actual) {
                // Commands, replies and descriptions are documents at the root.
                (Bson::Document(wanted), Some(Bson::Document(actual)))
                    if !wanted.keys().any(|key| key.starts_with("$$")) =>
                {
                    matches_root(wanted, actual, names)
                }
                _ => matches(value, actual, true, names),
            };
            outcome.map_err(|what| format!("{name}.{field}: {what}"))?;
        }
        Ok(())
    }
}

/// The name and the fields of an expected event.
///
/// # Errors
///
/// A name or a field that the format does not have.
pub(crate) fn parse(expected: &Document) -> Result<(&str, &Document), String> {
    let mut entries = expected.iter();
    let (Some((name, Bson::Document(fields))), None) = (entries.next(), entries.next()) else {
        return Err(format!("{expected} is no expected event"));
    };
    let Some((_, known)) = EVENTS.iter().find(|(event, _)| event == name) else {
        return Err(format!("{name} is no event that this runner knows"));
    };
    match fields.keys().find(|field| !known.contains(&field.as_str())) {
        Some(unknown) => Err(format!("{name} has no field {unknown}")),
        None => Ok((name, fields)),
    }
}

/// Whether the format has an event of this name.
pub(crate) fn is_known(name: &str) -> bool {
    EVENTS.iter().any(|(event, _)| *event == name)
}

/// Which of the three kinds an event of this name is.
pub(crate) fn kind_of(name: &str) -> EventType {
    if name.starts_with("command") {
        EventType::Command
    } else if name.starts_with("pool") || name.starts_with("connection") {
        EventType::Cmap
    } else {
        EventType::Sdam
    }
}

const HEARTBEAT: &[&str] = &["awaited"];
const DESCRIPTIONS: &[&str] = &["previousDescription", "newDescription"];

/// The events and their fields ("expectedEvent").
const EVENTS: &[(&str, &[&str])] = &[
    (
        "commandStartedEvent",
        &["command", "commandName", "databaseName", "hasServiceId", "hasServerConnectionId"],
    ),
    (
        "commandSucceededEvent",
        &["reply", "commandName", "databaseName", "hasServiceId", "hasServerConnectionId"],
    ),
    (
        "commandFailedEvent",
        &["commandName", "databaseName", "hasServiceId", "hasServerConnectionId"],
    ),
    ("poolCreatedEvent", &[]),
    ("poolReadyEvent", &[]),
    ("poolClearedEvent", &["hasServiceId", "interruptInUseConnections"]),
    ("poolClosedEvent", &[]),
    ("connectionCreatedEvent", &[]),
    ("connectionReadyEvent", &[]),
    ("connectionClosedEvent", &["reason"]),
    ("connectionCheckOutStartedEvent", &[]),
    ("connectionCheckOutFailedEvent", &["reason"]),
    ("connectionCheckedOutEvent", &[]),
    ("connectionCheckedInEvent", &[]),
    ("serverDescriptionChangedEvent", DESCRIPTIONS),
    ("topologyDescriptionChangedEvent", DESCRIPTIONS),
    ("serverHeartbeatStartedEvent", HEARTBEAT),
    ("serverHeartbeatSucceededEvent", HEARTBEAT),
    ("serverHeartbeatFailedEvent", HEARTBEAT),
    ("topologyOpeningEvent", &[]),
    ("topologyClosedEvent", &[]),
];
