//! What others ask the program: `/metrics`, `/healthz`, `/readyz`.

use std::collections::BTreeMap;
use std::fmt::Write;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::core::Collector;
use prometheus::{Registry, TextEncoder};

use crate::readiness::Readiness;

/// Adds a metric to the registry and gives it back: `register(&registry, IntCounter::new(name, help))?`.
///
/// # Errors
/// When the metric's name is invalid or taken.
pub fn register<M>(registry: &Registry, metric: prometheus::Result<M>) -> prometheus::Result<M>
where
    M: Collector + Clone + 'static,
{
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// Serves `/metrics` (Prometheus text format), `/healthz` (200 as long as the process answers and no
/// loop of it hangs) and `/readyz` (503 with one line for each condition that does not hold).
pub fn router(registry: Registry, readiness: Readiness) -> Router {
    crate::traces::register(&registry);
    Router::new()
        .route("/metrics", get(metrics).with_state(registry))
        .route("/readyz", get(readyz).with_state(readiness.clone()))
        .route("/healthz", get(healthz).with_state(readiness))
}

async fn metrics(State(registry): State<Registry>) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, format!("encode metrics: {e}\n")).into_response(),
    }
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    answer(readiness.reasons())
}

async fn healthz(State(readiness): State<Readiness>) -> Response {
    let hanging = readiness.hanging().into_iter();
    answer(
        hanging
            .map(|(name, since)| (name, format!("has not come round for {} s", since.as_secs())))
            .collect(),
    )
}

fn answer(reasons: BTreeMap<String, String>) -> Response {
    if reasons.is_empty() {
        return "ok\n".into_response();
    }
    let mut text = String::new();
    for (name, reason) in reasons {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}: {reason}");
    }
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}
