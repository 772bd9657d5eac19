//! One probe alone, as it pings (IC-29 to IC-32): when, for how long, and until when.

use super::*;
use crate::engine::sdam::monitor::tests::{answer, at, primary, settings};

struct Rig {
    probe: Probe,
    now: Instant,
    sent: Vec<u8>,
    told: Vec<&'static str>,
    samples: Vec<Duration>,
}

impl Rig {
    fn new(rtt_probe: RttProbe) -> Self {
        let mut probe = Probe::new(Arc::new(settings(true, rtt_probe)));
        probe.start(Instant::ZERO, false);
        let (sent, told, samples) = (Vec::new(), Vec::new(), Vec::new());
        Self { probe, now: Instant::ZERO, sent, told, samples }
    }

    fn tell(&mut self, tell: impl FnOnce(&mut Probe, Instant, &mut Vec<Step>)) {
        let mut steps = Vec::new();
        tell(&mut self.probe, self.now, &mut steps);
        for step in steps {
            self.told.push(match step {
                Step::Open(_) => "open",
                Step::Send(message) => {
                    let ping = message.windows(5).any(|bytes| bytes == b"ping\0");
                    self.sent = message;
                    if ping { "ping" } else { "hello" }
                }
                Step::Close => "close",
                Step::Sample(sample) => {
                    self.samples.push(sample);
                    "sample"
                }
            });
        }
    }

    fn elapse(&mut self) {
        self.now = self.probe.timeout().expect("a deadline").max(self.now);
        self.tell(|probe, now, steps| probe.elapse(now, steps));
    }

    fn open(&mut self) {
        self.tell(|probe, now, steps| probe.opened(now, steps));
    }

    fn receive(&mut self, after: u64) {
        let (message, written) = (answer(&self.sent, &primary()), self.now);
        self.now = self.now + Duration::from_millis(after);
        self.tell(|probe, now, steps| probe.received(now, message, written, steps));
    }

    /// A probe whose first ping was answered.
    fn pinging() -> Self {
        let mut rig = Self::new(RttProbe::Ping);
        rig.elapse();
        rig.open();
        rig.receive(40);
        rig.receive(5);
        assert_eq!(rig.told, ["open", "hello", "ping", "sample"]);
        rig.told.clear();
        rig
    }

    fn told(&mut self) -> String {
        std::mem::take(&mut self.told).join(" ")
    }
}

// IC-29, IC-33, IC-117: pings a period apart, from start to start; the handshake is no sample.
#[test]
fn pings_come_a_period_after_the_start_of_the_one_before() {
    let mut rig = Rig::pinging();
    assert_eq!(rig.samples, [Duration::from_millis(5)]);
    for start in [10_040, 20_040, 30_040] {
        rig.elapse();
        assert_eq!((rig.told(), rig.now), ("ping".to_owned(), at(start)));
        rig.receive(300);
        assert_eq!(rig.told(), "sample");
    }
    assert_eq!(rig.samples.len(), 4);
}

// IC-31, IC-117: a server that is dead, or answers no ping, is pinged again a period later, on a
// new connection.
#[test]
fn a_ping_that_fails_does_not_end_them() {
    let mut rig = Rig::pinging();
    rig.elapse();
    rig.told.clear();
    // SM-05: the time-out of a monitor's sockets.
    let limit = rig.probe.timeout().expect("a time-out").duration_since(rig.now);
    assert_eq!(limit, Duration::from_millis(700));
    rig.elapse();
    assert_eq!(rig.told(), "close", "no answer in time");
    let given_up = rig.now;
    rig.elapse();
    assert_eq!(rig.told(), "open");
    assert_eq!(rig.now - given_up, Duration::from_secs(10));
    for _ in 0..3 {
        rig.tell(|probe, now, _| probe.broken(now));
        rig.elapse();
        assert_eq!(rig.told(), "open", "nobody is there, and is asked again");
    }
    rig.open();
    rig.receive(1);
    rig.receive(7);
    assert_eq!(rig.told(), "hello ping sample");
    assert_eq!(rig.samples, [5, 7].map(Duration::from_millis));
}

// IC-32, IC-117: whatever the probe was doing, a closed one pings nobody any more.
#[test]
fn nothing_follows_the_end() {
    type Prepare = fn(&mut Rig);
    let states: [(&str, Prepare, &str); 4] = [
        ("idle", |_| {}, "close"),
        ("a ping under way", |rig| rig.elapse(), "close"),
        (
            "no connection",
            |rig| {
                rig.tell(|probe, now, _| probe.broken(now));
            },
            "",
        ),
        (
            "connecting",
            |rig| {
                rig.tell(|probe, now, _| probe.broken(now));
                rig.elapse();
            },
            "close",
        ),
    ];
    for (state, prepare, told) in states {
        let mut rig = Rig::pinging();
        prepare(&mut rig);
        rig.told.clear();
        rig.tell(|probe, _, steps| probe.close(steps));
        assert_eq!((rig.told(), rig.probe.timeout()), (told.to_owned(), None), "{state}");
        rig.now = at(90_000);
        rig.tell(|probe, now, steps| probe.elapse(now, steps));
        rig.open();
        rig.receive(1);
        rig.tell(|probe, now, _| probe.broken(now));
        assert_eq!((rig.told(), rig.probe.timeout()), (String::new(), None), "{state}");
    }
}

// SM-37: the specification's way: a hello, which is a sample from the first on.
#[test]
fn a_hello_measures_from_the_first_on() {
    let mut rig = Rig::new(RttProbe::Hello);
    rig.elapse();
    rig.open();
    rig.receive(4);
    assert_eq!(rig.told(), "open hello sample");
    rig.elapse();
    assert_eq!((rig.told(), rig.now), ("hello".to_owned(), at(10_004)));
}
