//! OpenSLO documents: ours are read, everything else is refused with its place and what is allowed.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::Path;

use jiff::tz::TimeZone;
use slo::counts::{DEFAULT_EDGES_US, Sli};
use slo::objective::{Method, Objective, SloSpec};
use slo::openslo::{ServiceSlo, parse};
use slo::ratio::Ratio;
use slo::window::Window;

const AVAILABILITY: &str = r#"apiVersion: openslo/v1
kind: SLO
metadata:
  name: cart-availability
  labels: {team: [shop, web]}
spec:
  description: the cart answers
  service: shop/cart
  indicator:
    metadata: {name: cart-good}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: headroom, spec: {sli: availability}}}
        total: {metricSource: {type: headroom, spec: {sli: availability}}}
  budgetingMethod: Occurrences
  timeWindow:
    - {duration: 28d, isRolling: true}
  objectives:
    - {displayName: Good, target: 0.9995}
"#;

const LATENCY: &str = r#"apiVersion: openslo/v1
kind: Service
metadata: {name: cart, annotations: {example.com/owner: shop}}
spec: {description: the shopping cart}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: cart-latency}
spec:
  service: shop/cart
  indicatorRef: fast
  budgetingMethod: Timeslices
  timeWindow:
    - duration: 1M
      isRolling: false
      calendar: {startTime: "2026-01-01 00:00:00", timeZone: Europe/Vienna}
  objectives:
    - {targetPercent: 99, timeSliceTarget: 0.95, timeSliceWindow: 1m}
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: fast}
spec:
  ratioMetric:
    bad: {metricSource: {type: headroom, spec: {sli: latency, thresholdMs: 250}}}
    total: {metricSource: {type: headroom, spec: {sli: latency, thresholdMs: 250}}}
"#;

fn read(text: &str) -> Result<Vec<ServiceSlo>, String> {
    parse(&[("slo.yaml", text)], &DEFAULT_EDGES_US, &|_| None).map_err(|problems| problems.to_string())
}

#[test]
fn an_availability_slo_over_rolling_days_is_read() {
    let [slo] = &read(AVAILABILITY).unwrap()[..] else { panic!("one SLO") };
    assert_eq!((slo.name.as_str(), slo.service.as_str()), ("cart-availability", "shop/cart"));
    let want = SloSpec {
        objective: Objective::parse("99.95").unwrap(),
        window: Window::Rolling { days: 28 },
        ..SloSpec::default_of(Sli::Availability)
    };
    assert_eq!(slo.spec, want);
}

#[test]
fn a_latency_slo_by_slices_of_a_calendar_month_refers_to_its_sli() {
    let [slo] = &read(LATENCY).unwrap()[..] else { panic!("one SLO") };
    let want = SloSpec {
        sli: Sli::Latency,
        objective: Objective::parse("99").unwrap(),
        threshold_us: Some(250_000),
        window: Window::CalendarMonth,
        time_zone: TimeZone::get("Europe/Vienna").unwrap(),
        method: Method::Timeslices(Ratio::new(95, 100)),
    };
    assert_eq!(slo.spec, want);
}

#[test]
fn the_document_of_the_readme_is_read() {
    let (_, rest) = include_str!("../README.md").split_once("```yaml\n").unwrap();
    let [slo] = &read(rest.split_once("```").unwrap().0).unwrap()[..] else { panic!("one SLO") };
    let want = SloSpec {
        objective: Objective::parse("99").unwrap(),
        threshold_us: Some(250_000),
        ..SloSpec::default_of(Sli::Latency)
    };
    assert_eq!((slo.service.as_str(), &slo.spec), ("shop/cart", &want));
}

#[test]
fn an_sli_may_stand_in_another_file() {
    let (slo, sli) = LATENCY.rsplit_once("---\n").unwrap();
    let got = parse(&[("slo.yaml", slo), ("sli.yaml", sli)], &DEFAULT_EDGES_US, &|_| None);
    assert_eq!(got.unwrap(), read(LATENCY).unwrap());
}

#[track_caller]
fn refused(text: &str, from: &str, to: &str, want: &str) {
    assert!(text.contains(from), "{from:?} is not in the document");
    assert_eq!(read(&text.replace(from, to)).unwrap_err(), want);
}

#[test]
fn mistakes_are_told_with_their_place_and_what_is_allowed() {
    refused(
        AVAILABILITY,
        "shop/cart",
        "cart",
        "slo.yaml:8: spec.service: cannot tell which service \"cart\" is; write \"namespace/name\" as Kubernetes has them",
    );
    refused(
        AVAILABILITY,
        "target: 0.9995",
        "target: 1",
        "slo.yaml:20: spec.objectives[0].target: objective \"100\" is not a percentage strictly between 0 and 100, like 99.9",
    );
    refused(
        AVAILABILITY,
        "28d",
        "1Q",
        "slo.yaml:18: spec.timeWindow[0].duration: \"1Q\" is not a rolling window; write days or weeks, like \"30d\" or \
         \"4w\", up to 366 days",
    );
    refused(
        AVAILABILITY,
        "name: cart-availability",
        "name: Cart",
        "slo.yaml:4: metadata.name: \"Cart\" is not a DNS label: 1 to 63 of a-z, 0-9 and -, not beginning or ending with -",
    );
    refused(
        AVAILABILITY,
        "displayName: Good, ",
        "displayname: Good, ",
        "slo.yaml:20: spec.objectives[0].displayname: unknown key; did you mean displayName?; allowed here: displayName, \
         indicator, indicatorRef, compositeWeight, op, value, target, targetPercent, timeSliceTarget, timeSliceWindow",
    );
    refused(
        LATENCY,
        "Europe/Vienna",
        "Vienna",
        "slo.yaml:16: spec.timeWindow[0].calendar.timeZone: \"Vienna\" is not an IANA time zone, like \"Europe/Vienna\" or \
         \"UTC\"",
    );
    refused(
        LATENCY,
        "thresholdMs: 250",
        "thresholdMs: 300",
        "slo.yaml:25: spec.ratioMetric.bad.metricSource.spec.thresholdMs: the number 300 is not a counted latency edge in \
         milliseconds; allowed: 50, 100, 250, 500, 750, 1000, 2500, 5000, 10000\nslo.yaml:26: \
         spec.ratioMetric.total.metricSource.spec.thresholdMs: the number 300 is not a counted latency edge in \
         milliseconds; allowed: 50, 100, 250, 500, 750, 1000, 2500, 5000, 10000",
    );
}

#[test]
fn a_source_that_is_not_ours_is_not_supported() {
    refused(
        AVAILABILITY,
        "good: {metricSource: {type: headroom",
        "good: {metricSource: {type: Prometheus",
        "slo.yaml:14: spec.indicator.spec.ratioMetric.good.metricSource.type: metric source not supported: \"Prometheus\"; \
         use ratioMetric with metricSource.type headroom and metricSource.spec.sli availability or latency",
    );
    refused(
        LATENCY,
        "indicatorRef: fast",
        "indicatorRef: slow",
        "slo.yaml:11: spec.indicatorRef: metric source not supported: none of the documents is an SLI named \"slow\"",
    );
}

#[test]
fn a_service_has_one_slo_for_each_sli() {
    let other = AVAILABILITY.replace("cart-availability", "cart-other");
    let got = read(&format!("{AVAILABILITY}---\n{other}")).unwrap_err();
    assert_eq!(
        got,
        "slo.yaml:22: a second availability SLO for shop/cart; the first is at slo.yaml:1; keep one"
    );
    let again = AVAILABILITY.replace("shop/cart", "shop/till");
    let got = read(&format!("{AVAILABILITY}---\n{again}")).unwrap_err();
    assert_eq!(got, "slo.yaml:22: a second SLO is named \"cart-availability\"; the first is at slo.yaml:1");
}

#[test]
fn all_mistakes_of_all_documents_are_told_at_once() {
    let text = AVAILABILITY.replace("0.9995", "2").replace("Occurrences", "Sometimes");
    let got = read(&format!("{text}---\n{}", LATENCY.replace("1M", "1Y"))).unwrap_err();
    let lines: Vec<&str> = got.lines().map(|line| line.split(": ").nth(1).unwrap()).collect();
    assert_eq!(lines, ["spec.budgetingMethod", "spec.objectives[0].target", "spec.timeWindow[0].duration"]);
}

/// The reference validator's verdicts, where they lie beside the repository.
fn verdicts() -> Vec<serde_json::Value> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/openslo/verdicts-sample.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("NOT TESTED against the reference validator: there is no {}", path.display());
        return vec![];
    };
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn is_slo(verdict: &serde_json::Value) -> bool {
    verdict["object"]["apiVersion"] == "openslo/v1" && verdict["object"]["kind"] == "SLO"
}

#[test]
fn nothing_that_the_reference_refuses_is_accepted() {
    for verdict in verdicts() {
        let got = read(&verdict["object"].to_string());
        assert!(got.is_err() || verdict["valid"] == true, "the reference refuses {verdict}");
        if verdict["valid"] == true && is_slo(&verdict) {
            assert!(got.unwrap_err().contains("metric source not supported"), "{verdict}");
        } else if verdict["valid"] == true && verdict["object"]["kind"] == "Service" {
            assert_eq!(got.is_ok(), verdict["object"]["apiVersion"] == "openslo/v1", "{verdict}");
        }
    }
}

/// Every document with its parts exchanged for ours, but for those that the reference finds mistakes in.
#[test]
fn mistakes_that_the_reference_finds_are_found_in_documents_of_ours() {
    let (mut ours, mut accepted) = (BTreeMap::new(), 0);
    let model = serde_json::json!({"spec": {
        "service": "shop/cart",
        "indicator": {"metadata": {"name": "good"}, "spec": {"ratioMetric": {
            "good": {"metricSource": {"type": "headroom", "spec": {"sli": "availability"}}},
            "total": {"metricSource": {"type": "headroom", "spec": {"sli": "availability"}}},
        }}},
        "budgetingMethod": "Occurrences",
        "timeWindow": [{"duration": "30d", "isRolling": true}],
        "objectives": [{"target": 0.999}],
    }});
    for part in ["service", "indicator", "budgetingMethod", "timeWindow", "objectives"] {
        ours.insert(part, model["spec"][part].clone());
    }
    for verdict in verdicts().into_iter().filter(is_slo) {
        let errors = verdict["errors"].as_array().cloned().unwrap_or_default();
        let wrong = |part: &str| errors.iter().any(|error| error["path"].as_str().unwrap().starts_with(part));
        let mut object = verdict["object"].clone();
        // Of a spec as a whole, or of a threshold metric, there is nothing left once the indicator is ours.
        let whole = errors.iter().any(|error| error["path"] == "spec")
            || wrong("spec.objectives[0].op")
            || wrong("spec.objectives[0].value");
        let Some(spec) = object["spec"].as_object_mut().filter(|_| !whole) else { continue };
        for (part, value) in &ours {
            let keeps_method = *part == "budgetingMethod" && wrong("spec.objectives");
            if !wrong(&format!("spec.{part}")) && !keeps_method {
                spec.insert((*part).to_owned(), value.clone());
            }
        }
        spec.remove("indicatorRef");
        if !wrong("spec.alertPolicies") {
            spec.remove("alertPolicies");
        }
        let got = read(&object.to_string());
        assert_eq!(got.is_ok(), verdict["valid"] == true, "{object} {got:?} {errors:?}");
        accepted += u32::from(got.is_ok());
    }
    eprintln!("{accepted} documents accepted with parts of ours");
}
