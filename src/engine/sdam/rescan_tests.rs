//! The thirteen prose tests of polling-srv-records-for-mongos-discovery (SRV-14), and what they
//! leave out, on the topology machine with time that is an argument.

use std::collections::{BTreeMap, BTreeSet};

use bson::oid::ObjectId;
use bson::{RawDocumentBuf, rawdoc};

use super::*;
use crate::engine::hello::{ClientMetadata, EnvMetadata, OsMetadata};
use crate::engine::sdam::{
    Action, Event, LinkId, MonitorSettings, RttProbe, Sdam, SdamSettings, TopologyId,
};
use crate::engine::wire::{Flags, Header, OpMsgBuilder};

const TEST1: &str = "_mongodb._tcp.test1.test.build.10gen.cc";
const TEST22: &str = "_customname._tcp.test22.test.build.10gen.cc";
const TTL: Duration = Duration::from_secs(86_400);
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What DNS answers: records, or why there are none; `None` for nothing at all.
type Answer = Option<Result<Vec<SrvRecord>, String>>;

/// A machine, the DNS server it asks and the servers it talks to.
struct Rig {
    sdam: Sdam,
    now: Instant,
    /// What every server says of itself.
    reply: Option<RawDocumentBuf>,
    dns: BTreeMap<String, Answer>,
    /// When each look-up began.
    asked: Vec<Instant>,
    cancelled: usize,
    told: Vec<String>,
    rescanned: Vec<(Vec<ServerAddress>, Vec<SrvError>, Duration)>,
    dialled: BTreeSet<String>,
    hellos: Vec<(LinkId, Vec<u8>)>,
}

fn records(ports: &[u16]) -> Vec<SrvRecord> {
    let host = "localhost.test.build.10gen.cc.".to_owned();
    ports.iter().map(|&port| SrvRecord { host: host.clone(), port, ttl: TTL }).collect()
}

fn some(ports: &[u16]) -> Answer {
    Some(Ok(records(ports)))
}

fn settings() -> RescanSettings {
    RescanSettings {
        host: "test1.test.build.10gen.cc".to_owned(),
        service_name: "mongodb".to_owned(),
        max_hosts: 0,
        replica_sets: false,
        interval: None,
        ttl: Duration::ZERO,
        heartbeat_frequency: HEARTBEAT,
        limit: Duration::from_secs(5),
        seed: 1,
    }
}

fn mongos() -> RawDocumentBuf {
    rawdoc! { "ok": 1, "isWritablePrimary": true, "msg": "isdbgrid",
    "minWireVersion": 0, "maxWireVersion": 21 }
}

fn secondary() -> RawDocumentBuf {
    rawdoc! { "ok": 1, "secondary": true, "setName": "rs", "minWireVersion": 0,
    "hosts": ["localhost.test.build.10gen.cc:27017", "localhost.test.build.10gen.cc:27018"],
    "maxWireVersion": 21 }
}

impl Rig {
    /// A client of `ports`, whose servers all answer `reply`.
    fn new(ports: &[u16], load_balanced: bool, settings: RescanSettings) -> Self {
        let metadata = ClientMetadata::new(OsMetadata::default(), "test", EnvMetadata::default());
        let seed =
            |record: &SrvRecord| ServerAddress::tcp(record.host.trim_end_matches('.'), record.port);
        let sdam = Sdam::new(SdamSettings {
            topology_id: TopologyId(ObjectId::from_bytes([7; 12])),
            seeds: records(ports).iter().map(seed).collect(),
            set_name: None,
            direct_connection: None,
            load_balanced,
            snapshot: None,
            rescan: Some(settings),
            scan: None,
            suspicion: Default::default(),
            monitor: MonitorSettings {
                heartbeat_frequency: HEARTBEAT,
                connect_timeout: Duration::ZERO,
                streaming: false,
                rtt_probe: RttProbe::Hello,
                metadata,
                compressors: Vec::new(),
                server_api: None,
            },
        });
        Self {
            sdam,
            now: Instant::ZERO,
            reply: Some(mongos()),
            dns: BTreeMap::new(),
            asked: Vec::new(),
            cancelled: 0,
            told: Vec::new(),
            rescanned: Vec::new(),
            dialled: BTreeSet::new(),
            hellos: Vec::new(),
        }
    }

    /// The client of the prose tests: two mongoses, and what DNS says from now on.
    fn test1(answer: Answer) -> Self {
        Self::test1_with(settings(), answer)
    }

    fn test1_with(settings: RescanSettings, answer: Answer) -> Self {
        let mut rig = Self::new(&[27017, 27018], false, settings);
        rig.dns.insert(TEST1.to_owned(), answer);
        rig.put(Event::Open);
        rig
    }

    fn put(&mut self, event: Event) {
        let mut events = std::collections::VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            self.sdam.handle(self.now, event);
            while let Some(action) = self.sdam.poll_action() {
                match action {
                    Action::OpenLink(link) => {
                        self.dialled.insert(link.address.to_string());
                        events.push_back(Event::Opened(link));
                    }
                    Action::Send(link, message) => self.hellos.push((link, message)),
                    Action::LookUp { number, name } => {
                        self.asked.push(self.now);
                        let answer = self.dns.get(&name).cloned();
                        let unknown = || Some(Err(format!("{name} does not exist")));
                        if let Some(answer) = answer.unwrap_or_else(unknown) {
                            events.push_back(Event::LookedUp { number, answer });
                        }
                    }
                    Action::CancelLookUp(_) => self.cancelled += 1,
                    Action::Notify(event) => self.hear(event.kind),
                    _ => {}
                }
            }
            if events.is_empty() {
                events.extend(self.answer());
            }
        }
    }

    fn hear(&mut self, kind: EventKind) {
        if let EventKind::SrvRescanned { hosts, problems, next, .. } = kind {
            self.rescanned.push((hosts, problems.to_vec(), next));
            return;
        }
        let name = kind.name();
        if !name.starts_with("serverHeartbeat") {
            let address = kind.address().map(|address| format!(" {address}"));
            self.told.push(format!("{name}{}", address.unwrap_or_default()));
        }
    }

    /// What a server answers to the oldest hello.
    fn answer(&mut self) -> Option<Event> {
        let reply = self.reply.clone()?;
        if self.hellos.is_empty() {
            return None;
        }
        let (link, request) = self.hellos.remove(0);
        let id = Header::of_frame(&request).expect("a header").request_id;
        let mut message = Vec::new();
        let mut builder = OpMsgBuilder::begin(&mut message, 1, id, Flags::NONE);
        builder.body(&reply);
        builder.finish().expect("a short message");
        Some(Event::Received { link, message, written: self.now })
    }

    /// Lets time pass, from deadline to deadline.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.sdam.poll_timeout().filter(|deadline| *deadline <= end) {
            self.now = deadline.max(self.now);
            self.put(Event::Elapsed);
        }
        self.now = end;
    }

    /// The ports of the servers that are known, all of the one host.
    fn ports(&self) -> Vec<u16> {
        let topology = self.sdam.topology();
        let host = "localhost.test.build.10gen.cc";
        assert!(topology.servers.keys().all(|address| address.host() == host));
        topology.servers.keys().filter_map(ServerAddress::port).collect()
    }

    fn after_two_intervals(mut self) -> Vec<u16> {
        self.pass(2 * MIN_RESCAN_INTERVAL);
        self.ports()
    }
}

// SRV-12, SRV-14
#[test]
fn prose_1_addition_of_a_new_record() {
    let ports = Rig::test1(some(&[27017, 27018, 27019])).after_two_intervals();
    assert_eq!(ports, [27017, 27018, 27019]);
}

#[test]
fn prose_2_removal_of_an_existing_record() {
    assert_eq!(Rig::test1(some(&[27017])).after_two_intervals(), [27017]);
}

#[test]
fn prose_3_replacement_of_a_record() {
    assert_eq!(Rig::test1(some(&[27017, 27019])).after_two_intervals(), [27017, 27019]);
}

#[test]
fn prose_4_replacement_of_both_records_with_one() {
    assert_eq!(Rig::test1(some(&[27019])).after_two_intervals(), [27019]);
}

#[test]
fn prose_5_replacement_of_both_records_with_two() {
    assert_eq!(Rig::test1(some(&[27019, 27020])).after_two_intervals(), [27019, 27020]);
}

// SRV-11, SRV-14
#[test]
fn prose_6_time_out() {
    let mut rig = Rig::test1(None);
    rig.pass(2 * MIN_RESCAN_INTERVAL);
    assert_eq!(rig.ports(), [27017, 27018]);
    let seconds = |n| Instant::ZERO + Duration::from_secs(n);
    // Five seconds without an answer, then the heartbeat's ten.
    assert_eq!(rig.asked, [60, 75, 90, 105, 120].map(seconds));
    assert_eq!(rig.cancelled, 4);
    assert!(rig.rescanned.iter().all(|(_, _, next)| *next == HEARTBEAT));
    let problem = rig.rescanned[0].1[0].to_string();
    assert!(problem.contains(TEST1) && problem.contains("no answer within 5s"), "{problem}");
}

#[test]
fn prose_7_failure() {
    let mut rig = Rig::test1(Some(Err("the name does not exist".to_owned())));
    rig.pass(HEARTBEAT);
    rig.told.clear();
    rig.pass(MIN_RESCAN_INTERVAL - HEARTBEAT);
    assert_eq!(rig.rescanned.len(), 1);
    assert_eq!(rig.ports(), [27017, 27018]);
    assert!(rig.told.is_empty(), "{:?}", rig.told);
    // Until success; then by the time to live again.
    rig.pass(HEARTBEAT);
    rig.dns.insert(TEST1.to_owned(), some(&[27019]));
    rig.pass(HEARTBEAT);
    assert_eq!(rig.rescanned.len(), 3);
    assert_eq!(rig.rescanned[2].2, TTL);
    assert_eq!(rig.ports(), [27019]);
}

#[test]
fn prose_8_no_records() {
    let mut rig = Rig::test1(some(&[]));
    rig.pass(2 * MIN_RESCAN_INTERVAL);
    assert_eq!(rig.ports(), [27017, 27018]);
    assert_eq!(rig.rescanned[0].1, [SrvError::NoRecords { name: TEST1.to_owned() }]);
    assert_eq!(rig.rescanned[0].2, HEARTBEAT);
}

// SRV-08, LB-10, SRV-14
#[test]
fn prose_9_not_for_a_load_balancer() {
    let mut rig = Rig::new(&[27017], true, settings());
    rig.dns.insert(TEST1.to_owned(), some(&[27017, 27018]));
    rig.put(Event::Open);
    assert_eq!(rig.sdam.topology().topology_type, TopologyType::LoadBalanced);
    rig.pass(2 * MIN_RESCAN_INTERVAL);
    assert_eq!(rig.ports(), [27017]);
    assert!(rig.asked.is_empty());
}

fn at_most(max_hosts: usize) -> RescanSettings {
    RescanSettings { max_hosts, ..settings() }
}

// SRV-12, SRV-14
#[test]
fn prose_10_all_records_where_the_limit_is_zero() {
    let rig = Rig::test1_with(at_most(0), some(&[27017, 27019, 27020]));
    assert_eq!(rig.after_two_intervals(), [27017, 27019, 27020]);
}

#[test]
fn prose_11_all_records_where_they_are_not_more_than_the_limit() {
    let rig = Rig::test1_with(at_most(2), some(&[27019, 27020]));
    assert_eq!(rig.after_two_intervals(), [27019, 27020]);
}

#[test]
fn prose_12_new_records_at_random_up_to_the_limit() {
    let mut drawn = BTreeSet::new();
    for seed in 0..32 {
        let settings = RescanSettings { seed, ..at_most(2) };
        let ports = Rig::test1_with(settings, some(&[27017, 27019, 27020])).after_two_intervals();
        assert_eq!((ports.len(), ports[0]), (2, 27017));
        drawn.insert(ports[1]);
    }
    assert_eq!(drawn, BTreeSet::from([27019, 27020]));
}

#[test]
fn prose_13_custom_service_name() {
    let settings = RescanSettings {
        host: "test22.test.build.10gen.cc".to_owned(),
        service_name: "customname".to_owned(),
        ..settings()
    };
    let mut rig = Rig::new(&[27017, 27018], false, settings);
    rig.dns.insert(TEST22.to_owned(), some(&[27019, 27020]));
    rig.put(Event::Open);
    assert_eq!(rig.after_two_intervals(), [27019, 27020]);
}

// SRV-09
#[test]
fn the_interval_is_the_least_time_to_live_from_the_end_of_the_look_up_before() {
    let mut short = records(&[27017, 27018]);
    short[1].ttl = Duration::from_secs(90);
    let initial = RescanSettings { ttl: Duration::from_secs(70), ..settings() };
    let mut rig = Rig::test1_with(initial, Some(Ok(short)));
    rig.pass(Duration::from_secs(70));
    rig.dns.insert(TEST1.to_owned(), None);
    rig.pass(Duration::from_secs(90));
    let seconds = |n| Instant::ZERO + Duration::from_secs(n);
    assert_eq!(rig.asked, [70, 160].map(seconds));
    // The answer takes three seconds; then the least is below a minute.
    rig.pass(Duration::from_secs(3));
    let mut least = records(&[27017, 27018]);
    least[0].ttl = Duration::from_secs(1);
    rig.put(Event::LookedUp { number: 2, answer: Ok(least) });
    rig.pass(Duration::from_secs(60));
    assert_eq!(rig.asked, [70, 160, 223].map(seconds));
}

// SRV-09, GAP-08
#[test]
fn a_given_interval_counts_whatever_the_time_to_live() {
    let interval = Some(Duration::from_secs(2));
    let settings = RescanSettings { interval, ttl: TTL, ..settings() };
    let mut rig = Rig::test1_with(settings, some(&[27017]));
    rig.pass(Duration::from_secs(6));
    assert_eq!(rig.asked.len(), 3);
    assert_eq!(rig.ports(), [27017]);
}

// SRV-10
#[test]
fn a_foreign_host_is_told_but_neither_added_nor_dialled() {
    let mut answer = records(&[27017, 27019]);
    answer[1].host = "localhost.evil.cc".to_owned();
    let mut rig = Rig::test1(Some(Ok(answer)));
    rig.pass(2 * MIN_RESCAN_INTERVAL);
    assert_eq!(rig.ports(), [27017]);
    let (hosts, problems, next) = &rig.rescanned[0];
    assert_eq!((hosts.len(), problems.len(), *next), (1, 1, TTL));
    assert!(problems[0].to_string().contains("localhost.evil.cc"), "{}", problems[0]);
    assert!(rig.dialled.iter().all(|address| !address.contains("evil")), "{:?}", rig.dialled);
}

// SRV-11
#[test]
fn only_foreign_hosts_are_a_failure() {
    let mut answer = records(&[27017]);
    answer[0].host = "localhost.evil.cc".to_owned();
    let mut rig = Rig::test1(Some(Ok(answer)));
    rig.pass(MIN_RESCAN_INTERVAL);
    assert_eq!(rig.ports(), [27017, 27018]);
    assert_eq!(rig.rescanned[0].2, HEARTBEAT);
}

// SRV-12
#[test]
fn changes_are_topology_events_and_unchanged_hosts_are_left_alone() {
    let mut rig = Rig::test1(some(&[27018, 27019]));
    let kept: ServerAddress = "localhost.test.build.10gen.cc:27018".parse().expect("an address");
    rig.pass(MIN_RESCAN_INTERVAL - Duration::from_secs(1));
    let before = rig.sdam.topology().server(&kept).expect("a member").clone();
    rig.told.clear();
    rig.reply = None;
    rig.pass(Duration::from_secs(1));
    let after = rig.sdam.topology().server(&kept).expect("a member").clone();
    assert!(Arc::ptr_eq(&before, &after));
    let host = "localhost.test.build.10gen.cc";
    let expected = [
        format!("serverClosed {host}:27017"),
        format!("serverOpening {host}:27019"),
        "topologyDescriptionChanged".to_owned(),
    ];
    assert_eq!(rig.told, expected);
}

// SRV-08
#[test]
fn while_nothing_is_known_the_records_are_looked_up() {
    let mut rig = Rig::new(&[27017], false, settings());
    rig.reply = None;
    rig.dns.insert(TEST1.to_owned(), some(&[27018, 27019]));
    rig.put(Event::Open);
    rig.pass(MIN_RESCAN_INTERVAL);
    assert_eq!(rig.sdam.topology().topology_type, TopologyType::Unknown);
    assert_eq!(rig.ports(), [27018, 27019]);
    // Of two hosts none may be a standalone: the one that answers is removed.
    rig.reply = Some(rawdoc! { "ok": 1, "isWritablePrimary": true, "maxWireVersion": 21 });
    rig.put(Event::Demand(false));
    assert_eq!(rig.sdam.topology().topology_type, TopologyType::Unknown);
    assert!(rig.ports().is_empty());
}

// SRV-08
#[test]
fn a_replica_set_is_not_looked_up_unless_the_option_says_so() {
    for replica_sets in [false, true] {
        let settings = RescanSettings { replica_sets, ..settings() };
        let mut rig = Rig::new(&[27017], false, settings);
        rig.reply = Some(secondary());
        rig.dns.insert(TEST1.to_owned(), some(&[27019]));
        rig.put(Event::Open);
        rig.pass(2 * MIN_RESCAN_INTERVAL);
        assert_eq!(rig.sdam.topology().topology_type, TopologyType::ReplicaSetNoPrimary);
        // GAP-08: added as a place to begin anew, nobody removed.
        let expected: &[u16] = if replica_sets { &[27017, 27018, 27019] } else { &[27017, 27018] };
        assert_eq!(rig.ports(), expected);
        assert_eq!(rig.asked.is_empty(), !replica_sets);
    }
}

#[test]
fn an_answer_that_comes_too_late_changes_nothing() {
    let mut rig = Rig::test1(None);
    rig.pass(Duration::from_secs(66));
    rig.put(Event::LookedUp { number: 1, answer: Ok(records(&[27020])) });
    assert_eq!(rig.ports(), [27017, 27018]);
    // And one for a topology that meanwhile is none of those that change by DNS.
    let mut rig = Rig::new(&[27017], false, settings());
    rig.reply = None;
    rig.dns.insert(TEST1.to_owned(), None);
    rig.put(Event::Open);
    rig.pass(MIN_RESCAN_INTERVAL);
    rig.reply = Some(secondary());
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.asked.len(), 1);
    let (link, _) = rig.hellos.first().cloned().expect("a hello that waits");
    assert_eq!(link.address.port(), Some(27017));
    let answer = rig.answer().expect("an answer");
    rig.put(answer);
    rig.put(Event::LookedUp { number: 1, answer: Ok(records(&[27020])) });
    assert_eq!(rig.ports(), [27017, 27018]);
}

#[test]
fn closing_ends_the_look_up() {
    let mut rig = Rig::test1(None);
    rig.pass(MIN_RESCAN_INTERVAL);
    rig.put(Event::Close);
    assert_eq!(rig.cancelled, 1);
    assert_eq!(rig.sdam.poll_timeout(), None);
}
