//! The spool of one sink for one source: chunks on disk that the sink lacks and that the log files may not keep.

mod codec;
mod format;
mod segments;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use crate::event::StreamId;
use crate::source::chunk::{Chunk, Positions};
pub(crate) use segments::Damaged;
use segments::Segments;

/// Largest segment; a small spool has smaller ones, so that room comes back in pieces.
const SEGMENT_BYTES: u64 = 16 << 20;

/// Smallest segment.
const SMALLEST_SEGMENT_BYTES: u64 = 64 << 10;

/// Why a spool cannot be opened.
#[derive(Debug, Error)]
pub enum SpoolError {
    /// A newer collector wrote it.
    #[error(
        "{path} has format version {found}, this collector reads up to {}; start the newer collector until the spool is empty, or move the file away and lose what is in it",
        format::VERSION
    )]
    Future {
        /// The segment.
        path: String,
        /// The version in it.
        found: u32,
    },
    /// The disk failed.
    #[error("cannot open the spool at {path}: {source}")]
    Io {
        /// A directory or a segment.
        path: String,
        /// Why not.
        source: io::Error,
    },
}

/// How many bytes the spools of one sink may take together.
#[derive(Clone, Debug)]
pub(crate) struct Quota {
    max: u64,
    used: Arc<AtomicU64>,
}

/// Why a chunk was not taken.
#[derive(Debug)]
pub(crate) enum Refused {
    /// There is no room for it under the quota.
    Full {
        /// What it would take.
        bytes: u64,
    },
    /// The disk failed; the chunk must be read again from its source.
    Failed(io::Error),
}

/// What comes next in a replay.
#[derive(Debug)]
pub(crate) enum Next {
    /// A chunk.
    Chunk(Chunk),
    /// A record that could not be read, with its lines.
    Damaged {
        /// How many lines it holds.
        lines: u64,
        /// Why.
        reason: String,
    },
    /// The disk does not answer; the same is next again.
    Failed(io::Error),
}

/// Chunks in the order in which they were appended, until their sink has them all.
#[derive(Debug)]
pub(crate) struct Spool {
    segments: Segments,
    quota: Quota,
    held: BTreeMap<u64, Held>,
    /// Number of the record that is replayed next.
    cursor: u64,
}

/// What is known of a record without reading it.
#[derive(Debug)]
struct Held {
    lines: u32,
    spans: Vec<(StreamId, u64, u64)>,
}

impl Quota {
    /// So many bytes.
    pub(crate) fn new(max: u64) -> Self {
        Self { max, used: Arc::default() }
    }

    /// Bytes that may be taken.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// Bytes that are taken.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn change(&self, before: u64, after: u64) {
        self.used.fetch_add(after, Ordering::Relaxed);
        self.used.fetch_sub(before, Ordering::Relaxed);
    }
}

impl Spool {
    /// Opens a spool, which may be new. What is damaged in it is returned beside what is not; a copy of each damaged part
    /// is kept in `quarantine`.
    ///
    /// # Errors
    /// A newer collector wrote it, or the disk failed.
    pub(crate) fn open(dir: &Path, quota: Quota) -> Result<(Self, Vec<Damaged>), SpoolError> {
        let limit = (quota.max / 8).clamp(SMALLEST_SEGMENT_BYTES, SEGMENT_BYTES);
        let (mut held, mut unknown) = (BTreeMap::new(), Vec::new());
        let (segments, mut damaged) =
            Segments::open(dir, limit, |record, payload| match codec::decode(payload.to_vec()) {
                Some(chunk) => drop(held.insert(record.sequence, Held::of(&chunk))),
                None => unknown.push(record.lines),
            })?;
        let path = dir.to_owned();
        damaged.extend(unknown.into_iter().map(|lines| Damaged {
            path: path.clone(),
            at: 0,
            reason: "the record holds no chunk",
            lines: u64::from(lines.max(1)),
        }));
        quota.change(0, segments.bytes());
        Ok((Self { segments, quota, held, cursor: 0 }, damaged))
    }

    /// Whether nothing is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Lines in it.
    pub(crate) fn lines(&self) -> u64 {
        self.held.values().map(|held| u64::from(held.lines)).sum()
    }

    /// The streams in it.
    pub(crate) fn streams(&self) -> impl Iterator<Item = &StreamId> {
        self.held.values().flat_map(|held| held.spans.iter().map(|(id, ..)| id))
    }

    /// For each stream in it, how far a sink with these positions comes by it alone.
    pub(crate) fn reach(&self, positions: &Positions) -> Positions {
        let mut reach = Positions::new();
        for (id, start, end) in self.held.values().flat_map(|held| &held.spans) {
            let at = reach.get(id).or(positions.get(id)).copied().unwrap_or(*start);
            reach.insert(id.clone(), if *start <= at { at.max(*end) } else { at });
        }
        reach
    }

    /// Whether there is room for so many bytes more. One record has room in an empty spool, whatever its size.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        let used = self.quota.used();
        used == 0 || used + bytes <= self.quota.max
    }

    /// Appends a chunk; it is on disk when this returns.
    ///
    /// # Errors
    /// See [`Refused`]; the spool is as it was.
    pub(crate) fn append(&mut self, chunk: &Chunk) -> Result<(), Refused> {
        let payload = codec::encode(chunk);
        let bytes = Segments::cost(&payload);
        if !self.has_room(bytes) {
            return Err(Refused::Full { bytes });
        }
        let held = Held::of(chunk);
        let before = self.segments.bytes();
        let appended = self.segments.append(&payload, held.lines);
        self.quota.change(before, self.segments.bytes());
        self.held.insert(appended.map_err(Refused::Failed)?, held);
        Ok(())
    }

    /// What is next in the replay; nothing when all was given out.
    pub(crate) fn next(&mut self) -> Option<Next> {
        let (&sequence, _) = self.held.range(self.cursor..).next()?;
        self.cursor = sequence + 1;
        let reason = match self.segments.read(sequence).map(codec::decode) {
            Ok(Some(chunk)) => return Some(Next::Chunk(chunk)),
            Ok(None) => "it holds no chunk".to_owned(),
            Err(error) if is_damage(&error) => error.to_string(),
            Err(error) => {
                // It is there, and will be read when there is a descriptor, or the disk answers again.
                self.cursor = sequence;
                return Some(Next::Failed(error));
            }
        };
        // Nobody can deliver it: it must not keep its segment.
        let lines = self.held.remove(&sequence).map_or(1, |held| u64::from(held.lines.max(1)));
        Some(Next::Damaged { lines, reason })
    }

    /// Begins the replay anew.
    pub(crate) fn replay_again(&mut self) {
        self.cursor = 0;
    }

    /// Whether a segment can be deleted that could not before: its sink has all that it holds.
    pub(crate) fn can_release(&mut self, delivered: impl Fn(&StreamId) -> Option<u64>) -> bool {
        let passed = |(id, _, end): &(StreamId, u64, u64)| delivered(id).is_some_and(|at| at >= *end);
        while let Some(oldest) = self.held.first_entry() {
            if !oldest.get().spans.iter().all(passed) {
                break;
            }
            oldest.remove();
        }
        self.segments.can_drop(self.wanted_from())
    }

    /// Deletes what [`can_release`](Self::can_release) has found.
    ///
    /// # Errors
    /// The disk failed; tried again the next time.
    pub(crate) fn release(&mut self) -> io::Result<()> {
        let before = self.segments.bytes();
        let dropped = self.segments.drop_before(self.wanted_from());
        self.quota.change(before, self.segments.bytes());
        dropped
    }

    fn wanted_from(&self) -> u64 {
        self.held.first_key_value().map_or(u64::MAX, |(&sequence, _)| sequence)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.quota.change(self.segments.bytes(), 0);
    }
}

impl Held {
    fn of(chunk: &Chunk) -> Self {
        let span = |span: &crate::event::Span| (span.stream.id.clone(), span.start, span.end);
        Self {
            lines: u32::try_from(chunk.lines()).unwrap_or(u32::MAX),
            spans: chunk.batch.spans.iter().map(span).collect(),
        }
    }
}

/// Whether a record is not what was written, rather than out of reach for a while.
fn is_damage(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound
    )
}

#[cfg(test)]
mod tests;
