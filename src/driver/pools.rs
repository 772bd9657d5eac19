//! The pools of all servers: how they are made and looked after, and what they are like.

use std::sync::Arc;

use super::dial::replenish;
use super::observe::PoolObserver;
use super::pool::ServerPool;
use super::pool_status::PoolStatus;
use super::shared::{Core, Shared};
use crate::engine::address::ServerAddress;
use crate::engine::pool::PoolSettings;
use crate::engine::time::Instant;

impl Shared {
    pub(super) fn open_pool(&self, address: ServerAddress) -> Arc<ServerPool> {
        let (observers, transport) = (self.observers.clone(), self.transport.clone());
        let observer = PoolObserver::new(observers, transport, address.clone());
        Arc::new(ServerPool::new(address, self.pool_settings(), observer))
    }

    /// A check has succeeded: the moment to look after the pool too, without a timer of its own.
    pub(crate) fn tend(self: &Arc<Self>, now: Instant, pool: &Arc<ServerPool>) {
        pool.ready(now);
        if pool.is_short_of(self.options.min_pool_size as usize) {
            self.leave_job(Box::pin(replenish(self.clone(), pool.clone())));
        }
    }

    /// The same where nothing checks the server: before an operation takes a connection.
    pub(crate) fn tend_unmonitored(self: &Arc<Self>, pool: &Arc<ServerPool>) {
        let options = &self.options;
        let wanted = options.min_pool_size > 0 || options.max_idle_time.is_some();
        if wanted && options.load_balanced == Some(true) {
            self.tend(self.transport.now(), pool);
        }
    }

    fn pool_settings(&self) -> PoolSettings {
        let options = &self.options;
        PoolSettings {
            max_size: options.max_pool_size as usize,
            min_size: options.min_pool_size as usize,
            max_connecting: options.max_connecting as usize,
            wait_queue_timeout: options.wait_queue_timeout,
            max_idle_time: options.max_idle_time.unwrap_or_default(),
        }
    }

    /// Each server's pool, with the connections of its monitor.
    pub(crate) fn pool_statuses(&self) -> Vec<PoolStatus> {
        let now = self.transport.now();
        let monitors = |address: &ServerAddress, core: &Core| {
            core.slots.keys().filter(|link| link.address == *address).count()
        };
        let core = self.core();
        core.pools.iter().map(|(a, pool)| pool.status(now, monitors(a, &core))).collect()
    }
}
