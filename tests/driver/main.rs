//! The driver as a whole over a network in memory: dropped futures, the pool, retries, sessions,
//! selection, the monitors' cadence and events, all on a virtual clock.

mod attempts;
mod auth;
mod cancellation;
mod checked_out;
mod chosen;
mod defaults;
mod events;
mod frozen;
mod gaps;
mod hostile;
mod in_window;
mod inspection;
mod logs;
mod metadata;
mod monitor;
mod observed;
mod on_demand;
mod on_demand_ends;
mod options;
mod pool;
mod registry;
mod retry;
mod rows;
mod selection;
mod sessions;
mod sets;
mod srv;
mod standstill;
mod statistics;
mod support;
mod targeting;
mod threads;
mod timeouts;
mod tokens;
