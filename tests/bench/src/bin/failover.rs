//! How long a client's writes stand still when the primary is killed, and how much of that is the
//! servers' own election.
//!
//! `cargo run --release --bin failover [ROUNDS [W]]` in `tests/bench`: each round starts three
//! members (election time-out 1 s), writes in a loop with write concern W (1 unless given), kills
//! the primary with SIGKILL and reads the election from the new primary's log. With `majority` the
//! servers take longer than their election: the new primary must win back a secondary first.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bson::{Document, doc};
use futures_util::StreamExt;
use portolan::TopologyType;
use portolan::event::EventKind;
use portolan_async_std::{Client, Connect as _};
use portolan_support::{
    ElectionStep, MongodBinary, ReplicaSet, ReplicaSetOptions, election_events,
};

type Failure = Box<dyn std::error::Error>;

/// One round, in milliseconds after the kill.
struct Round {
    /// A heartbeat, or a write, has noticed.
    detected: f64,
    /// The new primary says in its log that it accepts writes.
    elected: f64,
    /// The client knows the new primary.
    known: f64,
    /// The first write that was acknowledged.
    written: f64,
    errors: usize,
}

fn main() -> Result<(), Failure> {
    let rounds = std::env::args().nth(1).map_or(Ok(5), |text| text.parse())?;
    let concern = std::env::args().nth(2).unwrap_or_else(|| "1".to_owned());
    let version = std::env::var("PORTOLAN_MONGOD_VERSION").unwrap_or_else(|_| "6.0.5".to_owned());
    println!("mongod {version}, w: {concern}, SIGKILL of the primary, milliseconds after the kill");
    println!(" detected   elected     known   written over election  errors");
    let mut all = Vec::new();
    for _ in 0..rounds {
        let round = async_std::task::block_on(round(&version, &concern))?;
        print(&round);
        all.push(round);
    }
    let median = |value: fn(&Round) -> f64| {
        let mut values: Vec<f64> = all.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!("medians");
    print(&Round {
        detected: median(|round| round.detected),
        elected: median(|round| round.elected),
        known: median(|round| round.known),
        written: median(|round| round.written),
        errors: all.iter().map(|round| round.errors).sum(),
    });
    let over = median(|round| round.written - round.elected);
    println!("median of what the client adds to the election: {over:.1} ms");
    Ok(())
}

fn print(round: &Round) {
    let Round { detected, elected, known, written, errors } = round;
    let over = written - elected;
    println!("{detected:9.1} {elected:9.1} {known:9.1} {written:9.1} {over:13.1}  {errors}");
}

async fn round(version: &str, concern: &str) -> Result<Round, Failure> {
    let binary = MongodBinary::find(Some(version))?;
    let mut set = ReplicaSet::start(ReplicaSetOptions::new(binary, 3))?;
    let client = Client::connect(&format!("{}&w={concern}", set.uri())).await?;
    let changes = Arc::new(Mutex::new(Vec::new()));
    async_std::task::spawn(record(client.clone(), changes.clone()));

    let writes = client.database("bench").collection::<Document>("failover");
    let mut errors = 0;
    for i in 0..100 {
        writes.insert_one(doc! { "_id": i }).await?;
    }
    let primary = set.primary()?;
    let killed = SystemTime::now();
    set.member_mut(primary).kill()?;
    let written = loop {
        match writes.insert_one(doc! {}).await {
            Ok(_) => break SystemTime::now(),
            Err(_) => errors += 1,
        }
    };
    let new = set.wait_for_primary(Duration::from_secs(10))?;
    let elected = election_events(&set.member(new).log_path())?
        .into_iter()
        .filter(|event| event.step == ElectionStep::PrimaryComplete && event.at > killed)
        .map(|event| event.at)
        .next()
        .ok_or("the new primary's log has no election")?;
    let changes = changes.lock().expect("not poisoned").clone();
    let first = |wanted: TopologyType| {
        let found = changes.iter().find(|(at, now)| *at > killed && *now == wanted);
        found.map(|(at, _)| *at).ok_or("the client did not notice")
    };
    let after = |at: SystemTime| at.duration_since(killed).unwrap_or_default().as_secs_f64() * 1e3;
    Ok(Round {
        detected: after(first(TopologyType::ReplicaSetNoPrimary)?),
        elected: after(elected),
        known: after(first(TopologyType::ReplicaSetWithPrimary)?),
        written: after(written),
        errors,
    })
}

/// Keeps when the topology became of which type.
async fn record(client: Client, changes: Arc<Mutex<Vec<(SystemTime, TopologyType)>>>) {
    let mut events = client.topology();
    drop(client);
    while let Some(event) = events.next().await {
        if let EventKind::TopologyDescriptionChanged { new, .. } = event.kind {
            changes.lock().expect("not poisoned").push((SystemTime::now(), new.topology_type));
        }
    }
}
