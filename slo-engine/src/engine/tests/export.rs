//! What is exported in slices, cut off anywhere and gone on with, is what would be exported at once, and fills an empty
//! engine with the same figures.

use std::collections::BTreeMap;

use proptest::prelude::*;
use search::Environment;
use serde_json::Value;
use slo::counts::CountRow;
use slo::window::Span;

use super::*;
use crate::export::document::{CountDocument, Document};
use crate::store::counts::StoredRow;

/// Documents by id.
pub(super) type Index = BTreeMap<String, Value>;

fn put(index: &mut Index, documents: &[Document]) {
    for document in documents {
        index.insert(document.id.clone(), serde_json::from_str(&document.source).unwrap());
    }
}

fn at(minute: i64) -> Timestamp {
    MinuteId(START + minute).start()
}

/// Writes everything; `cut` ends after so many slices, the last of which is written but not cleared.
pub(super) async fn export(engine: &Engine, now: Timestamp, index: &mut Index, cut: Option<usize>) {
    let environment = Environment::default();
    engine.plan_export(&environment, now).await.unwrap();
    let mut slices = 0;
    let mut is_cut = || {
        slices += 1;
        cut.is_some_and(|cut| slices > cut)
    };
    while let Some(slice) = engine.export_results(&environment).await.unwrap() {
        put(index, &slice.documents);
        if is_cut() {
            return;
        }
        engine.results_exported(&slice).await.unwrap();
    }
    while let Some(slice) = engine.export_counts(&environment, now).await.unwrap() {
        slice.steps.iter().for_each(|step| put(index, step));
        if is_cut() {
            return;
        }
        engine.counts_exported(&slice).await.unwrap();
    }
}

/// Rows and results, without what depends on when pages were sent.
fn lasting(index: &Index) -> Index {
    let lasts = |document: &Value| document["kind"] == "row" || document["slo"].is_string();
    let mut lasting: Index = index.clone().into_iter().filter(|(_, document)| lasts(document)).collect();
    lasting.values_mut().for_each(|document| document["state"] = Value::Null);
    lasting
}

/// What an empty engine is told from documents: the rows first, since what lies in bytes of a tally is a repeat.
fn refill(index: &Index) -> Vec<CountsRequest> {
    let documents = index.values().filter(|document| document["kind"].is_string());
    let documents: Vec<CountDocument> =
        documents.map(|document| CountDocument::read(document.clone()).unwrap()).collect();
    let (rows, rest): (Vec<_>, Vec<_>) =
        documents.iter().partition(|document| matches!(document, CountDocument::Row(_)));
    let mut requests = Vec::new();
    for document in rows.into_iter().chain(rest) {
        let mut request = request(0, 0);
        request.watermark_ms = None;
        request.streams[0].range = ByteRange { start: 0, end: 0 };
        request.streams[0].tally = Tally::default();
        request.streams[0].newest_ms = None;
        request.rows = Vec::<CountRow>::new();
        match document {
            CountDocument::Row(row) => request.rows.push(StoredRow::from(row.clone()).row),
            CountDocument::Tally(tally) => {
                request.streams[0].range = tally.stored().range;
                request.streams[0].tally = tally.stored().tally;
            }
            CountDocument::Stream(stream) => request.streams[0].newest_ms = stream.newest_ms,
            CountDocument::Collector(collector) => request.watermark_ms = collector.watermark_ms,
        }
        requests.push(request);
    }
    requests
}

#[derive(Clone, Debug)]
enum Step {
    /// A minute's rows come in.
    Ingest(i64),
    /// The clock comes to a minute.
    Tick(i64),
    /// Everything, or so many slices, are written.
    Export(Option<usize>),
    /// The engine ends and is started again.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0_i64..100).prop_map(Step::Ingest),
        2 => (60_i64..200).prop_map(Step::Tick),
        2 => proptest::option::of(0_usize..6).prop_map(Step::Export),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 0..30)
}

async fn check(steps: Vec<Step>) {
    let (a, b, c) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut now = 60;
    let mut index = Index::new();
    let mut requests = Vec::new();
    let mut cut_off = engine_by(Clock::Wall, a.path()).await;
    for step in steps {
        match step {
            Step::Ingest(minute) => {
                requests.push(request(minute, u64::from(minute % 7 == 0)));
                cut_off.ingest(requests[requests.len() - 1].clone()).await.unwrap();
            }
            Step::Tick(minute) => {
                now = now.max(minute);
                cut_off.tick(at(now)).await.unwrap();
            }
            Step::Export(cut) => export(&cut_off, at(now), &mut index, cut).await,
            Step::Restart => {
                cut_off.store().close().await;
                cut_off = engine_by(Clock::Wall, a.path()).await;
            }
        }
    }
    cut_off.tick(at(200)).await.unwrap();
    export(&cut_off, at(200), &mut index, None).await;

    let (at_once, mut want) = (engine_by(Clock::Wall, b.path()).await, Index::new());
    for request in &requests {
        at_once.ingest(request.clone()).await.unwrap();
    }
    at_once.tick(at(200)).await.unwrap();
    export(&at_once, at(200), &mut want, None).await;
    assert_eq!(lasting(&index), lasting(&want));

    let refilled = engine_by(Clock::Wall, c.path()).await;
    for request in refill(&index) {
        refilled.ingest(request).await.unwrap();
    }
    refilled.tick(at(200)).await.unwrap();
    let services = refilled.overview().await.unwrap().services;
    assert_eq!(services, at_once.overview().await.unwrap().services);
    assert_eq!(refilled.positions().await.unwrap().positions, at_once.positions().await.unwrap().positions);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    #[test]
    fn an_export_that_is_cut_off_anywhere_ends_as_one_at_once(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(steps));
    }
}

#[tokio::test]
async fn a_late_row_is_written_with_every_result_whose_windows_hold_it() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, environment) = (engine_by(Clock::Wall, dir.path()).await, Environment::default());
    for minute in (0..120).filter(|minute| *minute != 50) {
        engine.ingest(request(minute, 0)).await.unwrap();
    }
    engine.tick(at(120)).await.unwrap();
    export(&engine, at(120), &mut Index::new(), None).await;
    assert_eq!(engine.export_results(&environment).await.unwrap().map(|slice| slice.span), None);
    engine.ingest(request(50, 10)).await.unwrap();
    let backlog = engine.plan_export(&environment, at(120)).await.unwrap();
    // The results of minutes 50 to 118; rows of one minute, the stream and the collector.
    assert_eq!((backlog.minutes, backlog.counts), (69, 3));
    assert_eq!(backlog.oldest, Some(MinuteId(START + 50)));
    let newest = engine.export_results(&environment).await.unwrap().map(|slice| slice.span);
    assert_eq!(newest, Some(Span { from: MinuteId(START + 99), to: MinuteId(START + 119) }));
}

#[tokio::test]
async fn what_changed_while_it_was_written_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, environment) = (engine_by(Clock::Wall, dir.path()).await, Environment::default());
    engine.ingest(request(0, 0)).await.unwrap();
    engine.plan_export(&environment, at(10)).await.unwrap();
    let slice = engine.export_counts(&environment, at(10)).await.unwrap().unwrap();
    let mut more = request(0, 0);
    more.streams[0].range = ByteRange { start: 100, end: 200 };
    more.rows.iter_mut().for_each(|row| row.range = ByteRange { start: 100, end: 200 });
    engine.ingest(more).await.unwrap();
    engine.counts_exported(&slice).await.unwrap();
    let again = engine.export_counts(&environment, at(10)).await.unwrap().unwrap();
    assert_eq!(again.steps.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    engine.counts_exported(&again).await.unwrap();
    assert!(engine.export_counts(&environment, at(10)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_tally_waits_for_every_row_of_its_stream_and_a_watermark_for_everything() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, environment) = (engine_by(Clock::Wall, dir.path()).await, Environment::default());
    for minute in 0..150 {
        engine.ingest(request(minute, 0)).await.unwrap();
    }
    engine.plan_export(&environment, at(150)).await.unwrap();
    let lengths =
        |slice: &super::super::export::CountSlice| slice.steps.iter().map(Vec::len).collect::<Vec<_>>();
    let first = engine.export_counts(&environment, at(150)).await.unwrap().unwrap();
    assert_eq!((lengths(&first), first.last), (vec![200, 0, 0], false));
    engine.counts_exported(&first).await.unwrap();
    let second = engine.export_counts(&environment, at(150)).await.unwrap().unwrap();
    assert_eq!((lengths(&second), second.last), (vec![100, 2, 1], true));
}

#[tokio::test]
async fn another_environment_gets_everything() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine_by(Clock::Wall, dir.path()).await;
    engine.ingest(request(0, 0)).await.unwrap();
    engine.tick(at(10)).await.unwrap();
    export(&engine, at(10), &mut Index::new(), None).await;
    let staging = Environment::new("staging").unwrap();
    assert!(engine.plan_export(&Environment::default(), at(10)).await.unwrap().counts == 0);
    let backlog = engine.plan_export(&staging, at(10)).await.unwrap();
    assert_eq!((backlog.counts, backlog.minutes), (3, 9));
}
