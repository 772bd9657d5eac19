//! How late each heartbeat starts against the engine's deadline, on each native runtime.
//!
//! `cargo run --release --bin lateness [SECONDS]` in `tests/bench`; `cargo xtask lateness
//! [SECONDS]` prints the rows of JavaScript runtimes below. Ten clients poll a deployment in memory
//! every 500 ms, each at moments of its own; a heartbeat is late by the time from its deadline to
//! the moment when its hello is written. To reach at the median: under 2 ms, in a worker of a
//! browser under 10 ms.

use std::time::Duration;

use portolan_cadence::lateness;
use portolan_cadence::native::RUNTIMES;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(30), |text| text.parse())?;
    println!("{}", lateness::HEADINGS);
    for runtime in RUNTIMES {
        let late = (runtime.measure)(Duration::from_secs(seconds))?;
        println!("{}", lateness::row(runtime.name, &late));
    }
    Ok(())
}
