//! What nobody believes: rows and watermarks of years that cannot be. They refuse only themselves, and nothing comes of them
//! at any later start.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use slo::counts::{CountsRequest, MinuteId};

use super::export::{Index, export};
use super::wall_clock::{alerts, at, heard, heartbeat, states, wall};
use super::*;
use crate::reports::keeper::Keeper;
use crate::schedule::Schedule;
use crate::store::probe;

/// Year -1142 of a hung WebSocket, year 0, 1970, 1999, the end of 9999, and what no calendar has.
const STRANGE: [i64; 7] = [-1_636_000_000, -1_035_593_600, 5, 15_778_079, 4_223_371_679, i64::MIN, i64::MAX];

/// Tomorrow.
const TOMORROW: i64 = START + 24 * 60 + 30;

/// A good minute, and 100 requests of the same stream that claim to be of `strange`.
fn with(strange: i64) -> CountsRequest {
    let mut request = heard("a", 0, 0, Some(1));
    let rows = request.rows.clone();
    request.rows.extend(rows.into_iter().map(|mut row| {
        row.key.minute = MinuteId(strange);
        row
    }));
    request.streams[0].newest_ms = Some(strange.saturating_mul(60_000));
    request.streams[0].oldest_ms = request.streams[0].newest_ms;
    request
}

async fn total(engine: &Engine) -> u64 {
    let services = engine.overview().await.unwrap().services;
    services.iter().map(|service| service.slos[0].total).sum()
}

/// Months that are sealed once November is over.
async fn sealed(engine: Engine) -> Vec<String> {
    let now: Timestamp = "2026-12-04T06:00:00Z".parse().unwrap();
    let watermark = MinuteId::of_timestamp(now).0 - START;
    engine.ingest_at(heartbeat("a", watermark), now).await.unwrap();
    engine.tick(now).await.unwrap();
    let keeper = Keeper {
        engine: Arc::new(engine),
        environment: "test".to_owned(),
        schedule: Schedule::parse("0 6 4 * *", "UTC").unwrap(),
        shelves: Vec::new(),
    };
    let kept = keeper.keep(now).await.unwrap();
    kept.sealed.into_iter().map(|seal| seal.month).collect()
}

async fn look(engine: &Engine, now: Timestamp) {
    while engine.look_after_store(now).await.unwrap() {}
}

#[tokio::test]
async fn a_row_of_an_absurd_minute_refuses_only_itself_and_harms_no_start() {
    for strange in STRANGE.into_iter().chain([TOMORROW, START - 50 * 24 * 60]) {
        let dir = tempfile::tempdir().unwrap();
        let engine = wall(dir.path()).await;
        engine.ingest_at(with(strange), at(1, 0)).await.unwrap();
        engine.tick(at(1, 0)).await.unwrap();
        assert_eq!(total(&engine).await, 100, "minute {strange}");
        for _ in 0..2 {
            let engine = wall(dir.path()).await;
            engine.tick(at(1, 10)).await.unwrap();
            assert_eq!(total(&engine).await, 100, "minute {strange} after a restart");
            look(&engine, at(200, 0)).await;
        }
        assert_eq!(sealed(wall(dir.path()).await).await, ["2026-11"], "minute {strange}");
    }
}

#[tokio::test]
async fn in_the_time_of_the_events_the_years_2000_to_2099_are_believed() {
    for (strange, want) in STRANGE.into_iter().map(|strange| (strange, 100)).chain([(TOMORROW, 200)]) {
        let dir = tempfile::tempdir().unwrap();
        let mut request = with(strange);
        request.streams[0].newest_ms = None;
        let overview = run(dir.path(), &[request]).await;
        assert_eq!(overview.services[0].slos[0].total, want, "minute {strange}");
        assert!(engine(dir.path()).await.catch_up(Timestamp::MAX).await.unwrap().is_some());
    }
}

/// A row as version 0.1 left it.
async fn old_row(store: &Store, minute: i64) {
    let sql = format!(
        r#"INSERT INTO counts (stream, service, origin, sli, version, minute, range_start, range_end, total, bad,
           excluded, edges, ladder, sketch, partial) VALUES ('of a', '{{"upstream":"shop-web-80"}}', '"ingress"',
           '"availability"', 1, {minute}, 5000, 5100, 70, 70, 0, '[]', '[]', '{{}}', 0)"#
    );
    probe::run(store, &sql).await;
}

#[tokio::test]
async fn rows_of_absurd_minutes_in_an_old_store_do_no_harm() {
    let years_2005 = START - 21 * 365 * 24 * 60;
    for strange in STRANGE.into_iter().chain([years_2005]) {
        let dir = tempfile::tempdir().unwrap();
        let engine = wall(dir.path()).await;
        engine.ingest_at(heard("a", 0, 0, Some(1)), at(1, 0)).await.unwrap();
        old_row(&engine.store(), strange).await;
        drop(engine);
        let engine = wall(dir.path()).await;
        engine.tick(at(1, 0)).await.unwrap();
        assert_eq!(total(&engine).await, 100, "minute {strange}");
        let sealed_unseen = sealed(wall(copy_of(dir.path()).path()).await).await;
        assert!(sealed_unseen.len() <= 14 && sealed_unseen.last().unwrap() == "2026-11", "{sealed_unseen:?}");
        look(&engine, at(200, 0)).await;
        drop(engine);
        let again = wall(dir.path()).await;
        again.tick(at(200, 0)).await.unwrap();
        assert_eq!(total(&again).await, 100, "minute {strange}");
        assert_eq!(sealed(again).await, ["2026-11"], "minute {strange}");
    }
}

fn copy_of(dir: &Path) -> tempfile::TempDir {
    super::exactness::copy(dir)
}

#[tokio::test]
async fn a_row_of_tomorrow_in_an_old_store_is_not_of_today() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.ingest_at(heard("a", 0, 0, Some(1)), at(1, 0)).await.unwrap();
    old_row(&engine.store(), TOMORROW).await;
    drop(engine);
    let engine = wall(dir.path()).await;
    engine.tick(at(1, 0)).await.unwrap();
    assert_eq!(total(&engine).await, 100);
    assert_eq!(alerts(&engine).await.1, 0);
}

#[tokio::test]
async fn a_watermark_of_tomorrow_is_told_and_not_believed_until_a_right_one_comes() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.ingest_at(heard("a", 0, 0, Some(1)), at(1, 0)).await.unwrap();
    engine.ingest_at(heartbeat("a", 24 * 60), at(2, 0)).await.unwrap();
    engine.tick(at(2, 0)).await.unwrap();
    let warnings = engine.overview().await.unwrap().warnings;
    assert!(
        warnings.iter().any(|text| text.contains("collector a") && text.contains("clock")),
        "{warnings:?}"
    );
    for minute in [3, 12, 20] {
        engine.tick(at(minute, 0)).await.unwrap();
    }
    assert_eq!(states(&engine, 0..20), format!("R{}", "U".repeat(19)));
    assert_eq!(alerts(&engine).await.0, ["pipeline measurement"]);
    engine.ingest_at(heartbeat("a", 20), at(20, 5)).await.unwrap();
    engine.tick(at(20, 10)).await.unwrap();
    assert_eq!(states(&engine, 0..20), format!("R{}", "i".repeat(19)));
    assert_eq!(states(&wall(dir.path()).await, 0..20), format!("R{}", "i".repeat(19)));
    engine.tick(at(100, 0)).await.unwrap();
    assert!(engine.overview().await.unwrap().warnings.is_empty());
}

#[tokio::test]
async fn instants_that_no_calendar_has_refuse_only_themselves() {
    for instant in [i64::MIN, i64::MAX] {
        let dir = tempfile::tempdir().unwrap();
        let engine = wall(dir.path()).await;
        engine.ingest_at(heard("a", 0, 0, Some(1)), at(1, 0)).await.unwrap();
        let mut request = heard("a", 1, 0, Some(2));
        (request.watermark_ms, request.archived_to_ms) = (Some(instant), Some(instant));
        request.streams[0].newest_ms = Some(instant);
        engine.ingest_at(request, at(2, 0)).await.unwrap();
        engine.tick(at(2, 0)).await.unwrap();
        assert_eq!(states(&engine, 0..3), "RPU");
        assert_eq!(states(&wall(dir.path()).await, 0..3), "RPU");
    }
}

#[tokio::test]
async fn a_clock_that_is_ahead_by_less_than_five_minutes_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.ingest_at(heard("a", 4, 0, Some(5)), at(0, 30)).await.unwrap();
    engine.tick(at(5, 0)).await.unwrap();
    assert_eq!(states(&engine, 4..5), "R");
    assert!(engine.overview().await.unwrap().warnings.is_empty());
}

#[tokio::test]
async fn the_first_watermark_writes_the_results_of_the_minutes_before_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    let mut index = Index::new();
    for minute in 0..20 {
        engine.ingest_at(heard("a", minute, 0, Some(minute + 1)), at(minute, 30)).await.unwrap();
        if minute < 10 {
            engine.ingest_at(heard("b", minute, 0, None), at(minute, 40)).await.unwrap();
        }
        engine.tick(at(minute + 1, 0)).await.unwrap();
        export(&engine, at(minute + 1, 0), &mut index, None).await;
    }
    let said = |index: &Index, state: &str| {
        let results = index.values().filter(|document| document["slo"] == "availability");
        results.filter(|document| document["minute_state"] == state).count()
    };
    assert!(said(&index, "partial") >= 8, "{}", said(&index, "partial"));
    engine.ingest_at(heartbeat("b", 20), at(20, 10)).await.unwrap();
    engine.tick(at(20, 20)).await.unwrap();
    export(&engine, at(20, 30), &mut index, None).await;
    assert_eq!((said(&index, "partial"), said(&index, "unmeasured")), (0, 0));
    assert!(
        index
            .values()
            .filter(|document| document["slo"].is_string())
            .all(|document| document["coverage"] == 1.0)
    );
}
