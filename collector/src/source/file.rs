//! The `file` source: plain log files by path pattern, rotated and gzipped ones too.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use settings::Table;

use super::content::Look;
use super::discovery::{Found, Scan};
use super::glob::Pattern;
use super::{DEFAULT_MAX_LINE_BYTES, DEFAULT_SCAN_INTERVAL, ReadFrom};
use crate::identity::Inode;

/// Settings of the `file` source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    /// Which paths.
    pub include: Vec<Pattern>,
    /// Which of them not.
    pub exclude: Vec<Pattern>,
    /// Where to begin in files that lie there at the first start.
    pub read_from: ReadFrom,
    /// Longest line in bytes; a longer one goes to the dead-letter store.
    pub max_line_bytes: usize,
    /// How often the directories are walked.
    pub glob_minimum_cooldown: Duration,
}

impl FileConfig {
    /// Defaults for these patterns.
    ///
    /// # Errors
    /// Says which pattern is wrong.
    pub fn new(include: &[String]) -> Result<Self, String> {
        let include = include.iter().map(|text| Pattern::new(text)).collect::<Result<_, _>>()?;
        Ok(Self {
            include,
            exclude: Vec::new(),
            read_from: ReadFrom::Beginning,
            max_line_bytes: DEFAULT_MAX_LINE_BYTES,
            glob_minimum_cooldown: DEFAULT_SCAN_INTERVAL,
        })
    }

    pub(super) fn prove(table: &mut Table<'_>) -> Self {
        let include = table.required_strings("include");
        let exclude = table.strings("exclude");
        Self {
            include: patterns(table, "include", &include),
            exclude: patterns(table, "exclude", &exclude),
            read_from: ReadFrom::prove(table),
            max_line_bytes: super::prove_max_line_bytes(table),
            glob_minimum_cooldown: super::prove_interval(table, "glob_minimum_cooldown_ms"),
        }
    }

    pub(super) fn scan(&self) -> Scan {
        let mut paths = BTreeSet::new();
        for pattern in &self.include {
            pattern.walk(&mut |path| {
                paths.insert(path);
            });
        }
        let mut scan = Scan::default();
        for path in paths {
            if self.exclude.iter().any(|pattern| pattern.matches(&path)) {
                continue;
            }
            // A link to a file is followed: `/var/log/containers` consists of links.
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_file() => scan.found.push(found(path, &metadata)),
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => scan.refused.push((path, "not a regular file".into())),
                // It went away since the walk.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => scan.refused.push((path, error.to_string())),
            }
        }
        scan
    }
}

/// Opens a file; a FIFO that took its place does not block.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

fn found(path: PathBuf, metadata: &fs::Metadata) -> Found {
    Found {
        group: path.display().to_string(),
        inode: Inode { dev: metadata.dev(), ino: metadata.ino() },
        look: Look::of(metadata),
        pod: None,
        complete: false,
        path,
    }
}

fn patterns(table: &Table<'_>, key: &str, texts: &[String]) -> Vec<Pattern> {
    let prove = |text: &String| Pattern::new(text).map_err(|why| table.problem(key, why)).ok();
    texts.iter().filter_map(prove).collect()
}
