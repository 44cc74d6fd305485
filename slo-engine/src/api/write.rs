//! Routes that change something: they wait for no reader.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use slo::counts::{CONTRACT, CONTRACT_HEADER, CountsRequest, ServiceRef};
use utoipa::ToSchema;

use super::answer::{Answer, Wants};
use super::refusal::{Problem, Refusal};
use super::{Api, body, now};

/// Most bytes of a name.
const NAME_BYTES: usize = 512;

/// Most bytes of a path.
const PATH_BYTES: usize = 4096;

/// Who takes an incident.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Actor {
    /// Name that is shown beside the acknowledgement.
    pub by: String,
}

/// Acknowledges an incident: nobody else is paged for it. Needs a token of the scope `ack`.
#[utoipa::path(post, path = "/v1/incidents/{id}/acknowledge", params(("id" = String, Path)), request_body = Actor,
    responses((status = 204), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem)))]
pub(super) async fn acknowledge(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let actor = actor(&api, request).await?;
    api.engine.acknowledge(&id, &actor.by, now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Resolves an incident by hand; it opens again with the next evidence. Needs a token of the scope `ack`.
#[utoipa::path(post, path = "/v1/incidents/{id}/resolve", params(("id" = String, Path)), request_body = Actor,
    responses((status = 204), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem)))]
pub(super) async fn resolve(
    State(api): State<Api>,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let actor = actor(&api, request).await?;
    api.engine.resolve(&id, &actor.by, now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn actor(api: &Api, request: Request) -> Result<Actor, Refusal> {
    let actor: Actor = body::json(request, body::SMALL, (api.held.clone(), api.body_within)).await?;
    short("by", &actor.by, NAME_BYTES)?;
    Ok(actor)
}

/// Takes count rows; the answer follows the commit, so a row that was answered for is never lost, and a row that is
/// sent again is never counted twice. `Content-Encoding` may be `gzip` or `zstd`. Needs a token of the scope `counts`.
#[utoipa::path(post, path = "/v1/counts", request_body(content = Object, description = "`slo::counts::CountsRequest`"),
    responses((status = 200, description = "committed", body = Object), (status = 400, body = Problem), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 408, body = Problem),
        (status = 409, body = Problem, description = "the engine holds something else than `store` and the ranges say: ask for the positions"),
        (status = 413, body = Problem), (status = 415, body = Problem),
        (status = 426, body = Problem, description = "a later version of the contract than this engine knows"), (status = 503, body = Problem)))]
pub(super) async fn counts(
    State(api): State<Api>,
    wants: Wants,
    request: Request,
) -> Result<Answer, Refusal> {
    check_contract(request.headers())?;
    let request: CountsRequest =
        body::json(request, body::COUNTS, (api.held.clone(), api.body_within)).await?;
    check_names(&request)?;
    Ok(Answer::committed(&api.engine.ingest_at(request, now()).await?, &wants))
}

/// Which state the engine has, and for each stream the offset below which everything is counted. Needs a token of the
/// scope `counts`.
#[utoipa::path(get, path = "/v1/counts/positions",
    responses((status = 200, body = Object, description = "`slo::counts::Held`"), (status = 401, body = Problem),
        (status = 403, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn positions(State(api): State<Api>, wants: Wants) -> Result<Answer, Refusal> {
    Ok(Answer::json(&api.engine.positions().await?, &wants))
}

/// A collector that speaks a later version than this engine knows holds its counts until the engine is newer.
fn check_contract(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(said) = headers.get(CONTRACT_HEADER) else { return Ok(()) };
    match said.to_str().ok().and_then(|version| version.parse::<u32>().ok()) {
        Some(version) if (1..=CONTRACT).contains(&version) => Ok(()),
        _ => Err(Refusal::new(
            StatusCode::UPGRADE_REQUIRED,
            format!(
                "the counts are of contract version {said:?}, this engine knows up to {CONTRACT}: bring the engine up to the \
                 collectors' version; until then they hold what they have"
            ),
        )),
    }
}

/// What is stored of a sender is of a size.
fn check_names(request: &CountsRequest) -> Result<(), Refusal> {
    short("collector", &request.collector, NAME_BYTES)?;
    short("epoch", &request.epoch, NAME_BYTES)?;
    short("node", request.node.as_deref().unwrap_or_default(), NAME_BYTES)?;
    for (at, report) in request.streams.iter().enumerate() {
        short_at("streams", at, "stream", &report.stream, NAME_BYTES)?;
        short_at("streams", at, "path", &report.path, PATH_BYTES)?;
    }
    for (at, row) in request.rows.iter().enumerate() {
        short_at("rows", at, "stream", &row.key.stream, NAME_BYTES)?;
        match &row.key.service {
            ServiceRef::Named { namespace, name } => {
                short_at("rows", at, "service.named.namespace", namespace, NAME_BYTES)?;
                short_at("rows", at, "service.named.name", name, NAME_BYTES)?;
            }
            ServiceRef::Upstream(raw) => short_at("rows", at, "service.upstream", raw, NAME_BYTES)?,
            ServiceRef::Unattributed => {}
        }
    }
    Ok(())
}

fn short_at(list: &str, at: usize, field: &str, text: &str, most: usize) -> Result<(), Refusal> {
    if text.len() <= most { Ok(()) } else { short(&format!("{list}[{at}].{field}"), text, most) }
}

fn short(field: &str, text: &str, most: usize) -> Result<(), Refusal> {
    if text.len() <= most {
        return Ok(());
    }
    Err(Refusal::bad(format!(
        "{field} is {} bytes long, nothing was done: at most {most} are taken",
        text.len()
    )))
}
