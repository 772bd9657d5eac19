//! The driver as a whole over a network in memory: dropped futures, the pool, retries, sessions,
//! selection, the monitors' cadence and events, all on a virtual clock.

mod cancellation;
mod events;
mod frozen;
mod gaps;
mod hostile;
mod monitor;
mod observed;
mod options;
mod pool;
mod retry;
mod rows;
mod selection;
mod sessions;
mod srv;
mod support;
mod threads;
