//! Plain mode: a WebSocket whose binary messages carry the bytes of one TCP connection, for clients
//! that do not speak the tunnel's protocol.
//!
//! Who may, where to and how much is as in a tunnel. What is wrong is said before the upgrade, by
//! the answer's status: 403 where the target may not be dialled, 502 where it cannot be, 504 where
//! it does not answer.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use portolan_mux::{CloseReason, RefusalCode, Target};
use tokio::net::TcpStream;

use crate::auth::DEFAULT_DEPLOYMENT;
use crate::awake::Awake;
use crate::dial::dial;
use crate::flood::Flood;
use crate::guard::{Peer, admit, plain, socket_places};
use crate::messages::Messages;
use crate::relay::{Halves, relay};
use crate::server::Shared;
use crate::socket::Socket;
use crate::tunnel::{expired, sized};
use crate::upgrade::Upgrade;

/// The subprotocol that a client offers, where it offers any: what websockify calls it.
pub(crate) const PLAIN_PROTOCOL: &str = "binary";

/// `GET /tcp/HOST:PORT` and `/tcp/HOST:PORT/NAME`.
pub(crate) async fn upgrade(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    Path(path): Path<Vec<(String, String)>>,
    headers: HeaderMap,
    upgrade: Result<Upgrade, Response>,
) -> Result<Response, Response> {
    let part = |wanted: &str| {
        path.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
    };
    let name = part("deployment").unwrap_or(DEFAULT_DEPLOYMENT);
    let admitted = admit(&shared, &peer, &headers, name)?;
    let mut upgrade = upgrade?;
    if !upgrade.select(PLAIN_PROTOCOL) && upgrade.offers_protocols() {
        let text = format!("This endpoint speaks the subprotocol {PLAIN_PROTOCOL}, or none.");
        return Err(plain(StatusCode::BAD_REQUEST, &text));
    }
    let target = target(part("target").unwrap_or_default())
        .ok_or_else(|| plain(StatusCode::BAD_REQUEST, &"The target is written HOST:PORT."))?;
    let places = socket_places(&shared, &peer, &admitted)?;
    let member = dial(&shared, &admitted.served, &target).await.map_err(|undialled| {
        shared.refuse(undialled.cause, admitted.client, &undialled.detail);
        plain(status(undialled.code), &undialled.text)
    })?;
    Ok(upgrade.accept(sized(shared.limits.frame), move |socket| {
        let tasks = shared.tasks.clone();
        tasks.track_future(async move {
            let _places = places;
            let _held = (shared.metrics.plain.hold(), shared.metrics.streams.hold());
            let client = admitted.client;
            tracing::info!(%client, deployment = admitted.served.name, %target, "socket opened");
            serve(socket, member, &shared, admitted.granted.lifetime).await;
            tracing::info!(%client, deployment = admitted.served.name, %target, "socket closed");
        })
    }))
}

async fn serve(socket: Socket, member: TcpStream, shared: &Shared, lifetime: Option<Duration>) {
    let flood = Flood::new(shared.limits.pings_per_second, false);
    let messages = Messages::new(socket, shared.limits.idle, flood);
    let halves = (messages.clone(), messages.clone());
    let relay = pin!(relay(halves, member, Halves::Together, shared));
    let ended = tokio::select! {
        () = Awake::new(relay, || messages.moved()) => messages.ended(),
        () = expired(lifetime) => CloseReason::Expired,
    };
    messages
        .close(if shared.draining.is_cancelled() { CloseReason::Draining } else { ended })
        .await;
}

/// The target of a path's segment.
fn target(text: &str) -> Option<Target> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Target::new(host, port.parse().ok()?).ok()
}

fn status(code: RefusalCode) -> StatusCode {
    match code {
        RefusalCode::NotAMember | RefusalCode::AddressForbidden => StatusCode::FORBIDDEN,
        RefusalCode::DialTimedOut => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    }
}
