//! The servers that tests run against: started when the first test needs them, stopped at the end.
//!
//! What prepares and checks a test (initial data, outcome, fail points off) goes over the support
//! crate's own connection, so that it does not depend on the driver under test.

use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use bson::{Bson, Document, doc};
use portolan_support::{Connection, MongodBinary, ReplicaSet, ReplicaSetOptions, Standalone};

use crate::schema::CollectionData;
use crate::version::Version;

/// The kinds of deployments that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Single,
    ReplicaSet,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::ReplicaSet, Self::Single];

    /// The format's word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::ReplicaSet => "replicaset",
        }
    }
}

/// The servers of this process; dropping it stops them.
pub(crate) struct Deployments {
    binary: MongodBinary,
    pub(crate) version: Version,
    single: OnceLock<Result<Deployment, String>>,
    replica_set: OnceLock<Result<Deployment, String>>,
}

impl Deployments {
    /// Looks for the server's program; starts nothing.
    pub(crate) fn find() -> Result<Self, String> {
        let binary = MongodBinary::find(None).map_err(|error| error.to_string())?;
        let version = binary.version().parse()?;
        Ok(Self { binary, version, single: OnceLock::new(), replica_set: OnceLock::new() })
    }

    /// The deployment of this kind, started if it is not running yet.
    pub(crate) fn start(&self, kind: Kind) -> Result<&Deployment, String> {
        let started = match kind {
            Kind::Single => self.single.get_or_init(|| {
                let server = Standalone::start(&self.binary).map_err(|error| error.to_string())?;
                Ok(Deployment::new(kind, Servers::Single(server)))
            }),
            Kind::ReplicaSet => self.replica_set.get_or_init(|| {
                let options = ReplicaSetOptions::new(self.binary.clone(), 3);
                let set = ReplicaSet::start(options).map_err(|error| error.to_string())?;
                Ok(Deployment::new(kind, Servers::ReplicaSet(set)))
            }),
        };
        started.as_ref().map_err(Clone::clone)
    }
}

enum Servers {
    Single(Standalone),
    ReplicaSet(ReplicaSet),
}

/// A running deployment.
pub(crate) struct Deployment {
    kind: Kind,
    servers: Servers,
    parameters: Mutex<Option<Document>>,
}

impl Deployment {
    fn new(kind: Kind, servers: Servers) -> Self {
        Self { kind, servers, parameters: Mutex::default() }
    }

    /// The seeds, and the name of the set.
    pub(crate) fn seeds(&self) -> (Vec<String>, Option<&str>) {
        match &self.servers {
            Servers::Single(server) => (vec![server.address().to_string()], None),
            Servers::ReplicaSet(set) => (set.seeds(), Some(set.name())),
        }
    }

    /// The server's parameters (`getParameter: '*'`), asked for once.
    pub(crate) fn parameters(&self) -> Result<Document, String> {
        let mut known = self.parameters.lock().map_err(|error| error.to_string())?;
        if known.is_none() {
            *known = Some(
                self.primary()?
                    .run(&doc! { "getParameter": "*" })
                    .map_err(|error| error.to_string())?,
            );
        }
        Ok(known.clone().unwrap_or_default())
    }

    /// Makes the collections as the test wants to find them.
    pub(crate) fn prepare(&self, data: &[CollectionData]) -> Result<(), String> {
        if data.is_empty() {
            return Ok(());
        }
        let mut primary = self.primary()?;
        for collection in data {
            let name = &collection.collection_name;
            let run = |primary: &mut Connection, mut command: Document| {
                command.insert("$db", &collection.database_name);
                if self.kind == Kind::ReplicaSet {
                    command.insert("writeConcern", doc! { "w": "majority" });
                }
                primary.run(&command).map_err(|error| error.to_string())
            };
            const NAMESPACE_NOT_FOUND: i32 = 26;
            match primary.run(&doc! { "drop": name, "$db": &collection.database_name }) {
                Err(portolan_support::Error::Command { code: NAMESPACE_NOT_FOUND, .. }) | Ok(_) => {
                }
                Err(error) => return Err(error.to_string()),
            }
            let mut create = doc! { "create": name };
            create.extend(collection.create_options.clone().unwrap_or_default());
            run(&mut primary, create)?;
            if !collection.documents.is_empty() {
                let insert = doc! { "insert": name, "documents": &collection.documents };
                run(&mut primary, insert)?;
            }
        }
        Ok(())
    }

    /// Whether the collections have become what the test expects.
    pub(crate) fn verify(&self, outcome: &[CollectionData]) -> Result<(), String> {
        for collection in outcome {
            let name = &collection.collection_name;
            let find = doc! {
                "find": name, "sort": { "_id": 1 }, "batchSize": 10_000,
                "readConcern": { "level": "local" }, "$db": &collection.database_name,
            };
            let reply = self.primary()?.run(&find).map_err(|error| error.to_string())?;
            let found =
                reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
            let found = found.map_err(|error| format!("outcome of {name}: {error}"))?;
            let expected: Vec<Bson> =
                collection.documents.iter().cloned().map(Bson::Document).collect();
            if &expected != found {
                let (expected, found) = (Bson::Array(expected), Bson::Array(found.clone()));
                return Err(format!("outcome of {name}: expected {expected}, found {found}"));
            }
        }
        Ok(())
    }

    /// Turns a fail point off wherever it may have been set.
    pub(crate) fn disable(&self, fail_point: &str) -> Result<(), String> {
        for mut server in self.all()? {
            let command = doc! { "configureFailPoint": fail_point, "mode": "off" };
            server.run(&command).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Runs a command on the server that takes writes.
    pub(crate) fn run(&self, command: &Document) -> Result<(), String> {
        self.primary()?.run(command).map(drop).map_err(|error| error.to_string())
    }

    /// Runs a command on the first of the seeds.
    pub(crate) fn run_on_seed(&self, command: &Document) -> Result<(), String> {
        let mut first = self.all()?.into_iter().next().ok_or("no server")?;
        first.run(command).map(drop).map_err(|error| error.to_string())
    }

    fn primary(&self) -> Result<Connection, String> {
        match &self.servers {
            Servers::Single(server) => server.connect(TIMEOUT).map_err(|error| error.to_string()),
            Servers::ReplicaSet(set) => {
                let primary = set.wait_for_primary(TIMEOUT).map_err(|error| error.to_string())?;
                set.member(primary).connect(TIMEOUT).map_err(|error| error.to_string())
            }
        }
    }

    fn all(&self) -> Result<Vec<Connection>, String> {
        match &self.servers {
            Servers::Single(server) => {
                Ok(vec![server.connect(TIMEOUT).map_err(|error| error.to_string())?])
            }
            Servers::ReplicaSet(set) => set
                .members()
                .iter()
                .map(|member| member.connect(TIMEOUT).map_err(|error| error.to_string()))
                .collect(),
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(20);
