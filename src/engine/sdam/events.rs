//! What goes into the topology machine, and what comes out of it.

use std::sync::Arc;

use bson::oid::ObjectId;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::link::LinkError;
use super::notice;
use super::topology::TopologyDescription;
use crate::engine::address::ServerAddress;
use crate::engine::hello::{DriverInfo, HelloReply};
use crate::engine::srv::SrvRecord;
use crate::engine::time::Instant;

/// One input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// The client starts.
    Open,
    /// The client is being closed.
    Close,
    /// Time has come to what `poll_timeout` said, or later.
    Elapsed,
    /// The stream of a link is open.
    Opened(LinkId),
    /// The answer to [`Action::BorrowLink`] where there was a connection that has shaken hands.
    Resumed(LinkId),
    /// A complete message arrived on a link.
    Received {
        /// The link.
        link: LinkId,
        /// The message, header included.
        #[serde(with = "super::trace::hex")]
        message: Vec<u8>,
        /// When the latest request was written on the link.
        written: Instant,
    },
    /// A link broke, or could not be opened.
    Broken {
        /// The link.
        link: LinkId,
        /// Why.
        error: LinkError,
    },
    /// An operation failed in a way that may say something about its server.
    Failed(Failure),
    /// A pooled connection has shaken hands: what its server said of itself.
    Handshaken {
        /// The server.
        address: ServerAddress,
        /// What it said.
        reply: Box<HelloReply>,
    },
    /// An operation succeeded on the server that [`super::Sdam::awaited_success`] named.
    Succeeded(ServerAddress),
    /// An operation was sent while none was in flight: look at them from now on.
    Busy,
    /// The answer to [`Action::ReportInFlight`]: when the oldest operation in flight on each server
    /// was sent; empty when none is in flight.
    InFlight(Vec<(ServerAddress, Instant)>),
    /// The answer to a look-up, or why there is none.
    LookedUp {
        /// Which look-up.
        number: u64,
        /// The SRV records, or why there are none.
        answer: Result<Vec<SrvRecord>, String>,
    },
    /// A library on top of the driver wants to be named on connections that are opened from now on.
    Named(DriverInfo),
    /// Whether any operation waits for a server. While one does, all servers are checked as often
    /// as the minimum of 500 ms allows.
    Demand(bool),
    /// On demand: whether any operation is under way. While none is, nobody carries bytes or time
    /// to the machine, and it wants nothing.
    Attended(bool),
    /// On demand: what is believed has been found wanting; scan before the next selection.
    Stale,
}

/// Names one connection of a monitor or probe. An answer for a link that is no more is ignored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LinkId {
    /// The server.
    pub address: ServerAddress,
    /// What the connection is for.
    pub role: LinkRole,
    /// Unique among all links of the client.
    pub number: u64,
}

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LinkRole {
    /// Checks.
    Heartbeat,
    /// Round-trip times.
    Rtt,
}

/// What the shell is to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Open a stream to the link's server, without authentication.
    OpenLink(LinkId),
    /// Use a connection to the link's server that has shaken hands ([`Event::Resumed`]); where
    /// there is none, open a stream ([`Event::Opened`]).
    BorrowLink {
        /// The link.
        link: LinkId,
        /// Whether one that is idle in the pool will do, besides the one that was offered.
        idle: bool,
    },
    /// The link is no more: its connection, which has shaken hands, is for operations.
    OfferLink {
        /// The link.
        link: LinkId,
        /// What the server said of itself on it.
        reply: Arc<HelloReply>,
    },
    /// The link is no more: the connection goes back to the operations that it was taken from.
    ReturnLink(LinkId),
    /// Write a message.
    Send(LinkId, Vec<u8>),
    /// Write the first hello of a connection that operations may have later
    /// ([`Action::OfferLink`]): the beginning of an authentication may be joined to it
    /// ([`Opening::join`](crate::engine::auth::Opening::join)), if what the reply says of that is
    /// kept from the machine ([`part`](crate::engine::auth::part)).
    Greet(LinkId, Vec<u8>),
    /// Close the link, whatever it is doing.
    CloseLink(LinkId),
    /// A server was added: make its pool, paused.
    OpenPool(ServerAddress),
    /// A check succeeded: connections may be made.
    ReadyPool(ServerAddress),
    /// Connections of earlier generations are not to be used any more.
    ClearPool {
        /// The server.
        address: ServerAddress,
        /// The generation from now on.
        generation: u64,
        /// Why, for the errors of those who wait.
        reason: Arc<str>,
        /// Whether connections in use are to be interrupted too.
        interrupt_in_use: bool,
    },
    /// Behind a load balancer, a server failed: its connections up to this generation of it are not
    /// to be used any more. The pool goes on.
    ClearService {
        /// The load balancer.
        address: ServerAddress,
        /// The server.
        service_id: ObjectId,
        /// The generation of the connection that failed.
        generation: u64,
    },
    /// A server left: close its pool.
    ClosePool(ServerAddress),
    /// Say which operations are in flight ([`Event::InFlight`]).
    ReportInFlight,
    /// Operations in flight on this server that may be tried again leave it, if selection now names
    /// another one.
    Reconsider {
        /// The server.
        address: ServerAddress,
        /// Why, for people.
        reason: Arc<str>,
    },
    /// Look up SRV records; the answer is [`Event::LookedUp`]. There is one look-up at a time.
    LookUp {
        /// Which look-up.
        number: u64,
        /// The name whose records are wanted.
        name: String,
    },
    /// Nobody waits for this look-up any more.
    CancelLookUp(u64),
    /// The belief about the deployment was replaced (perhaps by an equal one).
    Publish(Arc<TopologyDescription>),
    /// Tell the subscribers.
    Notify(notice::Event),
}
