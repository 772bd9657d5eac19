//! Bytes through the bridge, beside direct TCP and other bridges, in one run.
//!
//! The client is this program's main thread, the member another thread, each bridge a process of
//! its own. The client is the same for all: `tokio-tungstenite`, with the tunnel's protocol above
//! it or without.

mod crowd;
mod fairness;
mod member;
mod speed;
mod ways;

use crate::peer::Failure;
use ways::World;

pub fn run() -> Result<(), Failure> {
    crate::usage::allow_many_files();
    // One thread: bytes are not handed from one to another before they are counted.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let world = World::start().await?;
        speed::measure(&world).await?;
        crowd::measure(&world).await?;
        fairness::measure(&world).await
    })
}
