//! The dashboard of one service: what is left, how fast it goes, and the lines that say why.

use serde_json::{Value, json};
use slo::counts::Sli;
use slo::objective::SloSpec;

use super::{lowest, newest_share, over_time, sum};
use crate::board::overview;
use crate::filter::Filter;
use crate::lens::{Column, Direction, Format, Lens, Metric, Operation, Order, Series, Table, Visualization};
use crate::object::{Kind, Reference, SavedObject, Scope, text};
use crate::panel::{COLUMNS, Content, Grid, Heading, Layout, Link, Panel, Target, dashboard};
use crate::service::{ServiceDashboard, Workload, sli_name};
use crate::view::View;
use crate::words;

/// The burn rates that are drawn: field and label.
const BURN_RATES: [(&str, &str); 7] = [
    ("burn_rate_5m", "5 min"),
    ("burn_rate_30m", "30 min"),
    ("burn_rate_1h", "1 h"),
    ("burn_rate_2h", "2 h"),
    ("burn_rate_6h", "6 h"),
    ("burn_rate_1d", "1 d"),
    ("burn_rate_3d", "3 d"),
];

/// Id of a service's dashboard.
pub(crate) fn id(service: &str, scope: Scope<'_>) -> String {
    scope.id(Kind::Dashboard, &name(service))
}

fn name(service: &str) -> String {
    format!("service/{service}")
}

/// The dashboard, and the saved search of its error lines.
pub(crate) fn objects(service: &ServiceDashboard, scope: Scope<'_>) -> Vec<SavedObject> {
    let mut panels = vec![links(service, scope)];
    let slos = service.sorted_slos();
    let width = COLUMNS / slos.len().max(1) as u64;
    for (at, slo) in (0..).zip(&slos) {
        let place = |y, h| Grid::new(at * width, y, width, h);
        panels.push(budget(service, slo, Grid::new(at * (width / 2), 4, width / 2, 8)));
        panels.push(burn(service, slo, place(12, 13)));
        panels.push(requests(service, slo, place(25, 10)));
    }
    panels.push(now(service));
    panels.extend(history(service));
    let mut objects = Vec::new();
    if let Some(workload) = &service.workload {
        let lines = error_lines(service, workload, scope);
        let list = Content::Search(lines.id.clone());
        panels.push(error_rate(workload));
        panels.push(Panel::new("error-lines", "Error lines", Grid::new(0, 53, 48, 18), list));
        objects.push(lines);
    }
    let words = Content::Markdown(words::service(service));
    panels.push(Panel::new("words", "How to read this", Grid::new(0, 71, 48, 10), words));
    let name = name(&service.service);
    let heading = Heading {
        name: &name,
        title: format!("Headroom: {} ({})", service.title(), scope.environment),
        description: "Error budgets of one service, and the lines that say why.",
    };
    objects.push(dashboard(heading, &panels, scope));
    objects
}

fn only(service: &ServiceDashboard, slo: Option<&SloSpec>) -> Vec<Filter> {
    let slo = slo.map(|slo| Filter::Is("slo", sli_name(slo.sli).to_owned()));
    [Filter::Is("service", service.service.clone())].into_iter().chain(slo).collect()
}

fn links(service: &ServiceDashboard, scope: Scope<'_>) -> Panel {
    let overview = Link { label: "All services".to_owned(), to: Target::Dashboard(overview::id(scope)) };
    let runbook = service.runbook_url.iter();
    let runbook = runbook.map(|url| Link { label: "Runbook".to_owned(), to: Target::Url(url.clone()) });
    let links = [overview].into_iter().chain(runbook).collect();
    Panel::new("links", "Elsewhere", Grid::new(0, 0, 48, 4), Content::Links(Layout::Horizontal, links))
}

/// One number that tells whether to get up.
fn budget(service: &ServiceDashboard, slo: &SloSpec, grid: Grid) -> Panel {
    let columns = vec![newest_share("budget", "Budget left", "budget_remaining", 2)];
    let lens = Lens {
        view: View::Results,
        filters: only(service, Some(slo)),
        columns,
        visualization: Visualization::Metric,
    };
    let title = format!("{}: budget left", words::title(slo.sli));
    Panel::new(format!("budget-{}", sli_name(slo.sli)), title, grid, Content::Lens(Box::new(lens)))
}

/// What the newest minute says of each SLO.
fn now(service: &ServiceDashboard) -> Panel {
    let burn = |id: &str, label: &str, field| {
        Column::new(id, label, Operation::LastNumber(field)).with(Format::Number(2))
    };
    let columns = vec![
        Column::new("slo", "SLO", Operation::Terms { field: "slo", size: 5, order: Order::Alphabetical }),
        newest_share("budget", "Budget left", "budget_remaining", 2),
        Column::new("state", "State", Operation::LastWord("state")),
        newest_share("sli", "SLI", "sli", 4),
        burn("burn-5m", "Burn rate, 5 min", "burn_rate_5m"),
        burn("burn-1h", "Burn rate, 1 h", "burn_rate_1h"),
        burn("burn-6h", "Burn rate, 6 h", "burn_rate_6h"),
        newest_share("coverage", "Coverage", "coverage", 2),
        sum("total", "Requests in this time", "total"),
        sum("bad", "Bad in this time", "bad"),
    ];
    let table = Table { sort: ("slo", Direction::Ascending), budget: "budget", rows: 10 };
    let filters = only(service, None);
    let lens = Lens { view: View::Results, filters, columns, visualization: Visualization::Table(table) };
    Panel::new("now", "Now", Grid::new(24, 4, 24, 8), Content::Lens(Box::new(lens)))
}

/// How fast the budget goes, with the lines over which someone is told.
fn burn(service: &ServiceDashboard, slo: &SloSpec, grid: Grid) -> Panel {
    let rates = BURN_RATES.iter().map(|(field, label)| {
        Column::new(field, format!("last {label}"), Operation::Metric(Metric::Max, field))
            .with(Format::Number(2))
    });
    let columns = [Column::time()].into_iter().chain(rates).collect();
    let visualization = Visualization::Xy(Series::Line, words::thresholds(slo));
    let lens = Lens { view: View::Results, filters: only(service, Some(slo)), columns, visualization };
    let title = format!("{}: burn rates, highest in each interval", words::title(slo.sli));
    Panel::new(format!("burn-{}", sli_name(slo.sli)), title, grid, Content::Lens(Box::new(lens)))
}

fn requests(service: &ServiceDashboard, slo: &SloSpec, grid: Grid) -> Panel {
    let (good, bad) = match slo.sli {
        Sli::Availability => ("answered".to_owned(), "failed"),
        Sli::Latency => (format!("under {} ms", words::millis(slo.threshold_us.unwrap_or_default())), "slow"),
    };
    let columns = vec![Column::time(), sum("good", &good, "good"), sum("bad", bad, "bad")];
    let id = format!("requests-{}", sli_name(slo.sli));
    let title = format!("{}: requests", words::title(slo.sli));
    over_time((&id, &title), grid, Series::GoodAndBad, only(service, Some(slo)), columns)
}

/// Budget, SLI and coverage of each SLO over time.
fn history(service: &ServiceDashboard) -> [Panel; 3] {
    let chart = |id: &str, title: &str, at: u64, series, number| {
        let split = Operation::Terms { field: "slo", size: 5, order: Order::Alphabetical };
        let columns = vec![Column::new("slo", "SLO", split), Column::time(), number];
        over_time((id, title), Grid::new(at * 16, 35, 16, 10), series, only(service, None), columns)
    };
    let sli = newest_share("sli", "SLI", "sli", 4);
    [
        chart("budget", "Budget left", 0, Series::Line, lowest("budget", "Budget left", "budget_remaining")),
        chart("sli", "SLI over the window", 1, Series::LineClose, sli),
        chart("coverage", "Coverage", 2, Series::Line, lowest("coverage", "Coverage", "coverage")),
    ]
}

/// Lines of the service's pods, by the name of the pod or of its container.
fn of_workload(workload: &Workload) -> [Filter; 2] {
    let pod = json!({ "prefix": { "kubernetes.pod_name": format!("{}-", workload.name) } });
    let container = json!({ "term": { "kubernetes.container_name": workload.name } });
    let either = json!({ "bool": { "minimum_should_match": 1, "should": [pod, container] } });
    [
        Filter::Is("kubernetes.pod_namespace", workload.namespace.clone()),
        Filter::Query("pods of the service", either),
    ]
}

/// What is written to stderr, and what names an error.
fn of_errors() -> Filter {
    let stderr = json!({ "term": { "stream": "stderr" } });
    let words = json!({ "match": { "message": "error fatal panic exception" } });
    let either: Value = json!({ "bool": { "minimum_should_match": 1, "should": [stderr, words] } });
    Filter::Query("stderr, or a message with error, fatal, panic or exception", either)
}

fn error_filters(workload: &Workload) -> Vec<Filter> {
    of_workload(workload).into_iter().chain([of_errors()]).collect()
}

fn error_rate(workload: &Workload) -> Panel {
    let count = Column::new("lines", "Error lines", Operation::Count).with(Format::Number(0));
    let columns = vec![Column::time(), count];
    let visualization = Visualization::Xy(Series::BarStacked, Vec::new());
    let lens = Lens { view: View::Logs, filters: error_filters(workload), columns, visualization };
    Panel::new("errors", "Error lines over time", Grid::new(0, 45, 48, 8), Content::Lens(Box::new(lens)))
}

fn error_lines(service: &ServiceDashboard, workload: &Workload, scope: Scope<'_>) -> SavedObject {
    const SOURCE: &str = "kibanaSavedObjectMeta.searchSourceJSON";
    let view = View::Logs.id(scope);
    let index = |name: String| Reference::new(name, Kind::DataView, view.clone());
    let filters = error_filters(workload);
    let names: Vec<String> =
        (0..filters.len()).map(|at| format!("{SOURCE}.filter[{at}].meta.index")).collect();
    let filters: Vec<Value> =
        filters.iter().zip(&names).map(|(filter, name)| filter.json(("indexRefName", name))).collect();
    let own = format!("{SOURCE}.index");
    let source = json!({
        "filter": filters,
        "highlightAll": true,
        "indexRefName": own,
        "query": { "language": "kuery", "query": "" },
        "version": true,
    });
    let attributes = json!({
        "columns": ["kubernetes.pod_name", "stream", "message"],
        "description": "What its pods wrote to stderr, and messages that name an error.",
        "grid": {},
        "hideChart": false,
        "kibanaSavedObjectMeta": { "searchSourceJSON": text(source) },
        "sort": [["@timestamp", "desc"]],
        "title": format!("Headroom: error lines of {} ({})", service.title(), scope.environment),
    });
    SavedObject {
        kind: Kind::Search,
        id: scope.id(Kind::Search, &name(&service.service)),
        attributes,
        references: [own].into_iter().chain(names).map(index).collect(),
    }
}
