//! Who has the connection of an attempt, and who has it afterwards.
//!
//! Load balancers "Connection Pinning": each connection leads to a server of its own there, so that
//! a cursor keeps the connection that it was opened on. It goes back when the cursor ends, and is
//! closed when that is dropped in the middle of an exchange, as any connection is.

use std::any::Any;
use std::ops::{Deref, DerefMut};

use super::connection::Connection;
use super::pool::PooledConnection;
use crate::engine::op::CursorReply;
use crate::engine::pool::Purpose;
use crate::engine::sdam::TopologyType;

/// The connection of an attempt.
#[expect(
    clippy::large_enum_variant,
    reason = "on the stack of one attempt; a box is an allocation"
)]
pub(crate) enum Lease<'a> {
    Own(PooledConnection),
    /// It is somebody else's and stays theirs.
    Lent(&'a mut Connection),
}

impl Deref for Lease<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match self {
            Self::Own(connection) => connection,
            Self::Lent(connection) => connection,
        }
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        match self {
            Self::Own(connection) => connection,
            Self::Lent(connection) => connection,
        }
    }
}

/// The exchange is over: the connection goes back now. Behind a load balancer it does not before it
/// is known what came of the operation: a cursor may want it, and a failure may outdate it.
pub(super) fn release(lease: Lease<'_>, kind: TopologyType) -> Option<PooledConnection> {
    match lease {
        Lease::Own(connection) if kind == TopologyType::LoadBalanced => Some(connection),
        Lease::Own(_) | Lease::Lent(_) => None,
    }
}

/// Whether an operation's result is a cursor that is open on the server. By its type, so that no
/// operation can forget to say so; the compiler knows the answer for all others.
pub(super) fn is_open_cursor<T: 'static>(output: &T) -> bool {
    let cursor = (output as &dyn Any).downcast_ref::<CursorReply>();
    cursor.is_some_and(|cursor| cursor.id != 0)
}

/// What a cursor that was opened keeps.
pub(super) fn for_cursor(connection: Option<PooledConnection>) -> Option<PooledConnection> {
    let mut connection = connection?;
    connection.pin(Purpose::Cursor);
    Some(connection)
}
