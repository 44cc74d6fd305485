//! However rows are cut, repeated and cut again, memory says what the store says, no request counts twice, and a minute
//! that lacks one says so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proptest::prelude::*;
use slo::counts::{
    ByteRange, CountRow, Counts, CountsRequest, DEFAULT_EDGES_US, MinuteId, Origin, RowKey, ServiceRef, Sli,
    StreamReport, Tally,
};
use slo::series::Minute;
use slo::sketch::Sketch;

use super::{Clock, START, engine, engine_by, ledger};
use crate::figures::{Figures, SLIS};

pub(super) const LINES: u64 = 24;
const LINE_BYTES: u64 = 10;
const STREAMS: u64 = 4;

/// A collector sends these lines of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) collector: u8,
    pub(super) stream: u64,
    pub(super) from: u64,
    pub(super) to: u64,
}

pub(super) fn sent() -> impl Strategy<Value = Sent> {
    (0..3_u8, 0..STREAMS, 0..LINES, 1..=LINES).prop_map(|(collector, stream, from, count)| Sent {
        collector,
        stream,
        from,
        to: (from + count).min(LINES),
    })
}

/// Whom a line is for: every kind of name, two of which become clear only when another stream is heard of.
fn service_of(stream: u64, line: u64) -> (ServiceRef, Origin) {
    let named = |name: &str| ServiceRef::Named { namespace: "social-feed".to_owned(), name: name.to_owned() };
    match (stream, line % 3) {
        (0, 0) => (ServiceRef::Unattributed, Origin::Ingress),
        (0 | 1, 1) => (ServiceRef::Upstream("social-feed-generator-8080".to_owned()), Origin::Ingress),
        (0 | 1, _) => (ServiceRef::Upstream("shop-web-80".to_owned()), Origin::Ingress),
        (2, _) => (named("generator"), Origin::Application),
        _ => (named("other"), Origin::Application),
    }
}

fn minute_of(stream: u64, line: u64) -> MinuteId {
    MinuteId(START + i64::try_from(line / 5 + stream % 2).unwrap())
}

pub(super) fn request(sent: Sent) -> CountsRequest {
    let stream = format!("s{}", sent.stream);
    let range = ByteRange { start: sent.from * LINE_BYTES, end: sent.to * LINE_BYTES };
    let mut cells: BTreeMap<(ServiceRef, Origin, MinuteId), (u64, u64)> = BTreeMap::new();
    for line in sent.from..sent.to {
        let (service, origin) = service_of(sent.stream, line);
        let cell = cells.entry((service, origin, minute_of(sent.stream, line))).or_default();
        cell.0 += 1;
        cell.1 += u64::from(line % 7 == 0);
    }
    let rows = cells.into_iter().flat_map(|((service, origin, minute), (total, bad))| {
        let row = |sli, ladder| CountRow {
            key: RowKey { stream: stream.clone(), service: service.clone(), origin, sli, version: 1, minute },
            range,
            counts: Counts { total, bad, excluded: 0 },
            ladder,
            sketch: Sketch::default(),
        };
        let mut ladder = vec![0; DEFAULT_EDGES_US.len() + 1];
        (ladder[0], ladder[9]) = (total - bad, bad);
        [row(Sli::Availability, Vec::new()), row(Sli::Latency, ladder)]
    });
    let rows = rows.collect();
    let (oldest, newest) = (minute_of(sent.stream, sent.from), minute_of(sent.stream, sent.to - 1));
    let lines = sent.to - sent.from;
    CountsRequest {
        collector: format!("c{}", sent.collector),
        epoch: "e".to_owned(),
        store: None,
        // One of them never says that it has caught up.
        watermark_ms: (sent.collector > 0).then_some(newest.0 * 60_000),
        node: None,
        archived_to_ms: None,
        edges_us: DEFAULT_EDGES_US.to_vec(),
        streams: vec![StreamReport {
            stream,
            path: "/var/log/pods/x".to_owned(),
            namespace: (sent.stream == 3).then(|| "social".to_owned()),
            pod: None,
            container: None,
            range,
            tally: Tally { lines, requests: lines, ..Tally::default() },
            newest_ms: Some(newest.0 * 60_000),
            oldest_ms: Some(oldest.0 * 60_000),
            ended: false,
            broken: None,
        }],
        rows,
    }
}

pub(super) type Dump = BTreeMap<(String, Origin, Sli), Vec<(MinuteId, Minute)>>;

pub(super) fn dump(figures: &Figures<'_>) -> Dump {
    let mut dump = Dump::new();
    for (service, origin, source) in figures.counts.services() {
        for sli in SLIS {
            let Some(series) = source.series(sli) else { continue };
            let minutes = (START - 5..START + 20).map(MinuteId);
            let known = minutes.filter_map(|minute| Some((minute, series.get(minute)?))).collect();
            dump.insert((service.to_string(), origin, sli), known);
        }
    }
    dump
}

/// A copy of the store as it lies on the disk, as a kill would leave it.
pub(super) fn copy(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["engine.db", "engine.db-wal"] {
        if dir.join(name).exists() {
            std::fs::copy(dir.join(name), copy.path().join(name)).unwrap();
        }
    }
    copy
}

/// Availability of all services together, by minute, and the minutes that are said to lack something.
fn sums(dump: &Dump) -> (BTreeMap<MinuteId, u64>, BTreeSet<MinuteId>) {
    let (mut sums, mut partial) = (BTreeMap::new(), BTreeSet::new());
    for ((_, _, sli), minutes) in dump {
        for (id, minute) in minutes.iter().filter(|_| *sli == Sli::Availability) {
            *sums.entry(*id).or_default() += minute.counts().total;
            if matches!(minute, Minute::Partial(_)) {
                partial.insert(*id);
            }
        }
    }
    sums.retain(|_, total| *total > 0);
    (sums, partial)
}

async fn memory_is_the_store(all: &[Sent]) {
    let dir = tempfile::tempdir().unwrap();
    let kept = engine_by(Clock::Wall, dir.path()).await;
    for sent in all {
        kept.ingest(request(*sent)).await.unwrap();
        let memory = kept.with_figures(dump);
        let copy = copy(dir.path());
        let fresh = engine_by(Clock::Wall, copy.path()).await.with_figures(dump);
        assert_eq!(memory, fresh, "after {sent:?}");
    }
}

/// The lines that were sent, once each, of the streams that count: the application's own logs are of services of their
/// own here, but for those of the generator, which the ingress wins once its name is clear.
fn model(all: &[Sent]) -> BTreeMap<MinuteId, u64> {
    let lines: BTreeSet<(u64, u64)> = all
        .iter()
        .filter(|sent| sent.stream != 2)
        .flat_map(|sent| (sent.from..sent.to).map(|line| (sent.stream, line)))
        .collect();
    let mut sums = BTreeMap::new();
    for (stream, line) in lines {
        *sums.entry(minute_of(stream, line)).or_default() += 1;
    }
    sums
}

async fn no_line_counts_twice(all: &[Sent], nested: bool) {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path()).await;
    for sent in all {
        engine.ingest(request(*sent)).await.unwrap();
    }
    engine.catch_up(jiff::Timestamp::MAX).await.unwrap();
    let (sums, partial) = sums(&engine.with_figures(dump));
    let want = model(all);
    assert!(sums.keys().all(|minute| want.contains_key(minute)));
    for (minute, want) in want {
        let found = sums.get(&minute).copied().unwrap_or_default();
        assert!(found <= want, "minute {}: {found} of {want}", minute.0 - START);
        assert!(found == want || partial.contains(&minute), "minute {}: {found} of {want}", minute.0 - START);
    }
    assert!(partial.is_empty() || !nested);
    drop(engine);
    slo::ledger::verify_chain(slo::ledger::Tip::START, &ledger(dir.path()).await).unwrap();
}

/// Blocks of 4 lines, or all of them: none cuts through another. (Two sizes of blocks would: neighbours are joined.)
pub(super) fn nest(sent: Sent) -> Sent {
    match sent.to - sent.from {
        0..12 => Sent { from: sent.from / 4 * 4, to: sent.from / 4 * 4 + 4, ..sent },
        _ => Sent { from: 0, to: LINES, ..sent },
    }
}

#[tokio::test]
async fn a_range_that_cuts_through_several_counts_no_line_twice() {
    let sent = |from, to| Sent { collector: 1, stream: 3, from, to };
    no_line_counts_twice(&[sent(0, 4), sent(8, 12), sent(2, 10)], false).await;
    no_line_counts_twice(&[sent(0, 8), sent(10, 18), sent(4, 14), sent(6, 20)], false).await;
    no_line_counts_twice(&[sent(0, 10), sent(5, 15), sent(0, 12)], false).await;
}

pub(super) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn memory_equals_an_engine_that_was_just_opened_on_the_store(all in prop::collection::vec(sent(), 1..10)) {
        run(memory_is_the_store(&all));
    }

    #[test]
    fn no_line_counts_twice_and_a_minute_that_lacks_one_says_so(all in prop::collection::vec(sent(), 1..12)) {
        let all: Vec<Sent> = all.into_iter().filter(|sent| sent.stream != 2).collect();
        run(no_line_counts_twice(&all, false));
    }

    #[test]
    fn ranges_that_nest_or_stand_apart_are_exact(all in prop::collection::vec(sent().prop_map(nest), 1..16)) {
        let all: Vec<Sent> = all.into_iter().filter(|sent| sent.stream != 2).collect();
        run(no_line_counts_twice(&all, true));
    }

    #[test]
    fn an_engine_that_is_killed_between_any_two_steps_ends_the_same(
        all in prop::collection::vec((sent(), any::<bool>()), 1..12),
    ) {
        run(kills_change_nothing(&all));
    }
}

/// One engine runs through; the other is killed after each step, and goes on from what lay on the disk.
async fn kills_change_nothing(all: &[(Sent, bool)]) {
    let (dir, mut disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let through = engine(dir.path()).await;
    for (sent, judge) in all {
        let killed = engine(disk.path()).await;
        for engine in [&through, &killed] {
            engine.ingest(request(*sent)).await.unwrap();
        }
        disk = copy(disk.path());
        if *judge {
            let again = engine(disk.path()).await;
            for engine in [&through, &again] {
                engine.catch_up(jiff::Timestamp::MAX).await.unwrap();
            }
            disk = copy(disk.path());
        }
    }
    let again = engine(disk.path()).await;
    for engine in [&through, &again] {
        engine.catch_up(jiff::Timestamp::MAX).await.unwrap();
    }
    assert_eq!(through.page_model().await.unwrap().overview, again.page_model().await.unwrap().overview);
    assert_eq!(through.incidents().await.unwrap(), again.incidents().await.unwrap());
    drop((through, again));
    assert_eq!(ledger(dir.path()).await, ledger(disk.path()).await);
}
