//! The figures are those of an independent count, in whatever order and cut the lines come.

mod cuts;
mod plain;

use anyhow::Result;
use serde_json::{Value, json};
use tests::{recorded, reference};

use crate::engine;

/// A service's figures by name: total, good and excluded of both SLOs.
fn figures(overview: &Value) -> Value {
    let services = overview["services"].as_array().unwrap().iter();
    let of = |service: &Value| {
        let slos = service["slos"].as_array().unwrap().iter();
        let counts = |slo: &Value| json!([slo["total"], slo["good"], slo["excluded"]]);
        slos.map(|slo| (slo["slo"].as_str().unwrap().to_owned(), counts(slo))).collect::<Value>()
    };
    services.map(|service| (service["service"].as_str().unwrap().to_owned(), of(service))).collect()
}

/// The same from `count.py`.
fn truth(count: &Value) -> Value {
    let of = |service: &Value| {
        let counts =
            |slo: &str| json!([service[slo]["total"], service[slo]["good"], service[slo]["excluded"]]);
        json!({ "availability": counts("availability"), "latency": counts("latency") })
    };
    let services = count["services"].as_object().unwrap().iter();
    services.map(|(name, service)| (name.clone(), of(service))).collect()
}

#[tokio::test]
async fn the_recorded_logs_give_the_figures_of_an_independent_count() -> Result<()> {
    let Some(count) = reference::count_pods(&recorded())? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let overview = engine().up(dir.path(), &[recorded()]).await?.json()?;
    assert_eq!(figures(&overview), truth(&count));
    // The pds stands behind the ingress: its own log says the same requests again. They are lines of the input, and
    // count for no SLO.
    let number = |value: &Value| value.as_u64().unwrap();
    let lines = number(&count["total"]["records"]);
    let requests = number(&count["total"]["requests"]) + number(&count["pds_own_log"]["requests"]);
    let want = json!({
        "lines": lines, "requests": requests, "ignored": lines - requests, "late": 0, "dead_lettered": 0,
    });
    assert_eq!(overview["input"], want);
    Ok(())
}
