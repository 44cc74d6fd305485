//! What nobody believes refuses only itself: minutes of other centuries, watermarks of the future, names without end.

use slo::counts::{CountsRequest, MinuteId, ServiceRef};

use super::wall_clock::{at, heard, heartbeat, states, wall};
use super::{Clock, Engine, START, engine_by};
use crate::store::{self, counts as rows};

/// A request of minute 0 whose rows are of other minutes too, each in bytes of its own.
fn with_minutes(minutes: &[i64]) -> CountsRequest {
    let mut request = heard("a", 0, 0, Some(1));
    let template = request.rows.clone();
    for (index, minute) in minutes.iter().enumerate() {
        for row in &template {
            let mut row = row.clone();
            row.key.minute = MinuteId(*minute);
            row.range.start = 1000 + 10 * index as u64;
            row.range.end = row.range.start + 10;
            request.rows.push(row);
        }
    }
    request.streams[0].range.end = 5000;
    request
}

async fn total(engine: &Engine) -> u64 {
    engine.overview().await.unwrap().services[0].slos[0].total
}

/// The years -1, 0, 1970, 2100 and 9999.
const ABSURD: [i64; 5] = [-1_036_119_240, -1_035_593_600, 5, 68_374_081, 4_223_000_000];

#[tokio::test]
async fn a_row_of_another_century_refuses_only_itself_and_ends_no_engine() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    let far = [&ABSURD[..], &[START + 2 * 1440, START - 50 * 1440]].concat();
    engine.ingest_at(with_minutes(&far), at(1, 0)).await.unwrap();
    engine.tick(at(1, 10)).await.unwrap();
    assert_eq!(total(&engine).await, 100);
    drop(engine);
    let again = wall(dir.path()).await;
    again.tick(at(2, 0)).await.unwrap();
    assert_eq!(again.snapshot().counts.first(), Some(MinuteId(START)));
    let events = tempfile::tempdir().unwrap();
    let engine = engine_by(Clock::Event, events.path()).await;
    engine.ingest(with_minutes(&ABSURD)).await.unwrap();
    engine.catch_up(jiff::Timestamp::MAX).await.unwrap();
    assert_eq!(total(&engine).await, 100);
}

#[tokio::test]
async fn absurd_rows_that_an_earlier_version_took_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.ingest(heard("a", 0, 0, Some(1))).await.unwrap();
    let store = engine.store();
    drop(engine);
    let mut tx = store.begin().await.unwrap();
    let held = rows::rows_of(&mut tx, MinuteId(START), "of a").await.unwrap();
    for minute in ABSURD.map(MinuteId) {
        let mut absurd = held.clone();
        absurd.iter_mut().for_each(|stored| stored.row.key.minute = minute);
        rows::put_rows(&mut tx, minute, "of a", &absurd).await.unwrap();
    }
    store::commit(tx).await.unwrap();
    let again = wall(dir.path()).await;
    again.tick(at(2, 0)).await.unwrap();
    while again.look_after_store(at(2, 10)).await.unwrap() {}
    assert_eq!((total(&again).await, again.snapshot().counts.first()), (100, Some(MinuteId(START))));
    drop(again);
    assert_eq!(total(&wall(dir.path()).await).await, 100);
}

#[tokio::test]
async fn a_watermark_of_the_future_is_told_and_reads_no_minute() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.ingest_at(heard("a", 0, 0, Some(24 * 60)), at(0, 50)).await.unwrap();
    for minute in [1, 5, 12] {
        engine.tick(at(minute, 0)).await.unwrap();
    }
    assert!(states(&engine, 0..12).await.ends_with("UUUU"), "nobody has read them");
    let warnings = engine.overview().await.unwrap().warnings;
    assert!(
        warnings.iter().any(|text| text.contains("collector a says that it has read minutes of the future"))
    );
    engine.ingest_at(heartbeat("a", 12), at(12, 0)).await.unwrap();
    engine.tick(at(12, 10)).await.unwrap();
    assert_eq!(states(&engine, 0..12).await, format!("R{}", "i".repeat(11)));
}

#[tokio::test]
async fn names_beyond_the_cap_count_as_unattributed_and_page_the_pipeline_once() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    let mut crowd = heard("a", 0, 0, Some(1));
    let template = crowd.rows[0].clone();
    crowd.rows.clear();
    for name in 0..3000 {
        let mut row = template.clone();
        row.key.service = ServiceRef::Upstream(format!("ns{name:04}-svc-80"));
        row.counts.total = 1;
        crowd.rows.push(row);
    }
    engine.ingest_at(crowd, at(0, 50)).await.unwrap();
    for second in [0, 10] {
        engine.tick(at(1, second)).await.unwrap();
    }
    for engine in [engine, wall(dir.path()).await] {
        let overview = engine.overview().await.unwrap();
        assert_eq!(overview.services.len(), 2001);
        let rest = overview.services.iter().find(|service| service.service == "unattributed").unwrap();
        assert_eq!(rest.slos[0].total, 1000);
        assert_eq!(overview.services.iter().map(|service| service.slos[0].total).sum::<u64>(), 3000);
        let told: Vec<_> =
            overview.alerts.iter().map(|a| (a.service.as_str(), a.severity.as_str())).collect();
        assert_eq!(told, [("pipeline", "ticket")]);
    }
}
