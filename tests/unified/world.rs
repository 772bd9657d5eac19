//! One test's entities, by name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_std::task::JoinHandle;
use bson::{Bson, Document};
use portolan::options::{
    Acknowledgment, CollectionOptions, DatabaseOptions, ReadConcern, ReadConcernLevel, WriteConcern,
};
use portolan::{
    ClientSession, Collection, Database, ReadPreference, ReadPreferenceMode, SessionOptions,
    TopologyDescription,
};

use crate::client::TestClient;
use crate::cursors;
use crate::deployment::{Deployment, Deployments, Kind};
use crate::matching::Names;
use crate::operations::{millis, transaction_options};
use crate::schema::{self, Entity};

/// What one test has made.
pub(crate) struct World {
    deployments: Arc<Deployments>,
    kind: Kind,
    items: Mutex<BTreeMap<String, Item>>,
    fail_points: Mutex<Vec<String>>,
    /// The ids of sessions, by their entities.
    lsids: Mutex<BTreeMap<String, Bson>>,
}

/// The latest operation of a thread.
pub(crate) type Running = JoinHandle<Result<(), String>>;

/// An entity.
#[derive(Clone)]
pub(crate) enum Item {
    Client(Arc<TestClient>),
    Database(Database),
    Collection(Collection<Document>),
    Cursor(cursors::Slot),
    Session(ClientSession),
    Thread(Arc<Mutex<Option<Running>>>),
    Topology(Arc<TopologyDescription>),
    Value(Bson),
}

impl World {
    pub(crate) fn new(deployments: Arc<Deployments>, kind: Kind) -> Self {
        Self {
            deployments,
            kind,
            items: Mutex::default(),
            fail_points: Mutex::default(),
            lsids: Mutex::default(),
        }
    }

    pub(crate) fn deployment(&self) -> Result<&Deployment, String> {
        self.deployments.start(self.kind)
    }

    /// Makes entities, in their order.
    pub(crate) async fn create(&self, entities: &[Entity]) -> Result<(), String> {
        for entity in entities {
            let (id, item) = match entity {
                Entity::Client(client) => {
                    let made = TestClient::new((**client).clone(), self.deployment()?).await;
                    (&client.id, Item::Client(made?))
                }
                Entity::Database(database) => {
                    let client = self.client(&database.client)?;
                    let options = defaults(&database.database_options)?;
                    let options = DatabaseOptions {
                        read_preference: options.read_preference,
                        read_concern: options.read_concern,
                        write_concern: options.write_concern,
                        timeout: options.timeout,
                    };
                    let name = &database.database_name;
                    let made = client.client.database_with_options(name, options);
                    (&database.id, Item::Database(made))
                }
                Entity::Collection(entity) => {
                    let database = self.database(&entity.database)?;
                    let options = defaults(&entity.collection_options)?;
                    let made = database.collection_with_options(&entity.collection_name, options);
                    (&entity.id, Item::Collection(made))
                }
                Entity::Session(entity) => {
                    let client = self.client(&entity.client)?;
                    let options = self.session_options(&entity.session_options)?;
                    let start = client.client.start_session().with_options(options);
                    let made = start.await.map_err(|error| error.to_string())?;
                    // What is asked for later must not depend on whether it has ended.
                    let lsid = made.id().map_or(Bson::Null, Bson::Document);
                    self.lsids.lock().map_err(|e| e.to_string())?.insert(entity.id.clone(), lsid);
                    (&entity.id, Item::Session(made))
                }
                Entity::Thread(thread) => (&thread.id, Item::Thread(Arc::default())),
                Entity::Bucket(_) | Entity::ClientEncryption(_) => {
                    return Err("this kind of entity is not built yet".to_owned());
                }
            };
            self.insert(id, item)?;
        }
        Ok(())
    }

    pub(crate) fn insert(&self, id: &str, item: Item) -> Result<(), String> {
        match self.items()?.insert(id.to_owned(), item) {
            None => Ok(()),
            Some(_) => Err(format!("there are two entities {id}")),
        }
    }

    pub(crate) fn item(&self, id: &str) -> Result<Item, String> {
        self.items()?.get(id).cloned().ok_or_else(|| format!("there is no entity {id}"))
    }

    pub(crate) fn client(&self, id: &str) -> Result<Arc<TestClient>, String> {
        match self.item(id)? {
            Item::Client(client) => Ok(client),
            _ => Err(format!("entity {id} is no client")),
        }
    }

    pub(crate) fn session(&self, id: &str) -> Result<ClientSession, String> {
        match self.item(id)? {
            Item::Session(session) => Ok(session),
            _ => Err(format!("entity {id} is no session")),
        }
    }

    /// A snapshot time is an entity by its name.
    fn session_options(&self, document: &Document) -> Result<SessionOptions, String> {
        let mut options = SessionOptions::default();
        for (name, value) in document {
            match (name.as_str(), value) {
                ("causalConsistency", Bson::Boolean(on)) => options.causal_consistency = Some(*on),
                ("snapshot", Bson::Boolean(on)) => options.snapshot = Some(*on),
                ("snapshotTime", Bson::String(name)) => match self.value(name)? {
                    Bson::Timestamp(time) => options.snapshot_time = Some(time),
                    other => return Err(format!("snapshotTime: {other} is no timestamp")),
                },
                ("defaultTransactionOptions", Bson::Document(defaults)) => {
                    options.default_transaction_options = transaction_options(defaults)?;
                }
                ("defaultTimeoutMS", limit) => options.default_timeout = Some(millis(limit)?),
                (name, value) => return Err(format!("sessionOptions.{name}: {value}")),
            }
        }
        Ok(options)
    }

    fn database(&self, id: &str) -> Result<Database, String> {
        match self.item(id)? {
            Item::Database(database) => Ok(database),
            _ => Err(format!("entity {id} is no database")),
        }
    }

    /// Remembers a fail point, to be turned off at the end.
    pub(crate) fn fail_point_set(&self, name: &str) -> Result<(), String> {
        self.fail_points.lock().map_err(|error| error.to_string())?.push(name.to_owned());
        Ok(())
    }

    /// Turns off what the test has set.
    pub(crate) fn disable_fail_points(&self) -> Result<(), String> {
        let set = std::mem::take(&mut *self.fail_points.lock().map_err(|e| e.to_string())?);
        set.iter().try_for_each(|name| self.deployment()?.disable(name))
    }

    /// Shuts all clients down.
    pub(crate) async fn close(&self) -> Result<(), String> {
        let items: Vec<Item> = std::mem::take(&mut *self.items()?).into_values().collect();
        for item in &items {
            if let Item::Session(session) = item {
                session.end().await;
            }
        }
        for item in items {
            if let Item::Client(client) = item {
                client.client.shutdown().await;
            }
        }
        Ok(())
    }

    fn items(&self) -> Result<MutexGuard<'_, BTreeMap<String, Item>>, String> {
        self.items.lock().map_err(|error| error.to_string())
    }
}

impl Names for World {
    fn value(&self, name: &str) -> Result<Bson, String> {
        match self.item(name)? {
            Item::Value(value) => Ok(value),
            _ => Err(format!("entity {name} is no value")),
        }
    }

    fn lsid(&self, name: &str) -> Result<Bson, String> {
        let lsids = self.lsids.lock().map_err(|error| error.to_string())?;
        lsids.get(name).cloned().ok_or_else(|| format!("there is no session {name}"))
    }
}

fn defaults(options: &schema::CollectionOptions) -> Result<CollectionOptions, String> {
    Ok(CollectionOptions {
        timeout: options.timeout_ms.as_ref().map(millis).transpose()?,
        read_concern: options.read_concern.as_ref().map(read_concern).transpose()?,
        read_preference: options.read_preference.as_ref().map(read_preference).transpose()?,
        write_concern: options.write_concern.as_ref().map(write_concern).transpose()?,
    })
}

pub(crate) fn read_concern(document: &Document) -> Result<ReadConcern, String> {
    let level = document.get_str("level").map_err(|error| format!("readConcern: {error}"))?;
    let level = match level {
        "local" => ReadConcernLevel::Local,
        "available" => ReadConcernLevel::Available,
        "majority" => ReadConcernLevel::Majority,
        "linearizable" => ReadConcernLevel::Linearizable,
        "snapshot" => ReadConcernLevel::Snapshot,
        other => ReadConcernLevel::Custom(other.to_owned()),
    };
    Ok(ReadConcern { level: Some(level) })
}

/// A `readPreference` of the format.
pub(crate) fn read_preference(document: &Document) -> Result<ReadPreference, String> {
    let mut preference = ReadPreference::PRIMARY;
    for (name, value) in document {
        match (name.as_str(), value) {
            ("mode", Bson::String(mode)) => {
                let mut first = mode.chars();
                let lower: String =
                    first.next().into_iter().flat_map(char::to_lowercase).chain(first).collect();
                preference.mode =
                    lower.parse::<ReadPreferenceMode>().map_err(|error| error.to_string())?;
            }
            ("tagSets", Bson::Array(sets)) => {
                let text = |(name, value): (&String, &Bson)| {
                    Some((name.clone(), value.as_str()?.to_owned()))
                };
                let sets = sets.iter().filter_map(Bson::as_document);
                preference.tag_sets =
                    sets.map(|set| set.iter().filter_map(text).collect()).collect();
            }
            ("maxStalenessSeconds", seconds) => {
                let seconds = number(seconds)?;
                preference.max_staleness = Some(std::time::Duration::from_secs(seconds));
            }
            (name, value) => return Err(format!("readPreference.{name}: {value}")),
        }
    }
    Ok(preference)
}

pub(crate) fn write_concern(document: &Document) -> Result<WriteConcern, String> {
    let mut concern = WriteConcern::default();
    for (name, value) in document {
        match (name.as_str(), value) {
            ("w", Bson::String(w)) if w == "majority" => {
                concern.w = Some(Acknowledgment::Majority);
            }
            ("w", Bson::String(w)) => concern.w = Some(Acknowledgment::Custom(w.clone())),
            ("w", nodes) => {
                let nodes = u32::try_from(number(nodes)?).map_err(|error| error.to_string())?;
                concern.w = Some(Acknowledgment::Nodes(nodes));
            }
            ("journal", Bson::Boolean(journal)) => concern.journal = Some(*journal),
            ("wtimeoutMS", limit) => {
                let limit = std::time::Duration::from_millis(number(limit)?);
                concern.w_timeout = Some(limit);
            }
            (name, value) => return Err(format!("writeConcern.{name}: {value}")),
        }
    }
    Ok(concern)
}

/// An integer of any type that is not negative.
pub(crate) fn number(value: &Bson) -> Result<u64, String> {
    let number = match value {
        Bson::Int32(value) => i64::from(*value),
        Bson::Int64(value) => *value,
        other => return Err(format!("{other} is no integer")),
    };
    u64::try_from(number).map_err(|_| format!("{number} is negative"))
}
