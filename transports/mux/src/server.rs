//! The end that is asked for streams: the bridge.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::Limits;
use crate::carrier::Carrier;
use crate::codec::{Decoded, Refusal, RefusalCode, Status, Target};
use crate::connection::Role;
use crate::handle::Handle;
use crate::lookup::{Open, Record};
use crate::message::Messages;
use crate::stream::{Place, Places, TunnelStream};

/// Accepts streams from a tunnel.
///
/// Bytes move only while [`accept`](Self::accept) is awaited: call it in a loop, and serve the
/// streams in tasks of their own.
#[derive(Debug)]
pub struct ServerTunnel<M: Messages> {
    carrier: Carrier<M>,
    places: Arc<Places>,
    limits: Limits,
}

impl<M: Messages> ServerTunnel<M> {
    /// A tunnel over `messages`.
    pub fn new(messages: M, limits: Limits) -> Self {
        let carrier = Carrier::new(messages, Role::Server, limits);
        Self { carrier, places: Arc::default(), limits }
    }

    /// The next stream; `None` where the tunnel ended in order. Safe to cancel.
    ///
    /// # Errors
    ///
    /// The other end broke the protocol, or the bytes below failed; the tunnel is over.
    pub async fn accept(&mut self) -> io::Result<Option<Incoming>> {
        let arrived = poll_fn(|cx| self.carrier.poll(cx)).await;
        if !matches!(arrived, Ok(true)) {
            self.carrier.end(arrived.as_ref().err());
        }
        if !arrived? {
            return Ok(None);
        }
        let stream = self.carrier.tunnel.lock().accept();
        let place = self.places.take(self.limits.streams);
        Ok(stream.map(|stream| Incoming {
            inner: Handle::new(&self.carrier.tunnel, stream),
            place,
            limit: self.limits.streams,
        }))
    }

    /// Sends what streams have written and closes the tunnel. A stream that is still held is not
    /// told: drop them first.
    ///
    /// # Errors
    ///
    /// The bytes below failed.
    pub async fn close(mut self) -> io::Result<()> {
        let closed = poll_fn(|cx| self.carrier.poll_close(cx)).await;
        self.carrier.end(closed.as_ref().err());
        closed
    }
}

/// A stream whose open request has not been read yet.
#[derive(Debug)]
pub struct Incoming {
    inner: Handle,
    place: Option<Place>,
    limit: usize,
}

impl Incoming {
    /// Reads the open request. A stream too many, or one with a bad request, is refused here.
    ///
    /// The request may never come: give this a time-out.
    ///
    /// # Errors
    ///
    /// The refusal that was sent, or that the stream ended first.
    pub async fn request(mut self) -> io::Result<Request> {
        let open = match read_open(&mut self.inner).await {
            Ok(open) => open,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let refusal = Refusal::new(RefusalCode::BadRequest, &error.to_string());
                return Err(refused(self.inner, refusal).await);
            }
            Err(error) => return Err(error),
        };
        let Some(place) = self.place else {
            let text = format!("this tunnel has its {} streams already", self.limit);
            let refusal = Refusal::new(RefusalCode::LimitReached, &text);
            return Err(refused(self.inner, refusal).await);
        };
        Ok(Request { open, inner: self.inner, place })
    }

    /// Tells the client why not, without having read where to.
    pub async fn refuse(self, code: RefusalCode, reason: &str) {
        refused(self.inner, Refusal::new(code, reason)).await;
    }
}

async fn read_open(stream: &mut Handle) -> io::Result<Open> {
    let mut bytes = Vec::new();
    loop {
        match Open::decode(&bytes)? {
            Decoded::Done(open) => return Ok(open),
            Decoded::Needs(needs) => {
                let start = bytes.len();
                bytes.resize(start + needs, 0);
                stream.read_exact(&mut bytes[start..]).await?;
            }
        }
    }
}

/// Sends the refusal and ends the stream; the error is the refusal itself.
async fn refused(mut stream: Handle, refusal: Refusal) -> io::Error {
    let bytes = Status::Refused(refusal.clone()).encode();
    // Where the client is gone already, nobody is left to tell.
    if stream.write_all(&bytes).await.is_ok() {
        let _ = stream.close().await;
    }
    refusal.into()
}

/// A stream that waits for the bridge's answer.
#[derive(Debug)]
#[must_use = "a request that is dropped is reset without a reason"]
pub struct Request {
    open: Open,
    inner: Handle,
    place: Place,
}

impl Request {
    /// What the client asks for.
    pub fn open(&self) -> &Open {
        &self.open
    }

    /// Where the stream is to go, if it is to go anywhere.
    pub fn target(&self) -> Option<&Target> {
        match &self.open {
            Open::Connect(target) => Some(target),
            Open::LookUp(_) => None,
        }
    }

    /// Answers a look-up, and ends the stream.
    ///
    /// # Errors
    ///
    /// The stream or the tunnel has ended.
    pub async fn answer(mut self, records: &[Record]) -> io::Result<()> {
        let mut bytes = Status::Accepted { dialled: Duration::ZERO }.encode();
        bytes.extend(Record::encode_all(records));
        self.inner.write_all(&bytes).await?;
        self.inner.close().await
    }

    /// Tells the client that its target is connected, and how long it was `dialled`: a client that
    /// has sent its first bytes already takes that off the time of their answer.
    ///
    /// # Errors
    ///
    /// The stream or the tunnel has ended.
    pub async fn accept(mut self, dialled: Duration) -> io::Result<TunnelStream> {
        self.inner.write_all(&Status::Accepted { dialled }.encode()).await?;
        Ok(TunnelStream::accepted(self.inner, self.place))
    }

    /// Tells the client why not, and ends the stream.
    pub async fn refuse(self, code: RefusalCode, reason: &str) {
        refused(self.inner, Refusal::new(code, reason)).await;
    }
}
