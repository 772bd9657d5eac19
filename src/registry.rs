//! One client per replica set, shared by everybody in a process who asks for it.
//!
//! A [`Registry`] holds its clients weakly: a client that nobody else holds is gone, with its
//! monitors. It starts nothing by itself; whoever asks says how a client is made, so that it works
//! with every runtime.

use std::fmt;
use std::sync::{Mutex, MutexGuard};

use futures_channel::mpsc::UnboundedSender;

use crate::client::{Client, WeakClient};
use crate::engine::address::ServerAddress;
use crate::engine::map::SortedMap;
use crate::error::Error;
use crate::event::{self, Events, SetChange};
use crate::options::{ClientOptions, Credential, TlsOptions};
use crate::statistics::RegistryStatistics;

/// The clients of a process, one per replica set. See the [module](self).
///
/// ```no_run
/// use portolan::{ClientOptions, Registry};
///
/// static REGISTRY: Registry = Registry::new();
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let options = ClientOptions::parse("mongodb://a,b/?replicaSet=rs0")?;
/// let client = REGISTRY.get_or_connect(options, portolan_async_std::connect_with).await?;
/// assert!(REGISTRY.get("rs0").is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Registry {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    clients: SortedMap<String, Entry>,
    /// Who wants to hear of all sets.
    listeners: Vec<UnboundedSender<SetChange>>,
    /// How many clients there ever were.
    created: u64,
    shut_down: bool,
}

/// A client, and what of the options that it was asked for with must be the same for all.
#[derive(Debug)]
struct Entry {
    client: WeakClient,
    tls: (TlsOptions, bool),
    credential: Option<Credential>,
}

impl Entry {
    /// The client, while somebody holds it and it was not shut down.
    fn client(&self) -> Option<Client> {
        self.client.upgrade().filter(Client::is_open)
    }
}

fn tls(options: &ClientOptions) -> (TlsOptions, bool) {
    (options.tls.clone(), options.tls_enabled())
}

/// Why a registry gives no client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RegistryError {
    /// The options name no replica set, by which clients are found again.
    NoSetName,
    /// The registry was shut down.
    ShutDown {
        /// The set that was asked for.
        name: String,
    },
    /// A client of this set is there, and encrypts its connections otherwise.
    OtherTls {
        /// The set that was asked for.
        name: String,
    },
    /// A client of this set is there, for another user.
    OtherCredential {
        /// The set that was asked for.
        name: String,
    },
    /// The client cannot be made.
    Client(Error),
}

impl RegistryError {
    /// The server's error code for the same mistake, where it has one.
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::NoSetName | Self::OtherCredential { .. } => None,
            Self::ShutDown { .. } => Some(91),
            Self::OtherTls { .. } => Some(51042),
            Self::Client(error) => error.code(),
        }
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSetName => f.write_str(
                "only clients of replica sets are shared; name the set (replicaSet=...)",
            ),
            Self::ShutDown { name } => {
                write!(f, "there is no client for set {name}: the registry was shut down")
            }
            Self::OtherTls { name } => {
                write!(f, "the client for set {name} was made with other TLS options")
            }
            Self::OtherCredential { name } => {
                write!(f, "the client for set {name} was made for another user")
            }
            Self::Client(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RegistryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Client(error) => Some(error),
            _ => None,
        }
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// A registry without clients.
    pub const fn new() -> Self {
        let clients = SortedMap::new();
        let listeners = Vec::new();
        let state = State { clients, listeners, created: 0, shut_down: false };
        Self { state: Mutex::new(state) }
    }

    /// The client for the set that the options name; `make` makes it where there is none. It must
    /// not ask this registry.
    ///
    /// The options of a client that is there stay as they are.
    ///
    /// # Errors
    ///
    /// Options without a set's name; a client of other TLS options or of another user; a registry
    /// that was shut down; what `make` says.
    pub fn get_or_create(
        &self,
        options: ClientOptions,
        make: impl FnOnce(ClientOptions) -> Result<Client, Error>,
    ) -> Result<Client, RegistryError> {
        let mut state = self.state();
        let name = match state.find(&options)? {
            Found::Client(client) => return Ok(client),
            Found::Nobody(name) => name,
        };
        let (tls, credential) = (tls(&options), options.credential.clone());
        let client = make(options).map_err(RegistryError::Client)?;
        let entry = Entry { client: client.downgrade(), tls, credential };
        state.clients.insert(name, entry);
        state.created += 1;
        state.listeners.retain(|listener| !listener.is_closed());
        for listener in &state.listeners {
            client.shared().observers.sets.add(listener.clone());
        }
        Ok(client)
    }

    /// The same with a `connect` that waits, such as the `connect_with` of a transport's crate. Of
    /// several who connect at once, the first who is done is shared, and the others' clients end.
    ///
    /// # Errors
    ///
    /// As [`get_or_create`](Self::get_or_create).
    pub async fn get_or_connect<F>(
        &self,
        options: ClientOptions,
        connect: impl FnOnce(ClientOptions) -> F,
    ) -> Result<Client, RegistryError>
    where
        F: Future<Output = Result<Client, Error>>,
    {
        if let Found::Client(client) = self.state().find(&options)? {
            return Ok(client);
        }
        let made = connect(options.clone()).await.map_err(RegistryError::Client)?;
        self.get_or_create(options, |_| Ok(made))
    }

    /// The client for the set `name`, where there is one. Never makes one.
    pub fn get(&self, name: &str) -> Option<Client> {
        self.state().clients.get(name)?.client()
    }

    /// The first client, by its set's name, whose set has this member.
    pub fn get_for_host(&self, host: &ServerAddress) -> Option<Client> {
        self.state().living().map(|(_, client)| client).find(|c| c.description().contains(host))
    }

    /// The names of the sets that there are clients for, in their order.
    pub fn names(&self) -> Vec<String> {
        self.state().living().map(|(name, _)| name.clone()).collect()
    }

    /// How many clients there are.
    pub fn len(&self) -> usize {
        self.state().living().count()
    }

    /// Whether there is no client.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers of this moment: how many clients there ever were, and those of each that is there.
    pub fn statistics(&self) -> RegistryStatistics {
        let state = self.state();
        let sets = state.living().map(|(name, client)| (name.clone(), client.statistics()));
        RegistryStatistics {
            num_replica_set_monitors_created: state.created,
            replica_sets: sets.collect(),
        }
    }

    /// What becomes of all sets from now on, those of later clients too: see
    /// [`Client::set_changes`]. It begins with the latest change of each set, and ends when the
    /// registry is shut down or gone, and its clients with it.
    pub fn set_changes(&self) -> Events<SetChange> {
        let (sender, changes) = event::channel();
        let mut state = self.state();
        for (_, client) in state.living() {
            client.shared().observers.sets.add(sender.clone());
        }
        if !state.shut_down {
            state.listeners.push(sender);
        }
        changes
    }

    /// Ends the client for the set `name`, whoever holds it, and forgets it. Operations that wait
    /// fail with [`ErrorKind::Shutdown`](crate::ErrorKind::Shutdown). Says whether there was one.
    pub fn remove(&self, name: &str) -> bool {
        let removed = self.state().clients.remove(name);
        let client = removed.and_then(|entry| entry.client());
        if let Some(client) = &client {
            client.shared().close();
        }
        client.is_some()
    }

    /// Ends all clients, whoever holds them, and makes no more. Operations that wait fail with
    /// [`ErrorKind::Shutdown`](crate::ErrorKind::Shutdown).
    pub fn shutdown(&self) {
        let clients = {
            let mut state = self.state();
            state.shut_down = true;
            state.listeners.clear();
            std::mem::take(&mut state.clients)
        };
        for client in clients.values().filter_map(Entry::client) {
            client.shared().close();
        }
    }

    /// Whether the registry was shut down.
    pub fn is_shut_down(&self) -> bool {
        self.state().shut_down
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked was making a client, which is not among the others then.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

enum Found {
    Client(Client),
    /// The name to keep a new one under.
    Nobody(String),
}

impl State {
    fn find(&mut self, options: &ClientOptions) -> Result<Found, RegistryError> {
        let Some(name) = options.repl_set_name.clone() else {
            return Err(RegistryError::NoSetName);
        };
        if self.shut_down {
            return Err(RegistryError::ShutDown { name });
        }
        self.clients.retain(|_, entry| entry.client().is_some());
        let Some(entry) = self.clients.get(&name) else { return Ok(Found::Nobody(name)) };
        let Some(client) = entry.client() else { return Ok(Found::Nobody(name)) };
        if entry.tls != tls(options) {
            return Err(RegistryError::OtherTls { name });
        }
        if entry.credential != options.credential {
            return Err(RegistryError::OtherCredential { name });
        }
        Ok(Found::Client(client))
    }

    fn living(&self) -> impl Iterator<Item = (&String, Client)> {
        self.clients.iter().filter_map(|(name, entry)| Some((name, entry.client()?)))
    }
}
