//! Every metric of the engine; all begin with `headroom_`.

use alerts::Command;
use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use slo::counts::CountsRequest;
use telemetry::register;

use crate::discovery::sli_name;
use crate::figures::{Figures, SLIS, budget};

/// Handles of the metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    rows_received: IntCounter,
    rows_added: IntCounter,
    intents: IntCounterVec,
    judged_to: IntGauge,
    budget_remaining: GaugeVec,
    sli: GaugeVec,
    firing: GaugeVec,
}

impl Metrics {
    /// Registers every metric, at zero.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let slo = &["service", "slo"];
        let metrics = Self {
            rows_received: register(
                registry,
                IntCounter::new(
                    "headroom_count_rows_received_total",
                    "Count rows received, repeats included.",
                ),
            )?,
            rows_added: register(
                registry,
                IntCounter::new(
                    "headroom_count_rows_added_total",
                    "Count rows that only added to what was there.",
                ),
            )?,
            intents: register(
                registry,
                IntCounterVec::new(
                    Opts::new("headroom_notifications_total", "Notifications decided on."),
                    &["kind"],
                ),
            )?,
            judged_to: register(
                registry,
                IntGauge::new(
                    "headroom_judged_to_timestamp_seconds",
                    "Instant up to which burn rates were judged.",
                ),
            )?,
            budget_remaining: register(
                registry,
                GaugeVec::new(
                    Opts::new(
                        "headroom_budget_remaining_ratio",
                        "Share of the 30-day error budget that is left.",
                    ),
                    slo,
                ),
            )?,
            sli: register(
                registry,
                GaugeVec::new(Opts::new("headroom_sli_ratio", "Good requests of all over 30 days."), slo),
            )?,
            firing: register(
                registry,
                GaugeVec::new(
                    Opts::new("headroom_alert_firing", "1 while an alert of the SLO is open."),
                    slo,
                ),
            )?,
        };
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

    /// An instant was judged.
    pub(crate) fn judged(&self, figures: &Figures<'_>) {
        self.judged_to.set(figures.now.start().as_second());
        for (service, _, source) in figures.counts.services() {
            let name = service.to_string();
            for sli in SLIS {
                let labels = [name.as_str(), sli_name(sli)];
                let spec = figures.specs.spec(service, sli);
                let budget = budget(source.series(sli), &spec, figures.rolling());
                let firing = figures.firing.contains(&(service.clone(), sli));
                self.firing.with_label_values(&labels).set(f64::from(u8::from(firing)));
                if let (Some(remaining), Some(ratio)) = (budget.remaining, budget.sli) {
                    self.budget_remaining.with_label_values(&labels).set(remaining.to_f64());
                    self.sli.with_label_values(&labels).set(ratio.to_f64());
                }
            }
        }
    }
}
