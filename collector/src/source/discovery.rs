//! Which log files there are at the moment, in reading order, and how to open one without being led astray.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use super::content::Look;
use super::file::FileConfig;
use super::kubernetes_logs::KubernetesLogsConfig;
use crate::event::Pod;
use crate::identity::Inode;

/// A source's way to its files.
#[derive(Clone, Debug)]
pub enum Discovery {
    /// Patterns of paths.
    File(FileConfig),
    /// The tree that the kubelet keeps.
    KubernetesLogs(KubernetesLogsConfig),
}

/// A file that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where.
    pub path: PathBuf,
    /// Which file it is.
    pub inode: Inode,
    /// Its size and time.
    pub look: Look,
    /// The pod that writes it.
    pub pod: Option<Pod>,
    /// Files of one group are read one after the other: the generations of one container's log.
    pub group: String,
    /// A later generation holds something: nobody writes to this one any more.
    pub complete: bool,
}

/// What a walk found.
#[derive(Debug, Default)]
pub struct Scan {
    /// The files, each group's oldest generation first.
    pub found: Vec<Found>,
    /// What is no log file, with the reason.
    pub refused: Vec<(PathBuf, String)>,
}

impl Discovery {
    /// Walks the directories.
    pub fn scan(&self) -> Scan {
        let mut scan = match self {
            Self::File(config) => config.scan(),
            Self::KubernetesLogs(config) => config.scan(),
        };
        // Two names of one file (links) are one file.
        let mut seen = BTreeMap::new();
        scan.found.retain(|found| seen.insert(found.inode, ()).is_none());
        scan
    }

    /// Opens a file that was found.
    ///
    /// # Errors
    /// It cannot be opened, or something else lies there now.
    pub fn open(&self, found: &Found) -> io::Result<File> {
        match self {
            Self::File(_) => super::file::open(&found.path),
            Self::KubernetesLogs(config) => config.open(&found.path),
        }
    }
}
