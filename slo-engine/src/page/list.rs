//! The page that is first: services that need someone on top, fifty a page, and what is open.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::service::left;
use super::{SHOWN, STATES, footer, incident_table, served};
use crate::discovery::Service;
use crate::figures::{Figures, Filter, Summary};
use crate::format::{clock, in_url, percent, thousands};
use crate::overview::{IncidentView, InputView, SloView};

/// Services of a page.
const PAGE: usize = 50;

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Which services.
    pub filter: Filter,
    /// Which page of them, from 1.
    pub page: usize,
}

/// The services of one page.
#[derive(Debug)]
pub struct Services {
    /// End of the rolling window.
    to: String,
    /// How many SLOs are in each state, of all services whose name is asked for.
    tally: [usize; STATES.len()],
    /// How many services there are of what is asked for.
    matched: usize,
    page: usize,
    rows: Vec<Row>,
}

/// A service of the list.
#[derive(Debug)]
struct Row {
    service: String,
    href: String,
    team: Option<String>,
    slos: [SloView; 2],
}

/// What the list is made of.
#[derive(Debug)]
pub struct List<'a> {
    /// What was asked for.
    pub asked: &'a Asked,
    /// The services of the page.
    pub services: Services,
    /// Incidents, newest first.
    pub incidents: &'a [IncidentView],
    /// The books of the input.
    pub input: InputView,
    /// What is wrong, and what the cluster does not say.
    pub warnings: Vec<String>,
}

/// How urgent a service is: the worst state of its SLOs, then the least that is left.
fn need(summary: &Summary<'_>) -> (usize, f64) {
    let rank =
        |slo: &SloView| STATES.iter().position(|(state, _)| *state == slo.state).unwrap_or(STATES.len());
    let left =
        |slo: &SloView| slo.budget_remaining.as_deref().and_then(|left| left.parse().ok()).unwrap_or(1.0);
    let rank = summary.slos.iter().map(rank).min().unwrap_or(STATES.len());
    (rank, summary.slos.iter().map(left).fold(f64::INFINITY, f64::min))
}

impl Services {
    /// Those of one page, the ones that need someone most first.
    pub fn of(figures: &Figures<'_>, asked: &Asked) -> Self {
        let summaries = figures.summaries(&asked.filter);
        let mut tally = [0; STATES.len()];
        for slo in summaries.iter().flat_map(|summary| &summary.slos) {
            if let Some(at) = STATES.iter().position(|(state, _)| *state == slo.state) {
                tally[at] += 1;
            }
        }
        let is_asked = |summary: &Summary<'_>| {
            asked.filter.state.is_none_or(|state| summary.slos.iter().any(|slo| slo.state == state))
        };
        let mut found: Vec<((usize, f64), Summary<'_>)> =
            summaries.into_iter().filter(is_asked).map(|summary| (need(&summary), summary)).collect();
        // Stable: what is as urgent stays by name.
        found.sort_by(|((rank, left), _), ((other, less), _)| rank.cmp(other).then(left.total_cmp(less)));
        let (matched, page) = (found.len(), asked.page.min(found.len().div_ceil(PAGE).max(1)));
        let rows = found.into_iter().skip((page - 1) * PAGE).take(PAGE).map(|(_, summary)| Row::of(summary));
        Self { to: figures.window().to, tally, matched, page, rows: rows.collect() }
    }
}

impl Row {
    fn of(summary: Summary<'_>) -> Self {
        let href = match summary.service {
            Service::Named { namespace, name } => format!("/services/{}/{}", in_url(namespace), in_url(name)),
            other => format!("/services/{}", in_url(&other.to_string())),
        };
        let team = summary.found.and_then(|found| found.team.clone());
        Self { service: summary.service.to_string(), href, team, slos: summary.slos }
    }
}

impl Asked {
    /// The address of the same question in this state, on this page.
    fn href(&self, state: Option<&str>, page: usize) -> String {
        let namespace = self.filter.namespace.as_deref().unwrap_or_default();
        let (state, page) =
            (state.unwrap_or_default(), if page > 1 { page.to_string() } else { String::new() });
        let mut href = "/".to_owned();
        let values =
            [("q", self.filter.text.as_str()), ("namespace", namespace), ("state", state), ("page", &page)];
        for (key, value) in values.into_iter().filter(|(_, value)| !value.is_empty()) {
            let sign = if href.len() == 1 { '?' } else { '&' };
            // Writing to a String cannot fail.
            let _ = write!(href, "{sign}{key}={}", in_url(value));
        }
        href
    }
}

/// Renders the list.
pub fn render(model: &List<'_>) -> Markup {
    let refresh = html! { meta http-equiv="refresh" content="30"; };
    let body = html! {
        (header(model))
        main {
            (told(&model.warnings))
            (open_incidents(model.incidents))
            section.card {
                (form(model.asked))
                (table(model))
                (pages(model))
            }
            (incident_table(model.incidents))
            (books(&model.input))
        }
        (footer())
    };
    served("Headroom", &refresh, &body)
}

fn header(model: &List<'_>) -> Markup {
    html! {
        header.top {
            div {
                h1 { a href="/" { "Headroom" } }
                p.sub {
                    "30 days to " time datetime=(model.services.to) { (clock(&model.services.to)) }
                }
            }
            ul.tally {
                @for ((state, label), count) in STATES.iter().zip(model.services.tally) {
                    @if count > 0 {
                        li class={ "chip " (state) } {
                            a href=(model.asked.href(Some(state), 1)) { b { (count) } " " (label) }
                        }
                    }
                }
            }
        }
    }
}

fn form(asked: &Asked) -> Markup {
    let Filter { text, namespace, state } = &asked.filter;
    html! {
        form.filter method="get" action="/" role="search" {
            label { "service " input type="search" name="q" value=(text); } " "
            label { "namespace " input type="text" name="namespace" value=(namespace.as_deref().unwrap_or_default()); } " "
            label { "state " select name="state" {
                option value="" { "any" }
                @for (word, label) in STATES { option value=(word) selected[*state == Some(word)] { (label) } }
            } } " "
            button type="submit" { "show" }
        }
    }
}

fn table(model: &List<'_>) -> Markup {
    let Asked { filter, .. } = model.asked;
    let is_all = filter.text.is_empty() && filter.namespace.is_none() && filter.state.is_none();
    html! {
        @if model.services.rows.is_empty() && is_all {
            h2 { "No service yet" }
            p { "No request has been read so far. Services appear here with their first request." }
        } @else if model.services.rows.is_empty() {
            p { "No service is like that. " a href="/" { "All services" } }
        } @else {
            table.services {
                thead { tr { th { "service" } th { "availability" } th { "latency" } } }
                tbody { @for row in &model.services.rows {
                    tr {
                        td { a href=(row.href) { (row.service) } @if let Some(team) = &row.team { " " span.sub { (team) } } }
                        @for slo in &row.slos {
                            td { span class={ "chip " (slo.state) } { (slo.state.replace('_', " ")) } @if slo.total > 0 {
                                " " b { (left(slo)) } " left "
                                span.sub { (percent(slo.sli.as_deref(), 4)) " of " (thousands(slo.total)) }
                            } }
                        }
                    }
                } }
            }
        }
    }
}

fn pages(model: &List<'_>) -> Markup {
    let Services { matched, page, .. } = model.services;
    let last = matched.div_ceil(PAGE);
    let to = |page: usize| model.asked.href(model.asked.filter.state, page);
    html! {
        @if last > 1 {
            nav.pages aria-label="pages" {
                @if page > 1 { a href=(to(page - 1)) rel="prev" { "before" } " " }
                span.sub { "page " (page) " of " (last) ", " (matched) " services" }
                @if page < last { " " a href=(to(page + 1)) rel="next" { "next" } }
            }
        }
    }
}

fn open_incidents(incidents: &[IncidentView]) -> Markup {
    let open = || incidents.iter().filter(|incident| incident.alert.resolved_at.is_none());
    let more = open().count().saturating_sub(SHOWN);
    html! {
        @if open().next().is_some() {
            section.open {
                @for incident in open().take(SHOWN) {
                    p { b { (incident.alert.severity) } " open since " (clock(&incident.alert.fired_at)) ": " (incident.summary) }
                }
                @if more > 0 { p { "and " (more) " more: " a href="/v1/incidents?open=true" { "all that are open" } } }
            }
        }
    }
}

fn told(warnings: &[String]) -> Markup {
    let more = warnings.len().saturating_sub(SHOWN);
    html! {
        @if !warnings.is_empty() {
            section.card {
                h2 { "What is wrong, and what the cluster does not say" }
                @for warning in warnings.iter().take(SHOWN) { p.sub { (warning) } }
                @if more > 0 { p.sub { "and " (more) " more: " code { "GET /v1/overview" } " lists them" } }
            }
        }
    }
}

fn books(input: &InputView) -> Markup {
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
