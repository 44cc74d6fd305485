//! The wall clock: the open minute, collectors that are lost and come back, silence, and looks at the same minute again.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use slo::counts::{CountsRequest, MinuteId, Sli};
use slo::series::Minute;

use super::{Clock, Engine, START, engine_by, ledger, request};

/// What `collector` read of minute `minute` of a stream of its own, with everything before `watermark` minutes.
pub(super) fn heard(collector: &str, minute: i64, bad: u64, watermark: Option<i64>) -> CountsRequest {
    let mut request = request(minute, bad);
    request.collector = collector.to_owned();
    request.watermark_ms = watermark.map(|minute| (START + minute) * 60_000);
    request.streams[0].stream = format!("of {collector}");
    request.rows.iter_mut().for_each(|row| row.key.stream = format!("of {collector}"));
    request
}

/// Only the watermark.
pub(super) fn heartbeat(collector: &str, watermark: i64) -> CountsRequest {
    let request = heard(collector, 0, 0, Some(watermark));
    CountsRequest { streams: Vec::new(), rows: Vec::new(), ..request }
}

/// `seconds` into minute `minute`.
pub(super) fn at(minute: i64, seconds: i64) -> Timestamp {
    MinuteId(START + minute).start() + SignedDuration::from_secs(seconds)
}

pub(super) async fn wall(dir: &Path) -> Engine {
    engine_by(Clock::Wall, dir).await
}

pub(super) fn states(engine: &Engine, minutes: std::ops::Range<i64>) -> String {
    let letter = |minute: Option<Minute>| match minute {
        Some(Minute::Read(counts)) if counts.total == 0 => 'i',
        Some(Minute::Read(_)) => 'R',
        Some(Minute::Partial(_)) => 'P',
        Some(Minute::Unmeasured) => 'U',
        Some(Minute::Excluded) => 'X',
        None => '-',
    };
    engine.with_figures(|figures| {
        let (_, _, source) = figures.counts.services().next().unwrap();
        let series = source.series(Sli::Availability).unwrap();
        minutes.map(|minute| letter(series.get(MinuteId(START + minute)))).collect()
    })
}

/// Keys of open alerts as (service, slo), and how many incidents there ever were.
pub(super) async fn alerts(engine: &Engine) -> (Vec<String>, usize) {
    let incidents = engine.incidents().await.unwrap();
    let open = incidents.iter().filter(|incident| incident.alert.resolved_at.is_none());
    (open.map(|i| format!("{} {}", i.alert.service, i.alert.slo)).collect(), incidents.len())
}

#[tokio::test]
async fn a_minute_is_read_when_every_expected_collector_has_passed_it() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.ingest(heard("a", 0, 0, Some(4))).await.unwrap();
    engine.ingest(heard("b", 1, 0, Some(2))).await.unwrap();
    engine.tick(at(5, 10)).await.unwrap();
    assert_eq!(states(&engine, -1..7), "-RRPPUU-");
    engine.ingest(heartbeat("b", 5)).await.unwrap();
    engine.tick(at(5, 20)).await.unwrap();
    assert_eq!(states(&engine, -1..7), "-RRiiPU-");
    assert_eq!(states(&wall(dir.path()).await, -1..7), "-RRiiPU-");
}

#[tokio::test]
async fn a_collector_that_has_never_caught_up_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.ingest(heard("a", 0, 0, Some(6))).await.unwrap();
    engine.ingest(heard("b", 2, 0, None)).await.unwrap();
    engine.tick(at(5, 50)).await.unwrap();
    assert_eq!(states(&engine, 0..6), "RiPPPP");
    assert_eq!(alerts(&engine).await.1, 0);
}

#[tokio::test]
async fn minutes_of_a_lost_collector_stay_missing_until_it_comes_back_and_the_ledger_is_amended() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.ingest(heard("a", 0, 0, Some(1))).await.unwrap();
    for minute in [1, 12, 40] {
        engine.tick(at(minute, 0)).await.unwrap();
    }
    assert_eq!(states(&engine, 0..41), format!("R{}", "U".repeat(40)));
    assert_eq!(alerts(&engine).await, (vec!["pipeline measurement".to_owned()], 1));
    engine.ingest(heard("a", 20, 0, Some(41))).await.unwrap();
    engine.tick(at(41, 0)).await.unwrap();
    assert_eq!(states(&engine, 0..41), format!("R{}R{}", "i".repeat(19), "i".repeat(20)));
    assert_eq!(alerts(&engine).await, (vec![], 1));
    let table = slo::ledger::table(&ledger(dir.path()).await);
    let said = |minute: i64| {
        table.get(&(MinuteId(START + minute), "shop/web".to_owned(), Sli::Availability)).map(|e| e.minute())
    };
    assert_eq!(said(20).map(Minute::counts).map(|counts| counts.total), Some(100));
    assert_eq!(said(10), Some(Minute::IDLE));
}

#[tokio::test]
async fn a_collector_that_is_gone_for_good_is_given_up_but_what_it_lacked_stays_lacking() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.ingest(heard("a", 0, 0, Some(1))).await.unwrap();
    engine.ingest(heard("b", 0, 0, Some(1))).await.unwrap();
    let day = 24 * 60;
    for minute in [12, day, day + 3] {
        engine.ingest(heartbeat("b", minute)).await.unwrap();
        engine.tick(at(minute, 0)).await.unwrap();
    }
    assert_eq!(states(&engine, 0..4), "RPPP");
    assert_eq!(states(&engine, day - 2..day + 5), "PPPiiU-");
    assert_eq!(states(&wall(dir.path()).await, day - 2..day + 5), "PPPiiU-");
    assert_eq!(alerts(&engine).await, (vec![], 1));
}

#[tokio::test]
async fn the_only_collector_is_never_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.ingest(heard("a", 0, 0, Some(1))).await.unwrap();
    for minute in [1, 12, 24 * 60, 3 * 24 * 60] {
        engine.tick(at(minute, 0)).await.unwrap();
    }
    assert_eq!(states(&engine, 0..3), "RUU");
    assert_eq!(states(&engine, 3 * 24 * 60 - 2..3 * 24 * 60), "UU");
    assert_eq!(alerts(&engine).await, (vec!["pipeline measurement".to_owned()], 1));
}

#[tokio::test]
async fn an_engine_that_was_down_waits_before_it_calls_collectors_lost() {
    let dir = tempfile::tempdir().unwrap();
    wall(dir.path()).await.ingest(heard("a", 0, 0, Some(1))).await.unwrap();
    let engine = wall(dir.path()).await;
    engine.tick(at(120, 0)).await.unwrap();
    assert_eq!(alerts(&engine).await.1, 0);
    engine.tick(at(129, 50)).await.unwrap();
    assert_eq!(alerts(&engine).await.1, 0);
    engine.tick(at(130, 0)).await.unwrap();
    assert_eq!(alerts(&engine).await.0, ["pipeline measurement"]);
}

#[tokio::test]
async fn looks_at_the_same_minute_page_once_however_the_open_minute_turns_out() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    let part = |part: i64, bad: u64, total: u64| {
        let mut request = heard("a", 0, bad, None);
        let range =
            slo::counts::ByteRange { start: part as u64 * 10_000, end: part as u64 * 10_000 + 10_000 };
        request.streams[0].range = range;
        for row in &mut request.rows {
            row.range = range;
            row.counts.total = total;
            row.ladder.iter_mut().for_each(|count| *count = 0);
            row.ladder.first_mut().into_iter().for_each(|count| *count = total);
        }
        request
    };
    for (index, (bad, total)) in
        [(50, 100), (0, 9_900), (900, 1000), (0, 9_999), (5000, 9_000)].into_iter().enumerate()
    {
        let index = index as i64;
        engine.ingest(part(index, bad, total)).await.unwrap();
        engine.tick(at(0, 10 * index + 5)).await.unwrap();
        assert_eq!(alerts(&engine).await, (vec!["shop/web availability".to_owned()], 1), "look {index}");
    }
    let told = engine.incidents().await.unwrap()[0].notified.len();
    assert_eq!(told, 1);
}

#[tokio::test]
async fn a_service_in_a_namespace_called_pipeline_keeps_its_page() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    let mut request = heard("a", 0, 50, Some(1));
    request.rows.iter_mut().for_each(|row| {
        row.key.service =
            slo::counts::ServiceRef::Named { namespace: "pipeline".to_owned(), name: "web".to_owned() };
    });
    engine.ingest(request).await.unwrap();
    for second in [0, 10, 20] {
        engine.tick(at(1, second)).await.unwrap();
        assert_eq!(alerts(&engine).await, (vec!["pipeline/web availability".to_owned()], 1));
    }
}

/// A request a minute until `more` minutes into the fifth week, in the hours of the week that matter.
async fn four_weeks(engine: &Engine, more: i64) -> i64 {
    let minutes = 4 * 7 * 24 * 60 + more;
    let mut request = heard("a", 0, 0, Some(minutes));
    request.streams[0].range.end = 50_000;
    let mut rows = Vec::new();
    let week = 7 * 24 * 60;
    for minute in
        (0..=4).flat_map(|back| minutes - back * week - 10..(minutes - back * week + 60).min(minutes))
    {
        let mut row = request.rows[0].clone();
        row.key.minute = MinuteId(START + minute);
        row.counts.total = 1;
        row.range = request.streams[0].range;
        rows.push(row);
    }
    request.rows = rows;
    engine.ingest(request).await.unwrap();
    minutes
}

#[tokio::test]
async fn silence_pages_once_and_is_over_with_a_request_not_with_a_lost_collector() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    let end = four_weeks(&engine, 10).await;
    for minute in end..end + 20 {
        engine.ingest(heartbeat("a", minute)).await.unwrap();
        engine.tick(at(minute, 30)).await.unwrap();
    }
    assert_eq!(alerts(&engine).await, (vec!["shop/web silence".to_owned()], 1));
    for minute in [end + 25, end + 40] {
        engine.tick(at(minute, 30)).await.unwrap();
    }
    let (mut open, count) = alerts(&engine).await;
    open.sort();
    assert_eq!((open, count), (vec!["pipeline measurement".to_owned(), "shop/web silence".to_owned()], 2));
    let mut again = heard("a", end + 41, 0, Some(end + 42));
    again.streams[0].range = slo::counts::ByteRange { start: 60_000, end: 60_100 };
    let range = again.streams[0].range;
    again.rows.iter_mut().for_each(|row| row.range = range);
    engine.ingest(again).await.unwrap();
    engine.tick(at(end + 42, 0)).await.unwrap();
    assert_eq!(alerts(&engine).await, (vec![], 2));
}

/// The watermark, and up to which minute the archive is complete; 0 where it has delivered nothing since the start.
fn archives(watermark: i64, to: i64) -> CountsRequest {
    let archived_to_ms = Some(if to == 0 { 0 } else { (START + to) * 60_000 });
    CountsRequest { archived_to_ms, ..heartbeat("a", watermark) }
}

#[tokio::test]
async fn an_archive_that_is_an_hour_behind_pages_until_it_has_caught_up_over_restarts_too() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.ingest(heard("a", 0, 0, Some(1))).await.unwrap();
    for (minute, to) in [(2, 2), (61, 0)] {
        engine.ingest(archives(minute, to)).await.unwrap();
        engine.tick(at(minute, 0)).await.unwrap();
    }
    assert_eq!(alerts(&engine).await.1, 0);
    engine.ingest(archives(62, 0)).await.unwrap();
    engine.tick(at(62, 0)).await.unwrap();
    assert_eq!(alerts(&engine).await, (vec!["pipeline archive".to_owned()], 1));
    // A collector that is lost says nothing of its archive.
    let again = wall(dir.path()).await;
    again.tick(at(63, 0)).await.unwrap();
    again.tick(at(75, 0)).await.unwrap();
    let (mut open, count) = alerts(&again).await;
    open.sort();
    assert_eq!((open, count), (vec!["pipeline archive".to_owned(), "pipeline measurement".to_owned()], 2));
    again.ingest(archives(76, 30)).await.unwrap();
    again.tick(at(76, 0)).await.unwrap();
    assert_eq!(alerts(&again).await, (vec![], 2));
}

#[tokio::test]
async fn a_new_collector_whose_archive_never_worked_pages_after_an_hour_and_one_without_never() {
    let dir = tempfile::tempdir().unwrap();
    let engine = wall(dir.path()).await;
    engine.ingest(heard("b", 0, 0, Some(1))).await.unwrap();
    engine.ingest(CountsRequest { watermark_ms: None, ..archives(1, 0) }).await.unwrap();
    for minute in [10, 69] {
        engine.ingest(archives(minute, 0)).await.unwrap();
        engine.ingest(heartbeat("b", minute)).await.unwrap();
        engine.tick(at(minute, 0)).await.unwrap();
        assert_eq!(alerts(&engine).await.1, 0);
    }
    engine.ingest(archives(70, 0)).await.unwrap();
    engine.ingest(heartbeat("b", 70)).await.unwrap();
    engine.tick(at(70, 0)).await.unwrap();
    assert_eq!(alerts(&engine).await, (vec!["pipeline archive".to_owned()], 1));
    // Its configuration has no archive any more.
    engine.ingest(heartbeat("a", 71)).await.unwrap();
    engine.tick(at(71, 0)).await.unwrap();
    assert_eq!(alerts(&engine).await, (vec![], 1));
}
