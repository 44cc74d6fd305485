//! Splits a stream's bytes into lines with bounded memory: a line over the limit is hashed as it passes, not kept.

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

use crate::identity::{EDGE_BYTES, Fingerprint, hex};

/// Bytes of an over-long line that are kept for the dead-letter store.
const SAMPLE_BYTES: usize = 64 * 1024;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Offset of its first byte.
    pub offset: u64,
    /// Offset behind its line end.
    pub end: u64,
    /// What it holds, without the line end (`\n` or `\r\n`).
    pub text: Text,
}

/// What a line holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// All of it.
    Whole(Bytes),
    /// Longer than the limit.
    TooLong {
        /// Its first bytes.
        sample: Bytes,
        /// SHA-256 of all of it as hex.
        sha256: String,
        /// Its length in bytes.
        length: u64,
    },
}

/// Where the splitting stands in one stream.
#[derive(Debug)]
pub struct Lines {
    max: usize,
    position: u64,
    edges: Edges,
    carry: BytesMut,
    long: Option<Long>,
}

/// First and last bytes of what was read.
#[derive(Clone, Debug, Default)]
pub struct Edges {
    head: Vec<u8>,
    tail: Vec<u8>,
}

/// A line that is over the limit already.
#[derive(Debug)]
struct Long {
    sample: BytesMut,
    hasher: Sha256,
    length: u64,
    edges: Edges,
}

impl Lines {
    /// Starts at `position`; `edges` are those of everything before it.
    pub fn new(max: usize, position: u64, edges: Edges) -> Self {
        Self { max, position, edges, carry: BytesMut::new(), long: None }
    }

    /// Offset behind the last complete line.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes that were fed and belong to no complete line yet.
    pub fn pending(&self) -> u64 {
        self.carry.len() as u64 + self.long.as_ref().map_or(0, |long| long.length)
    }

    /// Offset of the next byte that [`feed`](Self::feed) wants.
    pub fn wants(&self) -> u64 {
        self.position + self.pending()
    }

    /// The last bytes before [`position`](Self::position), at most [`EDGE_BYTES`].
    pub fn tail(&self) -> &[u8] {
        self.edges.tail()
    }

    /// Fingerprint of everything before [`position`](Self::position).
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.position, &self.edges.head, self.edges.tail())
    }

    /// Forgets an incomplete line, which will be fed again; an over-long one stays, as it is only a hash.
    pub fn forget_pending(&mut self) {
        self.carry = BytesMut::new();
    }

    /// Takes the stream's next bytes and adds the lines that they complete.
    pub fn feed(&mut self, data: &Bytes, out: &mut Vec<Line>) {
        let mut rest = 0;
        for newline in memchr::memchr_iter(b'\n', data) {
            out.push(self.complete(data.slice(rest..newline), b"\n"));
            rest = newline + 1;
        }
        match &mut self.long {
            Some(long) => long.add(&data[rest..]),
            None => self.carry.extend_from_slice(&data[rest..]),
        }
        if self.carry.len() > self.max {
            self.start_long();
        }
    }

    /// Takes the bytes behind the last line end as a line.
    pub fn finish(&mut self) -> Option<Line> {
        (self.pending() > 0).then(|| self.complete(Bytes::new(), b""))
    }

    fn complete(&mut self, part: Bytes, line_end: &[u8]) -> Line {
        let offset = self.position;
        let length = self.pending() + part.len() as u64;
        if self.long.is_none() && length > self.max as u64 {
            self.start_long();
        }
        let text = match self.long.take() {
            Some(mut long) => {
                long.add(&part);
                self.edges = std::mem::take(&mut long.edges);
                long.text()
            }
            None => {
                let whole = self.join(part);
                self.edges.push(&whole);
                Text::Whole(strip(whole))
            }
        };
        self.edges.push(line_end);
        self.position = offset + length + line_end.len() as u64;
        Line { offset, end: self.position, text }
    }

    fn join(&mut self, part: Bytes) -> Bytes {
        if self.carry.is_empty() {
            return part;
        }
        let mut whole = std::mem::take(&mut self.carry);
        whole.extend_from_slice(&part);
        whole.freeze()
    }

    fn start_long(&mut self) {
        let mut long =
            Long { sample: BytesMut::new(), hasher: Sha256::new(), length: 0, edges: self.edges.clone() };
        long.add(&std::mem::take(&mut self.carry));
        self.long = Some(long);
    }
}

impl Long {
    fn add(&mut self, part: &[u8]) {
        let room = SAMPLE_BYTES.saturating_sub(self.sample.len()).min(part.len());
        self.sample.extend_from_slice(&part[..room]);
        self.hasher.update(part);
        self.length += part.len() as u64;
        self.edges.push(part);
    }

    fn text(self) -> Text {
        Text::TooLong {
            sample: self.sample.freeze(),
            sha256: hex(&self.hasher.finalize()),
            length: self.length,
        }
    }
}

impl Edges {
    /// Edges of a stream of which `head` are the first bytes and `tail` the last ones.
    pub fn new(head: Vec<u8>, tail: Vec<u8>) -> Self {
        Self { head, tail }
    }

    fn tail(&self) -> &[u8] {
        &self.tail[self.tail.len().saturating_sub(EDGE_BYTES)..]
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = EDGE_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(EDGE_BYTES)..]);
        // Trimmed seldom, so that a short line costs no move of the whole edge.
        if self.tail.len() > 8 * EDGE_BYTES {
            self.tail.drain(..self.tail.len() - EDGE_BYTES);
        }
    }
}

fn strip(line: Bytes) -> Bytes {
    match line.last() {
        Some(b'\r') => line.slice(..line.len() - 1),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(max: usize, content: &[u8], chunk: usize) -> (Vec<Line>, Lines) {
        let mut lines = Lines::new(max, 0, Edges::default());
        let mut out = Vec::new();
        for part in content.chunks(chunk.max(1)) {
            lines.feed(&Bytes::copy_from_slice(part), &mut out);
        }
        (out, lines)
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_changes_nothing(
            content in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), any::<u8>()], 0..5000),
            max in 0..60usize,
            chunk in 1..700usize,
        ) {
            let (whole, all) = read(max, &content, content.len());
            let (cut, parts) = read(max, &content, chunk);
            prop_assert_eq!(whole, cut);
            prop_assert_eq!(all.fingerprint(), parts.fingerprint());
            let end = usize::try_from(all.position()).unwrap();
            let edge = end.min(EDGE_BYTES);
            prop_assert_eq!(all.fingerprint(), Fingerprint::of(end as u64, &content[..edge], &content[end - edge..end]));
            prop_assert_eq!(all.wants(), content.len() as u64);
        }

        #[test]
        fn every_byte_lies_in_one_line(content in proptest::collection::vec(any::<u8>(), 0..3000), max in 0..100usize) {
            let (mut out, mut lines) = read(max, &content, 97);
            out.extend(lines.finish());
            let mut next = 0;
            for line in &out {
                prop_assert_eq!(line.offset, next);
                next = line.end;
            }
            prop_assert_eq!(next, content.len() as u64);
        }
    }

    #[test]
    fn a_line_over_the_limit_keeps_a_sample_and_the_hash_of_all_of_it() {
        let mut content = vec![b'x'; 20_000_000];
        content.push(b'\n');
        let (out, lines) = read(1 << 20, &content, 256 * 1024);
        let Text::TooLong { sample, sha256, length } = &out[0].text else { panic!("{:?}", out[0].offset) };
        assert_eq!((sample.len(), *length, lines.pending()), (SAMPLE_BYTES, 20_000_000, 0));
        assert_eq!(*sha256, hex(&Sha256::digest(&content[..20_000_000])));
    }
}
