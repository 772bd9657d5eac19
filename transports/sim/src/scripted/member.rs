//! What a scripted member says of itself.

use bson::oid::ObjectId;
use bson::{DateTime, Document, Timestamp, doc};

use super::script::Role;
use crate::hello::{Awaiting, MAX_WIRE_VERSION, election_id};

/// One member; nothing of it is left to chance.
#[derive(Debug)]
pub(super) struct Member {
    name: String,
    hosts: Vec<String>,
    role: Role,
    /// How many processes it has had before.
    process: u8,
    /// One more at each change that clients should hear of.
    counter: i64,
    connections: u64,
}

impl Member {
    pub(super) fn new(name: &str, is_primary: bool, names: &[String]) -> Self {
        let role = match names {
            [first, ..] if !is_primary => Role::Secondary { primary: Some(first.clone()) },
            _ => Role::Primary { term: 1 },
        };
        Self {
            name: name.to_owned(),
            hosts: names.iter().map(|name| address(name)).collect(),
            role,
            process: 0,
            counter: 0,
            connections: 0,
        }
    }

    /// The number of a new connection, from 1.
    pub(super) fn count_connection(&mut self) -> u64 {
        self.connections += 1;
        self.connections
    }

    pub(super) fn change(&mut self, role: Role) {
        self.role = role;
        self.counter += 1;
    }

    pub(super) fn restart(&mut self) {
        self.process += 1;
        self.counter = 0;
    }

    /// The whole reply to a command.
    pub(super) fn answer(&self, set_name: &str, body: &Document) -> Document {
        match body.keys().next().map_or("", String::as_str) {
            "hello" | "isMaster" => match Awaiting::read(body) {
                Ok(_) => self.hello(set_name, body),
                Err(refused) => refused.reply(),
            },
            _ => doc! { "ok": 1.0 },
        }
    }

    fn hello(&self, set_name: &str, asked: &Document) -> Document {
        let mut reply = Document::new();
        if asked.contains_key("helloOk") {
            reply.insert("helloOk", true);
        }
        let version = doc! { "processId": self.process_id(), "counter": self.counter };
        reply.insert("topologyVersion", version);
        reply.insert("hosts", &self.hosts);
        reply.insert("setName", set_name);
        reply.insert("setVersion", 1);
        let is_primary = matches!(self.role, Role::Primary { .. });
        let legacy = asked.contains_key("isMaster");
        reply.insert(if legacy { "ismaster" } else { "isWritablePrimary" }, is_primary);
        reply.insert("secondary", !is_primary);
        match &self.role {
            Role::Primary { term } => {
                reply.insert("primary", address(&self.name));
                reply.insert("electionId", election_id(*term));
            }
            Role::Secondary { primary: Some(primary) } => {
                reply.insert("primary", address(primary));
            }
            Role::Secondary { primary: None } => {}
        }
        let written = doc! { "ts": Timestamp { time: 1, increment: 1 }, "t": 1_i64 };
        let last_write = doc! { "opTime": written, "lastWriteDate": DateTime::from_millis(1000) };
        reply.extend(doc! {
            "me": address(&self.name),
            "lastWrite": last_write,
            "maxBsonObjectSize": 16 * 1024 * 1024,
            "maxMessageSizeBytes": 48_000_000,
            "maxWriteBatchSize": 100_000,
            "logicalSessionTimeoutMinutes": 30,
            "minWireVersion": 0,
            "maxWireVersion": MAX_WIRE_VERSION,
            "readOnly": false,
            "ok": 1.0,
        });
        reply
    }

    fn process_id(&self) -> ObjectId {
        let mut bytes = [0; 12];
        bytes.iter_mut().zip(self.name.bytes()).for_each(|(byte, letter)| *byte = letter);
        bytes[11] = self.process;
        ObjectId::from_bytes(bytes)
    }
}

fn address(name: &str) -> String {
    format!("{name}:27017")
}
