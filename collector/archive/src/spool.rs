//! The local stage: a segment and the offsets that it covers are durable here before the first byte is put.

mod pending;
mod state;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::key::{InvalidName, SegmentId};
use crate::manifest::Manifest;
use crate::segment::Segment;
use crate::store::StoreError;
use pending::Pending;
pub use pending::Quarantined;
use state::{Loaded, Positions, Slots};

/// One directory, one process: the segments of one collector that are not yet in the store, and how far each stream
/// is staged.
#[derive(Debug)]
pub struct Spool {
    slots: Slots,
    pending: Pending,
    collector: String,
    state: Positions,
    next: u64,
    positions: BTreeMap<String, u64>,
    _lock: File,
}

/// A segment on the local disk, under the name that it will always have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    id: SegmentId,
    manifest: Manifest,
    pub(crate) data: PathBuf,
}

/// What was found at start.
#[derive(Debug)]
pub struct Recovered {
    /// By stream: everything below is staged or delivered, so reading goes on here.
    pub positions: BTreeMap<String, u64>,
    /// Staged segments that are not known to be delivered, oldest first.
    pub pending: Vec<Staged>,
    /// Whether the epoch goes on, and if not, why.
    pub state: State,
    /// Files that could not be read, moved aside. Their lines are read again from the source.
    pub quarantined: Vec<Quarantined>,
}

/// What became of the epoch at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing was lost; the epoch goes on.
    Kept,
    /// The directory was empty: a first start, or everything was lost. A new epoch has begun.
    First,
    /// Something was lost, and a new epoch has begun; to be logged as a warning.
    Lost {
        /// What was lost, and where.
        reason: String,
    },
}

/// Why the spool did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The disk failed or is full. Nothing was staged or forgotten; the same call may be made again.
    #[error("{attempt}: {cause}")]
    Io {
        /// What was attempted, with what.
        attempt: String,
        /// What the system said.
        cause: io::Error,
    },
    /// A newer release wrote the directory.
    #[error(
        "open spool {path}: it has format version {found}, this release knows 1; start the newer release again"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version that it names.
        found: u32,
    },
    /// Another process has the directory open.
    #[error("open spool {path}: process {pid} has it open; stop that one or use another data directory")]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Id of the other process, as far as it could be read.
        pid: String,
    },
    /// The collector's name or the epoch cannot stand in a key.
    #[error("open spool: {0}")]
    Name(#[from] InvalidName),
    /// Local state was lost, and the epoch that was offered is the old one: names could be given twice.
    #[error(
        "open spool: local state was lost, and the fresh epoch {epoch:?} is the one of before; offer a new name"
    )]
    StaleEpoch {
        /// The epoch.
        epoch: String,
    },
    /// Segments must be delivered oldest first, else a position could pass one that is lost.
    #[error(
        "note delivery of segment {sequence}: segment {oldest} was staged before it and is not delivered"
    )]
    Order {
        /// Sequence of the segment that was reported.
        sequence: u64,
        /// Sequence of the one that must come first.
        oldest: u64,
    },
}

impl Spool {
    /// Opens the spool in `directory`, creates it if need be. `fresh_epoch` must be a name that was never used before
    /// by this collector; it becomes the epoch if local state was lost (see [`Recovered::state`]), else the
    /// epoch of before goes on.
    ///
    /// # Errors
    /// A damaged directory is no error: it is told in [`Recovered`]. A newer format, a second process, a name that
    /// is no name and a disk that fails are.
    pub fn open(
        directory: &Path,
        collector: &str,
        fresh_epoch: &str,
    ) -> Result<(Self, Recovered), SpoolError> {
        SegmentId::new(collector, fresh_epoch, 0)?;
        let lock = lock(directory)?;
        let mut slots = Slots::new(directory);
        let loaded = slots.load()?;
        let mut pending = Pending::open(directory)?;
        let (found, quarantined) = pending.scan()?;
        let mut recovered =
            Recovered { positions: BTreeMap::new(), pending: found, state: State::Kept, quarantined };
        let (mut state, next) = settle(loaded, &mut recovered, collector);
        if recovered.state != State::Kept {
            if state.epoch == fresh_epoch {
                return Err(SpoolError::StaleEpoch { epoch: state.epoch });
            }
            state = Positions {
                collector: collector.to_owned(),
                epoch: fresh_epoch.to_owned(),
                first: next,
                ..state
            };
        }
        let mut spool = Self {
            slots,
            pending,
            collector: collector.to_owned(),
            positions: state.positions.clone(),
            state,
            next,
            _lock: lock,
        };
        if recovered.state != State::Kept {
            spool.slots.save(&spool.state)?;
        }
        for staged in recovered.pending.iter().filter(|staged| staged.sequence() >= spool.state.first) {
            advance(&mut spool.positions, &staged.manifest);
        }
        recovered.positions.clone_from(&spool.positions);
        Ok((spool, recovered))
    }

    /// Makes the segment durable under the next name. After that it will be delivered, whatever happens.
    ///
    /// # Errors
    /// [`SpoolError::Io`]; then nothing was staged and the same segment may be staged again.
    pub fn stage(&mut self, segment: &Segment) -> Result<Staged, SpoolError> {
        let id = SegmentId::new(&self.collector, &self.state.epoch, self.next)?;
        let manifest = Manifest::new(&id, segment.contents.clone());
        let staged = self.pending.write(id, manifest, &segment.bytes)?;
        self.next += 1;
        advance(&mut self.positions, &staged.manifest);
        Ok(staged)
    }

    /// Staged segments that are not known to be delivered, oldest first.
    pub fn pending(&self) -> impl Iterator<Item = &Staged> {
        self.pending.iter()
    }

    /// By stream: everything below is staged or delivered.
    pub fn positions(&self) -> &BTreeMap<String, u64> {
        &self.positions
    }

    /// The epoch that new segments are named by.
    pub fn epoch(&self) -> &str {
        &self.state.epoch
    }

    /// Remembers that the store holds the segment, and drops its bytes. A second report is a success.
    ///
    /// # Errors
    /// [`SpoolError::Order`] when an older one is not delivered yet; [`SpoolError::Io`], then it counts as pending.
    pub fn delivered(&mut self, staged: &Staged) -> Result<(), SpoolError> {
        let sequence = staged.sequence();
        match self.pending.oldest() {
            Some(oldest) if oldest < sequence => return Err(SpoolError::Order { sequence, oldest }),
            Some(oldest) if oldest == sequence => {}
            _ => return Ok(()),
        }
        if sequence >= self.state.first {
            let mut state = self.state.clone();
            advance(&mut state.positions, &staged.manifest);
            state.first = sequence + 1;
            self.slots.save(&state)?;
            self.state = state;
        }
        self.pending.remove(sequence)
    }
}

impl Staged {
    /// Identity of the segment.
    pub fn id(&self) -> &SegmentId {
        &self.id
    }

    /// Number of the segment; grows over epochs too.
    pub fn sequence(&self) -> u64 {
        self.manifest.sequence
    }

    /// What the segment holds.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The two objects as they are put: data and manifest. The same bytes at every try.
    pub(crate) fn read(&self) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
        let attempt = || format!("read staged segment {}", self.data.display());
        let data = fs::read(&self.data).map_err(|cause| StoreError::Io { attempt: attempt(), cause })?;
        let manifest =
            self.manifest.to_json().map_err(|e| StoreError::Io { attempt: attempt(), cause: e.into() })?;
        Ok((data, manifest))
    }
}

/// Compares what the state says with what is staged. On any doubt the positions fall back to what is known to be
/// delivered: lines that are read again are dropped by readers, lines that are skipped are gone.
fn settle(loaded: Loaded, recovered: &mut Recovered, collector: &str) -> (Positions, u64) {
    let (state, damage) = match loaded {
        Loaded::Nothing => (None, None),
        Loaded::Whole(state) => (Some(state), None),
        Loaded::Damaged { state, reason } => (state, Some(reason)),
    };
    let empty = recovered.pending.is_empty() && recovered.quarantined.is_empty();
    let known = state.is_some();
    let state = state.unwrap_or_default();
    let live = recovered.pending.iter().map(Staged::sequence).filter(|sequence| *sequence >= state.first);
    let hole = live.zip(state.first..).find(|(found, wanted)| found != wanted).map(|(_, wanted)| wanted);
    let last = recovered
        .pending
        .iter()
        .map(Staged::sequence)
        .chain(recovered.quarantined.iter().map(|q| q.sequence));
    let next = last.max().map_or(state.first, |last| state.first.max(last + 1));
    recovered.state = if let Some(reason) = damage {
        State::Lost { reason }
    } else if !known && empty {
        State::First
    } else if !known {
        State::Lost { reason: "the positions file is gone, staged segments are there".to_owned() }
    } else if let Some(q) = recovered.quarantined.first() {
        State::Lost { reason: format!("segment {}: {}; moved to {}", q.sequence, q.reason, q.path.display()) }
    } else if let Some(hole) = hole {
        State::Lost { reason: format!("segment {hole} was staged and is gone") }
    } else if state.collector != collector {
        State::Lost { reason: format!("the spool was written by collector {:?}", state.collector) }
    } else {
        State::Kept
    };
    (state, next)
}

fn advance(positions: &mut BTreeMap<String, u64>, manifest: &Manifest) {
    for (stream, part) in &manifest.contents.streams {
        let Some(end) = part.ranges.end() else { continue };
        match positions.get_mut(stream) {
            Some(position) => *position = end.max(*position),
            None => drop(positions.insert(stream.clone(), end)),
        }
    }
}

fn lock(directory: &Path) -> Result<File, SpoolError> {
    let path = directory.join("lock");
    let attempt = || format!("lock spool {}", directory.display());
    let failed = |cause| SpoolError::Io { attempt: attempt(), cause };
    fs::create_dir_all(directory).map_err(failed)?;
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => fs::write(&path, std::process::id().to_string()).map_err(failed)?,
        Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        Err(TryLockError::WouldBlock) => {
            let pid = fs::read_to_string(&path).unwrap_or_else(|_| "of unknown id".to_owned());
            return Err(SpoolError::Locked { path: directory.to_owned(), pid });
        }
    }
    Ok(file)
}
