//! Requests that are refused: each says what was attempted, why it failed, and what to do next.

use axum::Json;
use axum::body::to_bytes;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Denied;
use crate::engine::EngineError;

/// When to ask again what cannot be answered now.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("2");

/// Longest text of axum's own refusals.
const MAX_TEXT_BYTES: usize = 64 << 10;

/// An error as the API tells it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// What was attempted, why it failed, what to do next.
    pub error: String,
}

/// A refused request.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) error: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into() }
    }

    pub(super) fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    pub(super) fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    pub(super) fn busy(error: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        Self { status: denied.status, error: denied.error }
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

/// What axum refuses by itself, it says in plain text or not at all.
pub(super) async fn in_json(response: Response) -> Response {
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
        _ => {
            let text = to_bytes(response.into_body(), MAX_TEXT_BYTES).await.unwrap_or_default();
            String::from_utf8_lossy(&text).into_owned()
        }
    };
    Refusal { status, error }.into_response()
}
