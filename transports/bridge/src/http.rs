//! The bridge's endpoints, and what holds for all of them.
//!
//! | endpoint | what |
//! |---|---|
//! | `GET /tunnel`, `/tunnel/NAME` | the WebSocket of many streams, subprotocol `portolan.v1` |
//! | `GET /tcp/HOST:PORT`, `/tcp/HOST:PORT/NAME` | a WebSocket that carries one TCP connection |
//! | `GET /config.json`, `/config/NAME.json` | what a page needs to know to connect |
//! | `GET /demo/members`, `POST /demo/members/{id}/{action}` | demo mode only |
//! | `GET /healthz` | whether it serves |
//! | `GET /readyz` | whether each deployment has answered, and no shutdown is under way |
//! | `GET /metrics` | what it counts, to loopback or on a listener of its own |
//! | everything else | the files of the dashboard |
//!
//! NAME is a deployment's; without it, `default` is meant.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse as _, Json, Response};
use axum::routing::get;
use tower_http::services::ServeDir;

use crate::auth::{DEFAULT_DEPLOYMENT, token_of};
use crate::guard::{Peer, plain, text};
use crate::metrics::{self, Cause};
use crate::server::Shared;
use crate::{demo, plain as plain_mode, public_uri, tunnel};

/// All endpoints.
pub(crate) fn router(shared: Arc<Shared>, dashboard: Option<PathBuf>) -> Router {
    let mut router = Router::new()
        .route("/tunnel", get(tunnel::upgrade))
        .route("/tunnel/{deployment}", get(tunnel::upgrade))
        .route("/tcp/{target}", get(plain_mode::upgrade))
        .route("/tcp/{target}/{deployment}", get(plain_mode::upgrade))
        .route("/config.json", get(config))
        .route("/config/{file}", get(config))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(guarded_metrics));
    if shared.demo.is_some() {
        router = router.merge(demo::router());
    }
    let router = match dashboard {
        Some(folder) => router.fallback_service(ServeDir::new(folder)),
        None => router.fallback(get(no_dashboard)),
    };
    let hosts = middleware::from_fn_with_state(shared.clone(), known_host);
    router.layer(hosts).layer(middleware::map_response(secured)).with_state(shared)
}

/// What an operator's listener serves.
pub(crate) fn metrics_router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/metrics", get(|State(shared): State<Arc<Shared>>| async move { page(&shared) }))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(shared)
}

/// Refuses what a page of another origin asks for.
pub(crate) fn check_origin(
    shared: &Shared,
    headers: &HeaderMap,
) -> Result<(), (StatusCode, String)> {
    let (host, origin) = (text(headers, header::HOST), text(headers, header::ORIGIN));
    let checked = shared.origins.check(host, origin, false);
    checked.map_err(|refused| (StatusCode::FORBIDDEN, format!("{refused}\n")))
}

/// What a page needs to know to connect. Where tokens are needed, here too.
async fn config(
    State(shared): State<Arc<Shared>>,
    file: Option<Path<String>>,
    headers: HeaderMap,
) -> Response {
    let deployment = match &file {
        Some(Path(file)) => file.strip_suffix(".json").unwrap_or_default(),
        None => DEFAULT_DEPLOYMENT,
    };
    let granted = token_of(&headers).and_then(|token| shared.access.check(token, deployment));
    if let Err(denied) = granted {
        return plain(StatusCode::UNAUTHORIZED, &denied);
    }
    let Some(served) = shared.deployments.get(deployment) else {
        return plain(StatusCode::NOT_FOUND, &"There is no deployment of that name here.");
    };
    let members: Vec<_> =
        served.members.addresses().iter().map(std::string::ToString::to_string).collect();
    let tunnel = match deployment {
        DEFAULT_DEPLOYMENT => "/tunnel".to_owned(),
        name => format!("/tunnel/{name}"),
    };
    let config = serde_json::json!({
        "uri": public_uri(&served.uri, &members),
        "tunnel": tunnel,
        "demo": shared.demo.is_some(),
        "kind": shared.demo.as_ref().map(|deployment| deployment.kind()),
    });
    Json(config).into_response()
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    if shared.leaving.is_cancelled() {
        return plain(StatusCode::SERVICE_UNAVAILABLE, &"shutting down");
    }
    let waiting = shared.deployments.values().filter(|served| !served.members.is_ready()).count();
    match waiting {
        0 => plain(StatusCode::OK, &"ready"),
        // Names are for those who may see them: /metrics has them.
        count => {
            let text = format!("{count} of {} have not answered", shared.deployments.len());
            plain(StatusCode::SERVICE_UNAVAILABLE, &text)
        }
    }
}

/// `/metrics` beside everything else: for programs on this machine, as no proxy's client is.
async fn guarded_metrics(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let is_local = peer.address.ip().to_canonical().is_loopback()
        && !headers.contains_key("x-forwarded-for")
        && !headers.contains_key(header::FORWARDED)
        && !headers.contains_key(header::ORIGIN);
    if shared.metrics_apart || !is_local {
        return StatusCode::NOT_FOUND.into_response();
    }
    page(&shared)
}

fn page(shared: &Shared) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, metrics::render(shared)).into_response()
}

async fn known_host(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match shared.origins.check_host(text(request.headers(), header::HOST)) {
        Ok(()) => next.run(request).await,
        Err(refused) => {
            if let Some(peer) = request.extensions().get::<Peer>() {
                shared.refuse(Cause::Host, peer.address.ip(), &refused);
            }
            plain(StatusCode::FORBIDDEN, &refused)
        }
    }
}

/// What browsers are told about every answer but that to an upgrade, which is no page.
async fn secured(mut response: Response) -> Response {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return response;
    }
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
