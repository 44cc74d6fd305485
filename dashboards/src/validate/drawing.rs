//! What a chart draws: columns that are in its layers, and all of them.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Place, list, text};

/// What has been drawn of which layer.
struct Drawn<'a, 'p> {
    layers: &'a Map<String, Value>,
    place: &'a Place<'p>,
    seen: BTreeSet<(&'a str, &'a str)>,
}

pub(super) fn drawing(kind: &str, drawing: &Value, layers: &Map<String, Value>, place: &Place<'_>) {
    let mut drawn = Drawn { layers, place, seen: BTreeSet::new() };
    match kind {
        "lnsXY" => list(&drawing["layers"]).iter().for_each(|layer| drawn.xy(layer)),
        "lnsMetric" => {
            let layer = text(&drawing["layerId"]);
            drawn.column(layer, text(&drawing["metricAccessor"]), &|column| column["isBucketed"] == false);
        }
        "lnsDatatable" => drawn.table(drawing),
        other => place.problem(format!("visualization {other:?} is none of ours")),
    }
    let seen = drawn.seen;
    for (name, layer) in layers {
        for column in list(&layer["columnOrder"]).iter().map(text) {
            if !seen.contains(&(name, column)) {
                place.problem(format!("column {column:?} of layer {name:?} is not drawn"));
            }
        }
    }
}

impl<'a> Drawn<'a, '_> {
    /// A column that must be there and be as `wanted`.
    fn column(&mut self, layer: &'a str, id: &'a str, wanted: &dyn Fn(&Value) -> bool) {
        let column = self.layers.get(layer).map(|layer| &layer["columns"][id]);
        match column.filter(|column| column.is_object()) {
            None => self.place.problem(format!("draws column {id:?} of layer {layer:?}, which is not there")),
            Some(column) if !wanted(column) => {
                self.place
                    .problem(format!("column {id:?} of layer {layer:?} is not of the kind that is drawn"));
            }
            Some(_) => {}
        }
        self.seen.insert((layer, id));
    }

    fn xy(&mut self, layer: &'a Value) {
        let name = text(&layer["layerId"]);
        for id in list(&layer["accessors"]) {
            self.column(name, text(id), &|column| column["isBucketed"] == false);
        }
        let decorated: Vec<&str> =
            list(&layer["yConfig"]).iter().map(|it| text(&it["forAccessor"])).collect();
        if let Some(id) =
            decorated.iter().find(|id| !list(&layer["accessors"]).iter().any(|it| text(it) == **id))
        {
            self.place.problem(format!("yConfig names {id:?}, which layer {name:?} does not draw"));
        }
        match text(&layer["layerType"]) {
            "data" => {
                self.column(name, text(&layer["xAccessor"]), &|column| {
                    column["operationType"] == "date_histogram"
                });
                if !layer["splitAccessor"].is_null() {
                    self.column(name, text(&layer["splitAccessor"]), &|column| {
                        column["operationType"] == "terms"
                    });
                }
                if !matches!(text(&layer["seriesType"]), "line" | "bar_stacked" | "area") {
                    self.place.problem(format!("series {} is none of ours", layer["seriesType"]));
                }
            }
            "referenceLine" => {}
            other => self.place.problem(format!("layer type {other:?} is none of ours")),
        }
    }

    fn table(&mut self, table: &'a Value) {
        let layer = text(&table["layerId"]);
        for column in list(&table["columns"]) {
            self.column(layer, text(&column["columnId"]), &|_| true);
        }
        let sorting = text(&table["sorting"]["columnId"]);
        if !self.seen.contains(&(layer, sorting)) {
            self.place.problem(format!("is sorted by {sorting:?}, which it does not show"));
        }
    }
}
