//! The HTTP API and the page. Handlers translate; every figure comes from the engine.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use maud::Markup;
use serde::{Deserialize, Serialize};
use slo::counts::{CountsReply, CountsRequest};
use utoipa::{OpenApi, ToSchema};

use crate::engine::{Engine, EngineError};
use crate::overview::{Detail, IncidentView, Overview};
use crate::page;

/// Largest body of `POST /v1/counts`.
const MAX_BODY_BYTES: usize = 64 << 20;

/// What the handlers share.
#[derive(Clone)]
pub struct Api {
    /// The engine.
    pub engine: Arc<Engine>,
    /// Bearer token that writers must show; nothing where the listener is private (`up`).
    pub token: Option<Arc<str>>,
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

/// Which collector's positions are asked for.
#[derive(Debug, Deserialize)]
struct CollectorQuery {
    collector: String,
}

/// The contract, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Headroom SLO engine",
        description = "Error budgets, burn rates and incidents of every service."
    ),
    paths(overview, slos, slo, incidents, acknowledge, resolve, counts, positions)
)]
struct Contract;

/// Routes of the API and the page; metrics and health are the telemetry crate's.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/", get(show_page))
        .route("/v1/overview", get(overview))
        .route("/v1/slos", get(slos))
        .route("/v1/slos/{id}", get(slo))
        .route("/v1/incidents", get(incidents))
        .route("/v1/incidents/{id}/acknowledge", post(acknowledge))
        .route("/v1/incidents/{id}/resolve", post(resolve))
        .route("/v1/counts", post(counts))
        .route("/v1/counts/positions", get(positions))
        .route("/openapi.json", get(|| async { Json(Contract::openapi()) }))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
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

/// Incidents, newest first, with whom they were told to.
#[utoipa::path(get, path = "/v1/incidents", responses((status = 200, body = Vec<IncidentView>)))]
async fn incidents(State(api): State<Api>) -> Result<Json<Vec<IncidentView>>, Refusal> {
    Ok(Json(api.engine.incidents().await?))
}

/// Acknowledges an incident: nobody else is paged for it. The bearer token of the counts is asked for.
#[utoipa::path(post, path = "/v1/incidents/{id}/acknowledge", params(("id" = String, Path)), request_body = Actor,
    responses((status = 204), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn acknowledge(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Json(actor): Json<Actor>,
) -> Result<StatusCode, Refusal> {
    api.authorise(&headers)?;
    api.engine.acknowledge(&id, &actor.by, now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Resolves an incident by hand; it opens again with the next evidence.
#[utoipa::path(post, path = "/v1/incidents/{id}/resolve", params(("id" = String, Path)), request_body = Actor,
    responses((status = 204), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn resolve(
    State(api): State<Api>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Json(actor): Json<Actor>,
) -> Result<StatusCode, Refusal> {
    api.authorise(&headers)?;
    api.engine.resolve(&id, &actor.by, now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes count rows; the answer follows the commit, so a row that was answered for is never lost, and a row that is
/// sent again is never counted twice.
#[utoipa::path(post, path = "/v1/counts", request_body(content = Object, description = "`slo::counts::CountsRequest`"),
    responses((status = 200, description = "committed", body = Object), (status = 401, body = Problem), (status = 400, body = Problem)))]
async fn counts(
    State(api): State<Api>,
    headers: HeaderMap,
    Json(request): Json<CountsRequest>,
) -> Result<Json<CountsReply>, Refusal> {
    api.authorise(&headers)?;
    Ok(Json(api.engine.ingest(request).await?))
}

/// For each stream of a collector, the offset below which everything is counted.
#[utoipa::path(get, path = "/v1/counts/positions", params(("collector" = String, Query)),
    responses((status = 200, body = std::collections::BTreeMap<String, u64>), (status = 401, body = Problem)))]
async fn positions(
    State(api): State<Api>,
    headers: HeaderMap,
    Query(query): Query<CollectorQuery>,
) -> Result<Response, Refusal> {
    api.authorise(&headers)?;
    Ok(Json(api.engine.positions(&query.collector).await?).into_response())
}

#[expect(clippy::disallowed_methods, reason = "a person's click happens now")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

impl Api {
    fn authorise(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(token) = &self.token else { return Ok(()) };
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if shown.and_then(|value| value.strip_prefix("Bearer ")).is_some_and(|shown| same(shown, token)) {
            return Ok(());
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
            EngineError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        if status.is_server_error() {
            tracing::error!(%error, "request failed");
        }
        Self { status, error: error.to_string() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(Problem { error: self.error })).into_response()
    }
}
