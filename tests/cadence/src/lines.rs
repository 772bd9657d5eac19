//! What an engine was told and what it wanted, as lines without times.
//!
//! A recording of the client is run again ([`Replay`]); the actions that follow each input are the
//! lines. That time has come ([`Event::Elapsed`]) is left out: one that is late may do what several
//! would have done. Where an input sets the deadline that is next, and that is a whole heartbeat or
//! the least interval away, a line says so: these are the engine's own figures, exact everywhere.

use bson::{Bson, Document};
use portolan::TopologyDescription;
use portolan::engine::sdam::trace::{Record, Replay};
use portolan::engine::sdam::{
    Action, Event, EventKind, LinkId, LinkRole, MIN_HEARTBEAT_FREQUENCY, Notice,
};
use portolan::engine::wire::{Flags, Message, Reply};

/// The lines of a recording.
pub(crate) fn of(recording: &[String]) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    let mut replay = Replay::new();
    let mut heartbeat = MIN_HEARTBEAT_FREQUENCY;
    for line in recording {
        let record: Record = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let told = match &record {
            Record::Settings(settings) => {
                heartbeat = settings.monitor.heartbeat_frequency;
                None
            }
            Record::Input { at, event } => Some((*at, input(event))),
        };
        let due = replay.due();
        let actions = replay.step(record).map_err(|error| error.to_string())?;
        if let Some((_, Some(input))) = &told {
            lines.push(format!("< {input}"));
        }
        for action in &actions {
            lines.push(format!("  {}", wanted(action)?));
        }
        let next = replay.due().filter(|next| Some(*next) != due);
        if let (Some((at, Some(_))), Some(next)) = (told, next) {
            let wait = next - at;
            if [heartbeat, MIN_HEARTBEAT_FREQUENCY].contains(&wait) {
                lines.push(format!("  next in {wait:?}"));
            }
        }
    }
    Ok(lines)
}

fn input(event: &Event) -> Option<String> {
    Some(match event {
        Event::Elapsed => return None,
        Event::Opened(link) => format!("opened {}", of_link(link)),
        Event::Resumed(link) => format!("resumed {}", of_link(link)),
        Event::Received { link, .. } => format!("received {}", of_link(link)),
        Event::Broken { link, error } => format!("broken {}: {error}", of_link(link)),
        Event::Handshaken { address, .. } => format!("handshaken {address}"),
        Event::Succeeded(address) => format!("succeeded {address}"),
        Event::Demand(demand) => format!("demand {demand}"),
        other => format!("{other:?}"),
    })
}

fn of_link(link: &LinkId) -> String {
    let role = match link.role {
        LinkRole::Heartbeat => "heartbeat",
        LinkRole::Rtt => "rtt",
    };
    format!("{} {role} {}", link.address, link.number)
}

fn wanted(action: &Action) -> Result<String, String> {
    Ok(match action {
        Action::OpenLink(link) => format!("open {}", of_link(link)),
        Action::BorrowLink { link, idle } => {
            let from = if *idle { "offered or idle" } else { "offered" };
            format!("borrow {} ({from})", of_link(link))
        }
        Action::OfferLink { link, .. } => format!("offer {}", of_link(link)),
        Action::ReturnLink(link) => format!("return {}", of_link(link)),
        Action::Send(link, message) => format!("send {}: {}", of_link(link), command(message)?),
        Action::CloseLink(link) => format!("close {}", of_link(link)),
        Action::OpenPool(address) => format!("pool {address}: open"),
        Action::ReadyPool(address) => format!("pool {address}: ready"),
        Action::ClearPool { address, generation, reason, interrupt_in_use } => {
            let interrupt = if *interrupt_in_use { ", interrupt" } else { "" };
            format!("pool {address}: clear to generation {generation}{interrupt}: {reason}")
        }
        Action::ClearService { address, service_id, generation } => {
            format!("pool {address}: clear {service_id} from generation {generation}")
        }
        Action::ClosePool(address) => format!("pool {address}: close"),
        Action::Publish(topology) => format!("publish {}", belief(topology)),
        Action::Notify(notice) => format!("tell {}", told(notice)),
        other => format!("{other:?}"),
    })
}

/// A command as the server reads it; what the client says of itself is the runtime's own.
fn command(message: &[u8]) -> Result<String, String> {
    let parsed = Reply::parse(message.to_vec()).map_err(|error| error.to_string())?;
    let Message::Msg(op_msg) = parsed.message else { return Err("a legacy message".to_owned()) };
    let body = Document::try_from(&*op_msg.body).map_err(|error| error.to_string())?;
    let fields: Vec<String> = body
        .iter()
        .map(|(key, value)| match value {
            Bson::Document(_) if key == "client" => "client".to_owned(),
            value => format!("{key}: {value}"),
        })
        .collect();
    let exhaust = if op_msg.flags.contains(Flags::EXHAUST_ALLOWED) { " exhaust" } else { "" };
    Ok(format!("#{}{exhaust} {{ {} }}", parsed.header.request_id, fields.join(", ")))
}

fn belief(topology: &TopologyDescription) -> String {
    let servers: Vec<String> = topology
        .servers
        .values()
        .map(|server| {
            let version = server.topology_version;
            let version = version.map(|version| format!(" v{}", version.counter));
            format!("{} {:?}{}", server.address, server.server_type, version.unwrap_or_default())
        })
        .collect();
    format!("{:?} [{}]", topology.topology_type, servers.join(", "))
}

fn told(notice: &Notice) -> String {
    let name = notice.kind.name();
    match &notice.kind {
        EventKind::TopologyDescriptionChanged { new, .. } => format!("{name} {}", belief(new)),
        EventKind::ServerDescriptionChanged { address, previous, new } => {
            let (previous, new) = (previous.server_type, new.server_type);
            format!("{name} {address} {previous:?} -> {new:?}")
        }
        EventKind::ServerHeartbeatStarted { connection, awaited }
        | EventKind::ServerHeartbeatSucceeded { connection, awaited, .. } => {
            format!("{name} {connection}{}", awaiting(*awaited))
        }
        EventKind::ServerHeartbeatFailed { connection, awaited, failure, .. } => {
            format!("{name} {connection}{}: {failure}", awaiting(*awaited))
        }
        EventKind::FailoverCompleted { timeline } => {
            let (from, to) = (&timeline.from, &timeline.to);
            format!("{name} {from} -> {to}, {}", timeline.detection.as_str())
        }
        kind => match kind.address() {
            Some(address) => format!("{name} {address}"),
            None => name.to_owned(),
        },
    }
}

fn awaiting(awaited: bool) -> &'static str {
    if awaited { " awaited" } else { "" }
}
