//! The servers that tests run against: started when the first test needs them, stopped at the end.
//!
//! What prepares and checks a test (initial data, outcome, fail points off) goes over the support
//! crate's own connection, so that it does not depend on the driver under test.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bson::{Bson, Document, doc};
use portolan_support::{
    Connection, MemberOptions, MongodBinary, ReplicaSet, ReplicaSetOptions, Standalone,
};

use crate::balancer::Balancer;
use crate::schema::CollectionData;
use crate::version::Version;

/// The kinds of deployments that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Single,
    ReplicaSet,
    /// A load balancer before what it takes for one server, or for two.
    LoadBalanced,
    /// A standalone that lets nobody in without a password.
    GuardedSingle,
    /// Such a set.
    GuardedReplicaSet,
    /// Such servers behind a load balancer.
    GuardedLoadBalanced,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::ReplicaSet,
        Self::Single,
        Self::LoadBalanced,
        Self::GuardedReplicaSet,
        Self::GuardedSingle,
        Self::GuardedLoadBalanced,
    ];
    /// Those that let everybody in.
    pub(crate) const OPEN: [Self; 2] = [Self::ReplicaSet, Self::Single];

    /// The format's word for the topology.
    pub(crate) fn topology(self) -> &'static str {
        match self {
            Self::Single | Self::GuardedSingle => "single",
            Self::ReplicaSet | Self::GuardedReplicaSet => "replicaset",
            Self::LoadBalanced | Self::GuardedLoadBalanced => "load-balanced",
        }
    }

    /// Whether nobody gets in without a password.
    pub(crate) fn is_guarded(self) -> bool {
        match self {
            Self::GuardedSingle | Self::GuardedReplicaSet | Self::GuardedLoadBalanced => true,
            Self::Single | Self::ReplicaSet | Self::LoadBalanced => false,
        }
    }

    /// For people.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::ReplicaSet => "replicaset",
            Self::LoadBalanced => "load balancer",
            Self::GuardedLoadBalanced => "load balancer with authentication",
            Self::GuardedSingle => "single with authentication",
            Self::GuardedReplicaSet => "replicaset with authentication",
        }
    }
}

/// The user of guarded deployments, who may do everything, and the password.
pub(crate) const USER: (&str, &str) = ("tester", "pencil");

const LOAD_BALANCED_SINCE: Version = Version::new(5, 0, 0);

/// Servers beside the default one, the newest first.
const OLDER: [&str; 2] = ["5.0.4", "4.4.2"];

/// The servers of this process; dropping it stops them.
pub(crate) struct Deployments {
    binary: MongodBinary,
    pub(crate) version: Version,
    started: [OnceLock<Result<Deployment, String>>; Kind::ALL.len()],
    /// Those of older servers, for tests that this version does not meet.
    pub(crate) older: Vec<Arc<Self>>,
}

impl Deployments {
    /// Looks for the server's program; starts nothing.
    pub(crate) fn find() -> Result<Self, String> {
        let binary = MongodBinary::find(None).map_err(|error| error.to_string())?;
        let mut newest = Self::of(binary)?;
        for version in OLDER {
            // What is not installed leaves its tests apart, with the reason that they have anyway.
            if let Ok(binary) = MongodBinary::find(Some(version)) {
                newest.older.push(Arc::new(Self::of(binary)?));
            }
        }
        Ok(newest)
    }

    fn of(binary: MongodBinary) -> Result<Self, String> {
        let version = binary.version().parse()?;
        Ok(Self { binary, version, started: Default::default(), older: Vec::new() })
    }

    /// Whether there is such a thing: servers before 5.0 stand behind no load balancer.
    pub(crate) fn has(&self, kind: Kind) -> bool {
        kind.topology() != "load-balanced" || self.version >= LOAD_BALANCED_SINCE
    }

    /// The deployment of this kind, started if it is not running yet.
    pub(crate) fn start(&self, kind: Kind) -> Result<&Deployment, String> {
        let place = Kind::ALL.iter().position(|known| *known == kind).unwrap_or_default();
        let started = self.started[place].get_or_init(|| self.make(kind));
        started.as_ref().map_err(Clone::clone)
    }

    fn set(&self, members: Vec<MemberOptions>) -> Result<ReplicaSet, String> {
        let options = ReplicaSetOptions::new(self.binary.clone(), 0);
        // Nobody is killed here: on a loaded machine a second of silence is no death.
        let election_timeout = Duration::from_secs(4);
        let options = ReplicaSetOptions { members, election_timeout, ..options };
        ReplicaSet::start(options).map_err(|error| error.to_string())
    }

    fn make(&self, kind: Kind) -> Result<Deployment, String> {
        let text = |error: portolan_support::Error| error.to_string();
        let member =
            MemberOptions { access_control: kind.is_guarded(), ..MemberOptions::default() };
        let servers = match kind.topology() {
            "single" => {
                let server = Standalone::start_with(&self.binary, member);
                Servers::Single(server.map_err(text)?)
            }
            "load-balanced" => {
                // What retries and sessions need, without an election.
                let set = self.set(vec![member])?;
                let start = |services| {
                    let balancer = Balancer::start(set.member(0).address(), services);
                    balancer.map_err(|error| error.to_string())
                };
                Servers::LoadBalanced { before_one: start(1)?, before_two: start(2)?, set }
            }
            _ => Servers::ReplicaSet(self.set(vec![member; 3])?),
        };
        let deployment = Deployment { kind, servers, parameters: Mutex::default() };
        if kind.is_guarded() {
            let (name, password) = USER;
            let mut user = doc! { "createUser": name, "pwd": password, "roles": ["root"] };
            if kind.topology() == "replicaset" {
                // Whichever member is asked knows the user.
                user.insert("writeConcern", doc! { "w": 3 });
            }
            deployment.run(&user)?;
        }
        Ok(deployment)
    }
}

enum Servers {
    Single(Standalone),
    ReplicaSet(ReplicaSet),
    LoadBalanced { before_one: Balancer, before_two: Balancer, set: ReplicaSet },
}

/// A running deployment.
pub(crate) struct Deployment {
    kind: Kind,
    servers: Servers,
    parameters: Mutex<Option<Document>>,
}

impl Deployment {
    /// Whose name and password a client needs.
    pub(crate) fn user(&self) -> Option<(&'static str, &'static str)> {
        self.kind.is_guarded().then_some(USER)
    }

    /// The seeds, and the name of the set.
    pub(crate) fn seeds(&self) -> (Vec<String>, Option<&str>) {
        match &self.servers {
            Servers::Single(server) => (vec![server.address().to_string()], None),
            Servers::ReplicaSet(set) => (set.seeds(), Some(set.name())),
            Servers::LoadBalanced { before_one, .. } => {
                (vec![before_one.address().to_string()], None)
            }
        }
    }

    /// The load balancer for a client: before several servers, if the test wants that.
    pub(crate) fn balancer(&self, several: bool) -> Option<String> {
        let Servers::LoadBalanced { before_one, before_two, .. } = &self.servers else {
            return None;
        };
        let balancer = if several { before_two } else { before_one };
        Some(balancer.address().to_string())
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
        // "killAllSessions": a transaction that a test has left open stands in the way.
        primary.run(&doc! { "killAllSessions": [], "$db": "admin" }).map_err(|e| e.to_string())?;
        for collection in data {
            let name = &collection.collection_name;
            let run = |primary: &mut Connection, mut command: Document| {
                command.insert("$db", &collection.database_name);
                if self.kind.topology() != "single" {
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
        self.ask(command).map(drop)
    }

    /// The primary's reply to a command.
    pub(crate) fn ask(&self, command: &Document) -> Result<Document, String> {
        self.primary()?.run(command).map_err(|error| error.to_string())
    }

    /// Runs a command on the first of the seeds.
    pub(crate) fn run_on_seed(&self, command: &Document) -> Result<(), String> {
        let mut first = self.all()?.into_iter().next().ok_or("no server")?;
        first.run(command).map(drop).map_err(|error| error.to_string())
    }

    fn primary(&self) -> Result<Connection, String> {
        match &self.servers {
            Servers::Single(server) => server.connect(TIMEOUT).map_err(|error| error.to_string()),
            Servers::ReplicaSet(set) | Servers::LoadBalanced { set, .. } => {
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
            Servers::ReplicaSet(set) | Servers::LoadBalanced { set, .. } => set
                .members()
                .iter()
                .map(|member| member.connect(TIMEOUT).map_err(|error| error.to_string()))
                .collect(),
        }
    }
}

const TIMEOUT: Duration = Duration::from_secs(20);
