//! The engine over a real store: rows in, figures, pages and ledger out; and the same again after being cut off anywhere.

use std::collections::BTreeSet;

use alerts::{ChannelName, PoliciesConfig};
use jiff::Timestamp;
use prometheus::Registry;
use slo::counts::{
    ByteRange, CountRow, Counts, CountsRequest, DEFAULT_EDGES_US, MinuteId, Origin, RowKey, ServiceRef, Sli,
    StreamReport, Tally,
};
use slo::sketch::Sketch;

use super::{Clock, Engine, Parts};
use crate::metrics::Metrics;
use crate::overview::Overview;
use crate::specs::Specs;
use crate::store::{self, Store};

mod backlog;
mod bounds;
mod cluster;
mod crowd;
mod exactness;
mod export;
mod failing;
mod folding;
mod forgetting;
mod gaps;
mod readers;
mod refilled;
mod refused;

mod wall_clock;

/// 2026-11-23T10:00:00Z.
const START: i64 = 29_923_800;

async fn engine(dir: &std::path::Path) -> Engine {
    engine_by(Clock::Event, dir).await
}

async fn engine_by(clock: Clock, dir: &std::path::Path) -> Engine {
    engine_of(clock, dir, true).await
}

async fn engine_of(clock: Clock, dir: &std::path::Path, exports: bool) -> Engine {
    Engine::open(Parts { exports, ..parts(clock, dir).await }).await.unwrap()
}

async fn parts(clock: Clock, dir: &std::path::Path) -> Parts {
    Parts {
        store: Store::open(&dir.join("engine.db")).await.unwrap(),
        specs: Specs::default(),
        services: BTreeSet::new(),
        policies: PoliciesConfig::default().prove(&[ChannelName::from("log")]).unwrap(),
        clock,
        metrics: Metrics::new(&Registry::new()).unwrap(),
        exports: true,
        caps: crate::engine::Caps::default(),
        refused: crate::refused::RefusedWriters::default(),
    }
}

fn row(
    service: &ServiceRef,
    origin: Origin,
    sli: Sli,
    minute: i64,
    range: ByteRange,
    total: u64,
    bad: u64,
) -> CountRow {
    let key = RowKey {
        stream: "s".to_owned(),
        service: service.clone(),
        origin,
        sli,
        version: 1,
        minute: MinuteId(START + minute),
    };
    let mut ladder = Vec::new();
    if sli == Sli::Latency {
        ladder = vec![0; DEFAULT_EDGES_US.len() + 1];
        ladder[0] = total - bad;
        ladder[9] = bad;
    }
    CountRow { key, range, counts: Counts { total, bad, excluded: 0 }, ladder, sketch: Sketch::default() }
}

/// One minute of `shop-web-80`: 100 requests in 100 bytes, `bad` of them failed.
fn request(minute: i64, bad: u64) -> CountsRequest {
    let service = ServiceRef::Upstream("shop-web-80".to_owned());
    let range = ByteRange { start: minute as u64 * 100, end: minute as u64 * 100 + 100 };
    let end_ms = (START + minute) * 60_000 + 59_000;
    let row = |sli, bad| row(&service, Origin::Ingress, sli, minute, range, 100, bad);
    CountsRequest {
        collector: "node".to_owned(),
        epoch: "e".to_owned(),
        store: None,
        watermark_ms: Some(end_ms),
        node: None,
        archived_to_ms: None,
        edges_us: DEFAULT_EDGES_US.to_vec(),
        streams: vec![StreamReport {
            stream: "s".to_owned(),
            path: "/var/log/pods/x".to_owned(),
            namespace: None,
            pod: None,
            container: None,
            range,
            tally: Tally { lines: 100, requests: 100, ..Tally::default() },
            newest_ms: Some(end_ms),
            oldest_ms: None,
            ended: false,
            broken: None,
        }],
        rows: vec![row(Sli::Availability, bad), row(Sli::Latency, 0)],
    }
}

/// Two hours with ten minutes of half the requests failing.
fn bad_hour() -> Vec<CountsRequest> {
    (0..120).map(|minute| request(minute, if (30..40).contains(&minute) { 50 } else { 0 })).collect()
}

async fn run(dir: &std::path::Path, requests: &[CountsRequest]) -> Overview {
    let engine = engine(dir).await;
    for request in requests {
        engine.ingest(request.clone()).await.unwrap();
    }
    engine.catch_up(Timestamp::MAX).await.unwrap();
    engine.overview().await.unwrap()
}

async fn ledger(dir: &std::path::Path) -> Vec<slo::ledger::Block> {
    let store = Store::open(&dir.join("engine.db")).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    store::ledger::stored(&mut tx).await.unwrap().into_iter().map(|stored| stored.block).collect()
}

#[tokio::test]
async fn a_bad_hour_uses_the_budget_and_pages_once() {
    let dir = tempfile::tempdir().unwrap();
    let overview = run(dir.path(), &bad_hour()).await;
    let slo = &overview.services[0].slos[0];
    assert_eq!(overview.services[0].service, "shop/web");
    assert_eq!((slo.total, slo.good, slo.state.as_str()), (12_000, 11_500, "exhausted"));
    assert_eq!(slo.budget_remaining.as_deref(), Some("-40.666667"));
    let alerts: Vec<_> =
        overview.alerts.iter().map(|a| (a.slo.as_str(), a.severity.as_str(), a.fired_at.as_str())).collect();
    assert_eq!(alerts, [("availability", "page", "2026-11-23T10:31:00Z")]);
    assert_eq!(overview.input.lines, 12_000);
}

#[tokio::test]
async fn rows_in_another_order_or_sent_twice_give_the_same_figures_pages_and_ledger() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ordered = bad_hour();
    let mut shuffled: Vec<_> = ordered.iter().rev().cloned().collect();
    shuffled.extend(ordered.iter().take(60).cloned());
    assert_eq!(run(a.path(), &ordered).await, run(b.path(), &shuffled).await);
    assert_eq!(ledger(a.path()).await, ledger(b.path()).await);
}

#[tokio::test]
async fn an_engine_that_is_opened_again_between_any_two_steps_ends_the_same() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let requests = bad_hour();
    let want = run(a.path(), &requests).await;
    for request in &requests {
        engine(b.path()).await.ingest(request.clone()).await.unwrap();
    }
    engine(b.path()).await.catch_up(Timestamp::MAX).await.unwrap();
    let again = engine(b.path()).await;
    again.catch_up(Timestamp::MAX).await.unwrap();
    assert_eq!(again.overview().await.unwrap(), want);
    assert_eq!(ledger(a.path()).await, ledger(b.path()).await);
}

#[tokio::test]
async fn the_ledger_is_a_verified_chain_that_holds_every_minute_after_a_quarter_of_an_hour() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &bad_hour()).await;
    let blocks = ledger(dir.path()).await;
    slo::ledger::verify_chain(slo::ledger::Tip::START, &blocks).unwrap();
    let minutes: Vec<_> = blocks.iter().map(|block| block.minute().0 - START).collect();
    assert_eq!(minutes, (0..105).collect::<Vec<_>>());
    let bad: u64 = slo::ledger::table(&blocks).values().map(|entry| entry.counts.bad).sum();
    assert_eq!(bad, 500);
}

#[tokio::test]
async fn what_comes_after_a_minute_entered_the_ledger_is_an_amendment() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &bad_hour()).await;
    let mut late = request(5, 1);
    late.streams[0].range = ByteRange { start: 50_000, end: 50_100 };
    late.rows.iter_mut().for_each(|row| row.range = ByteRange { start: 50_000, end: 50_100 });
    late.watermark_ms = bad_hour().last().unwrap().watermark_ms.map(|ms| ms + 60_000);
    let overview = run(dir.path(), &[late]).await;
    assert_eq!(overview.services[0].slos[0].total, 12_100);
    let blocks = ledger(dir.path()).await;
    let amended: Vec<_> = blocks.iter().filter(|b| b.amendment() > 0).map(|b| b.minute().0 - START).collect();
    assert_eq!(amended, [5]);
}

#[tokio::test]
async fn the_ingress_counts_and_the_applications_own_log_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = request(0, 1);
    let named = ServiceRef::Named { namespace: "shop".to_owned(), name: "web".to_owned() };
    let range = request.streams[0].range;
    request.rows.push(row(&named, Origin::Application, Sli::Availability, 0, range, 100, 7));
    let overview = run(dir.path(), &[request]).await;
    assert_eq!(overview.services.len(), 1);
    assert_eq!((overview.services[0].slos[0].total, overview.services[0].slos[0].good), (100, 99));
}

#[tokio::test]
async fn rows_that_break_the_contract_are_refused_by_name_and_nothing_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path()).await;
    let mut more_bad = request(0, 0);
    more_bad.rows[0].counts.bad = 101;
    let mut short_ladder = request(0, 0);
    short_ladder.rows[1].ladder.pop();
    let mut stranger = request(0, 0);
    stranger.rows[0].key.stream = "t".to_owned();
    for (request, want) in [
        (more_bad, "rows[0], stream s: 101 bad of 100 requests"),
        (
            short_ladder,
            "rows[1], stream s: the ladder has 9 buckets that add up to 100, expected 10 that add up to 100",
        ),
        (stranger, "rows[0], stream t: its stream is not among `streams`"),
    ] {
        let error = engine.ingest(request).await.unwrap_err().to_string();
        assert_eq!(error, format!("count rows refused, nothing was counted: {want}"));
    }
    assert_eq!(engine.overview().await.unwrap().services, []);
}

#[tokio::test]
async fn a_line_that_claims_to_be_of_the_future_is_not_now_but_a_log_of_the_future_is() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path()).await;
    let limit = MinuteId(START + 130).start();
    for request in bad_hour() {
        engine.ingest(request).await.unwrap();
    }
    let mut stray = request(5_000_000, 0);
    stray.streams[0].stream = "t".to_owned();
    stray.rows.iter_mut().for_each(|row| {
        row.key.stream = "t".to_owned();
        row.counts.total = 1;
        row.ladder.iter_mut().for_each(|count| *count /= 100);
    });
    engine.ingest(stray).await.unwrap();
    assert_eq!(engine.catch_up(limit).await.unwrap(), Some(MinuteId(START + 120).start()));
    let past = MinuteId(START - 1000).start();
    assert_eq!(engine.catch_up(past).await.unwrap(), Some(MinuteId(START + 5_000_001).start()));
}

#[tokio::test]
async fn a_log_that_gives_two_services_one_name_does_not_stop_the_engine() {
    let dir = tempfile::tempdir().unwrap();
    let mut requests = vec![request(0, 0), request(20, 0)];
    for (index, name) in ["shop/web", "unattributed"].into_iter().enumerate() {
        for service in [ServiceRef::Upstream(name.to_owned()), ServiceRef::Unattributed] {
            let range = requests[index].streams[0].range;
            requests[index].rows.push(row(&service, Origin::Ingress, Sli::Availability, 0, range, 1, 0));
        }
    }
    let services = run(dir.path(), &requests).await.services;
    let names: Vec<&str> = services.iter().map(|service| service.service.as_str()).collect();
    assert_eq!(names, ["shop/web", "shop%2Fweb", "unattributed"]);
}

#[tokio::test]
async fn numbers_beyond_any_log_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path()).await;
    let break_it = |change: fn(&mut CountsRequest)| {
        let mut broken = request(0, 0);
        change(&mut broken);
        broken
    };
    let broken = [
        break_it(|request| request.rows[1].ladder[1] = u64::MAX),
        break_it(|request| request.rows[0].counts.total = u64::MAX),
        break_it(|request| request.rows[0].counts.excluded = u64::MAX),
        break_it(|request| request.rows[0].range.end = u64::MAX),
        break_it(|request| request.streams[0].range.end = u64::MAX),
        break_it(|request| request.streams[0].tally.lines = u64::MAX),
    ];
    for (index, request) in broken.into_iter().enumerate() {
        let error = engine.ingest(request).await.expect_err("it is refused").to_string();
        assert!(error.starts_with("count rows refused, nothing was counted: "), "{index}: {error}");
    }
    engine.catch_up(Timestamp::MAX).await.unwrap();
    assert_eq!(engine.overview().await.unwrap().services, []);
}
