//! The engine over HTTP: `POST /v1/counts` and `GET /v1/counts/positions?collector=ID`.

use std::collections::BTreeMap;
use std::sync::Once;
use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode};
use slo::counts::{CountsReply, CountsRequest};

use super::{BoxFuture, CountsService, SendError};

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An engine at a URL.
#[derive(Debug)]
pub struct Http {
    client: reqwest::Client,
    url: String,
    token: Option<String>,
}

impl Http {
    /// A client for the engine at `url`.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(url: String, token: Option<String>) -> Result<Self, reqwest::Error> {
        static PROVIDER: Once = Once::new();
        // Whoever was first has installed the same one.
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let client = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        Ok(Self { client, url, token })
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Response, SendError> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await.map_err(|error| retry(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let after = retry_after(&answer);
        let said = answer.text().await.unwrap_or_default();
        let reason = format!(
            "the engine at {} answers {status}: {}",
            self.url,
            said.chars().take(300).collect::<String>()
        );
        Err(classify(status, after, reason))
    }
}

impl CountsService for Http {
    fn post(&self, request: CountsRequest) -> BoxFuture<'_, Result<CountsReply, SendError>> {
        Box::pin(async move {
            let answer = self.ask(self.client.post(format!("{}/v1/counts", self.url)).json(&request)).await?;
            answer.json().await.map_err(|error| retry(&error))
        })
    }

    fn positions(&self, collector: &str) -> BoxFuture<'_, Result<BTreeMap<String, u64>, SendError>> {
        // A collector's id is hex: nothing in it needs escaping.
        let url = format!("{}/v1/counts/positions?collector={collector}", self.url);
        Box::pin(
            async move { self.ask(self.client.get(url)).await?.json().await.map_err(|error| retry(&error)) },
        )
    }
}

fn classify(status: StatusCode, after: Option<Duration>, reason: String) -> SendError {
    match status {
        // Only what says that this very request is wrong; a wrong token or path is repaired while we wait.
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            SendError::Reject { reason }
        }
        _ => SendError::Retry { after, reason },
    }
}

fn retry_after(answer: &Response) -> Option<Duration> {
    let seconds = answer.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn retry(error: &reqwest::Error) -> SendError {
    // reqwest's own text names the URL but not the cause.
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        reason = format!("{reason}: {cause}");
        source = cause.source();
    }
    SendError::Retry { after: None, reason }
}
