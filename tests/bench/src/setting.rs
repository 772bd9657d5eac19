//! Servers and data of the measurements.

use std::time::Duration;

use bson::{Document, doc};
use portolan_support::{Connection, MongodBinary, ReplicaSet, ReplicaSetOptions, Standalone};

use crate::orders::{COLLECTION, DATABASE, INSERTED, RECORDS, Record};
use crate::peer::Failure;

const PATIENCE: Duration = Duration::from_secs(60);

/// The version of mongod that is measured against.
pub fn version() -> String {
    std::env::var("PORTOLAN_MONGOD_VERSION").unwrap_or_else(|_| "6.0.5".to_owned())
}

/// The server of that version, as `cargo xtask setup` installs it.
pub fn binary() -> Result<MongodBinary, Failure> {
    Ok(MongodBinary::find(Some(&version()))?)
}

/// One server with the records, and a connection to prepare it.
pub struct Server {
    pub uri: String,
    admin: Connection,
    _process: Standalone,
}

impl Server {
    pub fn start() -> Result<Self, Failure> {
        let process = Standalone::start(&binary()?)?;
        let mut admin = process.connect(PATIENCE)?;
        fill(&mut admin)?;
        // As many connections as the most tasks, for every peer.
        let uri = format!("mongodb://{}/?maxPoolSize=100", process.address());
        Ok(Self { uri, admin, _process: process })
    }

    /// An empty collection for inserts, created beforehand.
    pub fn empty_inserted(&mut self) -> Result<(), Failure> {
        // Dropping what is not there is an error of older servers, and of no interest.
        let _ = self.admin.run(&doc! { "drop": INSERTED, "$db": DATABASE });
        self.admin.run(&doc! { "create": INSERTED, "$db": DATABASE })?;
        Ok(())
    }

    /// A collection of `count` times `document`, `_id` from 1 on.
    pub fn fill(&mut self, name: &str, document: &Document, count: i32) -> Result<(), Failure> {
        let numbered = |id: i32| {
            let mut numbered = doc! { "_id": id };
            numbered.extend(document.clone());
            numbered
        };
        insert(&mut self.admin, name, (1..=count).map(numbered).collect())
    }
}

/// Fills the collection that is read.
pub fn fill(admin: &mut Connection) -> Result<(), Failure> {
    let records = (0..RECORDS).map(|id| bson::serialize_to_document(&Record::new(id)));
    insert(admin, COLLECTION, records.collect::<Result<_, _>>()?)
}

fn insert(admin: &mut Connection, name: &str, documents: Vec<Document>) -> Result<(), Failure> {
    for some in documents.chunks(1_000) {
        admin.run(&doc! { "insert": name, "documents": some, "$db": DATABASE })?;
    }
    Ok(())
}

/// Three members that elect after a second, with the records on all of them.
pub fn replica_set() -> Result<ReplicaSet, Failure> {
    let set = ReplicaSet::start(ReplicaSetOptions::new(binary()?, 3))?;
    let mut admin = set.member(set.primary()?).connect(PATIENCE)?;
    let one = bson::serialize_to_document(&Record::new(0))?;
    let concern = doc! { "w": 3 };
    admin.run(&doc! {
        "insert": COLLECTION, "documents": [one], "writeConcern": concern, "$db": DATABASE,
    })?;
    Ok(set)
}
