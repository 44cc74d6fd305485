//! Reports: months as they are written, zones, and the state of an engine that is running meanwhile.

use alerts::{ChannelName, PoliciesConfig};
use prometheus::Registry;
use slo::counts::{CountsRequest, DEFAULT_EDGES_US, MinuteId, Sli};
use slo::objective::SloSpec;

use super::*;
use crate::engine::{Clock, Parts};
use crate::metrics::Metrics;
use crate::specs::Specs;
use crate::store::{self, Store};

#[track_caller]
fn check(text: &str, want: Option<(i16, i8)>) {
    assert_eq!(parse_month(text).ok(), want, "{text}");
}

#[test]
fn a_month_is_four_digits_a_dash_and_two_digits() {
    check("2026-11", Some((2026, 11)));
    for text in
        ["2026-1", "2026-13", "2026-00", "+026-01", "2026-+1", "-026-01", "2026-011", "2026", "", "0000-01"]
    {
        check(text, None);
    }
    assert_eq!(
        parse_month("x").unwrap_err().to_string(),
        "\"x\" is not a month; write YYYY-MM, like 2026-11"
    );
}

pub(crate) async fn open(dir: &std::path::Path, zone: &str) -> Engine {
    let spec = SloSpec { time_zone: TimeZone::get(zone).unwrap(), ..SloSpec::default_of(Sli::Availability) };
    let parts = Parts {
        store: Store::open(&dir.join("engine.db")).await.unwrap(),
        specs: Specs::new([(Service::parse("shop/web"), spec)]),
        services: Default::default(),
        policies: PoliciesConfig::default().prove(&[ChannelName::from("log")]).unwrap(),
        clock: Clock::Wall,
        metrics: Metrics::new(&Registry::new()).unwrap(),
        exports: false,
        caps: crate::engine::Caps::default(),
        refused: crate::refused::RefusedWriters::default(),
    };
    Engine::open(parts).await.unwrap()
}

pub(crate) fn minute(text: &str) -> i64 {
    MinuteId::of_timestamp(text.parse().unwrap()).0
}

/// A request in each of these minutes, of which everything before `read_to` was read.
pub(crate) fn counts(minutes: &[i64], read_to: i64) -> CountsRequest {
    let range = serde_json::json!({ "start": 0, "end": 1000 });
    let row = |minute: &i64| {
        serde_json::json!({
            "stream": "s", "service": { "named": { "namespace": "shop", "name": "web" } }, "origin": "ingress",
            "sli": "availability", "version": 1, "minute": minute, "range": range,
            "total": 1, "bad": 0, "excluded": 0,
        })
    };
    serde_json::from_value(serde_json::json!({
        "collector": "c", "epoch": "e", "watermark_ms": read_to * 60_000, "edges_us": DEFAULT_EDGES_US,
        "streams": [{
            "stream": "s", "path": "p", "range": range,
            "tally": { "lines": 9, "requests": 9, "ignored": 0, "unparsed": 0, "late": 0, "dead_lettered": 0 },
        }],
        "rows": minutes.iter().map(row).collect::<Vec<_>>(),
    }))
    .unwrap()
}

#[tokio::test]
async fn a_month_is_of_the_zone_of_its_slo_and_provisional_until_it_is_over_there() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), "America/New_York").await;
    let minutes = ["2026-11-01T02:00:00Z", "2026-11-15T00:00:00Z", "2026-12-01T02:00:00Z"].map(minute);
    let end = minute("2026-12-01T04:00:00Z");
    engine.ingest(counts(&minutes, end)).await.unwrap();
    engine.tick(MinuteId(end).start()).await.unwrap();
    let report = report(&engine, "2026-11").await.unwrap();
    let [availability, latency] = &report.services[0].slos[..] else { panic!("two SLOs") };
    assert_eq!(availability.window.from, "2026-11-01T04:00:00Z");
    assert_eq!((availability.figures.total, availability.provisional), (2, true));
    assert_eq!((latency.window.to.as_str(), latency.provisional), ("2026-12-01T00:00:00Z", false));
    assert!(report.provisional);
    assert!(render(&report).into_string().contains("the month is not over"));
    assert!(!super::report(&engine, "2026-10").await.unwrap().provisional);
}

#[tokio::test]
async fn a_report_reads_beside_a_running_engine_without_writing_and_keeps_what_was_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let running = open(dir.path(), "UTC").await;
    let start = minute("2026-11-02T00:00:00Z");
    running.ingest(counts(&[start], start + 5)).await.unwrap();
    running.tick(MinuteId(start + 9).start()).await.unwrap();
    // A write that is going on, and one that follows while the report is open.
    let mut writing = running.store().begin().await.unwrap();
    store::set_meta(&mut writing, "x", "1").await.unwrap();
    let reader = open(dir.path(), "UTC").await;
    let first = report(&reader, "2026-11").await.unwrap();
    store::commit(writing).await.unwrap();
    running.tick(MinuteId(start + 9).start()).await.unwrap();
    assert_eq!(first, report(&running, "2026-11").await.unwrap());
    assert_eq!(first.services[0].slos[0].figures.coverage, "0.5");
}
