//! Messages of the log that are this driver's own: what is worth a look in normal operation.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use portolan::bson::doc;
use portolan::logging::{LogConfig, LogLevel, LogSubscriber};

use super::support::{Bed, address, ms, secs};

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("a test panicked").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The messages at this level or above that `work` causes, without time and topology id.
fn logged(topology: LogLevel, work: impl FnOnce()) -> Vec<String> {
    let kept = Kept::default();
    let config = LogConfig { topology, ..LogConfig::default() };
    let subscriber = LogSubscriber::to(config, Box::new(kept.clone()));
    tracing::subscriber::with_default(subscriber, work);
    let bytes = kept.0.lock().expect("a test panicked").clone();
    let text = String::from_utf8(bytes).expect("text");
    let strip = |line: &str| {
        let (_, rest) = line.split_once(' ').expect("the time");
        let parts = rest.trim_start().split(' ');
        parts.filter(|part| !part.starts_with("topologyId=")).collect::<Vec<_>>().join(" ")
    };
    text.lines().map(strip).collect()
}

// SD-66
#[test]
fn the_removal_of_the_last_server_is_warned_of_once() {
    let hello = doc! { "isWritablePrimary": true, "maxWireVersion": 21 };
    let messages = logged(LogLevel::Warn, || {
        // A standalone where a set is wanted.
        let bed = Bed::each(&["a:1".to_owned()], &hello);
        let options = "mongodb://a:1/?replicaSet=rs0".parse().expect("options");
        let client = bed.client_of(options);
        bed.advance(secs(60));
        assert!(client.description().servers.is_empty() && client.description().is_deserted());
        bed.run(async move { client.shutdown().await });
    });
    let expected = "WARN portolan::topology: No server is left in the topology: no operation can \
                    succeed any more reasons=a:1 was left out: it is a Standalone, which is no \
                    part of such a deployment";
    assert_eq!(messages, [expected]);
}

// SD-66: nothing is warned of where servers leave and others stay, or the client is shut down.
#[test]
fn the_end_of_a_client_is_no_warning() {
    let messages = logged(LogLevel::Warn, || {
        let bed = Bed::set(1);
        let client = bed.settled("");
        bed.net.state().change(&address("a:1"), |hello| {
            hello.insert("hosts", ["a:1"].map(str::to_owned).to_vec());
        });
        bed.advance(secs(1));
        assert_eq!(client.description().servers.len(), 1);
        bed.run(async move { client.shutdown().await });
    });
    assert_eq!(messages, [""; 0]);
}

// IC-55
#[test]
fn another_primary_and_an_older_configuration_are_told() {
    let messages = logged(LogLevel::Info, || {
        let bed = Bed::set(1);
        let client = bed.settled("");
        bed.advance(secs(3));
        for name in ["a:1", "b:1"] {
            bed.with_server(name, |server| {
                server.hello.insert("setVersion", 7);
            });
        }
        bed.elect("a:1", 2);
        bed.advance(ms(100));
        assert_eq!(client.description().max_set_version, Some(7));
        bed.with_server("b:1", |server| {
            server.hello.insert("setVersion", 5);
        });
        bed.elect("b:1", 3);
        bed.advance(ms(100));
        assert!(client.description().is_primary(&address("b:1")));
        let id = client.description().max_election_id.map(|id| id.bytes());
        assert_eq!(id.map(|id| id[11]), Some(3));
    });
    let [changed, rolled_back] = &messages[..] else { panic!("{messages:?}") };
    let expected = "INFO portolan::topology: Primary changed replicaSet=rs0 previousPrimary=a:1 \
                    newPrimary=b:1 durationSinceLastChangeMS=";
    let duration = changed.strip_prefix(expected).expect(changed);
    // From the first discovery, at 3 ms, to the election, at 3.7 s.
    let duration: f64 = duration.parse().expect("milliseconds");
    assert!((3_690.0..3_710.0).contains(&duration), "{changed}");
    let expected = "WARN portolan::topology: The set's configuration has an older version than \
                    before replicaSet=rs0 previousSetVersion=7 newSetVersion=5";
    assert_eq!(rolled_back, expected);
}

// EV-18, EV-20, IC-55: each change of the topology is a message, of a server alone none.
#[test]
fn each_change_of_the_topology_is_told_with_both_descriptions() {
    let messages = logged(LogLevel::Debug, || {
        let bed = Bed::set(0);
        let _client = bed.settled("");
    });
    let changes: Vec<&String> =
        messages.iter().filter(|message| message.contains("description changed")).collect();
    let [first, second, last] = &changes[..] else { panic!("{messages:?}") };
    let said = |message: &str, before: &str, after: &str| {
        let fields = format!("previousDescription={before} newDescription={after}");
        message.contains("Topology description changed") && message.contains(&fields)
    };
    let (none, unknown) = ("Unknown", "ReplicaSetNoPrimary: a:1 Unknown");
    assert!(said(first, none, unknown), "{first}");
    let known = "ReplicaSetWithPrimary: a:1 RSPrimary";
    assert!(said(second, unknown, known), "{second}");
    assert!(said(last, known, none), "the end: {last}");
}
