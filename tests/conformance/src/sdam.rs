//! Server discovery and monitoring: phases of replies and errors, and what is believed after each.
//!
//! Format: the README file of server-discovery-and-monitoring/tests. The real machine is driven
//! over real bytes: its monitors open links and send hellos, and each reply of a file is encoded as
//! the answer to one. Nothing in the machine knows that it is tested.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bson::oid::ObjectId;
use bson::{Bson, Document, RawDocumentBuf};
use portolan::engine::address::ServerAddress;
use portolan::engine::hello::{ClientMetadata, EnvMetadata, OsMetadata, TopologyVersion};
use portolan::engine::sdam::suspicion::SuspicionSettings;
use portolan::engine::sdam::{
    Action, Event, Failure, FailureKind, LinkError, LinkId, LinkRole, MonitorSettings, Notice,
    RttProbe, Sdam, SdamSettings, ServerDescription, ServerType, Stage, TopologyDescription,
    TopologyId,
};
use portolan::engine::time::Instant;
use portolan::engine::wire::{Flags, Header, OpMsgBuilder};
use portolan::options::ClientOptions;

use crate::json::{address, documents, integer, same, text};
use crate::monitoring;

/// One file.
pub(crate) fn run(test: &Document) -> Result<(), String> {
    let options = ClientOptions::parse(text(test, "uri")?).map_err(|error| error.to_string())?;
    let mut rig = Rig::new(options);
    let phases = documents(test, "phases");
    if phases.is_empty() {
        return Err("the file has no phases".to_owned());
    }
    for (i, phase) in phases.into_iter().enumerate() {
        let name = phase.get_str("description").unwrap_or("");
        rig.phase(phase).map_err(|difference| format!("phase {} {name}: {difference}", i + 1))?;
    }
    Ok(())
}

/// A machine between a file and its expectations.
pub(crate) struct Rig {
    sdam: Sdam,
    now: Instant,
    /// Hellos that wait for their reply, by link.
    asked: BTreeMap<LinkId, Vec<u8>>,
    /// The latest hello to each server, answered or not.
    latest: BTreeMap<ServerAddress, (LinkId, Vec<u8>)>,
    told: Vec<Notice>,
}

impl Rig {
    pub(crate) fn new(options: ClientOptions) -> Self {
        let metadata = ClientMetadata::new(OsMetadata::default(), "test", EnvMetadata::default());
        let settings = SdamSettings {
            topology_id: TopologyId(ObjectId::from_bytes([0x42; 12])),
            seeds: options.hosts,
            set_name: options.repl_set_name,
            direct_connection: options.direct_connection,
            load_balanced: options.load_balanced == Some(true),
            snapshot: None,
            rescan: None,
            scan: None,
            suspicion: SuspicionSettings::default(),
            monitor: MonitorSettings {
                heartbeat_frequency: Duration::from_millis(500),
                // The file says what fails; a reply that the file has not come to must not.
                connect_timeout: Duration::ZERO,
                streaming: false,
                rtt_probe: RttProbe::Hello,
                metadata,
                compressors: Vec::new(),
                server_api: None,
            },
        };
        let mut rig = Self {
            sdam: Sdam::new(settings),
            now: Instant::ZERO,
            asked: BTreeMap::new(),
            latest: BTreeMap::new(),
            told: Vec::new(),
        };
        rig.put(Event::Open);
        rig
    }

    /// What is believed now.
    pub(crate) fn topology(&self) -> &Arc<TopologyDescription> {
        self.sdam.topology()
    }

    fn phase(&mut self, phase: &Document) -> Result<(), String> {
        if let Ok(responses) = phase.get_array("responses") {
            for response in responses {
                let (source, reply) = match response.as_array().map(Vec::as_slice) {
                    Some([Bson::String(source), Bson::Document(reply)]) => (source, reply),
                    _ => return Err("a response is not [source, reply]".to_owned()),
                };
                self.reply(&address(source)?, reply)?;
            }
        }
        for error in documents(phase, "applicationErrors") {
            self.fail(error)?;
        }
        let outcome = phase.get_document("outcome").map_err(|error| error.to_string())?;
        match outcome.get_array("events") {
            Ok(events) => monitoring::compare(events, &std::mem::take(&mut self.told)),
            Err(_) => self.compare(outcome),
        }
    }

    /// One input, then drain. Streams open at once.
    fn put(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            self.sdam.handle(self.now, event);
            while let Some(action) = self.sdam.poll_action() {
                match action {
                    Action::OpenLink(link) => events.push_back(Event::Opened(link)),
                    Action::Send(link, message) => {
                        let hello = (link.clone(), message.clone());
                        self.latest.insert(link.address.clone(), hello);
                        self.asked.insert(link, message);
                    }
                    Action::CloseLink(link) => {
                        self.asked.remove(&link);
                    }
                    Action::Notify(notice) => self.told.push(notice),
                    _ => {}
                }
            }
        }
    }

    /// The reply of a file: an empty one is a network error. A server that is no member any more is
    /// answered on the link it last had: the machine must ignore that.
    pub(crate) fn reply(&mut self, source: &ServerAddress, reply: &Document) -> Result<(), String> {
        let member = self.sdam.topology().server(source).is_some();
        let hello = match self.hello_of(source) {
            Some(link) => self.asked.remove_entry(&link),
            None if member => return Err(format!("the monitor of {source} sends no hello")),
            None => self.latest.get(source).cloned(),
        };
        let Some((link, request)) = hello else { return Ok(()) };
        self.put(if reply.is_empty() {
            Event::Broken { link, error: LinkError::network("connection reset") }
        } else {
            Event::Received { link, message: encode(&request, reply)?, written: self.now }
        });
        Ok(())
    }

    /// The link on which the monitor of `source` waits for a reply; time passes until it does.
    fn hello_of(&mut self, source: &ServerAddress) -> Option<LinkId> {
        loop {
            let mut waiting = self.asked.keys();
            let hello =
                |link: &&LinkId| link.address == *source && link.role == LinkRole::Heartbeat;
            if let Some(link) = waiting.find(hello) {
                return Some(link.clone());
            }
            // Every deadline is a check that begins and then waits, so that this ends.
            self.now = self.sdam.poll_timeout()?.max(self.now);
            self.put(Event::Elapsed);
        }
    }

    /// An "applicationError".
    fn fail(&mut self, error: &Document) -> Result<(), String> {
        let address = address(text(error, "address")?)?;
        let current = self.sdam.pool_generation(&address).unwrap_or_default();
        let generation = integer(error, "generation").map_or(current, i64::unsigned_abs);
        let stage = match text(error, "when")? {
            "beforeHandshakeCompletes" => Stage::Handshaking,
            "afterHandshakeCompletes" => Stage::Established,
            other => return Err(format!("unknown \"when\": {other}")),
        };
        let kind = match text(error, "type")? {
            "network" => FailureKind::Network("connection reset".into()),
            "timeout" => FailureKind::Timeout("no reply in time".into()),
            "command" => {
                let response = error.get_document("response").map_err(|e| e.to_string())?;
                match command_failure(response)? {
                    Some(kind) => kind,
                    None => return Ok(()),
                }
            }
            other => return Err(format!("unknown \"type\": {other}")),
        };
        self.put(Event::Failed(Failure { address, generation, service_id: None, stage, kind }));
        Ok(())
    }

    /// What is believed against an outcome that is no list of events.
    fn compare(&self, outcome: &Document) -> Result<(), String> {
        let topology = self.sdam.topology();
        same("topologyType", &text(outcome, "topologyType")?, &topology.topology_type.as_str())?;
        same("setName", &optional(outcome, "setName"), &topology.set_name.as_deref())?;
        if outcome.contains_key("logicalSessionTimeoutMinutes") {
            let expected = integer(outcome, "logicalSessionTimeoutMinutes");
            let actual = &topology.logical_session_timeout_minutes;
            same("logicalSessionTimeoutMinutes", &expected, actual)?;
        }
        if outcome.contains_key("maxSetVersion") {
            let expected = integer(outcome, "maxSetVersion");
            same("maxSetVersion", &expected, &topology.max_set_version)?;
        }
        if outcome.contains_key("maxElectionId") {
            let expected = outcome.get_object_id("maxElectionId").ok();
            same("maxElectionId", &expected, &topology.max_election_id)?;
        }
        if let Ok(expected) = outcome.get_bool("compatible") {
            same("compatible", &expected, &topology.compatible())?;
        }
        let servers = outcome.get_document("servers").map_err(|error| error.to_string())?;
        let mut expected =
            servers.keys().map(|name| address(name)).collect::<Result<Vec<_>, _>>()?;
        expected.sort();
        same("servers", &expected, &topology.servers.keys().cloned().collect())?;
        for (name, expected) in servers {
            let expected = expected.as_document().ok_or("a server is no document")?;
            let actual = topology.server(&address(name)?).ok_or("unreachable: keys are equal")?;
            self.compare_server(expected, actual)
                .map_err(|difference| format!("server {name}: {difference}"))?;
        }
        Ok(())
    }

    fn compare_server(
        &self,
        expected: &Document,
        actual: &Arc<ServerDescription>,
    ) -> Result<(), String> {
        same("type", &text(expected, "type")?, &actual.server_type.as_str())?;
        let reply = &actual.reply;
        // A load balancer is known, but has said nothing of itself.
        let answered =
            actual.server_type.is_known() && actual.server_type != ServerType::LoadBalancer;
        for field in expected.keys() {
            match field.as_str() {
                "type" => {}
                "setName" => same(field, &optional(expected, field), &actual.set_name())?,
                "setVersion" => same(field, &integer(expected, field), &actual.set_version())?,
                "electionId" => {
                    same(field, &expected.get_object_id(field).ok(), &actual.election_id())?;
                }
                "topologyVersion" => {
                    same(field, &topology_version(expected)?, &actual.topology_version)?;
                }
                "logicalSessionTimeoutMinutes" => {
                    let minutes = &reply.logical_session_timeout_minutes;
                    same(field, &integer(expected, field), minutes)?;
                }
                "minWireVersion" => {
                    let actual = answered.then_some(i64::from(reply.min_wire_version));
                    same(field, &integer(expected, field), &actual)?;
                }
                "maxWireVersion" => {
                    let actual = answered.then_some(i64::from(reply.max_wire_version));
                    same(field, &integer(expected, field), &actual)?;
                }
                "error" => {
                    let part = text(expected, "error")?;
                    let whole = actual.error.as_ref().map_or("", |error| &error.message);
                    if !whole.contains(part) {
                        return Err(format!("error: expected \"{part}\" in \"{whole}\""));
                    }
                }
                "pool" => {
                    let pool = expected.get_document("pool").map_err(|e| e.to_string())?;
                    let generation = integer(pool, "generation").map(i64::unsigned_abs);
                    let actual = self.sdam.pool_generation(&actual.address);
                    same("pool.generation", &generation, &actual)?;
                }
                other => return Err(format!("this runner does not know the field {other}")),
            }
        }
        Ok(())
    }
}

/// The reply as a message that answers `request`.
fn encode(request: &[u8], reply: &Document) -> Result<Vec<u8>, String> {
    let header = Header::of_frame(request).map_err(|error| error.to_string())?;
    let reply = RawDocumentBuf::try_from(reply).map_err(|error| error.to_string())?;
    let mut message = Vec::new();
    let mut builder = OpMsgBuilder::begin(&mut message, 1000, header.request_id, Flags::NONE);
    builder.body(&reply);
    builder.finish().map_err(|error| error.to_string())?;
    Ok(message)
}

/// What a reply to an operation says about the server; errors of single writes say nothing.
fn command_failure(response: &Document) -> Result<Option<FailureKind>, String> {
    let error = match integer(response, "ok") {
        Some(1) => response.get_document("writeConcernError").ok(),
        _ => Some(response),
    };
    let Some(error) = error else { return Ok(None) };
    Ok(Some(FailureKind::Command {
        code: integer(error, "code").and_then(|code| i32::try_from(code).ok()),
        message: error.get_str("errmsg").unwrap_or_default().into(),
        topology_version: topology_version(response)?,
    }))
}

fn topology_version(document: &Document) -> Result<Option<TopologyVersion>, String> {
    let Ok(version) = document.get_document("topologyVersion") else { return Ok(None) };
    let raw = RawDocumentBuf::try_from(version).map_err(|error| error.to_string())?;
    let version = TopologyVersion::parse(&raw);
    version.map(Some).ok_or_else(|| "topologyVersion is malformed".to_owned())
}

fn optional<'d>(document: &'d Document, field: &str) -> Option<&'d str> {
    document.get_str(field).ok()
}
