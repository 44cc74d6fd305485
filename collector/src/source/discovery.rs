//! Which log files there are at the moment, in reading order, and how to open one without being led astray.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::Look;
use super::file::FileConfig;
use super::kubernetes_logs::KubernetesLogsConfig;
use crate::cluster::{Cluster, Exclusion};
use crate::event::{Metadata, Pod};
use crate::identity::Inode;

/// A source's way to its files.
#[derive(Clone, Debug)]
pub enum Discovery {
    /// Patterns of paths.
    File(FileConfig),
    /// The tree that the kubelet keeps, and what is known of its pods where the API server is asked.
    KubernetesLogs(KubernetesLogsConfig, Option<Cluster>),
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
    /// The files that were left out because somebody says so.
    pub excluded: Vec<(PathBuf, Exclusion)>,
}

impl Discovery {
    /// Walks the directories.
    pub fn scan(&self) -> Scan {
        let mut scan = match self {
            Self::File(config) => config.scan(),
            Self::KubernetesLogs(config, _) => config.scan(),
        };
        // Two names of one file (links) are one file.
        let mut seen = BTreeMap::new();
        scan.found.retain(|found| seen.insert(found.inode, ()).is_none());
        if self.cluster().is_some() {
            for found in std::mem::take(&mut scan.found) {
                match self.exclusion(found.pod.as_ref()) {
                    Some(exclusion) => scan.excluded.push((found.path, exclusion)),
                    None => scan.found.push(found),
                }
            }
        }
        scan
    }

    /// What is known of the pods.
    pub fn cluster(&self) -> Option<&Cluster> {
        match self {
            Self::File(_) => None,
            Self::KubernetesLogs(_, cluster) => cluster.as_ref(),
        }
    }

    /// What is known of a pod now, for its events.
    pub fn metadata(&self, pod: Option<&Pod>) -> Option<Arc<Metadata>> {
        Some(Arc::new(self.cluster()?.metadata(pod?)))
    }

    /// Whether a pod's files are left out, and who says so.
    pub fn exclusion(&self, pod: Option<&Pod>) -> Option<Exclusion> {
        self.cluster()?.exclusion(pod?)
    }

    /// The same of the pod that a path leads to.
    pub fn excludes(&self, path: &str) -> bool {
        match self {
            Self::KubernetesLogs(config, Some(cluster)) => {
                config.pod_of(Path::new(path)).is_some_and(|pod| cluster.exclusion(&pod).is_some())
            }
            Self::File(_) | Self::KubernetesLogs(_, None) => false,
        }
    }

    /// Opens a file that was found.
    ///
    /// # Errors
    /// It cannot be opened, or something else lies there now.
    pub fn open(&self, found: &Found) -> io::Result<File> {
        match self {
            Self::File(_) => super::file::open(&found.path),
            Self::KubernetesLogs(config, _) => config.open(&found.path),
        }
    }
}
