//! Parts of an archive and live rows, cut differently and in any order, are what one reading of the lines gives.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use alerts::{ChannelName, PoliciesConfig};
use archive::{Contents, Manifest, Part, Ranges, Record, StreamPart};
use collector::transform::sli::{FormatsSeen, Sli, SliConfig};
use jiff::Timestamp;
use prometheus::Registry;
use proptest::prelude::*;
use slo::counts::{CountsRequest, MinuteId};

use super::archive::judge_part;
use super::elasticsearch::Whole;
use crate::engine::{Clock, Engine, EngineError, Fill, Filled, HeldRanges, Parts};
use crate::metrics::Metrics;
use crate::overview::Overview;
use crate::specs::Specs;
use crate::store::{Store, counts};

/// Lines of each of the two streams, all of one length.
const LINES: u64 = 60;

/// What comes next.
#[derive(Clone, Debug)]
enum Step {
    /// The part of the archive at this share of the way through it.
    Fill(prop::sample::Index),
    /// So many lines that a running collector goes on with.
    Live { stream: usize, lines: u64 },
}

async fn engine(dir: &Path) -> Engine {
    let parts = Parts {
        store: Store::open(&dir.join("engine.db")).await.unwrap(),
        specs: Specs::default(),
        services: BTreeSet::new(),
        policies: PoliciesConfig::default().prove(&[ChannelName::from("log")]).unwrap(),
        clock: Clock::Event,
        metrics: Metrics::new(&Registry::new()).unwrap(),
        exports: false,
        caps: crate::engine::Caps::default(),
        refused: crate::refused::RefusedWriters::default(),
    };
    Engine::open(parts).await.unwrap()
}

fn name(stream: usize) -> String {
    format!("stream-{stream}")
}

/// Line `number` of a stream: a request every two seconds, every ninth of which fails.
fn line(stream: usize, number: u64) -> String {
    let (minute, second) = (number / 30, number % 30 * 2);
    let status = if number.is_multiple_of(9) { 503 } else { 200 };
    format!(
        "10.0.0.{stream} - - [23/Nov/2026:10:{minute:02}:{second:02} +0000] \"GET /{number:03} HTTP/1.1\" {status} 5 \"-\" \"t\""
    )
}

fn length() -> u64 {
    line(0, 0).len() as u64 + 1
}

/// Lines `from..to` of a stream as a segment holds them.
fn part(sequence: u64, stream: usize, from: u64, to: u64) -> Part {
    let record = |number| Record {
        stream: name(stream),
        offset: number * length(),
        end: (number + 1) * length(),
        index: 0,
        time_ns: None,
        stdio: None,
        line: line(stream, number).into_bytes(),
    };
    let mut ranges = Ranges::default();
    ranges.insert(from * length(), to * length());
    let held = StreamPart { path: name(stream), ranges, lines: to - from, ..StreamPart::default() };
    let contents = Contents { streams: BTreeMap::from([(name(stream), held)]), ..Contents::default() };
    let manifest = Manifest {
        version: 1,
        key: String::new(),
        collector: "node".to_owned(),
        epoch: "e".to_owned(),
        sequence,
        contents,
    };
    Part { manifest, records: (from..to).map(record).collect() }
}

/// What counts lines `from..to`, as a collector would that knows the engine's state.
fn counted(stream: usize, from: u64, to: u64) -> CountsRequest {
    let mut judge = Sli::new(SliConfig::default(), Arc::new(FormatsSeen::default()));
    judge_part(&mut judge, part(0, stream, from, to)).requests(&HeldRanges::new()).remove(0)
}

async fn fill(engine: &Engine, part: &Part) -> Filled {
    let mut judge = Sli::new(SliConfig::default(), Arc::new(FormatsSeen::default()));
    let judged = judge_part(&mut judge, part.clone());
    let streams: Vec<String> = part.manifest.contents.streams.keys().cloned().collect();
    engine.fill(&streams, move |held| Fill::of(judged.requests(held))).await.unwrap()
}

/// A running collector: where it thinks that the engine is.
#[derive(Default)]
struct Live {
    store: Option<String>,
    at: [u64; 2],
}

impl Live {
    async fn ask(&mut self, engine: &Engine) {
        let held = engine.positions().await.unwrap();
        self.at = [0, 1].map(|stream| held.positions.get(&name(stream)).copied().unwrap_or(0) / length());
        self.store = Some(held.store);
    }

    async fn send(&mut self, engine: &Engine, stream: usize, lines: u64) {
        loop {
            if self.store.is_none() {
                self.ask(engine).await;
            }
            let (from, to) = (self.at[stream], (self.at[stream] + lines).min(LINES));
            if from == to {
                return;
            }
            let request = CountsRequest { store: self.store.clone(), ..counted(stream, from, to) };
            match engine.ingest(request).await {
                Ok(_) => self.at[stream] = to,
                Err(EngineError::HeldOtherwise(_)) => {
                    self.ask(engine).await;
                    continue;
                }
                Err(error) => panic!("{error}"),
            }
            return;
        }
    }
}

async fn overview(engine: &Engine) -> Overview {
    engine.catch_up(Timestamp::MAX).await.unwrap();
    engine.overview().await.unwrap()
}

/// Parts of both streams, cut at `cuts`; neighbours share a line where `shared` says so.
fn parts(cuts: &[BTreeSet<u64>; 2], shared: bool) -> Vec<Part> {
    let mut parts = Vec::new();
    for (stream, cuts) in cuts.iter().enumerate() {
        let mut from = 0;
        for to in cuts.iter().copied().chain([LINES]).filter(|to| *to > 0) {
            let overlap = u64::from(shared && from > 0);
            parts.push(part(parts.len() as u64, stream, from - overlap, to));
            from = to;
        }
    }
    parts
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        any::<prop::sample::Index>().prop_map(Step::Fill),
        (0..2usize, 1..20u64).prop_map(|(stream, lines)| Step::Live { stream, lines }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn parts_in_any_order_twice_and_between_live_rows_are_what_one_reading_gives(
        cuts in prop::array::uniform2(prop::collection::btree_set(1..LINES, 0..6)),
        shared in any::<bool>(),
        steps in prop::collection::vec(step(), 0..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (dir, whole) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let (filled, read) = (engine(dir.path()).await, engine(whole.path()).await);
            let parts = parts(&cuts, shared);
            let mut live = Live::default();
            for step in &steps {
                match step {
                    Step::Fill(at) => drop(fill(&filled, at.get(&parts)).await),
                    Step::Live { stream, lines } => live.send(&filled, *stream, *lines).await,
                }
            }
            for part in parts.iter().rev() {
                fill(&filled, part).await;
            }
            for stream in 0..2 {
                live.send(&filled, stream, LINES).await;
                read.ingest(counted(stream, 0, LINES)).await.unwrap();
            }
            assert_eq!(overview(&filled).await, overview(&read).await);
            for part in &parts {
                assert_eq!(fill(&filled, part).await, Filled::default());
            }
        });
    }
}

#[tokio::test]
async fn what_an_engine_wrote_of_its_streams_gives_the_same_state_and_what_is_not_vouched_for_does_not_come()
{
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (lost, empty) = (engine(dir.path()).await, engine(copy.path()).await);
    for (stream, from, to) in [(0, 0, 25), (1, 0, 7), (0, 25, LINES), (1, 30, LINES), (1, 50, LINES)] {
        lost.ingest(counted(stream, from, to)).await.unwrap();
    }
    // It cuts through what is there: its minutes are partial for good.
    lost.ingest(counted(1, 5, 12)).await.unwrap();
    let store = lost.store();
    let mut tx = store.begin().await.unwrap();
    let rows = counts::rows_between(&mut tx, MinuteId(i64::MIN), MinuteId(i64::MAX)).await.unwrap();
    for stream in [name(0), name(1)] {
        let whole = Whole {
            rows: rows.iter().filter(|row| row.row.key.stream == stream).cloned().collect(),
            tallies: counts::tallies(&mut tx, &stream).await.unwrap(),
        };
        let known = counts::stream(&mut tx, &stream).await.unwrap().unwrap();
        let mut ahead = Whole { rows: whole.rows.clone(), tallies: whole.tallies.clone() };
        ahead.tallies.pop();
        assert!(ahead.fill(&known).is_none());
        let fill = whole.fill(&known).unwrap();
        empty.fill(&[stream], |_| fill).await.unwrap();
    }
    drop(tx);
    assert_eq!(empty.held_ranges().await.unwrap(), lost.held_ranges().await.unwrap());
    assert_eq!(overview(&empty).await, overview(&lost).await);
}
