//! One WebSocket: its streams, each to one member.

use std::io;
use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use portolan::engine::address::ServerAddress;
use portolan_mux::{
    CloseReason, Incoming, MAX_MESSAGE_BYTES, MessageIo, RefusalCode, Request, SUBPROTOCOL,
    ServerTunnel, TunnelStream,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::compat::FuturesAsyncReadCompatExt as _;

use crate::http::check_origin;
use crate::messages::Messages;
use crate::server::Shared;

/// `GET /tunnel`.
pub(crate) async fn upgrade(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Response> {
    check_origin(&shared, &headers).map_err(IntoResponse::into_response)?;
    let upgrade = upgrade.map_err(IntoResponse::into_response)?;
    let upgrade = upgrade.protocols([SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        let text = format!("This tunnel speaks the WebSocket subprotocol {SUBPROTOCOL} only.\n");
        return Err((StatusCode::BAD_REQUEST, text).into_response());
    }
    let place = shared.sockets.clone().try_acquire_owned().map_err(|_| {
        let text = format!("This bridge has its {} sockets already.\n", shared.limits.sockets);
        (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
    })?;
    let upgrade = upgrade
        .max_message_size(RECEIVED_MESSAGE_BYTES)
        .max_frame_size(RECEIVED_MESSAGE_BYTES)
        .max_write_buffer_size(16 * MAX_MESSAGE_BYTES)
        .write_buffer_size(0);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let tunnel = serve(socket, shared.clone());
        // Tracked as a task of its own: the upgrade's is not.
        let _ = shared.tasks.spawn(tunnel).await;
        drop(place);
    }))
}

/// The largest message taken: another client's frames may be larger than ours.
const RECEIVED_MESSAGE_BYTES: usize = 1024 * 1024 + 64;
/// The copy's buffer, each way and stream: one yamux frame.
const COPY_BYTES: usize = 16 * 1024;

async fn serve(socket: WebSocket, shared: Arc<Shared>) {
    let messages = Messages::new(socket, shared.limits.idle);
    let limits =
        portolan_mux::Limits { streams: shared.limits.streams, ..portolan_mux::Limits::default() };
    let mut tunnel = ServerTunnel::new(MessageIo::new(messages.clone()), limits);
    let reason = loop {
        let accepted = tokio::select! {
            accepted = tunnel.accept() => accepted,
            () = shared.draining.cancelled() => break Some(CloseReason::Draining),
        };
        match accepted {
            Ok(Some(incoming)) => drop(shared.tasks.spawn(stream(incoming, shared.clone()))),
            Ok(None) => break None,
            Err(error) => break close_reason(&error),
        }
    };
    if reason == Some(CloseReason::Draining) {
        // What streams have written is sent first, as far as the other end takes it.
        let _ = timeout(shared.limits.drain / 2, tunnel.close()).await;
    } else {
        drop(tunnel);
    }
    if let Some(reason) = reason {
        messages.close(reason).await;
    }
}

/// What to tell the other end about `error`; nothing where it is gone.
fn close_reason(error: &io::Error) -> Option<CloseReason> {
    match error.kind() {
        io::ErrorKind::TimedOut => Some(CloseReason::Idle),
        io::ErrorKind::InvalidData => Some(CloseReason::Protocol),
        _ => None,
    }
}

/// One stream, from its open request to its end.
async fn stream(incoming: Incoming, shared: Arc<Shared>) {
    // A stream that never says where to, or is refused by the tunnel, ends here.
    let Ok(Ok(request)) = timeout(shared.limits.handshake, incoming.request()).await else {
        return;
    };
    let Some((mut member, stream)) = connect(request, &shared).await else {
        return;
    };
    let mut stream = stream.compat();
    let copied =
        tokio::io::copy_bidirectional_with_sizes(&mut member, &mut stream, COPY_BYTES, COPY_BYTES);
    // Where one side breaks, dropping both resets the other: there is nobody else to tell.
    tokio::select! {
        _ = copied => {}
        () = shared.draining.cancelled() => {}
    }
}

/// Dials the member that `request` asks for, or refuses.
async fn connect(request: Request, shared: &Shared) -> Option<(TcpStream, TunnelStream)> {
    let target = request.target().clone();
    let address = ServerAddress::tcp(target.host(), target.port());
    if shared.draining.is_cancelled() {
        let text = CloseReason::Draining.text();
        request.refuse(RefusalCode::Draining, text).await;
        return None;
    }
    if let Err(reason) = shared.members.check(&address) {
        request.refuse(RefusalCode::NotAMember, &reason).await;
        return None;
    }
    let dial = TcpStream::connect((target.host(), target.port()));
    let dialled = match timeout(shared.limits.dial, dial).await {
        Ok(dialled) => dialled.and_then(|stream| stream.set_nodelay(true).map(|()| stream)),
        Err(_) => {
            let text = format!("{target} did not answer within {:?}", shared.limits.dial);
            request.refuse(RefusalCode::DialTimedOut, &text).await;
            return None;
        }
    };
    match dialled {
        Ok(member) => Some((member, request.accept().await.ok()?)),
        Err(error) => {
            request.refuse(RefusalCode::DialFailed, &format!("{target}: {error}")).await;
            None
        }
    }
}
