//! One connection of a monitor or probe: the task that carries its bytes, and the place where its
//! stream lies, so that an operation can have it once the monitor has no use for it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use bson::RawDocumentBuf;
use futures_channel::mpsc;
use futures_util::StreamExt;
use futures_util::future::{Either, select};

use super::connection::Offered;
use super::framed::{Arrival, Framed, FramedError};
use super::pool::{PooledConnection, ServerPool};
use super::shared::Shared;
use crate::engine::auth::{Opening, part};
use crate::engine::hello::HelloReply;
use crate::engine::sdam::{Event, LinkError, LinkId};
use crate::engine::time::Instant;
use crate::engine::wire::DEFAULT_MAX_MESSAGE_SIZE;
use crate::transport::Transport;

/// What happened on a link, and when.
pub(crate) type LinkEvent = (Instant, Event);

/// What the engine wants done with links and look-ups.
pub(crate) enum LinkAction {
    Open(LinkId, Arc<LinkSlot>),
    Send(LinkId, Vec<u8>),
    Greet(LinkId, Vec<u8>),
    Close(LinkId),
    LookUp(u64, String),
    CancelLookUp(u64),
}

/// Where the stream of one link lies.
#[derive(Default)]
pub(crate) struct LinkSlot {
    stream: Mutex<Option<Stream>>,
    /// The authentication that its first hello began.
    begun: Mutex<Option<Begun>>,
}

/// An authentication that began in the hello of a monitor, for the operation that has the
/// connection later.
enum Begun {
    Asked(Opening),
    Answered(Opening, RawDocumentBuf),
}

enum Stream {
    Own(Framed),
    /// A connection of the pool, which is lent for a check.
    Lent(PooledConnection),
}

impl Stream {
    fn framed(&mut self) -> &mut Framed {
        match self {
            Self::Own(framed) => framed,
            Self::Lent(connection) => connection.lent(),
        }
    }
}

impl LinkSlot {
    /// The slot of a link over the connection that was offered.
    pub(crate) fn offered(pool: &ServerPool) -> Self {
        let offered = pool.take_offered();
        Self::over(offered.map(|offered| Stream::Own(offered.framed)))
    }

    /// The same, else over a connection that is idle.
    pub(crate) fn offered_or_idle(pool: &Arc<ServerPool>, transport: &Arc<dyn Transport>) -> Self {
        let offered = pool.take_offered().map(|offered| Stream::Own(offered.framed));
        let stream = offered.or_else(|| pool.take_idle(transport).map(Stream::Lent));
        Self::over(stream)
    }

    fn over(stream: Option<Stream>) -> Self {
        Self { stream: Mutex::new(stream), begun: Mutex::default() }
    }

    /// The first hello of the connection, with the beginning of the authentication where the client
    /// has one to do: the operation that has the connection later is one round trip further then.
    pub(crate) fn greeting(&self, shared: &Shared, hello: Vec<u8>) -> Vec<u8> {
        let Some(authentication) = &shared.authentication else { return hello };
        // Without it the operation authenticates from the beginning, and tells what went wrong.
        let Ok(opening) = authentication.opening() else { return hello };
        let Ok(joined) = opening.join(hello.clone()) else { return hello };
        *self.begun() = Some(Begun::Asked(opening));
        joined
    }

    /// A message of the server, without what is not the monitor's.
    fn heard(&self, message: Vec<u8>) -> Vec<u8> {
        let mut begun = self.begun();
        let Some(Begun::Asked(_)) = &*begun else { return message };
        let Some(Begun::Asked(opening)) = begun.take() else { return message };
        match part(message.clone()) {
            Ok((alone, whole)) => {
                *begun = Some(Begun::Answered(opening, whole));
                alone
            }
            // The monitor says what is wrong with it.
            Err(_) => message,
        }
    }

    /// The link is no more; its stream is for operations from now on.
    pub(crate) fn let_go(&self, pool: &ServerPool, now: Instant, hello: Option<Arc<HelloReply>>) {
        match (self.stream().take(), hello) {
            (Some(Stream::Own(framed)), Some(hello)) if !framed.has_more() => {
                let opening = match self.begun().take() {
                    Some(Begun::Answered(opening, document)) => Some((opening, document)),
                    Some(Begun::Asked(_)) | None => None,
                };
                pool.offer(Offered { framed, hello, opening });
            }
            (Some(Stream::Lent(mut connection)), _) => connection.returned(now),
            (Some(Stream::Own(_)) | None, _) => {}
        }
    }

    fn stream(&self) -> MutexGuard<'_, Option<Stream>> {
        self.stream.lock().expect("not poisoned: a stream's poll does not panic")
    }

    fn begun(&self) -> MutexGuard<'_, Option<Begun>> {
        self.begun.lock().expect("not poisoned: nothing panics with it")
    }

    fn held_up(&self) -> Duration {
        self.stream().as_mut().map_or(Duration::ZERO, |stream| stream.framed().held_up())
    }

    /// Whether there is a stream, and nothing has arrived on it that nobody asked for.
    async fn is_sound(&self) -> bool {
        poll_fn(|cx| {
            let mut stream = self.stream();
            let Some(held) = stream.as_mut() else { return Poll::Ready(false) };
            let sound = held.framed().poll_silent(cx);
            if !sound {
                *stream = None;
            }
            Poll::Ready(sound)
        })
        .await
    }

    /// The next message; `None` once the stream is in other hands.
    async fn read(&self, transport: &dyn Transport) -> Option<Result<Arrival, FramedError>> {
        poll_fn(|cx| match &mut *self.stream() {
            None => Poll::Ready(None),
            Some(stream) => stream.framed().poll_message(cx, transport, None).map(Some),
        })
        .await
    }

    async fn write(&self, message: &[u8]) -> Result<(), FramedError> {
        let mut written = 0;
        poll_fn(|cx| match &mut *self.stream() {
            None => Poll::Ready(Ok(())),
            Some(stream) => stream.framed().poll_write_message(cx, message, &mut written),
        })
        .await
    }
}

/// Carries bytes between one link and the engine, until either side ends it.
pub(crate) async fn carry(
    shared: Arc<Shared>,
    id: LinkId,
    slot: Arc<LinkSlot>,
    mut commands: mpsc::UnboundedReceiver<Vec<u8>>,
    mut events: mpsc::Sender<LinkEvent>,
) {
    let transport = &*shared.transport;
    let sound = slot.is_sound().await;
    let begun = if sound {
        Event::Resumed(id.clone())
    } else {
        match shared.opener.open(transport, &id.address).await {
            Ok(stream) => {
                let framed = Framed::new(stream, DEFAULT_MAX_MESSAGE_SIZE);
                *slot.stream() = Some(Stream::Own(framed));
                Event::Opened(id.clone())
            }
            Err(error) => {
                let error = LinkError::opening(error.kind, error);
                send(&mut events, (transport.now(), Event::Broken { link: id, error })).await;
                return;
            }
        }
    };
    send(&mut events, (transport.now(), begun)).await;
    let mut written = transport.now();
    let mut is_first = !sound;
    let error = loop {
        let next = {
            let read = pin!(slot.read(transport));
            let command = commands.next();
            match select(read, command).await {
                Either::Left((read, _)) => Either::Left(read),
                Either::Right((command, _)) => Either::Right(command),
            }
        };
        match next {
            Either::Left(None) | Either::Right(None) => return,
            Either::Left(Some(Ok(arrival))) => {
                if std::mem::take(&mut is_first) {
                    written = arrival.at.min(written + slot.held_up());
                }
                let link = id.clone();
                let message = slot.heard(arrival.frame);
                let event = Event::Received { link, message, written };
                send(&mut events, (arrival.at, event)).await;
            }
            Either::Left(Some(Err(error))) => break error,
            Either::Right(Some(message)) => {
                written = transport.now();
                if let Err(error) = slot.write(&message).await {
                    break error;
                }
            }
        }
    };
    let error = match error {
        FramedError::Wire(error) => LinkError::from(error),
        other => LinkError::network(other),
    };
    send(&mut events, (transport.now(), Event::Broken { link: id, error })).await;
}

/// Tells the runner, which has room for it at last.
pub(crate) async fn send(events: &mut mpsc::Sender<LinkEvent>, event: LinkEvent) {
    if poll_fn(|cx| events.poll_ready(cx)).await.is_ok() {
        // There is room: this sender alone takes it.
        let _ = events.start_send(event);
    }
}
