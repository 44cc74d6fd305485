//! A chain that someone changed is found, whatever was changed.

use jiff::Timestamp;

use super::*;
use crate::engine::Engine;
use crate::reports::tests::{counts, minute, open};
use crate::store::{Store, probe};

const START: &str = "2026-11-02T00:00:00Z";

/// An engine that said some minutes, one a block.
async fn said(dir: &std::path::Path, minutes: i64) -> Engine {
    let engine = open(dir, "UTC").await;
    say(&engine, 0, minutes).await;
    engine
}

/// Requests in minutes `[from, to)`, all of which the ledger says.
async fn say(engine: &Engine, from: i64, to: i64) {
    let start = minute(START);
    let all: Vec<i64> = (from..to).map(|minute| start + minute).collect();
    let mut request = counts(&all, start + to + 15);
    let range = serde_json::json!({ "start": from * 1000, "end": to * 1000 });
    let range: slo::counts::ByteRange = serde_json::from_value(range).unwrap();
    request.streams[0].range = range;
    request.rows.iter_mut().for_each(|row| row.range = range);
    engine.ingest(request).await.unwrap();
    for second in 0..20 {
        let now = MinuteId(start + to + 14).start() + jiff::SignedDuration::from_secs(second);
        engine.tick(now).await.unwrap();
    }
}

async fn verified(store: &Store) -> Result<u64, String> {
    let mut tx = store.read().await.unwrap();
    let chain = Chain::read(&mut tx).await.unwrap();
    Ledger::of(&chain).map(|ledger| ledger.blocks).map_err(|error| error.to_string())
}

async fn check(sql: &'static str, want: &str) {
    let dir = tempfile::tempdir().unwrap();
    let store = said(dir.path(), 86).await.store();
    assert_eq!(verified(&store).await, Ok(86));
    probe::run(&store, sql).await;
    let found = verified(&store).await.expect_err(sql);
    assert!(found.contains(want), "{found}");
}

#[tokio::test]
async fn a_tail_that_was_cut_off_is_found() {
    check("DELETE FROM ledger WHERE seq >= 41", "ends with 41 blocks").await;
    check("DELETE FROM ledger", "ends with 0 blocks").await;
}

#[tokio::test]
async fn a_column_that_was_changed_is_found() {
    check("UPDATE ledger SET hash = 'ff' WHERE seq = 30", "ledger block 30: its column says hash ff").await;
    check(
        "UPDATE ledger SET minute = minute - 50000 WHERE seq = 85",
        "ledger block 85: its column says minute",
    )
    .await;
    check("UPDATE ledger SET seq = 1000 WHERE seq = 85", "it lies as block 1000").await;
    check("DELETE FROM ledger WHERE seq = 30", "a block is missing").await;
    check("UPDATE meta SET value = '29000000' WHERE key = 'ledger_to'", "yet there is a block").await;
}

#[tokio::test]
async fn a_tail_that_was_cut_off_is_found_after_the_engine_went_on_too() {
    for engine_runs in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = said(dir.path(), 86).await;
        probe::run(&engine.store(), "DELETE FROM ledger WHERE seq >= 41").await;
        if !engine_runs {
            engine = open(dir.path(), "UTC").await;
        }
        say(&engine, 86, 90).await;
        assert!(verified(&engine.store()).await.is_err(), "the engine ran: {engine_runs}");
    }
}

#[tokio::test]
async fn a_chain_that_is_not_the_one_of_a_sealed_month_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let engine = said(dir.path(), 86).await;
    let mut seal: Seal = serde_json::from_value(serde_json::json!({
        "version": 1, "month": "2026-11", "environment": "test", "restatement": 0,
        "sealed_at": "2026-12-04T06:00:00Z", "files": {}, "definitions": {}, "known_services": [],
        "known_namespaces": [], "window": { "from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z" },
        "ledger": { "blocks": 86, "tip": "", "of_month": 86 },
    }))
    .unwrap();
    let mut tx = engine.store().read().await.unwrap();
    let mut chain = Chain::read(&mut tx).await.unwrap();
    seal.ledger.tip = hex(&chain.verify().unwrap().hash);
    chain.seals = vec![seal.clone()];
    chain.verify().unwrap();
    let told = |chain: &Chain| chain.verify().unwrap_err().to_string();
    chain.seals[0].ledger.of_month = 85;
    assert!(told(&chain).contains("knows 85 blocks about it; 86 are there"));
    chain.seals[0].ledger.tip = "00".to_owned();
    assert!(told(&chain).contains("knows 00 as block 85"));
    chain.seals[0].ledger.blocks = 87;
    assert!(told(&chain).contains("knows 87 blocks of the ledger; 86 are there"));
    // One that was taken over speaks of another chain.
    let taken_over = Timestamp::UNIX_EPOCH;
    drop(tx);
    let mut tx = engine.store().begin().await.unwrap();
    seals::put(
        &mut tx,
        &crate::seal::Sealed { seal: Seal { sealed_at: taken_over, ..seal }, files: Default::default() },
    )
    .await
    .unwrap();
    let before = seals::own(&mut tx, None).await.unwrap();
    seals::note_adopted(&mut tx, &before[0]).await.unwrap();
    assert_eq!((before.len(), seals::own(&mut tx, None).await.unwrap().len()), (1, 0));
}
