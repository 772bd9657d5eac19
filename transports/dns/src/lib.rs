//! SRV and TXT records, on any runtime.
//!
//! The runtimes look up addresses only (getaddrinfo); this asks the system's DNS servers
//! (`/etc/resolv.conf`) for the records that name a deployment's seeds. A look-up takes a thread
//! for as long as it lasts, as getaddrinfo does; SRV records are looked up once a minute at most. A
//! name is asked for as it is: no search list. Dropping the future ends the look-up at its next
//! step.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]

mod config;
mod exchange;
mod message;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use portolan::transport::{DnsRecord, RecordKind, Resolver};

use config::Config;

/// Looks up SRV and TXT records. Cheap to clone; keeps nothing, so that each look-up is fresh.
///
/// It is what the native transports use by themselves. As an option it asks other servers than the
/// system's:
///
/// ```
/// use std::time::Duration;
///
/// use portolan::ClientOptions;
/// use portolan_dns::Dns;
///
/// let mut options = ClientOptions::parse("mongodb+srv://cluster.example.com")?;
/// let servers = ["192.0.2.53:53".parse()?];
/// options.resolver = Some(Dns::with_servers(servers, Duration::from_secs(2)).into());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dns {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    /// Read anew at each look-up: it may have changed.
    File(PathBuf),
    Fixed(Config),
}

impl Dns {
    /// Asks the system's servers (`/etc/resolv.conf`).
    pub fn system() -> Self {
        Self { source: Source::File("/etc/resolv.conf".into()) }
    }

    /// Asks `servers`, in their order, each for at most `timeout`, twice.
    pub fn with_servers(servers: impl Into<Vec<SocketAddr>>, timeout: Duration) -> Self {
        Self { source: Source::Fixed(Config { servers: servers.into(), timeout, attempts: 2 }) }
    }

    /// The SRV or TXT records of `name`; an empty list where it has none.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] where the name does not exist,
    /// [`io::ErrorKind::InvalidInput`] where it cannot; else what the servers did, by address.
    pub async fn look_up(&self, name: &str, kind: RecordKind) -> io::Result<Vec<DnsRecord>> {
        let (source, name) = (self.source.clone(), name.to_owned());
        let (sender, receiver) = async_channel::bounded(1);
        std::thread::Builder::new().name("portolan-dns".to_owned()).spawn(move || {
            let found = source
                .read()
                .and_then(|config| exchange::look_up(&config, &name, kind, &|| sender.is_closed()));
            // Nobody may wait any more.
            let _ = sender.try_send(found);
        })?;
        let ended = |_| io::Error::other("the thread of the look-up ended without an answer");
        receiver.recv().await.map_err(ended)?
    }
}

impl Default for Dns {
    fn default() -> Self {
        Self::system()
    }
}

#[async_trait]
impl Resolver for Dns {
    async fn resolve(&self, name: &str, kind: RecordKind) -> io::Result<Vec<DnsRecord>> {
        self.look_up(name, kind).await
    }
}

impl Source {
    fn read(&self) -> io::Result<Config> {
        match self {
            Self::Fixed(config) => Ok(config.clone()),
            Self::File(path) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(Config::parse(&text)),
                // resolv.conf(5): "If this file does not exist, only the name server on the local
                // machine will be queried".
                Err(error) if cfg!(unix) && error.kind() == io::ErrorKind::NotFound => {
                    Ok(Config::parse(""))
                }
                Err(error) => Err(io::Error::new(
                    error.kind(),
                    format!(
                        "the system's DNS servers are unknown ({}: {error}); name them with \
                         ClientOptions::resolver",
                        path.display()
                    ),
                )),
            },
        }
    }
}
