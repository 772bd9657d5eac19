//! Real mongod deployments on loopback, for tests, measurements and the demo.
//!
//! [`ReplicaSet::start`] starts a set and answers when it has a primary; its members can be killed,
//! frozen, thawed, restarted and stepped down. Dropping it stops every process by its id and
//! removes its data, also when a test panics; a watchdog does the same when this process dies
//! without dropping anything.
//!
//! Blocking and without the driver: a test's view of a server is independent of the code under
//! test.

mod access;
mod binary;
mod connection;
mod elections;
mod error;
mod member;
mod port;
mod replica_set;
mod standalone;
mod watchdog;

pub use binary::{DEFAULT_VERSION, MongodBinary, cache_dir};
pub use connection::Connection;
pub use elections::{ElectionEvent, ElectionStep, election_events};
pub use error::{Error, Result};
pub use member::{Member, MemberOptions, MemberState};
pub use replica_set::{ReplicaSet, ReplicaSetOptions};
pub use standalone::Standalone;
