//! Making a connection under a pool's leave, and what its failure means.

use std::sync::Arc;

use super::connection::{Connection, ConnectionError, Handshake, Patience};
use super::failed::making_of;
use super::pool::{PooledConnection, ServerPool, Slot};
use super::shared::Shared;
use crate::engine::sdam::{Event, Failure, Stage};
use crate::engine::wire::Compression;

/// Opens a connection, shakes hands, authenticates and tells the topology machine what came of it.
pub(crate) async fn dial(
    shared: &Arc<Shared>,
    slot: Slot,
    patience: Patience,
) -> Result<PooledConnection, (Stage, ConnectionError)> {
    let metadata = shared.metadata();
    let handshake = Handshake {
        opener: &shared.opener,
        metadata: &metadata,
        load_balanced: shared.options.load_balanced == Some(true),
        server_api: shared.options.server_api,
        compression: Compression::offer(
            &shared.options.compressors,
            shared.options.zlib_compression_level,
        ),
        authentication: shared.authentication.as_ref(),
        patience,
    };
    let transport = &*shared.transport;
    match Connection::establish(transport, &slot, handshake).await {
        Ok(connection) => {
            let address = slot.address().clone();
            let reply = Box::new((**connection.hello()).clone());
            shared.drive(transport.now(), Event::Handshaken { address, reply });
            Ok(slot.fill(connection))
        }
        Err((stage, error)) => {
            let (judged, kind) = making_of(stage, &error);
            // The pool is cleared, if at all, before the connection counts as closed.
            shared.report(Failure::of(slot.address(), slot.generation(), judged, kind));
            slot.fail(error.to_string().into());
            Err((stage, error))
        }
    }
}

/// Makes connections until `pool` has as many as it should keep ready ("minPoolSize").
pub(crate) async fn replenish(shared: Arc<Shared>, pool: Arc<ServerPool>) {
    let min_size = shared.options.min_pool_size as usize;
    // CSOT "Background Connection Pooling": "The timeout MUST be refreshed after each command."
    let command = shared.options.timeout.filter(|timeout| !timeout.is_zero());
    let patience = Patience { connect: shared.options.connect_timeout, command, until: None };
    while let Some(slot) = pool.replenish(min_size, &shared.transport) {
        // After a failure the next successful check of the server brings the next attempt.
        if dial(&shared, slot, patience).await.is_err() {
            return;
        }
    }
}
