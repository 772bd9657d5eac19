//! One connection of a pool, in the hands of a user.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;

use bson::Document;

use super::execute::Run;
use super::lease::Lease;
use super::on_demand::attend;
use super::pool::{PooledConnection, ServerPool};
use super::route::Route;
use super::select::{Selected, select};
use super::shared::Shared;
use super::work::Typed;
use crate::database::Command;
use crate::engine::address::ServerAddress;
use crate::engine::op;
use crate::engine::sdam::ServerDescription;
use crate::engine::selection::ReadPreference;
use crate::error::{Error, ErrorKind, Result};
use crate::options::ServerChoice;

/// One connection to one server, taken out of its pool: see
/// [`Client::connection`](crate::Client::connection).
///
/// Commands run on it one behind the other and are never tried again. It goes back to its pool when
/// it is dropped; one that broke, or whose command was abandoned half-way, is closed instead.
pub struct ServerConnection {
    shared: Arc<Shared>,
    read_preference: ReadPreference,
    selected: Selected,
    connection: PooledConnection,
}

impl ServerConnection {
    pub(crate) async fn take(shared: &Arc<Shared>, choice: ServerChoice) -> Result<Self> {
        attend(shared, pin!(Self::take_attended(shared, choice))).await
    }

    async fn take_attended(shared: &Arc<Shared>, choice: ServerChoice) -> Result<Self> {
        let route = Route::read("admin", &choice.read_preference);
        // What is checked out runs nothing by itself: a ping stands for what will run.
        let run = Run::new(shared, &Typed::new(&mut op::Ping), &route, None);
        let criteria = choice.criteria(&shared.options);
        let timeout = shared.options.server_selection_timeout;
        let mut selected = select(shared, &criteria, ("connection", None), timeout).await?;
        let taken = run.connect(&selected).await;
        let connection = taken.map_err(|failed| failed.error)?;
        selected.rests();
        let (shared, read_preference) = (shared.clone(), choice.read_preference);
        Ok(Self { shared, read_preference, selected, connection })
    }

    /// One out of this pool, whatever the server of that has become: for
    /// [`testing`](crate::testing).
    pub(crate) async fn out_of(shared: &Arc<Shared>, pool: &Arc<ServerPool>) -> Result<Self> {
        let read_preference = ReadPreference::PRIMARY;
        let route = Route::read("admin", &read_preference);
        let run = Run::new(shared, &Typed::new(&mut op::Ping), &route, None);
        let mut selected = Selected::of(shared, pool.address())?;
        let taken = run.connect(&selected).await;
        let connection = taken.map_err(|failed| failed.error)?;
        selected.rests();
        Ok(Self { shared: shared.clone(), read_preference, selected, connection })
    }

    /// The server.
    pub fn address(&self) -> &ServerAddress {
        &self.selected.server.address
    }

    /// What was known of the server when it was chosen.
    pub fn server(&self) -> &Arc<ServerDescription> {
        &self.selected.server
    }

    /// The connection's number in its pool.
    pub fn id(&self) -> u64 {
        self.connection.id()
    }

    /// Whether a command can be run: not once the connection has broken.
    pub fn is_usable(&self) -> bool {
        self.connection.is_usable()
    }

    /// Runs a command on this connection and gives the server's reply.
    ///
    /// # Errors
    ///
    /// What the server says, or that the connection broke: that ends it, and the client's topology
    /// and pool hear of it as of any operation's failure.
    pub async fn run_command(
        &mut self,
        database: &str,
        command: impl Into<Command>,
    ) -> Result<Document> {
        if !self.connection.is_usable() {
            let message = "the connection has broken: take another one".to_owned();
            return Err(Error::new(ErrorKind::Network {
                address: self.address().clone(),
                message,
            }));
        }
        let mut operation = op::RunCommand::new(command.into().into_raw()?)?;
        let route = Route::read(database, &self.read_preference);
        let mut work = Typed::new(&mut operation);
        let mut run = Run::new(&self.shared, &work, &route, None);
        let selected = self.selected.again(&self.shared);
        let lease = Lease::Lent(&mut self.connection);
        let outcome =
            attend(&self.shared, pin!(run.on_connection(&mut work, &selected, lease))).await;
        outcome.map_err(|failed| failed.error)?;
        let reply = work.into_output().expect("the attempt succeeded, and left it");
        Document::try_from(reply).map_err(Error::bson)
    }
}

impl fmt::Debug for ServerConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConnection")
            .field("address", self.address())
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
