//! The checkpoint file: who this collector is, which streams it knows, and how far each sink has come in each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::durable;
use crate::event::StreamId;
use crate::identity::{self, Fingerprint, Inode};
use crate::source::chunk::Positions;

/// Version of the checkpoint file's format.
const FORMAT: u64 = 1;

/// A stream whose file was not seen for so long is forgotten: 30 days, in milliseconds.
const FORGET_AFTER_MS: i64 = 30 * 24 * 3600 * 1000;

/// Why the data directory cannot be used.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// Another collector is using it.
    #[error(
        "the data directory {dir} is in use by another collector (pid {pid}); stop it or set another data_dir"
    )]
    Locked {
        /// The directory.
        dir: String,
        /// Process id of the other one, as it wrote it.
        pid: String,
    },
    /// A newer collector wrote it.
    #[error(
        "{file} has format version {found}, this collector reads up to {FORMAT}; start the newer collector, or move the file away to read all logs again"
    )]
    Future {
        /// The checkpoint file.
        file: String,
        /// The version in the file.
        found: u64,
    },
    /// The disk failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// With which file.
        path: String,
        /// Why not.
        source: io::Error,
    },
}

/// The checkpoint file of a data directory, which is locked as long as this lives.
#[derive(Debug)]
pub struct Checkpoints {
    path: PathBuf,
    _lock: File,
    state: Mutex<State>,
}

/// What is known of a stream besides its positions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Name of the source that reads it.
    #[serde(default)]
    pub source: String,
    /// What its first line hashes to; its identity too, unless another stream had the same first line before.
    pub base: String,
    /// Where it was seen last.
    pub path: String,
    /// Its file, where it was seen last.
    pub inode: Option<Inode>,
    /// What was read of it.
    pub fingerprint: Fingerprint,
    /// When its file was seen last, in milliseconds since 1970.
    pub seen_ms: i64,
}

#[derive(Debug)]
struct State {
    saved: Saved,
    dirty: bool,
    /// The file can be read: it becomes the previous copy. A damaged one must not replace a good copy.
    readable: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Saved {
    version: u64,
    collector: String,
    epoch: String,
    streams: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    known: Known,
    positions: BTreeMap<String, u64>,
}

enum Load {
    Good(Saved),
    Absent,
    Bad(String),
}

impl Checkpoints {
    /// Locks a data directory and reads its checkpoint file, or the previous copy where that is damaged. A directory
    /// without either gets a new collector id and epoch.
    ///
    /// # Errors
    /// Another collector uses the directory, a newer one wrote it, or the disk failed.
    pub fn open(data_dir: &Path) -> Result<Self, CheckpointError> {
        fs::create_dir_all(data_dir)
            .map_err(|source| failed("create the data directory", data_dir, source))?;
        let lock = lock(data_dir)?;
        let path = data_dir.join("checkpoints.json");
        let (saved, readable) = load(&path)?;
        let state = Mutex::new(State { saved, dirty: true, readable });
        let checkpoints = Self { path, _lock: lock, state };
        checkpoints.save()?;
        Ok(checkpoints)
    }

    /// Who this collector is, as long as its data directory lives.
    pub fn collector(&self) -> String {
        self.state().saved.collector.clone()
    }

    /// New whenever the local state was lost.
    pub fn epoch(&self) -> String {
        self.state().saved.epoch.clone()
    }

    /// Every stream that a source knows.
    pub fn streams(&self, source: &str) -> BTreeMap<StreamId, Known> {
        let state = self.state();
        let known = state.saved.streams.iter().filter(|(_, entry)| entry.known.source == source);
        known.map(|(id, entry)| (id.as_str().into(), entry.known.clone())).collect()
    }

    /// How far a sink has come.
    pub fn positions(&self, sink: &str) -> Positions {
        let state = self.state();
        let position = |entry: &Entry| entry.positions.get(sink).copied();
        state.saved.streams.iter().filter_map(|(id, e)| Some((id.as_str().into(), position(e)?))).collect()
    }

    /// How far a sink has come in one stream.
    pub fn position(&self, sink: &str, stream: &str) -> Option<u64> {
        self.state().saved.streams.get(stream)?.positions.get(sink).copied()
    }

    /// Remembers what is known of a stream.
    pub fn learn(&self, id: &StreamId, known: Known) {
        let mut state = self.state();
        state.saved.streams.entry(id.to_string()).or_default().known = known;
        state.dirty = true;
    }

    /// Remembers that a sink has come so far; only after what lies below is delivered.
    pub fn advance(&self, sink: &str, positions: &Positions) {
        let mut state = self.state();
        for (id, &position) in positions {
            state
                .saved
                .streams
                .entry(id.to_string())
                .or_default()
                .positions
                .insert(sink.to_owned(), position);
        }
        state.dirty = true;
    }

    /// Sets a sink's positions to what the sink itself says.
    pub fn correct(&self, sink: &str, positions: &Positions) {
        let mut state = self.state();
        for entry in state.saved.streams.values_mut() {
            entry.positions.remove(sink);
        }
        drop(state);
        self.advance(sink, positions);
    }

    /// Forgets streams whose files were not seen for long, but for those that something else still holds.
    pub fn forget(&self, now_ms: i64, held: &BTreeSet<StreamId>) {
        let mut state = self.state();
        for entry in state.saved.streams.values_mut().filter(|entry| entry.known.seen_ms == 0) {
            entry.known.seen_ms = now_ms;
        }
        let kept = |id: &String, entry: &Entry| {
            entry.known.seen_ms > now_ms - FORGET_AFTER_MS || held.contains(id.as_str())
        };
        state.saved.streams.retain(|id, entry| kept(id, entry));
        state.dirty = true;
    }

    /// Writes the file if anything changed; the copy before it is kept as `checkpoints.json.1`.
    ///
    /// # Errors
    /// The disk failed.
    pub fn save(&self) -> Result<(), CheckpointError> {
        let mut state = self.state();
        if !state.dirty {
            return Ok(());
        }
        let json = serde_json::to_vec(&state.saved)
            .map_err(|error| failed("encode", &self.path, io::Error::other(error)))?;
        if state.readable {
            keep_copy(&self.path).map_err(|source| failed("keep a copy of", &self.path, source))?;
        }
        durable::replace(&self.path, &json).map_err(|source| failed("write", &self.path, source))?;
        state.dirty = false;
        state.readable = true;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file becomes the previous copy too, under both names until it is replaced.
fn keep_copy(path: &Path) -> io::Result<()> {
    let previous = previous(path);
    let draft = previous.with_extension("tmp1");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match fs::hard_link(path, &draft) {
        Ok(()) => fs::rename(&draft, &previous),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn lock(data_dir: &Path) -> Result<File, CheckpointError> {
    let path = data_dir.join("lock");
    let file = File::options()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(|source| failed("open", &path, source))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = fs::read_to_string(&path).unwrap_or_default().trim().to_owned();
            return Err(CheckpointError::Locked { dir: data_dir.display().to_string(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(failed("lock", &path, source)),
    }
    let write = || -> io::Result<()> {
        file.set_len(0)?;
        std::os::unix::fs::FileExt::write_all_at(&file, std::process::id().to_string().as_bytes(), 0)
    };
    write().map_err(|source| failed("write", &path, source))?;
    Ok(file)
}

/// What was saved, and whether the file itself could be read.
fn load(path: &Path) -> Result<(Saved, bool), CheckpointError> {
    let previous = previous(path);
    let reason = match read(path)? {
        Load::Good(saved) => return Ok((saved, true)),
        Load::Absent => None,
        Load::Bad(reason) => Some(reason),
    };
    if let Load::Good(saved) = read(&previous)? {
        let reason = reason.unwrap_or_else(|| "it is missing".into());
        tracing::warn!(file = %path.display(), %reason, copy = %previous.display(),
            "the checkpoint file cannot be read; going on from its previous copy, some lines may be read again");
        return Ok((saved, false));
    }
    if let Some(reason) = reason {
        tracing::warn!(file = %path.display(), %reason,
            "neither the checkpoint file nor its previous copy can be read; starting anew with all logs");
        let _ = fs::rename(path, path.with_extension("json.damaged"));
    }
    let random = || identity::random().map_err(|source| failed("read", Path::new("/dev/urandom"), source));
    let saved = Saved { version: FORMAT, collector: random()?, epoch: random()?, streams: BTreeMap::new() };
    Ok((saved, false))
}

fn read(path: &Path) -> Result<Load, CheckpointError> {
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Load::Absent),
        Err(source) => return Err(failed("read", path, source)),
    };
    match serde_json::from_slice::<Version>(&bytes) {
        Ok(Version { version }) if version > FORMAT => {
            return Err(CheckpointError::Future { file: path.display().to_string(), found: version });
        }
        Ok(_) => {}
        Err(error) => return Ok(Load::Bad(error.to_string())),
    }
    Ok(serde_json::from_slice(&bytes).map_or_else(|error| Load::Bad(error.to_string()), Load::Good))
}

fn previous(path: &Path) -> PathBuf {
    path.with_extension("json.1")
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::Io { action, path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(at: u64) -> Positions {
        Positions::from([("s".into(), at)])
    }

    #[test]
    fn what_was_saved_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let first = Checkpoints::open(dir.path()).unwrap();
        first.advance("console", &positions(7));
        first.save().unwrap();
        let (collector, epoch) = (first.collector(), first.epoch());
        drop(first);
        let second = Checkpoints::open(dir.path()).unwrap();
        assert_eq!((second.collector(), second.epoch()), (collector, epoch));
        assert_eq!(second.positions("console"), positions(7));
        assert_eq!(second.positions("other"), Positions::new());
    }

    #[test]
    fn a_damaged_file_falls_back_to_the_previous_copy() {
        for damage in ["", "{", "\0\0\0\0", "[]", "{\"version\":1}"] {
            let dir = tempfile::tempdir().unwrap();
            let first = Checkpoints::open(dir.path()).unwrap();
            for at in [7, 9] {
                first.advance("console", &positions(at));
                first.save().unwrap();
            }
            let epoch = first.epoch();
            drop(first);
            fs::write(dir.path().join("checkpoints.json"), damage).unwrap();
            let second = Checkpoints::open(dir.path()).unwrap();
            assert_eq!((second.positions("console"), second.epoch()), (positions(7), epoch), "{damage:?}");
        }
    }

    #[test]
    fn without_a_readable_copy_the_epoch_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let first = Checkpoints::open(dir.path()).unwrap().epoch();
        for name in ["checkpoints.json", "checkpoints.json.1"] {
            fs::write(dir.path().join(name), "garbage").unwrap();
        }
        assert_ne!(Checkpoints::open(dir.path()).unwrap().epoch(), first);
    }

    #[test]
    fn a_future_format_is_refused_by_its_version() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("checkpoints.json"), "{\"version\":9,\"else\":1}").unwrap();
        let error = Checkpoints::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("format version 9"), "{error}");
    }

    #[test]
    fn a_second_collector_is_refused_with_the_pid_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Checkpoints::open(dir.path()).unwrap();
        let error = Checkpoints::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
    }
}
