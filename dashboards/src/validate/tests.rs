//! A good export has no problems; every way of breaking it is found.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};
use slo::objective::SloSpec;

use super::validate;
use crate::fields::ALL;
use crate::{ServiceDashboard, Workload, ndjson, render};

static GOOD: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let service = ServiceDashboard {
        service: "shop/web".to_owned(),
        workload: Some(Workload { namespace: "shop".to_owned(), name: "web".to_owned() }),
        slos: SloSpec::defaults().to_vec(),
        runbook_url: Some("https://runbooks.example.net/web".to_owned()),
    };
    let text = ndjson(&render(&[service], "production", "default"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
});

fn told(objects: &[Value]) -> Vec<String> {
    let text: String = objects.iter().map(|object| format!("{object}\n")).collect();
    validate(&text, &ALL).iter().map(ToString::to_string).collect()
}

/// The service's dashboard, the last object, with its panels changed.
fn with_panels(change: impl FnOnce(&mut Vec<Value>)) -> Vec<Value> {
    let mut objects = GOOD.clone();
    let json = &mut objects.last_mut().unwrap()["attributes"]["panelsJSON"];
    let mut panels: Vec<Value> = serde_json::from_str(json.as_str().unwrap()).unwrap();
    change(&mut panels);
    *json = Value::from(panels).to_string().into();
    objects
}

fn panel<'p>(panels: &'p mut [Value], name: &str) -> &'p mut Value {
    panels.iter_mut().find(|panel| panel["panelIndex"] == name).unwrap()
}

#[track_caller]
fn check(objects: &[Value], want: &str) {
    let told = told(objects);
    assert!(told.iter().any(|problem| problem.contains(want)), "{want:?} is not in {told:#?}");
}

#[test]
fn what_is_rendered_holds_together() {
    assert_eq!(told(&GOOD), Vec::<String>::new());
}

#[test]
fn the_envelope_is_looked_at() {
    let with = |key: &str, value: Value| {
        let mut objects = GOOD.clone();
        objects[0][key] = value;
        objects
    };
    check(&with("type", "lens".into()), "type \"lens\" is none of ours");
    check(&with("id", "web".into()), "is not a UUID");
    check(&with("coreMigrationVersion", "9.0.0".into()), "not 8.8.0");
    check(&with("typeMigrationVersion", "10.2.0".into()), "not 8.0.0");
    let twice: Vec<Value> = GOOD.iter().chain(GOOD.first()).cloned().collect();
    check(&twice, "stands twice");
    assert_eq!(validate("{\"a\n", &ALL).len(), 1);
}

#[test]
fn what_is_needed_must_be_there() {
    for missing in 0..GOOD.len() - 1 {
        let mut objects = GOOD.clone();
        let gone = objects.remove(missing);
        if gone["attributes"]["title"] != "headroom-counts-production" {
            check(
                &objects,
                &format!("there is no {} {}", gone["type"].as_str().unwrap(), gone["id"].as_str().unwrap()),
            );
        }
    }
    let mut objects = GOOD.clone();
    let other = json!({ "name": "x", "type": "dashboard", "id": objects.last().unwrap()["id"] });
    objects.last_mut().unwrap()["references"].as_array_mut().unwrap().push(other);
    check(&objects, "nothing uses \"x\"");
}

#[test]
fn panels_stay_within_the_grid_and_beside_each_other() {
    check(&with_panels(|panels| panels[0]["gridData"]["w"] = 49.into()), "is not within the 48 columns");
    check(&with_panels(|panels| panels[0]["gridData"]["x"] = (-1).into()), "is not within the 48 columns");
    check(&with_panels(|panels| panels[0]["gridData"]["h"] = 11.into()), "lies over panel");
    check(&with_panels(|panels| panels[0]["panelIndex"] = "now".into()), "stands twice");
    check(&with_panels(|panels| panels[0]["gridData"]["i"] = "x".into()), "gridData.i");
}

#[test]
fn charts_draw_columns_that_are_there() {
    let lens = |name: &'static str, path: &'static str, value: Value| {
        with_panels(|panels| {
            let attributes = &mut panel(panels, name)["embeddableConfig"]["attributes"];
            *attributes.pointer_mut(path).unwrap() = value;
        })
    };
    let columns = "/state/datasourceStates/formBased/layers/data/columns";
    check(
        &lens("burn-latency", "/state/visualization/layers/0/accessors/0", "x".into()),
        "which is not there",
    );
    check(&lens("budget-latency", "/state/visualization/metricAccessor", "x".into()), "which is not there");
    check(&lens("now", "/state/visualization/columns/0/columnId", "x".into()), "which is not there");
    check(&lens("now", "/state/visualization/sorting/columnId", "x".into()), "is sorted by");
    check(
        &lens("errors", "/state/datasourceStates/formBased/layers/data/columnOrder", json!(["time"])),
        "columnOrder",
    );
    check(&lens("now", "/state/query/query", "slo: latency".into()), "the query must be empty");
    check(&lens("now", "/references/0/id", "x".into()), "or name another data view");
    check(&lens("now", "/state/filters/0/meta/params/query", "x".into()), "not the phrase that is shown");
    check(&lens("now", columns, json!({})), "which is not there");
}

#[test]
fn operations_are_known_and_their_fields_are_mapped() {
    let column = |name: &'static str, column: &'static str, key: &'static str, value: Value| {
        with_panels(|panels| {
            let state = &mut panel(panels, name)["embeddableConfig"]["attributes"]["state"];
            state["datasourceStates"]["formBased"]["layers"]["data"]["columns"][column][key] = value;
        })
    };
    check(&column("now", "sli", "sourceField", "slis".into()), "has no field \"slis\"");
    check(&column("now", "sli", "operationType", "formula".into()), "\"formula\" is none of ours");
    check(&column("now", "bad", "sourceField", "state".into()), "sum of \"state\"");
    check(&column("now", "state", "sourceField", "sli".into()), "last_value of \"sli\"");
    check(&column("now", "slo", "isBucketed", false.into()), "isBucketed is wrong");
    check(&column("now", "bad", "filter", json!({ "query": "x" })), "has a filter of its own");
    let order = json!({ "orderBy": { "type": "column", "columnId": "sli" }, "size": 5 });
    check(&column("now", "slo", "params", order), "cannot be ordered by column \"sli\"");
    check(&column("errors", "lines", "sourceField", "message".into()), "counts something else");
}

/// Every value of a kind that breaks something, by its path: within text of JSON, too.
fn paths(value: &Value, path: String, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| paths(value, format!("{path}/{key}"), found))
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, value)| paths(value, format!("{path}/{at}"), found));
        }
        _ => found.push(path),
    }
}

/// What must never change unseen: names, references and places.
const BEARING: [&str; 17] = [
    "/panelIndex",
    "/gridData/i",
    "/gridData/w",
    "/layerId",
    "/xAccessor",
    "/metricAccessor",
    "/splitAccessor",
    "/forAccessor",
    "/columnId",
    "/operationType",
    "/sourceField",
    "/sortField",
    "/destinationRefName",
    "/panelRefName",
    "/meta/index",
    "/visualizationType",
    "/isBucketed",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_name_can_be_changed_unseen(pick in any::<prop::sample::Index>(), garbage in "[a-z]{8}") {
        let objects = with_panels(|panels| {
            let mut all = Vec::new();
            paths(&Value::from(panels.clone()), String::new(), &mut all);
            all.retain(|path| BEARING.iter().any(|end| path.ends_with(end)));
            let path = &all[pick.index(all.len())];
            let mut whole = Value::from(std::mem::take(panels));
            *whole.pointer_mut(path).unwrap() = garbage.into();
            *panels = whole.as_array().unwrap().clone();
        });
        prop_assert!(!told(&objects).is_empty());
    }

    #[test]
    fn no_reference_can_be_lost_or_changed_unseen(
        object in 3..GOOD.len(), pick in any::<prop::sample::Index>(), key in 0..4_usize, garbage in "[a-z]{8}",
    ) {
        let mut objects = GOOD.clone();
        let references = objects[object]["references"].as_array_mut().unwrap();
        let at = pick.index(references.len());
        match key {
            3 => drop(references.remove(at)),
            key => references[at][["name", "type", "id"][key]] = garbage.into(),
        }
        prop_assert!(!told(&objects).is_empty());
    }

    #[test]
    fn nothing_makes_it_panic(line in 0..GOOD.len(), cut in any::<prop::sample::Index>(), put in ".{0,8}") {
        let text = GOOD[line].to_string();
        let ends: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let at = ends[cut.index(ends.len())];
        validate(&format!("{}{put}{}", &text[..at], &text[at..]), &ALL);
        validate(&text[..at], &ALL);
    }
}
