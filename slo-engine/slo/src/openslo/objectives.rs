//! The objective of a document: target or percentage, by requests or by slices of a minute.

use settings::{Node, Table, Value};

use crate::objective::{Method, Objective};
use crate::ratio::Ratio;

/// The slice that is counted.
const SLICE: &str = "1m";

/// Reads `budgetingMethod` and `objectives`.
pub(super) fn read(table: &mut Table<'_>) -> Option<(Objective, Method)> {
    let method = table.one_of("budgetingMethod", &["Occurrences", "Timeslices"], None);
    let items = table.list("objectives");
    let [item] = items else {
        table.problem("objectives", format!("expected exactly one objective, found {}", items.len()));
        return None;
    };
    one(Table::new(item, table.problems()), method)
}

fn one(mut table: Table<'_>, method: Option<&str>) -> Option<(Objective, Method)> {
    table.string("displayName");
    for key in ["indicator", "indicatorRef", "compositeWeight"] {
        if table.node(key).is_some() {
            let message =
                "metric source not supported: objectives with their own indicators; write one SLO each";
            table.problem(key, message);
        }
    }
    for key in ["op", "value"] {
        if table.node(key).is_some() {
            table.problem(key, "only threshold metrics have this key; take it out");
        }
    }
    let objective = objective(&mut table);
    let method = match method {
        Some("Timeslices") => slices(&mut table),
        Some(_) => occurrences(&mut table),
        None => {
            // Whether slices belong here cannot be told: the method is a mistake that was told already.
            let _ = (table.node("timeSliceTarget"), table.node("timeSliceWindow"));
            None
        }
    };
    table.finish();
    objective.zip(method)
}

fn objective(table: &mut Table<'_>) -> Option<Objective> {
    let (target, percent) = (table.node("target"), table.node("targetPercent"));
    let (key, percent) = match (target, percent) {
        (Some(node), None) => ("target", decimal(node).map(|share| share * Ratio::from(100))),
        (None, Some(node)) => ("targetPercent", decimal(node)),
        (Some(_), Some(_)) => {
            table.problem("targetPercent", "target and targetPercent are both set; keep one");
            return None;
        }
        (None, None) => {
            table.problem(
                "target",
                "this key is missing; expected target (like 0.999) or targetPercent (like 99.9)",
            );
            return None;
        }
    };
    let Some(percent) = percent else {
        table.problem(key, "expected a decimal number");
        return None;
    };
    let objective = Objective::of_percent(percent);
    if let Err(error) = &objective {
        table.problem(key, error.to_string());
    }
    objective.ok()
}

fn occurrences(table: &mut Table<'_>) -> Option<Method> {
    let set = ["timeSliceTarget", "timeSliceWindow"].into_iter().find(|key| table.node(key).is_some());
    if let Some(key) = set {
        table.problem(key, "only budgetingMethod Timeslices has slices; take this key out");
    }
    set.is_none().then_some(Method::Occurrences)
}

fn slices(table: &mut Table<'_>) -> Option<Method> {
    if table.required_string("timeSliceWindow") != SLICE {
        table.problem("timeSliceWindow", "slices are minutes: write \"1m\"");
    }
    let target = table.node("timeSliceTarget").and_then(decimal);
    let target = target.filter(|target| *target > Ratio::ZERO && *target <= Ratio::ONE);
    if target.is_none() {
        table.problem(
            "timeSliceTarget",
            "expected the share of good requests that makes a slice good, over 0 and up to 1",
        );
    }
    target.map(Method::Timeslices)
}

/// A number as it was written: a float's shortest text is the decimal that it was read from.
fn decimal(node: &Node) -> Option<Ratio> {
    match &node.value {
        Value::Int(number) => Some(Ratio::new((*number).into(), 1)),
        Value::Float(number) => Ratio::parse_decimal(&number.to_string()).ok(),
        Value::String(text) => Ratio::parse_decimal(text).ok(),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => None,
    }
}
