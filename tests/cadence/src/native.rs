//! The native runtimes.

use std::sync::Arc;
use std::time::Duration;

use portolan_async_std::AsyncStd;
use portolan_smol::Smol;
use portolan_tokio::Tokio;

use crate::{Scene, lateness, play};

/// A native runtime.
pub struct Runtime {
    /// Its name.
    pub name: &'static str,
    /// Plays a scene on it ([`play`]).
    pub play: fn(&Scene) -> Result<Vec<String>, String>,
    /// Measures its lateness ([`lateness::measure`]).
    pub measure: fn(Duration) -> Result<Vec<Duration>, String>,
}

/// All of them.
pub static RUNTIMES: &[Runtime] = &[
    Runtime {
        name: "async-std",
        play: |scene| {
            let spawn = |driver| drop(async_std::task::spawn(driver));
            async_std::task::block_on(play(scene, Arc::new(AsyncStd::new()), spawn))
        },
        measure: |length| {
            let spawn = |driver| drop(async_std::task::spawn(driver));
            let measured = lateness::measure(Arc::new(AsyncStd::new()), spawn, length);
            async_std::task::block_on(measured)
        },
    },
    Runtime {
        name: "smol",
        play: |scene| {
            let spawn = |driver| smol::spawn(driver).detach();
            smol::block_on(play(scene, Arc::new(Smol::new()), spawn))
        },
        measure: |length| {
            let spawn = |driver| smol::spawn(driver).detach();
            smol::block_on(lateness::measure(Arc::new(Smol::new()), spawn, length))
        },
    },
    Runtime {
        name: "tokio",
        play: |scene| {
            let spawn = |driver| drop(tokio::spawn(driver));
            tokio()?.block_on(play(scene, Arc::new(Tokio::new()), spawn))
        },
        measure: |length| {
            let spawn = |driver| drop(tokio::spawn(driver));
            tokio()?.block_on(lateness::measure(Arc::new(Tokio::new()), spawn, length))
        },
    },
];

fn tokio() -> Result<tokio::runtime::Runtime, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build();
    runtime.map_err(|error| error.to_string())
}
