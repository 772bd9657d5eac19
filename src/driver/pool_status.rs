//! One server's pool at one moment, and the storm that its connections would be.

use std::time::Duration;

use crate::engine::address::ServerAddress;
use crate::engine::pool::{InUse, MakingRate, Numbered, Pool, PoolSettings};
use crate::engine::time::Instant;

/// The connections of one client to one server, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStatus {
    /// The server.
    pub address: ServerAddress,
    /// Connections of operations: in use, idle and being made.
    pub connections: usize,
    /// Connections that nobody uses.
    pub idle: usize,
    /// Connections being made.
    pub making: usize,
    /// Connections in use, by what for.
    pub in_use: InUse,
    /// Operations that wait for a connection.
    pub waiting: usize,
    /// Operations that were given to the server and have not ended, those that wait included.
    pub operations: usize,
    /// Connections of the monitor beside those of operations: its stream, and the probe of
    /// round-trip times.
    pub monitors: usize,
    /// How fast connections of operations were made so far.
    pub rate: MakingRate,
    /// The limits of the pool.
    pub settings: PoolSettings,
}

/// What a server has to stand when clients lose all their connections to it and come back: after it
/// was restarted, or after their pools were cleared.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Storm {
    /// Connections of monitors, which come first and at once.
    pub monitors: usize,
    /// Connections of operations that are made anew: as many as there are now, or as are kept
    /// ready.
    pub connections: usize,
    /// All connections that the clients may ever have to it; `None` where pools have no limit.
    pub most: Option<usize>,
    /// Connections of operations that are begun in a second: each client makes `maxConnecting` at
    /// a time, and each takes as long as it took on average. `None` until one was made.
    pub per_second: Option<f64>,
    /// How long the storm lasts; `None` until a connection was made.
    pub duration: Option<Duration>,
}

impl PoolStatus {
    pub(crate) fn of<C: Numbered>(
        address: &ServerAddress,
        machine: &mut Pool<C>,
        now: Instant,
        monitors: usize,
        operations: usize,
    ) -> Self {
        Self {
            address: address.clone(),
            connections: machine.size(),
            idle: machine.idle(),
            making: machine.making(),
            in_use: machine.in_use(),
            waiting: machine.waiting(),
            operations,
            monitors,
            rate: machine.making_rate(now),
            settings: *machine.settings(),
        }
    }

    /// What the server has to stand when `clients` clients like this one come back at once.
    ///
    /// Of what is counted here, and no more: clients that do other work have other pools, and an
    /// overloaded server takes longer for each connection, which makes the storm slower and longer.
    ///
    /// ```no_run
    /// # fn example(client: &portolan::Client) {
    /// for pool in client.pools() {
    ///     let storm = pool.storm(200);
    ///     if storm.per_second > Some(1_000.0) {
    ///         println!("{}: a restart brings {} connections", pool.address, storm.connections);
    ///     }
    /// }
    /// # }
    /// ```
    pub fn storm(&self, clients: usize) -> Storm {
        let PoolSettings { max_size, min_size, max_connecting, .. } = self.settings;
        let connections = clients * self.connections.max(min_size);
        let most = (max_size > 0).then(|| clients * (max_size + self.monitors));
        let making = self.rate.average.filter(|average| !average.is_zero());
        let at_once = (clients * max_connecting) as f64;
        let per_second = making.map(|average| at_once / average.as_secs_f64());
        let duration =
            per_second.and_then(|rate| Duration::try_from_secs_f64(connections as f64 / rate).ok());
        Storm { monitors: clients * self.monitors, connections, most, per_second, duration }
    }
}
