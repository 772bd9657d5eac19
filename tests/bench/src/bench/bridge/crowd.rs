//! What idle tunnels cost: memory of the bridge, and the speed of a busy one among them.

use std::time::Duration;

use super::speed::{down, exchange, first_byte};
use super::ways::{Bytes, Way, World};
use crate::bench::rounds;
use crate::peer::Failure;
use crate::table::{Table, at_most, fixed, median};
use crate::usage::proportional_of_all;

/// Idle tunnels, and the WebSockets that carry them where one carries many.
const TUNNELS: usize = 2000;
const SOCKETS: usize = 200;
/// websockify forks for each.
const FORKS: usize = 100;

/// What a way has shown, a value for each round.
#[derive(Default)]
struct Figures {
    bytes: Vec<f64>,
    down: Vec<f64>,
    exchange: Vec<f64>,
}

pub async fn measure(world: &World) -> Result<(), Failure> {
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
        // Later rounds find memory that the first has left.
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
    println!("Bytes: growth of the process's own share of memory (Pss), with all its children.\n");
    Ok(())
}

async fn round(
    world: &World,
    way: Way,
    count: usize,
    figures: &mut Figures,
) -> Result<f64, Failure> {
    let pid = world.pid(way).ok_or("this way has no process")?;
    let (down_alone, exchange_alone) = busy(world, way).await?;
    let before = proportional_of_all(pid)?;
    let idle = crowd(world, way, count).await?;
    // What opening has left is given back or not.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let growth = proportional_of_all(pid)?.saturating_sub(before);
    figures.bytes.push(growth as f64 / count as f64);
    let (down, exchange) = busy(world, way).await?;
    drop(idle);
    tokio::time::sleep(Duration::from_millis(500)).await;
    figures.down.push(down / down_alone);
    figures.exchange.push(exchange / exchange_alone);
    Ok(exchange - exchange_alone)
}

async fn busy(world: &World, way: Way) -> Result<(f64, f64), Failure> {
    let down = down(&mut *world.open(way).await?).await?;
    Ok((down, exchange(&mut *world.open(way).await?).await?))
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
