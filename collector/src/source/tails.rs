//! The tails of one source: which file belongs to which stream, and chunks of what is new in them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;

use super::chunk::{Chunk, Positions};
use super::content::Content;
use super::cri::Assembler;
use super::discovery::{Discovery, Found};
use super::tail::Tail;
use super::{Identity, ReadFrom};
use crate::checkpoint::Known;
use crate::dead_letters::DeadLetters;
use crate::event::StreamId;
use crate::identity::Inode;

mod cluster;
mod ending;
mod group;
mod identify;

use cluster::Excluded;
pub use ending::{Ending, Missing};

/// Files that stay open while nothing happens in them.
const OPEN_FILES: usize = 100;

/// A stream that is there but silent is remembered as seen once a day.
const DAY_MS: i64 = 24 * 3600 * 1000;

/// Reads that a group gets before it is another group's turn.
const TURN: u32 = 16;

/// All files of one source and the streams in them.
pub struct Tails {
    discovery: Discovery,
    identity: Identity,
    max_line_bytes: usize,
    read_from: ReadFrom,
    dead_letters: DeadLetters,
    draining: bool,
    /// Nothing was read before: what lies there is old to [`ReadFrom::End`].
    first_scan: bool,
    files: BTreeMap<Inode, FileEntry>,
    tails: BTreeMap<StreamId, Tail>,
    groups: BTreeMap<String, Group>,
    known: BTreeMap<StreamId, Known>,
    learned: BTreeSet<StreamId>,
    handed: Positions,
    /// Where [`ReadFrom::End`] began.
    floors: Positions,
    /// Streams whose files stay open when they are gone: somebody lacks what is in them.
    held: BTreeSet<StreamId>,
    work: VecDeque<String>,
    turn: u32,
    refused: BTreeSet<PathBuf>,
    warned: BTreeSet<StreamId>,
    troubles: Vec<Trouble>,
    /// What is known of the cluster has been taken up to this change.
    described: u64,
    excluded: Excluded,
}

/// How much was read of how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Bytes on disk that were read (of a gzip: compressed ones).
    pub read: u64,
    /// Bytes on disk.
    pub total: u64,
    /// Streams that are being read.
    pub streams: u64,
}

/// Something that a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// A label for counting.
    pub kind: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What happened.
    pub message: String,
}

struct FileEntry {
    found: Found,
    state: State,
    gone: bool,
    /// It was renamed: its writer has another file by now, or soon.
    moved: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Not looked at yet, or to be looked at again.
    New,
    /// Has no complete first line.
    Waiting,
    /// Cannot be read; tried again at every scan.
    Failed(String),
    /// The file that its stream is read from.
    Active(StreamId),
    /// Holds the same as the file that its stream is read from, or less.
    Shadow(StreamId),
}

/// Files that are read one after the other.
#[derive(Default)]
struct Group {
    files: Vec<Inode>,
    assembler: Assembler,
}

impl Tails {
    /// Starts each stream at `start` (else at its beginning), with what is `known` of the streams of earlier runs.
    pub fn new(
        discovery: Discovery,
        identity: Identity,
        known: BTreeMap<StreamId, Known>,
        start: Positions,
        dead_letters: DeadLetters,
    ) -> Self {
        let (max_line_bytes, read_from) = match &discovery {
            Discovery::File(config) => (config.max_line_bytes, config.read_from),
            Discovery::KubernetesLogs(config, _) => (config.max_line_bytes, config.read_from),
        };
        Self {
            discovery,
            identity,
            max_line_bytes,
            read_from,
            dead_letters,
            draining: false,
            first_scan: known.is_empty(),
            files: BTreeMap::new(),
            tails: BTreeMap::new(),
            groups: BTreeMap::new(),
            known,
            learned: BTreeSet::new(),
            handed: start,
            floors: Positions::new(),
            held: BTreeSet::new(),
            work: VecDeque::new(),
            turn: 0,
            refused: BTreeSet::new(),
            warned: BTreeSet::new(),
            troubles: Vec::new(),
            described: 0,
            excluded: Excluded::default(),
        }
    }

    /// From now on, a last line without a line end counts as a line: nothing is expected to follow.
    pub fn drain(&mut self) {
        self.draining = true;
        for entry in self.files.values_mut().filter(|entry| entry.state == State::Waiting) {
            entry.state = State::New;
        }
    }

    /// Looks which files there are and what changed in them.
    pub fn scan(&mut self, now_ms: i64) {
        let scan = self.discovery.scan();
        for (path, reason) in scan.refused {
            self.refuse(path, reason);
        }
        for group in self.groups.values_mut() {
            group.files.clear();
        }
        self.let_go(scan.excluded);
        let present: BTreeSet<Inode> = scan.found.iter().map(|found| found.inode).collect();
        self.note_gone(&present);
        for found in scan.found {
            self.groups.entry(found.group.clone()).or_default().files.push(found.inode);
            self.note(found);
        }
        self.groups.retain(|_, group| !group.files.is_empty());
        // First what is read already: a copy is compared with what its original holds now.
        self.check_suspects();
        self.identify_new();
        self.first_scan = false;
        self.describe();
        self.find_work();
        for (id, tail) in &self.tails {
            let silent = |known: &&mut Known| !tail.gone && now_ms - known.seen_ms > DAY_MS;
            if let Some(known) = self.known.get_mut(id).filter(silent) {
                known.seen_ms = now_ms;
                self.learned.insert(id.clone());
            }
        }
    }

    /// The next chunk of what is new, until all that the last scan saw is read.
    pub fn next_chunk(&mut self) -> Option<Chunk> {
        while let Some(key) = self.work.pop_front() {
            match self.read_group(&key) {
                Ok(Some(chunk)) => {
                    self.continue_with(key);
                    if !chunk.is_empty() {
                        self.hand_on(&chunk);
                        return Some(chunk);
                    }
                }
                Ok(None) => self.rest(&key),
                Err((path, error)) => {
                    self.fail_group(&key, &error.to_string());
                    self.trouble("read_failed", path, format!("cannot read the file, trying again: {error}"));
                    self.turn = 0;
                }
            }
        }
        None
    }

    /// What became known of streams since the last call.
    pub fn take_learned(&mut self) -> Vec<(StreamId, Known)> {
        let learned = std::mem::take(&mut self.learned);
        learned.into_iter().filter_map(|id| Some((id.clone(), self.known.get(&id)?.clone()))).collect()
    }

    /// What a person should know since the last call.
    pub fn take_troubles(&mut self) -> Vec<Trouble> {
        std::mem::take(&mut self.troubles)
    }

    /// How much was read.
    pub fn amount(&self) -> Amount {
        let mut amount = Amount { streams: self.tails.len() as u64, ..Amount::default() };
        for entry in self.files.values() {
            let size = entry.found.look.size;
            amount.total += size;
            amount.read += match &entry.state {
                State::Active(id) => {
                    self.tails.get(id).map_or(0, |tail| match tail.is_at_end(entry.found.look) {
                        true => size,
                        false => tail.consumed.min(size),
                    })
                }
                State::New => 0,
                State::Waiting | State::Failed(_) | State::Shadow(_) => size,
            };
        }
        amount
    }

    fn note_gone(&mut self, present: &BTreeSet<Inode>) {
        let gone: Vec<Inode> = self.files.keys().filter(|inode| !present.contains(inode)).copied().collect();
        for inode in gone {
            let Some(entry) = self.files.get_mut(&inode) else { continue };
            let tail = match &entry.state {
                State::Active(id) => self.tails.get_mut(id),
                _ => None,
            };
            match tail {
                // What is open can be read to its end, though the name is gone.
                Some(tail) if tail.is_open() && (!tail.ended || self.held.contains(&tail.stream.id)) => {
                    entry.gone = true;
                    // What was appended last is read; nothing is appended to a gzip, and what is open of it stays open.
                    if !std::mem::replace(&mut tail.gone, true) && !tail.packed {
                        tail.changed();
                    }
                    let key = entry.found.group.clone();
                    self.groups.entry(key).or_default().files.push(inode);
                }
                _ => self.forget_file(inode),
            }
        }
    }

    fn forget_file(&mut self, inode: Inode) {
        if let Some(FileEntry { state: State::Active(id), .. }) = self.files.remove(&inode) {
            self.drop_tail(&id);
        }
    }

    fn note(&mut self, found: Found) {
        let Some(entry) = self.files.get_mut(&found.inode) else {
            self.files.insert(found.inode, FileEntry { found, state: State::New, gone: false, moved: false });
            return;
        };
        let changed = entry.found.look != found.look;
        entry.moved |= entry.found.path != found.path;
        entry.found = found;
        entry.gone = false;
        match &entry.state {
            State::Active(id) => {
                if let Some(tail) = self.tails.get_mut(id).filter(|_| changed) {
                    tail.changed();
                }
            }
            State::Failed(_) => entry.state = State::New,
            _ if changed => entry.state = State::New,
            _ => {}
        }
    }

    fn check_suspects(&mut self) {
        let actives = self.files.values().filter_map(|entry| match &entry.state {
            State::Active(id) if !entry.gone => Some((id.clone(), entry.found.clone())),
            _ => None,
        });
        for (id, found) in actives.collect::<Vec<_>>() {
            let Some(tail) = self.tails.get_mut(&id).filter(|tail| tail.is_suspect()) else { continue };
            match tail.check(|| open(&self.discovery, &found)) {
                Ok(true) => {}
                Ok(false) => self.replaced(found.path, &id),
                // Told when it is read.
                Err(_) => self.drop_tail(&id),
            }
        }
    }

    /// The stream's file holds something else now: it is looked at anew.
    fn replaced(&mut self, path: PathBuf, id: &StreamId) {
        self.drop_tail(id);
        let message = "the file was truncated or written anew; reading it as a new stream, \
                       what was not read of the old one is lost unless a copy of it is found";
        self.trouble("truncated", path, message.to_owned());
    }

    fn find_work(&mut self) {
        let queued: BTreeSet<String> = self.work.iter().cloned().collect();
        for (key, group) in &self.groups {
            let has_work = |inode: &Inode| {
                let Some(FileEntry { found, state: State::Active(id), .. }) = self.files.get(inode) else {
                    return false;
                };
                self.tails.get(id).is_some_and(|tail| {
                    let rest = self.draining && tail.has_rest() && !tail.is_broken();
                    !tail.told.start
                        || !tail.is_at_end(found.look)
                        || rest
                        || ((found.complete || tail.gone) && !tail.ended)
                })
            };
            if !queued.contains(key) && group.files.iter().any(has_work) {
                self.work.push_back(key.clone());
            }
        }
    }

    fn continue_with(&mut self, key: String) {
        let gzip = || {
            let files = self.groups.get(&key).map(|group| group.files.as_slice()).unwrap_or_default();
            files.iter().any(|inode| match self.files.get(inode).map(|entry| &entry.state) {
                Some(State::Active(id)) => self.tails.get(id).is_some_and(Tail::is_gzip),
                _ => false,
            })
        };
        self.turn += 1;
        // A gzip that is put aside half-read keeps its file and its window: it is read to its end first.
        if self.turn < TURN || gzip() {
            self.work.push_front(key);
        } else {
            self.turn = 0;
            self.work.push_back(key);
        }
    }

    /// A group is read to its end: its files are closed if there are too many.
    fn rest(&mut self, key: &str) {
        self.turn = 0;
        let open = self.tails.values().filter(|tail| tail.is_open()).count();
        let files = self.groups.get(key).map(|group| group.files.clone()).unwrap_or_default();
        for inode in files {
            let Some(entry) = self.files.get(&inode) else { continue };
            let State::Active(id) = entry.state.clone() else { continue };
            let Some(tail) = self.tails.get_mut(&id).filter(|_| !self.held.contains(&id)) else { continue };
            if entry.gone {
                self.forget_file(inode);
            } else if tail.ended || tail.is_gzip() || open > OPEN_FILES {
                tail.close();
            }
        }
    }

    fn hand_on(&mut self, chunk: &Chunk) {
        for span in &chunk.batch.spans {
            let id = &span.stream.id;
            self.handed.insert(id.clone(), span.end);
            if let (Some(tail), Some(known)) = (self.tails.get(id), self.known.get_mut(id)) {
                known.fingerprint = tail.fingerprint();
                self.learned.insert(id.clone());
            }
        }
    }

    /// Ends the reading of a stream from its file; whichever file holds it is looked at anew and goes on from what was
    /// handed on.
    fn drop_tail(&mut self, id: &StreamId) {
        if self.tails.remove(id).is_none() {
            return;
        }
        let mut groups = BTreeSet::new();
        for entry in self.files.values_mut() {
            match &entry.state {
                State::Active(active) if active == id => {
                    groups.insert(entry.found.group.clone());
                    entry.state = State::New;
                }
                State::Shadow(of) if of == id => entry.state = State::New,
                _ => {}
            }
        }
        for key in groups {
            self.reset_assembler(&key);
        }
    }

    /// Forgets half-read records of a group: the streams that hold their parts are read again from what was handed on.
    fn reset_assembler(&mut self, key: &str) {
        let Some(group) = self.groups.get_mut(key) else { return };
        if group.assembler.oldest().is_none() {
            return;
        }
        group.assembler = Assembler::default();
        let files = group.files.clone();
        for inode in files {
            let Some(FileEntry { state: State::Active(id), .. }) = self.files.get(&inode) else { continue };
            let id = id.clone();
            let max = self.max_line_bytes;
            let Some(tail) = self.tails.get_mut(&id).filter(|tail| tail.settled < tail.position()) else {
                continue;
            };
            if !tail.go_back(tail.settled, max) {
                self.drop_tail(&id);
            }
        }
    }

    fn fail_group(&mut self, key: &str, reason: &str) {
        let files = self.groups.get(key).map(|group| group.files.clone()).unwrap_or_default();
        for inode in files {
            let Some(FileEntry { state: State::Active(id), .. }) = self.files.get(&inode) else { continue };
            let id = id.clone();
            self.drop_tail(&id);
            if let Some(entry) = self.files.get_mut(&inode) {
                entry.state = State::Failed(reason.to_owned());
            }
        }
        if let Some(group) = self.groups.get_mut(key) {
            group.assembler = Assembler::default();
        }
    }

    fn refuse(&mut self, path: PathBuf, reason: String) {
        if self.refused.insert(path.clone()) {
            self.trouble("refused", path, format!("ignored: {reason}"));
        }
    }

    fn trouble(&mut self, kind: &'static str, path: PathBuf, message: String) {
        self.troubles.push(Trouble { kind, path, message });
    }

    fn open(&self, found: &Found) -> std::io::Result<Content> {
        open(&self.discovery, found)
    }
}

fn open(discovery: &Discovery, found: &Found) -> std::io::Result<Content> {
    let content = Content::new(discovery.open(found)?)?;
    match content.inode() == found.inode {
        true => Ok(content),
        false => Err(std::io::Error::other("another file took its place")),
    }
}
