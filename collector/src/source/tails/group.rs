//! Reading one group of files: lines become records, records become a chunk.

use std::io;
use std::path::PathBuf;

use super::{FileEntry, State, Tails, open};
use crate::dead_letters::{DeadLetter, DeadLetters};
use crate::event::{Body, Event, Place, Span, StreamId};
use crate::identity::Inode;
use crate::source::chunk::{Chunk, Mark, describe};
use crate::source::cri::{self, Record, Unfit};
use crate::source::lines::{Line, Text};
use crate::source::tail::Tail;

type Failure = (PathBuf, io::Error);

/// What to do with a file of a group.
enum Step {
    /// Nothing is new in it.
    Nothing,
    /// Something was read, or its end was noted.
    Read(Vec<Line>),
    /// It holds something else now.
    Replaced,
}

impl Tails {
    /// Reads the next piece of a group; nothing when all is read.
    pub(super) fn read_group(&mut self, key: &str) -> Result<Option<Chunk>, Failure> {
        let files = self.groups.get(key).map(|group| group.files.clone()).unwrap_or_default();
        for (turn, &inode) in files.iter().enumerate() {
            let Some(FileEntry { found, state: State::Active(id), .. }) = self.files.get(&inode) else {
                continue;
            };
            let (path, id) = (found.path.clone(), id.clone());
            let lines = match self.step(inode, &id).map_err(|error| (path.clone(), error))? {
                Step::Nothing => continue,
                Step::Replaced => {
                    self.replaced(path, &id);
                    self.identify_new();
                    self.find_work();
                    return Ok(Some(Chunk::default()));
                }
                Step::Read(lines) => lines,
            };
            self.take_lines(key, &id, lines);
            self.note_end(key, &id, &files[turn + 1..], inode);
            return self.emit(key).map(Some).map_err(|error| (path, error));
        }
        Ok(None)
    }

    fn step(&mut self, inode: Inode, id: &StreamId) -> io::Result<Step> {
        let (Some(entry), Some(tail)) = (self.files.get(&inode), self.tails.get_mut(id)) else {
            return Ok(Step::Nothing);
        };
        let look = entry.found.look;
        if !tail.is_at_end(look) {
            if !tail.check(|| open(&self.discovery, &entry.found))? {
                return Ok(Step::Replaced);
            }
            let mut lines = Vec::new();
            tail.read(look, &mut lines)?;
            return Ok(Step::Read(lines));
        }
        let whole = (tail.is_gzip() || entry.found.complete || tail.gone) && !tail.is_broken();
        let last = self.draining && entry.found.pod.is_none() && !tail.is_broken();
        let rest = (whole || last) && tail.has_rest();
        if rest || (entry.found.complete || tail.gone) && !tail.ended || !tail.told.start {
            return Ok(Step::Read(if rest { tail.finish().into_iter().collect() } else { Vec::new() }));
        }
        Ok(Step::Nothing)
    }

    fn take_lines(&mut self, key: &str, id: &StreamId, lines: Vec<Line>) {
        let (Some(tail), Some(group)) = (self.tails.get(id), self.groups.get_mut(key)) else { return };
        let (stream, max) = (&tail.stream, self.max_line_bytes);
        for Line { offset, text, .. } in lines {
            let content = match text {
                Text::TooLong { sample, sha256, length } => {
                    let reason = format!("longer than max_line_bytes ({max})");
                    Err(Unfit { reason, sample, length, sha256: Some(sha256) })
                }
                Text::Whole(text) if stream.pod.is_none() => Ok(text),
                Text::Whole(text) => match cri::parse(&text) {
                    Some(cri) => {
                        group.assembler.push(stream, offset, cri, max);
                        continue;
                    }
                    None => Err(Unfit::whole("not a CRI log line", text)),
                },
            };
            group.assembler.push_whole(stream, offset, content);
        }
    }

    /// Notes that a stream is read to its end where nothing can follow, and what that means for an open record.
    fn note_end(&mut self, key: &str, id: &StreamId, later: &[Inode], inode: Inode) {
        let Some(entry) = self.files.get(&inode) else { return };
        let carries = later.iter().any(|inode| match self.files.get(inode).map(|entry| &entry.state) {
            Some(State::Active(next)) => self.tails.get(next).is_some_and(|tail| tail.position() == 0),
            _ => false,
        });
        let (Some(tail), Some(group)) = (self.tails.get_mut(id), self.groups.get_mut(key)) else { return };
        let whole = tail.is_gzip() && entry.found.pod.is_none() && !tail.is_broken();
        if !tail.is_at_end(entry.found.look) || !(entry.found.complete || tail.gone || whole) {
            return;
        }
        if tail.has_rest() && !tail.is_broken() {
            return;
        }
        tail.ended = true;
        if !carries {
            group.assembler.close(self.max_line_bytes);
        }
    }

    /// Makes a chunk of the records that are complete.
    fn emit(&mut self, key: &str) -> io::Result<Chunk> {
        let Some(group) = self.groups.get_mut(key) else { return Ok(Chunk::default()) };
        let records: Vec<Record> = std::iter::from_fn(|| group.assembler.pop(self.max_line_bytes)).collect();
        let mut chunk = Chunk::default();
        let mut held = false;
        for inode in &group.files {
            let Some(State::Active(id)) = self.files.get(inode).map(|entry| &entry.state) else { continue };
            let Some(tail) = self.tails.get_mut(id) else { continue };
            let settled = match group.assembler.oldest() {
                _ if held => tail.settled,
                Some((stream, offset)) if stream.id == *id => {
                    held = true;
                    offset
                }
                _ => tail.position(),
            };
            let marks: Vec<Mark> =
                records.iter().filter(|record| record.stream.id == *id).map(mark).collect();
            if let Some(span) = span(tail, settled, &marks) {
                chunk.batch.spans.push(span);
                chunk.marks.push(marks);
            }
        }
        self.tell(&chunk, &records);
        chunk.batch.events = events(records, &self.dead_letters, &self.identity.rule)?;
        Ok(chunk)
    }

    fn tell(&mut self, chunk: &Chunk, records: &[Record]) {
        for span in &chunk.batch.spans {
            if let Some(reason) = &span.broken {
                let message = format!("delivered what comes before the break: {reason}");
                self.trouble("broken", span.stream.path.clone().into(), message);
            }
        }
        for record in records {
            let Err(unfit) = &record.content else { continue };
            // One warning a stream; the rest is in the count and in the store.
            if self.warned.insert(record.stream.id.clone()) {
                let message =
                    format!("a record at byte {} is dead-lettered: {}", record.offset, unfit.reason);
                self.trouble("dead_lettered", record.stream.path.clone().into(), message);
            }
        }
    }
}

/// The span up to `settled`, if it has news.
fn span(tail: &mut Tail, settled: u64, marks: &[Mark]) -> Option<Span> {
    let ended = tail.ended && settled == tail.position() && !tail.is_broken() && !tail.told.end;
    let broken = tail.news_of_break();
    if settled == tail.settled && !ended && broken.is_none() && tail.told.start {
        return None;
    }
    let mut span = Span {
        stream: tail.stream.clone(),
        start: tail.settled,
        end: settled,
        lines: 0,
        dead_lettered: 0,
        times: None,
        ended,
        broken,
    };
    describe(&mut span, marks);
    tail.settled = settled;
    tail.told.start = true;
    tail.told.end |= ended;
    Some(span)
}

fn mark(record: &Record) -> Mark {
    Mark { offset: record.offset, dead_lettered: record.content.is_err(), time: record.time }
}

fn events(records: Vec<Record>, dead_letters: &DeadLetters, component: &str) -> io::Result<Vec<Event>> {
    let mut events = Vec::with_capacity(records.len());
    for Record { stream, offset, time, stdio, content } in records {
        match content {
            Ok(text) => {
                let place = Place { stream, offset, index: 0 };
                events.push(Event { place, time, stdio, body: Body::Line(text) });
            }
            Err(unfit) => {
                let whole = unfit.sha256.as_deref().map(|sha256| (unfit.length, sha256));
                let letter = DeadLetter::new(&stream, offset, component, &unfit.reason, &unfit.sample, whole);
                dead_letters.keep(&letter)?;
            }
        }
    }
    Ok(events)
}
