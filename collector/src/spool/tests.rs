//! A spool against a model that knows which chunks must come back, whatever is done to its files.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::format::{self, HEADER_BYTES};
use super::*;
use crate::event::{Body, Event, Place, Span, Stream};
use crate::source::chunk::{Mark, describe};

/// What happens to a spool or to its files while it is closed.
#[derive(Clone, Debug)]
enum Step {
    /// A chunk of so many lines is appended.
    Append { stream: usize, lines: u64 },
    /// The sink has the oldest so many chunks, and they are let go of.
    Deliver { chunks: usize },
    /// The process ends and another one opens the spool.
    Reopen,
    /// One bit is flipped.
    Flip { place: usize },
    /// A file ends earlier.
    Cut { place: usize },
    /// A file is zeros from there on, and longer.
    Zero { place: usize },
    /// A file's name was not on the disk when the power went.
    Lose { place: usize },
    /// Junk lies in the directory.
    Junk,
}

struct World {
    dir: TempDir,
    spool: Option<Spool>,
    ends: [u64; 3],
    /// Chunks that are not delivered, in order.
    model: Vec<Chunk>,
    delivered: Positions,
    /// Damage since the last time that the spool was opened.
    hits: usize,
}

fn chunk(stream: usize, start: u64, lines: u64) -> Chunk {
    let id = format!("stream{stream}");
    let stream = Arc::new(Stream { id: id.as_str().into(), path: id, pod: None, metadata: None });
    let marks: Vec<Mark> = (0..lines)
        .map(|line| Mark { offset: start + 300 * line, dead_lettered: false, time: None })
        .collect();
    let event = |mark: &Mark| Event {
        place: Place { stream: stream.clone(), offset: mark.offset, index: 0 },
        time: None,
        stdio: None,
        body: Body::Line(format!("{:0299}", mark.offset).into()),
    };
    let events = marks.iter().map(event).collect();
    let end = start + 300 * lines;
    let mut span =
        Span { stream, start, end, lines: 0, dead_lettered: 0, times: None, ended: false, broken: None };
    describe(&mut span, &marks);
    Chunk { batch: crate::event::Batch { events, spans: vec![span] }, marks: vec![marks], ..Chunk::default() }
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            dir: tempfile::tempdir().unwrap(),
            spool: None,
            ends: [0; 3],
            model: Vec::new(),
            delivered: Positions::new(),
            hits: 0,
        };
        world.reopen();
        world
    }

    fn reopen(&mut self) {
        self.spool = None;
        let (spool, damaged) = Spool::open(self.dir.path(), Quota::new(1 << 30)).unwrap();
        assert!(damaged.len() >= self.hits, "{damaged:?}");
        let kept = fs::read_dir(self.dir.path().join("quarantine")).map_or(0, Iterator::count);
        assert!(damaged.is_empty() || kept > 0, "nothing is kept of {damaged:?}");
        self.spool = Some(spool);
        self.hits = 0;
        self.check();
    }

    /// What must come back does, once and in order, and nothing that was never appended.
    fn check(&mut self) {
        let spool = self.spool.as_mut().unwrap();
        spool.replay_again();
        let mut left = self.model.iter();
        while let Some(next) = spool.next() {
            let Next::Chunk(chunk) = next else { panic!("{next:?} behind an open that found no damage") };
            let span = &chunk.batch.spans[0];
            if self.delivered.get(&span.stream.id).is_some_and(|at| span.end <= *at) {
                continue;
            }
            let want = left.next().map(|chunk| format!("{chunk:?}"));
            assert_eq!(Some(format!("{chunk:?}")), want);
        }
        assert_eq!(left.count(), 0, "chunks are missing");
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Append { stream, lines } => {
                let chunk = chunk(stream, self.ends[stream], lines);
                self.ends[stream] = chunk.batch.spans[0].end;
                self.spool.as_mut().unwrap().append(&chunk).unwrap();
                self.model.push(chunk);
            }
            Step::Deliver { chunks } => {
                for chunk in self.model.drain(..chunks.min(self.model.len())) {
                    let span = &chunk.batch.spans[0];
                    self.delivered.insert(span.stream.id.clone(), span.end);
                }
                let spool = self.spool.as_mut().unwrap();
                if spool.can_release(|id| self.delivered.get(id).copied()) {
                    spool.release().unwrap();
                }
                assert_eq!(self.model.is_empty(), spool.is_empty());
                assert!(!spool.is_empty() || self.files().is_empty(), "an empty spool keeps files");
            }
            Step::Reopen => self.reopen(),
            Step::Junk => {
                fs::write(self.dir.path().join("00000000000000000001-junk.spool"), "junk").unwrap();
                fs::write(self.dir.path().join("notes.txt"), "junk").unwrap();
            }
            Step::Flip { place } => self.damage(place, |bytes, at| bytes[at] ^= 1 << (place % 8), false),
            Step::Cut { place } => self.damage(place, |bytes, at| bytes.truncate(at), true),
            Step::Zero { place } => self.damage(
                place,
                |bytes, at| {
                    let length = bytes.len() + place % 5000;
                    bytes.truncate(at);
                    bytes.resize(length, 0);
                },
                true,
            ),
            Step::Lose { place } => {
                let files = self.files();
                if let Some(path) = files.get(place % files.len().max(1)) {
                    self.spool = None;
                    self.forget(&fs::read(path).unwrap(), path, 0..usize::MAX);
                    fs::remove_file(path).unwrap();
                    self.hits = 0;
                    self.reopen();
                }
            }
        }
    }

    /// Damages one file at a byte, or from there on.
    fn damage(&mut self, place: usize, harm: impl Fn(&mut Vec<u8>, usize), to_the_end: bool) {
        self.spool = None;
        let files = self.files();
        if let Some(path) = files.get(place % files.len().max(1)) {
            let mut bytes = fs::read(path).unwrap();
            let at = place / files.len() % bytes.len();
            let hit = at..if to_the_end { usize::MAX } else { at + 1 };
            let before = self.model.len();
            self.forget(&bytes, path, hit);
            let was = bytes.clone();
            harm(&mut bytes, at);
            // A cut between two records is no damage that can be seen.
            self.hits = usize::from(self.model.len() < before && !(to_the_end && was.starts_with(&bytes)));
            fs::write(path, bytes).unwrap();
        }
        self.reopen();
    }

    /// Takes what lies in these bytes of a segment out of the model.
    fn forget(&mut self, bytes: &[u8], path: &std::path::Path, hit: Range<usize>) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let salt = u64::from_str_radix(name.split_once('-').unwrap().1, 16).unwrap();
        for part in format::scan(bytes, salt) {
            if part.content.is_err() || part.end <= hit.start || hit.end <= part.start {
                continue;
            }
            let payload = bytes[part.start + format::RECORD_BYTES..part.end].to_vec();
            let lost = format!("{:?}", codec::decode(payload).unwrap());
            self.model.retain(|chunk| format!("{chunk:?}") != lost);
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> = entries
            .filter(|path| path.extension().is_some_and(|extension| extension == "spool"))
            .filter(|path| !path.ends_with("00000000000000000001-junk.spool"))
            .collect();
        files.sort();
        files
    }
}

fn step() -> impl Strategy<Value = Step> {
    let place = any::<u32>().prop_map(|place| place as usize);
    prop_oneof![
        12 => (0..3usize, 1..200u64).prop_map(|(stream, lines)| Step::Append { stream, lines }),
        3 => (0..9usize).prop_map(|chunks| Step::Deliver { chunks }),
        2 => Just(Step::Reopen),
        2 => place.clone().prop_map(|place| Step::Flip { place }),
        2 => place.clone().prop_map(|place| Step::Cut { place }),
        2 => place.clone().prop_map(|place| Step::Zero { place }),
        1 => place.prop_map(|place| Step::Lose { place }),
        1 => Just(Step::Junk),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_to_its_files_a_spool_gives_back_what_was_not_hit(
        steps in proptest::collection::vec(step(), 1..30),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        world.reopen();
    }
}

fn spool(dir: &TempDir, max: u64) -> Spool {
    Spool::open(dir.path(), Quota::new(max)).unwrap().0
}

#[test]
fn a_spool_is_full_at_its_limit_and_has_room_again_when_segments_go() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = spool(&dir, 300_000);
    let mut chunks = 0;
    while spool.append(&chunk(0, 30_000 * chunks, 100)).is_ok() {
        chunks += 1;
    }
    assert!((7..10).contains(&chunks), "{chunks} chunks of over 30,000 bytes");
    assert!(matches!(spool.append(&chunk(0, 0, 100)), Err(Refused::Full { .. })));
    assert!(spool.quota.used() <= 300_000);
    assert!(spool.can_release(|_| Some(60_000)));
    spool.release().unwrap();
    spool.append(&chunk(0, 30_000 * chunks, 100)).unwrap();
    let quota = spool.quota.clone();
    drop(spool);
    assert_eq!(quota.used(), 0);
}

#[test]
fn a_record_that_is_larger_than_the_limit_has_room_in_an_empty_spool() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = spool(&dir, 1000);
    spool.append(&chunk(0, 0, 100)).unwrap();
    assert!(matches!(spool.append(&chunk(0, 30_000, 1)), Err(Refused::Full { .. })));
}

#[test]
fn a_spool_reaches_as_far_as_it_has_no_hole() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = spool(&dir, 1 << 20);
    for (stream, start) in [(0, 0), (0, 300), (1, 600), (2, 900)] {
        spool.append(&chunk(stream, start, 1)).unwrap();
    }
    let positions = Positions::from([("stream0".into(), 150), ("stream1".into(), 300)]);
    let want = Positions::from([("stream0".into(), 600), ("stream1".into(), 300), ("stream2".into(), 1200)]);
    assert_eq!(spool.reach(&positions), want);
}

#[test]
fn a_record_that_rots_while_the_spool_is_open_is_told_with_its_lines() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = spool(&dir, 1 << 20);
    spool.append(&chunk(0, 0, 5)).unwrap();
    spool.append(&chunk(0, 1500, 5)).unwrap();
    let path = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&path).unwrap();
    bytes[HEADER_BYTES + 100] ^= 4;
    fs::write(&path, bytes).unwrap();
    assert!(matches!(spool.next(), Some(Next::Damaged { lines: 5, .. })));
    assert!(matches!(spool.next(), Some(Next::Chunk(chunk)) if chunk.batch.spans[0].start == 1500));
    assert!(spool.next().is_none());
}

#[test]
fn a_record_that_is_out_of_reach_for_a_while_is_no_damage_and_comes_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = spool(&dir, 1 << 20);
    spool.append(&chunk(0, 0, 5)).unwrap();
    let path = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
    let aside = dir.path().with_extension("aside");
    fs::rename(&path, &aside).unwrap();
    fs::create_dir(&path).unwrap();
    for _ in 0..2 {
        assert!(matches!(spool.next(), Some(Next::Failed(_))));
    }
    fs::remove_dir(&path).unwrap();
    fs::rename(&aside, &path).unwrap();
    assert!(matches!(spool.next(), Some(Next::Chunk(chunk)) if chunk.batch.spans[0].start == 0));
    assert!(spool.next().is_none());
}

#[test]
fn a_segment_of_a_future_version_is_refused_by_its_version() {
    let dir = tempfile::tempdir().unwrap();
    let mut future = format::header();
    future[8] = 7;
    let mut crc = flate2::Crc::new();
    crc.update(&[0; 8]);
    crc.update(&future[..12]);
    future[12..].copy_from_slice(&crc.sum().to_le_bytes());
    fs::write(dir.path().join(format!("{:020}-{:016x}.spool", 3, 5)), future).unwrap();
    let error = Spool::open(dir.path(), Quota::new(1 << 20)).unwrap_err().to_string();
    assert!(error.contains("format version 7"), "{error}");
}

#[test]
fn empty_files_and_headers_alone_are_cleared_away() {
    let dir = tempfile::tempdir().unwrap();
    for (number, length) in [(1, 0), (2, 7), (3, HEADER_BYTES)] {
        let path = dir.path().join(format!("{number:020}-{number:016x}.spool"));
        fs::write(path, &format::header()[..length]).unwrap();
    }
    let (spool, damaged) = Spool::open(dir.path(), Quota::new(1 << 20)).unwrap();
    assert!(spool.is_empty());
    assert_eq!(damaged.len(), 1, "{damaged:?}");
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["quarantine"]);
}
