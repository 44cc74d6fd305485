//! Metrics that are figures: made from the snapshot when somebody asks, so that no tick pays for them.

use std::sync::{Arc, PoisonError, RwLock};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntGauge, IntGaugeVec, Opts};
use slo::counts::Sli;

use crate::figures::budget;
use crate::snapshot::Snapshot;

/// The snapshot that is shown.
pub(super) type Shown = Arc<RwLock<Arc<Snapshot>>>;

/// Figures of the snapshot as metrics.
#[derive(Debug)]
pub(super) struct Figured {
    shown: Shown,
    descriptions: Vec<Desc>,
}

/// One look at the figures.
struct Gauges {
    judged_to: IntGauge,
    archive_age: IntGaugeVec,
    budget_remaining: GaugeVec,
    sli: GaugeVec,
    firing: GaugeVec,
}

impl Figured {
    /// Figures of what is shown.
    pub(super) fn new(shown: Shown) -> Result<Self, prometheus::Error> {
        let gauges = Gauges::new()?;
        let descriptions = gauges.all().into_iter().flat_map(|gauge| gauge.desc()).cloned().collect();
        Ok(Self { shown, descriptions })
    }
}

impl Gauges {
    fn new() -> Result<Self, prometheus::Error> {
        let by_slo = |name: &str, help: &str| GaugeVec::new(Opts::new(name, help), &["service", "slo"]);
        Ok(Self {
            judged_to: IntGauge::new(
                "headroom_judged_to_timestamp_seconds",
                "Instant up to which burn rates were judged.",
            )?,
            archive_age: IntGaugeVec::new(
                Opts::new(
                    "headroom_archive_age_seconds",
                    "Age of the oldest record that may not be in the collector's archive yet.",
                ),
                &["collector"],
            )?,
            budget_remaining: by_slo(
                "headroom_budget_remaining_ratio",
                "Share of the 30-day error budget that is left.",
            )?,
            sli: by_slo("headroom_sli_ratio", "Good requests of all over 30 days.")?,
            firing: by_slo("headroom_alert_firing", "1 while an alert of the SLO is open.")?,
        })
    }

    fn all(&self) -> [&dyn Collector; 5] {
        [&self.judged_to, &self.archive_age, &self.budget_remaining, &self.sli, &self.firing]
    }

    fn set(&self, snapshot: &Snapshot) {
        let figures = snapshot.figures();
        self.judged_to.set(figures.now.start().as_second());
        // A collector that is given up, or has an archive no more, is left out.
        for (collector, to_ms) in figures.counts.archives(figures.now) {
            let age = figures.now.start().as_second().saturating_sub(to_ms.div_euclid(1000));
            self.archive_age.with_label_values(&[collector]).set(age.max(0));
        }
        for (service, _, source) in figures.counts.services() {
            let name = service.to_string();
            for sli in Sli::ALL {
                let labels = [name.as_str(), sli.as_str()];
                let rules = figures.specs.rules(service, sli);
                let budget = budget(source.series(sli), &rules.spec, figures.rolling());
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

impl Collector for Figured {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let snapshot = self.shown.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Ok(gauges) = Gauges::new() else { return Vec::new() };
        gauges.set(&snapshot);
        gauges.all().into_iter().flat_map(Collector::collect).collect()
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;
    use slo::counts::MinuteId;

    use super::*;
    use crate::counts::Counts;

    fn ages(counts: &Counts) -> Vec<String> {
        let snapshot = Snapshot { counts: counts.clone(), now: MinuteId(1000), ..Snapshot::default() };
        let registry = Registry::new();
        let shown = Arc::new(RwLock::new(Arc::new(snapshot)));
        registry.register(Box::new(Figured::new(shown).unwrap())).unwrap();
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let ours = text.lines().filter(|line| line.starts_with("headroom_archive_age_seconds{"));
        ours.map(str::to_owned).collect()
    }

    #[test]
    fn the_age_of_an_archive_is_shown_as_long_as_its_collector_has_one() {
        let mut counts = Counts::default();
        counts.read("a", MinuteId(999));
        counts.read("b", MinuteId(999));
        counts.archived("b", Some(999 * 60_000 - 1_500));
        assert_eq!(ages(&counts), ["headroom_archive_age_seconds{collector=\"b\"} 62"]);
        counts.archived("b", None);
        assert_eq!(ages(&counts), Vec::<String>::new());
    }
}
