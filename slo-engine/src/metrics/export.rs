//! Metrics of what is written to Elasticsearch.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use search::Kind;
use telemetry::register;

use crate::engine::export::Backlog;

/// Kinds of indices that the engine writes.
const WRITTEN: [Kind; 2] = [Kind::Counts, Kind::Results];

/// Handles of the metrics.
#[derive(Clone, Debug)]
pub struct ExportMetrics {
    pending: IntGaugeVec,
    lag: IntGauge,
    documents: IntCounterVec,
    failures: IntCounter,
    deleted: IntCounterVec,
}

impl ExportMetrics {
    /// Registers every metric, at zero.
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let pending = Opts::new(
            "headroom_export_pending",
            "What Elasticsearch lacks: parts of counts, and minutes of results.",
        );
        let documents = Opts::new(
            "headroom_export_documents_total",
            "Documents by what became of them in Elasticsearch.",
        );
        let deleted =
            Opts::new("headroom_retention_deleted_total", "Indices deleted when their days were over.");
        let metrics = Self {
            pending: register(registry, IntGaugeVec::new(pending, &["index"]))?,
            lag: register(
                registry,
                IntGauge::new(
                    "headroom_export_lag_seconds",
                    "Age of the oldest minute that Elasticsearch lacks or has in an older form.",
                ),
            )?,
            documents: register(registry, IntCounterVec::new(documents, &["index", "outcome"]))?,
            failures: register(
                registry,
                IntCounter::new(
                    "headroom_export_errors_total",
                    "Requests to Elasticsearch that failed and are repeated.",
                ),
            )?,
            deleted: register(registry, IntCounterVec::new(deleted, &["index"]))?,
        };
        for kind in WRITTEN.map(Kind::as_str) {
            metrics.pending.with_label_values(&[kind]);
            for outcome in ["written", "rejected"] {
                metrics.documents.with_label_values(&[kind, outcome]);
            }
        }
        for kind in Kind::ALL {
            metrics.deleted.with_label_values(&[kind.as_str()]);
        }
        Ok(metrics)
    }

    /// How much is to be written, and how old the oldest of it is (seconds).
    pub(crate) fn pending(&self, backlog: &Backlog, lag: i64) {
        let set = |kind: Kind, count: u64| {
            let gauge = self.pending.with_label_values(&[kind.as_str()]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        set(Kind::Counts, backlog.counts);
        set(Kind::Results, backlog.minutes);
        self.lag.set(lag.max(0));
    }

    /// A document is there.
    pub(crate) fn written(&self, kind: Kind) {
        self.documents.with_label_values(&[kind.as_str(), "written"]).inc();
    }

    /// A document was refused for good.
    pub(crate) fn rejected(&self, kind: Kind) {
        self.documents.with_label_values(&[kind.as_str(), "rejected"]).inc();
    }

    /// A request failed and is repeated.
    pub(crate) fn failed(&self) {
        self.failures.inc();
    }

    /// An index was deleted.
    pub(crate) fn deleted(&self, kind: Kind) {
        self.deleted.with_label_values(&[kind.as_str()]).inc();
    }
}
