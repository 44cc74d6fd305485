//! A store that fails: what was not committed is not shown, and when the store works again the engine goes on from what is in
//! it.

use super::cluster::{routed, service};
use super::exactness::{copy, dump};
use super::wall_clock::{at, heard, heartbeat, wall};
use super::*;
use crate::store::probe;

/// What memory says is what an engine says that was just opened on the store.
async fn says_what_is_committed(engine: &Engine, dir: &std::path::Path) {
    let copy = copy(dir);
    let fresh = wall(copy.path()).await;
    assert_eq!(engine.with_figures(dump), fresh.with_figures(dump));
    assert_eq!(engine.incidents().await.unwrap(), fresh.incidents().await.unwrap());
    assert_eq!(engine.overview().await.unwrap().input, fresh.overview().await.unwrap().input);
}

/// Rows, ticks and what the cluster says, all of which fail; some of them change a lot.
async fn everything_fails(engine: &Engine, dir: &std::path::Path, fail: impl AsyncFn()) {
    fail().await;
    let mut many = heard("b", 3, 50, Some(4));
    many.streams[0].path = "x".repeat(100_000);
    engine.ingest(many).await.unwrap_err();
    says_what_is_committed(engine, dir).await;
    fail().await;
    let services = (0..200).map(|number| service(&format!("s{number}"), &[("owner", "somebody")])).collect();
    engine.discovered(&routed(services), at(3, 0)).await.unwrap_err();
    says_what_is_committed(engine, dir).await;
}

async fn goes_on(engine: &Engine, dir: &std::path::Path) {
    engine.ingest(heard("b", 3, 50, Some(4))).await.unwrap();
    engine.ingest(heartbeat("a", 40)).await.unwrap();
    engine.ingest(heartbeat("b", 40)).await.unwrap();
    for second in 0..3 {
        engine.tick(at(40, second)).await.unwrap();
    }
    says_what_is_committed(engine, dir).await;
    assert_eq!(engine.overview().await.unwrap().services[0].slos[0].total, 200);
    let blocks = ledger(dir).await;
    slo::ledger::verify_chain(slo::ledger::Tip::START, &blocks).unwrap();
    assert_eq!(blocks.iter().map(|block| block.minute().0 - START).collect::<Vec<_>>(), [0, 3]);
}

async fn begun(dir: &std::path::Path) -> Engine {
    let engine = wall(dir).await;
    engine.ingest(heard("a", 0, 50, Some(2))).await.unwrap();
    engine.tick(at(2, 0)).await.unwrap();
    engine
}

#[tokio::test]
async fn after_a_full_disk_the_engine_goes_on_from_what_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let engine = begun(dir.path()).await;
    everything_fails(&engine, dir.path(), async || probe::fill_disk(&engine.store()).await).await;
    goes_on(&engine, dir.path()).await;
}

#[tokio::test]
async fn while_another_program_writes_the_engine_waits_and_then_goes_on_from_what_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let engine = begun(dir.path()).await;
    probe::wait_at_most(&engine.store(), 20).await;
    let other = Store::open(&dir.path().join("engine.db")).await.unwrap();
    let held = other.begin().await.unwrap();
    everything_fails(&engine, dir.path(), async || ()).await;
    for minute in [20, 21] {
        engine.tick(at(minute, 0)).await.unwrap_err();
        says_what_is_committed(&engine, dir.path()).await;
    }
    drop(held);
    goes_on(&engine, dir.path()).await;
}

#[tokio::test]
async fn a_store_that_cannot_be_read_either_takes_nothing_until_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let engine = begun(dir.path()).await;
    let other = Store::open(&dir.path().join("engine.db")).await.unwrap();
    probe::run(&other, "ALTER TABLE collectors RENAME TO hidden").await;
    probe::run(&other, "ALTER TABLE episodes RENAME TO hidden_too").await;
    engine.ingest(heard("b", 3, 50, Some(4))).await.unwrap_err();
    // Ticks alone would work; from a state that may be ahead of the store nothing is committed.
    for minute in [20, 21] {
        engine.tick(at(minute, 0)).await.unwrap_err();
    }
    probe::run(&other, "ALTER TABLE hidden RENAME TO collectors").await;
    engine.tick(at(22, 0)).await.unwrap_err();
    probe::run(&other, "ALTER TABLE hidden_too RENAME TO episodes").await;
    goes_on(&engine, dir.path()).await;
}
