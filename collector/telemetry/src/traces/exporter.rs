//! Spans on their way out: a bounded queue, a thread that sends in batches, and the account of what became of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry_otlp::{Protocol, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor,
};
use prometheus::{IntCounterVec, Opts};

/// Spans that wait or are being sent; more are dropped.
const ROOM: usize = 4096;

/// Why traces could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// An environment variable holds what is not allowed.
    #[error("read {0}")]
    Setting(String),
    /// The client could not be made.
    #[error("set up the export of traces: {0}; correct the variables that begin with OTEL_EXPORTER_OTLP_")]
    Client(String),
}

/// The way out.
pub(super) struct Exporter {
    processor: BatchSpanProcessor,
    account: Account,
}

/// What became of the spans.
#[derive(Clone, Debug)]
struct Account {
    waiting: Arc<AtomicUsize>,
    /// By outcome: exported, failed, dropped.
    spans: IntCounterVec,
    failing: Arc<AtomicBool>,
}

/// Sends and counts.
#[derive(Debug)]
struct Counted {
    inner: opentelemetry_otlp::SpanExporter,
    account: Account,
}

impl Exporter {
    pub(super) fn start(service: &'static str, named: Option<String>) -> Result<Self, TracesError> {
        let client = |cause: &dyn std::fmt::Display| TracesError::Client(cause.to_string());
        // The first provider that a process installs stays; that someone else was first is no error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = opentelemetry_otlp::SpanExporter::builder().with_http();
        let inner = builder.with_protocol(Protocol::HttpJson).build().map_err(|cause| client(&cause))?;
        let options =
            Opts::new("headroom_traces_spans_total", "Spans of own traces, by what became of them.");
        let spans = IntCounterVec::new(options, &["outcome"]).map_err(|cause| client(&cause))?;
        ["exported", "failed", "dropped"]
            .iter()
            .for_each(|outcome| drop(spans.with_label_values(&[outcome])));
        let account = Account { waiting: Arc::default(), spans, failing: Arc::default() };
        let batches = BatchConfigBuilder::default().with_max_queue_size(ROOM).build();
        let counted = Counted { inner, account: account.clone() };
        let mut processor = BatchSpanProcessor::builder(counted).with_batch_config(batches).build();
        let name = named.unwrap_or_else(|| service.to_owned());
        processor.set_resource(&Resource::builder().with_service_name(name).build());
        Ok(Self { processor, account })
    }

    /// Takes a span, or drops it where there is no room.
    pub(super) fn hand_over(&self, span: SpanData) {
        let Account { waiting, spans, .. } = &self.account;
        if waiting.fetch_add(1, Ordering::Relaxed) >= ROOM {
            waiting.fetch_sub(1, Ordering::Relaxed);
            spans.with_label_values(&["dropped"]).inc();
            return;
        }
        self.processor.on_end(span);
    }

    pub(super) fn spans(&self) -> IntCounterVec {
        self.account.spans.clone()
    }

    /// Sends what is left, at most for so long.
    pub(super) fn end(&self, within: Duration) {
        if let Err(error) = self.processor.shutdown_with_timeout(within) {
            let left = self.account.waiting.load(Ordering::Relaxed);
            tracing::warn!(%error, spans = left, "the last spans of the own traces were not sent");
        }
    }
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let result = self.inner.export(batch).await;
        let Account { waiting, spans, failing } = &self.account;
        waiting.fetch_sub(count, Ordering::Relaxed);
        let outcome = if result.is_ok() { "exported" } else { "failed" };
        spans.with_label_values(&[outcome]).inc_by(count as u64);
        // Once a failure, not once a try.
        let failed = failing.swap(result.is_err(), Ordering::Relaxed);
        if let (Err(error), false) = (&result, failed) {
            tracing::warn!(%error, "own traces cannot be sent; their spans are lost, nothing else is");
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
