//! Readers, however many, hold up no tick and no commit.

use std::sync::Arc;

use super::wall_clock::{at, heard};
use super::*;

const READERS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_readers_hold_up_no_tick_and_no_commit() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Arc::new(engine_of(Clock::Wall, dir.path(), false).await);
    for minute in 0..40 {
        let bad = if minute % 20 < 5 { 50 } else { 0 };
        engine.ingest(heard("a", minute, bad, Some(minute + 1))).await.unwrap();
        engine.tick(at(minute + 1, 0)).await.unwrap();
    }
    let reader = |engine: Arc<Engine>| async move {
        let mut seen = 0;
        for _ in 0..3 {
            let model = engine.page_model().await?;
            let total = model.overview.services[0].slos[0].total;
            assert!(total >= seen, "a reader went back from {seen} to {total}");
            seen = total;
            engine.incidents().await?;
        }
        Ok::<u64, crate::engine::EngineError>(seen)
    };
    let readers: Vec<_> = (0..READERS).map(|_| tokio::spawn(reader(engine.clone()))).collect();
    for minute in 40..80 {
        engine.ingest(heard("a", minute, 0, Some(minute + 1))).await.unwrap();
        engine.tick(at(minute + 1, 0)).await.unwrap();
    }
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
    assert_eq!(engine.overview().await.unwrap().services[0].slos[0].total, 8000);
}
