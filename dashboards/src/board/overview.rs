//! The overview: services in need first.

use super::{lowest, newest_share, over_time, sum};
use crate::filter::Filter;
use crate::lens::{Column, Direction, Format, Lens, Operation, Order, Series, Table, Visualization};
use crate::object::{Kind, SavedObject, Scope};
use crate::panel::{Content, Grid, Heading, Layout, Link, Panel, Target, dashboard};
use crate::view::View;
use crate::words;

/// Name of the dashboard within its space and environment; no service is called so, theirs hold a slash before.
pub(crate) const NAME: &str = "overview";

/// How many services a chart shows: more could not be told apart.
const SERIES: usize = 12;

/// How many services the table can hold; those with the least budget come first.
const ROWS: usize = 1000;

/// The overview over `services`, each with the id of its dashboard.
pub(crate) fn overview(services: &[(&str, String)], scope: Scope<'_>) -> SavedObject {
    let links = services.iter();
    let links = links
        .map(|(service, id)| Link { label: (*service).to_owned(), to: Target::Dashboard(id.clone()) })
        .collect();
    let words = Content::Markdown(words::OVERVIEW.to_owned());
    let panels = [
        need(),
        Panel::new(
            "services",
            "Dashboards of the services",
            Grid::new(36, 0, 12, 18),
            Content::Links(Layout::Vertical, links),
        ),
        over_time(
            ("budget", "Budget left of the services with the least"),
            Grid::new(0, 18, 24, 12),
            Series::Line,
            Vec::new(),
            by_service(lowest("budget", "Budget left", "budget_remaining"), Direction::Ascending),
        ),
        over_time(
            ("coverage", "Coverage of the services with the least"),
            Grid::new(24, 18, 24, 12),
            Series::Line,
            Vec::new(),
            by_service(lowest("coverage", "Coverage", "coverage"), Direction::Ascending),
        ),
        bad(
            "failed",
            "Failed requests of the services with the most",
            "availability",
            Grid::new(0, 30, 24, 12),
        ),
        bad("slow", "Slow requests of the services with the most", "latency", Grid::new(24, 30, 24, 12)),
        Panel::new("words", "How to read this", Grid::new(0, 42, 48, 6), words),
    ];
    let heading = Heading {
        name: NAME,
        title: format!("Headroom: services ({})", scope.environment),
        description: "Error budgets of every service, those in need first.",
    };
    dashboard(heading, &panels, scope)
}

/// Every SLO of every service, the least budget first.
fn need() -> Panel {
    let first = Order::By("lowest".to_owned(), Direction::Ascending);
    let columns = vec![
        Column::new("service", "Service", Operation::Terms { field: "service", size: ROWS, order: first }),
        Column::new("slo", "SLO", Operation::Terms { field: "slo", size: 5, order: Order::Alphabetical }),
        newest_share("budget", "Budget left", "budget_remaining", 2),
        Column::new("state", "State", Operation::LastWord("state")),
        Column::new("burn", "Burn rate, last hour", Operation::LastNumber("burn_rate_1h"))
            .with(Format::Number(2)),
        newest_share("sli", "SLI", "sli", 4),
        newest_share("coverage", "Coverage", "coverage", 2),
        lowest("lowest", "Lowest budget in this time", "budget_remaining"),
        sum("bad", "Bad requests in this time", "bad"),
    ];
    let table = Table { sort: ("budget", Direction::Ascending), budget: "budget", rows: 20 };
    let lens = Lens {
        view: View::Results,
        filters: Vec::new(),
        columns,
        visualization: Visualization::Table(table),
    };
    Panel::new("need", "Services in need first", Grid::new(0, 0, 36, 18), Content::Lens(Box::new(lens)))
}

fn bad(id: &str, title: &str, slo: &str, grid: Grid) -> Panel {
    let columns = by_service(sum("bad", "Bad requests", "bad"), Direction::Descending);
    let only = Filter::Is("slo", slo.to_owned());
    over_time((id, title), grid, Series::BarStacked, vec![only], columns)
}

/// A number over time for each of the services where it is the most, or the least.
fn by_service(number: Column, first: Direction) -> Vec<Column> {
    let order = Order::By(number.id.clone(), first);
    let split = Operation::Terms { field: "service", size: SERIES, order };
    vec![Column::new("service", "Service", split), Column::time(), number]
}

/// Id of the overview.
pub(crate) fn id(scope: Scope<'_>) -> String {
    scope.id(Kind::Dashboard, NAME)
}
