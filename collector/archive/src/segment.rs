//! The segment codec: NDJSON in a zstd frame, with the ranges of every stream that it was read from.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use crate::key::sha256_hex;
use crate::manifest::{Contents, StreamPart};
use crate::record::{self, Line, Record, StreamMeta};

/// zstd's own default: about 300 MB/s and ten to one on access logs.
const LEVEL: i32 = 3;

/// Collects lines into one segment; compresses as it goes, so memory is the compressed size.
pub struct SegmentBuilder {
    encoder: zstd::Encoder<'static, Vec<u8>>,
    scratch: Vec<u8>,
    contents: Contents,
    last: BTreeMap<String, (u64, u32)>,
}

/// A finished segment that has no name yet: [`Spool::stage`](crate::Spool::stage) gives it one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// One zstd frame of NDJSON.
    pub bytes: Vec<u8>,
    /// What it holds.
    pub contents: Contents,
}

/// Why a line was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// Lines of a stream must come in (offset, index) order, each once: readers tell repeats by that.
    #[error("archive line {stream}@{offset}#{index}: a line at or behind it is already in the segment")]
    Order {
        /// Identity of the stream.
        stream: String,
        /// Offset of the refused line.
        offset: u64,
        /// Its number among the lines of one record.
        index: u32,
    },
    /// A line without a byte, or a range that ends before it starts.
    #[error("archive bytes {start}..{end} of stream {stream}: the end does not lie behind the start")]
    Range {
        /// Identity of the stream.
        stream: String,
        /// First byte.
        start: u64,
        /// Behind the last byte.
        end: u64,
    },
    /// zstd or JSON failed, for want of memory.
    #[error("compress archive segment: {0}")]
    Encode(#[from] std::io::Error),
}

impl SegmentBuilder {
    /// An empty segment.
    ///
    /// # Errors
    /// [`SegmentError::Encode`] when zstd gets no memory.
    pub fn new() -> Result<Self, SegmentError> {
        let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
        encoder.include_checksum(true)?;
        Ok(Self { encoder, scratch: Vec::new(), contents: Contents::default(), last: BTreeMap::new() })
    }

    /// Adds a line and covers its range.
    ///
    /// # Errors
    /// The line is not in the segment then, and the segment is as it was (after [`SegmentError::Encode`]: unusable).
    pub fn push(&mut self, stream: &StreamMeta<'_>, line: &Line<'_>) -> Result<(), SegmentError> {
        let place = (line.offset, line.index);
        if self.last.get(stream.id).is_some_and(|last| place <= *last) {
            let stream = stream.id.to_owned();
            return Err(SegmentError::Order { stream, offset: line.offset, index: line.index });
        }
        if line.end <= line.offset {
            let (stream, start, end) = (stream.id.to_owned(), line.offset, line.end);
            return Err(SegmentError::Range { stream, start, end });
        }
        self.scratch.clear();
        record::encode(stream.id, line, &mut self.scratch).map_err(std::io::Error::from)?;
        self.cover(stream, line.offset, line.end)?;
        self.encoder.write_all(&self.scratch)?;
        self.count(stream, line);
        Ok(())
    }

    /// Says that `[start, end)` of the stream was read, though lines in it may have been filtered. Every line of it that
    /// was not filtered must be in this segment: the position passes the range, and readers drop what repeats it.
    ///
    /// # Errors
    /// [`SegmentError::Range`] when `end < start`.
    pub fn cover(&mut self, stream: &StreamMeta<'_>, start: u64, end: u64) -> Result<(), SegmentError> {
        if end < start {
            return Err(SegmentError::Range { stream: stream.id.to_owned(), start, end });
        }
        if !self.contents.streams.contains_key(stream.id) {
            self.contents.streams.insert(stream.id.to_owned(), StreamPart::new(stream));
        }
        if let Some(part) = self.contents.streams.get_mut(stream.id) {
            part.ranges.insert(start, end);
        }
        Ok(())
    }

    /// Bytes of NDJSON so far, before compression.
    pub fn raw_bytes(&self) -> u64 {
        self.contents.raw_bytes
    }

    /// Lines so far.
    pub fn records(&self) -> u64 {
        self.contents.records
    }

    /// Whether nothing was pushed or covered: there is nothing to stage.
    pub fn is_empty(&self) -> bool {
        self.contents.streams.is_empty()
    }

    /// Ends the zstd frame and takes its checksum.
    ///
    /// # Errors
    /// [`SegmentError::Encode`] when zstd gets no memory.
    pub fn finish(self) -> Result<Segment, SegmentError> {
        let bytes = self.encoder.finish()?;
        let contents = Contents { sha256: sha256_hex(&bytes), bytes: bytes.len() as u64, ..self.contents };
        Ok(Segment { bytes, contents })
    }

    fn count(&mut self, stream: &StreamMeta<'_>, line: &Line<'_>) {
        let contents = &mut self.contents;
        contents.records += 1;
        contents.raw_bytes += self.scratch.len() as u64;
        if let Some(part) = contents.streams.get_mut(stream.id) {
            part.lines += 1;
        }
        if let Some(time) = line.time_ns {
            contents.first_time_ns = Some(contents.first_time_ns.map_or(time, |first| first.min(time)));
            contents.last_time_ns = Some(contents.last_time_ns.map_or(time, |last| last.max(time)));
        }
        match self.last.get_mut(stream.id) {
            Some(last) => *last = (line.offset, line.index),
            None => drop(self.last.insert(stream.id.to_owned(), (line.offset, line.index))),
        }
    }
}

/// Unpacks `bytes` and proves them against `contents`; the error says what does not agree.
pub(crate) fn decode(bytes: &[u8], contents: &Contents) -> Result<Vec<Record>, String> {
    if sha256_hex(bytes) != contents.sha256 {
        return Err("the bytes have another checksum than the manifest says".to_owned());
    }
    let ndjson = decompress(bytes, contents.raw_bytes)?;
    let lines = ndjson.split_inclusive(|byte| *byte == b'\n').enumerate();
    let records = lines.map(|(i, line)| record::decode(line).map_err(|e| format!("record {i}: {e}")));
    let records = records.collect::<Result<Vec<_>, _>>()?;
    prove(&records, contents)?;
    Ok(records)
}

/// Never unpacks more than one byte over what the manifest says: a bomb ends there.
fn decompress(bytes: &[u8], raw_bytes: u64) -> Result<Vec<u8>, String> {
    let mut ndjson = Vec::new();
    let decoder = zstd::Decoder::new(bytes).map_err(|e| format!("zstd: {e}"))?;
    decoder.take(raw_bytes.saturating_add(1)).read_to_end(&mut ndjson).map_err(|e| format!("zstd: {e}"))?;
    if ndjson.len() as u64 == raw_bytes {
        Ok(ndjson)
    } else {
        Err(format!("the manifest says {raw_bytes} bytes before compression, there are others"))
    }
}

/// Every record lies in a range of its stream, in order, and the manifest counts them rightly.
fn prove(records: &[Record], contents: &Contents) -> Result<(), String> {
    let mut found: BTreeMap<&str, (u64, (u64, u32))> = BTreeMap::new();
    for record in records {
        let Record { stream, offset, end, index, .. } = record;
        let part =
            contents.streams.get(stream).ok_or_else(|| format!("stream {stream} is not in the manifest"))?;
        let covered = part.ranges.around(*offset).is_some_and(|range| *end <= range.1);
        if !covered || end <= offset {
            return Err(format!("{stream}@{offset}: outside the ranges of the manifest"));
        }
        let place = (*offset, *index);
        match found.get_mut(stream.as_str()) {
            Some((_, last)) if place <= *last => return Err(format!("{stream}@{offset}: out of order")),
            Some((lines, last)) => (*lines, *last) = (*lines + 1, place),
            None => drop(found.insert(stream, (1, place))),
        }
    }
    let lines = |stream: &str| found.get(stream).map_or(0, |(lines, _)| *lines);
    match contents.streams.iter().find(|(stream, part)| lines(stream) != part.lines) {
        Some((stream, _)) => Err(format!("the manifest counts other lines of stream {stream}")),
        None if records.len() as u64 != contents.records => {
            Err("the manifest counts other records".to_owned())
        }
        None => Ok(()),
    }
}
