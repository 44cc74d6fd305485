//! The page of one service: its card with charts, and its alerts.

use maud::{Markup, html};

use super::{chart, footer, incident_table, served};
use crate::format::{clock, percent, shorten, thousands};
use crate::overview::{ClusterView, Detail, IncidentView, ServiceView, SloView, WindowView};

/// What the page of one service is made of.
#[derive(Clone, Copy, Debug)]
pub struct One<'a> {
    /// The rolling window that figures are of.
    pub window: &'a WindowView,
    /// The service.
    pub view: &'a ServiceView,
    /// Its SLOs with their charts.
    pub details: &'a [Detail],
    /// Its incidents, newest first.
    pub incidents: &'a [IncidentView],
}

/// Renders the page of one service.
pub fn render(model: &One<'_>) -> Markup {
    let body = html! {
        header.top {
            div {
                h1 { a href="/" { "Headroom" } }
                p.sub {
                    "30 days to " time datetime=(model.window.to) { (clock(&model.window.to)) }
                }
            }
        }
        main {
            (card(model.view, model.details))
            (incident_table(model.incidents))
        }
        (footer())
    };
    served(&format!("{} · Headroom", model.view.service), &html! {}, &body)
}

fn card(view: &ServiceView, details: &[Detail]) -> Markup {
    let latency = view.latency_ms;
    html! {
        section.card {
            header.service {
                h2 { (view.service) }
                @if let Some(cluster) = &view.cluster { (of_cluster(cluster)) }
                @if let (Some(p50), Some(p95), Some(p99)) = (latency.p50, latency.p95, latency.p99) {
                    p.sub { "p50 " b { (p50) } " · p95 " b { (p95) } " · p99 " b { (p99) } " ms" }
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
                (chart::burn_down(&detail.burn_down))
                (chart::hurt(&detail.hurt))
            }
        }
    }
}

/// What is left, without decimals where it is below 0.
pub(super) fn left(slo: &SloView) -> String {
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
