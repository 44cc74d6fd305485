//! What the cluster says of the pods whose logs are read: who is left out, and what their events have.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::Tails;
use crate::cluster::{Cluster, Exclusion};
use crate::event::{Stream, StreamId};
use crate::identity::Inode;

/// What is left out.
#[derive(Default)]
pub(super) struct Excluded {
    /// Files, at the last look at them.
    files: usize,
    /// Who says so of files that were seen; pods may come and go meanwhile.
    by: BTreeSet<Exclusion>,
    /// Who began or ceased to say so since somebody asked.
    news: Vec<(Exclusion, bool)>,
}

impl Tails {
    /// What is known of the pods, where the API server is asked.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.discovery.cluster()
    }

    /// How many files are left out.
    pub fn excluded_files(&self) -> usize {
        self.excluded.files
    }

    /// Who began to have files left out (`true`), or ceased to, since the last call.
    pub fn take_exclusions(&mut self) -> Vec<(Exclusion, bool)> {
        std::mem::take(&mut self.excluded.news)
    }

    /// Closes what is open of the pods that are left out. Positions stay: if they come back, they are read on from there.
    pub(super) fn let_go(&mut self, excluded: Vec<(PathBuf, Exclusion)>) {
        let Some(cluster) = self.discovery.cluster() else { return };
        self.excluded.files = excluded.len();
        let ceased: Vec<Exclusion> =
            self.excluded.by.iter().filter(|by| !cluster.says(by)).cloned().collect();
        for by in ceased {
            self.excluded.by.remove(&by);
            self.excluded.news.push((by, false));
        }
        for (_, by) in excluded {
            if self.excluded.by.insert(by.clone()) {
                self.excluded.news.push((by, true));
            }
        }
        // Also those whose files have no name any more.
        let left_out: Vec<Inode> = self
            .files
            .iter()
            .filter(|(_, entry)| self.discovery.exclusion(entry.found.pod.as_ref()).is_some())
            .map(|(inode, _)| *inode)
            .collect();
        for inode in left_out {
            self.forget_file(inode);
        }
    }

    /// Whether a stream's pod is left out.
    pub(super) fn is_excluded(&self, id: &StreamId) -> bool {
        self.known.get(id).is_some_and(|known| self.discovery.excludes(&known.path))
    }

    /// Gives streams what has become known of their pods. Events that were read keep what was known then.
    pub(super) fn describe(&mut self) {
        let Some(cluster) = self.discovery.cluster() else { return };
        let changes = cluster.changes();
        if changes == std::mem::replace(&mut self.described, changes) {
            return;
        }
        for tail in self.tails.values_mut() {
            let metadata = self.discovery.metadata(tail.stream.pod.as_ref());
            if metadata != tail.stream.metadata {
                tail.stream = Arc::new(Stream { metadata, ..Stream::clone(&tail.stream) });
            }
        }
    }
}
