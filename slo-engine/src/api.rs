//! The HTTP API and the page. Handlers translate; every figure comes from the engine.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use maud::Markup;
use serde::{Deserialize, Serialize};
use slo::counts::{CountsReply, CountsRequest, Held};
use utoipa::{OpenApi, ToSchema};

use crate::engine::{Engine, EngineError};
use crate::kibana::Target;
use crate::overview::{Detail, IncidentView, Overview};
use crate::page;

/// Largest body of `POST /v1/counts`.
const MAX_BODY_BYTES: usize = 64 << 20;

/// When to ask again what cannot be answered now.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("2");

/// Longest text of axum's own refusals.
const MAX_TEXT_BYTES: usize = 64 << 10;

/// What the handlers share.
#[derive(Clone)]
pub struct Api {
    /// The engine.
    pub engine: Arc<Engine>,
    /// Bearer token that writers must show; nothing where the listener is private (`up`).
    pub token: Option<Arc<str>>,
    /// Which dashboards are wanted.
    pub dashboards: Arc<Target>,
}

/// An error as the API tells it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// What was attempted, why it failed, what to do next.
    pub error: String,
}

/// Who takes an incident.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Actor {
    /// Name that is shown beside the acknowledgement.
    pub by: String,
}

/// The contract, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Headroom SLO engine",
        description = "Error budgets, burn rates and incidents of every service."
    ),
    paths(overview, slos, slo, dashboards, incidents, acknowledge, resolve, counts, positions)
)]
struct Contract;

/// Routes of the API and the page; metrics and health are the telemetry crate's.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/", get(show_page))
        .route("/v1/overview", get(overview))
        .route("/v1/slos", get(slos))
        .route("/v1/slos/{id}", get(slo))
        .route("/v1/dashboards", get(dashboards))
        .route("/v1/incidents", get(incidents))
        .route("/v1/incidents/{id}/acknowledge", post(acknowledge))
        .route("/v1/incidents/{id}/resolve", post(resolve))
        .route("/v1/counts", post(counts))
        .route("/v1/counts/positions", get(positions))
        .route("/openapi.json", get(|| async { Json(Contract::openapi()) }))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(map_response(in_json))
        .with_state(api)
}

async fn show_page(State(api): State<Api>) -> Result<Markup, Refusal> {
    Ok(page::render(&api.engine.page_model().await?))
}

/// Every service with its budgets, every alert, and the books of the input.
#[utoipa::path(get, path = "/v1/overview", responses((status = 200, body = Overview)))]
async fn overview(State(api): State<Api>) -> Result<Json<Overview>, Refusal> {
    Ok(Json(api.engine.overview().await?))
}

/// Every SLO with its charts.
#[utoipa::path(get, path = "/v1/slos", responses((status = 200, body = Vec<Detail>)))]
async fn slos(State(api): State<Api>) -> Result<Json<Vec<Detail>>, Refusal> {
    Ok(Json(api.engine.details().await?))
}

/// One SLO.
#[utoipa::path(get, path = "/v1/slos/{id}", params(("id" = String, Path, description = "`namespace.name.sli`")),
    responses((status = 200, body = Detail), (status = 404, body = Problem)))]
async fn slo(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Detail>, Refusal> {
    let found = api.engine.details().await?.into_iter().find(|detail| detail.id == id);
    found
        .map(Json)
        .ok_or_else(|| Refusal::not_found(format!("there is no SLO {id:?}: GET /v1/slos lists them")))
}

/// Kibana's dashboards as saved objects, one a line: for whoever imports them by hand.
#[utoipa::path(get, path = "/v1/dashboards",
    responses((status = 200, body = String, content_type = "application/x-ndjson")))]
async fn dashboards(State(api): State<Api>) -> Result<Response, Refusal> {
    let ndjson = api.dashboards.ndjson(&api.engine).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"headroom.ndjson\""),
    ];
    Ok((headers, ndjson).into_response())
}

/// Incidents, newest first, with whom they were told to.
#[utoipa::path(get, path = "/v1/incidents", responses((status = 200, body = Vec<IncidentView>)))]
async fn incidents(State(api): State<Api>) -> Result<Json<Vec<IncidentView>>, Refusal> {
    Ok(Json(api.engine.incidents().await?))
}

/// Acknowledges an incident: nobody else is paged for it. The bearer token of the counts is asked for.
#[utoipa::path(post, path = "/v1/incidents/{id}/acknowledge", params(("id" = String, Path)), request_body = Actor,
    responses((status = 204), (status = 400, body = Problem), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn acknowledge(
    State(api): State<Api>,
    _: Writer,
    Path(id): Path<String>,
    Json(actor): Json<Actor>,
) -> Result<StatusCode, Refusal> {
    api.engine.acknowledge(&id, &actor.by, now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Resolves an incident by hand; it opens again with the next evidence.
#[utoipa::path(post, path = "/v1/incidents/{id}/resolve", params(("id" = String, Path)), request_body = Actor,
    responses((status = 204), (status = 400, body = Problem), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn resolve(
    State(api): State<Api>,
    _: Writer,
    Path(id): Path<String>,
    Json(actor): Json<Actor>,
) -> Result<StatusCode, Refusal> {
    api.engine.resolve(&id, &actor.by, now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes count rows; the answer follows the commit, so a row that was answered for is never lost, and a row that is
/// sent again is never counted twice.
#[utoipa::path(post, path = "/v1/counts", request_body(content = Object, description = "`slo::counts::CountsRequest`"),
    responses((status = 200, description = "committed", body = Object), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 409, body = Problem, description = "the engine holds something else than `store` and the ranges say: ask for the positions"), (status = 413, body = Problem), (status = 415, body = Problem)))]
async fn counts(
    State(api): State<Api>,
    _: Writer,
    Json(request): Json<CountsRequest>,
) -> Result<Json<CountsReply>, Refusal> {
    Ok(Json(api.engine.ingest(request).await?))
}

/// Which state the engine has, and for each stream the offset below which everything is counted.
#[utoipa::path(get, path = "/v1/counts/positions",
    responses((status = 200, body = Object, description = "`slo::counts::Held`"), (status = 401, body = Problem)))]
async fn positions(State(api): State<Api>, _: Writer) -> Result<Json<Held>, Refusal> {
    Ok(Json(api.engine.positions().await?))
}

#[expect(clippy::disallowed_methods, reason = "a person's click happens now")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Whoever asks has shown the token, and announces no more than is taken. Both are looked at before the body is read.
struct Writer;

impl FromRequestParts<Api> for Writer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Refusal> {
        let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        if length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length > MAX_BODY_BYTES)
        {
            return Err(Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, error: too_large() });
        }
        let Some(token) = &api.token else { return Ok(Self) };
        let shown = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| value.split_once(' '));
        if shown.is_some_and(|(scheme, shown)| scheme.eq_ignore_ascii_case("bearer") && same(shown, token)) {
            return Ok(Self);
        }
        Err(Refusal {
            status: StatusCode::UNAUTHORIZED,
            error: "this needs `Authorization: Bearer <counts.token of the engine's configuration>`"
                .to_owned(),
        })
    }
}

/// Compares without telling by its duration where the difference is.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// What axum refuses by itself, it says in plain text or not at all.
async fn in_json(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if !(status.is_client_error() || status.is_server_error())
        || kind.is_some_and(|kind| kind.contains("json"))
    {
        return response;
    }
    let error = match status {
        StatusCode::NOT_FOUND => "there is no such route: /openapi.json lists them".to_owned(),
        StatusCode::METHOD_NOT_ALLOWED => {
            "this route has no such method: /openapi.json lists what there is".to_owned()
        }
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => {
            let text = to_bytes(response.into_body(), MAX_TEXT_BYTES).await.unwrap_or_default();
            String::from_utf8_lossy(&text).into_owned()
        }
    };
    // A body that is JSON but no request is as bad as one that is no JSON.
    let status = if status == StatusCode::UNPROCESSABLE_ENTITY { StatusCode::BAD_REQUEST } else { status };
    Refusal { status, error }.into_response()
}

fn too_large() -> String {
    format!("the body is larger than {} MiB: send fewer rows at once", MAX_BODY_BYTES >> 20)
}

/// A refused request.
struct Refusal {
    status: StatusCode,
    error: String,
}

impl Refusal {
    fn not_found(error: String) -> Self {
        Self { status: StatusCode::NOT_FOUND, error }
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        let status = match &error {
            EngineError::BadRows(_) => StatusCode::BAD_REQUEST,
            EngineError::NoIncident(_) => StatusCode::NOT_FOUND,
            EngineError::HeldOtherwise(_) => StatusCode::CONFLICT,
            EngineError::Filling
            | EngineError::Stopped
            | EngineError::NotCommitted(_)
            | EngineError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        if matches!(error, EngineError::Store(_)) {
            tracing::error!(%error, "request failed");
        }
        Self { status, error: error.to_string() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(Problem { error: self.error })).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}

#[cfg(test)]
mod tests;
