//! A cursor: the results of a query, batch by batch, as a stream.

use std::future::{IntoFuture, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bson::{RawDocument, RawDocumentBuf};
use futures_util::Stream;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::driver::execute::{Executed, execute_on};
use crate::driver::pool::PooledConnection;
use crate::driver::route::Route;
use crate::engine::address::ServerAddress;
use crate::engine::op::retry::SYSTEM_OVERLOADED_ERROR;
use crate::engine::op::{
    Batch, CursorReply, CursorTime, GetMore, KillCursors, Namespace, TimeBudget, ValueArgument,
    get_more_batch_size,
};
use crate::error::{Error, ErrorKind, Result};
use crate::session::OperationSession;
use crate::transport::BoxFuture;

/// The results of a query: a stream of documents read as `T`, straight from the reply's bytes.
///
/// The next batch is fetched when the stream asks for it, always from the server that has the
/// cursor. Dropping the stream before its end frees the cursor on the server (`killCursors`) in the
/// background; [`Cursor::close`] waits for that.
///
/// Behind a load balancer the cursor keeps a connection of the pool from its first batch to its
/// last, so that no more cursors can be open than `maxPoolSize` says. After a failure it keeps it
/// until it is closed or dropped.
pub struct Cursor<T> {
    client: Client,
    address: ServerAddress,
    namespace: Namespace,
    /// The server's number of the cursor; 0 once the server has closed it.
    id: i64,
    batch: Batch,
    bounds: Bounds,
    comment: Option<ValueArgument>,
    time: CursorTime,
    /// The time of the step of the iteration that is under way.
    step: Option<TimeBudget>,
    session: Option<OperationSession>,
    /// The number of the transaction that it was opened in: it ends with that.
    transaction: Option<i64>,
    /// Whether it has a connection of its own: behind a load balancer.
    pinned: bool,
    /// That one; it is not here while a batch is fetched.
    connection: Option<PooledConnection>,
    /// The stream has ended with an error, the cursor has not.
    failed: bool,
    fetch: Option<Fetch>,
    read: PhantomData<fn() -> T>,
}

type Fetch = BoxFuture<'static, (Result<Executed<CursorReply>>, Option<PooledConnection>)>;

type Killing = BoxFuture<'static, Result<()>>;

/// What the query said about what is fetched later.
#[derive(Clone, Debug, Default)]
pub(crate) struct CursorSettings {
    pub(crate) bounds: Bounds,
    pub(crate) comment: Option<ValueArgument>,
    pub(crate) time: CursorTime,
}

/// What the query said about the number of results.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    pub(crate) limit: Option<i64>,
    pub(crate) batch_size: Option<u32>,
    /// Documents of all batches so far.
    returned: u64,
}

impl Bounds {
    pub(crate) fn new(limit: Option<i64>, batch_size: Option<u32>) -> Self {
        Self { limit, batch_size, returned: 0 }
    }
}

impl<T> Cursor<T> {
    pub(crate) fn new(
        client: Client,
        first: Executed<CursorReply>,
        settings: CursorSettings,
    ) -> Self {
        let CursorSettings { mut bounds, comment, time } = settings;
        let Executed { output, address, session, connection, transaction, .. } = first;
        bounds.returned = output.batch.len() as u64;
        // A cursor that the server has closed needs its session no more.
        let session = session.filter(|_| output.id != 0);
        Self {
            client,
            address,
            namespace: output.namespace(),
            id: output.id,
            batch: output.batch,
            bounds,
            comment,
            time,
            step: None,
            session,
            transaction,
            pinned: connection.is_some(),
            connection,
            failed: false,
            fetch: None,
            read: PhantomData,
        }
    }

    /// The server that has the cursor.
    pub fn address(&self) -> &ServerAddress {
        &self.address
    }

    /// Whether the server has more results than those that were fetched.
    pub fn has_more_on_server(&self) -> bool {
        self.id != 0
    }

    /// Frees the cursor on the server. A dropped cursor is freed too, in the background. Behind a
    /// load balancer its connection is back in the pool then, whatever came of it.
    ///
    /// # Errors
    ///
    /// If the server was not reached or refuses. It forgets idle cursors by itself after a while.
    pub fn close(self) -> CloseCursor<T> {
        CloseCursor { cursor: self, timeout: None }
    }

    /// The next document's own bytes, read by nobody; `None` at the end.
    ///
    /// # Errors
    ///
    /// As the stream; the cursor has ended then.
    pub async fn next_raw(&mut self) -> Option<Result<RawDocumentBuf>> {
        match poll_fn(|cx| self.poll_batch(cx, false)).await {
            Ok(true) => self.batch.next_document().map(|document| Ok(document.to_owned())),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Whether the batch has a document, after as many questions to the server as that takes, or
    /// one where it is to be asked `once`.
    fn poll_batch(&mut self, cx: &mut Context<'_>, once: bool) -> Poll<Result<bool>> {
        let mut asked = false;
        let outcome = loop {
            if !self.batch.is_empty() {
                break Ok(true);
            }
            if self.id == 0 || self.failed || (asked && once) {
                break Ok(false);
            }
            if self.fetch.is_none() {
                self.fetch = Some(self.fetch_more());
            }
            let Some(fetch) = &mut self.fetch else { continue };
            let (outcome, connection) = ready!(fetch.as_mut().poll(cx));
            asked = true;
            (self.fetch, self.connection) = (None, connection);
            if let Err(error) = self.fetched(outcome) {
                break Err(error);
            }
        };
        self.step = None;
        Poll::Ready(outcome)
    }

    fn fetch_more(&mut self) -> Fetch {
        let bounds = self.bounds;
        let transport = &self.client.shared().transport;
        let budget = *self.step.get_or_insert_with(|| self.time.step(|| transport.now()));
        let mut operation = GetMore {
            id: self.id,
            collection: self.namespace.collection.clone(),
            batch_size: get_more_batch_size(bounds.limit, bounds.batch_size, bounds.returned),
            max_await_time: self.time.max_await_time(),
            comment: self.comment.clone(),
        };
        let (client, address) = (self.client.clone(), self.address.clone());
        let database = self.namespace.database.clone();
        let (session, mut connection) = (self.session.take(), self.connection.take());
        Box::pin(async move {
            let shared = client.shared();
            let route = Route { budget, ..Route::pinned(&database, &address) };
            let fetched =
                execute_on(shared, &mut operation, &route, session, Some(&mut connection));
            (fetched.await, connection)
        })
    }

    fn fetched(&mut self, outcome: Result<Executed<CursorReply>>) -> Result<()> {
        match outcome {
            Ok(executed) => {
                self.id = executed.output.id;
                self.bounds.returned += executed.output.batch.len() as u64;
                self.batch = executed.output.batch;
                self.session = executed.session.filter(|_| self.id != 0);
                Ok(())
            }
            // "Drivers MUST leave the connection pinned to the cursor."
            Err(error) if self.pinned => {
                self.failed = true;
                Err(error)
            }
            Err(error) => {
                // A server that refuses to go on has closed the cursor; one that was not reached,
                // or is overloaded, has it still.
                let refused = matches!(error.kind(), ErrorKind::Command(_));
                if !refused || error.has_label(SYSTEM_OVERLOADED_ERROR) {
                    self.leave();
                }
                self.id = 0;
                Err(error)
            }
        }
    }

    /// Leaves word that nobody will read on.
    fn leave(&mut self) {
        let Some(killing) = self.killing(None, false) else { return };
        // Nobody is there to hear of a failure, and the server forgets idle cursors by itself.
        self.client.shared().owe(async move { drop(killing.await) });
    }

    /// Whether the transaction that it was opened in is open still.
    fn is_in_transaction(&self) -> bool {
        match &self.session {
            Some(OperationSession::Explicit(session)) => {
                session.open_transaction() == self.transaction
            }
            _ => false,
        }
    }

    /// Has the server forget the cursor, if it has it; `own` is the time for that, where it was
    /// given one.
    fn killing(&mut self, own: Option<Duration>, awaited: bool) -> Option<Killing> {
        // A batch that is being fetched has the connection, and breaks it by its end.
        self.fetch = None;
        let mut connection = self.connection.take();
        let id = std::mem::take(&mut self.id);
        // On another connection behind a load balancer there is another server, and on a broken one
        // there is none.
        if self.transaction.is_some() && !(awaited && self.is_in_transaction()) {
            // The server closes it with its transaction.
            return None;
        }
        if id == 0 || (self.pinned && !connection.as_ref().is_some_and(|it| it.is_usable())) {
            return None;
        }
        let collection = self.namespace.collection.clone();
        let mut operation = KillCursors { collection, ids: vec![id] };
        // Not the client itself: a job must not keep it alive.
        let (shared, address) = (self.client.shared().clone(), self.address.clone());
        let (database, session) = (self.namespace.database.clone(), self.session.take());
        let (time, pinned) = (self.time, self.pinned);
        Some(Box::pin(async move {
            let budget = time.close(own, || shared.transport.now());
            let route = Route { awaited, budget, ..Route::pinned(&database, &address) };
            let killed =
                execute_on(&shared, &mut operation, &route, session, Some(&mut connection));
            match killed.await {
                // The server forgets a cursor with its connection, which was all there was to it.
                Err(error) if pinned && matches!(error.kind(), ErrorKind::Network { .. }) => Ok(()),
                killed => killed.map(drop),
            }
        }))
    }
}

impl<T: DeserializeOwned> Cursor<T> {
    /// The next document, if one was fetched already or comes with one more question to the server;
    /// `None` where there is none for now, and at the end.
    ///
    /// A tailable cursor as a stream waits for the next document for as long as it takes; this one
    /// asks once. [`Cursor::has_more_on_server`] tells a pause from the end.
    ///
    /// # Errors
    ///
    /// As the stream; the cursor has ended then.
    pub async fn next_if_any(&mut self) -> Result<Option<T>> {
        poll_fn(|cx| self.poll_document(cx, true)).await.transpose()
    }

    fn poll_document(&mut self, cx: &mut Context<'_>, once: bool) -> Poll<Option<Result<T>>> {
        let arrived = ready!(self.poll_batch(cx, once));
        Poll::Ready(match arrived {
            Ok(true) => self.batch.next_document().map(decode),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        })
    }
}

impl<T: DeserializeOwned> Stream for Cursor<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        self.poll_document(cx, false)
    }
}

/// The end of a cursor; `.await` waits until the server has forgotten it.
#[must_use = "nothing is sent until it is awaited, or dropped"]
#[derive(Debug)]
pub struct CloseCursor<T> {
    cursor: Cursor<T>,
    timeout: Option<Duration>,
}

impl<T> CloseCursor<T> {
    /// How long that may take; by default the `timeoutMS` of the query, once more.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

impl<T> IntoFuture for CloseCursor<T> {
    type Output = Result<()>;
    type IntoFuture = BoxFuture<'static, Result<()>>;

    fn into_future(mut self) -> Self::IntoFuture {
        let killing = self.cursor.killing(self.timeout, true);
        killing.unwrap_or_else(|| Box::pin(std::future::ready(Ok(()))))
    }
}

pub(crate) fn decode<T: DeserializeOwned>(document: &RawDocument) -> Result<T> {
    bson::deserialize_from_slice(document.as_bytes()).map_err(Error::bson)
}

impl<T> Unpin for Cursor<T> {}

impl<T> Drop for Cursor<T> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T> std::fmt::Debug for Cursor<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor")
            .field("address", &self.address)
            .field("id", &self.id)
            .field("fetched", &self.batch.len())
            .finish_non_exhaustive()
    }
}
