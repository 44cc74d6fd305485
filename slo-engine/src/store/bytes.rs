//! How bodies of the store are written: numbers as LEB128, texts with their length, all of it compressed; and read back
//! without trust.

use super::{StoreError, reading};

/// First byte of a body: its version.
const VERSION: u8 = 1;

/// A body that unpacks to more than this was not written here.
const MOST_BYTES: u64 = 1 << 30;

/// Bytes that are not what was written.
#[derive(Debug, thiserror::Error)]
#[error("at byte {at}: expected {what}")]
pub(super) struct Malformed {
    at: usize,
    what: &'static str,
}

/// Bytes that are read from the front.
pub(super) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Compresses what was written, with its length in front.
pub(super) fn compress(bytes: &[u8], level: i32) -> Result<Vec<u8>, StoreError> {
    let mut body = vec![VERSION];
    put(&mut body, bytes.len() as u64);
    body.extend(zstd::bulk::compress(bytes, level).map_err(reading("packed counts"))?);
    Ok(body)
}

/// What was compressed.
pub(super) fn decompress(body: &[u8]) -> Result<Vec<u8>, StoreError> {
    let mut input = Input::new(body);
    if input.byte().ok() != Some(VERSION) {
        return Err(reading("packed counts")("they are not packed the way this program packs them"));
    }
    let length = input.number().ok().filter(|length| *length <= MOST_BYTES);
    let length = length.ok_or_else(|| reading("packed counts")("their length is absurd"))?;
    zstd::bulk::decompress(&body[input.at..], length as usize).map_err(reading("packed counts"))
}

/// Writes a number.
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Writes bytes with their length in front.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend(bytes);
}

impl<'a> Input<'a> {
    /// Bytes to read, from the first one on.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// What went wrong here.
    pub(super) fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { at: self.at, what }
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = self.bytes.get(self.at).copied().ok_or(self.malformed("a byte"))?;
        self.at += 1;
        Ok(byte)
    }

    /// The next number.
    pub(super) fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.malformed("a number of at most 64 bits"))
    }

    /// How many things follow. Each takes a byte at least, so more than there are bytes is a mistake.
    pub(super) fn count(&mut self) -> Result<usize, Malformed> {
        let count = self.number()?;
        let left = self.bytes.len() - self.at;
        let fits = usize::try_from(count).ok().filter(|count| *count <= left);
        fits.ok_or_else(|| self.malformed("no more things than bytes"))
    }

    /// Bytes with their length in front.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.count()?;
        let bytes = &self.bytes[self.at..self.at + length];
        self.at += length;
        Ok(bytes)
    }
}
