//! `find_one` by `_id`: how near a driver comes to the same exchange as a canned loop.
//!
//! Server and client share the machine's CPUs, so operations a second depend on what else it does;
//! CPU an operation and the ratios of neighbouring runs depend on it less.
//!
//! What bounds it: a profile of one task on tokio has 77 % of the client's CPU in the kernel
//! (waking, switching, TCP), and the system calls are those of the canned loop: one send, one
//! receive, one wait. Where server and client saturate two CPUs, as 16 and 64 tasks do, no client
//! is far ahead of another: the canned loop itself is there at 0.9 to 1.1 of the official driver.
//! async-io costs async-std's canned loop 1.6 to 2.3 times the floor's CPU before a driver does
//! anything.

use super::rounds;
use crate::orders::{Answer, Order};
use crate::peer::worker::Worker;
use crate::peer::{Failure, Peer};
use crate::setting::Server;
use crate::table::{Table, at_least, at_most, fixed, median};

const PEERS: [Peer; 6] = [
    Peer::Floor,
    Peer::CannedTokio,
    Peer::CannedAsyncStd,
    Peer::Tokio,
    Peer::AsyncStd,
    Peer::Official,
];
const TASKS: [usize; 3] = [1, 16, 64];
const MILLIS: u64 = 700;

pub fn run() -> Result<(), Failure> {
    let server = Server::start()?;
    let mut workers = PEERS
        .iter()
        .map(|peer| Worker::start(*peer, &server.uri))
        .collect::<Result<Vec<_>, Failure>>()?;
    for tasks in TASKS {
        // Connections are made and caches warmed before anything counts.
        for worker in &mut workers {
            worker.run(&Order::FindOne { tasks, millis: 200 })?;
        }
        let mut runs: Vec<Vec<Answer>> = vec![Vec::new(); workers.len()];
        for _ in 0..rounds() {
            for (worker, runs) in workers.iter_mut().zip(&mut runs) {
                runs.push(worker.run(&Order::FindOne { tasks, millis: MILLIS })?);
            }
        }
        print(tasks, &runs);
    }
    Ok(())
}

fn print(tasks: usize, runs: &[Vec<Answer>]) {
    let of = |peer: Peer| &runs[PEERS.iter().position(|one| *one == peer).unwrap_or(0)];
    // Ratios of neighbours in time: what else the machine does falls on both.
    let speed = |peer: Peer, base: Peer| {
        median(of(peer).iter().zip(of(base)).map(|(one, base)| per_second(one) / per_second(base)))
    };
    let mut table = Table::new(["tasks", "peer", "ops/s", "of floor", "CPU us/op", "of floor"]);
    for peer in PEERS {
        let cpu = median(of(peer).iter().map(cpu_micros));
        table.row([
            tasks.to_string(),
            peer.name().to_owned(),
            fixed(median(of(peer).iter().map(per_second)), 0),
            fixed(speed(peer, Peer::Floor), 2),
            fixed(cpu, 1),
            fixed(cpu_ratio(of(peer), of(Peer::Floor)), 2),
        ]);
    }
    table.print();
    let mut table = Table::new(["", "of its own canned loop", "of official", "CPU of floor"]);
    for (peer, canned, target) in
        [(Peer::Tokio, Peer::CannedTokio, 1.4), (Peer::AsyncStd, Peer::CannedAsyncStd, 1.25)]
    {
        table.row([
            peer.name().to_owned(),
            at_least(speed(peer, canned), 0.88),
            at_least(speed(peer, Peer::Official), target),
            at_most(cpu_ratio(of(peer), of(Peer::Floor)), 1.6),
        ]);
    }
    table.print();
}

fn per_second(answer: &Answer) -> f64 {
    answer.operations as f64 / answer.nanos as f64 * 1e9
}

fn cpu_micros(answer: &Answer) -> f64 {
    answer.cpu_nanos as f64 / answer.operations as f64 / 1e3
}

fn cpu_ratio(one: &[Answer], base: &[Answer]) -> f64 {
    median(one.iter().zip(base).map(|(one, base)| cpu_micros(one) / cpu_micros(base)))
}
