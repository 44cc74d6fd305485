//! What is drawn from the columns: lines and bars, one number, or a table.

use serde_json::{Value, json};

use super::{Column, DATA, Direction, Format, Operation, THRESHOLDS};

const RED: &str = "#BD271E";
const AMBER: &str = "#D6BF57";
const GREEN: &str = "#209280";

/// A drawing.
#[derive(Clone, Debug)]
pub(crate) enum Visualization {
    /// Over time; the bucket that is not time splits it into series.
    Xy(Series, Vec<Threshold>),
    /// One number, coloured as a share of the budget.
    Metric,
    /// Rows.
    Table(Table),
}

/// How numbers over time are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Series {
    /// Lines over 0.
    Line,
    /// Lines over what is there, where 0 would hide the differences.
    LineClose,
    /// Bars on top of each other.
    BarStacked,
    /// Bars on top of each other, the first column green and the second red.
    GoodAndBad,
}

/// A table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    /// The column that rows are sorted by.
    pub(crate) sort: (&'static str, Direction),
    /// The column that is coloured as a share of the budget.
    pub(crate) budget: &'static str,
    /// Rows a page.
    pub(crate) rows: usize,
}

/// A line across the chart.
#[derive(Clone, Debug)]
pub(crate) struct Threshold {
    /// Name of its column.
    pub(crate) id: String,
    /// What is beyond it.
    pub(crate) label: String,
    /// Where it is.
    pub(crate) value: String,
    /// Whether someone is woken there.
    pub(crate) is_page: bool,
}

impl Threshold {
    pub(crate) fn column(&self) -> Column {
        Column::new(&self.id, &self.label, Operation::Static(self.value.clone())).with(Format::Number(2))
    }

    fn line(&self) -> Value {
        json!({
            "axisMode": "left",
            "color": if self.is_page { RED } else { AMBER },
            "fill": "none",
            "forAccessor": self.id,
            "iconPosition": "auto",
            "lineStyle": "dashed",
            "lineWidth": 1,
            "textVisibility": true,
        })
    }
}

impl Visualization {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Xy(..) => "lnsXY",
            Self::Metric => "lnsMetric",
            Self::Table(_) => "lnsDatatable",
        }
    }

    pub(crate) fn thresholds(&self) -> &[Threshold] {
        match self {
            Self::Xy(_, thresholds) => thresholds,
            Self::Metric | Self::Table(_) => &[],
        }
    }

    pub(crate) fn json(&self, columns: &[Column]) -> Value {
        match self {
            Self::Xy(series, thresholds) => xy(*series, thresholds, columns),
            Self::Metric => json!({
                "layerId": DATA,
                "layerType": "data",
                "metricAccessor": ids(columns, |column| !column.is_bucketed()).first(),
                "palette": budget_palette(),
            }),
            Self::Table(table) => table.json(columns),
        }
    }
}

impl Table {
    fn json(&self, columns: &[Column]) -> Value {
        let columns = columns.iter().map(|column| {
            let mut shown = json!({ "columnId": column.id, "isTransposed": false });
            if column.id == self.budget {
                shown["colorMode"] = "cell".into();
                shown["palette"] = budget_palette();
            }
            shown
        });
        json!({
            "columns": columns.collect::<Vec<_>>(),
            "layerId": DATA,
            "layerType": "data",
            "paging": { "enabled": true, "size": self.rows },
            "sorting": { "columnId": self.sort.0, "direction": self.sort.1.name() },
        })
    }
}

fn xy(series: Series, thresholds: &[Threshold], columns: &[Column]) -> Value {
    let values = ids(columns, |column| !column.is_bucketed());
    let mut data = json!({
        "accessors": values,
        "layerId": DATA,
        "layerType": "data",
        "position": "top",
        "seriesType": series.name(),
        "showGridlines": false,
        "xAccessor": ids(columns, |column| matches!(column.operation, Operation::Time)).first(),
    });
    if let Some(split) = ids(columns, |column| matches!(column.operation, Operation::Terms { .. })).first() {
        data["splitAccessor"] = (*split).into();
    }
    if series == Series::GoodAndBad {
        let colours = values.iter().zip([GREEN, RED]);
        let colours = colours.map(|(id, colour)| json!({ "color": colour, "forAccessor": id }));
        data["yConfig"] = colours.collect();
    }
    let mut layers = vec![data];
    if !thresholds.is_empty() {
        layers.push(json!({
            "accessors": thresholds.iter().map(|line| &line.id).collect::<Vec<_>>(),
            "layerId": THRESHOLDS,
            "layerType": "referenceLine",
            "yConfig": thresholds.iter().map(Threshold::line).collect::<Vec<_>>(),
        }));
    }
    let extent = if series == Series::LineClose { "dataBounds" } else { "full" };
    json!({
        "axisTitlesVisibilitySettings": { "x": false, "yLeft": false, "yRight": false },
        "fittingFunction": "None",
        "layers": layers,
        "legend": { "isVisible": true, "position": "bottom", "shouldTruncate": false, "showSingleSeries": true },
        "preferredSeriesType": series.name(),
        "valueLabels": "hide",
        "yLeftExtent": { "mode": extent },
    })
}

impl Series {
    fn name(self) -> &'static str {
        match self {
            Self::Line | Self::LineClose => "line",
            Self::BarStacked | Self::GoodAndBad => "bar_stacked",
        }
    }
}

fn ids(columns: &[Column], wanted: impl Fn(&Column) -> bool) -> Vec<&str> {
    columns.iter().filter(|column| wanted(column)).map(|column| column.id.as_str()).collect()
}

/// Red where nothing is left, amber under a quarter.
fn budget_palette() -> Value {
    json!({
        "name": "custom",
        "params": {
            "colorStops": [
                { "color": RED, "stop": null },
                { "color": AMBER, "stop": 0 },
                { "color": GREEN, "stop": 0.25 },
            ],
            "continuity": "all",
            "maxSteps": 5,
            "name": "custom",
            "progression": "fixed",
            "rangeMax": null,
            "rangeMin": null,
            "rangeType": "number",
            "reverse": false,
            "steps": 3,
            "stops": [
                { "color": RED, "stop": 0 },
                { "color": AMBER, "stop": 0.25 },
                { "color": GREEN, "stop": 1 },
            ],
        },
        "type": "palette",
    })
}
