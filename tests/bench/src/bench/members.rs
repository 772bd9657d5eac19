//! What selection among many members costs an operation: pings of any of 50 simulated members
//! beside pings of a set of one, as client CPU. The drivers' own selection is behind both; the
//! official driver's topology and selection have no public face to be measured alone.

use portolan_sim::SimulatedSet;

use super::rounds;
use crate::orders::Order;
use crate::peer::worker::Worker;
use crate::peer::{Failure, Peer};
use crate::table::{Table, fixed, median};

const PINGS: u32 = 5_000;

pub fn run() -> Result<(), Failure> {
    let (many, one) = (SimulatedSet::start("rs0", 50, None)?, SimulatedSet::start("rs0", 1, None)?);
    let any = |set: &SimulatedSet| format!("{}&readPreference=nearest", set.uri());
    let heading = ["peer", "CPU us/ping, 1 member", "50 members", "difference"];
    let mut table = Table::new(heading);
    for peer in [Peer::Tokio, Peer::AsyncStd, Peer::Official] {
        let mut workers = [Worker::start(peer, &any(&one))?, Worker::start(peer, &any(&many))?];
        let mut runs = [Vec::new(), Vec::new()];
        for round in 0..=rounds() {
            for (worker, runs) in workers.iter_mut().zip(&mut runs) {
                let answer = worker.run(&Order::Ping { times: PINGS })?;
                if round > 0 {
                    runs.push(answer.cpu_nanos as f64 / 1e3 / answer.operations as f64);
                }
            }
        }
        let [alone, among] = runs.map(median);
        table.row([
            peer.name().to_owned(),
            fixed(alone, 1),
            fixed(among, 1),
            fixed(among - alone, 1),
        ]);
    }
    table.print();
    Ok(())
}
