//! Result documents: what every SLO looked like at the end of a minute. Pure.

use std::collections::{BTreeMap, BTreeSet};

use alerts::Incident;
use jiff::Timestamp;
use search::{Environment, Kind, document_id};
use serde::Serialize;
use slo::budget::State;
use slo::burn::BurnRate;
use slo::counts::{MinuteId, Sli};
use slo::objective::SloSpec;
use slo::ratio::Ratio;
use slo::series::{Minute, Series};
use slo::window::Window;

use super::document::Document;
use crate::discovery::{Service, sli_name};
use crate::figures::{Figures, SLIS, budget};

#[cfg(test)]
mod tests;

/// Windows that a burn rate is given of: field and minutes.
const WINDOWS: [(&str, i64); 7] = [
    ("burn_rate_5m", 5),
    ("burn_rate_30m", 30),
    ("burn_rate_1h", 60),
    ("burn_rate_2h", 120),
    ("burn_rate_6h", 360),
    ("burn_rate_1d", 1440),
    ("burn_rate_3d", 4320),
];

/// One SLO of one service: the minute's own counts, and what the minutes up to its end add up to.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct ResultDocument {
    service: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    name: String,
    slo: &'static str,
    /// Per cent.
    objective: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    threshold_ms: Option<f64>,
    total: u64,
    good: u64,
    bad: u64,
    excluded: u64,
    minute_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sli: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget_remaining: Option<f64>,
    coverage: f64,
    #[serde(flatten)]
    burn_rates: BTreeMap<&'static str, f64>,
    state: State,
}

/// The documents of the minute that ends at `figures.now`, of every SLO that was counted then.
pub fn results(figures: &Figures<'_>, environment: &Environment) -> Vec<Document> {
    let minute = figures.now.plus(-1);
    let mut documents = Vec::new();
    for (service, _, source) in figures.counts.services() {
        for sli in SLIS {
            let known = source.series(sli).and_then(|series| Some((series, series.get(minute)?)));
            let Some((series, state)) = known else { continue };
            let result = result(figures, service, sli, series, state);
            let at = minute.start();
            let parts = ["result", environment.as_str(), &result.service, result.slo, &at.to_string()];
            let id = document_id(&parts.map(str::as_bytes));
            documents.push(Document::of(Kind::Results, id, at, environment, &result));
        }
    }
    documents
}

fn result(
    figures: &Figures<'_>,
    service: &Service,
    sli: Sli,
    series: &Series,
    minute: Minute,
) -> ResultDocument {
    let spec = figures.specs.spec(service, sli);
    let window = Window::Rolling { days: spec.window_days() }.span(figures.now, &jiff::tz::TimeZone::UTC);
    let whole = budget(Some(series), &spec, window);
    let counts = minute.counts();
    let (namespace, name) = match service {
        Service::Named { namespace, name } => (Some(namespace.clone()), name.clone()),
        Service::Ambiguous(_) | Service::Unattributed => (None, service.to_string()),
    };
    ResultDocument {
        service: service.to_string(),
        namespace,
        name,
        slo: sli_name(sli),
        objective: (spec.objective.target() * Ratio::from(100)).to_f64(),
        threshold_ms: spec.threshold_us.map(|us| us as f64 / 1000.0),
        total: counts.total,
        good: counts.good(),
        bad: counts.bad,
        excluded: counts.excluded,
        minute_state: word(minute),
        sli: whole.sli.map(Ratio::to_f64),
        budget_remaining: whole.remaining.map(Ratio::to_f64),
        coverage: whole.coverage.to_f64(),
        burn_rates: burn_rates(series, &spec, figures.now),
        state: whole.state(figures.firing.contains(&(service.clone(), sli))),
    }
}

/// The same sums that pages are judged by.
fn burn_rates(series: &Series, spec: &SloSpec, now: MinuteId) -> BTreeMap<&'static str, f64> {
    let rate = |(field, minutes): (&'static str, i64)| {
        let sum = spec.sum(series, now.plus(-minutes), now);
        BurnRate::of(sum.counts, &spec.objective).map(|rate| (field, rate.0.to_f64()))
    };
    WINDOWS.into_iter().filter_map(rate).collect()
}

fn word(minute: Minute) -> &'static str {
    match minute {
        Minute::Read(_) => "read",
        Minute::Partial(_) => "partial",
        Minute::Unmeasured => "unmeasured",
        Minute::Excluded => "excluded",
    }
}

/// SLOs that an alert was open of at an instant.
pub fn firing_at(incidents: &[Incident], at: Timestamp) -> BTreeSet<(Service, Sli)> {
    let open = |incident: &&Incident| {
        incident.opened_at <= at && incident.resolved_at.is_none_or(|resolved| resolved > at)
    };
    let id = |incident: &Incident| {
        let label = |name: &str| incident.alert.labels.get(name).map_or("", String::as_str);
        let sli = SLIS.into_iter().find(|&sli| sli_name(sli) == label("slo"))?;
        Some((Service::parse(label("service")), sli))
    };
    incidents.iter().filter(open).filter_map(id).collect()
}
