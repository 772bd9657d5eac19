//! Many documents with one call: read through a cursor, and inserted.
//!
//! What bounds both is the server, and most of all `insert_many`: of the time of 10,000 small
//! documents the client's CPU is a small part (the column beside), so that even a driver that costs
//! nothing would not be far ahead of another.

use super::rounds;
use crate::orders::{Answer, Order, RECORDS};
use crate::peer::worker::Worker;
use crate::peer::{Failure, Peer};
use crate::setting::Server;
use crate::table::{Table, at_least, fixed, median};

const PEERS: [Peer; 3] = [Peer::Tokio, Peer::AsyncStd, Peer::Official];

pub fn cursor() -> Result<(), Failure> {
    compare(1.5, |_, worker| worker.run(&Order::ReadAll { times: 5 }))
}

pub fn insert_many() -> Result<(), Failure> {
    compare(1.3, |server, worker| {
        server.empty_inserted()?;
        worker.run(&Order::InsertMany { documents: RECORDS })
    })
}

fn compare(
    target: f64,
    mut measure: impl FnMut(&mut Server, &mut Worker) -> Result<Answer, Failure>,
) -> Result<(), Failure> {
    let mut server = Server::start()?;
    let uri = server.uri.clone();
    let mut workers =
        PEERS.iter().map(|peer| Worker::start(*peer, &uri)).collect::<Result<Vec<_>, Failure>>()?;
    let mut runs: Vec<Vec<Answer>> = vec![Vec::new(); workers.len()];
    for worker in &mut workers {
        measure(&mut server, worker)?;
    }
    // A run takes a tenth of a second: more of them than of longer ones.
    for _ in 0..rounds() * 3 {
        for (worker, runs) in workers.iter_mut().zip(&mut runs) {
            runs.push(measure(&mut server, worker)?);
        }
    }
    let millis =
        |answer: &Answer| answer.nanos as f64 / 1e6 * f64::from(RECORDS) / answer.operations as f64;
    let cpu = |answer: &Answer| {
        answer.cpu_nanos as f64 / 1e6 * f64::from(RECORDS) / answer.operations as f64
    };
    let official = runs.last().map_or(&[][..], Vec::as_slice);
    let mut table = Table::new(["peer", "ms for 10,000", "CPU ms", "speed of official"]);
    for (peer, runs) in PEERS.iter().zip(&runs) {
        let ratio =
            median(runs.iter().zip(official).map(|(one, other)| millis(other) / millis(one)));
        table.row([
            peer.name().to_owned(),
            fixed(median(runs.iter().map(millis)), 2),
            fixed(median(runs.iter().map(cpu)), 2),
            if *peer == Peer::Official { fixed(ratio, 2) } else { at_least(ratio, target) },
        ]);
    }
    table.print();
    Ok(())
}
