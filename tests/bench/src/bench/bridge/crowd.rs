//! What idle tunnels cost: memory of the bridge, and the speed of a busy one among them.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;

use super::member::ECHO;
use super::speed::{down, exchange, first_byte};
use super::ways::{Bytes, Way, World};
use crate::bench::rounds;
use crate::peer::Failure;
use crate::table::{Table, at_most, fixed, median};
use crate::usage::proportional_of_all;

/// Idle tunnels, and the WebSockets that carry them where one carries many.
const TUNNELS: usize = 2000;
const SOCKETS: usize = 200;
/// Turns of a busy one.
const BUSY: usize = 5;
/// websockify forks for each.
const FORKS: usize = 100;

/// What a way has shown, a value for each round.
#[derive(Default)]
struct Figures {
    bytes: Vec<f64>,
    down: Vec<f64>,
    exchange: Vec<f64>,
}

/// With bridges that have done nothing else yet.
pub async fn measure() -> Result<(), Failure> {
    let world = &World::start().await?;
    println!("{TUNNELS} idle tunnels; the bridge's carried by {SOCKETS} WebSockets");
    let mut table =
        Table::new(["way", "idle", "bytes each", "busy one: down", "200 bytes", "added us"]);
    for way in world.ways().into_iter().filter(|way| *way != Way::Direct) {
        let mut figures = Figures::default();
        let mut added = Vec::new();
        let count = if way == Way::Websockify { FORKS } else { TUNNELS };
        for _ in 0..rounds() {
            let added_us = round(world, way, count, &mut figures).await?;
            added.push(added_us);
        }
        let bytes = figures.bytes[0];
        let is_bound = way == Way::Tunnel;
        table.row([
            way.name().to_owned(),
            count.to_string(),
            if is_bound { at_most(bytes, 25_600.0) } else { fixed(bytes, 0) },
            format!("{:.2} of alone", median(figures.down)),
            format!("{:.2} of alone", median(figures.exchange)),
            fixed(median(added), 1),
        ]);
    }
    table.print();
    println!(
        "Bytes: growth of the process's share of memory (Pss), with all its children, from the\n\
         start of the process. Busy: medians with the idle ones beside those without, in turn.\n"
    );
    Ok(())
}

async fn round(
    world: &World,
    way: Way,
    count: usize,
    figures: &mut Figures,
) -> Result<f64, Failure> {
    let pid = world.pid(way).ok_or("this way has no process")?;
    if figures.bytes.is_empty() {
        let before = proportional_of_all(pid)?;
        let idle = crowd(world, way, count).await?;
        // What opening has left is given back or not.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let growth = proportional_of_all(pid)?.saturating_sub(before);
        figures.bytes.push(growth as f64 / count as f64);
        drop(idle);
    }
    let (down_alone, exchange_alone) = busy(world, way).await?;
    let idle = crowd(world, way, count).await?;
    let (down, exchange) = busy(world, way).await?;
    drop(idle);
    tokio::time::sleep(Duration::from_millis(500)).await;
    figures.down.push(down / down_alone);
    figures.exchange.push(exchange / exchange_alone);
    Ok(exchange - exchange_alone)
}

async fn busy(world: &World, way: Way) -> Result<(f64, f64), Failure> {
    world.place(true)?;
    let (mut downs, mut exchanges) = (Vec::new(), Vec::new());
    for _ in 0..BUSY {
        downs.push(down(&mut *world.open(way).await?).await?);
    }
    world.place(false)?;
    let mut stream = world.open(way).await?;
    stream.write_all(ECHO).await?;
    for _ in 0..BUSY {
        exchanges.push(exchange(&mut *stream).await?);
    }
    Ok((median(downs), median(exchanges)))
}

/// Tunnels that have carried a byte each way, and rest.
async fn crowd(world: &World, way: Way, count: usize) -> Result<Vec<Box<dyn Bytes>>, Failure> {
    let mut all: Vec<Box<dyn Bytes>> = Vec::with_capacity(count);
    if way == Way::Tunnel {
        for _ in 0..SOCKETS {
            let tunnel = world.tunnel().await?;
            for _ in 0..count / SOCKETS {
                all.push(Box::new(world.stream(&tunnel).await?));
                first_byte(all.last_mut().expect("one was pushed")).await?;
            }
        }
    } else {
        for _ in 0..count {
            all.push(world.open(way).await?);
            first_byte(all.last_mut().expect("one was pushed")).await?;
        }
    }
    Ok(all)
}
