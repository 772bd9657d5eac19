//! The tests of pools in their own format, on the pool of a real client and against a real server.
//!
//! Specification: connection-monitoring-and-pooling tests/cmap-format/README.md. The client's
//! monitor stands still (its first connection is never made), so that nobody but the test moves the
//! pool; for the rest everything is as in any client. `backgroundThreadIntervalMS` is ignored, as
//! the format wants of pools without a background thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use async_std::task::JoinHandle;
use bson::{Bson, Document, doc};
use futures_channel::mpsc::{UnboundedSender, unbounded};
use futures_util::{FutureExt, StreamExt};
use libtest_mimic::{Failed, Trial};
use portolan::event::{Events, PoolEvent, PoolEventKind};
use portolan::testing::PoolUnderTest;
use portolan::transport::{BoxFuture, BoxStream, Instant as ClientInstant, Transport};
use portolan::{Client, ClientOptions, ErrorKind, ServerAddress, ServerConnection};
use portolan_async_std::AsyncStd;
use serde::Deserialize;

use crate::client::POLL;
use crate::deployment::{Deployment, Deployments, Kind};
use crate::version::Version;

/// How long an event is waited for where the test does not say.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    version: i32,
    style: Style,
    #[serde(rename = "description")]
    _description: String,
    #[serde(default)]
    run_on: Vec<RunOn>,
    fail_point: Option<Document>,
    #[serde(default)]
    pool_options: Document,
    operations: Vec<Operation>,
    error: Option<Document>,
    events: Vec<Document>,
    #[serde(default)]
    ignore: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Style {
    Unit,
    Integration,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RunOn {
    min_server_version: Option<String>,
    max_server_version: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Operation {
    name: String,
    thread: Option<String>,
    target: Option<String>,
    ms: Option<u64>,
    event: Option<String>,
    count: Option<usize>,
    timeout: Option<u64>,
    label: Option<String>,
    connection: Option<String>,
    interrupt_in_use_connections: Option<bool>,
}

/// One trial a file, or why it cannot be run.
pub(crate) fn trial(
    name: String,
    text: &str,
    deployments: &Arc<Deployments>,
) -> Result<Trial, String> {
    let file: File = match serde_json::from_str(text) {
        Ok(file) => file,
        Err(problem) => return Ok(Trial::test(name, move || Err(problem.to_string().into()))),
    };
    if !file.run_on.is_empty() {
        let met = |run_on: &RunOn| run_on.is_met(deployments.version);
        let mut met = file.run_on.iter().map(met);
        let any = met.try_fold(false, |any, met| met.map(|met| any || met))?;
        if !any {
            return Err("a server of another version".to_owned());
        }
    }
    let deployments = deployments.clone();
    Ok(Trial::test(name, move || {
        run(&file, deployments.start(Kind::Single)?).map_err(Failed::from)
    }))
}

impl RunOn {
    fn is_met(&self, server: Version) -> Result<bool, String> {
        let parsed = |text: &Option<String>| text.as_deref().map(str::parse::<Version>).transpose();
        let (least, most) = (parsed(&self.min_server_version)?, parsed(&self.max_server_version)?);
        Ok(least.is_none_or(|least| server >= least) && most.is_none_or(|most| server <= most))
    }
}

fn run(file: &File, deployment: &Deployment) -> Result<(), String> {
    if file.version != 1 {
        return Err(format!("version {} of the format is not known", file.version));
    }
    if file.style == Style::Unit && file.fail_point.is_some() {
        return Err("a unit test has no fail point".to_owned());
    }
    if let Some(fail_point) = &file.fail_point {
        deployment.run(fail_point)?;
    }
    let outcome = async_std::task::block_on(perform(file, deployment));
    if let Some(fail_point) = &file.fail_point {
        let name = fail_point.get_str("configureFailPoint").map_err(|error| error.to_string())?;
        deployment.disable(name)?;
    }
    outcome
}

async fn perform(file: &File, deployment: &Deployment) -> Result<(), String> {
    let bench = Bench::new(deployment, &file.pool_options).await?;
    let mut outcome = Ok(());
    for operation in &file.operations {
        outcome = bench.main(operation).await;
        if outcome.is_err() {
            break;
        }
    }
    let checked = match (outcome, &file.error) {
        (Ok(()), None) => Ok(()),
        (Ok(()), Some(expected)) => Err(format!("no error, and expected {expected}")),
        (Err(Wrong::Test(problem)), _) => Err(problem),
        (Err(Wrong::Driver(error)), None) => Err(format!("{error:?}")),
        (Err(Wrong::Driver(error)), Some(expected)) => is_error(expected, &error),
    };
    let checked = checked.and_then(|()| bench.check_events(file));
    bench.client.shutdown().await;
    checked
}

/// What went wrong in an operation.
enum Wrong {
    Driver(portolan::Error),
    Test(String),
}

impl From<portolan::Error> for Wrong {
    fn from(error: portolan::Error) -> Self {
        Self::Driver(error)
    }
}

impl From<String> for Wrong {
    fn from(problem: String) -> Self {
        Self::Test(problem)
    }
}

/// A pool, what was heard of it, and what was taken out of it.
struct Bench {
    client: Client,
    pool: PoolUnderTest,
    heard: Mutex<Heard>,
    threads: Mutex<BTreeMap<String, Thread>>,
    connections: Arc<Mutex<Connections>>,
}

struct Heard {
    stream: Events<PoolEvent>,
    events: Vec<PoolEvent>,
}

struct Thread {
    work: UnboundedSender<Operation>,
    end: JoinHandle<Result<(), Wrong>>,
}

#[derive(Default)]
struct Connections {
    labelled: BTreeMap<String, ServerConnection>,
    /// Those that nobody will check in.
    others: Vec<ServerConnection>,
}

impl Bench {
    async fn new(deployment: &Deployment, pool_options: &Document) -> Result<Self, String> {
        let (seeds, _) = deployment.seeds();
        let mut query = vec!["directConnection=true&connectTimeoutMS=0".to_owned()];
        let known = pool_options.iter().filter(|(name, _)| *name != "backgroundThreadIntervalMS");
        query.extend(known.map(|(name, value)| match value {
            Bson::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        }));
        let uri = format!("mongodb://{}/?{}", seeds[0], query.join("&"));
        let options = ClientOptions::parse(&uri).map_err(|error| format!("{uri}: {error}"))?;
        let transport = Arc::new(Still { inner: AsyncStd::new(), monitor: AtomicBool::new(false) });
        let made = Client::new(options, transport.clone());
        let (client, driver) = made.map_err(|error| error.to_string())?;
        let heard = Mutex::new(Heard { stream: client.pool_events(), events: Vec::new() });
        async_std::task::spawn(driver);
        let deadline = Instant::now() + PATIENCE;
        let pool = loop {
            match PoolUnderTest::of(&client) {
                Some(pool) if transport.monitor.load(Ordering::SeqCst) => break pool,
                _ if Instant::now() > deadline => return Err("no pool was opened".to_owned()),
                _ => async_std::task::sleep(POLL).await,
            }
        };
        let (threads, connections) = (Mutex::default(), Arc::default());
        Ok(Self { client, pool, heard, threads, connections })
    }

    /// An operation, in its thread if it has one.
    async fn main(&self, operation: &Operation) -> Result<(), Wrong> {
        if let Some(name) = &operation.thread {
            let threads = lock(&self.threads)?;
            let thread = threads.get(name).ok_or_else(|| format!("no thread {name}"))?;
            // One that has failed says so when it is waited for.
            let _ = thread.work.unbounded_send(operation.clone());
            return Ok(());
        }
        match operation.name.as_str() {
            "start" => {
                let name = wanted(&operation.target, "target")?.clone();
                lock(&self.threads)?.insert(name, self.thread());
            }
            "wait" => {
                let pause = Duration::from_millis(*wanted(&operation.ms, "ms")?);
                async_std::task::sleep(pause).await;
            }
            "waitForThread" => {
                let name = wanted(&operation.target, "target")?;
                let thread = lock(&self.threads)?.remove(name);
                let Thread { work, end } = thread.ok_or_else(|| format!("no thread {name}"))?;
                drop(work);
                let ended = async_std::future::timeout(PATIENCE, end).await;
                ended.map_err(|_| format!("{name} did not end in {PATIENCE:?}"))??;
            }
            "waitForEvent" => self.wait_for_event(operation).await?,
            "ready" => self.pool.ready(),
            "clear" => self.pool.clear(operation.interrupt_in_use_connections == Some(true)),
            "close" => self.pool.close(),
            _ => connection(&self.pool, &self.connections, operation).await?,
        }
        Ok(())
    }

    fn thread(&self) -> Thread {
        let (work, mut inbox) = unbounded::<Operation>();
        let (pool, connections) = (self.pool.clone(), self.connections.clone());
        let end = async_std::task::spawn(async move {
            while let Some(operation) = inbox.next().await {
                connection(&pool, &connections, &operation).await?;
            }
            Ok(())
        });
        Thread { work, end }
    }

    async fn wait_for_event(&self, operation: &Operation) -> Result<(), String> {
        let name = wanted(&operation.event, "event")?;
        let count = *wanted(&operation.count, "count")?;
        let patience = operation.timeout.map_or(PATIENCE, Duration::from_millis);
        let deadline = Instant::now() + patience;
        loop {
            let found = self.count(name)?;
            if found >= count {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{found} of {count} {name} in {patience:?}"));
            }
            async_std::task::sleep(POLL).await;
        }
    }

    fn count(&self, name: &str) -> Result<usize, String> {
        Ok(self.hear()?.events.iter().filter(|event| type_of(event) == name).count())
    }

    fn hear(&self) -> Result<MutexGuard<'_, Heard>, String> {
        let mut heard = lock(&self.heard)?;
        while let Some(Some(event)) = heard.stream.next().now_or_never() {
            heard.events.push(event);
        }
        Ok(heard)
    }

    fn check_events(&self, file: &File) -> Result<(), String> {
        let heard = self.hear()?;
        let wanted = |event: &&PoolEvent| !file.ignore.iter().any(|name| *name == type_of(event));
        let actual: Vec<Document> = heard.events.iter().filter(wanted).map(document).collect();
        let list = || actual.iter().map(|event| format!("\n    {event}")).collect::<String>();
        for (index, expected) in file.events.iter().enumerate() {
            let found = actual.get(index).cloned().map_or(Bson::Null, Bson::Document);
            if !matches(&Bson::Document(expected.clone()), &found) {
                return Err(format!("event {index}: expected {expected}, found{}", list()));
            }
        }
        Ok(())
    }
}

/// An operation that a thread may have, too.
async fn connection(
    pool: &PoolUnderTest,
    connections: &Mutex<Connections>,
    operation: &Operation,
) -> Result<(), Wrong> {
    match operation.name.as_str() {
        "checkOut" => {
            let connection = pool.check_out().await?;
            let mut connections = lock(connections)?;
            match &operation.label {
                Some(label) => drop(connections.labelled.insert(label.clone(), connection)),
                None => connections.others.push(connection),
            }
        }
        "checkIn" => {
            let label = wanted(&operation.connection, "connection")?;
            let connection = lock(connections)?.labelled.remove(label);
            drop(connection.ok_or_else(|| format!("no connection {label}"))?);
        }
        unknown => return Err(Wrong::Test(format!("{unknown} is no operation of a pool"))),
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> Result<MutexGuard<'_, T>, String> {
    mutex.lock().map_err(|error| error.to_string())
}

fn wanted<'a, T>(field: &'a Option<T>, name: &str) -> Result<&'a T, String> {
    field.as_ref().ok_or_else(|| format!("{name} is missing"))
}

/// Whether the error is the one that the test expects: its text begins with the message, and may
/// say more.
fn is_error(expected: &Document, error: &portolan::Error) -> Result<(), String> {
    let ErrorKind::Pool { address, error: cause } = error.kind() else {
        return Err(format!("no error of a pool: {error:?}"));
    };
    let text = cause.to_string().to_lowercase();
    let fits = expected.iter().all(|(name, value)| match (name.as_str(), value) {
        ("type", Bson::String(name)) => name == cause.name(),
        ("message", Bson::String(message)) => text.starts_with(&message.to_lowercase()),
        ("address", value) => matches(value, &Bson::String(address.to_string())),
        _ => false,
    });
    if fits { Ok(()) } else { Err(format!("expected {expected}, found {error:?}")) }
}

/// The format's name of an event.
fn type_of(event: &PoolEvent) -> String {
    let name = event.kind.name();
    match name.strip_prefix("pool") {
        Some(what) => format!("ConnectionPool{what}"),
        None => name.replacen('c', "C", 1),
    }
}

fn document(event: &PoolEvent) -> Document {
    let mut found = doc! { "type": type_of(event), "address": event.address.to_string() };
    let id = |id: u64| i64::try_from(id).unwrap_or(i64::MAX);
    let millis = |duration: &Duration| duration.as_secs_f64() * 1e3;
    let size = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
    match &event.kind {
        PoolEventKind::PoolCreated { settings } => {
            let idle = i64::try_from(settings.max_idle_time.as_millis()).unwrap_or(i64::MAX);
            let options = doc! {
                "maxPoolSize": size(settings.max_size),
                "minPoolSize": size(settings.min_size),
                "maxIdleTimeMS": idle,
            };
            found.insert("options", options);
        }
        PoolEventKind::PoolCleared { interrupt_in_use_connections, .. } => {
            found.insert("interruptInUseConnections", *interrupt_in_use_connections);
        }
        PoolEventKind::ConnectionCreated { connection_id }
        | PoolEventKind::ConnectionCheckedIn { connection_id } => {
            found.insert("connectionId", id(*connection_id));
        }
        PoolEventKind::ConnectionReady { connection_id, duration }
        | PoolEventKind::ConnectionCheckedOut { connection_id, duration } => {
            found.insert("connectionId", id(*connection_id));
            found.insert("duration", millis(duration));
        }
        PoolEventKind::ConnectionClosed { connection_id, reason, .. } => {
            found.insert("connectionId", id(*connection_id));
            found.insert("reason", reason.as_str());
        }
        PoolEventKind::ConnectionCheckOutFailed { reason, duration, .. } => {
            found.insert("reason", reason.as_str());
            found.insert("duration", millis(duration));
        }
        PoolEventKind::PoolReady
        | PoolEventKind::PoolClosed
        | PoolEventKind::ConnectionCheckOutStarted => {}
    }
    found
}

/// The format's MATCH.
fn matches(expected: &Bson, actual: &Bson) -> bool {
    match (integer(expected), expected, actual) {
        (Some(42), _, actual) => *actual != Bson::Null,
        (Some(number), _, actual) => integer(actual) == Some(number),
        (_, Bson::String(any), actual) if any == "42" => *actual != Bson::Null,
        (_, Bson::Document(expected), Bson::Document(actual)) => expected
            .iter()
            .all(|(name, value)| matches(value, actual.get(name).unwrap_or(&Bson::Null))),
        (_, expected, actual) => expected == actual,
    }
}

fn integer(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        _ => None,
    }
}

/// A transport on which the first connection, which is the monitor's, is never made.
#[derive(Debug)]
struct Still {
    inner: AsyncStd,
    /// Whether the monitor has come.
    monitor: AtomicBool,
}

#[async_trait::async_trait]
impl Transport for Still {
    fn now(&self) -> ClientInstant {
        self.inner.now()
    }

    fn sleep_until(&self, deadline: ClientInstant) -> BoxFuture<'static, ()> {
        self.inner.sleep_until(deadline)
    }

    async fn connect(&self, address: &ServerAddress) -> std::io::Result<BoxStream> {
        if !self.monitor.swap(true, Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.inner.connect(address).await
    }
}
