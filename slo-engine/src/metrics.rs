//! Every metric of the engine; all begin with `headroom_`.

use std::sync::{Arc, PoisonError};

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use telemetry::register;

use crate::cluster::kind::Kind;
use crate::seal::Seal;
use crate::snapshot::Snapshot;
use crate::store::Change;

/// Values of `kind` of a sealed month.
const SEALED: &str = "seal";
const RESTATED: &str = "restatement";

/// Values of `reason` of a refused row.
const UNBELIEVED: &str = "unbelieved_minute";
const UNKNOWN_SERVICE: &str = "unknown_service";

mod export;
mod figured;

pub use export::ExportMetrics;
use figured::{Figured, Shown};

/// Handles of the metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    rows_received: IntCounter,
    rows_added: IntCounter,
    intents: IntCounterVec,
    rows_refused: IntCounterVec,
    shown: Shown,
    months_sealed: IntCounterVec,
    sealed_to: IntGauge,
    discovery_errors: IntCounterVec,
    /// Those of what is written to Elasticsearch.
    pub(crate) export: ExportMetrics,
}

impl Metrics {
    /// Registers every metric, at zero.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name, help| register(registry, IntCounter::new(name, help));
        let counters =
            |name, help, labels| register(registry, IntCounterVec::new(Opts::new(name, help), labels));
        let instant = |name, help| register(registry, IntGauge::new(name, help));
        let metrics = Self {
            rows_received: counter(
                "headroom_count_rows_received_total",
                "Count rows received, repeats included.",
            )?,
            rows_added: counter(
                "headroom_count_rows_added_total",
                "Count rows that only added to what was there.",
            )?,
            intents: counters("headroom_notifications_total", "Notifications decided on.", &["kind"])?,
            rows_refused: counters(
                "headroom_count_rows_refused_total",
                "Count rows whose minute nobody believes, and those of services beyond the cap, counted as unattributed.",
                &["reason"],
            )?,
            shown: Shown::default(),
            months_sealed: counters(
                "headroom_months_sealed_total",
                "Months that were sealed, or said anew later.",
                &["kind"],
            )?,
            sealed_to: instant(
                "headroom_sealed_to_timestamp_seconds",
                "End of the newest month that this process sealed; 0 before it has sealed one.",
            )?,
            discovery_errors: counters(
                "headroom_discovery_errors_total",
                "Failed tries to list or watch objects of the Kubernetes cluster.",
                &["kind"],
            )?,
            export: ExportMetrics::new(registry)?,
        };
        registry.register(Box::new(Figured::new(metrics.shown.clone())?))?;
        for reason in [UNBELIEVED, UNKNOWN_SERVICE] {
            metrics.rows_refused.with_label_values(&[reason]);
        }
        for kind in [SEALED, RESTATED] {
            metrics.months_sealed.with_label_values(&[kind]);
        }
        for kind in Kind::ALL {
            metrics.discovery_errors.with_label_values(&[kind.as_str()]);
        }
        for kind in ["trigger", "acknowledge", "resolve"] {
            metrics.intents.with_label_values(&[kind]);
        }
        Ok(metrics)
    }

    /// Rows came in: so many only added to what was there, nobody believes the minute of so many, and so many are of services
    /// beyond the cap.
    pub(crate) fn rows(&self, received: u64, added: u64, unbelieved: u64, unknown: u64) {
        self.rows_received.inc_by(received);
        self.rows_added.inc_by(added);
        self.rows_refused.with_label_values(&[UNBELIEVED]).inc_by(unbelieved);
        self.rows_refused.with_label_values(&[UNKNOWN_SERVICE]).inc_by(unknown);
    }

    /// Something was committed.
    pub(crate) fn committed(&self, change: &Change) {
        if let Change::Intent(intent) = change {
            self.intents.with_label_values(&[intent.kind.as_str()]).inc();
        }
    }

    /// A kind of object could not be listed or watched.
    pub(crate) fn discovery_failed(&self, kind: Kind) {
        self.discovery_errors.with_label_values(&[kind.as_str()]).inc();
    }

    /// Months were sealed.
    pub(crate) fn sealed(&self, seals: &[Seal]) {
        for seal in seals {
            let kind = if seal.restatement == 0 { SEALED } else { RESTATED };
            self.months_sealed.with_label_values(&[kind]).inc();
            let end = seal.window.to.parse().map_or(0, jiff::Timestamp::as_second);
            self.sealed_to.set(self.sealed_to.get().max(end));
        }
    }

    /// What is shown from now on.
    pub(crate) fn shown(&self, snapshot: &Arc<Snapshot>) {
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = snapshot.clone();
    }
}
