//! Rows fold into cells, and cells are forgotten: no figure, no block and no position tells whether they have.

use jiff::Timestamp;
use proptest::prelude::*;
use slo::counts::{ByteRange, CountsRequest, MinuteId};

use super::wall_clock::{at, heard, heartbeat, wall};
use super::{Engine, bad_hour, ledger};
use crate::engine::EngineError;
use crate::overview::ServiceView;

async fn fold(engine: &Engine, now: Timestamp) {
    while engine.look_after_store(now).await.unwrap() {}
}

async fn rows(engine: &Engine, table: &'static str) -> i64 {
    crate::store::probe::sizes(&engine.store()).await[table]
}

/// What is shown, but for quantiles: these are kept by the hour, and by the day after two days.
fn figures(mut services: Vec<ServiceView>) -> Vec<ServiceView> {
    services.iter_mut().for_each(|service| {
        service.latency_ms = crate::overview::LatencyView { p50: None, p95: None, p99: None }
    });
    services
}

/// A late line of minute `minute`, in bytes of its own.
fn late(minute: i64, bytes: u64) -> CountsRequest {
    let mut late = heard("node", minute, 1, None);
    let range = ByteRange { start: bytes, end: bytes + 10 };
    late.streams[0].stream = "s".to_owned();
    late.streams[0].range = range;
    late.rows.iter_mut().for_each(|row| {
        row.key.stream = "s".to_owned();
        row.range = range;
    });
    late
}

#[derive(Clone, Debug)]
enum Step {
    Fold,
    Restart,
    Late(i64),
    Tick(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Fold),
        2 => Just(Step::Restart),
        3 => (0_i64..120).prop_map(Step::Late),
        2 => (240_i64..400).prop_map(Step::Tick),
    ]
}

async fn check(steps: Vec<Step>) {
    let (dir, plain) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut folds, never) = (wall(dir.path()).await, wall(plain.path()).await);
    for request in bad_hour() {
        folds.ingest(request.clone()).await.unwrap();
        never.ingest(request).await.unwrap();
    }
    let (mut now, mut bytes) = (240, 100_000);
    for engine in [&folds, &never] {
        engine.ingest(heartbeat("node", now)).await.unwrap();
        engine.tick(at(now, 0)).await.unwrap();
    }
    for step in steps {
        match step {
            // Marks of Elasticsearch hold rows back; nothing is exported here, so they wait for three days.
            Step::Fold => fold(&folds, at(now + 3 * 1440 + 121, 0)).await,
            Step::Restart => folds = wall(dir.path()).await,
            Step::Late(minute) => {
                bytes += 10;
                for engine in [&folds, &never] {
                    engine.ingest(late(minute, bytes)).await.unwrap();
                }
            }
            Step::Tick(minute) => {
                now = now.max(minute);
                for engine in [&folds, &never] {
                    engine.ingest(heartbeat("node", now)).await.unwrap();
                    engine.tick(at(now, 0)).await.unwrap();
                }
            }
        }
    }
    for engine in [&folds, &never] {
        engine.tick(at(now + 1, 0)).await.unwrap();
    }
    let of = |services| figures(services);
    let (a, b) = (folds.overview().await.unwrap(), never.overview().await.unwrap());
    assert_eq!((of(a.services), a.input, a.alerts), (of(b.services), b.input, b.alerts));
    assert_eq!(folds.positions().await.unwrap().positions, never.positions().await.unwrap().positions);
    let table = |blocks: Vec<slo::ledger::Block>| slo::ledger::table(&blocks);
    let (a, b) = (table(ledger(dir.path()).await), table(ledger(plain.path()).await));
    let differ: Vec<_> = a.iter().filter(|(key, entry)| b.get(key) != Some(entry)).collect();
    assert!(differ.is_empty() && a.len() == b.len(), "{differ:?} of {} and {}", a.len(), b.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_engine_that_folds_shows_and_says_what_one_does_that_never_folds(
        steps in prop::collection::vec(step(), 1..8)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(steps));
    }
}

#[tokio::test]
async fn rows_fold_after_two_hours_once_elasticsearch_has_them_or_after_three_days() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    for request in bad_hour() {
        engine.ingest(request).await.unwrap();
    }
    engine.tick(at(120, 0)).await.unwrap();
    fold(&engine, at(300, 0)).await;
    assert_eq!((rows(&engine, "rows").await, rows(&engine, "cells").await), (120, 0), "they are marked");
    engine.forget_export().await.unwrap();
    fold(&engine, at(180, 0)).await;
    assert_eq!((rows(&engine, "rows").await, rows(&engine, "cells").await), (60, 1));
    let three_days = at(300 + 3 * 1440, 0);
    engine.ingest(late(5, 70_000)).await.unwrap();
    fold(&engine, three_days).await;
    assert_eq!((rows(&engine, "rows").await, rows(&engine, "cells").await), (0, 2));
}

#[tokio::test]
async fn bytes_that_have_folded_are_counted_in_no_other_cut() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    for request in bad_hour().into_iter().take(3) {
        engine.ingest(request).await.unwrap();
    }
    engine.tick(at(240, 0)).await.unwrap();
    engine.forget_export().await.unwrap();
    fold(&engine, at(240, 0)).await;
    let mut wider = bad_hour().remove(3);
    wider.streams[0].range.start = 0;
    wider.rows.iter_mut().for_each(|row| row.range.start = 0);
    let refused = engine.ingest(wider).await.unwrap_err();
    assert!(matches!(refused, EngineError::HeldOtherwise(_)), "{refused}");
    // A repeat is one, and what lies behind adds.
    engine.ingest(bad_hour().remove(2)).await.unwrap();
    engine.ingest(bad_hour().remove(3)).await.unwrap();
    assert_eq!(engine.overview().await.unwrap().services[0].slos[0].total, 400);
}

#[tokio::test]
async fn months_of_a_service_leave_a_store_that_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.forget_export().await.unwrap();
    let mut sizes = Vec::new();
    // Nobody seals here, so two months that are over are kept beside the running one.
    for day in 0..160_i64 {
        let mut request = heard("a", day * 1440, u64::from(day % 9 == 0), Some(day * 1440 + 1));
        // Each day another pod.
        request.streams[0].stream = format!("pod {day}");
        request.rows.iter_mut().for_each(|row| row.key.stream = format!("pod {day}"));
        let now = at(day * 1440 + 1, 0);
        engine.ingest_at(request, now).await.unwrap();
        engine.tick(now).await.unwrap();
        fold(&engine, at(day * 1440 + 200, 0)).await;
        let mut size = Vec::new();
        for table in ["rows", "cells", "streams", "tallies", "export_marks"] {
            size.push(rows(&engine, table).await);
        }
        sizes.push(size);
    }
    let most = |days: std::ops::Range<usize>| sizes[days].iter().map(|size| size.iter().sum::<i64>()).max();
    assert!(most(125..160) <= most(90..125).map(|most| most + 15), "{:?}", &sizes[85..]);
    let overview = engine.overview().await.unwrap();
    assert_eq!(overview.input.lines, 16_000, "the books go on counting what was forgotten");
    assert_eq!(overview.services[0].slos[0].total, 3_000);
    let first = engine.snapshot().counts.first().unwrap();
    assert!(first >= MinuteId(super::START + 60 * 1440), "{first:?}");
    let again = wall(dir.path()).await;
    again.tick(at(159 * 1440 + 2, 0)).await.unwrap();
    assert_eq!(again.overview().await.unwrap().services[0].slos[0].total, 3_000);
}
