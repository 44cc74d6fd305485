//! Seventy days of a busy service, in virtual time: what no window reaches is forgotten, what people were told of stays.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use slo::counts::{ByteRange, CountsRequest, MinuteId};

use super::wall_clock::heard;
use super::*;
use crate::reports::keeper::{Keeper, Word};
use crate::schedule::Schedule;
use crate::store::probe;

/// 2026-10-01T00:00:00Z.
const OCTOBER: i64 = START - (53 * 24 + 10) * 60;

const DAY: i64 = 24 * 60;

/// Minutes that pass between two looks.
const CHUNK: i64 = 120;

/// Every ten minutes of a chunk ten requests, from a pod that lives for a day.
fn chunk(service: &str, minute: i64, bad: u64) -> CountsRequest {
    let mut request = heard("a", 0, 0, None);
    let (stream, start) = (format!("{service} {}", minute / DAY), (minute % DAY) as u64);
    let range = ByteRange { start, end: start + CHUNK as u64 };
    let end = OCTOBER + minute + CHUNK;
    request.watermark_ms = Some(end * 60_000);
    request.streams[0].stream = stream.clone();
    request.streams[0].range = range;
    request.streams[0].newest_ms = Some((end - 1) * 60_000);
    let mut row = request.rows[0].clone();
    row.key.service =
        slo::counts::ServiceRef::Named { namespace: "shop".to_owned(), name: service.to_owned() };
    row.key.stream = stream;
    (row.range, row.counts.total, row.counts.bad) = (range, 10, bad);
    request.rows = (0..CHUNK / 10)
        .map(|step| {
            let mut row = row.clone();
            row.key.minute = MinuteId(OCTOBER + minute + step * 10 + 9);
            row
        })
        .collect();
    request
}

fn instant(minute: i64) -> Timestamp {
    MinuteId(OCTOBER + minute).start()
}

async fn open(dir: &std::path::Path) -> Keeper {
    Keeper {
        engine: Arc::new(engine_of(Clock::Wall, dir, false).await),
        environment: "test".to_owned(),
        schedule: Schedule::parse("0 6 4 * *", "UTC").unwrap(),
        shelves: Vec::new(),
    }
}

async fn look(engine: &Engine, now: Timestamp) {
    while engine.look_after_store(now).await.unwrap() {}
}

/// What seventy days left.
struct Lived {
    dir: tempfile::TempDir,
    keeper: Keeper,
    /// Rows in each table at the end of each day.
    sizes: Vec<BTreeMap<&'static str, i64>>,
    /// What was sealed, and the day of it.
    sealed: Vec<(String, u32, i64)>,
    lines: u64,
}

async fn live(days: i64) -> Lived {
    let dir = tempfile::tempdir().unwrap();
    let mut keeper = open(dir.path()).await;
    let (mut sizes, mut sealed, mut lines) = (Vec::new(), Vec::new(), 0);
    for minute in (0..days * DAY).step_by(CHUNK as usize) {
        let (day, now) = (minute / DAY, instant(minute + CHUNK));
        let bad = if day % 7 == 3 && minute % DAY == 0 { 10 } else { 0 };
        let mut requests = vec![chunk("web", minute, bad)];
        requests.extend((day < 3).then(|| chunk("old", minute, 0)));
        for request in requests {
            lines += request.streams[0].tally.lines;
            keeper.engine.ingest_at(request, now).await.unwrap();
        }
        keeper.engine.tick(now).await.unwrap();
        keeper.engine.tick(now).await.unwrap();
        look(&keeper.engine, now).await;
        if minute % DAY == 6 * 60 - 6 * 60 % CHUNK {
            let kept = keeper.keep(now).await.unwrap().sealed;
            sealed.extend(kept.into_iter().map(|seal| (seal.month, seal.restatement, day)));
        }
        if (minute + CHUNK) % DAY == 0 {
            sizes.push(probe::sizes(&keeper.engine.store()).await);
            if day % 10 == 0 {
                keeper = open(dir.path()).await;
            }
        }
    }
    Lived { dir, keeper, sizes, sealed, lines }
}

async fn names(engine: &Engine) -> Vec<String> {
    engine.overview().await.unwrap().services.into_iter().map(|service| service.service).collect()
}

async fn words(keeper: &Keeper, month: &str, now: Timestamp) -> Word {
    keeper.seal(month, now).await.unwrap().0
}

#[tokio::test]
async fn seventy_days_of_one_busy_service_leave_what_forty_one_left() {
    let lived = live(70).await;
    // A window of 32 days, and until a month is sealed the day before it too. Incidents are kept for 100 days, because
    // reports of two months name them.
    let days = 36;
    for (table, most) in [
        ("rows", 3 * 60 / 10),
        ("cells", days * 24),
        ("streams", days),
        ("tallies", days),
        ("collectors", 1),
        ("episodes", 2),
        ("amendments", 0),
    ] {
        let found = lived.sizes[41..].iter().map(|sizes| sizes[table]).max().unwrap();
        assert!(found <= most, "{table}: {found}, expected at most {most}");
    }
    let engine = &lived.keeper.engine;
    assert_eq!(engine.overview().await.unwrap().input.lines, lived.lines);
    assert_eq!(names(engine).await, ["shop/web"]);
    assert_eq!(lived.sealed, [("2026-10".to_owned(), 0, 34), ("2026-11".to_owned(), 0, 64)]);
    let again = open(lived.dir.path()).await;
    assert_eq!(again.engine.overview().await.unwrap(), engine.overview().await.unwrap());
    assert_eq!(again.engine.overview().await.unwrap().input.lines, lived.lines);
    ends_after_a_hundred_days(&again).await;
}

/// Incidents, whose messages were delivered, leave with their messages.
async fn ends_after_a_hundred_days(keeper: &Keeper) {
    let before = probe::sizes(&keeper.engine.store()).await;
    assert!(before["incidents"] >= 8, "{before:?}");
    probe::run(&keeper.engine.store(), "UPDATE outbox SET state = 'delivered'").await;
    look(&keeper.engine, instant(180 * DAY)).await;
    let after = probe::sizes(&keeper.engine.store()).await;
    let open =
        keeper.engine.incidents().await.unwrap().iter().filter(|it| it.alert.resolved_at.is_none()).count();
    assert_eq!((after["incidents"], after["rows"], after["cells"]), (open as i64, 0, 0), "{after:?}");
}

#[tokio::test]
async fn a_month_that_was_forgotten_in_part_is_never_said_anew_not_after_a_start_either() {
    let lived = live(50).await;
    let now = instant(50 * DAY);
    let sealed = lived.keeper.engine.store();
    let mut tx = sealed.read().await.unwrap();
    let seal = store::seals::latest(&mut tx, "2026-10").await.unwrap().unwrap();
    drop(tx);
    assert_eq!(seal.restatement, 0);
    // A late line of October, of a day that is still kept; the first days are not.
    let mut late = chunk("web", 20 * DAY, 10);
    late.watermark_ms = None;
    late.streams[0].stream = "late".to_owned();
    late.rows.iter_mut().for_each(|row| row.key.stream = "late".to_owned());
    lived.keeper.engine.ingest_at(late, now).await.unwrap();
    lived.keeper.engine.tick(now).await.unwrap();
    assert_eq!(words(&lived.keeper, "2026-10", now).await, Word::Same);
    let again = open(lived.dir.path()).await;
    again.engine.tick(now).await.unwrap();
    assert_eq!(words(&again, "2026-10", now).await, Word::Same);
    assert_eq!(again.keep(now).await.unwrap().sealed, []);
}
