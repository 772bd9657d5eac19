//! Bytes through the bridge, beside direct TCP and other bridges, in one run.
//!
//! The client is this program's main thread, the member another thread, each bridge a process of
//! its own. The client is the same for all: `tokio-tungstenite`, with the tunnel's protocol above
//! it or without.
//!
//! Who runs where decides more than what is measured: waking a sleeping CPU takes as long as a
//! whole round trip. So all share one CPU where times are measured, and each bridge has one of its
//! own where throughput is.

mod crowd;
mod fairness;
mod member;
mod speed;
pub(super) mod ways;

use std::process::Command;

use crate::peer::Failure;
use ways::World;

pub fn run() -> Result<(), Failure> {
    if std::env::var_os(TUNED).is_none() {
        // glibc gives each large block back to the system and faults it in again: of the client's
        // time, that would be a quarter, whichever bridge is measured.
        let mut again = Command::new(std::env::current_exe()?);
        again.arg("bridge").env(TUNED, "1").env(TUNABLES, KEEP_BLOCKS);
        let ended = again.status()?;
        return if ended.success() { Ok(()) } else { Err("the measurement failed".into()) };
    }
    crate::usage::allow_many_files();
    // One thread: bytes are not handed from one to another before they are counted.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        crowd::measure().await?;
        let world = World::start().await?;
        speed::measure(&world).await?;
        fairness::measure(&world).await
    })
}

const TUNED: &str = "PORTOLAN_BENCH_TUNED";
const TUNABLES: &str = "GLIBC_TUNABLES";
const KEEP_BLOCKS: &str =
    "glibc.malloc.trim_threshold=67108864:glibc.malloc.mmap_threshold=33554432";
