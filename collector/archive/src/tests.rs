//! A small pipeline over a real directory that can be killed between any two steps and damaged while it is down.

mod codec;
mod crashes;
mod reading;
mod stores;

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, Waker};

use tempfile::TempDir;

use crate::{
    DirectoryStore, Line, Recovered, Report, Segment, SegmentBuilder, Spool, Store, StreamMeta, restore,
    verify,
};

/// Lines by stream, as they should come back.
type Source = BTreeMap<&'static str, Vec<Vec<u8>>>;

/// A node: its spool, and the store that it delivers to.
struct Node {
    directory: TempDir,
    store: Store,
    starts: u32,
}

/// The process was killed.
#[derive(Debug)]
struct Killed;

/// Counts down the steps that the process still lives for.
struct Fuse(Option<u32>);

impl Fuse {
    fn step(&mut self) -> Result<(), Killed> {
        match &mut self.0 {
            Some(0) => Err(Killed),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Node {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::Directory(DirectoryStore::open(&directory.path().join("store")).unwrap());
        Self { directory, store, starts: 0 }
    }

    fn spool_path(&self) -> PathBuf {
        self.directory.path().join("spool")
    }

    fn open(&mut self) -> (Spool, Recovered) {
        self.starts += 1;
        Spool::open(&self.spool_path(), "node-1", &format!("epoch-{}", self.starts)).unwrap()
    }

    /// Starts, reads the source from where it stood, `batch` lines of every stream a segment, to the end or the kill.
    fn run(&mut self, source: &Source, batch: usize, mut fuse: Fuse) -> Result<Recovered, Killed> {
        let (mut spool, recovered) = self.open();
        for staged in &recovered.pending {
            deliver(&self.store, &mut spool, staged, &mut fuse)?;
        }
        while let Some(segment) = next_segment(source, spool.positions(), batch) {
            fuse.step()?;
            if fuse.0 == Some(0) {
                half_stage(&self.spool_path(), &segment);
            }
            fuse.step()?;
            let staged = spool.stage(&segment).unwrap();
            fuse.step()?;
            deliver(&self.store, &mut spool, &staged, &mut fuse)?;
        }
        Ok(recovered)
    }

    fn restored(&self) -> (BTreeMap<String, Vec<u8>>, Report) {
        let target = tempfile::tempdir().unwrap();
        let restored = poll(restore(&self.store, target.path())).unwrap();
        assert_eq!(restored.report, poll(verify(&self.store)).unwrap());
        let files = restored.files.iter().map(|(stream, path)| (stream.clone(), fs::read(path).unwrap()));
        (files.collect(), restored.report)
    }

    #[track_caller]
    fn expect(&self, source: &Source) -> Report {
        let (files, report) = self.restored();
        let want = source.iter().map(|(stream, lines)| ((*stream).to_owned(), joined(lines)));
        assert_eq!(files, want.collect());
        assert!(report.is_sound(), "{report:?}");
        report
    }
}

fn deliver(store: &Store, spool: &mut Spool, staged: &crate::Staged, fuse: &mut Fuse) -> Result<(), Killed> {
    let (data, _) = staged.read().unwrap();
    poll(store.put_if_absent(&staged.id().data_key(), &data, &staged.manifest().contents.sha256)).unwrap();
    fuse.step()?;
    poll(store.put_segment(staged)).unwrap();
    fuse.step()?;
    let pending = spool.pending().count();
    if fuse.0 == Some(0) {
        // Killed between noting the delivery and dropping the bytes: they are there again at the next start.
        let kept = files_in(&spool_directory(staged));
        spool.delivered(staged).unwrap();
        kept.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    } else {
        spool.delivered(staged).unwrap();
    }
    assert_eq!(spool.pending().count(), pending - 1);
    fuse.step()
}

fn spool_directory(staged: &crate::Staged) -> PathBuf {
    staged.data.parent().unwrap().to_owned()
}

fn files_in(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

/// What a kill between the two files of a segment leaves.
fn half_stage(spool: &Path, segment: &Segment) {
    let pending = spool.join("pending");
    let next = format!("{:020}", 9_999);
    fs::write(pending.join(format!("{next}.ndjson.zst")), &segment.bytes).unwrap();
    fs::write(pending.join(format!("{next}.manifest.json.tmp")), b"{\"version\":1,\"ke").unwrap();
}

fn next_segment(source: &Source, positions: &BTreeMap<String, u64>, batch: usize) -> Option<Segment> {
    let mut builder = SegmentBuilder::new().unwrap();
    for (stream, lines) in source {
        let from = positions.get(*stream).copied().unwrap_or(0);
        let ahead = placed(lines).into_iter().filter(|(offset, ..)| *offset >= from).take(batch);
        ahead.for_each(|(offset, end, line)| push(&mut builder, stream, offset, end, line));
    }
    (!builder.is_empty()).then(|| builder.finish().unwrap())
}

fn push(builder: &mut SegmentBuilder, stream: &str, offset: u64, end: u64, line: &[u8]) {
    let time_ns = Some(1_700_000_000_000_000_000 + i64::try_from(offset).unwrap());
    builder.push(&meta(stream), &Line { offset, end, time_ns, line, ..Line::default() }).unwrap();
}

fn meta(id: &str) -> StreamMeta<'_> {
    StreamMeta {
        id,
        path: "/var/log/pods/shop_cart-1_uid/app/0.log",
        namespace: Some("shop"),
        ..StreamMeta::default()
    }
}

/// Every line with the offsets that it has in its file.
fn placed(lines: &[Vec<u8>]) -> Vec<(u64, u64, &[u8])> {
    let mut end = 0;
    let place = |line: &'_ Vec<u8>| {
        let offset = end;
        end += line.len() as u64 + 1;
        (offset, end)
    };
    let places: Vec<_> = lines.iter().map(place).collect();
    places.into_iter().zip(lines).map(|((offset, end), line)| (offset, end, line.as_slice())).collect()
}

fn joined(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect()
}

/// Two streams of different length; one line is empty, one is not UTF-8, one holds what could be taken for JSON.
fn source() -> Source {
    let lines = |n: usize, word: &str| (0..n).map(|i| format!("{word} {i}").into_bytes()).collect::<Vec<_>>();
    let mut first = lines(7, "GET /cart/");
    first[2] = Vec::new();
    first[4] = b"\xff\xfe caf\xe9 \x00".to_vec();
    first[5] = br#"{"stream":"b","offset":0}"#.to_vec();
    BTreeMap::from([("a", first), ("b", lines(4, "POST /pay/"))])
}

/// A directory store never waits.
fn poll<F: Future>(future: F) -> F::Output {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a directory store never waits"),
    }
}
