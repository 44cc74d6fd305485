//! A receiver of webhooks in this process, which keeps what came and answers as it is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::ensure;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How an inbox answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// By this status, having kept the request.
    Status(u16),
    /// Never, having kept the request.
    Hang,
}

/// A request that came.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// Its path.
    pub path: String,
    /// Its `Idempotency-Key`.
    pub key: Option<String>,
    /// Its body; null if it was no JSON.
    pub body: Value,
    /// The status that it got; nothing where it was left hanging.
    pub answered: Option<u16>,
}

#[derive(Debug)]
struct Content {
    answer: Answer,
    received: Vec<Received>,
}

/// A webhook receiver on loopback.
#[derive(Debug)]
pub struct Inbox {
    url: String,
    content: Arc<Mutex<Content>>,
    serving: JoinHandle<()>,
}

impl Inbox {
    /// Starts one that answers 200.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let content = Arc::new(Mutex::new(Content { answer: Answer::Status(200), received: Vec::new() }));
        let router = Router::new().fallback(receive).with_state(Arc::clone(&content));
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, content, serving })
    }

    /// Where it listens, any path below it included: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers so from now on.
    pub fn answer(&self, answer: Answer) {
        self.content.lock().unwrap_or_else(PoisonError::into_inner).answer = answer;
    }

    /// All that came, in this order.
    pub fn received(&self) -> Vec<Received> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner).received.clone()
    }

    /// The bodies that came with each `Idempotency-Key` and were answered by 2xx.
    pub fn taken(&self) -> BTreeMap<String, Vec<Value>> {
        let mut taken: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let took = |received: &Received| received.answered.is_some_and(|status| (200..300).contains(&status));
        for received in self.received().into_iter().filter(took) {
            taken.entry(received.key.unwrap_or_default()).or_default().push(received.body);
        }
        taken
    }

    /// What was told, by key, once there are `at_least` so many notices on `channel` in what an engine says at
    /// `/v1/incidents` and each of them came; nothing before.
    ///
    /// # Errors
    /// One came again with other content, or not with its own key.
    pub fn told(
        &self,
        incidents: &Value,
        channel: &str,
        at_least: usize,
    ) -> anyhow::Result<Option<BTreeMap<String, Value>>> {
        let taken = self.taken();
        let notices = incidents.as_array().into_iter().flatten();
        let notices = notices.flat_map(|incident| incident["notified"].as_array().into_iter().flatten());
        let wanted: Vec<&str> = notices
            .filter(|notice| notice["channel"] == channel)
            .filter_map(|notice| notice["id"].as_str())
            .collect();
        if wanted.len() < at_least || !wanted.iter().all(|id| taken.contains_key(*id)) {
            return Ok(None);
        }
        let mut told = BTreeMap::new();
        for (key, bodies) in taken {
            let first = bodies.first().cloned().unwrap_or_default();
            ensure!(bodies.iter().all(|body| *body == first), "{key} came with other content: {bodies:?}");
            ensure!(first["id"] == *key, "a key is not that of its content: {key}: {first}");
            told.insert(key, first);
        }
        Ok(Some(told))
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn receive(
    State(content): State<Arc<Mutex<Content>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let answered = {
        let mut content = content.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = match content.answer {
            Answer::Status(status) => Some(status),
            Answer::Hang => None,
        };
        let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
        let body = serde_json::from_slice(&body).unwrap_or_default();
        content.received.push(Received { path: uri.path().to_owned(), key, body, answered });
        answered
    };
    match answered {
        Some(status) => StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        None => std::future::pending().await,
    }
}
