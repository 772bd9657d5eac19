//! The hello command and its reply: how a client and a server introduce themselves.
//!
//! A reply is parsed once, into [`HelloReply`]; after that nobody looks at the raw document.
//! Specification: mongodb-handshake, and "Parsing a hello or legacy hello response" of SDAM.

mod command;
pub(crate) mod json;
mod metadata;
mod reply;
mod server_api;
mod topology_version;
mod written;

pub use command::{HelloCommand, LegacyProtocol};
pub use metadata::{
    ApplicationNameTooLong, ClientMetadata, DelimiterInDriverInfo, DriverInfo, EnvMetadata,
    OsMetadata,
};
pub use reply::{HelloReply, ReplyError};
pub use server_api::{ServerApi, ServerApiVersion};
pub use topology_version::TopologyVersion;
