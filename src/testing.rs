//! Not for applications: what the specification's tests of pools do to a pool by hand.
//!
//! The format of connection-monitoring-and-pooling's tests (`cmap-format`) makes a pool ready,
//! clears and closes it, takes connections out of it and gives them back, without a topology around
//! it. [`PoolUnderTest`] does that to the pool of a real client, which its monitor would otherwise
//! do: everything behind these doors is what operations go through. No promise of stability covers
//! this module.

use std::fmt;
use std::sync::Arc;

use crate::client::Client;
use crate::driver::checked_out::ServerConnection;
use crate::driver::pool::ServerPool;
use crate::driver::shared::Shared;
use crate::error::Result;

/// The pool of a client's only server, moved by hand.
#[derive(Clone)]
pub struct PoolUnderTest {
    shared: Arc<Shared>,
    pool: Arc<ServerPool>,
}

impl fmt::Debug for PoolUnderTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pool.fmt(f)
    }
}

impl PoolUnderTest {
    /// The pool of the client's only server; `None` before its driver has opened it.
    pub fn of(client: &Client) -> Option<Self> {
        let shared = client.shared().clone();
        let pool = shared.view().pools.values().next().cloned()?;
        Some(Self { shared, pool })
    }

    /// A check of the server has succeeded.
    pub fn ready(&self) {
        self.shared.tend(self.shared.transport.now(), &self.pool);
    }

    /// The server has failed.
    pub fn clear(&self, interrupt_in_use: bool) {
        let now = self.shared.transport.now();
        let generation = self.pool.generation() + 1;
        self.pool.clear(now, generation, &"a test cleared it".into(), interrupt_in_use);
    }

    /// The server has left.
    pub fn close(&self) {
        self.pool.close(self.shared.transport.now());
    }

    /// A connection, as an operation gets it once it has selected the server; dropping it checks
    /// it in.
    ///
    /// # Errors
    ///
    /// As those of any operation that gets none.
    pub async fn check_out(&self) -> Result<ServerConnection> {
        ServerConnection::out_of(&self.shared, &self.pool).await
    }
}
