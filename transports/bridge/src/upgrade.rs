//! From a request to a WebSocket.

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::guard::plain;
use crate::socket::Socket;

/// A request that asks for a WebSocket (RFC 6455, section 4.2.1).
pub(crate) struct Upgrade {
    key: HeaderValue,
    connection: OnUpgrade,
    offered: Vec<HeaderValue>,
    selected: Option<HeaderValue>,
}

impl Upgrade {
    /// Speaks `protocol` where the client offers it; whether it does.
    pub(crate) fn select(&mut self, protocol: &'static str) -> bool {
        self.selected = self.offered.iter().find(|offered| *offered == protocol).cloned();
        self.selected.is_some()
    }

    /// Whether the client offers any subprotocol.
    pub(crate) fn offers_protocols(&self) -> bool {
        !self.offered.is_empty()
    }

    /// The answer, after which a task of its own hands the WebSocket to `serve`.
    pub(crate) fn accept<F>(
        self,
        config: WebSocketConfig,
        serve: impl FnOnce(Socket) -> F + Send + 'static,
    ) -> Response
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let connection = self.connection;
        tokio::spawn(async move {
            // A client that has left meanwhile is nobody's loss.
            if let Ok(upgraded) = connection.await {
                serve(Socket::new(upgraded, config).await).await;
            }
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static(WEBSOCKET));
        let accept = derive_accept_key(self.key.as_bytes());
        if let Ok(accept) = HeaderValue::from_str(&accept) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(protocol) = self.selected {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        response
    }
}

impl<S: Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let headers = &parts.headers;
        let refused = |status, text: &str| plain(status, &text);
        if parts.method != Method::GET {
            return Err(refused(StatusCode::METHOD_NOT_ALLOWED, "A WebSocket begins with a GET."));
        }
        if !lists(headers, header::CONNECTION, "upgrade")
            || !lists(headers, header::UPGRADE, WEBSOCKET)
        {
            let text = "This is the address of a WebSocket: the request must ask for the upgrade.";
            return Err(refused(StatusCode::BAD_REQUEST, text));
        }
        if !lists(headers, header::SEC_WEBSOCKET_VERSION, "13") {
            let text = "The version of WebSockets here is 13 (sec-websocket-version).";
            return Err(refused(StatusCode::BAD_REQUEST, text));
        }
        let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY).cloned() else {
            return Err(refused(
                StatusCode::BAD_REQUEST,
                "The header sec-websocket-key is missing.",
            ));
        };
        let offered = headers
            .get_all(header::SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(|protocol| HeaderValue::from_bytes(protocol.trim_ascii()).ok())
            .collect();
        let Some(connection) = parts.extensions.remove::<OnUpgrade>() else {
            let text = "This connection cannot become a WebSocket: HTTP/1.1 is needed.";
            return Err(refused(StatusCode::UPGRADE_REQUIRED, text));
        };
        Ok(Self { key, connection, offered, selected: None })
    }
}

const WEBSOCKET: &str = "websocket";

/// Whether one of a header's elements is `wanted`, in any case.
fn lists(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|element| element.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
}
