//! How late heartbeats start against the engine's deadline.
//!
//! Polling clients, each of a deployment in memory of its own that answers at once: the next check
//! is due exactly a heartbeat after an answer, and starts when its hello is written. Both moments
//! are in the client's recording.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portolan::engine::sdam::trace::Record;
use portolan::engine::sdam::{Event, LinkRole, MIN_HEARTBEAT_FREQUENCY};
use portolan::options::TraceSink;
use portolan::transport::Transport;
use portolan::{Client, ClientOptions, Driver};
use portolan_sim::scripted::Deployment;

/// How many clients check at the same time, each at moments of its own.
const CLIENTS: usize = 10;

/// Between the starts of two clients: no part of a heartbeat, so that all moments differ.
const APART: Duration = Duration::from_millis(47);

const URI: &str = "mongodb://a/?replicaSet=rs0&heartbeatFrequencyMS=500&serverMonitoringMode=poll";

type Recording = Arc<Mutex<Vec<String>>>;

/// Lets clients run for `length` and answers by how much each heartbeat was late, in order.
///
/// # Errors
///
/// A client cannot be made, or its recording read.
pub async fn measure(
    time: Arc<dyn Transport>,
    spawn: impl Fn(Driver),
    length: Duration,
) -> Result<Vec<Duration>, String> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let (client, driver, recording) = client(time.clone())?;
        spawn(driver);
        clients.push((client, recording));
        time.sleep_until(time.now() + APART).await;
    }
    time.sleep_until(time.now() + length).await;
    let mut late = Vec::new();
    for (client, recording) in clients {
        client.shutdown().await;
        let lines = recording.lock().unwrap_or_else(PoisonError::into_inner);
        late.extend(of(&lines)?);
    }
    late.sort();
    Ok(late)
}

fn client(time: Arc<dyn Transport>) -> Result<(Client, Driver, Recording), String> {
    let recording = Recording::default();
    let lines = recording.clone();
    let mut options = ClientOptions::parse(URI).map_err(|error| error.to_string())?;
    options.trace = Some(TraceSink::new(move |line: &str| {
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
    }));
    let transport = Deployment::at_once("rs0", &["a"]).transport(time);
    let made = Client::new(options, Arc::new(transport)).map_err(|error| error.to_string())?;
    Ok((made.0, made.1, recording))
}

/// By how much each heartbeat of a recording was late.
fn of(lines: &[String]) -> Result<Vec<Duration>, String> {
    let mut answered = BTreeMap::new();
    let mut late = Vec::new();
    for line in lines {
        let record: Record = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let Record::Input { at, event: Event::Received { link, written, .. } } = record else {
            continue;
        };
        if link.role == LinkRole::Heartbeat
            && let Some(before) = answered.insert(link, at)
        {
            late.push(written - (before + MIN_HEARTBEAT_FREQUENCY));
        }
    }
    Ok(late)
}

/// The headings of [`row`].
pub const HEADINGS: &str = "runtime           heartbeats   median      p99      max  (ms late)";

/// One runtime's line of the table, of figures in order.
pub fn row(runtime: &str, late: &[Duration]) -> String {
    let figure = |at: usize| late.get(at).map_or(f64::NAN, |late| late.as_secs_f64() * 1e3);
    let last = late.len().saturating_sub(1);
    let [median, p99, max] = [figure(last / 2), figure(last * 99 / 100), figure(last)];
    format!("{runtime:<17} {:>10} {median:>8.3} {p99:>8.3} {max:>8.3}", late.len())
}
