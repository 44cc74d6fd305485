//! The ledger after a long stop: it catches up slice by slice, and says what it would have said.

use slo::counts::{ByteRange, CountsRequest};

use super::wall_clock::{at, heard};
use super::*;

const DAYS: i64 = 10;

/// Ten minutes of an hour in which something was requested.
fn hour(hour: i64) -> CountsRequest {
    let mut request = heard("a", hour * 60, 0, Some(hour * 60 + 60));
    let rows = request.rows.clone();
    request.rows = (0..10)
        .flat_map(|step| {
            rows.iter().cloned().map(move |mut row| {
                row.key.minute = row.key.minute.plus(step * 6);
                row
            })
        })
        .collect();
    let range = ByteRange { start: hour as u64 * 1000, end: hour as u64 * 1000 + 1000 };
    request.streams[0].range = range;
    request.rows.iter_mut().for_each(|row| row.range = range);
    request
}

async fn folding(dir: &std::path::Path) -> Engine {
    engine_of(Clock::Wall, dir, false).await
}

#[tokio::test]
async fn after_a_stop_of_ten_days_the_ledger_is_said_a_slice_a_tick_and_the_same_as_without_it() {
    let (through, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = folding(through.path()).await;
    let hours = DAYS * 24;
    for number in 0..hours {
        engine.ingest(hour(number)).await.unwrap();
        engine.tick(at(number * 60 + 60, 0)).await.unwrap();
    }
    let want = async |engine: &Engine| {
        let mut ticks = 0;
        while ledger(through.path()).await.last().map(|block| block.minute().0)
            < Some(START + hours * 60 - 18)
        {
            engine.tick(at(hours * 60, ticks)).await.unwrap();
            ticks += 1;
            assert!(ticks < 50);
        }
    };
    want(&engine).await;
    let all = ledger(through.path()).await;
    assert_eq!(all.len() as i64, hours * 10 - 2);

    let engine = folding(stopped.path()).await;
    for number in 0..hours {
        engine.ingest(hour(number)).await.unwrap();
    }
    while engine.look_after_store(at(hours * 60, 0)).await.unwrap() {}
    drop(engine);
    let mut said = 0;
    let mut ticks = 0;
    while said < all.len() {
        // It is stopped again in the middle.
        let engine = folding(stopped.path()).await;
        for second in 0..5 {
            engine.tick(at(hours * 60, ticks * 5 + second)).await.unwrap();
            let now = ledger(stopped.path()).await.len();
            assert!(now > said || now == all.len(), "a tick says something while something is due");
            if ticks == 0 && second == 0 {
                assert!(now < all.len() * 9 / 10, "the first tick said {now} of {}", all.len());
            }
            said = now;
        }
        ticks += 1;
    }
    let blocks = ledger(stopped.path()).await;
    slo::ledger::verify_chain(slo::ledger::Tip::START, &blocks).unwrap();
    assert_eq!(blocks, all);
}
