//! Result documents against sums that are made one by one.

use proptest::prelude::*;
use serde_json::{Value, json};
use slo::counts::{ByteRange, CountRow, Counts as Sum, DEFAULT_EDGES_US, Origin, RowKey, ServiceRef};
use slo::sketch::Sketch;

use super::*;
use crate::counts::Counts;
use crate::discovery::Known;
use crate::specs::Specs;

/// 2026-11-23T10:00:00Z.
const START: i64 = 29_923_800;

fn row(sli: Sli, minute: i64, (total, bad): (u64, u64)) -> CountRow {
    let key = RowKey {
        stream: "s".to_owned(),
        service: ServiceRef::Named { namespace: "shop".to_owned(), name: "web".to_owned() },
        origin: Origin::Ingress,
        sli,
        version: 1,
        minute: MinuteId(START + minute),
    };
    let mut ladder = Vec::new();
    if sli == Sli::Latency {
        ladder = vec![0; DEFAULT_EDGES_US.len() + 1];
        (ladder[0], ladder[5]) = (total - bad, bad);
    }
    let range = ByteRange { start: minute as u64, end: minute as u64 + 1 };
    CountRow { key, range, counts: Sum { total, bad, excluded: 0 }, ladder, sketch: Sketch::default() }
}

fn counts(minutes: &[(i64, (u64, u64))]) -> Counts {
    let mut counts = Counts::new(Known::default(), true);
    for &(minute, numbers) in minutes {
        for sli in SLIS {
            counts.add(&row(sli, minute, numbers), &DEFAULT_EDGES_US, &Specs::default(), false);
        }
    }
    counts.settle(MinuteId(START + 50_000));
    counts
}

fn documents(counts: &Counts, minute: i64, firing: &BTreeSet<(Service, Sli)>) -> Vec<Value> {
    let now = MinuteId(START + minute + 1);
    let figures = Figures { counts, specs: &Specs::default(), now, firing };
    let documents = results(&figures, &Environment::default());
    documents.iter().map(|document| serde_json::from_str(&document.source).unwrap()).collect()
}

fn close(found: &Value, want: Option<f64>) -> bool {
    match (found.as_f64(), want) {
        (Some(found), Some(want)) => (found - want).abs() <= 1e-9 * want.abs().max(1.0),
        (found, want) => found.is_none() && want.is_none(),
    }
}

proptest! {
    #[test]
    fn every_figure_is_the_sum_of_its_window(
        minutes in proptest::collection::btree_map(0_i64..45_000, (1_u64..500, 0_u64..500), 1..40),
        behind in 0_i64..5000,
    ) {
        let minutes: Vec<(i64, (u64, u64))> =
            minutes.into_iter().map(|(minute, (total, bad))| (minute, (total, bad.min(total)))).collect();
        let first = minutes[0].0;
        let minute = minutes[minutes.len() / 2].0 + behind;
        let sum = |length: i64| {
            let within = minutes.iter().filter(|(at, _)| *at <= minute && *at > minute - length);
            within.fold((0, 0), |(total, bad), (_, numbers)| (total + numbers.0, bad + numbers.1))
        };
        for (document, budget) in documents(&counts(&minutes), minute, &BTreeSet::new()).iter().zip([0.001, 0.05]) {
            let share = |(total, bad): (u64, u64)| (total > 0).then(|| bad as f64 / total as f64);
            for (field, length) in WINDOWS {
                prop_assert!(close(&document[field], share(sum(length)).map(|share| share / budget)), "{}: {}", field, document);
            }
            let window = share(sum(43_200));
            prop_assert!(close(&document["sli"], window.map(|share| 1.0 - share)), "{}", document);
            prop_assert!(close(&document["budget_remaining"], window.map(|share| 1.0 - share / budget)), "{}", document);
            prop_assert!(close(&document["coverage"], Some(1.0)), "{} from {}", document, first);
            prop_assert_eq!(&document["total"], &json!(sum(1).0));
            prop_assert_eq!(&document["good"], &json!(sum(1).0 - sum(1).1));
            prop_assert_eq!(&document["bad"], &json!(sum(1).1));
        }
    }
}

#[test]
fn a_document_has_every_field_of_its_slo() {
    let counts = counts(&[(0, (1000, 1)), (1, (1000, 0))]);
    let firing = BTreeSet::from([(Service::parse("shop/web"), Sli::Latency)]);
    let mut documents = documents(&counts, 1, &firing);
    let ids: Vec<Value> = documents.iter_mut().map(|document| document["id"].take()).collect();
    assert_ne!(ids[0], ids[1]);
    let rates = |rate: f64| -> Vec<(String, Value)> {
        WINDOWS.iter().map(|(field, _)| ((*field).to_owned(), json!(rate))).collect()
    };
    let want = |fields: Value, rate: f64| -> Value {
        let common = json!({
            "id": null, "@timestamp": "2026-11-23T10:01:00Z", "environment": "production",
            "service": "shop/web", "namespace": "shop", "name": "web",
            "total": 1000, "good": 1000, "bad": 0, "excluded": 0, "minute_state": "read",
            "sli": 0.9995, "coverage": 1.0,
        });
        let all = [common, fields].into_iter().flat_map(|value| value.as_object().unwrap().clone());
        Value::Object(all.chain(rates(rate)).collect())
    };
    let availability = json!({
        "slo": "availability", "objective": 99.9, "budget_remaining": 0.5, "state": "healthy",
    });
    let latency = json!({
        "slo": "latency", "objective": 95.0, "threshold_ms": 500.0, "budget_remaining": 0.99, "state": "burning",
    });
    assert_eq!(documents, [want(availability, 0.5), want(latency, 0.01)]);
}

#[test]
fn before_its_first_request_a_service_has_no_result() {
    let counts = counts(&[(10, (1, 0))]);
    assert_eq!(documents(&counts, 9, &BTreeSet::new()), [] as [Value; 0]);
    assert_eq!(documents(&counts, 11, &BTreeSet::new()).len(), 2);
}
