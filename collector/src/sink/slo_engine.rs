//! The `slo_engine` sink: count rows for the engine, over HTTP or to one in the same process.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use settings::Table;
use slo::counts::{CountsReply, CountsRequest, DEFAULT_EDGES_US, Held};

use super::{Batching, SendError, Sink};
use crate::archived::Archived;
use crate::source::chunk::{Chunk, Positions};
use crate::traces;
use crate::transform::sli::fold::fold;

mod http;

pub use http::Http;

/// How long an answer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A future that can be sent between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who takes counts: an engine.
pub trait CountsService: Send + Sync {
    /// Takes counts; what it answers is committed. [`SendError::AskAgain`] where its state is not the one that the request
    /// names.
    fn post(&self, request: CountsRequest) -> BoxFuture<'_, Result<CountsReply, SendError>>;

    /// Which state it has, and for each stream: everything below this offset is counted, whoever sent it. So a collector
    /// that lost its state, and with it its name, goes on where it was.
    fn positions(&self) -> BoxFuture<'_, Result<Held, SendError>>;
}

/// Settings of the `slo_engine` sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SloEngineConfig {
    /// Where the engine is.
    pub endpoint: Endpoint,
    /// When counts are sent.
    pub batching: Batching,
}

/// Where the engine is.
#[derive(Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// In this process: given to `App::start`.
    InProcess,
    /// At a URL.
    Http {
        /// Its base, without a slash at the end.
        url: String,
        /// Bearer token.
        token: Option<String>,
    },
}

/// Sends counts.
pub struct SloEngineSink {
    service: Arc<dyn CountsService>,
    collector: String,
    epoch: String,
    node: Option<String>,
    archived: Archived,
    /// The engine's state that positions are of; nothing before it has said.
    store: Option<String>,
    edges_us: Vec<u64>,
    version: u32,
}

impl SloEngineConfig {
    /// At most every 5 s.
    pub const BATCHING: Batching =
        Batching { max_events: 20_000, max_bytes: 64 << 20, timeout: Duration::from_secs(5) };

    pub(super) fn prove(table: &mut Table<'_>) -> Self {
        let url = table.required_string("endpoint");
        let token = table.secret("token");
        let endpoint = match url.as_str() {
            "in_process" => Endpoint::InProcess,
            _ => {
                if !url.is_empty() && !url.starts_with("http://") && !url.starts_with("https://") {
                    table.problem("endpoint", "an http:// or https:// URL is expected, or \"in_process\"");
                }
                if url.contains('@') {
                    table.problem("endpoint", "credentials do not belong into a URL; write them in token");
                }
                Endpoint::Http { url: url.trim_end_matches('/').to_owned(), token }
            }
        };
        Self { endpoint, batching: Batching::prove(table, Self::BATCHING) }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InProcess => f.write_str("InProcess"),
            Self::Http { url, .. } => f.debug_struct("Http").field("url", url).finish_non_exhaustive(),
        }
    }
}

impl SloEngineSink {
    /// Sends to `service` as this collector and its epoch, from this Kubernetes node if it is on one, with how far its
    /// archive is.
    pub fn new(
        service: Arc<dyn CountsService>,
        (collector, epoch): (String, String),
        node: Option<String>,
        archived: Archived,
    ) -> Self {
        let edges_us = DEFAULT_EDGES_US.to_vec();
        Self { service, collector, epoch, node, store: None, archived, edges_us, version: 1 }
    }
}

impl Sink for SloEngineSink {
    type Request = CountsRequest;

    const HEARTBEAT: bool = true;

    fn encode(&mut self, chunk: &Chunk, watermark_ms: Option<i64>) -> CountsRequest {
        let folded = fold(&chunk.batch, &self.edges_us, self.version);
        CountsRequest {
            collector: self.collector.clone(),
            epoch: self.epoch.clone(),
            store: self.store.clone(),
            node: self.node.clone(),
            watermark_ms,
            archived_to_ms: self.archived.lowest_ms(),
            edges_us: self.edges_us.clone(),
            streams: folded.streams,
            rows: folded.rows,
        }
    }

    async fn send(&mut self, request: &mut CountsRequest) -> Result<(), SendError> {
        let begun = telemetry::traces::now();
        let reply = self.service.post(request.clone()).await;
        traces::posted(request, begun, reply.as_ref().err().map(ToString::to_string));
        let reply = reply?;
        for stream in &request.streams {
            let counted = reply.positions.get(&stream.stream).copied().unwrap_or(0);
            if counted < stream.range.end {
                tracing::warn!(
                    stream = stream.stream,
                    counted,
                    sent = stream.range.end,
                    "the engine took counts but says that it misses some before them"
                );
            }
        }
        if !reply.edges_us.is_empty() {
            self.edges_us = reply.edges_us;
        }
        if reply.version > 0 {
            self.version = reply.version;
        }
        Ok(())
    }

    async fn recover(&mut self) -> Result<Option<Positions>, SendError> {
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.service.positions()).await;
        let held = answer.map_err(|_| SendError::Retry {
            after: None,
            reason: format!("the engine does not say what it has counted within {ANSWER_WITHIN:?}"),
        })??;
        self.store = Some(held.store);
        Ok(Some(held.positions.into_iter().map(|(id, end)| (id.into(), end)).collect()))
    }
}
