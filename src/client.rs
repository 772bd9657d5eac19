//! The client: one deployment, as a user holds it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::database::Database;
use crate::driver::authenticate::Authentication;
use crate::driver::checked_out::ServerConnection;
use crate::driver::execute::execute;
use crate::driver::observe::Observers;
use crate::driver::open::Opener;
use crate::driver::pool_status::PoolStatus;
use crate::driver::route::Route;
use crate::driver::run::{Driver, run};
use crate::driver::shared::Shared;
use crate::engine::address::ServerAddress;
use crate::engine::op::{self, TimeBudget};
use crate::engine::sdam::{
    MonitorSettings, RescanSettings, ScanSettings, Sdam, SdamSettings, ServerType,
    TopologyDescription, TopologyId,
};
use crate::engine::selection::{self, Criteria, OperationKind, ReadPreference};
use crate::error::{Error, Result};
use crate::event::{CommandEvent, Events, PoolEvent, SetChange};
use crate::explain::Explanation;
use crate::identity::object_id;
use crate::logging::Log;
use crate::metadata;
use crate::options::{
    ClientOptions, DatabaseOptions, ServerChoice, ServerMonitoringMode, ServerSelector,
};
use crate::prepare;
use crate::resolve;
use crate::statistics::Statistics;
use crate::topology::Topology;
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
        self.shared.close();
    }
}

/// Who keeps what is believed up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Background,
    OnDemand,
}

/// A client that somebody else holds, or nobody any more.
#[derive(Clone, Debug)]
pub(crate) struct WeakClient(Weak<Handle>);

impl WeakClient {
    pub(crate) fn upgrade(&self) -> Option<Client> {
        self.0.upgrade().map(|handle| Client { handle })
    }
}

impl Client {
    /// A client over `transport`, and the future that must be spawned for it. Does no I/O, but for
    /// the files that TLS options name.
    ///
    /// # Errors
    ///
    /// Options that contradict each other; files of TLS that cannot be used; options that this
    /// version, or this build, cannot honour (TLS without the feature `tls`): it says so rather
    /// than connect without them. What it leaves out because it only makes things faster is named
    /// in the client's
    /// [`options().warnings`](ClientOptions::warnings).
    pub fn new(options: ClientOptions, transport: Arc<dyn Transport>) -> Result<(Self, Driver)> {
        let client = Self::build(options, transport, Mode::Background)?;
        let driver = Driver::new(client.shared().clone());
        Ok((client, driver))
    }

    /// A client over `transport` without any background work: servers are scanned when an operation
    /// needs it, by the operation itself. For runtimes where nothing may run between requests.
    ///
    /// The specification's "single-threaded" monitoring. An operation looks at all servers first if
    /// that was not done for [`heartbeat_frequency`](ClientOptions::heartbeat_frequency) (60 s by
    /// default), or if what it found is known to be wrong.
    ///
    /// Where no server suits, the operation fails after one scan: the server selection time-out
    /// does not count then, and selection may take as long as a scan does (a connection's
    /// time-out). With
    /// [`server_selection_try_once`](ClientOptions::server_selection_try_once)` = Some(false)` it
    /// goes on scanning, and may take the time-out plus the time of one scan.
    ///
    /// One connection serves discovery and operations. A
    /// [`snapshot`](ClientOptions::snapshot) of what an earlier client learned lets the first scan
    /// begin with the primary. What a dropped cursor leaves on its server is cleaned up beside the
    /// next operation. Otherwise the two modes behave alike, and select alike.
    ///
    /// # Errors
    ///
    /// As [`Client::new`].
    pub fn on_demand(options: ClientOptions, transport: Arc<dyn Transport>) -> Result<Self> {
        let client = Self::build(options, transport, Mode::OnDemand)?;
        if let Some(attendance) = client.shared().attendance() {
            attendance.put(run(client.shared().clone()));
        }
        Ok(client)
    }

    fn build(
        mut options: ClientOptions,
        transport: Arc<dyn Transport>,
        mode: Mode,
    ) -> Result<Self> {
        options.validate()?;
        prepare::prepare(&mut options, mode)?;
        let authentication = Authentication::of(&options)?;
        let opener = Opener::new(&options)?;
        let topology_id = TopologyId(object_id());
        let environment = metadata::environment();
        let client_metadata = metadata::describe(&options, &*transport, environment.clone())?;
        let streaming = match options.server_monitoring_mode {
            ServerMonitoringMode::Auto => !environment.is_function(),
            ServerMonitoringMode::Stream => true,
            ServerMonitoringMode::Poll => false,
        };
        let seed = resolve::seed(topology_id.0);
        let choices = options.selection_seed.unwrap_or(seed);
        let settings = SdamSettings {
            topology_id,
            seeds: options.hosts.clone(),
            set_name: options.repl_set_name.clone(),
            direct_connection: options.direct_connection,
            load_balanced: options.load_balanced == Some(true),
            snapshot: options.snapshot.clone(),
            rescan: rescan(&options, seed),
            scan: (mode == Mode::OnDemand).then_some(ScanSettings { seed: choices }),
            suspicion: options.suspicion,
            monitor: MonitorSettings {
                heartbeat_frequency: options.heartbeat(),
                connect_timeout: options.connect_timeout.unwrap_or_default(),
                streaming,
                rtt_probe: options.rtt_probe,
                metadata: client_metadata.clone(),
                compressors: options.compressors.clone(),
                server_api: options.server_api,
            },
        };
        #[cfg(any(not(target_arch = "wasm32"), feature = "recording"))]
        if let Some(trace) = &options.trace {
            trace.settings(&settings);
        }
        let sdam = Sdam::new(settings);
        let log = Log::new(topology_id, options.log_max_document_length);
        if let Some(danger) = options.tls_danger() {
            log.insecure(danger);
        }
        let observers = Arc::new(Observers::new(topology_id, log));
        let shared = Shared::new(
            options,
            (transport, opener),
            sdam,
            choices,
            client_metadata,
            authentication,
            observers,
        );
        Ok(Self { handle: Arc::new(Handle { shared: Arc::new(shared) }) })
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
        Topology::new(self.shared().clone())
    }

    /// What happens in the pools of connections from now on.
    ///
    /// To hear of the pools' creation too, ask before the [`Driver`] is spawned.
    pub fn pool_events(&self) -> Events<PoolEvent> {
        self.shared().observers.pools.subscribe()
    }

    /// What becomes of each command from now on. Nothing is copied for it while nobody asks.
    pub fn command_events(&self) -> Events<CommandEvent> {
        self.shared().observers.commands.subscribe()
    }

    /// What becomes of the replica set as a whole from now on: found, possibly changed, confirmed,
    /// dropped.
    ///
    /// The stream begins with the latest change there was, and ends after `Dropped`.
    pub fn set_changes(&self) -> Events<SetChange> {
        self.shared().observers.sets.subscribe()
    }

    /// What the client believes about the deployment at this moment. Takes no lock.
    pub fn description(&self) -> Arc<TopologyDescription> {
        self.shared().view().topology.clone()
    }

    /// Numbers of this moment: the servers, and what finding them cost so far.
    pub fn statistics(&self) -> Statistics {
        let (shared, view) = (self.shared(), self.shared().view());
        shared.observers.counters.statistics(shared.transport.now(), &view.topology)
    }

    /// Whether the client was not shut down.
    pub(crate) fn is_open(&self) -> bool {
        !self.shared().is_closed()
    }

    /// The same client, which this does not keep alive.
    pub(crate) fn downgrade(&self) -> WeakClient {
        WeakClient(Arc::downgrade(&self.handle))
    }

    /// The identity of the client's topology: all its events and log messages carry it.
    pub fn topology_id(&self) -> TopologyId {
        self.shared().observers.topology_id
    }

    /// The database of this name.
    pub fn database(&self, name: &str) -> Database {
        self.database_with_options(name, DatabaseOptions::default())
    }

    /// The database of this name, with defaults of its own for the operations of its collections.
    ///
    /// ```no_run
    /// # fn example(client: &portolan::Client) {
    /// use portolan::ReadPreference;
    /// use portolan::bson::Document;
    /// use portolan::options::{CollectionOptions, DatabaseOptions, ReadConcernLevel, WriteConcern};
    ///
    /// let reports = DatabaseOptions::default().read_preference(ReadPreference::secondary());
    /// let reports = client.database_with_options("reports", reports);
    /// let safe = CollectionOptions::default()
    ///     .read_concern(ReadConcernLevel::Majority)
    ///     .write_concern(WriteConcern::majority());
    /// let invoices = reports.collection_with_options::<Document>("invoices", safe);
    /// assert_eq!(invoices.read_preference(), &ReadPreference::secondary());
    /// # }
    /// ```
    pub fn database_with_options(&self, name: &str, options: DatabaseOptions) -> Database {
        Database::new(self.clone(), name, options)
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
        let budget = TimeBudget::begin(self.options().timeout, || transport.now());
        let route = Route { budget, ..Route::read("admin", &read_preference) };
        let executed = execute(self.shared(), &mut op::Ping, &route).await?;
        let duration = transport.now() - executed.sent;
        Ok(Ping { address: executed.address, server_type: executed.server_type, duration })
    }

    /// Why each server would or would not be chosen at this moment, by operations of this kind.
    ///
    /// # Errors
    ///
    /// If no server can ever be chosen: an invalid read preference, or servers that are too old.
    pub fn explain(&self, kind: OperationKind, preference: &ReadPreference) -> Result<Explanation> {
        let options = self.options();
        let criteria = Criteria {
            operation: kind,
            local_threshold: options.local_threshold,
            server_selector: options.server_selector.as_ref().map(ServerSelector::rule),
            heartbeat_frequency: options.heartbeat(),
            ..Criteria::read(preference)
        };
        let topology = self.shared().view().topology.clone();
        selection::suitable(&topology, &criteria).map_err(Error::of_selection)?;
        Ok(Explanation {
            criteria: criteria.to_string(),
            topology_type: topology.topology_type,
            verdicts: selection::explain(&topology, &criteria, self.shared().transport.now()),
            hints: selection::hints(&topology),
        })
    }

    /// A connection to a server of this choice, out of its pool, for commands of one's own.
    ///
    /// # Errors
    ///
    /// If no server suits within the server selection time-out, or no connection can be had.
    pub async fn connection(&self, choice: impl Into<ServerChoice>) -> Result<ServerConnection> {
        ServerConnection::take(self.shared(), choice.into()).await
    }

    /// Runs `work` with one connection to the primary; it goes back to the pool however that ends.
    ///
    /// # Errors
    ///
    /// As [`Client::connection`], and those of `work`: they are the caller's own and mean nothing
    /// to the client.
    pub async fn with_primary<T, E: From<Error>>(
        &self,
        work: impl AsyncFnOnce(&mut ServerConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.with_server(ReadPreference::PRIMARY, work).await
    }

    /// Runs `work` with one connection to a server of this choice, as [`Client::with_primary`].
    ///
    /// # Errors
    ///
    /// As [`Client::with_primary`].
    pub async fn with_server<T, E: From<Error>>(
        &self,
        choice: impl Into<ServerChoice>,
        work: impl AsyncFnOnce(&mut ServerConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.connection(choice).await?;
        work(&mut connection).await
    }

    /// The interval of checks of each server at this moment: 500 ms while an operation waits for a
    /// server, else what the options say.
    pub fn monitoring_interval(&self) -> Duration {
        self.shared().monitoring_interval()
    }

    /// A new client with the options and the transport of this one, which may have been shut down:
    /// the way to stop and to start again. What this one knows is not carried over.
    ///
    /// # Errors
    ///
    /// The client was made [on demand](Self::on_demand), which has no driver. Else none that
    /// [`Client::new`] did not give for the same options.
    pub fn restart(&self) -> Result<(Self, Driver)> {
        if self.shared().attendance().is_some() {
            return Err(Error::invalid_argument(
                "a client on demand has no driver to start again; make a new one by \
                 Client::on_demand with the same options",
            ));
        }
        Self::new(self.options().clone(), self.shared().transport.clone())
    }

    /// The connections of this client, server by server, and what it would be like if they all came
    /// back at once ([`PoolStatus::storm`]).
    pub fn pools(&self) -> Vec<PoolStatus> {
        self.shared().pool_statuses()
    }
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
        heartbeat_frequency: options.heartbeat(),
        limit: options.connect_timeout.unwrap_or_default(),
        seed,
    })
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
