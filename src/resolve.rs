//! From a host name whose DNS records name the seeds, to the seeds.
//!
//! The shell of [`engine::srv`](crate::engine::srv): it asks and waits; the rules are there.
//! Specification: initial-dns-seedlist-discovery.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bson::oid::ObjectId;
use futures_util::future::{Either, join, select};

use crate::engine::rng::Rng;
use crate::engine::srv::{SrvError, SrvRecord, TxtOptions, query_name, seeds};
use crate::engine::time::Shown;
use crate::error::Result;
use crate::identity::object_id;
use crate::options::{AuthMechanism, ClientOptions};
use crate::transport::{BoxFuture, DnsRecord, RecordKind, Transport};

impl ClientOptions {
    /// Looks up the seeds and default options of a `mongodb+srv://` connection string; options that
    /// have their seeds come back as they are.
    ///
    /// A transport's own `connect` does this before it makes a client. SRV and TXT records are
    /// asked of the [`resolver`](Self::resolver), else of `transport`, for at most
    /// [`connect_timeout`](Self::connect_timeout).
    ///
    /// # Errors
    ///
    /// The records cannot be looked up, there are none, they name hosts of another domain or
    /// options that they must not; or the options contradict each other.
    pub async fn resolve(mut self, transport: &dyn Transport) -> Result<Self> {
        let Some(host) = self.srv_host.clone().filter(|_| self.hosts.is_empty()) else {
            return Ok(self);
        };
        let name = query_name(&self.srv_service_name, &host);
        let look_ups =
            join(srv_records(&self, transport, &name), txt_records(&self, transport, &host));
        let (records, texts) = match self.connect_timeout.filter(|limit| !limit.is_zero()) {
            None => look_ups.await,
            Some(limit) => {
                let late = transport.sleep_until(transport.now() + limit);
                match select(pin!(look_ups), late).await {
                    Either::Left((found, _)) => found,
                    Either::Right(_) => {
                        let reason =
                            format!("no answer within {} (connectTimeoutMS)", Shown(limit));
                        (Err(reason.clone()), Err(reason))
                    }
                }
            }
        };
        let records = records.map_err(|reason| SrvError::LookUp { name, reason })?;
        let most = self.srv_max_hosts as usize;
        let found = seeds(&self.srv_service_name, &host, &records, most, &mut rng())?;
        let texts = texts.map_err(|reason| SrvError::LookUp { name: host.clone(), reason })?;
        self.adopt(TxtOptions::parse(&host, &texts)?);
        self.hosts = found.hosts;
        self.srv_ttl = Some(found.ttl);
        // "The driver MUST first do the SRV and TXT lookup and then perform the validation."
        self.validate()?;
        Ok(self)
    }

    /// What the connection string says counts more than what DNS says.
    fn adopt(&mut self, defaults: TxtOptions) {
        self.load_balanced = self.load_balanced.or(defaults.load_balanced);
        if self.repl_set_name.is_none() {
            self.repl_set_name = defaults.replica_set;
        }
        if self.auth_source.is_none()
            && let Some(source) = defaults.auth_source
        {
            if let Some(credential) = &mut self.credential
                && !external(credential.mechanism)
            {
                credential.source.clone_from(&source);
            }
            self.auth_source = Some(source);
        }
    }
}

/// Whether users of `mechanism` are known to `$external` only: no default of DNS changes that.
fn external(mechanism: Option<AuthMechanism>) -> bool {
    use AuthMechanism as M;
    match mechanism {
        Some(M::MongoDbX509 | M::Gssapi | M::MongoDbAws | M::MongoDbOidc) => true,
        Some(M::ScramSha1 | M::ScramSha256 | M::Plain) | None => false,
    }
}

/// The SRV records of `name`, or why there are none, for people.
pub(crate) async fn srv_records(
    options: &ClientOptions,
    transport: &dyn Transport,
    name: &str,
) -> Result<Vec<SrvRecord>, String> {
    let records = ask(options, transport, name, RecordKind::Srv).await;
    let read = |record| match record {
        DnsRecord::Srv { host, port, ttl } => {
            Some(SrvRecord { host, port, ttl: Duration::from_secs(ttl.into()) })
        }
        DnsRecord::Txt(_) => None,
    };
    match records {
        Ok(records) => Ok(records.into_iter().filter_map(read).collect()),
        Err(error) => Err(error.to_string()),
    }
}

/// The TXT records of `host`, each as one text; none where DNS does not know the name.
async fn txt_records(
    options: &ClientOptions,
    transport: &dyn Transport,
    host: &str,
) -> Result<Vec<String>, String> {
    let read = |record| match record {
        DnsRecord::Txt(text) => Some(text),
        DnsRecord::Srv { .. } => None,
    };
    match ask(options, transport, host, RecordKind::Txt).await {
        Ok(records) => Ok(records.into_iter().filter_map(read).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
    }
}

fn ask<'a>(
    options: &'a ClientOptions,
    transport: &'a dyn Transport,
    name: &'a str,
    kind: RecordKind,
) -> BoxFuture<'a, io::Result<Vec<DnsRecord>>> {
    match &options.resolver {
        Some(resolver) => resolver.0.resolve(name, kind),
        None => transport.resolve(name, kind),
    }
}

/// A new random sequence.
pub(crate) fn rng() -> Rng {
    Rng::seeded(seed(object_id()))
}

/// Where a random sequence begins that belongs to `id`.
pub(crate) fn seed(id: ObjectId) -> u64 {
    u64::from_le_bytes(id.bytes()[4..12].try_into().expect("8 of the 12 bytes of an ObjectId"))
}
