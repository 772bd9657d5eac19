//! The topology machine over real bytes: encoded replies in, encoded hellos out.

use std::time::Duration;

use bson::oid::ObjectId;
use bson::{RawDocumentBuf, rawdoc};

use super::*;
use crate::engine::hello::{ClientMetadata, EnvMetadata, OsMetadata};
use crate::engine::map::SortedMap;
use crate::engine::sdam::suspicion::SuspicionSettings;
use crate::engine::sdam::{
    LinkError, MonitorSettings, RttProbe, ServerType, SetWatch, TopologyId, TopologySnapshot,
};
use crate::engine::wire::{Flags, Header, OpMsgBuilder};

/// A machine, what it told, and the clock.
struct Rig {
    sdam: Sdam,
    now: Instant,
    told: Vec<String>,
    events: Vec<notice::Event>,
    recorded: Vec<(Instant, Event)>,
    sent: SortedMap<LinkId, Vec<u8>>,
    opening: Vec<LinkId>,
    ready: bool,
}

impl Rig {
    fn new(seed: &str) -> Self {
        Self::with_snapshot(seed, None)
    }

    fn with_snapshot(seed: &str, snapshot: Option<TopologySnapshot>) -> Self {
        let metadata = ClientMetadata::new(OsMetadata::default(), "test", EnvMetadata::default());
        let monitor = MonitorSettings {
            heartbeat_frequency: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            streaming: true,
            rtt_probe: RttProbe::Hello,
            metadata,
            compressors: Vec::new(),
            server_api: None,
        };
        let settings = SdamSettings {
            topology_id: TopologyId(ObjectId::from_bytes([7; 12])),
            seeds: vec![seed.parse().expect("an address")],
            set_name: Some("rs".to_owned()),
            direct_connection: None,
            load_balanced: false,
            snapshot,
            rescan: None,
            scan: None,
            suspicion: SuspicionSettings::default(),
            monitor,
        };
        let mut rig = Self {
            sdam: Sdam::new(settings),
            now: Instant::ZERO,
            told: Vec::new(),
            events: Vec::new(),
            recorded: Vec::new(),
            sent: SortedMap::new(),
            opening: Vec::new(),
            ready: false,
        };
        rig.put(Event::Open);
        rig
    }

    fn put(&mut self, event: Event) {
        self.recorded.push((self.now, event.clone()));
        self.sdam.handle(self.now, event);
        while let Some(action) = self.sdam.poll_action() {
            match action {
                Action::Notify(event) => {
                    self.told.push(event.kind.name().to_owned());
                    self.events.push(event);
                }
                Action::OpenLink(link) => self.opening.push(link),
                Action::Send(link, message) => {
                    self.sent.insert(link, message);
                }
                Action::CloseLink(link) => {
                    self.sent.remove(&link);
                    self.opening.retain(|opening| *opening != link);
                }
                Action::ReadyPool(_) => self.ready = true,
                _ => {}
            }
        }
    }

    fn elapse(&mut self) {
        self.now = self.sdam.poll_timeout().expect("a deadline").max(self.now);
        self.put(Event::Elapsed);
    }

    fn open(&mut self, role: LinkRole) -> LinkId {
        let position = self.opening.iter().position(|link| link.role == role).expect("opening");
        let link = self.opening.remove(position);
        self.put(Event::Opened(link.clone()));
        link
    }

    fn answer(&mut self, link: &LinkId, reply: &RawDocumentBuf, flags: Flags) {
        let request = self.sent.get(link).expect("a hello to answer");
        let id = Header::of_frame(request).expect("a header").request_id;
        let mut message = Vec::new();
        let mut builder = OpMsgBuilder::begin(&mut message, 1000, id, flags);
        builder.body(reply);
        builder.finish().expect("a short message");
        let written = self.now;
        self.now = self.now + Duration::from_millis(3);
        self.put(Event::Received { link: link.clone(), message, written });
    }

    fn kind(&self, address: &str) -> ServerType {
        let address = address.parse().expect("an address");
        self.sdam.topology().server(&address).expect("a member").server_type
    }
}

fn primary() -> RawDocumentBuf {
    rawdoc! {
        "ok": 1, "helloOk": true, "isWritablePrimary": true, "setName": "rs", "hosts": ["a:27017"],
        "me": "a:27017", "minWireVersion": 0, "maxWireVersion": 17, "setVersion": 1,
        "electionId": ObjectId::from_bytes([1; 12]),
        "topologyVersion": { "processId": ObjectId::from_bytes([2; 12]), "counter": 1_i64 },
    }
}

#[test]
fn a_streaming_check_follows_the_first_and_the_probe_measures() {
    let mut rig = Rig::new("a");
    rig.elapse();
    let heartbeat = rig.open(LinkRole::Heartbeat);
    rig.answer(&heartbeat, &primary(), Flags::NONE);
    assert_eq!(rig.kind("a"), ServerType::RSPrimary);
    let hello = rig.sent.get(&heartbeat).expect("an awaitable hello");
    assert!(hello.windows(14).any(|bytes| bytes == b"maxAwaitTimeMS"));

    rig.elapse();
    let rtt = rig.open(LinkRole::Rtt);
    rig.answer(&rtt, &primary(), Flags::NONE);
    let server = rig.sdam.topology().primary().expect("a primary").clone();
    assert_eq!(server.min_round_trip_time, Duration::ZERO, "measured right behind the first");
    assert_eq!(server.round_trip_time, Some(Duration::from_millis(3)));
    rig.elapse();
    rig.answer(&rtt, &primary(), Flags::NONE);
    let server = rig.sdam.topology().primary().expect("a primary").clone();
    assert_eq!(server.min_round_trip_time, Duration::from_millis(3));
    assert!(rig.told.ends_with(&["serverHeartbeatStarted".to_owned()]), "no event for RTT");
}

#[test]
fn a_broken_stream_is_retried_at_once_and_then_waits() {
    let mut rig = Rig::new("a");
    rig.elapse();
    let link = rig.open(LinkRole::Heartbeat);
    rig.answer(&link, &primary(), Flags::NONE);
    rig.told.clear();
    rig.put(Event::Broken { link, error: LinkError::network("connection reset") });
    assert_eq!(rig.kind("a"), ServerType::Unknown);
    assert_eq!(
        rig.told,
        [
            "serverHeartbeatFailed",
            "serverDescriptionChanged",
            "topologyDescriptionChanged",
            "serverHeartbeatStarted",
        ]
    );
    let retry = rig.opening.iter().find(|link| link.role == LinkRole::Heartbeat).cloned();
    let retry = retry.expect("an immediate retry");
    let failed_at = rig.now;
    rig.opening.retain(|link| *link != retry);
    rig.put(Event::Broken { link: retry, error: LinkError::network("connection refused") });
    assert!(rig.opening.iter().all(|link| link.role == LinkRole::Rtt), "no second retry");
    rig.put(Event::Demand(true));
    let address = "a".parse().expect("an address");
    assert_eq!(rig.sdam.pool_generation(&address), Some(2));
    let due = rig.sdam.members[&address].timeout().expect("a deadline");
    assert!(due <= failed_at + Duration::from_millis(500), "demand brings the check forward");
}

#[test]
fn every_started_heartbeat_ends_once_when_the_client_closes() {
    let mut rig = Rig::new("a");
    rig.elapse();
    let link = rig.open(LinkRole::Heartbeat);
    rig.answer(&link, &primary(), Flags::MORE_TO_COME);
    rig.put(Event::Close);
    let count = |name: &str| rig.told.iter().filter(|told| *told == name).count();
    assert_eq!(
        count("serverHeartbeatStarted"),
        count("serverHeartbeatSucceeded") + count("serverHeartbeatFailed")
    );
    assert_eq!(rig.told.last().map(String::as_str), Some("topologyClosed"));
    assert_eq!(rig.sdam.poll_timeout(), None);
}

#[test]
fn an_answer_on_a_closed_link_is_ignored() {
    let mut rig = Rig::new("a");
    rig.elapse();
    let link = rig.open(LinkRole::Heartbeat);
    rig.put(Event::Broken { link: link.clone(), error: LinkError::network("reset") });
    let told = rig.told.len();
    let message = vec![0; 40];
    rig.put(Event::Received { link, message, written: rig.now });
    assert_eq!(rig.told.len(), told);
}

#[test]
fn a_recording_replays_to_the_same_events() {
    use crate::engine::sdam::trace::{Record, Replay};

    let mut rig = Rig::new("a");
    let mut lines = vec![serde_json::to_string(&Record::Settings(rig.sdam.settings().clone()))];
    rig.recorded.iter().for_each(|(at, event)| {
        lines.push(serde_json::to_string(&Record::Input { at: *at, event: event.clone() }));
    });
    let before = rig.recorded.len();
    rig.elapse();
    let link = rig.open(LinkRole::Heartbeat);
    rig.answer(&link, &primary(), Flags::MORE_TO_COME);
    rig.put(Event::Demand(true));
    rig.put(Event::Broken { link, error: LinkError::network("reset") });
    rig.put(Event::Close);
    for (at, event) in &rig.recorded[before..] {
        lines.push(serde_json::to_string(&Record::Input { at: *at, event: event.clone() }));
    }
    let mut replay = Replay::new();
    let mut told = Vec::new();
    for line in lines {
        let record = serde_json::from_str(&line.expect("a line")).expect("a record");
        told.extend(replay.events(record).expect("in order"));
    }
    let json = |events: &[notice::Event]| -> Vec<String> {
        events.iter().map(|event| serde_json::to_string(event).expect("JSON")).collect()
    };
    assert_eq!(json(&told), json(&rig.events));
    assert!(told.len() > 10, "{told:?}");
}

#[test]
fn a_recording_without_settings_is_refused() {
    use crate::engine::sdam::trace::{Record, Replay, ReplayError};

    let input = Record::Input { at: Instant::ZERO, event: Event::Open };
    assert_eq!(Replay::new().events(input).map(|_| ()), Err(ReplayError::NoSettings));
}

#[test]
fn a_snapshot_makes_the_primary_known_before_the_first_check() {
    let mut rig = Rig::new("a");
    rig.elapse();
    let link = rig.open(LinkRole::Heartbeat);
    rig.answer(&link, &primary(), Flags::NONE);
    let text = serde_json::to_string(&rig.sdam.topology().snapshot()).expect("JSON");
    let snapshot: TopologySnapshot = serde_json::from_str(&text).expect("a snapshot");

    let mut warm = Rig::with_snapshot("a", Some(snapshot.clone()));
    assert_eq!(warm.kind("a"), ServerType::RSPrimary);
    let server = warm.sdam.topology().primary().expect("a primary").clone();
    assert_eq!(server.round_trip_time, Some(Duration::from_millis(3)));
    assert!(warm.ready, "its pool may make connections");
    warm.elapse();
    assert_eq!(warm.opening.len(), 1, "and it is checked at once");

    let stranger = Rig::with_snapshot("b", Some(snapshot));
    assert_eq!(stranger.kind("b"), ServerType::Unknown, "no seed in common: passed over");
    assert_eq!(stranger.sdam.topology().servers.len(), 1);
}

#[test]
fn a_seed_under_another_name_is_remembered_with_the_reason() {
    let mut rig = Rig::new("seed");
    rig.elapse();
    let link = rig.open(LinkRole::Heartbeat);
    rig.answer(&link, &primary(), Flags::NONE);
    let left_out: Vec<String> =
        rig.sdam.topology().left_out.values().map(ToString::to_string).collect();
    assert_eq!(
        left_out,
        ["seed:27017 was left out: the primary seed:27017 does not list it as a member"]
    );
}

// IC-13, IC-14: seeds count once, in their order; what is believed at first is a set without a
// primary, and the first thing told of it is that it was found.
#[test]
fn seeds_begin_a_set_without_a_primary() {
    let mut settings = Rig::new("a").sdam.settings().clone();
    settings.seeds = ["b", "a", "b:27017", "c", "A"].map(|seed| seed.parse().unwrap()).to_vec();
    let mut sdam = Sdam::new(settings.clone());
    let seeds: Vec<&str> = sdam.settings().seeds.iter().map(ServerAddress::host).collect();
    assert_eq!(seeds, ["b", "a", "c"]);
    let believed = (TopologyType::ReplicaSetNoPrimary, Some("rs"), 3);
    let shape = |topology: &TopologyDescription| {
        let known = topology.servers.values().any(|server| server.server_type.is_known());
        assert!(!known, "nothing is known yet");
        (topology.topology_type, topology.set_name.clone(), topology.servers.len())
    };
    let expected = (believed.0, believed.1.map(str::to_owned), believed.2);
    assert_eq!(shape(&sdam.seeded()), expected);
    sdam.handle(Instant::ZERO, Event::Open);
    assert_eq!(shape(sdam.topology()), expected);
    let (mut watch, mut told, mut links) = (SetWatch::new(), Vec::new(), Vec::new());
    for action in std::iter::from_fn(|| sdam.poll_action()) {
        if let Action::Notify(event) = action {
            told.extend(watch.apply(&event.kind).iter().map(ToString::to_string));
        }
    }
    assert_eq!(told, ["set rs found"]);
    sdam.handle(sdam.poll_timeout().expect("the first checks"), Event::Elapsed);
    for action in std::iter::from_fn(|| sdam.poll_action()) {
        if let Action::OpenLink(link) = action {
            links.push((link.address.host().to_owned(), link.role));
        }
    }
    let heartbeat = |host: &str| (host.to_owned(), LinkRole::Heartbeat);
    assert_eq!(links, ["a", "b", "c"].map(heartbeat), "one monitor each");

    // A standalone that is named twice is one server, not two of which neither belongs.
    settings.set_name = None;
    settings.seeds = vec!["a".parse().unwrap(); 2];
    let alone = Sdam::new(settings);
    assert_eq!(alone.settings().seeds.len(), 1);
}

/// GAP-07.
#[test]
fn behind_a_standstill_everything_is_checked_before_it_is_trusted() {
    let mut rig = Rig::new("a");
    rig.elapse();
    let link = rig.open(LinkRole::Heartbeat);
    rig.answer(&link, &primary(), Flags::NONE);
    rig.elapse();
    let probe = rig.open(LinkRole::Rtt);
    rig.answer(&probe, &primary(), Flags::NONE);
    let due = rig.sdam.poll_timeout().expect("a deadline");
    let overdue = rig.sdam.overdue().expect("a deadline");
    assert_eq!(overdue - due, Duration::from_secs(20), "a heartbeat and a time-out");

    rig.told.clear();
    rig.ready = false;
    rig.now = overdue + Duration::from_secs(100);
    // Whatever comes first: here what arrived on the stream while nobody ran.
    rig.answer(&link, &primary(), Flags::NONE);
    let address = "a".parse().expect("an address");
    assert_eq!(rig.sdam.stood_still(), Duration::from_millis(120_003));
    assert_eq!(rig.kind("a"), ServerType::Unknown, "the old stream is not believed");
    assert_eq!(rig.sdam.pool_generation(&address), Some(1));
    assert!(rig.ready, "the pool may be used on new connections");
    let text = "serverDescriptionChanged topologyDescriptionChanged \
                serverHeartbeatFailed serverHeartbeatStarted";
    assert_eq!(rig.told.join(" "), text, "the check is due now, not in 500 ms");
    let roles: Vec<LinkRole> = rig.opening.iter().map(|link| link.role).collect();
    assert_eq!(roles, [LinkRole::Heartbeat], "one that is new");
    assert!(rig.sent.is_empty(), "both old links are closed");

    let link = rig.open(LinkRole::Heartbeat);
    rig.answer(&link, &primary(), Flags::NONE);
    assert_eq!(rig.kind("a"), ServerType::RSPrimary);
    rig.elapse();
    assert_eq!(rig.opening[0].role, LinkRole::Rtt, "round trips are measured again");
    assert_eq!(rig.sdam.stood_still(), Duration::from_millis(120_003), "counted once");
}

#[test]
fn an_input_that_is_late_within_reason_is_no_standstill() {
    let mut rig = Rig::new("a");
    rig.elapse();
    let link = rig.open(LinkRole::Heartbeat);
    rig.answer(&link, &primary(), Flags::NONE);
    rig.now = rig.sdam.overdue().expect("a deadline");
    rig.put(Event::Demand(true));
    assert_eq!(rig.sdam.stood_still(), Duration::ZERO);
    assert_eq!(rig.kind("a"), ServerType::RSPrimary);
}

/// SM-14: an application's handshake is as good as a check, once a check has succeeded.
#[test]
fn a_handshake_of_an_application_updates_the_topology() {
    let mut rig = Rig::new("a");
    let address: ServerAddress = "a".parse().expect("an address");
    let mut hello = primary();
    hello.append(bson::raw::cstr!("tags"), rawdoc! { "dc": "oslo" });
    let heard = || {
        let reply = Box::new(HelloReply::parse(&hello).expect("a reply"));
        Event::Handshaken { address: address.clone(), reply }
    };
    rig.put(heard());
    assert_eq!(rig.kind("a"), ServerType::Unknown, "no check has succeeded yet");
    rig.elapse();
    let link = rig.open(LinkRole::Heartbeat);
    rig.answer(&link, &primary(), Flags::NONE);
    rig.put(heard());
    let server = rig.sdam.topology().primary().expect("a primary").clone();
    assert_eq!(server.tags().get("dc").map(String::as_str), Some("oslo"));
    assert!(server.round_trip_time.is_some(), "and what was measured stays");
}
