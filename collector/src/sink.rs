//! Sinks: each encodes and sends; one driver batches, retries, dead-letters and keeps the positions for all of them.

mod archive;
mod blackhole;
mod buffer;
mod console;
mod driver;
mod elasticsearch;
mod encoding;
mod file;
pub mod slo_engine;

use std::future::Future;
use std::time::Duration;

use settings::Table;
use thiserror::Error;

use crate::source::chunk::{Chunk, Positions};

pub use archive::{ArchiveConfig, ArchiveSink};
pub use blackhole::BlackholeSink;
pub use buffer::{Buffer, WhenFull};
pub use console::{ConsoleConfig, ConsoleSink};
pub(crate) use driver::{Context, Message, Rewind, drive};
pub use elasticsearch::{ElasticsearchConfig, ElasticsearchSink};
pub use encoding::Encoding;
pub use file::{FileSink, FileSinkConfig};
pub use slo_engine::{SloEngineConfig, SloEngineSink};

/// A sink as it is configured, proven.
#[derive(Clone, Debug)]
pub enum SinkConfig {
    /// Standard output.
    Console(ConsoleConfig),
    /// A file that is appended to.
    File(FileSinkConfig),
    /// Nowhere.
    Blackhole(Batching),
    /// The archive of segments, in a directory or a bucket.
    Archive(ArchiveConfig),
    /// Documents in Elasticsearch or OpenSearch.
    Elasticsearch(ElasticsearchConfig),
    /// Counts for the engine.
    SloEngine(SloEngineConfig),
}

/// When a batch is sent, under Vector's keys `batch.max_events`, `batch.max_bytes`, `batch.timeout_secs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// At so many events.
    pub max_events: usize,
    /// At so many bytes of messages.
    pub max_bytes: usize,
    /// After so long.
    pub timeout: Duration,
}

/// Why a request was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// The same request may go through later.
    #[error("{reason}")]
    Retry {
        /// How long the receiver wants to be left alone.
        after: Option<Duration>,
        /// What went wrong.
        reason: String,
    },
    /// The receiver holds something else than was thought: it is to be asked before anything more is sent.
    #[error("{reason}")]
    AskAgain {
        /// What it said.
        reason: String,
    },
    /// It will never be taken.
    #[error("{reason}")]
    Reject {
        /// Why.
        reason: String,
    },
    /// All of it is taken, except for some events that never will be.
    #[error("{} events are refused", .0.len())]
    RejectSome(Vec<Refusal>),
}

/// An event that will never be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its place among the events of the chunk that was encoded.
    pub event: usize,
    /// Why.
    pub reason: String,
}

/// Where batches go.
pub trait Sink: Send + 'static {
    /// What is sent, the same at every try.
    type Request: Send;

    /// Whether [`encode`](Self::encode) is also wanted when only the watermark moved.
    const HEARTBEAT: bool = false;

    /// Makes a request of a chunk. `watermark_ms`: everything that was written before it is in this chunk or an earlier
    /// one; nothing while the sources are catching up.
    fn encode(&mut self, chunk: &Chunk, watermark_ms: Option<i64>) -> Self::Request;

    /// Sends it; when this returns without an error, what it holds is safe.
    fn send(&mut self, request: &mut Self::Request) -> impl Future<Output = Result<(), SendError>> + Send;

    /// What the receiver itself says it holds. Nothing: the checkpoint file counts.
    ///
    /// # Errors
    /// It could say, but does not answer.
    fn recover(&mut self) -> impl Future<Output = Result<Option<Positions>, SendError>> + Send {
        std::future::ready(Ok(None))
    }
}

// === impl SinkConfig ===

impl SinkConfig {
    /// The values of `type`.
    pub const KINDS: &'static [&'static str] =
        &["archive", "aws_s3", "blackhole", "console", "elasticsearch", "file", "slo_engine"];

    /// Reads a sink's own keys; mistakes go to the table's problems.
    pub fn prove(kind: &str, table: &mut Table<'_>) -> Option<Self> {
        match kind {
            "archive" => Some(Self::Archive(ArchiveConfig::prove_directory(table))),
            "aws_s3" => Some(Self::Archive(ArchiveConfig::prove_s3(table))),
            "blackhole" => Some(Self::Blackhole(Batching::prove(table, Batching::PROMPT))),
            "console" => Some(Self::Console(ConsoleConfig::prove(table))),
            "elasticsearch" => Some(Self::Elasticsearch(ElasticsearchConfig::prove(table))),
            "file" => Some(Self::File(FileSinkConfig::prove(table))),
            "slo_engine" => Some(Self::SloEngine(SloEngineConfig::prove(table))),
            _ => None,
        }
    }

    /// The value of `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Archive(archive) => archive.kind(),
            Self::Blackhole(_) => "blackhole",
            Self::Console(_) => "console",
            Self::Elasticsearch(_) => "elasticsearch",
            Self::File(_) => "file",
            Self::SloEngine(_) => "slo_engine",
        }
    }
}

// === impl Batching ===

impl Batching {
    /// For sinks where sending costs little: a second's worth.
    pub const PROMPT: Self = Self { max_events: 1000, max_bytes: 1 << 20, timeout: Duration::from_secs(1) };

    fn prove(table: &mut Table<'_>, default: Self) -> Self {
        let Some(mut batch) = table.table("batch") else { return default };
        let batching = Self {
            max_events: positive(&mut batch, "max_events", default.max_events),
            max_bytes: positive(&mut batch, "max_bytes", default.max_bytes),
            timeout: batch.duration_or("timeout_secs", default.timeout),
        };
        if batching.timeout.is_zero() {
            batch.problem("timeout_secs", "must be more than 0");
        }
        batch.finish();
        batching
    }
}

fn positive(table: &mut Table<'_>, key: &str, default: usize) -> usize {
    let value = usize::try_from(table.u64_or(key, default as u64)).unwrap_or(usize::MAX);
    if value == 0 {
        table.problem(key, "must be at least 1");
    }
    value.max(1)
}

/// A failure of the local disk, which may pass.
fn disk(attempt: &str, error: &std::io::Error) -> SendError {
    SendError::Retry { after: None, reason: format!("cannot {attempt}: {error}") }
}
