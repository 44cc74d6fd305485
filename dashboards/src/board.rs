//! What stands on which dashboard, and where.

pub(crate) mod overview;
pub(crate) mod service;

use crate::filter::Filter;
use crate::lens::{Column, Format, Lens, Metric, Operation, Series, Visualization};
use crate::panel::{Content, Grid, Panel};
use crate::view::View;

/// A chart over time of the results.
fn over_time(
    (id, title): (&str, &str),
    grid: Grid,
    series: Series,
    filters: Vec<Filter>,
    columns: Vec<Column>,
) -> Panel {
    let lens =
        Lens { view: View::Results, filters, columns, visualization: Visualization::Xy(series, Vec::new()) };
    Panel::new(id, title, grid, Content::Lens(Box::new(lens)))
}

/// The lowest share in each bucket: a mean of ratios would hide the worst one.
fn lowest(id: &str, label: &str, field: &'static str) -> Column {
    Column::new(id, label, Operation::Metric(Metric::Min, field)).with(Format::Percent(2))
}

/// What the newest minute says of a share.
fn newest_share(id: &str, label: &str, field: &'static str, decimals: u8) -> Column {
    Column::new(id, label, Operation::LastNumber(field)).with(Format::Percent(decimals))
}

fn sum(id: &str, label: &str, field: &'static str) -> Column {
    Column::new(id, label, Operation::Metric(Metric::Sum, field)).with(Format::Number(0))
}
