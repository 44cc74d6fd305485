//! Every metric of the engine; all begin with `headroom_`.

use alerts::Command;
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use slo::counts::CountsRequest;
use telemetry::register;

use crate::cluster::kind::Kind;
use crate::discovery::sli_name;
use crate::figures::{Figures, SLIS, budget};
use crate::seal::Seal;

/// Values of `kind` of a sealed month.
const SEALED: &str = "seal";
const RESTATED: &str = "restatement";

mod export;

pub use export::ExportMetrics;

/// Handles of the metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    rows_received: IntCounter,
    rows_added: IntCounter,
    intents: IntCounterVec,
    judged_to: IntGauge,
    archive_age: IntGaugeVec,
    budget_remaining: GaugeVec,
    sli: GaugeVec,
    firing: GaugeVec,
    months_sealed: IntCounterVec,
    sealed_to: IntGauge,
    discovery_errors: IntCounterVec,
    /// Those of what is written to Elasticsearch.
    pub(crate) export: ExportMetrics,
}

impl Metrics {
    /// Registers every metric, at zero.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let slo = &["service", "slo"];
        let counter = |name, help| register(registry, IntCounter::new(name, help));
        let counters =
            |name, help, labels| register(registry, IntCounterVec::new(Opts::new(name, help), labels));
        let instant = |name, help| register(registry, IntGauge::new(name, help));
        let by_slo = |name, help| register(registry, GaugeVec::new(Opts::new(name, help), slo));
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
            judged_to: instant(
                "headroom_judged_to_timestamp_seconds",
                "Instant up to which burn rates were judged.",
            )?,
            archive_age: register(
                registry,
                IntGaugeVec::new(
                    Opts::new(
                        "headroom_archive_age_seconds",
                        "Age of the oldest record that may not be in the collector's archive yet.",
                    ),
                    &["collector"],
                ),
            )?,
            budget_remaining: by_slo(
                "headroom_budget_remaining_ratio",
                "Share of the 30-day error budget that is left.",
            )?,
            sli: by_slo("headroom_sli_ratio", "Good requests of all over 30 days.")?,
            firing: by_slo("headroom_alert_firing", "1 while an alert of the SLO is open.")?,
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

    /// Rows came in; so many of them were news.
    pub(crate) fn rows_received(&self, request: &CountsRequest, added: usize) {
        self.rows_received.inc_by(request.rows.len() as u64);
        self.rows_added.inc_by(added as u64);
    }

    /// The escalation machine decided something.
    pub(crate) fn commanded(&self, command: &Command) {
        if let Command::Notify(intent) = command {
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

    /// An instant was judged.
    pub(crate) fn judged(&self, figures: &Figures<'_>) {
        self.judged_to.set(figures.now.start().as_second());
        // A collector that is given up, or has an archive no more, is left out.
        self.archive_age.reset();
        for (collector, to_ms) in figures.counts.archives(figures.now) {
            let age = figures.now.start().as_second().saturating_sub(to_ms.div_euclid(1000));
            self.archive_age.with_label_values(&[collector]).set(age.max(0));
        }
        for (service, _, source) in figures.counts.services() {
            let name = service.to_string();
            for sli in SLIS {
                let labels = [name.as_str(), sli_name(sli)];
                let spec = figures.specs.spec(service, sli);
                let budget = budget(source.series(sli), &spec, figures.rolling());
                let firing = figures.firing.contains(&(service.clone(), sli));
                self.firing.with_label_values(&labels).set(f64::from(u8::from(firing)));
                if let Some(remaining) = budget.remaining {
                    self.budget_remaining.with_label_values(&labels).set(remaining.to_f64());
                }
                if let Some(ratio) = budget.sli {
                    self.sli.with_label_values(&labels).set(ratio.to_f64());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use slo::counts::MinuteId;

    use super::*;
    use crate::counts::Counts;
    use crate::specs::Specs;

    fn shown(counts: &Counts, registry: &Registry, metrics: &Metrics) -> Vec<String> {
        let (specs, firing) = (Specs::default(), BTreeSet::new());
        metrics.judged(&Figures { counts, specs: &specs, now: MinuteId(1000), firing: &firing });
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let ours = text.lines().filter(|line| line.starts_with("headroom_archive_age_seconds{"));
        ours.map(str::to_owned).collect()
    }

    #[test]
    fn the_age_of_an_archive_is_shown_as_long_as_its_collector_has_one() {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry).unwrap();
        let mut counts = Counts::default();
        counts.read("a", MinuteId(999));
        counts.read("b", MinuteId(999));
        counts.archived("b", Some(999 * 60_000 - 1_500));
        let want = ["headroom_archive_age_seconds{collector=\"b\"} 62"];
        assert_eq!(shown(&counts, &registry, &metrics), want);
        counts.archived("b", None);
        assert_eq!(shown(&counts, &registry, &metrics), Vec::<String>::new());
    }
}
