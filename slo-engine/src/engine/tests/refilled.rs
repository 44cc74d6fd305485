//! An engine that lost its state and got its counts back says in the ledger what the lost one said.

use jiff::Timestamp;
use slo::counts::{CountsRequest, MinuteId};
use slo::ledger::{Table, table};

use super::super::Fill;
use super::wall_clock::{at, heartbeat, wall};
use super::{Engine, START, bad_hour, ledger};

async fn said(dir: &std::path::Path) -> Table {
    table(&ledger(dir).await)
}

/// What an archive gives: the counts, and nobody's word on how far they reach.
async fn refill(engine: &Engine, now: Timestamp) {
    engine.begin_filling().await.unwrap();
    for request in bad_hour() {
        let request = CountsRequest { watermark_ms: None, ..request };
        engine.fill(&["s".to_owned()], |_| Fill::of(vec![request])).await.unwrap();
    }
    engine.end_filling(now).await.unwrap();
}

fn word(watermark: i64) -> CountsRequest {
    CountsRequest { collector: "node".to_owned(), ..heartbeat("node", watermark) }
}

/// An engine that nothing happened to, at minute `now`.
async fn lost(dir: &std::path::Path, now: i64) -> Engine {
    let engine = wall(dir).await;
    for request in bad_hour() {
        engine.ingest(request).await.unwrap();
    }
    engine.ingest(word(now)).await.unwrap();
    engine.tick(at(now, 0)).await.unwrap();
    engine
}

#[tokio::test]
async fn the_ledger_waits_for_the_collectors_and_says_the_same() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let want = lost(a.path(), 200).await.overview().await.unwrap();
    let engine = wall(b.path()).await;
    refill(&engine, at(199, 0)).await;
    engine.tick(at(199, 50)).await.unwrap();
    assert_eq!(said(b.path()).await, Table::new());
    engine.ingest(word(200)).await.unwrap();
    engine.tick(at(200, 0)).await.unwrap();
    assert_eq!(said(b.path()).await, said(a.path()).await);
    assert_eq!(engine.overview().await.unwrap().services, want.services);
}

#[tokio::test]
async fn a_collector_that_comes_after_the_ledger_has_spoken_amends_it() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    lost(a.path(), 260).await;
    let engine = wall(b.path()).await;
    refill(&engine, at(200, 0)).await;
    engine.tick(at(250, 0)).await.unwrap();
    let unmeasured = said(b.path()).await.keys().any(|(minute, ..)| *minute == MinuteId(START + 150));
    assert!(unmeasured, "nobody has read the minutes after the last line");
    engine.ingest(word(260)).await.unwrap();
    engine.tick(at(260, 0)).await.unwrap();
    let (want, mut got) = (said(a.path()).await, said(b.path()).await);
    // What was said of a minute that turned out idle is that it was read, with nothing in it.
    got.retain(|key, entry| want.contains_key(key) || entry.minute() != slo::series::Minute::IDLE);
    assert_eq!(got, want);
}

#[tokio::test]
async fn positions_are_withheld_while_the_state_is_filled_and_a_fill_that_was_cut_off_is_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    assert!(engine.is_to_be_filled().await.unwrap());
    engine.begin_filling().await.unwrap();
    engine.fill(&["s".to_owned()], |_| Fill::of(vec![bad_hour().remove(0)])).await.unwrap();
    assert!(engine.positions().await.is_err());
    drop(engine);
    let engine = wall(dir.path()).await;
    assert!(engine.is_to_be_filled().await.unwrap());
    engine.end_filling(at(0, 0)).await.unwrap();
    assert_eq!(engine.positions().await.unwrap().positions["s"], 100);
    drop(engine);
    assert!(!wall(dir.path()).await.is_to_be_filled().await.unwrap());
}

#[tokio::test]
async fn counts_for_another_state_or_that_cut_through_what_is_held_are_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    let store = Some(engine.positions().await.unwrap().store);
    for request in bad_hour().into_iter().take(3) {
        engine.ingest(CountsRequest { store: store.clone(), ..request }).await.unwrap();
    }
    let mut cut = CountsRequest { store: store.clone(), ..bad_hour().remove(3) };
    cut.streams[0].range.start = 250;
    cut.rows.iter_mut().for_each(|row| row.range.start = 250);
    let refused = engine.ingest(cut).await.unwrap_err().to_string();
    assert!(refused.contains("of stream s the bytes 0 to 300 are counted, 250 to 400"), "{refused}");
    let other = CountsRequest { store: Some("another".to_owned()), ..bad_hour().remove(3) };
    let refused = engine.ingest(other).await.unwrap_err().to_string();
    assert!(refused.contains("this engine's state is not the one"), "{refused}");
    assert_eq!(engine.positions().await.unwrap().positions["s"], 300);
    // A repeat whose answer was lost is taken as what it is.
    engine.ingest(CountsRequest { store, ..bad_hour().remove(2) }).await.unwrap();
}
