//! Prose tests of discovery and monitoring that want real servers and fail points.
//!
//! Specification: server-discovery-and-monitoring tests/README.md "Prose Tests", and "Connection
//! Pool Management" of server-discovery-and-monitoring-tests.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_std::future::timeout;
use bson::{Document, doc};
use futures_util::StreamExt;
use libtest_mimic::{Failed, Trial};
use portolan::event::{Event, EventKind, PoolEventKind};
use portolan::transport::Transport;
use portolan::{Client, ClientOptions, ServerAddress, ServerType};
use portolan_async_std::AsyncStd;

use crate::deployment::{Deployment, Deployments, Kind};

type Work = fn(&Deployment) -> Result<(), String>;

const TESTS: &[(&str, Work)] = &[
    ("heartbeats_come_at_their_frequency", heartbeats_come_at_their_frequency),
    ("rtt_is_continuously_updated", rtt_is_continuously_updated),
    ("a_heartbeat_starts_before_its_connection", |_| a_heartbeat_starts_before_its_connection()),
    ("pools_follow_heartbeats", pools_follow_heartbeats),
];

/// One trial a test, each on every deployment.
pub(crate) fn trials(deployments: &Arc<Deployments>) -> Vec<Trial> {
    let trial = |(name, work): &(&'static str, Work)| {
        let (deployments, work) = (deployments.clone(), *work);
        Trial::test(format!("prose::{name}"), move || {
            for kind in Kind::OPEN {
                let outcome = work(deployments.start(kind)?);
                outcome.map_err(|what| format!("on a {}: {what}", kind.as_str()))?;
            }
            Ok::<(), Failed>(())
        })
    };
    TESTS.iter().map(trial).collect()
}

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

fn client(deployment: &Deployment, options: &str) -> Result<Client, String> {
    let (seeds, set_name) = deployment.seeds();
    let set = set_name.map(|name| format!("&replicaSet={name}")).unwrap_or_default();
    let (client, driver) = make(&format!("mongodb://{}/?{options}{set}", seeds.join(",")))?;
    async_std::task::spawn(driver);
    Ok(client)
}

fn make(uri: &str) -> Result<(Client, portolan::Driver), String> {
    let options = ClientOptions::parse(uri).map_err(|error| error.to_string())?;
    Client::new(options, Arc::new(AsyncStd::new())).map_err(|error| error.to_string())
}

async fn next<T>(events: &mut (impl StreamExt<Item = T> + Unpin)) -> Result<T, String> {
    let next = timeout(PATIENCE, events.next()).await;
    next.ok().flatten().ok_or_else(|| format!("no event in {PATIENCE:?}"))
}

/// "heartbeatFrequencyMS set to 500 ... processes hello replies more frequently".
// MS-08, SM-33: the wait of a streamed hello is the frequency of the connection string.
fn heartbeats_come_at_their_frequency(deployment: &Deployment) -> Result<(), String> {
    async_std::task::block_on(async {
        let client = client(deployment, "heartbeatFrequencyMS=500")?;
        let mut events = client.topology();
        let mut watched: Option<ServerAddress> = None;
        let mut times = Vec::new();
        while times.len() < 6 {
            let event = next(&mut events).await?;
            if let EventKind::ServerHeartbeatSucceeded { connection, .. } = &event.kind
                && *watched.get_or_insert_with(|| connection.address.clone()) == connection.address
            {
                times.push(event.at);
            }
        }
        client.shutdown().await;
        let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        match gaps.iter().find(|gap| **gap > Duration::from_millis(750)) {
            Some(gap) => Err(format!("{gap:?} from one heartbeat to the next: {gaps:?}")),
            None => Ok(()),
        }
    })
}

/// "Test that RTT is continuously updated".
// SM-37, SM-41: the probe goes on beside a stream, and what it measures is in the description.
fn rtt_is_continuously_updated(deployment: &Deployment) -> Result<(), String> {
    let outcome = async_std::task::block_on(async {
        let client = client(deployment, "heartbeatFrequencyMS=500&appName=streamingRttTest")?;
        let database = client.database("sdam");
        let find = database.collection::<Document>("rtt").find_one(doc! {}).await;
        find.map_err(|error| error.to_string())?;
        let topology = client.topology();
        let known = || {
            let topology = topology.description();
            let mut servers = topology.servers.values();
            let writable = |kind| matches!(kind, ServerType::Standalone | ServerType::RSPrimary);
            servers.find(|s| writable(s.server_type)).and_then(|s| s.round_trip_time)
        };
        if known().is_none_or(|rtt| rtt.is_zero()) {
            return Err("a server that was found has no round-trip time".to_owned());
        }
        deployment.run(&doc! {
            "configureFailPoint": "failCommand",
            "mode": { "times": 1000 },
            "data": {
                "failCommands": ["hello", "isMaster"],
                "blockConnection": true, "blockTimeMS": 500,
                "appName": "streamingRttTest",
            },
        })?;
        let deadline = Instant::now() + PATIENCE;
        while known().is_none_or(|rtt| rtt <= Duration::from_millis(250)) {
            if Instant::now() > deadline {
                return Err(format!("the round-trip time is {:?} after {PATIENCE:?}", known()));
            }
            async_std::task::sleep(Duration::from_millis(50)).await;
        }
        client.shutdown().await;
        Ok(())
    });
    deployment.disable("failCommand")?;
    outcome
}

/// "Test that ServerHeartbeatStartedEvent is emitted before the monitoring socket was created".
fn a_heartbeat_starts_before_its_connection() -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(text)?;
    let address = listener.local_addr().map_err(text)?;
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        let connected = Instant::now();
        stream.read_exact(&mut [0; 16])?;
        Ok::<_, std::io::Error>((connected, Instant::now()))
    });
    let options = ClientOptions::parse(&format!("mongodb://{address}/?directConnection=true"));
    let transport = Arc::new(AsyncStd::new());
    let (now, epoch) = (transport.now(), Instant::now());
    let (client, driver) = Client::new(options.map_err(|error| error.to_string())?, transport)
        .map_err(|error| error.to_string())?;
    let (started, failed) = async_std::task::block_on(async {
        let mut events = client.topology();
        async_std::task::spawn(driver);
        let mut started = None;
        loop {
            let Event { at, kind, .. } = next(&mut events).await?;
            match kind {
                EventKind::ServerHeartbeatStarted { .. } => started = started.or(Some(at)),
                EventKind::ServerHeartbeatFailed { .. } => break Ok::<_, String>((started, at)),
                _ => {}
            }
        }
    })?;
    let started = started.ok_or("a heartbeat failed that had not started")?;
    let (connected, received) = server.join().map_err(|_| "the server panicked")?.map_err(text)?;
    let of = |at: portolan::transport::Instant| epoch + (at - now);
    let order = [of(started), connected, received, of(failed)];
    if order.is_sorted() {
        return Ok(());
    }
    Err(format!("started, connected, hello received, failed: {order:?}"))
}

/// "PoolReady comes after ServerHeartbeatSucceeded, PoolCleared after ServerHeartbeatFailed".
fn pools_follow_heartbeats(deployment: &Deployment) -> Result<(), String> {
    const NAME: &str = "SDAMPoolManagementTest";
    let outcome = async_std::task::block_on(async {
        let (seeds, _) = deployment.seeds();
        let options = format!("directConnection=true&appName={NAME}&heartbeatFrequencyMS=500");
        let (client, driver) = make(&format!("mongodb://{}/?{options}", seeds[0]))?;
        let (mut topology, mut pools) = (client.topology(), client.pool_events());
        async_std::task::spawn(driver);
        let is = |name: &'static str| move |event: &Event| event.kind.name() == name;
        let succeeded = find(&mut topology, is("serverHeartbeatSucceeded")).await?.at;
        let pool = |wanted: PoolEventKind| {
            move |event: &portolan::event::PoolEvent| event.kind.name() == wanted.name()
        };
        let cleared =
            PoolEventKind::PoolCleared { service_id: None, interrupt_in_use_connections: false };
        let ready = find(&mut pools, pool(PoolEventKind::PoolReady)).await?.at;
        deployment.run_on_seed(&doc! {
            "configureFailPoint": "failCommand",
            "mode": { "times": 2 },
            "data": {
                "failCommands": ["hello", "isMaster"], "appName": NAME, "errorCode": 1234,
            },
        })?;
        let failed = find(&mut topology, is("serverHeartbeatFailed")).await?.at;
        let cleared = find(&mut pools, pool(cleared)).await?.at;
        let again = find(&mut topology, is("serverHeartbeatSucceeded")).await?.at;
        let ready_again = find(&mut pools, pool(PoolEventKind::PoolReady)).await?.at;
        client.shutdown().await;
        let order = [succeeded, ready, failed, cleared, again, ready_again];
        if order.is_sorted() { Ok(()) } else { Err(format!("not in this order: {order:?}")) }
    });
    deployment.disable("failCommand")?;
    outcome
}

async fn find<T>(
    events: &mut (impl StreamExt<Item = T> + Unpin),
    wanted: impl Fn(&T) -> bool,
) -> Result<T, String> {
    loop {
        let event = next(events).await?;
        if wanted(&event) {
            return Ok(event);
        }
    }
}
