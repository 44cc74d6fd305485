//! Rows that fold say what rows say: whatever is late, cut off or started again, an engine that folds ends like one that never
//! does.

use proptest::prelude::*;
use slo::counts::{ByteRange, MinuteId};

use super::exactness::{LINES, Sent, dump, nest, request, run, sent};
use super::export::{Index, export};
use super::wall_clock::{at, heard};
use super::*;
use crate::engine::EngineError;
use crate::store::probe;

/// A step: what is sent, minutes that pass, and whether the engine that folds is started again.
type Step = (Sent, i64, bool);

async fn folding(dir: &std::path::Path) -> Engine {
    engine_of(Clock::Wall, dir, false).await
}

/// Minutes of the range that folds at `minute`: rows of the first two minutes, then of more and more.
const FOLDS_AT: i64 = 121;

async fn ends_like_one_that_never_folds(steps: &[Step]) {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut never = folding(dirs[0].path()).await;
    let mut folds = folding(dirs[1].path()).await;
    let mut minute = FOLDS_AT - 20;
    for (sent, passed, restart) in steps {
        let before = folds.with_figures(dump).await.unwrap();
        match folds.ingest(request(*sent)).await {
            Ok(_) => drop(never.ingest(request(*sent)).await.unwrap()),
            Err(EngineError::HeldOtherwise(_)) => {
                assert_eq!(folds.with_figures(dump).await.unwrap(), before, "{sent:?} was refused");
            }
            Err(error) => panic!("{sent:?}: {error}"),
        }
        minute += passed;
        never.tick(at(minute, 0)).await.unwrap();
        folds.tick(at(minute, 0)).await.unwrap();
        while folds.look_after_store(at(minute, 0)).await.unwrap() {}
        if *restart {
            // Both, since whoever was just started waits before it calls collectors lost.
            drop((never, folds));
            (never, folds) = (folding(dirs[0].path()).await, folding(dirs[1].path()).await);
        }
        let shown = [never.with_figures(dump).await.unwrap(), folds.with_figures(dump).await.unwrap()];
        assert_eq!(shown[0], shown[1], "after {sent:?} at {minute}");
    }
    minute += 200;
    for engine in [&never, &folds] {
        engine.tick(at(minute, 0)).await.unwrap();
        engine.tick(at(minute, 10)).await.unwrap();
    }
    while folds.look_after_store(at(minute, 10)).await.unwrap() {}
    assert_eq!(probe::sizes(&folds.store()).await["rows"], 0);
    assert_eq!(never.overview().await.unwrap(), folds.overview().await.unwrap());
    assert_eq!(never.positions().await.unwrap().positions, folds.positions().await.unwrap().positions);
    drop((never, folds));
    let tables = [ledger(dirs[0].path()).await, ledger(dirs[1].path()).await].map(|blocks| {
        slo::ledger::verify_chain(slo::ledger::Tip::START, &blocks).unwrap();
        slo::ledger::table(&blocks)
    });
    let differ = tables[0].iter().find(|(key, entry)| tables[1].get(key) != Some(entry));
    assert_eq!(differ.map(|(key, entry)| (entry, tables[1].get(key))), None);
    assert_eq!(tables[0], tables[1]);
}

fn steps(sent: impl Strategy<Value = Sent>) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((sent, 0..12_i64, any::<bool>()), 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_engine_that_folds_and_is_started_again_ends_like_one_that_never_does(steps in steps(sent())) {
        run(ends_like_one_that_never_folds(&steps));
    }

    #[test]
    fn late_rows_that_stand_apart_add_to_what_has_folded(steps in steps(sent().prop_map(nest))) {
        run(ends_like_one_that_never_folds(&steps));
    }
}

#[tokio::test]
async fn a_range_that_contains_folded_bytes_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let engine = folding(dir.path()).await;
    let sent = |from, to| request(Sent { collector: 1, stream: 3, from, to });
    engine.ingest(sent(0, 12)).await.unwrap();
    while engine.look_after_store(at(200, 0)).await.unwrap() {}
    let (figures, held) = (engine.with_figures(dump).await.unwrap(), engine.positions().await.unwrap());
    let tally = engine.overview().await.unwrap().input;
    for (from, to) in [(0, LINES), (0, 13), (4, 16)] {
        let refused = engine.ingest(sent(from, to)).await.unwrap_err();
        assert!(matches!(refused, EngineError::HeldOtherwise(_)), "{from} to {to}: {refused}");
        assert_eq!(engine.with_figures(dump).await.unwrap(), figures);
        assert_eq!(engine.positions().await.unwrap().positions, held.positions);
        assert_eq!(engine.overview().await.unwrap().input, tally);
    }
    // What was counted is a repeat, what follows counts.
    engine.ingest(sent(4, 8)).await.unwrap();
    assert_eq!(engine.with_figures(dump).await.unwrap(), figures);
    engine.ingest(sent(12, LINES)).await.unwrap();
    assert_eq!(engine.overview().await.unwrap().input.lines, LINES);
    let fresh = folding(dir.path()).await.with_figures(dump).await.unwrap();
    assert_eq!(engine.with_figures(dump).await.unwrap(), fresh);
}

#[tokio::test]
async fn rows_that_elasticsearch_lacks_wait_72_hours_and_those_that_it_has_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine_of(Clock::Wall, dir.path(), true).await;
    engine.ingest(heard("a", 0, 0, Some(1))).await.unwrap();
    let hour = 60;
    let look = async |minute| {
        engine.tick(at(minute, 0)).await.unwrap();
        while engine.look_after_store(at(minute, 0)).await.unwrap() {}
        let sizes = probe::sizes(&engine.store()).await;
        (sizes["rows"], sizes["cells"])
    };
    assert_eq!(look(3 * hour).await, (1, 0));
    assert_eq!(look(72 * hour).await, (1, 0));
    let mut second = heard("b", 60, 0, Some(61));
    second.rows.iter_mut().for_each(|row| row.range = ByteRange { start: 6000, end: 6100 });
    engine.ingest(second).await.unwrap();
    assert_eq!(look(72 * hour + 1).await, (1, 1));
    assert_eq!(engine.overview().await.unwrap().services[0].slos[0].total, 200);
    export(&engine, at(72 * hour + 2, 0), &mut Index::new(), None).await;
    assert_eq!(look(72 * hour + 2).await, (0, 2));
    let again = engine_of(Clock::Wall, dir.path(), true).await;
    let kept = again.with_figures(|figures| figures.counts.first()).await.unwrap();
    assert_eq!(kept, Some(MinuteId(START)));
}
