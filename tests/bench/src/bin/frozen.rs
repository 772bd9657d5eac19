//! How long a client's operations stand still when a member freezes: alive to TCP, answering
//! nothing.
//!
//! `cargo run --release --bin frozen [ROUNDS]` in `tests/bench`: each round starts three members
//! (election time-out 1 s) and loops of writes (w: 1) and of reads from secondaries; it stops a
//! member with SIGSTOP and prints the longest operation. All options are defaults.

use std::time::{Duration, Instant, SystemTime};

use bson::{Document, doc};
use portolan::{Collection, ReadPreference, Result};
use portolan_async_std::{Client, Connect as _};
use portolan_support::{
    ElectionStep, MongodBinary, ReplicaSet, ReplicaSetOptions, election_events,
};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let rounds = std::env::args().nth(1).map_or(Ok(3), |text| text.parse())?;
    let version = std::env::var("PORTOLAN_MONGOD_VERSION").unwrap_or_else(|_| "6.0.5".to_owned());
    println!("mongod {version}, SIGSTOP, milliseconds");
    println!("longest write   election  over it  longest read  errors  written twice");
    for _ in 0..rounds {
        async_std::task::block_on(round(&version))?;
    }
    Ok(())
}

async fn round(version: &str) -> Result<(), Failure> {
    let (longest_write, election, mut errors, twice) = frozen_primary(version).await?;
    let (longest_read, read_errors) = frozen_secondary(version).await?;
    errors += read_errors;
    let over = longest_write - election;
    println!(
        "{longest_write:13.1} {election:10.1} {over:8.1} {longest_read:13.1} {errors:7} {twice:14}"
    );
    Ok(())
}

/// The longest write, the servers' election, errors, and whether a write happened twice.
async fn frozen_primary(version: &str) -> Result<(f64, f64, usize, bool), Failure> {
    let mut set = ReplicaSet::start(ReplicaSetOptions::new(MongodBinary::find(Some(version))?, 3))?;
    let client = Client::connect(&format!("{}&w=1", set.uri())).await?;
    let writes = client.database("bench").collection::<Document>("frozen");
    write(&writes, 0, 100).await?;
    let primary = set.primary()?;
    let frozen = SystemTime::now();
    set.member_mut(primary).freeze()?;
    let began = Instant::now();
    let (mut longest, mut errors, mut n) = (Duration::ZERO, 0, 100);
    while began.elapsed() < Duration::from_secs(5) {
        let one = Instant::now();
        errors += usize::from(write(&writes, n, 1).await.is_err());
        longest = longest.max(one.elapsed());
        n += 1;
    }
    let new = set.wait_for_primary(Duration::from_secs(10))?;
    let elected = election_events(&set.member(new).log_path())?
        .into_iter()
        .find(|event| event.step == ElectionStep::PrimaryComplete && event.at > frozen)
        .ok_or("the new primary's log has no election")?;
    set.member_mut(primary).thaw()?;
    // Each document has its own counter: two runs of one write would make it 2.
    let twice = writes.count_documents(doc! { "times": { "$gt": 1 } }).await? > 0;
    let election = elected.at.duration_since(frozen).unwrap_or_default();
    Ok((longest.as_secs_f64() * 1e3, election.as_secs_f64() * 1e3, errors, twice))
}

async fn write(writes: &Collection<Document>, from: i32, count: i32) -> Result<()> {
    for n in from..from + count {
        let once = doc! { "$inc": { "times": 1 } };
        writes.update_one(doc! { "_id": n }, once).upsert(true).await?;
    }
    Ok(())
}

async fn frozen_secondary(version: &str) -> Result<(f64, usize), Failure> {
    let mut set = ReplicaSet::start(ReplicaSetOptions::new(MongodBinary::find(Some(version))?, 3))?;
    let client = Client::connect(&set.uri()).await?;
    let reads = client.database("bench").collection::<Document>("frozen");
    write(&reads, 0, 1).await?;
    let find = || reads.find_one(doc! {}).read_preference(ReadPreference::secondary());
    for _ in 0..100 {
        find().await?;
    }
    let primary = set.primary()?;
    let secondary = (primary + 1) % 3;
    set.member_mut(secondary).freeze()?;
    let began = Instant::now();
    let (mut longest, mut errors) = (Duration::ZERO, 0);
    while began.elapsed() < Duration::from_secs(4) {
        let one = Instant::now();
        errors += usize::from(find().await.is_err());
        longest = longest.max(one.elapsed());
    }
    set.member_mut(secondary).thaw()?;
    Ok((longest.as_secs_f64() * 1e3, errors))
}
