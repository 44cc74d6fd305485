//! Count rows as they are written: one form, whoever writes or reads them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use slo::counts::{ByteRange, CountRow, Counts, MinuteId, Origin, RowKey, ServiceRef, Sli};
use slo::sketch::Sketch;

/// A row in serde's own words.
#[derive(Serialize, Deserialize)]
struct Derived {
    #[serde(flatten)]
    key: RowKey,
    range: ByteRange,
    #[serde(flatten)]
    counts: Counts,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ladder: Vec<u64>,
    #[serde(default, skip_serializing_if = "Sketch::is_empty")]
    sketch: Sketch,
}

fn row(service: ServiceRef, sli: Sli, total: u64, ladder: Vec<u64>, us: &[u64]) -> CountRow {
    let mut sketch = Sketch::default();
    us.iter().for_each(|&us| sketch.record(us));
    let (stream, origin, minute) = ("node-1/a \"b\"".to_owned(), Origin::Ingress, MinuteId(-7));
    let key = RowKey { stream, service, origin, sli, version: 3, minute };
    let counts = Counts { total, bad: total / 2, excluded: 1 };
    CountRow { key, range: ByteRange { start: 5, end: 900 }, counts, ladder, sketch }
}

#[track_caller]
fn written(row: &CountRow, want: &str) {
    assert_eq!(serde_json::to_string(row).unwrap(), want);
    assert_eq!(&serde_json::from_str::<CountRow>(want).unwrap(), row);
}

#[test]
fn a_row_is_one_flat_object() {
    let cart = ServiceRef::Named { namespace: "shop".to_owned(), name: "cart".to_owned() };
    written(
        &row(cart, Sli::Latency, 10, vec![9, 1], &[100, 100, 70_000]),
        r#"{"stream":"node-1/a \"b\"","service":{"named":{"namespace":"shop","name":"cart"}},"origin":"ingress","sli":"latency","version":3,"minute":-7,"range":{"start":5,"end":900},"total":10,"bad":5,"excluded":1,"ladder":[9,1],"sketch":{"82":2,"386":1}}"#,
    );
    written(
        &row(ServiceRef::Unattributed, Sli::Availability, 0, vec![], &[]),
        r#"{"stream":"node-1/a \"b\"","service":"unattributed","origin":"ingress","sli":"availability","version":3,"minute":-7,"range":{"start":5,"end":900},"total":0,"bad":0,"excluded":1}"#,
    );
}

#[test]
fn a_row_may_say_more_than_is_known_but_not_less() {
    let row = row(ServiceRef::Upstream("a-b-80".to_owned()), Sli::Latency, 1, vec![], &[]);
    let mut value = serde_json::to_value(&row).unwrap();
    value["more"] = serde_json::json!({"a": [1, {"b": null}]});
    assert_eq!(serde_json::from_value::<CountRow>(value.clone()).unwrap(), row);
    for field in
        ["stream", "service", "origin", "sli", "version", "minute", "range", "total", "bad", "excluded"]
    {
        let mut less = value.clone();
        less.as_object_mut().unwrap().remove(field);
        let error = serde_json::from_value::<CountRow>(less).unwrap_err();
        assert_eq!(error.to_string(), format!("missing field `{field}`"));
    }
}

#[test]
fn an_sli_is_named_as_it_is_written() {
    for sli in Sli::ALL {
        assert_eq!(serde_json::to_value(sli).unwrap(), sli.as_str());
    }
}

proptest! {
    #[test]
    fn a_row_is_written_and_read_as_serde_would(total in any::<u64>(), ladder in prop::collection::vec(any::<u64>(), 0..4), us in prop::collection::vec(any::<u64>(), 0..9), latency in any::<bool>()) {
        let sli = Sli::ALL[usize::from(latency)];
        let row = row(ServiceRef::Unattributed, sli, total, ladder, &us);
        let text = serde_json::to_string(&row).unwrap();
        let derived: Derived = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(serde_json::to_string(&derived).unwrap(), text.clone());
        prop_assert_eq!(serde_json::from_str::<CountRow>(&text).unwrap(), row);
    }
}
