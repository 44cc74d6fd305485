//! Layers of a chart: operations that are known, on fields that are there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Place, list, text};
use crate::fields::{FieldType, Fields};

pub(super) fn layer(layer: &Value, fields: Option<Fields<'_>>, place: &Place<'_>) {
    let columns = layer["columns"].as_object();
    let names: BTreeSet<&str> = columns.into_iter().flat_map(|it| it.keys()).map(String::as_str).collect();
    let order: Vec<&str> = list(&layer["columnOrder"]).iter().map(text).collect();
    if names.is_empty()
        || order.len() != names.len()
        || order.iter().copied().collect::<BTreeSet<_>>() != names
    {
        place.problem(format!("columnOrder {order:?} is not its columns {names:?}"));
    }
    let buckets: Vec<bool> = order.iter().map(|id| layer["columns"][*id]["isBucketed"] == true).collect();
    if !buckets.is_sorted_by(|left, right| left >= right) {
        place.problem("a bucket stands behind a number in columnOrder");
    }
    for (id, column) in columns.into_iter().flatten() {
        let place = place.at(format!("column {id:?}"));
        self::column(column, &layer["columns"], fields, &place);
    }
}

fn column(column: &Value, columns: &Value, fields: Option<Fields<'_>>, place: &Place<'_>) {
    let operation = text(&column["operationType"]);
    if text(&column["label"]).is_empty() {
        place.problem("has no label");
    }
    if !column["filter"].is_null() {
        place.problem("has a filter of its own, which is not checked");
    }
    let bucketed = matches!(operation, "terms" | "date_histogram");
    if column["isBucketed"] != bucketed {
        place.problem("isBucketed is wrong");
    }
    match operation {
        "static_value" => {
            if text(&column["params"]["value"]).parse::<f64>().is_err() {
                place.problem("its value is not a number");
            }
        }
        "count" => {
            if text(&column["sourceField"]) != "___records___" {
                place.problem("counts something else than documents");
            }
        }
        "date_histogram" | "terms" | "sum" | "average" | "min" | "max" | "last_value" => {
            on_field(operation, column, fields, place);
        }
        other => place.problem(format!("operation {other:?} is none of ours")),
    }
    if operation == "terms" {
        terms(&column["params"], columns, place);
    }
}

fn on_field(operation: &str, column: &Value, fields: Option<Fields<'_>>, place: &Place<'_>) {
    let Some(fields) = fields else { return };
    let name = text(&column["sourceField"]);
    let Some(kind) = fields.get(name) else {
        return place.problem(format!("{}* has no field {name:?}", fields.prefix));
    };
    let (allowed, data): (&[FieldType], &[&str]) = match operation {
        "date_histogram" => (&[FieldType::Date], &["date"]),
        "terms" => (&[FieldType::Keyword], &["string"]),
        "last_value" if kind == FieldType::Keyword => (&[FieldType::Keyword], &["string"]),
        _ => (&[FieldType::Long, FieldType::Double], &["number"]),
    };
    if !allowed.contains(&kind) || !data.contains(&text(&column["dataType"])) {
        place.problem(format!("{operation} of {name:?}, a {kind:?}, shown as {}", column["dataType"]));
    }
    if operation == "last_value" {
        place.date(fields, text(&column["params"]["sortField"]));
    }
}

fn terms(params: &Value, columns: &Value, place: &Place<'_>) {
    if !params["size"].as_u64().is_some_and(|size| (1..=1000).contains(&size)) {
        place.problem(format!("size {} is not within 1 to 1000", params["size"]));
    }
    let by = &params["orderBy"];
    match text(&by["type"]) {
        "alphabetical" => {}
        "column" => {
            let other = &columns[text(&by["columnId"])];
            // Elasticsearch sorts buckets by a number only.
            if !matches!(text(&other["operationType"]), "sum" | "average" | "min" | "max" | "count") {
                place.problem(format!("cannot be ordered by column {}", by["columnId"]));
            }
        }
        other => place.problem(format!("order {other:?} is none of ours")),
    }
}
