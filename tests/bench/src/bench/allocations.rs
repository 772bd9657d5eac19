//! Allocations of one `find_one`, the whole process counted, monitors included.

use crate::orders::Order;
use crate::peer::worker::Worker;
use crate::peer::{Failure, Peer};
use crate::setting::Server;
use crate::table::{Table, at_most, fixed};

pub fn run() -> Result<(), Failure> {
    let server = Server::start()?;
    let mut table = Table::new(["peer", "allocations/op"]);
    let canned = [Peer::CannedTokio, Peer::CannedAsyncStd];
    for peer in canned.into_iter().chain([Peer::Tokio, Peer::AsyncStd, Peer::Official]) {
        let mut worker = Worker::start_as(peer, &server.uri, true)?;
        worker.run(&Order::FindOne { tasks: 1, millis: 500 })?;
        let answer = worker.run(&Order::FindOne { tasks: 1, millis: 1_000 })?;
        let each = answer.allocations as f64 / answer.operations as f64;
        let shown = match peer {
            Peer::Tokio | Peer::AsyncStd => at_most(each, 10.0),
            _ => fixed(each, 2),
        };
        table.row([peer.name().to_owned(), shown]);
    }
    table.print();
    println!(
        "The filter's document and the struct's two strings are the caller's share: 6. What a\n\
         canned loop allocates is its runtime's; on async-std a timer somewhere costs two more an\n\
         operation (the reactor splits its map of timers at each turn).\n"
    );
    Ok(())
}
