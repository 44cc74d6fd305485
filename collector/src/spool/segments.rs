//! The segments of one spool on disk: appended to with a sync each, read back, dropped from the front.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::SpoolError;
use super::format::{self, HEADER_BYTES, Header, RECORD_BYTES, Record};
use crate::durable::sync_directory;
use crate::identity;

/// Damaged parts that are kept for people to look at.
const QUARANTINED: usize = 64;

/// The segments, oldest first.
#[derive(Debug)]
pub(super) struct Segments {
    dir: PathBuf,
    /// A segment that holds so many bytes is closed.
    limit: u64,
    segments: VecDeque<Segment>,
    /// The newest segment, if records are still appended to it.
    open: Option<File>,
    next: u64,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    salt: u64,
    bytes: u64,
    slots: VecDeque<Slot>,
}

/// Where a record lies.
#[derive(Clone, Copy, Debug)]
struct Slot {
    at: u64,
    record: Record,
}

/// A part of a segment that could not be read.
#[derive(Clone, Debug)]
pub(crate) struct Damaged {
    /// The segment.
    pub(crate) path: PathBuf,
    /// Offset in the segment.
    pub(crate) at: u64,
    /// What is wrong.
    pub(crate) reason: &'static str,
    /// How many lines it held, at least.
    pub(crate) lines: u64,
}

impl Segments {
    /// Opens a directory and reads all that is in it; `good` is told each record with its payload, in order.
    pub(super) fn open(
        dir: &Path,
        limit: u64,
        mut good: impl FnMut(Record, &[u8]),
    ) -> Result<(Self, Vec<Damaged>), SpoolError> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |source| SpoolError::Io { path, source }
        };
        let mut segments =
            Self { dir: dir.to_owned(), limit, segments: VecDeque::new(), open: None, next: 0 };
        let mut damaged = Vec::new();
        for (first, salt, path) in list(dir).map_err(failed(dir))? {
            segments.next = segments.next.max(first);
            let bytes = fs::read(&path).map_err(failed(&path))?;
            if let Header::Future(found) = format::read_header(&bytes) {
                return Err(SpoolError::Future { path: path.display().to_string(), found });
            }
            let segment = segments.read_in(path, salt, &bytes, &mut good, &mut damaged);
            match segment.slots.is_empty() {
                true => fs::remove_file(&segment.path).map_err(failed(&segment.path))?,
                false => segments.segments.push_back(segment),
            }
        }
        Ok((segments, damaged))
    }

    fn read_in(
        &mut self,
        path: PathBuf,
        salt: u64,
        bytes: &[u8],
        good: &mut impl FnMut(Record, &[u8]),
        damaged: &mut Vec<Damaged>,
    ) -> Segment {
        let mut segment = Segment { path, salt, bytes: bytes.len() as u64, slots: VecDeque::new() };
        let mut bad = |at: usize, end: usize, reason, lines: Option<u32>| {
            quarantine(&self.dir, &segment.path, at, &bytes[at..end]);
            let lines = u64::from(lines.unwrap_or(1).max(1));
            damaged.push(Damaged { path: segment.path.clone(), at: at as u64, reason, lines });
        };
        // What stands behind a bad header is read all the same: records prove themselves.
        if !bytes.is_empty() && format::read_header(bytes) == Header::Bad {
            bad(0, HEADER_BYTES.min(bytes.len()), "the segment's header is damaged", None);
        }
        for part in format::scan(bytes, salt) {
            match part.content {
                Ok(record) => {
                    good(record, &bytes[part.start + RECORD_BYTES..part.end]);
                    segment.slots.push_back(Slot { at: part.start as u64, record });
                    self.next = self.next.max(record.sequence + 1);
                }
                Err(damage) => bad(part.start, part.end, damage.reason, damage.lines),
            }
        }
        segment
    }

    /// Bytes that a record of this payload adds.
    pub(super) fn cost(payload: &[u8]) -> u64 {
        (RECORD_BYTES + payload.len()) as u64
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Appends a record; it is on disk when this returns, with its number.
    ///
    /// # Errors
    /// The disk failed. The record does not count and nothing is appended to its segment any more: a failed sync says
    /// nothing of what is on the disk.
    pub(super) fn append(&mut self, payload: &[u8], lines: u32) -> io::Result<u64> {
        let full = |segment: &Segment| segment.bytes + Self::cost(payload) > self.limit;
        if self.segments.back().is_none_or(|segment| full(segment) && !segment.slots.is_empty()) {
            self.open = None;
        }
        let file = match self.open.take() {
            Some(file) => file,
            None => self.start_segment()?,
        };
        let Some(segment) = self.segments.back_mut() else {
            return Err(io::Error::other("the segment is gone"));
        };
        let (sequence, at) = (self.next, segment.bytes);
        self.next += 1;
        let bytes = format::record(segment.salt, sequence, lines, payload);
        if let Err(error) = file.write_all_at(&bytes, at).and_then(|()| file.sync_data()) {
            // Best effort: what stays of it is a record that is not missed, or damage that is told.
            let _ = file.set_len(at);
            if segment.slots.is_empty() {
                let _ = fs::remove_file(&segment.path);
                self.segments.pop_back();
            }
            return Err(error);
        }
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        segment.slots.push_back(Slot { at, record: Record { sequence, lines, length } });
        segment.bytes += bytes.len() as u64;
        self.open = Some(file);
        Ok(sequence)
    }

    fn start_segment(&mut self) -> io::Result<File> {
        if !self.dir.is_dir() {
            fs::create_dir_all(&self.dir)?;
            // A power cut must not take the directory with all that is in it.
            for parent in self.dir.ancestors().skip(1).take(3) {
                sync_directory(parent)?;
            }
        }
        let random = identity::random()?;
        let salt = u64::from_str_radix(&random[..16], 16).map_err(io::Error::other)?;
        let path = self.dir.join(format!("{:020}-{salt:016x}.spool", self.next));
        let file = File::options().write(true).create_new(true).open(&path)?;
        let begin = || {
            file.write_all_at(&format::header(), 0)?;
            file.sync_all()?;
            sync_directory(&self.dir)
        };
        if let Err(error) = begin() {
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        self.segments.push_back(Segment { path, salt, bytes: HEADER_BYTES as u64, slots: VecDeque::new() });
        Ok(file)
    }

    /// The payload of a record.
    ///
    /// # Errors
    /// It cannot be read, or is not what was written; a copy of it is in quarantine then.
    pub(super) fn read(&self, sequence: u64) -> io::Result<Vec<u8>> {
        let found = self.segments.iter().find_map(|segment| {
            let slot = segment.slots.iter().find(|slot| slot.record.sequence == sequence)?;
            Some((segment, *slot))
        });
        let (segment, Slot { at, record }) =
            found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such record"))?;
        let mut bytes = vec![0; HEADER_BYTES + RECORD_BYTES + record.length as usize];
        File::open(&segment.path)?.read_exact_at(&mut bytes[HEADER_BYTES..], at)?;
        match format::scan(&bytes, segment.salt).first().map(|part| part.content) {
            Some(Ok(same)) if same == record => Ok(bytes.split_off(HEADER_BYTES + RECORD_BYTES)),
            _ => {
                quarantine(
                    &self.dir,
                    &segment.path,
                    usize::try_from(at).unwrap_or(0),
                    &bytes[HEADER_BYTES..],
                );
                Err(io::Error::new(io::ErrorKind::InvalidData, "the record is not what was written"))
            }
        }
    }

    /// Whether the oldest segment holds nothing at `from` or behind it.
    pub(super) fn can_drop(&self, from: u64) -> bool {
        let oldest = self.segments.front().and_then(|segment| segment.slots.back());
        oldest.is_some_and(|slot| slot.record.sequence < from)
    }

    /// Deletes every segment that holds nothing at `from` or behind it.
    ///
    /// # Errors
    /// The disk failed.
    pub(super) fn drop_before(&mut self, from: u64) -> io::Result<()> {
        while self.can_drop(from) {
            if let Some(segment) = self.segments.front() {
                match fs::remove_file(&segment.path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            self.segments.pop_front();
            if self.segments.is_empty() {
                self.open = None;
            }
        }
        Ok(())
    }
}

/// First number, salt and path of each segment, oldest first; none if there is no directory yet.
fn list(dir: &Path) -> io::Result<Vec<(u64, u64, PathBuf)>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let parts = name.strip_suffix(".spool").and_then(|name| name.split_once('-'));
        let numbers =
            parts.and_then(|(first, salt)| Some((first.parse().ok()?, u64::from_str_radix(salt, 16).ok()?)));
        if let Some((first, salt)) = numbers {
            found.push((first, salt, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Keeps a copy of damaged bytes as long as there are not too many; that it cannot is no reason to stop.
fn quarantine(dir: &Path, segment: &Path, at: usize, bytes: &[u8]) {
    let dir = dir.join("quarantine");
    let kept = fs::read_dir(&dir).map_or(0, Iterator::count);
    let name = segment.file_stem().and_then(|stem| stem.to_str()).unwrap_or("segment");
    if kept < QUARANTINED && fs::create_dir_all(&dir).is_ok() {
        let _ = fs::write(dir.join(format!("{name}-{at}.bad")), bytes);
    }
}
