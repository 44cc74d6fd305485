//! Bodies of the store: compressed, with their version and length in front.

use slo::leb128::{Input, put};

use super::{StoreError, reading};

/// First byte of a body: its version.
const VERSION: u8 = 1;

/// A body that unpacks to more than this was not written here.
const MOST_BYTES: u64 = 1 << 30;

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
    let packed = &body[body.len() - input.left()..];
    zstd::bulk::decompress(packed, length as usize).map_err(reading("packed counts"))
}
