//! Lens charts by value: columns in layers, and what is drawn from them. Plain operations only, no formulas.

mod column;
mod visualization;

use serde_json::{Map, Value, json};

pub(crate) use column::{Column, Direction, Format, Metric, Operation, Order};
pub(crate) use visualization::{Series, Table, Threshold, Visualization};

use crate::filter::Filter;
use crate::object::{Kind, Reference, Scope};
use crate::view::View;

/// Name of the layer with the data.
pub(crate) const DATA: &str = "data";

/// Name of the layer with the thresholds.
pub(crate) const THRESHOLDS: &str = "thresholds";

/// A chart.
#[derive(Clone, Debug)]
pub(crate) struct Lens {
    /// Which indices it reads.
    pub(crate) view: View,
    /// What it is narrowed to.
    pub(crate) filters: Vec<Filter>,
    /// What it computes: first the buckets, outer before inner, then the numbers.
    pub(crate) columns: Vec<Column>,
    /// What it draws.
    pub(crate) visualization: Visualization,
}

impl Lens {
    /// Its attributes and the objects that it needs, named as within the panel.
    pub(crate) fn attributes(&self, title: &str, scope: Scope<'_>) -> (Value, Vec<Reference>) {
        let view = self.view.id(scope);
        let mut layers = Map::new();
        layers.insert(DATA.to_owned(), layer(&self.columns));
        let lines = self.visualization.thresholds();
        if !lines.is_empty() {
            layers.insert(
                THRESHOLDS.to_owned(),
                layer(&lines.iter().map(Threshold::column).collect::<Vec<_>>()),
            );
        }
        let layer_name = |layer: &String| format!("indexpattern-datasource-layer-{layer}");
        let filter_name = |at: usize| format!("filter-index-pattern-{at}");
        let names = layers.keys().map(layer_name).chain((0..self.filters.len()).map(filter_name));
        let mut references: Vec<Reference> =
            names.map(|name| Reference::new(name, Kind::DataView, view.clone())).collect();
        references.sort();
        let filters = self.filters.iter().enumerate();
        let filters: Vec<Value> =
            filters.map(|(at, filter)| filter.json(("index", &filter_name(at)))).collect();
        let attributes = json!({
            "references": references.iter().map(Reference::json).collect::<Vec<_>>(),
            "state": {
                "adHocDataViews": {},
                "datasourceStates": { "formBased": { "layers": layers } },
                "filters": filters,
                "internalReferences": [],
                "query": { "language": "kuery", "query": "" },
                "visualization": self.visualization.json(&self.columns),
            },
            "title": title,
            "type": "lens",
            "visualizationType": self.visualization.name(),
        });
        (attributes, references)
    }
}

fn layer(columns: &[Column]) -> Value {
    let order: Vec<&str> = columns.iter().map(|column| column.id.as_str()).collect();
    let columns: Map<String, Value> =
        columns.iter().map(|column| (column.id.clone(), column.json())).collect();
    json!({
        "columnOrder": order,
        "columns": columns,
        "ignoreGlobalFilters": false,
        "incompleteColumns": {},
        "sampling": 1,
    })
}
