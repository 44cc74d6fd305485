//! Streams whose files may be gone soon, and those whose files are gone.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{FileEntry, State, Tails};
use crate::event::StreamId;

/// Files that are held open at most.
const HELD_FILES: usize = 50;

/// A stream that is rotated away, compressed or deleted: what a sink lacks of it must be kept elsewhere.
#[derive(Clone, Debug)]
pub struct Ending {
    /// The stream.
    pub id: StreamId,
    /// Its file has no name any more.
    pub gone: bool,
    /// Everything below was handed on.
    pub handed: u64,
    /// Something of it was not handed on yet: bytes, or that it ended.
    pub rest: bool,
    /// The streams that are read together with it, itself among them, each with the offset where it begins for a sink
    /// that has nothing of it. A record may go on from one to the next.
    pub group: Arc<[(StreamId, u64)]>,
}

/// A part of a stream that no file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The stream.
    pub id: StreamId,
    /// Where its file was seen last.
    pub path: String,
    /// First byte.
    pub from: u64,
    /// Behind the last byte that was read of it before.
    pub to: u64,
}

impl Tails {
    /// The streams whose files may be gone soon.
    pub fn endings(&self) -> Vec<Ending> {
        let mut endings = Vec::new();
        for group in self.groups.values() {
            let mut members: Option<Arc<[(StreamId, u64)]>> = None;
            for inode in &group.files {
                let Some(FileEntry { found, state: State::Active(id), moved, .. }) = self.files.get(inode)
                else {
                    continue;
                };
                let Some(tail) = self.tails.get(id) else { continue };
                let over = found.complete || tail.gone;
                if !(over || tail.packed || *moved) {
                    continue;
                }
                let group = members.get_or_insert_with(|| self.members(&group.files)).clone();
                endings.push(Ending {
                    id: id.clone(),
                    gone: tail.gone,
                    handed: self.handed.get(id).copied().unwrap_or(0),
                    rest: !tail.is_at_end(found.look) || (over && !tail.ended),
                    group,
                });
            }
        }
        endings
    }

    fn members(&self, files: &[crate::identity::Inode]) -> Arc<[(StreamId, u64)]> {
        let active = files.iter().filter_map(|inode| match self.files.get(inode)?.state {
            State::Active(ref id) => Some(id),
            _ => None,
        });
        active.map(|id| (id.clone(), self.floors.get(id).copied().unwrap_or(0))).collect()
    }

    /// Keeps the files of these streams open, also when they are gone, and no others.
    pub fn hold(&mut self, held: BTreeSet<StreamId>) {
        // Open files are few; what is beyond that and deleted is told as missing later.
        let held = held.into_iter().take(HELD_FILES).collect();
        let before = std::mem::replace(&mut self.held, held);
        for id in before.difference(&self.held) {
            if let Some(tail) = self.tails.get_mut(id).filter(|tail| tail.ended && !tail.gone) {
                tail.close();
            }
        }
    }

    /// Goes back to what `position` gives, in every stream that was handed on beyond it. Returns those of them that no
    /// file holds any more.
    pub fn rewind(&mut self, position: impl Fn(&StreamId) -> Option<u64>) -> Vec<Missing> {
        let floor = |id: &StreamId| self.floors.get(id).copied().unwrap_or(0);
        let beyond = |(id, &to): (&StreamId, &u64)| {
            let from = position(id)?.max(floor(id));
            (from < to).then(|| Missing { id: id.clone(), path: String::new(), from, to })
        };
        let mut back: Vec<Missing> = self.handed.iter().filter_map(beyond).collect();
        for Missing { id, from, .. } in &back {
            self.go_back(id, *from);
        }
        self.identify_new();
        self.find_work();
        back.retain(|missing| !self.has(&missing.id));
        for missing in &mut back {
            missing.path = self.known.get(&missing.id).map(|known| known.path.clone()).unwrap_or_default();
        }
        back
    }

    /// How many of `streams` were read from this source and lie in no file that the last scan saw.
    pub fn gone(&self, streams: &BTreeSet<StreamId>) -> usize {
        let is_gone = |id: &&StreamId| self.known.contains_key(*id) && !self.has(id);
        streams.iter().filter(is_gone).count()
    }

    /// Whether a file holds the stream, also one that is left out for now.
    pub fn has(&self, id: &StreamId) -> bool {
        self.tails.contains_key(id) || self.is_excluded(id)
    }

    /// Streams of earlier runs that no file holds, with what was read of them then.
    pub fn unfound(&self) -> Vec<Missing> {
        let failed = |path: &str| {
            let mut files = self.files.values();
            files.any(|entry| {
                matches!(entry.state, State::Failed(_)) && entry.found.path.to_str() == Some(path)
            })
        };
        let known = self
            .known
            .iter()
            .filter(|(id, known)| known.fingerprint.end > 0 && !self.has(id) && !failed(&known.path));
        known
            .map(|(id, known)| Missing {
                id: id.clone(),
                path: known.path.clone(),
                from: 0,
                to: known.fingerprint.end,
            })
            .collect()
    }

    /// Goes back to `position` of a stream: in the file that is open, else in the one that is found to hold it.
    pub(super) fn go_back(&mut self, id: &StreamId, position: u64) {
        self.handed.insert(id.clone(), position);
        let max = self.max_line_bytes;
        if !self.tails.get_mut(id).is_some_and(|tail| tail.go_back(position, max)) {
            self.drop_tail(id);
            return;
        }
        let holds = |entry: &&FileEntry| matches!(&entry.state, State::Active(active) if active == id);
        let group = self.files.values().find(holds).map(|entry| entry.found.group.clone());
        if let Some(group) = group {
            self.reset_assembler(&group);
        }
    }
}
