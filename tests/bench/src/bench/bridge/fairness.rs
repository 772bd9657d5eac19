//! Streams of one tunnel, one of which nobody reads.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::member::send;
use super::ways::{Bytes, Way, World};
use crate::bench::rounds;
use crate::peer::Failure;
use crate::table::{Table, at_least, at_most, fixed, median};
use crate::usage::proportional_of_all;

const READERS: usize = 20;
/// Bytes that each of them reads.
const BYTES: u64 = 16 * 1024 * 1024;
/// The credit of a stream, and what its copy holds each way: what nobody reads may cost.
const CREDIT: f64 = (256 + 2 * 128) as f64;

pub async fn measure(world: &World) -> Result<(), Failure> {
    println!("{READERS} streams that read, and one that nobody reads, in one tunnel");
    let pid = world.pid(Way::Tunnel).ok_or("the bridge is not there")?;
    world.place(true)?;
    let (mut alone, mut beside, mut kept, mut held) = (vec![], vec![], vec![], vec![]);
    for _ in 0..rounds() {
        let tunnel = world.tunnel().await?;
        let without = read_all(world, &tunnel).await?;
        let before = proportional_of_all(pid)?;
        let mut stopped = world.stream(&tunnel).await?;
        stopped.write_all(&send(1 << 40)).await?;
        stopped.flush().await?;
        stopped.read_exact(&mut [0]).await?;
        // Until everything on the way is full.
        tokio::time::sleep(Duration::from_millis(300)).await;
        held.push(proportional_of_all(pid)?.saturating_sub(before) as f64 / 1024.0);
        let with = read_all(world, &tunnel).await?;
        kept.push(with / without);
        alone.push(without);
        beside.push(with);
    }
    let mut table =
        Table::new(["readers alone MB/s", "beside it MB/s", "of alone", "KiB more in the bridge"]);
    table.row([
        fixed(median(alone), 0),
        fixed(median(beside), 0),
        at_least(median(kept), 0.9),
        at_most(median(held), CREDIT),
    ]);
    table.print();
    Ok(())
}

/// Megabytes a second of all readers together.
async fn read_all(world: &World, tunnel: &portolan_mux::ClientTunnel) -> Result<f64, Failure> {
    let mut streams = Vec::new();
    for _ in 0..READERS {
        streams.push(world.stream(tunnel).await?);
    }
    let began = Instant::now();
    try_join_all(streams.iter_mut().map(|stream| read(stream))).await?;
    let bytes = READERS as f64 * BYTES as f64;
    Ok(bytes / 1e6 / began.elapsed().as_secs_f64())
}

async fn read(stream: &mut dyn Bytes) -> Result<(), Failure> {
    stream.write_all(&send(BYTES)).await?;
    stream.flush().await?;
    let mut buffer = vec![0; 64 * 1024];
    let mut left = BYTES;
    while left > 0 {
        left -= match stream.read(&mut buffer).await? {
            0 => return Err("the transfer ended early".into()),
            count => count as u64,
        };
    }
    Ok(())
}
