//! From counts to what is shown: pure functions of the counts, the SLOs and the instant.

use std::collections::BTreeSet;

use jiff::Timestamp;
use slo::budget::{Budget, Slices};
use slo::burn::BurnRate;
use slo::counts::{MinuteId, Origin, Sli, Tally};
use slo::objective::SloSpec;
use slo::policy::{BurnPolicy, Severity, policies_for};
use slo::ratio::Ratio;
use slo::series::Series;
use slo::sketch::Sketch;
use slo::window::{Span, Window};

use crate::cluster::Found;
use crate::counts::{Counts, Source};
use crate::discovery::{Service, sli_name};
use crate::overview::{
    BurnView, ClusterView, Detail, InputView, LatencyView, PointView, ServiceView, SliceView, SlicesView,
    SloView, WindowView,
};
use crate::specs::Specs;

pub use crate::discovery::SLIS;
mod part;

pub use part::{Filter, Summary};

/// Digits that ratios are shown with.
const DIGITS: usize = 6;
/// Most points of a chart.
const POINTS: i64 = 120;

/// What figures are made of.
#[derive(Clone, Copy)]
pub struct Figures<'a> {
    /// The counts, settled for `now`.
    pub counts: &'a Counts,
    /// Which SLOs there are.
    pub specs: &'a Specs,
    /// The instant: everything before this minute counts.
    pub now: MinuteId,
    /// SLOs with an open alert.
    pub firing: &'a BTreeSet<(Service, Sli)>,
}

impl Figures<'_> {
    /// The rolling 30 days that the overview's counts are of.
    pub fn window(&self) -> WindowView {
        let span = self.rolling();
        WindowView { from: span.from.start().to_string(), to: span.to.start().to_string() }
    }

    /// Every service by name.
    pub fn services(&self) -> Vec<ServiceView> {
        let view = |(service, _, source): (&Service, Origin, &Source)| self.service_view(service, source);
        self.counts.services().map(view).collect()
    }

    /// Every SLO with its charts, in the order of the services.
    pub fn details(&self) -> Vec<Detail> {
        let both = |(service, origin, source)| SLIS.map(|sli| self.detail(service, origin, source, sli));
        self.counts.services().flat_map(both).collect()
    }

    /// The SLO's figures over a span.
    pub fn slo(&self, service: &Service, source: &Source, sli: Sli, span: Span) -> SloView {
        let spec = self.specs.spec(service, sli);
        let budget = budget(source.series(sli), &spec, span);
        let firing = self.firing.contains(&(service.clone(), sli));
        SloView {
            slo: sli_name(sli).to_owned(),
            objective: spec.objective.objective_percent(),
            total: budget.total,
            good: budget.good,
            excluded: budget.excluded,
            sli: budget.sli.map(decimal),
            coverage: decimal(budget.coverage),
            budget_remaining: budget.remaining.map(decimal),
            state: word(&budget.state(firing)),
        }
    }

    fn detail(&self, service: &Service, origin: Origin, source: &Source, sli: Sli) -> Detail {
        let spec = self.specs.spec(service, sli);
        let series = source.series(sli);
        let rolling = self.rolling();
        let month = Window::CalendarMonth.span(self.now, &spec.time_zone);
        let whole = budget(series, &spec, rolling);
        let measured = series.map_or(0, |series| series.sum(rolling.from, rolling.to).measured());
        let young = measured < rolling.minutes() && whole.bad > 0;
        let slices = series
            .map_or(Slices::default(), |s| Slices::of(s, rolling.from, rolling.to, spec.objective.target()));
        Detail {
            id: service.slo_id(sli),
            service: service.to_string(),
            rolling: self.slo(service, source, sli, rolling),
            month: self.slo(service, source, sli, month),
            projected: young.then(|| whole.projected(measured, rolling.minutes())).flatten().map(decimal),
            threshold_ms: spec.threshold_us.map(|us| us / 1000),
            sli_interval: whole.interval.map(|bounds| (decimal(bounds.low), decimal(bounds.high))),
            source: word(&origin),
            burn: series.map_or(Vec::new(), |series| self.burn(series, &spec)),
            burn_down: series.map_or(Vec::new(), |series| self.burn_down(series, &spec)),
            hurt: series.map_or(Vec::new(), |series| self.hurt(series)),
            slices: SlicesView { total: slices.total, good: slices.good },
        }
    }

    /// The rolling 30 days before now.
    pub fn rolling(&self) -> Span {
        Window::Rolling { days: 30 }.span(self.now, &jiff::tz::TimeZone::UTC)
    }

    fn burn(&self, series: &Series, spec: &SloSpec) -> Vec<BurnView> {
        let view = |policy: BurnPolicy| {
            let rate = |minutes: u32| {
                let sum = spec.sum(series, self.now.plus(-i64::from(minutes)), self.now);
                BurnRate::of(sum.counts, &spec.objective).map(|rate| rate.0.to_decimal(2))
            };
            BurnView {
                severity: severity(policy.severity).to_owned(),
                long_minutes: policy.long.into(),
                short_minutes: policy.short.into(),
                long: rate(policy.long),
                short: rate(policy.short),
                factor: policy.factor(&spec.objective).to_decimal(2),
            }
        };
        policies_for(&spec.objective, spec.window_days()).into_iter().map(view).collect()
    }

    fn burn_down(&self, series: &Series, spec: &SloSpec) -> Vec<PointView> {
        let point = |minute: MinuteId| {
            let budget = Budget::of(&spec.sum(series, minute.plus(-43_200), minute), &spec.objective);
            PointView {
                at: minute.start().to_string(),
                remaining: budget.remaining.unwrap_or(Ratio::ONE).to_f64(),
            }
        };
        let Some((from, step)) = self.chart(series) else { return Vec::new() };
        let inner = (from.0..self.now.0).step_by(step as usize).map(MinuteId);
        inner.chain([self.now]).map(point).collect()
    }

    fn hurt(&self, series: &Series) -> Vec<SliceView> {
        let Some((from, step)) = self.chart(series) else { return Vec::new() };
        let slice = |minute: i64| {
            let (from, to) = (MinuteId(minute), MinuteId(minute + step).min(self.now));
            let sum = series.sum(from, to);
            SliceView {
                from: from.start().to_string(),
                minutes: to.0 - from.0,
                total: sum.counts.total,
                bad: sum.counts.bad,
            }
        };
        (from.0..self.now.0).step_by(step as usize).map(slice).collect()
    }

    /// First minute and minutes a point of a chart over what was measured of the window.
    fn chart(&self, series: &Series) -> Option<(MinuteId, i64)> {
        let from = series.first()?.max(self.rolling().from);
        let span = self.now.0 - from.0;
        (span > 0).then(|| (from, (span + POINTS - 1) / POINTS))
    }
}

/// The books of the input.
pub fn input(tally: &Tally) -> InputView {
    InputView {
        lines: tally.lines,
        requests: tally.requests,
        ignored: tally.ignored,
        late: tally.late,
        dead_lettered: tally.dead_lettered,
    }
}

/// `page` or `ticket`.
pub fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Page => "page",
        Severity::Ticket => "ticket",
    }
}

/// RFC 3339 in UTC, whole seconds where there are no others.
pub fn instant(at: Timestamp) -> String {
    at.to_string()
}

/// The budget of a span, as the SLO counts it.
pub fn budget(series: Option<&Series>, spec: &SloSpec, span: Span) -> Budget {
    let sum = series.map(|series| spec.sum(series, span.from, span.to)).unwrap_or_default();
    Budget::of(&sum, &spec.objective)
}

fn cluster_view(found: &Found) -> ClusterView {
    ClusterView {
        team: found.team.clone(),
        owner: found.owner.clone(),
        runbook: found.runbook.clone(),
        workload: found.workload.as_ref().map(|workload| workload.word().to_owned()),
        workload_detail: found.workload.as_ref().map(ToString::to_string),
    }
}

fn latency(sketch: &Sketch) -> LatencyView {
    let ms = |per_cent| sketch.quantile_us(per_cent, 100).map(|us| (us as f64 / 100.0).round() / 10.0);
    LatencyView { p50: ms(50), p95: ms(95), p99: ms(99) }
}

fn decimal(ratio: Ratio) -> String {
    ratio.to_decimal(DIGITS)
}

/// The name that an enum has in JSON.
fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
