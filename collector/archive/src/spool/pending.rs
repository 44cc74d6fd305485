//! The staged segments: two files each, written whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{SpoolError, Staged};
use crate::key::{DATA, MANIFEST, SegmentId, sha256_hex};
use crate::manifest::{Manifest, Unreadable};

/// A staged segment that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Its number.
    pub sequence: u64,
    /// What is wrong with it.
    pub reason: String,
    /// The directory that its files were moved to.
    pub path: PathBuf,
}

/// The directory of staged segments.
#[derive(Debug)]
pub(super) struct Pending {
    directory: PathBuf,
    quarantine: PathBuf,
    staged: BTreeMap<u64, Staged>,
}

impl Pending {
    pub(super) fn open(spool: &Path) -> Result<Self, SpoolError> {
        let (directory, quarantine) = (spool.join("pending"), spool.join("quarantine"));
        fs::create_dir_all(&directory)
            .and_then(|()| sync(spool))
            .map_err(|cause| SpoolError::Io { attempt: format!("open {}", directory.display()), cause })?;
        Ok(Self { directory, quarantine, staged: BTreeMap::new() })
    }

    /// Reads what is there. What was half staged or half dropped is removed, what is damaged is moved aside.
    pub(super) fn scan(&mut self) -> Result<(Vec<Staged>, Vec<Quarantined>), SpoolError> {
        let names = self.names().map_err(|cause| self.failed("read", cause))?;
        let mut quarantined = Vec::new();
        for (&sequence, &(data, manifest)) in &names {
            // Invariant: segments are staged and dropped in order, so a crash leaves data alone only at the ends.
            let inside = names.range(..sequence).any(|(_, files)| files.1)
                && names.range(sequence + 1..).any(|(_, files)| files.1);
            if data && !manifest && !inside {
                self.remove_files(sequence).map_err(|cause| self.failed("clear", cause))?;
                continue;
            }
            match self.read(sequence)? {
                Ok(staged) => drop(self.staged.insert(sequence, staged)),
                Err(reason) => quarantined.push(self.set_aside(sequence, reason)?),
            }
        }
        Ok((self.staged.values().cloned().collect(), quarantined))
    }

    pub(super) fn write(
        &mut self,
        id: SegmentId,
        manifest: Manifest,
        bytes: &[u8],
    ) -> Result<Staged, SpoolError> {
        let sequence = id.sequence();
        let data = self.path(sequence, DATA);
        // The manifest comes last: it is what makes the segment count.
        let written = write_whole(&data, bytes)
            .and_then(|()| write_whole(&self.path(sequence, MANIFEST), &manifest.to_json()?))
            .and_then(|()| sync(&self.directory));
        if let Err(cause) = written {
            // Best effort: what stays is overwritten by the next try or found at the next start.
            let _ = self.remove_files(sequence);
            return Err(self.failed("stage a segment in", cause));
        }
        let staged = Staged { id, manifest, data };
        self.staged.insert(sequence, staged.clone());
        Ok(staged)
    }

    pub(super) fn remove(&mut self, sequence: u64) -> Result<(), SpoolError> {
        self.remove_files(sequence).map_err(|cause| self.failed("drop a delivered segment from", cause))?;
        self.staged.remove(&sequence);
        Ok(())
    }

    pub(super) fn oldest(&self) -> Option<u64> {
        self.staged.keys().next().copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Staged> {
        self.staged.values()
    }

    /// By sequence: whether its data and its manifest are there. Half-written files are removed.
    fn names(&self) -> io::Result<BTreeMap<u64, (bool, bool)>> {
        let mut names: BTreeMap<u64, (bool, bool)> = BTreeMap::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let sequence = |ending| name.strip_suffix(ending).and_then(|digits| digits.parse::<u64>().ok());
            if name.ends_with(".tmp") {
                fs::remove_file(entry.path())?;
            } else if let Some(sequence) = sequence(DATA) {
                names.entry(sequence).or_default().0 = true;
            } else if let Some(sequence) = sequence(MANIFEST) {
                names.entry(sequence).or_default().1 = true;
            }
        }
        Ok(names)
    }

    /// The segment, or what is wrong with it.
    fn read(&self, sequence: u64) -> Result<Result<Staged, String>, SpoolError> {
        let path = self.path(sequence, MANIFEST);
        let manifest = match fs::read(&path) {
            Ok(json) => json,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Err("its manifest is gone".to_owned())),
            Err(cause) => return Err(self.failed("read", cause)),
        };
        let manifest = match Manifest::parse(&manifest) {
            Ok(manifest) => manifest,
            Err(Unreadable::Damaged(reason)) => {
                return Ok(Err(format!("its manifest cannot be read: {reason}")));
            }
            Err(Unreadable::Version(found)) => return Err(SpoolError::Version { path, found }),
        };
        let Some(id) =
            manifest.id().ok().filter(|id| id.sequence() == sequence && id.data_key() == manifest.key)
        else {
            return Ok(Err("its manifest names another segment".to_owned()));
        };
        let data = self.path(sequence, DATA);
        match fs::read(&data) {
            Ok(bytes) if sha256_hex(&bytes) == manifest.contents.sha256 => {
                Ok(Ok(Staged { id, manifest, data }))
            }
            Ok(_) => Ok(Err("its data has another checksum than its manifest says".to_owned())),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Err("its data is gone".to_owned())),
            Err(cause) => Err(self.failed("read", cause)),
        }
    }

    fn set_aside(&self, sequence: u64, reason: String) -> Result<Quarantined, SpoolError> {
        let moved = fs::create_dir_all(&self.quarantine).and_then(|()| {
            [MANIFEST, DATA].into_iter().try_for_each(|ending| {
                let name = file_name(sequence, ending);
                unless_missing(fs::rename(self.directory.join(&name), self.quarantine.join(&name)))
            })
        });
        moved.map_err(|cause| self.failed("move a damaged segment out of", cause))?;
        Ok(Quarantined { sequence, reason, path: self.quarantine.clone() })
    }

    /// The manifest goes first: data alone is what [`Pending::scan`] clears.
    fn remove_files(&self, sequence: u64) -> io::Result<()> {
        unless_missing(fs::remove_file(self.path(sequence, MANIFEST)))?;
        unless_missing(fs::remove_file(self.path(sequence, DATA)))
    }

    fn path(&self, sequence: u64, ending: &str) -> PathBuf {
        self.directory.join(file_name(sequence, ending))
    }

    fn failed(&self, verb: &str, cause: io::Error) -> SpoolError {
        SpoolError::Io { attempt: format!("{verb} {}", self.directory.display()), cause }
    }
}

/// Writes a file beside its place, makes it durable, and moves it there. The caller syncs the directory.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_added_extension("tmp");
    // A new file each time: after a failed fsync the old one may say that it is durable and not be.
    unless_missing(fs::remove_file(&beside))?;
    let mut file = File::create_new(&beside)?;
    let written =
        file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

pub(super) fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn file_name(sequence: u64, ending: &str) -> String {
    format!("{sequence:020}{ending}")
}

fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|e| if e.kind() == ErrorKind::NotFound { Ok(()) } else { Err(e) })
}
