//! One WebSocket: its streams, each to one member.

use std::future::ready;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::time::Duration;

use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use portolan::transport::{DnsRecord, RecordKind};
use portolan_mux::{
    CloseReason, Incoming, Open, Question, Record, RecordType, RefusalCode, Request, SUBPROTOCOL,
    ServerTunnel, Target,
};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::auth::DEFAULT_DEPLOYMENT;
use crate::awake::Awake;
use crate::dial::dial;
use crate::eager::Eager;
use crate::flood::Flood;
use crate::guard::{Peer, admit, plain, socket_places};
use crate::limits::STREAM_BYTES;
use crate::messages::Messages;
use crate::metrics::Cause;
use crate::relay::{Halves, relay};
use crate::served::Served;
use crate::server::Shared;
use crate::upgrade::Upgrade;

/// `GET /tunnel` and `/tunnel/NAME`.
pub(crate) async fn upgrade(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    deployment: Option<Path<String>>,
    headers: HeaderMap,
    upgrade: Result<Upgrade, Response>,
) -> Result<Response, Response> {
    let name = deployment.as_ref().map_or(DEFAULT_DEPLOYMENT, |Path(name)| name);
    let admitted = admit(&shared, &peer, &headers, name)?;
    let mut upgrade = upgrade?;
    if !upgrade.select(SUBPROTOCOL) {
        let text = format!("This tunnel speaks the WebSocket subprotocol {SUBPROTOCOL} only.");
        return Err(plain(StatusCode::BAD_REQUEST, &text));
    }
    let places = socket_places(&shared, &peer, &admitted)?;
    let lifetime = admitted.granted.lifetime;
    let session = Arc::new(Session {
        shared: shared.clone(),
        served: admitted.served,
        client: admitted.client,
    });
    Ok(upgrade.accept(sized(shared.limits.frame), move |socket| {
        let tasks = shared.tasks.clone();
        // Tracked here: the task of the upgrade is not.
        tasks.track_future(async move {
            let _places = places;
            let _held = shared.metrics.tunnels.hold();
            let flood = Flood::new(shared.limits.pings_per_second, true);
            let messages = Messages::new(socket, shared.limits.idle, flood);
            let (rest, counted) = (messages.clone(), messages.clone());
            let serve = session.serve(messages, lifetime);
            // Frames that come together are sent together, and none waits for one that may come.
            let eager = Eager::new(serve, move |cx: &mut Context<'_>| rest.send(cx));
            Awake::new(eager, move || counted.moved()).await;
        })
    }))
}

/// Bounds what a WebSocket may hold of what it reads, and of its answers to pings.
pub(crate) fn sized(frame: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(frame))
        .max_frame_size(Some(frame))
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(ANSWER_BYTES)
}

/// Answers to pings that a WebSocket holds while its other end takes nothing; the latest takes the
/// place of those that find no room.
pub(crate) const ANSWER_BYTES: usize = 64 * 1024;

/// What a WebSocket asks for at once. It fills its buffer with zeros each time, whatever comes, and
/// keeps it: a larger one is slower for small messages, and costs idle tunnels. Where much comes it
/// is read ahead, [`AHEAD_BYTES`](crate::limits::AHEAD_BYTES) at a time.
const READ_BYTES: usize = 8 * 1024;

/// Ends when `lifetime` is over; never without one.
pub(crate) async fn expired(lifetime: Option<Duration>) {
    match lifetime {
        Some(lifetime) => tokio::time::sleep(lifetime).await,
        None => std::future::pending().await,
    }
}

/// One tunnel.
struct Session {
    shared: Arc<Shared>,
    served: Arc<Served>,
    client: IpAddr,
}

impl Session {
    /// Streams are carried by the task that carries the tunnel: each frame passes both, and waking
    /// another task, on another thread as often as not, costs more than the frame.
    async fn serve(self: Arc<Self>, messages: Messages, lifetime: Option<Duration>) {
        let (shared, client) = (&self.shared, self.client);
        let deployment = &*self.served.name;
        tracing::info!(%client, deployment, "tunnel opened");
        let mut tunnel = ServerTunnel::new(messages.clone(), shared.limits.of_tunnel());
        let mut streams = FuturesUnordered::new();
        let expired = expired(lifetime);
        tokio::pin!(expired);
        let reason = loop {
            let accepted = tokio::select! {
                accepted = tunnel.accept() => accepted,
                Some(()) = streams.next() => continue,
                () = &mut expired => break Some(CloseReason::Expired),
                () = shared.draining.cancelled(), if streams.is_empty() => {
                    break Some(CloseReason::Draining);
                }
            };
            match accepted {
                Ok(Some(incoming)) => {
                    let stream = self.clone().attend(incoming);
                    streams.push(shared.tasks.track_future(stream));
                }
                Ok(None) => break None,
                Err(error) => {
                    tracing::debug!(%client, deployment, %error, "tunnel broke");
                    break close_reason(&error);
                }
            }
        };
        if reason == Some(CloseReason::Draining) {
            // What streams have written is sent first, as far as the other end takes it.
            let _ = timeout(LAST_BYTES, tunnel.close()).await;
        } else {
            drop(tunnel);
        }
        // What has arrived still goes to the members.
        drop(tokio::spawn(streams.for_each(|()| ready(()))));
        if let Some(reason) = reason {
            messages.close(reason).await;
        }
        let reason = reason.map_or("the client left", CloseReason::text);
        tracing::info!(%client, deployment, reason, "tunnel closed");
    }

    /// One stream, if there is room for it.
    async fn attend(self: Arc<Self>, incoming: Incoming) {
        match self.room() {
            Ok(bytes) => self.stream(incoming, bytes).await,
            Err((cause, code, text)) => {
                self.shared.refuse(cause, self.client, &text);
                incoming.refuse(code, text).await;
            }
        }
    }

    /// Whether there is room for a stream now.
    fn room(&self) -> Result<OwnedSemaphorePermit, (Cause, RefusalCode, &'static str)> {
        let shared = &self.shared;
        if shared.draining.is_cancelled() {
            return Err((Cause::Draining, RefusalCode::Draining, CloseReason::Draining.text()));
        }
        if !shared.rates.take(self.client, Instant::now()) {
            let text = "too many streams are opened in too short a time";
            return Err((Cause::Rate, RefusalCode::LimitReached, text));
        }
        shared.budget.reserve(STREAM_BYTES).ok_or((
            Cause::Buffers,
            RefusalCode::LimitReached,
            "this bridge holds as much as it may already",
        ))
    }

    /// One stream, from its open request to its end.
    async fn stream(&self, incoming: Incoming, bytes: OwnedSemaphorePermit) {
        let shared = &self.shared;
        let request = match timeout(shared.limits.handshake, incoming.request()).await {
            Ok(Ok(request)) => request,
            Ok(Err(error)) => {
                let cause = match error.kind() {
                    io::ErrorKind::QuotaExceeded => Cause::Streams,
                    _ => Cause::Request,
                };
                return shared.refuse(cause, self.client, &error);
            }
            Err(_) => return shared.refuse(Cause::Request, self.client, &"no open request came"),
        };
        match request.open().clone() {
            Open::Connect(target) => self.connect(request, &target).await,
            Open::LookUp(question) => self.look_up(request, &question).await,
        }
        drop(bytes);
    }

    async fn connect(&self, request: Request, target: &Target) {
        let shared = &self.shared;
        let begun = Instant::now();
        let member = match dial(shared, &self.served, target).await {
            Ok(member) => member,
            Err(undialled) => {
                shared.refuse(undialled.cause, self.client, &undialled.detail);
                return request.refuse(undialled.code, &undialled.text).await;
            }
        };
        let Ok(stream) = request.accept(begun.elapsed()).await else { return };
        let _held = shared.metrics.streams.hold();
        tracing::debug!(client = %self.client, %target, "stream opened");
        relay(stream.halves(), member, Halves::Apart, shared).await;
    }

    async fn look_up(&self, request: Request, question: &Question) {
        let (shared, name) = (&self.shared, question.name());
        if !self.served.may_look_up(question) {
            let text = format!("{name} is not a name that may be looked up here");
            shared.refuse(Cause::LookUp, self.client, &text);
            return request.refuse(RefusalCode::LookUpForbidden, &text).await;
        }
        shared.metrics.look_ups.fetch_add(1, Ordering::Relaxed);
        let kind = match question.record_type() {
            RecordType::Srv => RecordKind::Srv,
            RecordType::Txt => RecordKind::Txt,
        };
        let found = match timeout(shared.limits.dial, shared.records.resolve(name, kind)).await {
            Ok(found) => found,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        match found {
            Ok(records) => {
                let records: Vec<Record> = records.into_iter().map(record).collect();
                drop(request.answer(&records).await);
            }
            Err(error) => {
                let code = match error.kind() {
                    io::ErrorKind::TimedOut => RefusalCode::DialTimedOut,
                    _ => RefusalCode::DialFailed,
                };
                request.refuse(code, &format!("{name}: {error}")).await;
            }
        }
    }
}

/// What closing a tunnel in order may take.
const LAST_BYTES: Duration = Duration::from_millis(500);

fn record(record: DnsRecord) -> Record {
    match record {
        DnsRecord::Srv { host, port, ttl } => Record::Srv { host, port, ttl },
        DnsRecord::Txt(text) => Record::Txt(text),
    }
}

/// What to tell the other end about `error`; nothing where it is gone.
pub(crate) fn close_reason(error: &io::Error) -> Option<CloseReason> {
    match error.kind() {
        io::ErrorKind::TimedOut => Some(CloseReason::Idle),
        io::ErrorKind::InvalidData => Some(CloseReason::Protocol),
        io::ErrorKind::QuotaExceeded => Some(CloseReason::Flood),
        io::ErrorKind::FileTooLarge => Some(CloseReason::TooLarge),
        _ => None,
    }
}
