//! The report of a calendar month: one page to keep or to print, or one JSON document, from the same figures.

use std::collections::BTreeSet;

use anyhow::bail;
use jiff::tz::TimeZone;
use maud::{Markup, PreEscaped, html};
use serde::Serialize;
use slo::counts::MinuteId;
use slo::series::Series;
use slo::window::{Span, month};

use crate::counts::Source;
use crate::discovery::Service;
use crate::engine::Engine;
use crate::figures::{Figures, SLIS};
use crate::format::{clock, percent, thousands};
use crate::overview::{AlertView, SloView, WindowView};
use crate::page::document;

pub mod keeper;
pub mod material;

/// A month, service by service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The month, `YYYY-MM`.
    pub month: String,
    /// The month in UTC; of a month that is not over, what lies before the newest figure.
    pub window: WindowView,
    /// Whether the month is not over yet, in UTC or in the zone of an SLO.
    pub provisional: bool,
    /// Services by name.
    pub services: Vec<ServiceReport>,
}

/// A service's month.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceReport {
    /// The service.
    pub service: String,
    /// Availability, then latency.
    pub slos: Vec<SloMonth>,
    /// Alerts that were open in the month.
    pub alerts: Vec<AlertView>,
}

/// An SLO's month, in its own zone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SloMonth {
    /// The minutes that it is about.
    pub window: WindowView,
    /// Whether the month is not over yet in this zone.
    pub provisional: bool,
    /// Threshold of a latency SLO in milliseconds.
    pub threshold_ms: Option<u64>,
    /// The figures.
    #[serde(flatten)]
    pub figures: SloView,
}

/// The report of `month`, `YYYY-MM`: of each SLO in its own zone.
pub async fn report(engine: &Engine, text: &str) -> anyhow::Result<Report> {
    let (year, number) = parse_month(text)?;
    let incidents = engine.incidents().await?;
    let report = engine.with_figures(|figures| {
        let (window, provisional) = window(figures, (year, number), &TimeZone::UTC);
        let services = services(figures, (year, number));
        let ours = services.iter().flat_map(|service| &service.slos);
        let provisional = provisional || ours.clone().any(|slo| slo.provisional);
        Report { month: text.to_owned(), window: view(window), provisional, services }
    });
    Ok(with_alerts(report, incidents.into_iter().rev().map(|incident| incident.alert)))
}

fn parse_month(text: &str) -> anyhow::Result<(i16, i8)> {
    let digits = |part: &str, count: usize| part.len() == count && part.bytes().all(|b| b.is_ascii_digit());
    let parts = text.split_once('-').filter(|(year, number)| digits(year, 4) && digits(number, 2));
    let parsed = parts.and_then(|(year, number)| year.parse().ok().zip(number.parse().ok()));
    match parsed {
        Some((year, number)) if month(year, number, &TimeZone::UTC).is_some() => Ok((year, number)),
        _ => bail!("{text:?} is not a month; write YYYY-MM, like 2026-11"),
    }
}

/// What there is of a month in a zone, and whether it is not over yet.
fn window(figures: &Figures<'_>, (year, number): (i16, i8), zone: &TimeZone) -> (Span, bool) {
    let whole = month(year, number, zone).unwrap_or(Span { from: figures.now, to: figures.now });
    let to = whole.to.min(figures.now.max(whole.from));
    (Span { from: whole.from, to }, to < whole.to)
}

fn view(span: Span) -> WindowView {
    WindowView { from: span.from.start().to_string(), to: span.to.start().to_string() }
}

/// Services that were there in the month: what came later changes no month that is over.
fn services(figures: &Figures<'_>, month: (i16, i8)) -> Vec<ServiceReport> {
    let slo = |service: &Service, source: &Source, sli| {
        let spec = figures.specs.spec(service, sli);
        let (span, provisional) = window(figures, month, &spec.time_zone);
        let was_there = source.series(sli).and_then(Series::first).is_some_and(|first| first < span.to);
        let firing = if provisional { figures.firing } else { &BTreeSet::new() };
        let figures = Figures { firing, ..*figures }.slo(service, source, sli, span);
        let threshold_ms = spec.threshold_us.map(|us| us / 1000);
        (was_there, SloMonth { window: view(span), provisional, threshold_ms, figures })
    };
    let report = |(service, _, source): (&Service, _, &Source)| {
        let slos = SLIS.map(|sli| slo(service, source, sli));
        slos.iter().any(|(was_there, _)| *was_there).then(|| ServiceReport {
            service: service.to_string(),
            slos: slos.into_iter().map(|(_, slo)| slo).collect(),
            alerts: Vec::new(),
        })
    };
    figures.counts.judged().filter_map(report).collect()
}

/// Adds the alerts of the month; what was resolved after it was open at its end.
fn with_alerts(mut report: Report, alerts: impl Iterator<Item = AlertView>) -> Report {
    let (from, to) = (report.window.from.clone(), report.window.to.clone());
    for mut alert in alerts.filter(|alert| overlaps(alert, &from, &to)) {
        alert.resolved_at = alert.resolved_at.filter(|at| report.provisional || minute(at) < minute(&to));
        if let Some(service) = report.services.iter_mut().find(|service| service.service == alert.service) {
            service.alerts.push(alert);
        }
    }
    report
}

fn minute(text: &str) -> Option<MinuteId> {
    text.parse().map(MinuteId::of_timestamp).ok()
}

fn overlaps(alert: &AlertView, from: &str, to: &str) -> bool {
    let ended = alert.resolved_at.as_deref().and_then(minute);
    minute(&alert.fired_at) < minute(to) && ended.is_none_or(|ended| Some(ended) >= minute(from))
}

/// Renders a report.
pub fn render(report: &Report) -> Markup {
    let title = format!("Service levels {}", report.month);
    let head = html! { style { (PreEscaped(include_str!("reports/print.css"))) } };
    let body = html! {
        header.top {
            div {
                h1 { (title) }
                p.sub {
                    (clock(&report.window.from)) " to " (clock(&report.window.to)) " UTC"
                    @if report.provisional { " (the month is not over)" }
                }
            }
        }
        main {
            @if report.services.is_empty() { section.card { p { "No request was counted in this month." } } }
            @for service in &report.services { (service_section(service)) }
        }
        footer { "Figures are of the requests that reached the logs. Ratios are rounded down. No data is never good." }
    };
    document(&title, &head, &body)
}

fn service_section(service: &ServiceReport) -> Markup {
    const COLUMNS: [&str; 9] =
        ["SLO", "objective", "requests", "bad", "left out", "SLI", "budget left", "coverage", "state"];
    html! {
        section.card {
            h2 { (service.service) }
            div.scroll { table {
                thead { tr { @for column in COLUMNS { th { (column) } } } }
                tbody { @for month in &service.slos { (slo_row(month)) } }
            } }
            @for alert in &service.alerts {
                p.sub {
                    (alert.severity) " " (alert.slo) ": " (clock(&alert.fired_at)) " → "
                    (alert.resolved_at.as_deref().map_or("open".to_owned(), clock))
                }
            }
        }
    }
}

fn slo_row(month: &SloMonth) -> Markup {
    let slo = &month.figures;
    html! {
        tr {
            td { (slo.slo) }
            td { (slo.objective) " %" @if let Some(threshold) = month.threshold_ms { " under " (threshold) " ms" } }
            td { (thousands(slo.total)) }
            td { (thousands(slo.total - slo.good)) }
            td { (thousands(slo.excluded)) }
            td { (percent(slo.sli.as_deref(), 4)) }
            td { (percent(slo.budget_remaining.as_deref(), 2)) }
            td { (percent(Some(&slo.coverage), 2)) }
            td { (slo.state.replace('_', " ")) }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
