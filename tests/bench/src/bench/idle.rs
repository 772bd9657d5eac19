//! What a client costs that does nothing: how often its threads are woken.
//!
//! A thread that waits was put to sleep by a voluntary context switch, so the switches of all
//! threads of a process count its wake-ups, whatever woke it: sockets, timers, other threads.

use std::thread;
use std::time::{Duration, Instant};

use crate::peer::worker::Worker;
use crate::peer::{Failure, Peer};
use crate::setting::replica_set;
use crate::table::{Table, fixed};
use crate::usage::{threads, waits};

const WINDOW: Duration = Duration::from_secs(60);

pub fn run() -> Result<(), Failure> {
    let set = replica_set()?;
    let uri = format!("{}&readPreference=nearest", set.uri());
    let workers = [Peer::Tokio, Peer::AsyncStd, Peer::Smol, Peer::Official]
        .map(|peer| Worker::start(peer, &uri));
    let workers = workers.into_iter().collect::<Result<Vec<_>, Failure>>()?;
    // Threads for blocking calls end, first round-trip times are taken.
    thread::sleep(Duration::from_secs(12));
    let before = workers.iter().map(|worker| waits(worker.pid())).collect::<Result<Vec<_>, _>>()?;
    let began = Instant::now();
    thread::sleep(WINDOW);
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let mut table = Table::new(["peer", "wake-ups/min", "threads"]);
    for (worker, before) in workers.iter().zip(before) {
        let woken = waits(worker.pid())?.saturating_sub(before);
        table.row([
            worker.peer.name().to_owned(),
            fixed(woken as f64 / minutes, 0),
            threads(worker.pid())?.to_string(),
        ]);
    }
    table.print();
    println!(
        "Three members, each with a streamed hello and an RTT probe every 10 s: 36 replies a\n\
         minute, and as many timers, which is what tokio shows. async-std and smol have the same\n\
         events; after each, async-io's own thread looks up to ten times whether it is needed.\n"
    );
    Ok(())
}
