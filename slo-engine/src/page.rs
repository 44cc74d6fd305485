//! The page: budgets, burn-down, where and when it hurt. Plain HTML and SVG from the same values as the API; no script.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::format::{clock, clock_after, percent, shorten, thousands};
use crate::overview::{
    ClusterView, Detail, IncidentView, Overview, PageModel, PointView, SliceView, SloView,
};

/// States with their names, the one that needs someone most first.
const STATES: [(&str, &str); 5] = [
    ("exhausted", "exhausted"),
    ("burning", "burning"),
    ("healthy", "healthy"),
    ("idle", "idle"),
    ("no_data", "no data"),
];

/// Lowest share of the budget that a chart shows, so that one deep fall does not flatten the rest.
const DEEPEST: f64 = -4.0;

/// Renders the page.
pub fn render(model: &PageModel) -> Markup {
    let refresh = html! { meta http-equiv="refresh" content="30"; };
    let body = html! {
        (header(model))
        main {
            @if model.overview.services.is_empty() { (nothing_yet()) }
            (warnings(&model.overview.warnings))
            (open_incidents(model))
            @for service in by_need(model) { (service_card(model, service)) }
            (incident_table(&model.incidents))
            (books(&model.overview))
        }
        footer {
            "Figures are of the requests that reached the logs. Ratios are rounded down. "
            a href="/v1/slos" { "API" } " · " a href="/openapi.json" { "OpenAPI" } " · " a href="/metrics" { "Metrics" }
        }
    };
    document("Headroom", &refresh, &body)
}

/// A whole document in the style of the page.
pub(crate) fn document(title: &str, head: &Markup, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(include_str!("page/style.css"))) }
                (head)
            }
            body { (body) }
        }
    }
}

fn header(model: &PageModel) -> Markup {
    let states = model.details.iter().map(|detail| detail.rolling.state.as_str());
    let count = |state: &str| states.clone().filter(|s| *s == state).count();
    html! {
        header.top {
            div {
                h1 { "Headroom" }
                p.sub {
                    "30 days to " time datetime=(model.overview.window.to) { (clock(&model.overview.window.to)) }
                }
            }
            ul.tally {
                @for (state, label) in STATES {
                    @if count(state) > 0 { li class={ "chip " (state) } { b { (count(state)) } " " (label) } }
                }
            }
        }
    }
}

/// Services, those that need someone first.
fn by_need(model: &PageModel) -> Vec<&str> {
    let need = |service: &str| {
        let states = model.details.iter().filter(|detail| detail.service == service);
        states.map(|detail| STATES.iter().position(|(state, _)| *state == detail.rolling.state)).min()
    };
    let mut services: Vec<&str> =
        model.overview.services.iter().map(|service| service.service.as_str()).collect();
    services.sort_by_key(|service| need(service));
    services
}

fn nothing_yet() -> Markup {
    html! { section.card { h2 { "No service yet" } p { "No request has been read so far. Services appear here with their first request." } } }
}

fn open_incidents(model: &PageModel) -> Markup {
    let open: Vec<&IncidentView> = model.incidents.iter().filter(|i| i.alert.resolved_at.is_none()).collect();
    html! {
        @if !open.is_empty() {
            section.open {
                @for incident in open {
                    p { b { (incident.alert.severity) } " open since " (clock(&incident.alert.fired_at)) ": " (incident.summary) }
                }
            }
        }
    }
}

fn service_card(model: &PageModel, service: &str) -> Markup {
    let details = model.details.iter().filter(|detail| detail.service == service);
    let view = model.overview.services.iter().find(|s| s.service == service);
    let latency = view.map(|view| view.latency_ms);
    html! {
        section.card {
            header.service {
                h2 { (service) }
                @if let Some(cluster) = view.and_then(|view| view.cluster.as_ref()) { (of_cluster(cluster)) }
                @if let Some(latency) = latency {
                    @if let (Some(p50), Some(p95), Some(p99)) = (latency.p50, latency.p95, latency.p99) {
                        p.sub { "p50 " b { (p50) } " · p95 " b { (p95) } " · p99 " b { (p99) } " ms" }
                    }
                }
            }
            div.slos { @for detail in details { (slo_panel(detail)) } }
        }
    }
}

/// Whose it is, what to do, and how its pods are.
fn of_cluster(cluster: &ClusterView) -> Markup {
    html! {
        p.sub {
            @if let Some(team) = &cluster.team { "team " b { (team) } " · " }
            @if let Some(owner) = &cluster.owner { "owner " b { (owner) } " · " }
            @if let Some(runbook) = &cluster.runbook { a href=(runbook) { "runbook" } " · " }
            (cluster.workload_detail.as_deref().unwrap_or("how its pods are is not known"))
        }
    }
}

fn warnings(warnings: &[String]) -> Markup {
    html! {
        @if !warnings.is_empty() {
            section.card {
                h2 { "What the cluster does not say" }
                @for warning in warnings { p.sub { (warning) } }
            }
        }
    }
}

fn slo_panel(detail: &Detail) -> Markup {
    let slo = &detail.rolling;
    html! {
        article.slo id=(detail.id) {
            header {
                h3 { (slo.slo) " " span.objective { (objective(detail)) } }
                span class={ "chip " (slo.state) } { (slo.state.replace('_', " ")) }
            }
            @if slo.state == "idle" {
                p.sub { "No request in the minutes that were read (" (percent(Some(&slo.coverage), 2)) " of them): the budget is untouched." }
            } @else if slo.total == 0 {
                p.sub { "No request to judge: " (slo.excluded) " left out by the rules. No data is never good." }
            } @else {
                div.figures {
                    div.big { span class=(slo.state) { (left(slo)) } small { "budget left" } }
                    dl {
                        div { dt { "SLI" } dd { (percent(slo.sli.as_deref(), 4)) } }
                        div { dt { "bad" } dd { (thousands(slo.total - slo.good)) " of " (thousands(slo.total)) } }
                        div { dt { "burn now" } dd { (burn_now(detail)) } }
                        div { dt { "coverage" } dd { (percent(Some(&slo.coverage), 2)) } }
                        div { dt { "this month" } dd { (month(&detail.month)) } }
                        @if let Some(projected) = &detail.projected {
                            div title="if traffic stays as it was and nothing more goes wrong" {
                                dt { "after 30 days" } dd { (percent(Some(projected), 1)) " left" }
                            }
                        }
                    }
                }
                (burn_down(&detail.burn_down))
                (hurt(&detail.hurt))
            }
        }
    }
}

/// What is left, without decimals where it is below 0.
fn left(slo: &SloView) -> String {
    let ratio = slo.budget_remaining.as_deref();
    percent(ratio, if ratio.is_some_and(|ratio| ratio.starts_with('-')) { 0 } else { 1 })
}

fn objective(detail: &Detail) -> String {
    match detail.threshold_ms {
        Some(threshold) => format!("{} % under {threshold} ms", detail.rolling.objective),
        None => format!("{} %", detail.rolling.objective),
    }
}

fn burn_now(detail: &Detail) -> String {
    match detail.burn.first().and_then(|burn| burn.long.as_deref()) {
        Some(rate) => format!("{}×", shorten(rate, 2)),
        None => "idle".to_owned(),
    }
}

fn month(slo: &SloView) -> String {
    if slo.budget_remaining.is_none() { "no data".to_owned() } else { format!("{} left", left(slo)) }
}

/// Budget left over time: an area that falls from 100 %; below the line it is overspent.
fn burn_down(points: &[PointView]) -> Markup {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return html! {} };
    let lowest = points.iter().map(|point| point.remaining).fold(0.0, f64::min);
    let floor = lowest.max(DEEPEST);
    let step = 100.0 / (points.len().max(2) - 1) as f64;
    let height = |remaining: f64| 40.0 * (1.0 - remaining.max(floor)) / (1.0 - floor);
    let line: String = points
        .iter()
        .enumerate()
        .map(|(i, point)| {
            format!("{}{:.2},{:.2}", if i == 0 { "M" } else { "L" }, i as f64 * step, height(point.remaining))
        })
        .collect();
    let zero = height(0.0);
    html! {
        figure {
            svg viewBox="0 0 100 40" preserveAspectRatio="none" role="img" aria-label="budget left over time" {
                path.area d={ (line) "L100," (format!("{zero:.2}")) "L0," (format!("{zero:.2}")) "Z" } {}
                path.zero d={ "M0," (format!("{zero:.2}")) "H100" } {}
                path.line d=(line) {}
            }
            figcaption {
                span { (clock(&first.at)) }
                span { "budget left, from 100 %" @if floor < 0.0 { " to " @if lowest < floor { "below " } (format!("−{:.0} %", -floor * 100.0)) } }
                span { (clock_after(&first.at, &last.at)) }
            }
        }
    }
}

/// One cell a slice of time, darker where a larger share was bad.
fn hurt(slices: &[SliceView]) -> Markup {
    let (Some(first), Some(last)) = (slices.first(), slices.last()) else { return html! {} };
    html! {
        figure {
            div.strip role="img" aria-label="share of bad requests over time" {
                @for slice in slices { i class=(pain(slice)) title=(told(slice)) {} }
            }
            figcaption {
                span { (clock(&first.from)) }
                span { "where it hurt, " (first.minutes) " min a cell" }
                span { (clock_after(&first.from, &last.from)) }
            }
        }
    }
}

/// Five steps: idle, clean, under 1 %, under 10 %, under a half, more.
fn pain(slice: &SliceView) -> &'static str {
    match (slice.bad, slice.total) {
        (_, 0) => "idle",
        (0, _) => "p0",
        (bad, total) if bad * 100 < total => "p1",
        (bad, total) if bad * 10 < total => "p2",
        (bad, total) if bad * 2 < total => "p3",
        _ => "p4",
    }
}

fn told(slice: &SliceView) -> String {
    format!("{}: {} bad of {}", clock(&slice.from), thousands(slice.bad), thousands(slice.total))
}

fn incident_table(incidents: &[IncidentView]) -> Markup {
    html! {
        section.card {
            h2 { "Alerts" }
            @if incidents.is_empty() { p.sub { "Nothing has fired." } }
            @for incident in incidents {
                div.incident {
                    p {
                        span class={ "chip " (incident.alert.severity) } { (incident.alert.severity) } " "
                        b { (incident.alert.service) } " " (incident.alert.slo) ", "
                        (clock(&incident.alert.fired_at)) " → "
                        (incident.alert.resolved_at.as_deref().map_or("open".to_owned(), clock))
                    }
                    p.sub { (incident.summary) }
                    p.sub { @for (i, notice) in incident.notified.iter().enumerate() {
                        @if i > 0 { " · " }
                        (notice.kind) " → " b { (notice.target) } " by " (notice.channel) " " (clock(&notice.at))
                        @if !notice.delivered { " (on its way)" }
                    } }
                }
            }
        }
    }
}

fn books(overview: &Overview) -> Markup {
    let input = &overview.input;
    html! {
        section.card {
            h2 { "What was read" }
            dl.books {
                @for (name, count) in [("lines", input.lines), ("requests", input.requests), ("not requests", input.ignored), ("late", input.late), ("dead letters", input.dead_lettered)] {
                    div { dt { (name) } dd { (thousands(count)) } }
                }
            }
        }
    }
}
