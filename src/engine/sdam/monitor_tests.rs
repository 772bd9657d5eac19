//! One monitor alone: what follows each outcome of a check, and when the next one is due.

use bson::oid::ObjectId;
use bson::{RawDocumentBuf, rawdoc};

use super::*;
use crate::engine::hello::{ClientMetadata, EnvMetadata, OsMetadata};
use crate::engine::sdam::{LinkErrorKind, RttProbe};
use crate::engine::wire::{Flags, Header, OpMsgBuilder};

/// Settings with a heartbeat of 10 s and a time-out of 700 ms.
pub(in crate::engine::sdam) fn settings(streaming: bool, rtt_probe: RttProbe) -> MonitorSettings {
    MonitorSettings {
        heartbeat_frequency: Duration::from_secs(10),
        connect_timeout: Duration::from_millis(700),
        streaming,
        rtt_probe,
        metadata: ClientMetadata::new(OsMetadata::default(), "test", EnvMetadata::default()),
        compressors: Vec::new(),
        server_api: None,
    }
}

/// The message that answers `request` with `reply`.
pub(in crate::engine::sdam) fn answer(request: &[u8], reply: &RawDocumentBuf) -> Vec<u8> {
    let id = Header::of_frame(request).expect("a header").request_id;
    let mut message = Vec::new();
    let mut builder = OpMsgBuilder::begin(&mut message, 1000, id, Flags::NONE);
    builder.body(reply);
    builder.finish().expect("a short message");
    message
}

pub(in crate::engine::sdam) fn primary() -> RawDocumentBuf {
    rawdoc! {
        "ok": 1, "helloOk": true, "isWritablePrimary": true, "setName": "rs", "hosts": ["a:27017"],
        "minWireVersion": 0, "maxWireVersion": 21,
        "topologyVersion": { "processId": ObjectId::from_bytes([2; 12]), "counter": 1_i64 },
    }
}

pub(in crate::engine::sdam) fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

/// What becomes of a check.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Reply,
    ShuttingDown,
    Malformed,
    Broken,
    Silence,
}

struct Rig {
    monitor: Monitor,
    now: Instant,
    sent: Vec<u8>,
    told: Vec<&'static str>,
    failed: Option<LinkErrorKind>,
}

impl Rig {
    fn new(streaming: bool) -> Self {
        let settings = Arc::new(settings(streaming, RttProbe::Hello));
        let monitor = Monitor::new(settings, Instant::ZERO, false);
        Self { monitor, now: Instant::ZERO, sent: Vec::new(), told: Vec::new(), failed: None }
    }

    fn tell(&mut self, tell: impl FnOnce(&mut Monitor, Instant, &mut Vec<Step>)) {
        let mut steps = Vec::new();
        tell(&mut self.monitor, self.now, &mut steps);
        if self.note(steps) {
            let mut steps = Vec::new();
            self.monitor.proceed(self.now, &mut steps);
            self.note(steps);
        }
    }

    /// Whether an outcome is among the steps, which the topology is to apply.
    fn note(&mut self, steps: Vec<Step>) -> bool {
        let is_outcome = |step: &Step| matches!(step, Step::Succeeded { .. } | Step::Failed { .. });
        let outcome = steps.iter().any(is_outcome);
        for step in steps {
            self.told.push(match step {
                Step::Started { awaited: false } => "started",
                Step::Started { awaited: true } => "awaiting",
                Step::Open(_) => "open",
                Step::Send(message) | Step::Greet(message) => {
                    self.sent = message;
                    "send"
                }
                Step::Close => "close",
                Step::GiveBack => "give back",
                Step::Succeeded { .. } => "succeeded",
                Step::Failed { error, .. } => {
                    self.failed = Some(error.kind());
                    "failed"
                }
                Step::Cancelled { .. } => "cancelled",
            });
        }
        outcome
    }

    /// Lets time pass to the deadline.
    fn elapse(&mut self) {
        self.now = self.monitor.timeout().expect("a deadline").max(self.now);
        self.tell(|monitor, now, steps| monitor.elapse(now, steps));
    }

    fn receive(&mut self, reply: &RawDocumentBuf) {
        let (message, written) = (answer(&self.sent, reply), self.now);
        self.now = self.now + Duration::from_millis(3);
        self.tell(|monitor, now, steps| monitor.received(now, message, written, steps));
    }

    /// Begins a check, on a new connection where there is none.
    fn begin(&mut self) {
        self.elapse();
        if matches!(self.monitor.state, State::AwaitingConnection { .. }) {
            self.tell(|monitor, now, steps| monitor.opened(now, steps));
        }
        self.told.clear();
    }

    fn end(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Reply => self.receive(&primary()),
            Outcome::ShuttingDown => {
                self.receive(&rawdoc! { "ok": 0, "code": 91, "errmsg": "shutting down" });
            }
            Outcome::Malformed => self.receive(&rawdoc! { "ok": 1, "hosts": "a:27017" }),
            Outcome::Broken => self.tell(|monitor, now, steps| {
                monitor.broken(now, LinkError::network("reset"), steps);
            }),
            Outcome::Silence => self.elapse(),
        }
    }

    /// From now to what is due next.
    fn wait(&self) -> u128 {
        let due = self.monitor.timeout().expect("a deadline");
        due.duration_since(self.now).as_millis()
    }
}

// IC-115: success, a refusal, nonsense, a failure and silence, polled and streamed, of a server
// that is not known yet.
#[test]
fn the_first_check_has_one_outcome_and_one_consequence() {
    use LinkErrorKind as E;
    let failed: &[_] = &["close", "failed"];
    let table: [(Outcome, Option<E>); 5] = [
        (Outcome::Reply, None),
        (Outcome::ShuttingDown, Some(E::Command)),
        (Outcome::Malformed, Some(E::Protocol)),
        (Outcome::Broken, Some(E::Network)),
        (Outcome::Silence, Some(E::Timeout)),
    ];
    for (outcome, error) in table {
        for streaming in [false, true] {
            let mut rig = Rig::new(streaming);
            rig.begin();
            rig.end(outcome);
            let case = format!("{outcome:?}, streaming: {streaming}");
            assert_eq!(rig.failed, error, "{case}");
            let (told, wait) = match (error, streaming) {
                (Some(_), _) => (failed, 10_000),
                (None, false) => (&["succeeded"][..], 10_000),
                // Until the heartbeat's time and the time-out have passed.
                (None, true) => (&["succeeded", "awaiting", "send"][..], 10_700),
            };
            assert_eq!(rig.told, told, "{case}");
            assert_eq!(rig.wait(), wait, "{case}");
        }
    }
}

// IC-115: the same of a server that answered until now. What says that the connection failed is
// asked once more, at once and on a new one; what the server says itself is not.
#[test]
fn a_known_server_has_a_second_chance_when_its_connection_fails() {
    let again: &[_] = &["close", "failed", "started", "open"];
    let table: [(Outcome, &[&str], u128); 5] = [
        (Outcome::Reply, &["succeeded"], 10_000),
        (Outcome::ShuttingDown, &["close", "failed"], 10_000),
        (Outcome::Malformed, again, 700),
        (Outcome::Broken, again, 700),
        (Outcome::Silence, again, 700),
    ];
    for (outcome, told, wait) in table {
        let mut rig = Rig::new(false);
        rig.begin();
        rig.end(Outcome::Reply);
        rig.begin();
        rig.end(outcome);
        assert_eq!(rig.told, told, "{outcome:?}");
        assert_eq!(rig.wait(), wait, "{outcome:?}");
    }
    // Not a third one.
    let mut rig = Rig::new(false);
    rig.begin();
    rig.end(Outcome::Reply);
    rig.begin();
    rig.end(Outcome::Broken);
    rig.told.clear();
    rig.end(Outcome::Broken);
    assert_eq!((rig.told.join(" "), rig.wait()), ("close failed".to_owned(), 10_000));
}

// IC-115: the interval is counted from the end of a check, and one check runs at a time.
#[test]
fn checks_come_a_heartbeat_after_the_end_of_the_one_before() {
    let mut rig = Rig::new(false);
    let mut starts = Vec::new();
    for _ in 0..3 {
        rig.begin();
        starts.push(rig.now);
        rig.end(Outcome::Reply);
    }
    assert_eq!(starts, [at(0), at(10_003), at(20_006)]);
}

// IC-25, IC-116: how long a monitor still sleeps that was asked for a check so long after the last.
#[test]
fn the_delay_of_an_expedited_check_counts_from_the_last_one() {
    let table = [(0, 500), (1, 499), (120, 380), (250, 250), (499, 1), (500, 0), (4_000, 0)];
    for (since, delay) in table {
        for repeatedly in [false, true] {
            let mut rig = Rig::new(false);
            rig.begin();
            rig.end(Outcome::Reply);
            rig.now = rig.now + Duration::from_millis(since);
            assert_eq!(u128::from(since) + rig.wait(), 10_000, "nobody has asked");
            match repeatedly {
                false => rig.monitor.request_check(),
                true => rig.monitor.expedite(true),
            }
            assert_eq!(rig.wait(), delay, "{since} ms after the last check");
            rig.begin();
            rig.end(Outcome::Reply);
            let next = if repeatedly { 500 } else { 10_000 };
            assert_eq!(rig.wait(), next, "once, or for as long as somebody waits");
        }
    }
}

// IC-24, IC-115, IC-116: a check that runs is the answer to whoever asks for one.
#[test]
fn a_request_changes_nothing_while_a_check_runs() {
    for streaming in [false, true] {
        let mut rig = Rig::new(streaming);
        rig.begin();
        let wait = rig.wait();
        rig.monitor.request_check();
        assert_eq!(rig.wait(), wait);
        rig.end(Outcome::Reply);
        let expected = if streaming { 10_700 } else { 10_000 };
        assert_eq!(rig.wait(), expected, "nor afterwards");
        if streaming {
            rig.monitor.expedite(true);
            assert_eq!(rig.wait(), expected, "a stream is a check that runs");
        }
    }
}

// IC-115: a monitor that is closed ends its check, and does nothing any more.
#[test]
fn a_closed_monitor_is_silent() {
    for streaming in [false, true] {
        let mut rig = Rig::new(streaming);
        rig.begin();
        rig.end(Outcome::Reply);
        rig.told.clear();
        rig.tell(|monitor, now, steps| monitor.close(now, "the server was removed", steps));
        let told = if streaming { "cancelled close" } else { "close" };
        assert_eq!(rig.told.join(" "), told);
        assert_eq!(rig.monitor.timeout(), None);
        rig.told.clear();
        rig.now = at(60_000);
        rig.monitor.expedite(true);
        rig.tell(|monitor, now, steps| monitor.elapse(now, steps));
        rig.end(Outcome::Broken);
        rig.receive(&primary());
        rig.tell(|monitor, now, steps| monitor.restart(now, "the process stood still", steps));
        assert_eq!((rig.told.join(" "), rig.monitor.timeout()), (String::new(), None));
    }
}
