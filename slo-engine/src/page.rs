//! The pages: budgets, burn-down, where and when it hurt. Plain HTML and SVG from the same values as the API; no script.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::format::clock;
use crate::overview::{Detail, IncidentView, Overview};

mod chart;
pub mod list;
pub mod service;

/// States with their names, the one that needs someone most first.
pub(crate) const STATES: [(&str, &str); 5] = [
    ("exhausted", "exhausted"),
    ("burning", "burning"),
    ("healthy", "healthy"),
    ("idle", "idle"),
    ("no_data", "no data"),
];

/// The style of all pages.
pub(crate) const STYLE: &str = include_str!("page/style.css");

/// Most lines of anything that grows without end.
const SHOWN: usize = 20;

/// Everything that is known of all services.
pub struct PageModel {
    /// Figures, alerts and books.
    pub overview: Overview,
    /// Every SLO with its charts, in the order of the overview.
    pub details: Vec<Detail>,
    /// Incidents, newest first.
    pub incidents: Vec<IncidentView>,
}

/// A whole document that stands by itself, in the style of the pages.
pub(crate) fn document(title: &str, head: &Markup, body: &Markup) -> Markup {
    let style = html! { style { (PreEscaped(STYLE)) } };
    skeleton(title, &html! { (style) (head) }, body)
}

/// A document that this server serves: its style comes from beside it.
fn served(title: &str, head: &Markup, body: &Markup) -> Markup {
    let links = html! { link rel="stylesheet" href="/style.css"; link rel="icon" href="data:,"; };
    skeleton(title, &html! { (links) (head) }, body)
}

fn skeleton(title: &str, head: &Markup, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                (head)
            }
            body { (body) }
        }
    }
}

fn footer() -> Markup {
    html! {
        footer {
            "Figures are of the requests that reached the logs. Ratios are rounded down. "
            a href="/v1/slos" { "API" } " · " a href="/openapi.json" { "OpenAPI" } " · " a href="/metrics" { "Metrics" }
        }
    }
}

fn incident_table(incidents: &[IncidentView]) -> Markup {
    let more = incidents.len().saturating_sub(SHOWN);
    html! {
        section.card {
            h2 { "Alerts" }
            @if incidents.is_empty() { p.sub { "Nothing has fired." } }
            @for incident in incidents.iter().take(SHOWN) {
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
            @if more > 0 { p.sub { "and " (more) " more: " a href="/v1/incidents" { "all incidents" } } }
        }
    }
}
