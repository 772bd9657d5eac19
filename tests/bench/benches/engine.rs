//! The engine alone: one hello applied to a topology of 50 members, and selection among them.
//!
//! `cargo bench` here, or `cargo xtask bench engine`. The official driver's topology and selection
//! have no public face; what stands beside them is the benchmark `members`.

use std::collections::BTreeMap;
use std::time::Duration;

use bson::oid::ObjectId;
use bson::{RawDocumentBuf, rawdoc};
use divan::{AllocProfiler, Bencher, black_box};
use portolan::ReadPreference;
use portolan::engine::hello::{ClientMetadata, EnvMetadata, OsMetadata};
use portolan::engine::rng::Rng;
use portolan::engine::sdam::suspicion::SuspicionSettings;
use portolan::engine::sdam::{
    Action, Event, LinkId, LinkRole, MonitorSettings, RttProbe, Sdam, SdamSettings, TopologyId,
};
use portolan::engine::selection::{Criteria, select};
use portolan::engine::time::Instant;
use portolan::engine::wire::{Flags, Header, OpMsgBuilder};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const MEMBERS: usize = 50;

fn main() {
    divan::main();
}

fn host(number: usize) -> String {
    format!("member-{number}.example:27017")
}

fn process(number: usize) -> ObjectId {
    let mut bytes = [2; 12];
    bytes[11] = u8::try_from(number).unwrap_or(0);
    ObjectId::from_bytes(bytes)
}

/// As a member of such a set answers.
fn hello(number: usize, counter: i64) -> RawDocumentBuf {
    let mut hosts = bson::RawArrayBuf::new();
    (0..MEMBERS).for_each(|number| hosts.push(host(number)));
    let primary = number == 0;
    rawdoc! {
        "topologyVersion": { "processId": process(number), "counter": counter },
        "hosts": hosts, "setName": "rs0", "setVersion": 1_i32, "isWritablePrimary": primary,
        "secondary": !primary, "primary": host(0), "me": host(number),
        "electionId": ObjectId::from_bytes([1; 12]),
        "lastWrite": { "lastWriteDate": bson::DateTime::from_millis(1_000 + counter) },
        "maxBsonObjectSize": 16_777_216_i32, "maxMessageSizeBytes": 48_000_000_i32,
        "maxWriteBatchSize": 100_000_i32, "logicalSessionTimeoutMinutes": 30_i32,
        "connectionId": 7_i32, "minWireVersion": 0_i32, "maxWireVersion": 17_i32,
        "readOnly": false, "ok": 1.0_f64,
    }
}

/// The topology machine of a client that streams from 50 members, and who awaits what.
struct Rig {
    sdam: Sdam,
    now: Instant,
    sent: BTreeMap<LinkId, i32>,
    opening: Vec<LinkId>,
}

impl Rig {
    fn new() -> Self {
        let metadata = ClientMetadata::new(OsMetadata::default(), "bench", EnvMetadata::default());
        let settings = SdamSettings {
            topology_id: TopologyId(ObjectId::from_bytes([7; 12])),
            seeds: vec![host(0).parse().expect("an address")],
            set_name: Some("rs0".to_owned()),
            direct_connection: None,
            load_balanced: false,
            snapshot: None,
            rescan: None,
            scan: None,
            suspicion: SuspicionSettings::default(),
            monitor: MonitorSettings {
                heartbeat_frequency: Duration::from_secs(10),
                connect_timeout: Duration::from_secs(10),
                streaming: true,
                rtt_probe: RttProbe::Hello,
                metadata,
                compressors: Vec::new(),
                server_api: None,
            },
        };
        let mut rig = Self {
            sdam: Sdam::new(settings),
            now: Instant::ZERO,
            sent: BTreeMap::new(),
            opening: Vec::new(),
        };
        rig.put(Event::Open);
        while rig.known() < MEMBERS {
            let Some(link) = rig.opening.pop() else {
                rig.now = rig.sdam.poll_timeout().expect("a deadline").max(rig.now);
                rig.put(Event::Elapsed);
                continue;
            };
            rig.put(Event::Opened(link.clone()));
            rig.answer(&link, 1, Flags::NONE);
            // The awaitable hello that follows is answered once: from then on the server streams.
            if link.role == LinkRole::Heartbeat {
                rig.answer(&link, 2, Flags::MORE_TO_COME);
            }
        }
        rig
    }

    fn known(&self) -> usize {
        let servers = self.sdam.topology().servers.values();
        servers.filter(|server| server.server_type.is_data_bearing()).count()
    }

    fn put(&mut self, event: Event) {
        self.sdam.handle(self.now, event);
        while let Some(action) = self.sdam.poll_action() {
            match action {
                Action::OpenLink(link) => self.opening.push(link),
                Action::Send(link, message) => {
                    let header = Header::of_frame(&message).expect("a header");
                    self.sent.insert(link, header.request_id);
                }
                other => drop(black_box(other)),
            }
        }
    }

    /// The next reply on a link; a streamed one answers the reply before it.
    fn reply(&mut self, link: &LinkId, counter: i64, flags: Flags) -> Event {
        let Some(awaited) = self.sent.get_mut(link) else { panic!("nothing awaited on {link:?}") };
        let next = i32::try_from(10_000 + counter).expect("a small number");
        let number = (0..MEMBERS).find(|number| host(*number) == link.address.to_string());
        let mut message = Vec::new();
        let mut builder = OpMsgBuilder::begin(&mut message, next, *awaited, flags);
        builder.body(&hello(number.expect("a member"), counter));
        builder.finish().expect("a short message");
        if flags.contains(Flags::MORE_TO_COME) {
            *awaited = next;
        }
        Event::Received { link: link.clone(), message, written: self.now }
    }

    fn answer(&mut self, link: &LinkId, counter: i64, flags: Flags) {
        let event = self.reply(link, counter, flags);
        self.now = self.now + Duration::from_micros(300);
        self.put(event);
    }

    fn heartbeat_link(&self) -> LinkId {
        let of_a_secondary = |link: &&LinkId| {
            link.role == LinkRole::Heartbeat && link.address.to_string() == host(7)
        };
        self.sent.keys().find(of_a_secondary).expect("the secondary's monitor").clone()
    }
}

/// A streamed hello of a secondary: bytes in, a new topology published.
#[divan::bench]
fn one_hello_applied_to_50_members(bencher: Bencher<'_, '_>) {
    let rig = std::cell::RefCell::new((Rig::new(), 2_i64));
    let link = rig.borrow().0.heartbeat_link();
    bencher
        .with_inputs(|| {
            let (rig, counter) = &mut *rig.borrow_mut();
            *counter += 1;
            rig.reply(&link, *counter, Flags::MORE_TO_COME)
        })
        .bench_local_values(|event| {
            let (rig, _) = &mut *rig.borrow_mut();
            // So little that no deadline passes, however often this runs.
            rig.now = rig.now + Duration::from_nanos(100);
            rig.put(event);
        });
}

#[divan::bench(args = ["primary", "secondary", "nearest"])]
fn selection_among_50_servers(bencher: Bencher<'_, '_>, mode: &str) {
    let preference = match mode {
        "primary" => ReadPreference::primary(),
        "secondary" => ReadPreference::secondary(),
        _ => ReadPreference::nearest(),
    };
    let (topology, mut rng) = (Rig::new().sdam.topology().clone(), Rng::seeded(1));
    let criteria = Criteria::read(&preference);
    bencher.bench_local(|| {
        let server = select(&topology, black_box(&criteria), |_| 1, &mut rng);
        assert!(server.is_ok_and(|server| server.is_some()));
    });
}
