//! The bytes of a spool's segment: a header, and records that each prove themselves, so that damage costs what it hits.

use flate2::Crc;
use memchr::memmem;

/// Version of the format.
pub(crate) const VERSION: u32 = 2;

/// Bytes before the first record.
pub(crate) const HEADER_BYTES: usize = 16;

/// Bytes before a record's payload.
pub(crate) const RECORD_BYTES: usize = 28;

const MAGIC: &[u8; 8] = b"HRSPOOL\n";
const RECORD_MAGIC: &[u8; 4] = b"\xf7REC";

/// What a segment's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// A version that can be read.
    Known,
    /// A newer one.
    Future(u32),
    /// Cut off or damaged.
    Bad,
}

/// A part of a segment, between two byte offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Its first byte.
    pub(crate) start: usize,
    /// Behind its last byte.
    pub(crate) end: usize,
    /// The record in it, or the reason why there is none.
    pub(crate) content: Result<Record, Damage>,
}

/// A record whose payload is what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its number, growing over all segments of a spool.
    pub(crate) sequence: u64,
    /// Lines in it.
    pub(crate) lines: u32,
    /// Length of its payload, which ends the part.
    pub(crate) length: u32,
}

/// Bytes that are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    /// What is wrong with them.
    pub(crate) reason: &'static str,
    /// How many lines they held, where that can still be read.
    pub(crate) lines: Option<u32>,
}

/// The header of a segment.
pub(crate) fn header() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let sum = checksum(0, &header[..12]);
    header[12..].copy_from_slice(&sum.to_le_bytes());
    header
}

/// Reads a segment's header.
pub(crate) fn read_header(bytes: &[u8]) -> Header {
    if bytes.len() < HEADER_BYTES || &bytes[..8] != MAGIC || checksum(0, &bytes[..12]) != u32_at(bytes, 12) {
        return Header::Bad;
    }
    match u32_at(bytes, 8) {
        1..=VERSION => Header::Known,
        version => Header::Future(version),
    }
}

/// A record as it stands in a segment with this salt.
pub(crate) fn record(salt: u64, sequence: u64, lines: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(RECORD_BYTES + payload.len());
    bytes.extend_from_slice(RECORD_MAGIC);
    bytes.extend_from_slice(&lines.to_le_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&checksum(salt, payload).to_le_bytes());
    let sum = checksum(salt, &bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// All parts of a segment behind its header, in order; together they are all of its bytes.
pub(crate) fn scan(bytes: &[u8], salt: u64) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut at = HEADER_BYTES.min(bytes.len());
    while at < bytes.len() {
        let part = part_at(bytes, salt, at);
        at = part.end;
        parts.push(part);
    }
    parts
}

fn part_at(bytes: &[u8], salt: u64, start: usize) -> Part {
    let damaged = |end, reason, lines| Part { start, end, content: Err(Damage { reason, lines }) };
    let Some((record, sum)) = record_header(bytes, salt, start) else {
        let end = next_header(bytes, salt, start + 1);
        let reason = match bytes[start..end].iter().all(|&byte| byte == 0) {
            true => "zeros in the place of records",
            false => "no record begins here",
        };
        return damaged(end, reason, None);
    };
    let from = start + RECORD_BYTES;
    let end = from.saturating_add(record.length as usize);
    if end > bytes.len() {
        return damaged(bytes.len(), "the record is cut off", Some(record.lines));
    }
    match checksum(salt, &bytes[from..end]) == sum {
        true => Part { start, end, content: Ok(record) },
        false => damaged(end, "the record's checksum is wrong", Some(record.lines)),
    }
}

/// The header of a record and the checksum of its payload.
fn record_header(bytes: &[u8], salt: u64, at: usize) -> Option<(Record, u32)> {
    let header = bytes.get(at..at + RECORD_BYTES)?;
    if &header[..4] != RECORD_MAGIC || checksum(salt, &header[..24]) != u32_at(header, 24) {
        return None;
    }
    let sequence = u64::from(u32_at(header, 8)) | u64::from(u32_at(header, 12)) << 32;
    let record = Record { sequence, lines: u32_at(header, 4), length: u32_at(header, 16) };
    Some((record, u32_at(header, 20)))
}

fn next_header(bytes: &[u8], salt: u64, from: usize) -> usize {
    let rest = &bytes[from.min(bytes.len())..];
    let mut places = memmem::find_iter(rest, RECORD_MAGIC).map(|place| from + place);
    places.find(|&place| record_header(bytes, salt, place).is_some()).unwrap_or(bytes.len())
}

/// The salt is in no file's content: a log line cannot hold what looks like a record.
fn checksum(salt: u64, bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(&salt.to_le_bytes());
    crc.update(bytes);
    crc.sum()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: u64 = 7;

    fn segment(payloads: &[&[u8]]) -> Vec<u8> {
        let mut bytes = header().to_vec();
        for (sequence, payload) in (0..).zip(payloads) {
            bytes.extend(record(SALT, sequence, 1, payload));
        }
        bytes
    }

    fn good(bytes: &[u8]) -> Vec<u64> {
        scan(bytes, SALT).iter().filter_map(|part| part.content.ok()).map(|record| record.sequence).collect()
    }

    #[test]
    fn a_flipped_bit_anywhere_costs_one_record() {
        let bytes = segment(&[b"one", b"two", b"three"]);
        for bit in HEADER_BYTES * 8..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let hit = scan(&bytes, SALT).iter().position(|part| part.end > bit / 8).unwrap() as u64;
            let want: Vec<u64> = (0..3).filter(|&sequence| sequence != hit).collect();
            assert_eq!(good(&damaged), want, "bit {bit}");
        }
    }

    #[test]
    fn cut_anywhere_or_with_zeros_at_its_end_a_segment_gives_the_records_before() {
        let bytes = segment(&[b"one", b"two", b"three"]);
        let ends: Vec<usize> = scan(&bytes, SALT).iter().map(|part| part.end).collect();
        for cut in 0..bytes.len() {
            let whole = ends.iter().filter(|&&end| end <= cut).count();
            assert_eq!(good(&bytes[..cut]).len(), whole, "cut at {cut}");
            let mut zeros = bytes[..cut].to_vec();
            zeros.resize(bytes.len() + 100, 0);
            assert_eq!(good(&zeros).len(), whole, "zeros from {cut}");
        }
    }

    #[test]
    fn a_line_that_looks_like_a_record_is_none() {
        let forged = record(SALT + 1, 9, 1, b"forged");
        let mut bytes = segment(&[&forged, b"two"]);
        bytes[HEADER_BYTES] ^= 1;
        assert_eq!(good(&bytes), [1]);
    }

    #[test]
    fn a_header_tells_its_version() {
        assert_eq!(read_header(&header()), Header::Known);
        assert_eq!(read_header(&header()[..15]), Header::Bad);
        let mut future = header();
        future[8] = 9;
        let sum = checksum(0, &future[..12]);
        future[12..].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(read_header(&future), Header::Future(9));
        future[9] = 1;
        assert_eq!(read_header(&future), Header::Bad);
    }
}
