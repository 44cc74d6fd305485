//! The report of a calendar month: one page to keep or to print, or one JSON document, from the same figures.

use anyhow::{Context, bail};
use jiff::tz::TimeZone;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use prometheus::Registry;
use serde::Serialize;
use slo::counts::MinuteId;
use slo::window::{Span, month};

use crate::app::App;
use crate::cli::{Failure, ReportArgs, ReportOutput};
use crate::config::Config;
use crate::engine::{Clock, Engine};
use crate::figures::{Figures, SLIS};
use crate::overview::{AlertView, SloView, WindowView};
use crate::up;

/// A month, service by service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The month, `YYYY-MM`.
    pub month: String,
    /// The minutes that it is about; of a month that is not over, those until the newest figure.
    pub window: WindowView,
    /// Whether the month is not over yet.
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
    pub slos: Vec<SloView>,
    /// Alerts that were open in the month.
    pub alerts: Vec<AlertView>,
}

/// `slo-engine report`.
pub(crate) async fn main(args: &ReportArgs) -> Result<(), Failure> {
    let env = |name: &str| std::env::var(name).ok();
    let config = match &args.config {
        Some(path) => Config::load(path, &env),
        None => up::engine_config(&args.data_dir, up::ANY_PORT),
    };
    let config = config.map_err(|problems| Failure::Config(problems.to_string()))?;
    let state = config.data_dir.join("engine.db");
    if !state.exists() {
        return Err(
            anyhow::anyhow!("there is no state at {}: run `up` or `serve` first", state.display()).into()
        );
    }
    let app = App::open(config, Clock::Event, &Registry::new()).await?;
    let report = report(&app.engine, &args.month).await?;
    app.stop().await;
    match args.output {
        ReportOutput::Json => println!("{}", serde_json::to_string_pretty(&report)?),
        ReportOutput::Html => println!("{}", render(&report).into_string()),
    }
    Ok(())
}

/// The report of `month`, `YYYY-MM`, in UTC.
pub async fn report(engine: &Engine, text: &str) -> anyhow::Result<Report> {
    let whole = parse_month(text)?;
    let incidents = engine.incidents().await?;
    let report = engine
        .with_figures(|figures| {
            let to = whole.to.min(figures.now.max(whole.from));
            let span = Span { from: whole.from, to };
            Report {
                month: text.to_owned(),
                window: WindowView { from: span.from.start().to_string(), to: span.to.start().to_string() },
                provisional: to < whole.to,
                services: services(figures, span),
            }
        })
        .await?;
    Ok(with_alerts(report, incidents.into_iter().rev().map(|incident| incident.alert)))
}

fn parse_month(text: &str) -> anyhow::Result<Span> {
    let (year, number) =
        text.split_once('-').with_context(|| format!("{text:?} is not a month; write YYYY-MM"))?;
    let parsed = year.parse().ok().zip(number.parse().ok());
    let span = parsed.and_then(|(year, number)| month(year, number, &TimeZone::UTC));
    match span {
        Some(span) if text.len() == 7 => Ok(span),
        _ => bail!("{text:?} is not a month; write YYYY-MM, like 2026-11"),
    }
}

fn services(figures: &Figures<'_>, span: Span) -> Vec<ServiceReport> {
    figures
        .counts
        .services()
        .map(|(service, _, source)| ServiceReport {
            service: service.to_string(),
            slos: SLIS.map(|sli| figures.slo(service, source, sli, span)).to_vec(),
            alerts: Vec::new(),
        })
        .collect()
}

fn with_alerts(mut report: Report, alerts: impl Iterator<Item = AlertView>) -> Report {
    let (from, to) = (report.window.from.clone(), report.window.to.clone());
    for alert in alerts.filter(|alert| overlaps(alert, &from, &to)) {
        if let Some(service) = report.services.iter_mut().find(|service| service.service == alert.service) {
            service.alerts.push(alert);
        }
    }
    report
}

fn overlaps(alert: &AlertView, from: &str, to: &str) -> bool {
    let minute = |text: &str| text.parse().map(MinuteId::of_timestamp).ok();
    let ended = alert.resolved_at.as_deref().and_then(minute);
    minute(&alert.fired_at) < minute(to) && ended.is_none_or(|ended| Some(ended) >= minute(from))
}

/// Renders a report.
pub fn render(report: &Report) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Service levels " (report.month) }
                style { (PreEscaped(include_str!("page/style.css"))) (PreEscaped(include_str!("reports/print.css"))) }
            }
            body {
                header.top {
                    div {
                        h1 { "Service levels " (report.month) }
                        p.sub { (report.window.from) " to " (report.window.to) @if report.provisional { " (the month is not over)" } }
                    }
                }
                main {
                    @if report.services.is_empty() { section.card { p { "No request was counted in this month." } } }
                    @for service in &report.services { (service_section(service)) }
                }
                footer { "Figures are of the requests that reached the logs. Ratios are rounded down. No data is never good." }
            }
        }
    }
}

fn service_section(service: &ServiceReport) -> Markup {
    html! {
        section.card {
            h2 { (service.service) }
            div.scroll { table {
                thead { tr { th { "SLO" } th { "objective" } th { "requests" } th { "bad" } th { "left out" } th { "SLI" } th { "budget left" } th { "coverage" } th { "state" } } }
                tbody { @for slo in &service.slos { tr {
                    td { (slo.slo) } td { (slo.objective) " %" } td { (slo.total) } td { (slo.total - slo.good) } td { (slo.excluded) }
                    td { (slo.sli.as_deref().unwrap_or("–")) } td { (slo.budget_remaining.as_deref().unwrap_or("–")) }
                    td { (slo.coverage) } td { (slo.state.replace('_', " ")) }
                } } }
            } }
            @for alert in &service.alerts {
                p.sub { (alert.severity) " " (alert.slo) ": " (alert.fired_at) " → " (alert.resolved_at.as_deref().unwrap_or("open")) }
            }
        }
    }
}
