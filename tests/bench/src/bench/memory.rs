//! Memory of a client for each server that it monitors: 50 simulated members beside one, each with
//! its monitor, its RTT probe and its pool, nothing else going on.

use std::thread;
use std::time::Duration;

use portolan_sim::SimulatedSet;

use crate::orders::Order;
use crate::peer::worker::Worker;
use crate::peer::{Failure, Peer};
use crate::table::{Table, fixed};
use crate::usage::resident;

const MEMBERS: usize = 50;

pub fn run() -> Result<(), Failure> {
    let (many, one) =
        (SimulatedSet::start("rs0", MEMBERS, None)?, SimulatedSet::start("rs0", 1, None)?);
    let mut table =
        Table::new(["peer", "heap KiB/server", "resident KiB/server", "heap KiB at 50"]);
    for peer in [Peer::Tokio, Peer::AsyncStd, Peer::Smol, Peer::Official] {
        let (heap_one, resident_one) = memory(peer, &one)?;
        let (heap_many, resident_many) = memory(peer, &many)?;
        let each = |many: f64, one: f64| (many - one) / (MEMBERS - 1) as f64 / 1024.0;
        table.row([
            peer.name().to_owned(),
            fixed(each(heap_many, heap_one), 1),
            fixed(each(resident_many, resident_one), 1),
            fixed(heap_many / 1024.0, 0),
        ]);
    }
    table.print();
    Ok(())
}

/// Live heap bytes and resident bytes of a client that knows all members and has come to rest.
fn memory(peer: Peer, set: &SimulatedSet) -> Result<(f64, f64), Failure> {
    let mut worker = Worker::start_as(peer, &set.uri(), true)?;
    // Every monitor streams and every RTT probe has its first answer.
    thread::sleep(Duration::from_secs(3));
    let heap = worker.run(&Order::Ping { times: 1 })?.live_bytes;
    Ok((heap as f64, resident(worker.pid())? as f64))
}
