//! Throughput both ways, round trips, and the time from nothing to the first byte.

use std::time::Instant;

use portolan_mux::ClientTunnel;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::member::{ECHO, send, swallow};
use super::ways::{Bytes, Way, World};
use crate::bench::rounds;
use crate::peer::Failure;
use crate::table::{Table, at_least, at_most, fixed, median};

/// Bytes of one transfer.
pub const BYTES: u64 = 128 * 1024 * 1024;
/// Transfers each way in one round.
const TRANSFERS: usize = 3;
/// Exchanges of 200 bytes in one turn.
const EXCHANGES: usize = 200;
/// Tunnels opened in one turn.
const OPENS: usize = 10;
/// Turns of each way in one round.
const TURNS: usize = 10;

/// What one way has shown, a value for each turn.
#[derive(Default)]
struct Figures {
    down: Vec<f64>,
    up: Vec<f64>,
    exchange: Vec<f64>,
    open: Vec<f64>,
}

/// Each column of every way in turn, so that what else the machine does meets all of them.
pub async fn measure(world: &World) -> Result<(), Failure> {
    let ways = world.ways();
    let mut all: Vec<Figures> = ways.iter().map(|_| Figures::default()).collect();
    let mut another = Vec::new();
    for _ in 0..rounds() {
        world.place(true)?;
        for _ in 0..TRANSFERS {
            for (way, figures) in ways.iter().zip(&mut all) {
                figures.down.push(down(&mut *world.open(*way).await?).await?);
            }
            for (way, figures) in ways.iter().zip(&mut all) {
                figures.up.push(up(&mut *world.open(*way).await?).await?);
            }
        }
        world.place(false)?;
        let mut streams = Vec::new();
        for way in &ways {
            streams.push(world.open(*way).await?);
            streams.last_mut().expect("one was pushed").write_all(ECHO).await?;
        }
        let tunnel = world.tunnel().await?;
        for _ in 0..TURNS {
            for (stream, figures) in streams.iter_mut().zip(&mut all) {
                figures.exchange.push(exchange(&mut **stream).await?);
            }
            for (way, figures) in ways.iter().zip(&mut all) {
                figures.open.push(open(world, *way).await?);
            }
            another.push(open_another(world, &tunnel).await?);
        }
    }
    print(&ways, &all);
    let another = median(another);
    println!(
        "Medians of {} rounds of all in turn, ratios and differences those of each turn. Client\n\
         and member share one CPU; for throughput each bridge has another, for times it shares\n\
         theirs. Open: from nothing to the first byte of an answer; a tunnel over a WebSocket\n\
         that is there already: {another:.0} us.\n",
        rounds()
    );
    verdict(&ways, &all);
    Ok(())
}

/// Megabytes a second from the member.
pub async fn down(stream: &mut dyn Bytes) -> Result<f64, Failure> {
    let began = Instant::now();
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
    Ok(BYTES as f64 / 1e6 / began.elapsed().as_secs_f64())
}

async fn up(stream: &mut dyn Bytes) -> Result<f64, Failure> {
    let began = Instant::now();
    stream.write_all(&swallow(BYTES)).await?;
    let buffer = vec![0; 64 * 1024];
    for _ in 0..BYTES / buffer.len() as u64 {
        stream.write_all(&buffer).await?;
    }
    stream.flush().await?;
    stream.read_exact(&mut [0]).await?;
    Ok(BYTES as f64 / 1e6 / began.elapsed().as_secs_f64())
}

/// Microseconds of a round trip of 200 bytes.
pub async fn exchange(stream: &mut dyn Bytes) -> Result<f64, Failure> {
    let mut times = Vec::with_capacity(EXCHANGES);
    for _ in 0..EXCHANGES {
        let began = Instant::now();
        stream.write_all(&[7; 200]).await?;
        stream.flush().await?;
        stream.read_exact(&mut [0; 200]).await?;
        times.push(began.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(times))
}

/// Microseconds from nothing to the first byte of an answer.
async fn open(world: &World, way: Way) -> Result<f64, Failure> {
    let mut times = Vec::with_capacity(OPENS);
    for _ in 0..OPENS {
        let began = Instant::now();
        first_byte(&mut *world.open(way).await?).await?;
        times.push(began.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(times))
}

async fn open_another(world: &World, tunnel: &ClientTunnel) -> Result<f64, Failure> {
    let mut times = Vec::with_capacity(OPENS);
    for _ in 0..OPENS {
        let began = Instant::now();
        first_byte(&mut world.stream(tunnel).await?).await?;
        times.push(began.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(times))
}

/// Asks for a byte and waits for it.
pub async fn first_byte(stream: &mut dyn Bytes) -> Result<(), Failure> {
    stream.write_all(&[ECHO, &[7]].concat()).await?;
    stream.flush().await?;
    stream.read_exact(&mut [0]).await?;
    Ok(())
}

/// The median over turns of what `of` makes of this and that of the same round.
fn each(this: &[f64], that: &[f64], of: fn(f64, f64) -> f64) -> f64 {
    median(this.iter().zip(that).map(|(this, that)| of(*this, *that)))
}

fn ratio(this: f64, that: f64) -> f64 {
    this / that
}

fn excess(this: f64, that: f64) -> f64 {
    this - that
}

fn print(ways: &[Way], all: &[Figures]) {
    let mut table = Table::new([
        "way",
        "down MB/s",
        "of direct",
        "up MB/s",
        "of direct",
        "200 bytes us",
        "added us",
        "open us",
    ]);
    let of = |values: &[f64]| median(values.iter().copied());
    let direct = &all[0];
    for (way, figures) in ways.iter().zip(all) {
        table.row([
            way.name().to_owned(),
            fixed(of(&figures.down), 0),
            fixed(each(&figures.down, &direct.down, ratio), 2),
            fixed(of(&figures.up), 0),
            fixed(each(&figures.up, &direct.up, ratio), 2),
            fixed(of(&figures.exchange), 1),
            fixed(each(&figures.exchange, &direct.exchange, excess), 1),
            fixed(of(&figures.open), 0),
        ]);
    }
    table.print();
}

/// Each target, and the best peer of each column.
fn verdict(ways: &[Way], all: &[Figures]) {
    let mut table =
        Table::new(["target", "down of direct", "up of direct", "added us", "ahead of the peers"]);
    let direct = &all[0];
    for (way, figures) in ways.iter().zip(all).filter(|(way, _)| way.is_ours()) {
        table.row([
            way.name().to_owned(),
            at_least(each(&figures.down, &direct.down, ratio), 0.6),
            at_least(each(&figures.up, &direct.up, ratio), 0.6),
            at_most(each(&figures.exchange, &direct.exchange, excess), 40.0),
            ahead(figures, ways, all),
        ]);
    }
    table.print();
}

/// The columns in which no peer is better.
fn ahead(ours: &Figures, ways: &[Way], all: &[Figures]) -> String {
    let peers = || ways.iter().zip(all).filter(|(way, _)| way.is_peer()).map(|(_, peer)| peer);
    type Column = fn(&Figures) -> &Vec<f64>;
    let columns: [(&str, Column, bool); 4] = [
        ("down", |figures| &figures.down, true),
        ("up", |figures| &figures.up, true),
        ("200 bytes", |figures| &figures.exchange, false),
        ("open", |figures| &figures.open, false),
    ];
    let words = columns.map(|(name, column, more)| {
        let best = peers()
            .map(|peer| each(column(ours), column(peer), ratio))
            .map(|ratio| if more { ratio } else { 1.0 / ratio })
            .fold(f64::INFINITY, f64::min);
        format!("{name} {best:.2} ({})", if best >= 1.0 { "met" } else { "missed" })
    });
    words.join(", ")
}
