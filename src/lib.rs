//! Portolan: a MongoDB driver whose one protocol core runs on async-std, smol, tokio, in the
//! browser and at the edge.
//!
//! ```text
//! bytes -> wire message -> hello reply -> ServerDescription -> TopologyDescription -> selection ->
//! connection -> operation -> reply |______________________________ src/engine: pure
//! ______________________________________|
//! ```
//!
//! The modules, in the order of that line:
//!
//! - [`engine`] decides: framing, hello, discovery and monitoring, selection, pool and operations,
//!   as deterministic machines without a clock, I/O, threads or randomness of their own.
//! - [`transport`] is the seam: time and byte streams, one small leaf per runtime.
//! - `driver` carries: the future that runs the engine's monitors (in the background, or on demand
//!   by the operations themselves), and the path of one operation; `tls` encrypts, above whatever
//!   stream a transport has.
//! - [`Client`], [`Database`], [`Collection`], [`Cursor`], [`ClientSession`] are what users hold.
//! - [`uri`], [`options`], [`event`], [`logging`] and [`error`] are what they say and hear.
//!
//! Features, all off in this crate: `tls` (on by default in the crates of the native transports),
//! `tls-key-password` for private keys with a password, `tls-session` for TLS without I/O, and the
//! compressors `snappy`, `zlib` and `zstd`. What a connection string asks for and the build lacks
//! is an error, or for compressors a warning, that names the feature.
//!
//! A transport's own crate makes a client in one line; here it is async-std's:
//!
//! ```no_run
//! use portolan::bson::{Document, doc};
//!
//! # async fn example() -> portolan::Result<()> {
//! let client = portolan_async_std::connect("mongodb://localhost:27017").await?;
//! let notes = client.database("app").collection::<Document>("notes");
//! notes.insert_one(doc! { "text": "fair wind" }).await?;
//! # Ok(())
//! # }
//! ```

pub mod engine;
pub mod options;
pub mod transport;
pub mod uri;

mod client;
mod client_session;
mod collection;
mod cursor;
mod database;
mod driver;
pub mod error;
pub mod event;
mod explain;
mod identity;
pub mod logging;
mod metadata;
mod prepare;
mod published;
pub mod registry;
mod resolve;
mod session;
mod settings;
mod shutdown;
pub mod statistics;
mod targeting;
#[doc(hidden)]
pub mod testing;
#[cfg(feature = "tls-session")]
pub mod tls;
#[cfg(not(feature = "tls-session"))]
mod tls;
mod topology;
mod transaction;

pub use bson;
pub use client::{Client, Ping};
pub use client_session::{ClientSession, SessionOptions, StartSession};
pub use collection::{
    Aggregate, ArrayArgument, BulkWrite, BulkWriteResult, Collection, CountDocuments, CreateIndex,
    CreateIndexResult, CreateIndexes, CreateIndexesResult, CursorType, DeleteMany, DeleteManyModel,
    DeleteOne, DeleteOneModel, DeleteResult, Distinct, DocumentArgument, DropIndex, DropIndexes,
    EstimatedDocumentCount, Find, FindOne, FindOneAndDelete, FindOneAndReplace, FindOneAndUpdate,
    Hint, IndexModel, InsertMany, InsertManyResult, InsertOne, InsertOneModel, InsertOneResult,
    ListIndexNames, ListIndexes, ReplaceOne, ReplaceOneModel, ReturnDocument, UpdateMany,
    UpdateManyModel, UpdateModifications, UpdateOne, UpdateOneModel, UpdateResult, ValueArgument,
    WriteModel,
};
pub use cursor::{CloseCursor, Cursor};
pub use database::{
    CollectionSpecification, Command, CreateCollection, Database, DatabaseSpecification,
    DropCollection, DropDatabase, ListCollectionNames, ListCollections, ListDatabaseNames,
    ListDatabases, ModifyCollection, RunCommand, RunCommandRaw, RunCursorCommand,
};
pub use driver::checked_out::ServerConnection;
pub use driver::pool_status::{PoolStatus, Storm};
pub use driver::run::Driver;
pub use engine::address::ServerAddress;
pub use engine::map::SortedMap;
pub use engine::op::TimeoutMode;
pub use engine::sdam::{
    ServerDescription, ServerType, TopologyDescription, TopologyId, TopologyType,
};
pub use engine::selection::{ReadPreference, ReadPreferenceMode};
pub use error::{Error, ErrorKind, Result};
pub use explain::Explanation;
pub use options::ClientOptions;
pub use registry::{Registry, RegistryError};
pub use targeting::{HostFailure, Targeting};
pub use topology::{MonitorStatus, Topology};
pub use transaction::{
    AbortTransaction, CommitTransaction, EndSession, StartTransaction, TransactionOptions,
    WithTransactionOptions,
};

/// The examples of the README, compiled by `cargo test --doc`.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
