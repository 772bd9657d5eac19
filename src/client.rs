//! The client: one deployment, as a user holds it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_channel::Receiver;
use bson::RawDocumentBuf;
use bson::oid::ObjectId;
use bson::raw::cstr;
use futures_util::Stream;

use crate::database::Database;
use crate::driver::execute::{Route, execute};
use crate::driver::run::Driver;
use crate::driver::shared::Shared;
use crate::engine::address::ServerAddress;
use crate::engine::op;
use crate::engine::sdam::{
    self, MonitorSettings, RescanSettings, Sdam, SdamSettings, ServerType, TopologyDescription,
    TopologyId,
};
use crate::engine::selection::ReadPreference;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::metadata;
use crate::options::{ClientOptions, ServerMonitoringMode};
use crate::resolve;
use crate::transport::Transport;

/// A MongoDB deployment: standalone, replica set or sharded cluster.
///
/// Cheap to clone; all clones share monitors, pools and sessions. When the last one is dropped, the
/// [`Driver`] ends. A transport's own crate makes one in a line
/// (`portolan_async_std::connect(uri)`); [`Client::new`] is for whoever spawns the driver himself.
#[derive(Clone, Debug)]
pub struct Client {
    handle: Arc<Handle>,
}

/// Ends the driver when the last client is dropped.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        close(&self.shared);
    }
}

impl Client {
    /// A client over `transport`, and the future that must be spawned for it. Does no I/O.
    ///
    /// # Errors
    ///
    /// Options that this version cannot honour (a user name, TLS, an SRV host): it says so rather
    /// than connect without them.
    pub fn new(options: ClientOptions, transport: Arc<dyn Transport>) -> Result<(Self, Driver)> {
        refuse_what_is_missing(&options)?;
        let topology_id = TopologyId(ObjectId::new());
        let environment = metadata::environment();
        let client_metadata = metadata::describe(&options, &*transport, environment.clone())?;
        let streaming = match options.server_monitoring_mode {
            ServerMonitoringMode::Auto => !environment.is_function(),
            ServerMonitoringMode::Stream => true,
            ServerMonitoringMode::Poll => false,
        };
        let sdam = Sdam::new(SdamSettings {
            topology_id,
            seeds: options.hosts.clone(),
            set_name: options.repl_set_name.clone(),
            direct_connection: options.direct_connection,
            load_balanced: options.load_balanced == Some(true),
            monitor: MonitorSettings {
                heartbeat_frequency: options.heartbeat_frequency,
                connect_timeout: options.connect_timeout.unwrap_or_default(),
                streaming,
                metadata: client_metadata.clone(),
            },
        });
        let seed = resolve::seed(topology_id.0);
        let sdam = match rescan(&options, seed) {
            Some(settings) => sdam.rescanning(settings),
            None => sdam,
        };
        let shared = Arc::new(Shared::new(options, transport, sdam, seed, client_metadata));
        let driver = Driver::new(shared.clone());
        Ok((Self { handle: Arc::new(Handle { shared }) }, driver))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// The options that the client was made with.
    pub fn options(&self) -> &ClientOptions {
        &self.shared().options
    }

    /// What the client believes about the deployment, and a stream of what changes.
    ///
    /// The first one made hears everything from the first event on, later ones what happens from
    /// then on. Events wait in memory until they are read: drop a `Topology` that nobody reads.
    pub fn topology(&self) -> Topology {
        let events = self.shared().subscribers.subscribe();
        Topology { shared: self.shared().clone(), events: Box::pin(events) }
    }

    /// The database of this name.
    pub fn database(&self, name: &str) -> Database {
        Database::new(self.clone(), name)
    }

    /// The database that the connection string names.
    pub fn default_database(&self) -> Option<Database> {
        self.options().default_database.as_deref().map(|name| self.database(name))
    }

    /// Sends a `ping` to a server of this read preference.
    ///
    /// # Errors
    ///
    /// If no server suits within the server selection time-out, or the server does not answer.
    pub async fn ping(&self, read_preference: ReadPreference) -> Result<Ping> {
        let transport = &self.shared().transport;
        let route = Route::read("admin", &read_preference);
        let executed = execute(self.shared(), &mut op::Ping, &route).await?;
        let duration = transport.now() - executed.sent;
        Ok(Ping { address: executed.address, server_type: executed.server_type, duration })
    }

    /// Ends all sessions on the server, closes all connections and stops monitoring. The last event
    /// is `TopologyClosed`; operations that still wait fail.
    pub async fn shutdown(&self) {
        let sessions = self.shared().sessions.drain();
        if !sessions.is_empty() && self.topology_has_server() {
            // "SHOULD end all sessions": a courtesy, so a failure does not matter.
            let _ = self.database("admin").run_command(end_sessions(&sessions)).await;
        }
        close(self.shared());
    }

    fn topology_has_server(&self) -> bool {
        let view = self.shared().view();
        view.topology.primary().is_some() || view.topology.servers.len() == 1
    }
}

fn close(shared: &Shared) {
    if !shared.is_closed() {
        shared.drive(shared.transport.now(), sdam::Event::Close);
    }
}

fn end_sessions(sessions: &[RawDocumentBuf]) -> RawDocumentBuf {
    /// "batches of 10,000 sessions".
    const MOST: usize = 10_000;
    let ids: bson::RawArrayBuf = sessions.iter().take(MOST).map(|lsid| &**lsid).collect();
    let mut command = RawDocumentBuf::new();
    command.append(cstr!("endSessions"), ids);
    command
}

/// How to look for changes of the SRV records that the seeds came from.
fn rescan(options: &ClientOptions, seed: u64) -> Option<RescanSettings> {
    Some(RescanSettings {
        host: options.srv_host.clone()?,
        service_name: options.srv_service_name.clone(),
        max_hosts: options.srv_max_hosts as usize,
        replica_sets: options.srv_poll_replica_sets,
        interval: options.srv_rescan_interval,
        ttl: options.srv_ttl.unwrap_or_default(),
        heartbeat_frequency: options.heartbeat_frequency,
        limit: options.connect_timeout.unwrap_or_default(),
        seed,
    })
}

/// What is announced for later is refused now, so that nobody sends data in the clear by surprise.
fn refuse_what_is_missing(options: &ClientOptions) -> Result<()> {
    let missing = |what: &str| {
        Err(Error::invalid_argument(format!(
            "{what}; this version of portolan cannot do that yet, and does not go on without it"
        )))
    };
    if options.credential.is_some() {
        return missing("the connection string asks for authentication");
    }
    if options.tls_enabled() {
        return missing(
            "the connection string asks for TLS (as mongodb+srv:// does, unless it says tls=false)",
        );
    }
    if options.srv_host.is_some() && options.hosts.is_empty() {
        return Err(Error::invalid_argument(
            "the hosts of the mongodb+srv:// connection string are not looked up yet; make the \
             client of `options.resolve(&transport).await?`, or by the connect of a transport's \
             crate",
        ));
    }
    Ok(())
}

/// The answer to a [`Client::ping`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    /// Who answered.
    pub address: ServerAddress,
    /// What kind of server it was when it was chosen.
    pub server_type: ServerType,
    /// From the request to the answer on an established connection.
    pub duration: Duration,
}

/// What a client believes about its deployment, and the stream of events that change it.
#[derive(Debug)]
pub struct Topology {
    shared: Arc<Shared>,
    events: Pin<Box<Receiver<Event>>>,
}

impl Topology {
    /// The present belief. Taking it costs no lock.
    pub fn description(&self) -> Arc<TopologyDescription> {
        self.shared.view().topology.clone()
    }

    /// Milliseconds since the client was created, on the clock of all its events.
    pub fn now_ms(&self) -> f64 {
        self.shared.transport.now().as_millis_f64()
    }
}

impl Stream for Topology {
    type Item = Event;

    /// The next event; the stream ends after `TopologyClosed`.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.events.as_mut().poll_next(cx)
    }
}
