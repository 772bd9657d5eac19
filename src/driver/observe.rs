//! Who listens to what happens: streams of events and log messages, told from one place.
//!
//! While nobody listens nothing is made: a command is copied only for somebody who wants to see it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bson::{RawDocument, RawDocumentBuf};

use super::connection::Peer;
use super::route::Route;
use crate::engine::address::ServerAddress;
use crate::engine::op::{CommandBuilder, monitoring};
use crate::engine::pool::{PoolEvent, PoolEventKind};
use crate::engine::sdam::{Notice, TopologyId};
use crate::engine::time::Instant;
use crate::error::{Error, ErrorKind};
use crate::event::{CommandEvent, CommandEventKind, Listeners, SetListeners, Subscribers};
use crate::logging::Log;
use crate::statistics::Counters;
use crate::transport::Transport;

/// Everybody who listens to one client.
#[derive(Debug)]
pub(crate) struct Observers {
    pub(crate) topology_id: TopologyId,
    pub(crate) topology: Subscribers,
    pub(crate) pools: Listeners<PoolEvent>,
    pub(crate) commands: Listeners<CommandEvent>,
    /// What becomes of the replica set as a whole.
    pub(crate) sets: SetListeners,
    pub(crate) counters: Counters,
    pub(crate) log: Log,
    operations: AtomicI64,
}

impl Observers {
    pub(crate) fn new(topology_id: TopologyId, log: Log) -> Self {
        let (topology, pools, commands) =
            (Subscribers::default(), Listeners::default(), Listeners::default());
        let (sets, counters) = (SetListeners::default(), Counters::default());
        let operations = AtomicI64::new(0);
        Self { topology_id, topology, pools, commands, sets, counters, log, operations }
    }

    /// A number for an operation that may take several commands; never the same twice.
    pub(crate) fn next_operation_id(&self) -> i64 {
        self.operations.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn tell_topology(&self, event: Notice) {
        self.log.topology(&event);
        self.counters.topology(event.at, &event.kind);
        self.sets.apply(&event.kind);
        self.topology.tell(event);
    }

    /// The watch over one command; `None` where nobody wants to know.
    pub(crate) fn watch(
        self: &Arc<Self>,
        transport: &Arc<dyn Transport>,
        route: &Route<'_>,
        name: &str,
    ) -> Option<CommandWatch> {
        if self.commands.is_empty() && !self.log.wants_commands() {
            return None;
        }
        Some(CommandWatch {
            observers: self.clone(),
            transport: transport.clone(),
            database: route.database.to_owned(),
            name: name.to_owned(),
            operation_id: route.operation_id,
            begun: None,
        })
    }
}

/// Tells what happens in one server's pool.
pub(crate) struct PoolObserver {
    observers: Arc<Observers>,
    transport: Arc<dyn Transport>,
    address: ServerAddress,
}

impl fmt::Debug for PoolObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolObserver").field("address", &self.address).finish_non_exhaustive()
    }
}

impl PoolObserver {
    pub(crate) fn new(
        observers: Arc<Observers>,
        transport: Arc<dyn Transport>,
        address: ServerAddress,
    ) -> Self {
        Self { observers, transport, address }
    }

    /// Whether anybody listens.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.observers.pools.is_empty() || self.observers.log.wants_connections()
    }

    pub(crate) fn tell(&self, kind: PoolEventKind) {
        let (at, topology_id) = (self.transport.now(), self.observers.topology_id);
        let event = PoolEvent { at, topology_id, address: self.address.clone(), kind };
        self.observers.log.pool(&event);
        self.observers.pools.tell(event);
    }
}

/// One attempt of one command, watched from its first byte to what came of it.
pub(crate) struct CommandWatch {
    observers: Arc<Observers>,
    transport: Arc<dyn Transport>,
    database: String,
    name: String,
    operation_id: Option<i64>,
    /// `None` before it is sent and after its end was told.
    begun: Option<Begun>,
}

impl Drop for CommandWatch {
    /// Whoever drops an operation in the middle leaves no command without an end.
    fn drop(&mut self) {
        if let Some(begun) = &self.begun {
            let address = begun.address.clone();
            let message = "the operation was dropped before the server answered".to_owned();
            self.failed(&Error::new(ErrorKind::Network { address, message }));
        }
    }
}

struct Begun {
    at: Instant,
    request_id: i32,
    address: ServerAddress,
    peer: Peer,
    sensitive: bool,
}

impl CommandWatch {
    /// The command is about to be written.
    pub(crate) fn started(
        &mut self,
        command: &CommandBuilder<'_>,
        request_id: i32,
        to: (&ServerAddress, Peer),
    ) {
        let (address, peer) = to;
        let at = self.transport.now();
        let sensitive = monitoring::is_sensitive(&self.name, command.body());
        let shown = if sensitive { RawDocumentBuf::new() } else { command.to_document() };
        self.begun = Some(Begun { at, request_id, address: address.clone(), peer, sensitive });
        self.tell(at, CommandEventKind::CommandStarted { command: shown });
    }

    /// The server has answered, or was asked for no answer.
    pub(crate) fn succeeded(&mut self, reply: Option<&RawDocument>) {
        let Some(begun) = &self.begun else { return };
        let now = self.transport.now();
        let reply = match reply {
            Some(_) if begun.sensitive => RawDocumentBuf::new(),
            Some(reply) => reply.to_owned(),
            // CLAM "Unacknowledged/Acknowledged writes".
            None => bson::rawdoc! { "ok": 1 },
        };
        let duration = now - begun.at;
        self.tell(now, CommandEventKind::CommandSucceeded { duration, reply });
        self.begun = None;
    }

    /// The server has refused the command, or the connection broke.
    pub(crate) fn failed(&mut self, error: &Error) {
        let Some(begun) = &self.begun else { return };
        let now = self.transport.now();
        let failure = if begun.sensitive { error.redacted() } else { error.clone() };
        let duration = now - begun.at;
        self.tell(now, CommandEventKind::CommandFailed { duration, failure });
        self.begun = None;
    }

    fn tell(&self, at: Instant, kind: CommandEventKind) {
        let Some(begun) = &self.begun else { return };
        let event = CommandEvent {
            at,
            topology_id: self.observers.topology_id,
            command_name: self.name.clone(),
            database_name: self.database.clone(),
            request_id: begun.request_id,
            operation_id: self.operation_id,
            address: begun.address.clone(),
            connection_id: begun.peer.connection_id,
            server_connection_id: begun.peer.server_connection_id,
            service_id: begun.peer.service_id,
            kind,
        };
        self.observers.log.command(&event);
        self.observers.commands.tell(event);
    }
}

#[cfg(test)]
mod tests {
    use bson::oid::ObjectId;

    use super::*;
    use crate::engine::selection::ReadPreference;
    use crate::transport::{BoxFuture, BoxStream};

    /// A transport that nobody uses.
    #[derive(Debug)]
    struct Nowhere;

    #[cfg_attr(not(target_arch = "wasm32"), async_trait::async_trait)]
    #[cfg_attr(target_arch = "wasm32", async_trait::async_trait(?Send))]
    impl Transport for Nowhere {
        fn now(&self) -> Instant {
            Instant::ZERO
        }

        fn sleep_until(&self, _: Instant) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }

        async fn connect(&self, _: &ServerAddress) -> std::io::Result<BoxStream> {
            Err(std::io::Error::other("nowhere"))
        }
    }

    // MT-14: of commands and pools, which are many, nothing is made while nobody listens. The
    // events of a topology are few and always made: whoever listens first hears what came before.
    #[test]
    fn what_nobody_wants_to_hear_is_not_made() {
        let topology_id = TopologyId(ObjectId::new());
        let observers = Arc::new(Observers::new(topology_id, Log::new(topology_id, None)));
        let transport: Arc<dyn Transport> = Arc::new(Nowhere);
        let pool = {
            let address = ServerAddress::tcp("a", 27017);
            PoolObserver::new(observers.clone(), transport.clone(), address)
        };
        let primary = ReadPreference::PRIMARY;
        let route = Route::read("shop", &primary);
        let watched = || observers.watch(&transport, &route, "find").is_some();
        assert!(!watched() && !pool.is_wanted());
        let commands = observers.commands.subscribe();
        assert!(watched() && !pool.is_wanted());
        let pools = observers.pools.subscribe();
        assert!(pool.is_wanted());
        drop((commands, pools));
        // The next of each finds out that nobody is left.
        let mut watch = observers.watch(&transport, &route, "ping").expect("still watched");
        let peer = Peer { connection_id: 1, server_connection_id: None, service_id: None };
        watch.started(&CommandBuilder::new(), 1, (&ServerAddress::tcp("a", 27017), peer));
        pool.tell(PoolEventKind::PoolClosed);
        assert!(!watched() && !pool.is_wanted());
    }
}
