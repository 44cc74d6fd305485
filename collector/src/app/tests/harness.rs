//! A node in a temporary directory: files, a collector, and receivers that can be looked into.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use archive::{DirectoryStore, Reader, Store};
use flate2::{Compression, write::GzEncoder};
use prometheus::Registry;
use settings::Syntax;
use slo::counts::{
    ByteRange, CountRow, Counts, CountsReply, CountsRequest, Held, Merge, MinuteId, RowKey, Sli, Tally, merge,
};

use crate::app::{App, Options};
use crate::books::Books;
use crate::config::{Config, Purpose};
use crate::dead_letters::{DeadLetter, DeadLetters};
use crate::sink::SendError;
use crate::sink::slo_engine::{BoxFuture, CountsService};

/// A node.
pub(super) struct Node {
    dir: tempfile::TempDir,
    pub(super) engine: Arc<Engine>,
    sources: String,
    pub(super) batch: String,
    /// Further sinks, as lines of the configuration.
    pub(super) more: String,
    /// Of the sink `shown`.
    pub(super) buffer: String,
    /// The sink `shown` is the only one.
    pub(super) alone: bool,
}

/// An engine that keeps ranges as the contract says.
#[derive(Default)]
pub(super) struct Engine(Mutex<Ranges>);

#[derive(Default)]
struct Ranges {
    rows: BTreeMap<RowKey, Vec<CountRow>>,
    streams: BTreeMap<String, Vec<(ByteRange, Tally)>>,
    ended: BTreeSet<String>,
    broken: BTreeMap<String, String>,
    watermark_ms: Option<i64>,
    archived_to_ms: Option<i64>,
    /// Lines that it had when it first heard a watermark.
    lines_at_watermark: Option<u64>,
    /// Which state this is: another one after all was lost.
    store: u64,
    /// Requests until all is lost.
    rebirth: Option<u32>,
    /// Requests until the engine fails: it fails before the commit, or after it and loses its answer.
    fail: Option<(u32, bool)>,
    silent: bool,
    /// Requests are not answered, ever.
    hanging: bool,
    /// Requests with counts of this minute are refused for good.
    reject: Option<MinuteId>,
}

/// What an engine has counted, without how it came in.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) minutes: BTreeMap<(String, Sli, MinuteId), (u64, u64, u64)>,
    pub(super) lines: u64,
    pub(super) requests: u64,
    pub(super) dead_lettered: u64,
}

impl Node {
    /// A node with a `file` source over `logs/*`.
    pub(super) fn with_files() -> Self {
        Self::new(
            "files: {type: file, include: [\"$LOGS/*\"], exclude: [\"$LOGS/*.ignored\"], max_line_bytes: 4096}",
        )
    }

    /// A node with a `kubernetes_logs` source over `logs`.
    pub(super) fn with_pods() -> Self {
        Self::new("files: {type: kubernetes_logs, root: $LOGS, max_line_bytes: 4096}")
    }

    pub(super) fn new(sources: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("logs")).unwrap();
        let sources = sources.replace("$LOGS", dir.path().join("logs").to_str().unwrap());
        let (batch, buffer, more) = (String::new(), String::new(), String::new());
        Self { dir, engine: Arc::default(), sources, batch, more, buffer, alone: false }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("logs").join(name)
    }

    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(super) fn append(&self, name: &str, content: impl AsRef<[u8]>) {
        let mut file = std::fs::File::options().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(content.as_ref()).unwrap();
    }

    pub(super) fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(super) fn remove(&self, name: &str) {
        std::fs::remove_file(self.path(name)).unwrap();
    }

    /// Compresses a file into `<name>.gz` and removes it.
    pub(super) fn gzip(&self, name: &str) {
        let content = std::fs::read(self.path(name)).unwrap();
        self.write(&format!("{name}.gz"), packed(&content));
        self.remove(name);
    }

    pub(super) fn config(&self) -> Config {
        let others = format!(
            "  kept: {{type: archive, inputs: [files], path: {archive}{batch}}}\n  \
             counted: {{type: slo_engine, inputs: [judged], endpoint: in_process{batch}}}\n",
            archive = self.dir.path().join("archive").display(),
            batch = self.batch,
        );
        let text = format!(
            "data_dir: {data}\nsources:\n  {sources}\n\
             transforms:\n  judged: {{type: sli, inputs: [files]}}\n\
             sinks:\n{others}  \
             shown: {{type: file, inputs: [files], path: {out}, encoding: {{codec: text}}{batch}{buffer}}}\n{more}",
            data = self.dir.path().join("data").display(),
            sources = self.sources,
            others = if self.alone { "" } else { &others },
            out = self.dir.path().join("out").display(),
            batch = self.batch,
            more = self.more,
            buffer = self.buffer,
        );
        Config::parse("test", &text, Syntax::Yaml, Purpose::Run, &|_| None)
            .unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    pub(super) async fn start(&self) -> App {
        self.start_with(&Registry::new()).await
    }

    /// Starts with a registry in which metrics can be read.
    pub(super) async fn start_with(&self, registry: &Registry) -> App {
        let counts = Some(self.engine.clone() as Arc<dyn CountsService>);
        let options = Options { counts, registry: registry.clone(), ..Options::default() };
        App::start(self.config(), options).await.unwrap()
    }

    /// Runs a collector until it has read everything, and stops it.
    pub(super) async fn run(&self) -> Books {
        let app = self.start().await;
        app.caught_up().await.unwrap();
        let books = app.stop().await.unwrap();
        balanced(&books);
        books
    }

    /// Runs a collector to the very end of all files.
    pub(super) async fn drain(&self) -> Books {
        let books = self.start().await.drain().await.unwrap();
        balanced(&books);
        books
    }

    /// Every archived line, by stream and offset; an error for a hole or a repeat.
    pub(super) async fn archived(&self) -> Vec<String> {
        let store = Store::Directory(DirectoryStore::open(&self.dir.path().join("archive")).unwrap());
        let mut reader = Reader::open(&store).await.unwrap();
        let mut records = BTreeMap::new();
        while let Some(part) = reader.next().await.unwrap() {
            for record in part.records {
                let place = (record.stream, record.offset, record.index);
                assert!(records.insert(place.clone(), record.line).is_none(), "{place:?} twice");
            }
        }
        assert_eq!((reader.overlaps(), reader.corrupt().len()), (0, 0));
        records.into_values().map(|line| String::from_utf8_lossy(&line).into_owned()).collect()
    }

    /// What the `file` sink wrote.
    pub(super) fn shown(&self) -> Vec<String> {
        let text = std::fs::read(self.dir.path().join("out")).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
    }

    pub(super) fn dead_letters(&self) -> Vec<DeadLetter> {
        DeadLetters::open(&self.data()).unwrap().list().unwrap()
    }

    pub(super) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(super) fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Every sink holds exactly these lines, in any order.
    #[track_caller]
    pub(super) fn holds(&self, archived: &[String], want: &[String]) {
        same("archive", archived, want);
        same("file", &self.shown(), want);
        assert_eq!(
            self.engine.counted().lines,
            want.len() as u64 + self.engine.counted().dead_lettered,
            "engine"
        );
    }
}

impl Engine {
    /// Fails at the `after`-th request from now: before its commit, or `applied` but with the answer lost.
    pub(super) fn fail_at(&self, after: u32, applied: bool) {
        self.0.lock().unwrap().fail = Some((after, applied));
    }

    /// Does not say what it has counted.
    pub(super) fn set_silent(&self, silent: bool) {
        self.0.lock().unwrap().silent = silent;
    }

    /// Takes requests and never answers.
    pub(super) fn set_hanging(&self, hanging: bool) {
        self.0.lock().unwrap().hanging = hanging;
    }

    /// Refuses requests with counts of this minute for good.
    pub(super) fn reject(&self, minute: MinuteId) {
        self.0.lock().unwrap().reject = Some(minute);
    }

    /// Forgets everything.
    pub(super) fn lose_all(&self) {
        self.0.lock().unwrap().lose_all();
    }

    /// Forgets everything at the `after`-th request from now.
    pub(super) fn lose_all_at(&self, after: u32) {
        self.0.lock().unwrap().rebirth = Some(after);
    }

    /// Lines that it had when it first heard a watermark.
    pub(super) fn lines_at_watermark(&self) -> Option<u64> {
        self.0.lock().unwrap().lines_at_watermark
    }

    pub(super) fn watermark_ms(&self) -> Option<i64> {
        self.0.lock().unwrap().watermark_ms
    }

    pub(super) fn archived_to_ms(&self) -> Option<i64> {
        self.0.lock().unwrap().archived_to_ms
    }

    pub(super) fn streams(&self) -> usize {
        self.0.lock().unwrap().streams.len()
    }

    pub(super) fn ended(&self) -> usize {
        self.0.lock().unwrap().ended.len()
    }

    pub(super) fn broken(&self) -> Vec<String> {
        self.0.lock().unwrap().broken.values().cloned().collect()
    }

    pub(super) fn counted(&self) -> Counted {
        let ranges = self.0.lock().unwrap();
        let mut counted = Counted::default();
        for (key, rows) in &ranges.rows {
            let Counts { total, bad, excluded } = rows.iter().fold(Counts::default(), |mut sum, row| {
                sum += row.counts;
                sum
            });
            let sum = counted.minutes.entry((key.service.to_string(), key.sli, key.minute)).or_default();
            *sum = (sum.0 + total, sum.1 + bad, sum.2 + excluded);
        }
        for (_, tally) in ranges.streams.values().flatten() {
            counted.lines += tally.lines;
            counted.requests += tally.requests;
            counted.dead_lettered += tally.dead_lettered;
        }
        counted
    }
}

impl Ranges {
    fn lose_all(&mut self) {
        *self = Self { store: self.store + 1, ..Self::default() };
    }

    fn take(&mut self, request: CountsRequest) -> CountsReply {
        let watermark_ms = request.watermark_ms;
        self.archived_to_ms = request.archived_to_ms;
        for row in request.rows {
            let rows = self.rows.entry(row.key.clone()).or_default();
            let ranges: Vec<ByteRange> = rows.iter().map(|row| row.range).collect();
            match merge(&ranges, row.range) {
                Merge::Ignore => {}
                Merge::Insert { replaces } => {
                    for at in replaces.into_iter().rev() {
                        rows.remove(at);
                    }
                    rows.push(row);
                }
                Merge::Partial { overlaps } => panic!("{row:?} cuts through {:?}", rows[overlaps]),
            }
        }
        let mut positions = BTreeMap::new();
        for report in request.streams {
            let tallies = self.streams.entry(report.stream.clone()).or_default();
            let ranges: Vec<ByteRange> = tallies.iter().map(|(range, _)| *range).collect();
            if !report.range.is_empty() {
                match merge(&ranges, report.range) {
                    Merge::Ignore => {}
                    Merge::Insert { replaces } => {
                        for at in replaces.into_iter().rev() {
                            tallies.remove(at);
                        }
                        tallies.push((report.range, report.tally));
                    }
                    Merge::Partial { overlaps } => panic!("{report:?} cuts through {:?}", tallies[overlaps]),
                }
            }
            positions.insert(report.stream.clone(), position(tallies));
            if report.ended {
                self.ended.insert(report.stream.clone());
            }
            self.broken.extend(report.broken.map(|reason| (report.stream, reason)));
        }
        if watermark_ms.is_some() {
            let lines = self.streams.values().flatten().map(|(_, tally)| tally.lines).sum();
            self.lines_at_watermark.get_or_insert(lines);
        }
        self.watermark_ms = watermark_ms.max(self.watermark_ms);
        CountsReply { positions, ..CountsReply::default() }
    }
}

impl CountsService for Engine {
    fn post(&self, request: CountsRequest) -> BoxFuture<'_, Result<CountsReply, SendError>> {
        let mut ranges = self.0.lock().unwrap();
        if ranges.hanging {
            return Box::pin(std::future::pending());
        }
        ranges.rebirth = match ranges.rebirth {
            Some(0) => {
                ranges.lose_all();
                None
            }
            rebirth => rebirth.map(|after| after - 1),
        };
        if request.store != Some(ranges.store.to_string()) {
            let reason = "its state is another one".into();
            return Box::pin(std::future::ready(Err(SendError::AskAgain { reason })));
        }
        if request.rows.iter().any(|row| Some(row.key.minute) == ranges.reject) {
            let reason = "the test does not like the minute".into();
            return Box::pin(std::future::ready(Err(SendError::Reject { reason })));
        }
        let failure = SendError::Retry { after: None, reason: "the test says so".into() };
        let answer = match ranges.fail {
            Some((0, applied)) => {
                ranges.fail = None;
                if applied {
                    ranges.take(request);
                }
                Err(failure)
            }
            Some((after, applied)) => {
                ranges.fail = Some((after - 1, applied));
                Ok(ranges.take(request))
            }
            None => Ok(ranges.take(request)),
        };
        Box::pin(std::future::ready(answer))
    }

    fn positions(&self) -> BoxFuture<'_, Result<Held, SendError>> {
        let ranges = self.0.lock().unwrap();
        let positions = ranges.streams.iter().map(|(id, tallies)| (id.clone(), position(tallies))).collect();
        let held = Held { store: ranges.store.to_string(), positions };
        let silent = SendError::Retry { after: None, reason: "silent".into() };
        Box::pin(std::future::ready(if ranges.silent { Err(silent) } else { Ok(held) }))
    }
}

/// Both are the same lines, in any order; says which are missing or too many.
#[track_caller]
fn same(what: &str, got: &[String], want: &[String]) {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    got.iter().for_each(|line| *counts.entry(line).or_default() += 1);
    want.iter().for_each(|line| *counts.entry(line).or_default() -= 1);
    counts.retain(|_, count| *count != 0);
    let first: Vec<_> = counts.iter().take(4).collect();
    assert!(counts.is_empty(), "{what}: {} lines differ (+ too many, - missing): {first:?}", counts.len());
}

/// Everything below is counted.
fn position(tallies: &[(ByteRange, Tally)]) -> u64 {
    let mut ranges: Vec<ByteRange> = tallies.iter().map(|(range, _)| *range).collect();
    ranges.sort();
    ranges.iter().fold(0, |end, range| if range.start <= end { end.max(range.end) } else { end })
}

pub(super) fn packed(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[track_caller]
pub(super) fn balanced(books: &Books) {
    books.check().unwrap();
    assert!(books.sinks.values().all(|account| account.in_flight == 0), "\n{books}");
}

/// Lines `from..to` of a log named `log`: requests in the combined format, each of its own.
pub(super) fn requests(log: &str, from: u32, to: u32) -> Vec<String> {
    let line = |n: u32| {
        let (status, minute, second) = (if n.is_multiple_of(7) { 503 } else { 200 }, n / 60 % 60, n % 60);
        format!(
            "10.0.0.1 - - [01/Jan/2026:10:{minute:02}:{second:02} +0000] \"GET /{log}/{n} HTTP/1.1\" {status} 5 \"-\" \"test\""
        )
    };
    (from..to).map(line).collect()
}

/// Lines as the text of a file.
pub(super) fn text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The lines as a container runtime writes them, the first one at `from` seconds after ten.
pub(super) fn cri(from: usize, lines: &[String]) -> String {
    let line = |(at, line): (usize, &String)| {
        let at = from + at;
        format!("2026-01-01T10:{:02}:{:02}.{at:09}Z stdout F {line}\n", at / 60 % 60, at % 60)
    };
    lines.iter().enumerate().map(line).collect()
}

/// A runtime with a clock of its own: time passes at once. With it, every task ends where it waits.
pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// So many seconds pass.
pub(super) async fn pass(seconds: u64) {
    tokio::time::sleep(std::time::Duration::from_secs(seconds)).await;
}

/// Time passes until something is so.
pub(super) async fn until(what: &str, so: impl Fn() -> bool) {
    for _ in 0..600 {
        if so() {
            return;
        }
        pass(1).await;
    }
    panic!("waited ten minutes for: {what}");
}
