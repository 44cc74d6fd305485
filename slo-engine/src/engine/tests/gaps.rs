//! The time of the events: gaps of years, lines that are no requests, and rows that come late.

use jiff::Timestamp;
use slo::counts::{CountsRequest, MinuteId};

use super::{START, bad_hour, engine, ledger, request, run};

const YEARS_11: i64 = 11 * 365 * 24 * 60;

#[tokio::test]
async fn two_bursts_eleven_years_apart_are_both_judged_and_the_years_between_cost_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut requests = bad_hour();
    requests.extend(
        (YEARS_11..YEARS_11 + 30).map(|minute| request(minute, if minute % 2 == 0 { 50 } else { 0 })),
    );
    let overview = run(dir.path(), &requests).await;
    assert_eq!(overview.window.to, MinuteId(START + YEARS_11 + 30).start().to_string());
    let fired: Vec<&str> = overview.alerts.iter().map(|alert| alert.fired_at.as_str()).collect();
    assert_eq!(fired.len(), 2, "{fired:?}");
    assert_eq!(ledger(dir.path()).await.len(), 120 + 15);
}

/// A stream of messages with times and no request.
fn messages(newest: i64) -> CountsRequest {
    let mut request = request(0, 0);
    request.rows.clear();
    request.streams[0].stream = "messages".to_owned();
    request.streams[0].newest_ms = Some((START + newest) * 60_000);
    request
}

#[tokio::test]
async fn messages_that_go_on_for_years_after_the_last_request_cost_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut requests = bad_hour();
    requests.push(messages(YEARS_11));
    let overview = run(dir.path(), &requests).await;
    assert_eq!(overview.window.to, MinuteId(START + YEARS_11 + 1).start().to_string());
}

#[tokio::test]
async fn rows_that_come_late_amend_the_ledger_and_page_nobody_again() {
    let (dir, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = engine(dir.path()).await;
    let (late, first): (Vec<_>, Vec<_>) = bad_hour()
        .into_iter()
        .enumerate()
        .partition(|(minute, _)| (30..60).contains(minute) && minute % 3 == 0);
    let rest = |requests: Vec<(usize, CountsRequest)>| requests.into_iter().map(|(_, request)| request);
    for request in rest(first) {
        engine.ingest(request).await.unwrap();
    }
    engine.catch_up(Timestamp::MAX).await.unwrap();
    let alerts = engine.overview().await.unwrap().alerts;
    assert_eq!(alerts.len(), 1);
    for request in rest(late) {
        engine.ingest(request).await.unwrap();
        engine.catch_up(Timestamp::MAX).await.unwrap();
    }
    let overview = engine.overview().await.unwrap();
    assert_eq!(overview.alerts, alerts);
    assert_eq!(overview.services, run(whole.path(), &bad_hour()).await.services);
    let table = |blocks: Vec<slo::ledger::Block>| slo::ledger::table(&blocks);
    assert_eq!(table(ledger(dir.path()).await), table(ledger(whole.path()).await));
}
