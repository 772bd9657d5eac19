//! Who is measured. Each peer is a process of its own, so that its CPU time, its allocations and
//! its wake-ups are its own.

pub mod canned;
pub mod driver;
pub mod floor;
pub mod worker;

use std::time::{Duration, Instant};

use crate::counting;
use crate::orders::Answer;
use crate::usage::cpu_nanos;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// One peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Blocking sockets, a canned command, the reply read and thrown away: a thread a task.
    Floor,
    /// The same exchange as a loop on tokio.
    CannedTokio,
    /// The same exchange as a loop on async-std.
    CannedAsyncStd,
    Tokio,
    AsyncStd,
    Smol,
    Official,
    Pymongo,
}

impl Peer {
    pub const ALL: [Self; 8] = [
        Self::Floor,
        Self::CannedTokio,
        Self::CannedAsyncStd,
        Self::Tokio,
        Self::AsyncStd,
        Self::Smol,
        Self::Official,
        Self::Pymongo,
    ];

    /// As tables and the worker's argument have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::CannedTokio => "canned-tokio",
            Self::CannedAsyncStd => "canned-async-std",
            Self::Tokio => "portolan-tokio",
            Self::AsyncStd => "portolan-async-std",
            Self::Smol => "portolan-smol",
            Self::Official => "official",
            Self::Pymongo => "pymongo",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|peer| peer.name() == name)
    }
}

/// What the process uses from one moment on.
pub struct Meter {
    began: Instant,
    cpu_nanos: u64,
    allocations: u64,
}

impl Meter {
    pub fn start() -> Self {
        Self { allocations: counting::allocations(), cpu_nanos: cpu_nanos(), began: Instant::now() }
    }

    /// The measured part of an answer.
    pub fn stop(&self, operations: u64) -> Answer {
        let elapsed = self.began.elapsed();
        Answer {
            operations,
            nanos: nanos(elapsed),
            cpu_nanos: cpu_nanos() - self.cpu_nanos,
            allocations: counting::allocations() - self.allocations,
            live_bytes: counting::live_bytes(),
            ..Answer::default()
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Documents in an order that no cache can guess, the same for every peer.
pub struct Ids {
    state: u32,
    count: u32,
}

impl Ids {
    pub fn new(task: usize, count: i32) -> Self {
        let state = u32::try_from(task).unwrap_or(0).wrapping_mul(7919).wrapping_add(1);
        Self { state, count: count.unsigned_abs() }
    }

    pub fn next(&mut self) -> i32 {
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i32::try_from((self.state >> 8) % self.count).unwrap_or(0)
    }
}
