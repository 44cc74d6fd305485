//! How far each stream is delivered, in two files that are written in turn: one is always whole.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::SpoolError;
use super::pending::{sync, write_whole};
use crate::key::sha256_hex;

/// First word of the file; then format version and SHA-256 of what follows the line.
const MAGIC: &str = "headroom-spool";
const VERSION: u32 = 1;

/// What must outlive a segment's bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Positions {
    /// Grows by one a write.
    pub(super) generation: u64,
    /// Whose spool this is.
    pub(super) collector: String,
    /// The epoch of new segments.
    pub(super) epoch: String,
    /// Staged segments from this one on move the positions; older ones were delivered or are not relied upon.
    pub(super) first: u64,
    /// By stream: everything below is delivered.
    pub(super) positions: BTreeMap<String, u64>,
}

/// What the two files say.
pub(super) enum Loaded {
    /// Neither is there.
    Nothing,
    /// The newest is whole, and so is the one before it.
    Whole(Positions),
    /// One is gone or damaged; it may have been the newest.
    Damaged { state: Option<Positions>, reason: String },
}

/// The two files.
#[derive(Debug)]
pub(super) struct Slots {
    directory: PathBuf,
    generation: u64,
}

enum Slot {
    Absent,
    Whole(Positions),
    Damaged(String),
}

impl Slots {
    pub(super) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), generation: 0 }
    }

    /// Reads both. A damaged file is kept beside itself, its name ending in `.damaged`.
    pub(super) fn load(&mut self) -> Result<Loaded, SpoolError> {
        let (even, odd) = (self.read(0)?, self.read(1)?);
        let mut reasons = Vec::new();
        let mut whole = Vec::new();
        for slot in [even, odd] {
            match slot {
                Slot::Absent => {}
                Slot::Whole(state) => whole.push(state),
                Slot::Damaged(reason) => reasons.push(reason),
            }
        }
        whole.sort_unstable_by_key(|state| state.generation);
        let newest = whole.pop();
        self.generation = newest.as_ref().map_or(0, |state| state.generation);
        let before = whole.pop().map_or(0, |state| state.generation);
        if before + 1 != self.generation && newest.is_some() && reasons.is_empty() {
            reasons.push(format!("{}: one of the two positions files is gone", self.directory.display()));
        }
        Ok(match (newest, reasons.is_empty()) {
            (None, true) => Loaded::Nothing,
            (Some(state), true) => Loaded::Whole(state),
            (state, false) => Loaded::Damaged { state, reason: reasons.join("; ") },
        })
    }

    /// Writes over the older file. On an error the newer one still holds.
    pub(super) fn save(&mut self, state: &Positions) -> Result<(), SpoolError> {
        let generation = self.generation + 1;
        let path = self.path(generation);
        let write = || -> io::Result<()> {
            let mut json = serde_json::to_vec(&Positions { generation, ..state.clone() })?;
            json.push(b'\n');
            let header = format!("{MAGIC} {VERSION} {}\n", sha256_hex(&json));
            write_whole(&path, &[header.as_bytes(), &json].concat())?;
            sync(&self.directory)
        };
        write().map_err(|cause| SpoolError::Io { attempt: format!("write {}", path.display()), cause })?;
        self.generation = generation;
        Ok(())
    }

    fn path(&self, generation: u64) -> PathBuf {
        self.directory.join(if generation.is_multiple_of(2) { "positions.0" } else { "positions.1" })
    }

    fn read(&self, slot: u64) -> Result<Slot, SpoolError> {
        let path = self.path(slot);
        let failed = |cause| SpoolError::Io { attempt: format!("read {}", path.display()), cause };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Slot::Absent),
            Err(e) => return Err(failed(e)),
        };
        match parse(&bytes) {
            Ok((VERSION, Some(state))) => Ok(Slot::Whole(state)),
            Ok((VERSION, None)) => self.keep_damaged(&path, "not the expected fields").map_err(failed),
            Ok((found, _)) => Err(SpoolError::Version { path, found }),
            Err(reason) => self.keep_damaged(&path, reason).map_err(failed),
        }
    }

    fn keep_damaged(&self, path: &Path, reason: &str) -> io::Result<Slot> {
        let kept = path.with_extension(format!("{}.damaged", path.extension().unwrap_or_default().display()));
        fs::rename(path, &kept)?;
        Ok(Slot::Damaged(format!("{}: {reason}; kept as {}", path.display(), kept.display())))
    }
}

/// The version, and the state if the version is ours. The error says what is damaged.
fn parse(bytes: &[u8]) -> Result<(u32, Option<Positions>), &'static str> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("no header")?;
    let (header, json) = (&bytes[..end], &bytes[end + 1..]);
    let words: Vec<&str> = std::str::from_utf8(header).map_err(|_| "no header")?.split(' ').collect();
    let [MAGIC, version, sha256] = words[..] else { return Err("no header") };
    if sha256 != sha256_hex(json) {
        return Err("the checksum does not agree");
    }
    let version = version.parse().map_err(|_| "no version")?;
    Ok((version, serde_json::from_slice(json).ok()))
}
