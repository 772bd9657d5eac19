//! The demo's endpoints: the members of the deployment, and what may be done to them.
//!
//! An action must come from a page of the bridge's own (or an allowed origin) and say that it is
//! JSON: no form and no link of another page can send that.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};

use crate::deployment::{ActionError, Deployment, MemberAction, MemberStatus};
use crate::guard::text;
use crate::http::check_origin;
use crate::server::Shared;

/// The endpoints of demo mode.
pub(crate) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/demo/members", get(members))
        .route("/demo/members/{id}/{action}", post(act))
}

async fn members(State(shared): State<Arc<Shared>>) -> Result<Json<Vec<MemberStatus>>, Response> {
    let members = blocking(&shared, |deployment| deployment.members()).await?;
    Ok(Json(members))
}

async fn act(
    State(shared): State<Arc<Shared>>,
    Path((id, action)): Path<(usize, MemberAction)>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    check_origin(&shared, &headers).map_err(IntoResponse::into_response)?;
    let kind = text(&headers, header::CONTENT_TYPE).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        let reason = "an action must be sent with content-type: application/json";
        return Err(error(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    match blocking(&shared, move |deployment| deployment.act(id, action)).await? {
        Ok(()) => Ok(Json(serde_json::json!({ "ok": true })).into_response()),
        Err(ActionError::NoSuchMember) => {
            Err(error(StatusCode::NOT_FOUND, &format!("there is no member {id}")))
        }
        Err(ActionError::Refused(reason)) => Err(error(StatusCode::CONFLICT, &reason)),
    }
}

async fn blocking<T: Send + 'static>(
    shared: &Shared,
    f: impl FnOnce(&dyn Deployment) -> T + Send + 'static,
) -> Result<T, Response> {
    let gone = |reason: &str| error(StatusCode::INTERNAL_SERVER_ERROR, reason);
    let deployment = shared.demo.clone().ok_or_else(|| gone("not in demo mode"))?;
    tokio::task::spawn_blocking(move || f(&*deployment))
        .await
        .map_err(|failed| gone(&format!("the action failed: {failed}")))
}

fn error(status: StatusCode, reason: &str) -> Response {
    (status, Json(serde_json::json!({ "error": reason }))).into_response()
}
