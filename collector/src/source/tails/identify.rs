//! Finding out which stream a file holds.

use std::io;
use std::sync::Arc;

use super::{FileEntry, ReadFrom, State, Tails};
use crate::checkpoint::Known;
use crate::event::{Stream, StreamId};
use crate::identity::{self, FIRST_LINE_BYTES, Inode};
use crate::source::content::{Content, Match, Relation};
use crate::source::discovery::Found;
use crate::source::tail::Tail;

impl Tails {
    /// Looks at every file that is new or has to be looked at again.
    pub(super) fn identify_new(&mut self) {
        // A file that takes over from another one makes that one new again, hence the loop; the order by inode decides
        // between files that are found at once.
        while let Some(inode) = self.next_new() {
            let Some(found) = self.files.get(&inode).map(|entry| entry.found.clone()) else { return };
            let state = self.identify(&found).unwrap_or_else(|error| State::Failed(error.to_string()));
            if let State::Failed(reason) = &state {
                // The file may be gone already, which is no trouble.
                if found.path.exists() {
                    self.refuse(found.path.clone(), format!("cannot read the file: {reason}"));
                }
            }
            if let Some(entry) = self.files.get_mut(&inode) {
                entry.state = state;
            }
        }
    }

    fn next_new(&self) -> Option<Inode> {
        let new = |(inode, entry): (&Inode, &FileEntry)| {
            (entry.state == State::New && !entry.gone).then_some(*inode)
        };
        self.files.iter().find_map(new)
    }

    fn identify(&mut self, found: &Found) -> io::Result<State> {
        let mut content = self.open(found)?;
        if let Some(id) = self.known_by_inode(found, &mut content)? {
            return self.activate(id, found, content);
        }
        let Some(first_line) = self.first_line(found, &mut content)? else { return Ok(State::Waiting) };
        let base = self.base_id(found, &first_line);
        for id in self.candidates(&base) {
            if let Some(other) = self.active_file(&id) {
                match self.compare(&mut content, &other, &id)? {
                    Some(Relation::Diverged) => continue,
                    Some(Relation::Prefix { first_longer: false }) => return Ok(State::Shadow(id)),
                    Some(Relation::Prefix { first_longer: true }) => {
                        self.drop_tail(&id);
                        if let Some(entry) = self.files.get_mut(&other.inode) {
                            entry.state = State::Shadow(id.clone());
                        }
                        return self.activate(id, found, content);
                    }
                    // It was written anew this very moment.
                    None => self.replaced(other.path, &id),
                }
            }
            match self.resembles(&id, found, &mut content)? {
                Match::Same => return self.activate(id, found, content),
                Match::Shorter => return Ok(State::Shadow(id)),
                Match::Other => {}
            }
        }
        let id = self.fresh_id(base.clone(), found.inode);
        self.known.insert(
            id.clone(),
            Known { source: self.identity.rule.clone(), base: base.to_string(), ..Known::default() },
        );
        if self.read_from == ReadFrom::End && self.first_scan && !self.handed.contains_key(&id) {
            let end = last_line_end(&mut content)?;
            self.handed.insert(id.clone(), end);
            self.floors.insert(id.clone(), end);
        }
        self.activate(id, found, content)
    }

    /// The stream that was read from this very file before, if the file still begins with it.
    fn known_by_inode(&self, found: &Found, content: &mut Content) -> io::Result<Option<StreamId>> {
        let mut candidates: Vec<_> = self
            .known
            .iter()
            .filter(|(id, known)| known.inode == Some(found.inode) && !self.tails.contains_key(*id))
            .filter(|(_, known)| known.fingerprint.end > 0)
            .collect();
        candidates.sort_by_key(|(_, known)| std::cmp::Reverse(known.fingerprint.end));
        for (id, known) in candidates {
            if content.matches(&known.fingerprint)? == Match::Same {
                return Ok(Some(id.clone()));
            }
        }
        Ok(None)
    }

    fn first_line(&self, found: &Found, content: &mut Content) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; 4096];
        loop {
            let count = content.read_at(0, &mut buffer)?;
            if let Some(end) = memchr::memchr(b'\n', &buffer[..count]) {
                buffer.truncate(end);
                return Ok(Some(buffer));
            }
            if count == buffer.len() && count < FIRST_LINE_BYTES {
                buffer.resize(FIRST_LINE_BYTES, 0);
                continue;
            }
            let whole = content.is_gzip() && content.broken().is_none();
            let complete = whole || found.complete || (self.draining && found.pod.is_none());
            buffer.truncate(count);
            let enough = count == FIRST_LINE_BYTES || (complete && content.broken().is_none() && count > 0);
            return Ok(enough.then_some(buffer));
        }
    }

    fn base_id(&self, found: &Found, first_line: &[u8]) -> StreamId {
        match &found.pod {
            Some(pod) => identity::kubernetes(pod, first_line),
            None => identity::file(&self.identity.machine, &self.identity.rule, first_line),
        }
    }

    /// Streams with this first line, the longest first.
    fn candidates(&self, base: &str) -> Vec<StreamId> {
        let end = |id: &StreamId, known: &Known| {
            self.tails
                .get(id)
                .map_or(known.fingerprint.end, |tail| tail.position().max(known.fingerprint.end))
        };
        let mut candidates: Vec<_> = self
            .known
            .iter()
            .filter(|(_, known)| known.base == base)
            .map(|(id, known)| (std::cmp::Reverse(end(id, known)), id.clone()))
            .collect();
        candidates.sort();
        candidates.into_iter().map(|(_, id)| id).collect()
    }

    fn active_file(&self, id: &StreamId) -> Option<Found> {
        let inode = self.tails.get(id)?.inode;
        self.files.get(&inode).map(|entry| entry.found.clone())
    }

    /// How a file relates to the one that a stream is read from; nothing if that one holds something else by now.
    fn compare(&self, content: &mut Content, other: &Found, id: &StreamId) -> io::Result<Option<Relation>> {
        let read = self.tails.get(id).map(Tail::fingerprint).unwrap_or_default();
        let Ok(mut theirs) = self.open(other) else {
            // Its name is gone while it is read to its end: this file's turn comes then.
            return Ok(Some(match content.matches(&read)? {
                Match::Same | Match::Shorter => Relation::Prefix { first_longer: false },
                Match::Other => Relation::Diverged,
            }));
        };
        let relation = content.compare(&mut theirs, 0)?;
        // A broken gzip cannot be compared behind its break, and says so when it is read.
        let intact = theirs.broken().is_some() || theirs.matches(&read)? == Match::Same;
        Ok(intact.then_some(relation))
    }

    fn resembles(&self, id: &StreamId, found: &Found, content: &mut Content) -> io::Result<Match> {
        let Some(known) = self.known.get(id) else { return Ok(Match::Other) };
        Ok(match content.matches(&known.fingerprint)? {
            // The very file that held more before: it was truncated and written anew.
            Match::Shorter if known.inode == Some(found.inode) && content.broken().is_none() => Match::Other,
            relation => relation,
        })
    }

    fn fresh_id(&self, base: StreamId, inode: Inode) -> StreamId {
        if !self.known.contains_key(&base) {
            return base;
        }
        let mut turns = (0..).map(|turn| identity::tie_break(&base, inode, turn));
        turns.find(|id| !self.known.contains_key(id)).unwrap_or(base)
    }

    /// Reads the stream from this file from now on.
    fn activate(&mut self, id: StreamId, found: &Found, content: Content) -> io::Result<State> {
        let position = self.handed.get(&id).copied().unwrap_or(0);
        let path = found.path.display().to_string();
        let (pod, metadata) = (found.pod.clone(), self.discovery.metadata(found.pod.as_ref()));
        let stream = Arc::new(Stream { id: id.clone(), path: path.clone(), pod, metadata });
        let known = self.known.entry(id.clone()).or_default();
        let tail = match Tail::new(stream, content, position, self.max_line_bytes) {
            Ok(tail) => tail,
            // A copy that ends before what was handed on.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(State::Shadow(id)),
            Err(error) => return Err(error),
        };
        known.source.clone_from(&self.identity.rule);
        if let Some(entry) = self.files.get_mut(&found.inode) {
            entry.moved |= !known.path.is_empty() && known.path != path;
        }
        known.path = path;
        known.inode = Some(found.inode);
        self.learned.insert(id.clone());
        self.tails.insert(id.clone(), tail);
        Ok(State::Active(id))
    }
}

/// Offset behind the last complete line.
fn last_line_end(content: &mut Content) -> io::Result<u64> {
    let mut buffer = vec![0; 64 * 1024];
    let (mut offset, mut end) = (0, 0);
    loop {
        let count = content.read_at(offset, &mut buffer)?;
        if let Some(at) = memchr::memrchr(b'\n', &buffer[..count]) {
            end = offset + at as u64 + 1;
        }
        if count < buffer.len() {
            return Ok(end);
        }
        offset += count as u64;
    }
}
