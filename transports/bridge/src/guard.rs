//! Whether a request is let in, and by which door: host, origin, token, deployment, address.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::auth::{Denied, Granted, token_of};
use crate::limits::{Place, counted_as};
use crate::metrics::{Cause, Held};
use crate::served::Served;
use crate::server::Shared;

/// The connection that a request came by; every request has it.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) places: Arc<Places>,
}

/// What a connection holds of the limits, for as long as it or its WebSocket lives.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) _connection: OwnedSemaphorePermit,
    /// None for a trusted proxy, whose clients are counted instead.
    pub(crate) _address: Option<Place<IpAddr>>,
    pub(crate) _held: Held,
}

/// A request that was let in.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) served: Arc<Served>,
    pub(crate) client: IpAddr,
    pub(crate) granted: Granted,
}

/// What one WebSocket holds of the limits.
#[derive(Debug)]
pub(crate) struct SocketPlaces {
    _peer: Arc<Places>,
    _client: Option<Place<IpAddr>>,
    _socket: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

/// Lets a request for `deployment` in, or says why not.
#[expect(clippy::result_large_err, reason = "the answer, made once a request")]
pub(crate) fn admit(
    shared: &Shared,
    peer: &Peer,
    headers: &HeaderMap,
    deployment: &str,
) -> Result<Admitted, Response> {
    let client = client_of(shared, peer, headers);
    let (host, origin) = (text(headers, header::HOST), text(headers, header::ORIGIN));
    let required = shared.access.is_required();
    // A token that is still to be checked: without a good one, the next step refuses.
    shared.origins.check(host, origin, required).map_err(|refused| {
        shared.refuse(Cause::Origin, client, &refused);
        plain(StatusCode::FORBIDDEN, &refused)
    })?;
    let granted = token_of(headers)
        .and_then(|token| shared.access.check(token, deployment))
        .map_err(|denied| {
            shared.refuse(Cause::Token, client, &denied);
            unauthorised(denied)
        })?;
    let served = shared.deployments.get(deployment).cloned().ok_or_else(|| {
        shared.refuse(Cause::Deployment, client, &"no deployment of that name");
        plain(StatusCode::NOT_FOUND, &"There is no deployment of that name here.")
    })?;
    Ok(Admitted { served, client, granted })
}

/// The places that a WebSocket needs, all or none.
#[expect(clippy::result_large_err, reason = "the answer, made once a request")]
pub(crate) fn socket_places(
    shared: &Shared,
    peer: &Peer,
    admitted: &Admitted,
) -> Result<SocketPlaces, Response> {
    let client = admitted.client;
    let refuse = |cause: Cause, status: StatusCode, text: String| {
        shared.refuse(cause, client, &text);
        let mut response = plain(status, &text);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        response
    };
    let busy = StatusCode::SERVICE_UNAVAILABLE;
    if shared.draining.is_cancelled() {
        return Err(refuse(Cause::Draining, busy, "This bridge is shutting down.".to_owned()));
    }
    if !shared.rates.take(client, Instant::now()) {
        let text = "Too many are opened from this address in too short a time.".to_owned();
        return Err(refuse(Cause::Rate, StatusCode::TOO_MANY_REQUESTS, text));
    }
    let limits = &shared.limits;
    let is_proxied = counted_as(client) != counted_as(peer.address.ip());
    let place = match is_proxied.then(|| shared.addresses.place(counted_as(client))) {
        Some(None) => {
            let count = limits.connections_per_address;
            let text = format!("This address has its {count} connections already.");
            return Err(refuse(Cause::Address, StatusCode::TOO_MANY_REQUESTS, text));
        }
        place => place.flatten(),
    };
    let socket = shared.sockets.clone().try_acquire_owned().map_err(|_| {
        let text = format!("This bridge has its {} sockets already.", limits.sockets);
        refuse(Cause::Sockets, busy, text)
    })?;
    let bytes = shared.budget.reserve(limits.socket_bytes()).ok_or_else(|| {
        let text = "This bridge holds as much as it may already.".to_owned();
        refuse(Cause::Buffers, busy, text)
    })?;
    let peer = peer.places.clone();
    Ok(SocketPlaces { _peer: peer, _client: place, _socket: socket, _bytes: bytes })
}

/// Who asks: the peer, or whom the nearest proxy that is trusted names.
fn client_of(shared: &Shared, peer: &Peer, headers: &HeaderMap) -> IpAddr {
    let mut client = peer.address.ip().to_canonical();
    let named: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    // From the right: each proxy appends whom it heard, and what stands left of a stranger is his.
    for named in named.iter().rev() {
        if !shared.is_trusted_proxy(client) {
            break;
        }
        match named.trim().parse::<IpAddr>() {
            Ok(address) => client = address.to_canonical(),
            Err(_) => break,
        }
    }
    client
}

/// A header's text, where it has one.
pub(crate) fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// An answer of one line.
pub(crate) fn plain(status: StatusCode, text: &dyn std::fmt::Display) -> Response {
    (status, format!("{text}\n")).into_response()
}

fn unauthorised(denied: Denied) -> Response {
    let status = match denied {
        Denied::Deployment => StatusCode::FORBIDDEN,
        _ => StatusCode::UNAUTHORIZED,
    };
    let mut response = plain(status, &denied);
    if status == StatusCode::UNAUTHORIZED {
        let value = HeaderValue::from_static("Bearer realm=\"portolan\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}
