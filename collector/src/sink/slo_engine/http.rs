//! The engine over HTTP: `POST /v1/counts` and `GET /v1/counts/positions`.

use std::sync::Once;
use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode};
use slo::counts::{CONTRACT, CONTRACT_HEADER, CountsReply, CountsRequest, Held};

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
        let said: String = said.chars().take(300).collect();
        let next = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "; nothing is lost, but nothing is counted: the sink's token must be one of the engine's with the scope counts"
            }
            _ => "",
        };
        let reason = format!("the engine at {} answers {status}: {said}{next}", self.url);
        Err(classify(status, after, reason))
    }
}

impl CountsService for Http {
    fn post(&self, request: CountsRequest) -> BoxFuture<'_, Result<CountsReply, SendError>> {
        Box::pin(async move {
            let mut post = self.client.post(format!("{}/v1/counts", self.url)).json(&request);
            post = post.header(CONTRACT_HEADER, CONTRACT);
            if let Some(parent) = crate::traces::traceparent(&request) {
                post = post.header("traceparent", parent);
            }
            let answer = self.ask(post).await?;
            answer.json().await.map_err(|error| retry(&error))
        })
    }

    fn positions(&self) -> BoxFuture<'_, Result<Held, SendError>> {
        let url = format!("{}/v1/counts/positions", self.url);
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
        StatusCode::CONFLICT => SendError::AskAgain { reason },
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that gives one answer and returns what it was asked.
    async fn ask(answer: &'static str) -> (String, Result<Held, SendError>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let engine =
            Http::new(format!("http://{}", listener.local_addr().unwrap()), Some("secret".into())).unwrap();
        let server = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let count = connection.read(&mut request).await.unwrap();
            connection.write_all(answer.as_bytes()).await.unwrap();
            connection.shutdown().await.unwrap();
            String::from_utf8_lossy(&request[..count]).into_owned()
        };
        tokio::join!(server, engine.positions())
    }

    #[tokio::test]
    async fn positions_are_asked_for_with_the_token() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 38\r\n\r\n{\"store\": \"x\", \"positions\": {\"s\": 42}}";
        let (request, positions) = ask(answer).await;
        assert!(request.starts_with("GET /v1/counts/positions HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: Bearer secret"), "{request}");
        let want = Held { store: "x".to_owned(), positions: BTreeMap::from([("s".to_owned(), 42)]) };
        assert_eq!(positions.unwrap(), want);
    }

    #[tokio::test]
    async fn what_can_pass_is_tried_again_and_what_cannot_is_refused() {
        let busy = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nbusy";
        let Err(SendError::Retry { after, reason }) = ask(busy).await.1 else { panic!("not a retry") };
        assert_eq!(after, Some(Duration::from_secs(7)));
        assert!(reason.ends_with("answers 503 Service Unavailable: busy"), "{reason}");
        let bad = "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\nno";
        assert!(matches!(ask(bad).await.1, Err(SendError::Reject { .. })));
        let other = "HTTP/1.1 409 Conflict\r\ncontent-length: 2\r\n\r\nno";
        assert!(matches!(ask(other).await.1, Err(SendError::AskAgain { .. })));
        let wrong_token = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
        let other_scope = "HTTP/1.1 403 Forbidden\r\ncontent-length: 20\r\n\r\nnot the scope counts";
        for answer in [wrong_token, other_scope] {
            let Err(SendError::Retry { reason, .. }) = ask(answer).await.1 else { panic!("not a retry") };
            assert!(reason.contains("the sink's token must be one of the engine's"), "{reason}");
        }
        assert!(matches!(ask("garbage").await.1, Err(SendError::Retry { .. })));
    }
}
