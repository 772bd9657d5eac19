//! The bridge's endpoints, and what holds for all of them.
//!
//! | endpoint | what |
//! |---|---|
//! | `GET /tunnel` | the WebSocket, subprotocol `portolan.v1` |
//! | `GET /config.json` | what a page needs to know to connect |
//! | `GET /demo/members`, `POST /demo/members/{id}/{action}` | demo mode only |
//! | `GET /healthz` | whether it serves |
//! | everything else | the files of the dashboard |

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse as _, Json, Response};
use axum::routing::get;
use tower_http::services::ServeDir;

use crate::origin::Refused;
use crate::server::Shared;
use crate::{demo, public_uri, tunnel};

/// All endpoints.
pub(crate) fn router(shared: Arc<Shared>, dashboard: Option<PathBuf>) -> Router {
    let mut router = Router::new()
        .route("/tunnel", get(tunnel::upgrade))
        .route("/config.json", get(config))
        .route("/healthz", get(|| async { "ok\n" }));
    if shared.deployment.is_some() {
        router = router.merge(demo::router());
    }
    let router = match dashboard {
        Some(folder) => router.fallback_service(ServeDir::new(folder)),
        None => router.fallback(get(no_dashboard)),
    };
    let hosts = middleware::from_fn_with_state(shared.clone(), known_host);
    router.layer(hosts).layer(middleware::map_response(secured)).with_state(shared)
}

/// A header's text, where it has one.
pub(crate) fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Refuses what a page of another origin asks for.
pub(crate) fn check_origin(
    shared: &Shared,
    headers: &HeaderMap,
) -> Result<(), (StatusCode, String)> {
    let (host, origin) = (text(headers, header::HOST), text(headers, header::ORIGIN));
    shared.origins.check(host, origin).map_err(|refused| forbidden(&refused))
}

fn forbidden(refused: &Refused) -> (StatusCode, String) {
    (StatusCode::FORBIDDEN, format!("{refused}\n"))
}

/// What a page needs to know to connect.
async fn config(State(shared): State<Arc<Shared>>) -> Response {
    let members: Vec<_> =
        shared.members.addresses().iter().map(std::string::ToString::to_string).collect();
    let deployment = shared.deployment.as_ref();
    let config = serde_json::json!({
        "uri": public_uri(&shared.uri, &members),
        "tunnel": "/tunnel",
        "demo": deployment.is_some(),
        "kind": deployment.map(|deployment| deployment.kind()),
    });
    Json(config).into_response()
}

async fn known_host(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match shared.origins.check_host(text(request.headers(), header::HOST)) {
        Ok(()) => next.run(request).await,
        Err(refused) => forbidden(&refused).into_response(),
    }
}

/// What browsers are told about every answer.
async fn secured(mut response: Response) -> Response {
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

const SECURITY_HEADERS: [(HeaderName, &str); 5] = [
    // Own code and WebAssembly only; a page may connect to other bridges.
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; \
         style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self' ws: wss:; \
         object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // A rebuilt dashboard is seen at once; unchanged files still cost no transfer.
    (header::CACHE_CONTROL, "no-cache"),
];

async fn no_dashboard() -> (StatusCode, Html<&'static str>) {
    (StatusCode::NOT_FOUND, Html(NO_DASHBOARD))
}

const NO_DASHBOARD: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>Portolan bridge</title>
<h1>This is a Portolan bridge</h1>
<p>It serves no pages, because it was started without <code>--dashboard</code>.
<p>Build the dashboard with <code>cargo xtask web</code>, then start the bridge with
<code>--dashboard web/dashboard/dist</code>; or let <code>cargo xtask demo</code> do both.
";
