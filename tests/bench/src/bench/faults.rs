//! Members that freeze or die under loops of operations: every peer on the same set at the same
//! time, so that all of them see the same fault and the same election.

use std::collections::BTreeMap;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bson::doc;
use portolan_support::{ElectionEvent, ElectionStep, ReplicaSet, election_events};

use super::rounds;
use crate::orders::{Answer, DATABASE, LoopKind, Order};
use crate::peer::worker::Worker;
use crate::peer::{Failure, Peer};
use crate::setting::replica_set;
use crate::table::{Table, at_most, fixed, median};

/// How long every peer loops before the fault.
const BEFORE: Duration = Duration::from_secs(2);
const LOOP_MILLIS: u64 = 8_000;

/// What one peer went through in one round, in milliseconds.
struct Outcome {
    longest: f64,
    /// From the end of the servers' election to the end of the last slow operation.
    over_election: f64,
    errors: usize,
    twice: bool,
    long_query: Option<f64>,
}

type Outcomes = BTreeMap<usize, Vec<Outcome>>;

pub fn frozen() -> Result<(), Failure> {
    println!("SIGSTOP of the primary under a loop of writes (w: 1), milliseconds, medians");
    let (peers, mut all, mut elections) = (peers(), Outcomes::new(), Vec::new());
    for _ in 0..rounds() {
        let set = replica_set()?;
        elections.push(round(&peers, set, "w=1", Fault::FreezePrimary, &mut all)?);
    }
    print_writes(&peers, &all, &elections, 300.0);

    println!(
        "SIGSTOP of a secondary under a loop of reads from secondaries, milliseconds, medians"
    );
    let mut all = Outcomes::new();
    for _ in 0..rounds() {
        let set = replica_set()?;
        round(&peers, set, "readPreference=secondary", Fault::FreezeSecondary, &mut all)?;
    }
    let mut table = Table::new(["peer", "longest read", "worst", "errors", "5 s query on another"]);
    for (peer, outcomes) in peers.iter().zip(all.values()) {
        let worst = outcomes.iter().map(|outcome| outcome.longest).fold(0.0, f64::max);
        let longest = median(outcomes.iter().map(|outcome| outcome.longest));
        let queries = outcomes.iter().filter_map(|outcome| outcome.long_query);
        let official = !is_portolan(*peer);
        table.row([
            peer.name().to_owned(),
            if official { fixed(longest, 1) } else { at_most(longest, 1_200.0) },
            fixed(worst, 1),
            outcomes.iter().map(|outcome| outcome.errors).sum::<usize>().to_string(),
            fixed(median(queries), 0),
        ]);
    }
    table.print();
    ratios(&peers, &all, "longest read");
    Ok(())
}

pub fn failover() -> Result<(), Failure> {
    println!("SIGKILL of the primary under a loop of writes (w: 1), milliseconds, medians");
    let (peers, mut all, mut elections) = (peers(), Outcomes::new(), Vec::new());
    for _ in 0..rounds() {
        let set = replica_set()?;
        elections.push(round(&peers, set, "w=1", Fault::KillPrimary, &mut all)?);
    }
    print_writes(&peers, &all, &elections, 15.0);
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    FreezePrimary,
    KillPrimary,
    FreezeSecondary,
}

/// One set, one fault; answers after how many milliseconds the servers had elected.
fn round(
    peers: &[Peer],
    mut set: ReplicaSet,
    option: &str,
    fault: Fault,
    all: &mut Outcomes,
) -> Result<f64, Failure> {
    let uri = format!("{}&{option}", set.uri());
    let mut workers =
        peers.iter().map(|peer| Worker::start(*peer, &uri)).collect::<Result<Vec<_>, Failure>>()?;
    let reads = fault == Fault::FreezeSecondary;
    let order = Order::Loop {
        kind: if reads { LoopKind::Read } else { LoopKind::Write },
        millis: LOOP_MILLIS,
        long_query: reads.then(|| set.uri()),
    };
    for worker in &mut workers {
        worker.order(&order)?;
    }
    thread::sleep(BEFORE);
    let primary = set.primary()?;
    let victim = if reads { (primary + 1) % 3 } else { primary };
    let at = SystemTime::now();
    match fault {
        Fault::KillPrimary => set.member_mut(victim).kill()?,
        Fault::FreezePrimary | Fault::FreezeSecondary => set.member_mut(victim).freeze()?,
    }
    // Until the slowest peer has come back: the victim stays as it is.
    let answers =
        workers.iter_mut().map(Worker::answer).collect::<Result<Vec<Answer>, Failure>>()?;
    let elected = if reads { at } else { elected(&set, at)? };
    if fault != Fault::KillPrimary {
        set.member_mut(victim).thaw()?;
    }
    for (index, answer) in answers.iter().enumerate() {
        let twice = !reads && written_twice(&set, &workers[index])?;
        let outcome = outcome(answer, at, elected, twice);
        all.entry(index).or_default().push(outcome);
    }
    Ok(millis(elected) - millis(at))
}

fn outcome(answer: &Answer, at: SystemTime, elected: SystemTime, twice: bool) -> Outcome {
    // Only what the fault held up: a busy machine has slow operations before it too.
    let slow = || answer.slow.iter().filter(|slow| slow.ended >= millis(at));
    let last = slow().filter(|slow| slow.ended - slow.millis <= millis(elected));
    let recovered = last.map(|slow| slow.ended).fold(millis(at), f64::max);
    Outcome {
        longest: slow().map(|slow| slow.millis).fold(0.0, f64::max),
        over_election: recovered - millis(elected),
        errors: answer.errors.len(),
        twice,
        long_query: answer.long_query_millis,
    }
}

/// When the new primary said in its log that it accepts writes.
fn elected(set: &ReplicaSet, after: SystemTime) -> Result<SystemTime, Failure> {
    let mut elections = Vec::new();
    for member in set.members() {
        elections.extend(election_events(&member.log_path())?);
    }
    let complete =
        |event: &&ElectionEvent| event.step == ElectionStep::PrimaryComplete && event.at > after;
    let first = elections.iter().filter(complete).map(|event| event.at).min();
    first.ok_or_else(|| "no member's log has an election after the fault".into())
}

/// Whether any of the counters that this peer wrote says 2.
fn written_twice(set: &ReplicaSet, worker: &Worker) -> Result<bool, Failure> {
    let module = match worker.peer {
        Peer::Official => "with_official",
        Peer::Pymongo => "pymongo",
        _ => "with_portolan",
    };
    let collection = format!("{module}-{}", worker.pid());
    let primary = set.wait_for_primary(Duration::from_secs(30))?;
    let count = doc! {
        "count": collection, "query": { "times": { "$gt": 1 } }, "$db": DATABASE,
    };
    let reply = set.command(primary, &count)?;
    let number = reply.get_i32("n").map(i64::from).or_else(|_| reply.get_i64("n"));
    Ok(number.map_err(|_| "count answers no number")? > 0)
}

fn print_writes(peers: &[Peer], all: &Outcomes, elections: &[f64], target: f64) {
    let heading =
        ["peer", "longest write", "over the election", "worst", "errors", "written twice"];
    let mut table = Table::new(heading);
    for (peer, outcomes) in peers.iter().zip(all.values()) {
        let over = median(outcomes.iter().map(|outcome| outcome.over_election));
        let worst = outcomes.iter().map(|outcome| outcome.over_election).fold(f64::MIN, f64::max);
        table.row([
            peer.name().to_owned(),
            fixed(median(outcomes.iter().map(|outcome| outcome.longest)), 1),
            if is_portolan(*peer) { at_most(over, target) } else { fixed(over, 1) },
            fixed(worst, 1),
            outcomes.iter().map(|outcome| outcome.errors).sum::<usize>().to_string(),
            outcomes.iter().filter(|outcome| outcome.twice).count().to_string(),
        ]);
    }
    table.print();
    println!("The servers' own election: {} ms.", fixed(median(elections.iter().copied()), 1));
    ratios(peers, all, "longest write");
}

/// How much longer the others stand still than Portolan, of medians.
fn ratios(peers: &[Peer], all: &Outcomes, what: &str) {
    let longest = |index: usize| median(all[&index].iter().map(|outcome| outcome.longest));
    let theirs = |peer: &Peer| peers.iter().position(|one| one == peer).map(longest);
    let mut words = Vec::new();
    for other in [Peer::Official, Peer::Pymongo] {
        for (index, peer) in peers.iter().enumerate().filter(|(_, peer)| is_portolan(**peer)) {
            if let Some(theirs) = theirs(&other) {
                let ratio = fixed(theirs / longest(index), 1);
                words.push(format!("{} {ratio} times {}", other.name(), peer.name()));
            }
        }
    }
    println!("As ratios of the {what}: {}.\n", words.join(", "));
}

fn is_portolan(peer: Peer) -> bool {
    matches!(peer, Peer::Tokio | Peer::AsyncStd | Peer::Smol)
}

fn millis(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3
}

/// With pymongo, where this machine has it.
fn peers() -> Vec<Peer> {
    let mut peers = vec![Peer::AsyncStd, Peer::Tokio, Peer::Official];
    let found = Command::new("python3").args(["-c", "import pymongo"]).output();
    if found.is_ok_and(|output| output.status.success()) {
        peers.push(Peer::Pymongo);
    } else {
        println!("(pymongo is not installed here; pip install pymongo adds its row)");
    }
    peers
}
