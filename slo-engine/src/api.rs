//! The HTTP API and the page: routes, and who may ask for them. Handlers translate; every figure comes from the engine.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use tokio::runtime::Handle;
use utoipa::OpenApi;

use crate::config::{Limits, Scope};
use crate::engine::Engine;
use crate::kibana::Target;
use crate::refused::RefusedWriters;

mod access;
mod answer;
mod body;
mod download;
mod metrics;
mod pages;
mod query;
mod read;
mod refusal;
mod turns;
mod write;

pub use access::Access;
pub(crate) use metrics::Full;
pub use metrics::HttpMetrics;
pub use refusal::Problem;
pub use write::Actor;

use answer::{Answer, Wants};
use refusal::{Refusal, in_json};
use turns::Turns;

/// Downloads of all dashboards at once: each may last as long as its client takes.
const DOWNLOADS: usize = 2;

/// Who asks: an extension of every request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What the handlers share.
#[derive(Clone)]
pub struct Api {
    engine: Arc<Engine>,
    dashboards: Arc<Target>,
    access: Arc<Access>,
    refused: RefusedWriters,
    metrics: HttpMetrics,
    reads: Turns,
    downloads: Turns,
    held: Arc<body::Held>,
    body_within: Duration,
}

/// The contract, for `/openapi.json`.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Headroom SLO engine",
        description = "Error budgets, burn rates and incidents of every service."
    ),
    paths(
        read::overview,
        read::slos,
        read::slo,
        download::dashboards,
        read::incidents,
        write::acknowledge,
        write::resolve,
        write::counts,
        write::positions
    )
)]
struct Contract;

/// Routes of the API and the page; metrics and health are the telemetry crate's.
pub fn router(api: Api) -> Router {
    // Of each method by itself, so that one that is not there is 405 to everybody.
    let guarded = |scope: Scope| {
        let layer = from_fn_with_state((api.clone(), scope), guard);
        move |method: MethodRouter<Api>| method.route_layer(layer.clone())
    };
    let (reads, acts, counts) = (guarded(Scope::Read), guarded(Scope::Ack), guarded(Scope::Counts));
    Router::new()
        .route("/", reads(get(pages::list)))
        .route("/services/{service}", reads(get(pages::raw_service)))
        .route("/services/{service}/{name}", reads(get(pages::service)))
        .route("/v1/overview", reads(get(read::overview)))
        .route("/v1/slos", reads(get(read::slos)))
        .route("/v1/slos/{id}", reads(get(read::slo)))
        .route("/v1/dashboards", reads(get(download::dashboards)))
        .route("/v1/incidents", reads(get(read::incidents)))
        .route("/v1/incidents/{id}/acknowledge", acts(post(write::acknowledge)))
        .route("/v1/incidents/{id}/resolve", acts(post(write::resolve)))
        .route("/v1/counts", counts(post(write::counts)))
        .route("/v1/counts/positions", counts(get(write::positions)))
        .route("/style.css", get(pages::style))
        .route("/openapi.json", get(contract))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(map_response(in_json))
        .with_state(api)
}

impl Api {
    /// An API of an engine.
    pub fn new(
        (engine, dashboards): (Arc<Engine>, Arc<Target>),
        (access, refused): (Arc<Access>, RefusedWriters),
        limits: &Limits,
        metrics: HttpMetrics,
    ) -> Self {
        let turns = |count| Turns::new(count, limits.turn, metrics.busy.clone());
        let (reads, downloads) = (turns(limits.reads), turns(DOWNLOADS));
        let body_within = limits.body;
        let held = Arc::default();
        Self { engine, dashboards, access, refused, metrics, reads, downloads, held, body_within }
    }

    /// What the page says of writers that were refused of late.
    pub fn refused_writers(&self, now: jiff::Timestamp) -> Vec<String> {
        self.refused.warnings(now)
    }

    /// Works out what is heavy when its turn has come, beside the runtime: whatever is asked, commits and pages go on.
    async fn heavy<T, F>(&self, work: impl FnOnce(Arc<Engine>) -> F + Send + 'static) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Refusal>>,
    {
        let turn = self.reads.turn().await?;
        let engine = self.engine.clone();
        let work = move || {
            let _turn = turn;
            Handle::current().block_on(work(engine))
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(error) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        }
    }
}

/// Lets those through that may ask, before anything of a body is read.
async fn guard(
    State((api, scope)): State<(Api, Scope)>,
    peer: Option<Extension<Peer>>,
    request: Request,
    next: Next,
) -> Response {
    let peer = peer.map(|Extension(Peer(peer))| peer);
    let writer = peer.filter(|_| scope == Scope::Counts).map(|peer| peer.ip().to_canonical());
    let Err(denied) = api.access.check(scope, (request.method(), request.headers()), peer) else {
        writer.iter().for_each(|writer| api.refused.accept(*writer));
        return next.run(request).await;
    };
    api.metrics.unauthorized(scope);
    writer.iter().for_each(|writer| api.refused.refuse(*writer, denied.status.as_u16(), now()));
    let is_unknown = denied.status == StatusCode::UNAUTHORIZED;
    let mut response = Refusal::from(denied).into_response();
    if is_unknown {
        // A browser asks for the token then; what writes is asked for it by nobody.
        let how = if scope == Scope::Read { "Basic realm=\"headroom\"" } else { "Bearer" };
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(how));
    }
    response
}

async fn contract(wants: Wants) -> Answer {
    Answer::json(&Contract::openapi(), &wants)
}

#[expect(clippy::disallowed_methods, reason = "a person's click, and a refusal, happen now")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

#[cfg(test)]
mod tests;
