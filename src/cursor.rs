//! A cursor: the results of a query, batch by batch, as a stream.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bson::{Bson, RawDocument};
use futures_util::Stream;
use serde::de::DeserializeOwned;

use crate::client::Client;
use crate::driver::execute::{Executed, execute_in};
use crate::driver::route::Route;
use crate::engine::address::ServerAddress;
use crate::engine::op::retry::SYSTEM_OVERLOADED_ERROR;
use crate::engine::op::{Batch, CursorReply, GetMore, KillCursors, Namespace, get_more_batch_size};
use crate::error::{Error, ErrorKind, Result};
use crate::session::ImplicitSession;
use crate::transport::BoxFuture;

/// The results of a query: a stream of documents read as `T`, straight from the reply's bytes.
///
/// The next batch is fetched when the stream asks for it, always from the server that has the
/// cursor. Dropping the stream before its end frees the cursor on the server (`killCursors`).
pub struct Cursor<T> {
    client: Client,
    address: ServerAddress,
    namespace: Namespace,
    /// The server's number of the cursor; 0 once the server has closed it.
    id: i64,
    batch: Batch,
    bounds: Bounds,
    comment: Option<Bson>,
    session: Option<ImplicitSession>,
    fetch: Option<Fetch>,
    read: PhantomData<fn() -> T>,
}

type Fetch = BoxFuture<'static, Result<Executed<CursorReply>>>;

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
        mut bounds: Bounds,
        comment: Option<Bson>,
    ) -> Self {
        let Executed { output, address, session, .. } = first;
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
            session,
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

    fn fetch_more(&mut self) -> Fetch {
        let bounds = self.bounds;
        let mut operation = GetMore {
            id: self.id,
            collection: self.namespace.collection.clone(),
            batch_size: get_more_batch_size(bounds.limit, bounds.batch_size, bounds.returned),
            max_await_time: None,
            comment: self.comment.clone(),
        };
        let (client, address) = (self.client.clone(), self.address.clone());
        let database = self.namespace.database.clone();
        let session = self.session.take();
        Box::pin(async move {
            let route = Route::pinned(&database, &address);
            execute_in(client.shared(), &mut operation, &route, session).await
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
            Err(error) => {
                // A server that refuses to go on has closed the cursor; one that was not reached,
                // or is overloaded, has it still.
                let refused = matches!(error.kind(), ErrorKind::Command(_));
                if !refused || error.has_label(SYSTEM_OVERLOADED_ERROR) {
                    self.kill();
                }
                self.id = 0;
                Err(error)
            }
        }
    }

    /// Leaves word that nobody will read on.
    fn kill(&mut self) {
        let collection = self.namespace.collection.clone();
        let mut operation = KillCursors { collection, ids: vec![self.id] };
        // Not the client itself: a job must not keep it alive.
        let (shared, address) = (self.client.shared().clone(), self.address.clone());
        let (database, session) = (self.namespace.database.clone(), self.session.take());
        self.client.shared().leave_job(Box::pin(async move {
            let route = Route { awaited: false, ..Route::pinned(&database, &address) };
            // Nobody is there to hear of a failure, and the server forgets idle cursors by itself.
            let _ = execute_in(&shared, &mut operation, &route, session).await;
        }));
    }
}

impl<T: DeserializeOwned> Stream for Cursor<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        let this = &mut *self;
        loop {
            if let Some(document) = this.batch.next_document() {
                return Poll::Ready(Some(decode(document)));
            }
            if this.id == 0 {
                return Poll::Ready(None);
            }
            if this.fetch.is_none() {
                this.fetch = Some(this.fetch_more());
            }
            let Some(fetch) = &mut this.fetch else { continue };
            let outcome = ready!(fetch.as_mut().poll(cx));
            this.fetch = None;
            if let Err(error) = this.fetched(outcome) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

pub(crate) fn decode<T: DeserializeOwned>(document: &RawDocument) -> Result<T> {
    bson::deserialize_from_slice(document.as_bytes()).map_err(Error::bson)
}

impl<T> Unpin for Cursor<T> {}

impl<T> Drop for Cursor<T> {
    fn drop(&mut self) {
        if self.id != 0 {
            self.kill();
        }
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
