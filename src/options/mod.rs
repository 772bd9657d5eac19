//! What a client may be told: hosts, time-outs, pool sizes, concerns, credentials.
//!
//! [`ClientOptions`] has every option of the uri-options specification as a typed field, whether
//! this version acts on it or not; a connection string is read into it by [`crate::uri`].

mod concern;
mod credential;
mod defaults;
mod error;
mod selector;
#[cfg(any(feature = "aws-auth", feature = "oidc-auth"))]
mod sources;
mod tls;
#[cfg(any(not(target_arch = "wasm32"), feature = "recording"))]
mod trace;
mod validate;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

pub use concern::{Acknowledgment, ReadConcern, ReadConcernLevel, WriteConcern};
pub(crate) use credential::CredentialParts;
pub(crate) use defaults::Defaults;
pub use defaults::{CollectionOptions, DatabaseOptions};
pub use error::OptionsError;
pub use selector::{ServerChoice, ServerSelector};
#[cfg(any(feature = "aws-auth", feature = "oidc-auth"))]
pub use sources::SourceError;
#[cfg(feature = "aws-auth")]
pub use sources::{AwsCredentialProvider, AwsSource};
#[cfg(feature = "oidc-auth")]
pub use sources::{OidcCallback, OidcRequest, OidcSource};
pub use tls::TlsOptions;
#[cfg(any(not(target_arch = "wasm32"), feature = "recording"))]
pub use trace::TraceSink;
pub(crate) use validate::MAX_APP_NAME;

use crate::engine::address::{DEFAULT_PORT, ServerAddress};
pub use crate::engine::auth::{AuthMechanism, Credential};
pub use crate::engine::hello::{DriverInfo, ServerApi, ServerApiVersion};
pub use crate::engine::sdam::MonitoringMode as ServerMonitoringMode;
pub use crate::engine::sdam::RttProbe;
pub use crate::engine::sdam::suspicion::SuspicionSettings;
pub use crate::engine::sdam::{SnapshotError, TopologySnapshot};
use crate::engine::selection::ReadPreference;
pub use crate::engine::wire::Compressor;
use crate::transport::{CustomEncryption, CustomResolver};

impl FromStr for ServerMonitoringMode {
    /// What is allowed.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "stream" => Ok(Self::Stream),
            "poll" => Ok(Self::Poll),
            _ => Err("auto, stream or poll".to_owned()),
        }
    }
}

/// A SOCKS5 proxy in front of the deployment.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProxyOptions {
    /// Host name or IP literal of the proxy.
    pub host: String,
    /// Its port; 1080 by default.
    pub port: u16,
    /// The user's name at the proxy.
    pub username: Option<String>,
    /// The password at the proxy.
    pub password: Option<String>,
}

impl fmt::Debug for ProxyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyOptions")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "REDACTED"))
            .finish()
    }
}

/// Everything a client may be told. `Debug` shows no secret.
///
/// ```
/// use portolan::options::ClientOptions;
///
/// let options = ClientOptions::parse("mongodb://a,b:27018/shop?replicaSet=rs0&appNam=till")?;
/// assert_eq!(options.repl_set_name.as_deref(), Some("rs0"));
/// assert_eq!(options.default_database.as_deref(), Some("shop"));
/// assert!(options.warnings[0].contains("did you mean appName?"));
/// # Ok::<_, portolan::options::OptionsError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ClientOptions {
    /// The seeds; empty while they are to be looked up by [`srv_host`](Self::srv_host).
    ///
    /// Name a few, not all: every seed is monitored from the start, and who waits for a server has
    /// each of them checked twice a second. A long seed list that names servers which are down, or
    /// which are no members any more, costs connections and time, and tells the client nothing that
    /// one living member would not.
    pub hosts: Vec<ServerAddress>,
    /// The host name whose SRV records name the seeds (`mongodb+srv://`).
    pub srv_host: Option<String>,
    /// At most so many hosts of the SRV records; 0 for all.
    pub srv_max_hosts: u32,
    /// The service name of the SRV records.
    pub srv_service_name: String,
    /// The least time to live of the records that gave the seeds; `None` before
    /// [`resolve`](Self::resolve).
    pub srv_ttl: Option<Duration>,
    /// How often the SRV records are looked up again, whatever time to live they have: at least
    /// 500 ms. `None` for as often as they say, every 60 s at most.
    pub srv_rescan_interval: Option<Duration>,
    /// Whether the SRV records of a replica set are looked up again while it has no known primary:
    /// a set whose hosts have all changed is found again. The specification looks up those of
    /// sharded clusters only, which cannot be switched off.
    pub srv_poll_replica_sets: bool,
    /// Who looks up SRV and TXT records; `None` for the transport.
    pub resolver: Option<CustomResolver>,
    /// Who encrypts connections where [`tls`](Self::tls) wants that; `None` for the core's own TLS
    /// (feature `tls`).
    pub encryption: Option<CustomEncryption>,
    /// The database named by the connection string.
    pub default_database: Option<String>,
    /// Who the client says it is; `None` for nobody.
    pub credential: Option<Credential>,
    /// Who gives Amazon's credentials (MONGODB-AWS); `None` for the environment
    /// (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`).
    #[cfg(feature = "aws-auth")]
    pub aws_credentials: Option<AwsSource>,
    /// Who gives access tokens (MONGODB-OIDC); `None` for what the credential's `ENVIRONMENT` says.
    #[cfg(feature = "oidc-auth")]
    pub oidc: Option<OidcSource>,
    /// The database that knows the user, where the connection string or a TXT record names one. It
    /// is the credential's source already.
    pub auth_source: Option<String>,
    /// Shown in the server's logs and profiles; at most 128 bytes.
    pub app_name: Option<String>,
    /// The set that all members must belong to; `None` for whichever the seeds belong to.
    pub repl_set_name: Option<String>,
    /// `true`: talk to the one seed only, whatever it is. `false` or `None`: discover the
    /// deployment (with one seed and no set name, `None` too discovers).
    pub direct_connection: Option<bool>,
    /// Whether the one host is a load balancer; `None` for no, unless a TXT record says yes.
    pub load_balanced: Option<bool>,
    /// Time to open a connection, TLS included, and to answer a check; `None` for no limit.
    pub connect_timeout: Option<Duration>,
    /// Time for one read or write of a socket by an application's operation; `None` for no limit.
    /// Deprecated: `timeout` overrides it.
    pub socket_timeout: Option<Duration>,
    /// `timeoutMS`: time for a whole operation, from the selection of its server to the last of its
    /// attempts, and told to the server. Zero for no limit; `None` (the default) leaves it to the
    /// other time-outs. With it a failed attempt is followed by others for as long as there is
    /// time, and an operation whose time is over fails with an error that says so
    /// ([`Error::is_timeout`](crate::Error::is_timeout)).
    ///
    /// Database, collection and operation may say otherwise (client-side-operations-timeout).
    pub timeout: Option<Duration>,
    /// How long an operation waits for a suitable server.
    pub server_selection_timeout: Duration,
    /// On demand only ([`Client::on_demand`](crate::Client::on_demand)): whether selection gives up
    /// after one scan of all servers, whatever time is left; `None` for yes.
    pub server_selection_try_once: Option<bool>,
    /// On demand only: a connection that has rested for so long is asked for a sign of life before
    /// an operation is sent on it (`socketCheckIntervalMS`).
    pub socket_check_interval: Duration,
    /// The interval of checks of each server; at least 500 ms. `None` for the specification's: 10 s
    /// in the background, 60 s on demand.
    pub heartbeat_frequency: Option<Duration>,
    /// How servers are monitored.
    pub server_monitoring_mode: ServerMonitoringMode,
    /// What measures round-trip times while servers are streamed from.
    pub rtt_probe: RttProbe,
    /// How much slower than the fastest suitable server a server may be.
    pub local_threshold: Duration,
    /// The user's own rule for choosing servers; `None` for no other than the specification's.
    pub server_selector: Option<ServerSelector>,
    /// What all random choices of the client follow from: with the same number, and the same
    /// servers and operations one after the other, the same servers are chosen. `None` for choices
    /// that nobody can foretell.
    pub selection_seed: Option<u64>,
    /// The default read preference of all reads.
    pub read_preference: ReadPreference,
    /// The default read concern of all reads.
    pub read_concern: ReadConcern,
    /// The default write concern of all writes.
    pub write_concern: WriteConcern,
    /// Whether a read that fails by network or failover is tried once more.
    pub retry_reads: bool,
    /// Whether a write that fails by network or failover is tried once more, exactly-once.
    pub retry_writes: bool,
    /// Retries while a server sheds load.
    pub max_adaptive_retries: u32,
    /// Whether such a retry goes to another server.
    pub enable_overload_retargeting: bool,
    /// Connections per server at most; 0 for no limit.
    pub max_pool_size: u32,
    /// Connections per server that are kept ready.
    pub min_pool_size: u32,
    /// Connections per server that may be opening at once; at least 1.
    pub max_connecting: u32,
    /// How long a connection may be idle before it is closed; `None` for no limit.
    pub max_idle_time: Option<Duration>,
    /// How long an operation waits for a connection of the pool; `None` for as long as it may last.
    /// Deprecated: `timeout` overrides it.
    pub wait_queue_timeout: Option<Duration>,
    /// How connections are encrypted.
    pub tls: TlsOptions,
    /// How messages may be compressed, best first; each needs the crate's feature of its name
    /// ([`Compressor::is_built_in`]). None by default.
    pub compressors: Vec<Compressor>,
    /// zlib's level: 0 (none) to 9 (best); -1 for its default.
    pub zlib_compression_level: i32,
    /// The proxy to go through.
    pub proxy: Option<ProxyOptions>,
    /// The Stable API that every command declares; `None` for none. No option of a connection
    /// string: what the server does changes with it (versioned-api).
    pub server_api: Option<ServerApi>,
    /// Characters of a document in a log message at most; `None` for what
    /// `MONGODB_LOG_MAX_DOCUMENT_LENGTH` says, else 1,000.
    pub log_max_document_length: Option<usize>,
    /// The library on top of this driver; one more is added by
    /// [`Client::append_metadata`](crate::Client::append_metadata).
    pub driver_info: Option<DriverInfo>,
    /// How soon the silence of a server is noticed, and what follows; on by default.
    pub suspicion: SuspicionSettings,
    /// What an earlier client learned, to begin with; passed over unless it is of this deployment.
    pub snapshot: Option<TopologySnapshot>,
    /// Where everything that the topology machine is told is recorded; `None` for no recording.
    #[cfg(any(not(target_arch = "wasm32"), feature = "recording"))]
    pub trace: Option<TraceSink>,
    /// What was left out of the connection string, and why: an unknown option, a repeated one.
    pub warnings: Vec<String>,
}

impl Default for ClientOptions {
    /// `mongodb://localhost:27017`, with the specifications' defaults.
    fn default() -> Self {
        Self {
            hosts: vec![ServerAddress::tcp("localhost", DEFAULT_PORT)],
            srv_host: None,
            srv_max_hosts: 0,
            srv_service_name: "mongodb".to_owned(),
            srv_ttl: None,
            srv_rescan_interval: None,
            srv_poll_replica_sets: false,
            resolver: None,
            encryption: None,
            default_database: None,
            credential: None,
            #[cfg(feature = "aws-auth")]
            aws_credentials: None,
            #[cfg(feature = "oidc-auth")]
            oidc: None,
            auth_source: None,
            app_name: None,
            repl_set_name: None,
            direct_connection: None,
            load_balanced: None,
            connect_timeout: Some(Duration::from_secs(10)),
            socket_timeout: None,
            timeout: None,
            server_selection_timeout: Duration::from_secs(30),
            server_selection_try_once: None,
            heartbeat_frequency: None,
            socket_check_interval: Duration::from_secs(5),
            server_monitoring_mode: ServerMonitoringMode::Auto,
            rtt_probe: RttProbe::Hello,
            local_threshold: Duration::from_millis(15),
            server_selector: None,
            selection_seed: None,
            read_preference: ReadPreference::PRIMARY,
            read_concern: ReadConcern::default(),
            write_concern: WriteConcern::default(),
            retry_reads: true,
            retry_writes: true,
            max_adaptive_retries: 2,
            enable_overload_retargeting: false,
            max_pool_size: 100,
            min_pool_size: 0,
            max_connecting: 2,
            max_idle_time: None,
            wait_queue_timeout: None,
            tls: TlsOptions::default(),
            compressors: Vec::new(),
            zlib_compression_level: -1,
            proxy: None,
            server_api: None,
            log_max_document_length: None,
            driver_info: None,
            suspicion: SuspicionSettings::default(),
            snapshot: None,
            #[cfg(any(not(target_arch = "wasm32"), feature = "recording"))]
            trace: None,
            warnings: Vec::new(),
        }
    }
}

impl ClientOptions {
    /// Reads a connection string. No I/O: SRV records are looked up by [`resolve`](Self::resolve).
    ///
    /// An unknown option is a warning ([`warnings`](Self::warnings)), a bad value an error.
    ///
    /// # Errors
    ///
    /// The first thing wrong with the connection string, by the option's name.
    pub fn parse(uri: &str) -> Result<Self, OptionsError> {
        crate::uri::ConnectionString::parse(uri)?.to_options()
    }

    /// Reads a connection string as the specification has it: a bad value is left out with a
    /// warning, so that a string written for another driver still serves.
    ///
    /// # Errors
    ///
    /// A wrong form, or options that contradict each other.
    pub fn parse_leniently(uri: &str) -> Result<Self, OptionsError> {
        crate::uri::ConnectionString::parse(uri)?.to_options_leniently()
    }

    /// [`heartbeat_frequency`](Self::heartbeat_frequency), or what stands for `None` in a client
    /// that monitors in the background.
    pub(crate) fn heartbeat(&self) -> Duration {
        self.heartbeat_frequency.unwrap_or(BACKGROUND_HEARTBEAT)
    }

    /// What TLS does not check, where it is used.
    pub(crate) fn tls_danger(&self) -> Option<&'static str> {
        self.tls.danger().filter(|_| self.tls_enabled())
    }

    /// Whether connections use TLS: see [`TlsOptions::is_enabled`].
    pub fn tls_enabled(&self) -> bool {
        self.tls.is_enabled(self.srv_host.is_some())
    }
}

/// "heartbeatFrequencyMS" of "multi-threaded and asynchronous drivers".
const BACKGROUND_HEARTBEAT: Duration = Duration::from_secs(10);

/// "heartbeatFrequencyMS" of "single-threaded drivers".
pub(crate) const ON_DEMAND_HEARTBEAT: Duration = Duration::from_secs(60);

impl FromStr for ClientOptions {
    type Err = OptionsError;

    fn from_str(uri: &str) -> Result<Self, OptionsError> {
        Self::parse(uri)
    }
}
