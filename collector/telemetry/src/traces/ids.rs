//! Ids of traces and spans: hashes of what travels, so that no process must tell another one.

use std::ops::Range;

use sha2::{Digest, Sha256};

/// So many bytes of a stream have their way in one trace, however they are batched on it.
const STRETCH_BYTES: u64 = 256 << 10;

/// What belongs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    pub(super) id: u128,
    /// Too seldom and too precious to be left out by sampling.
    pub(super) precious: bool,
}

/// The part of a byte range that lies in one stretch.
pub(super) struct Piece {
    pub(super) trace: Trace,
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Trace {
    /// The way of a page, from the verdict to the end of its incident.
    pub fn of_incident(id: &str) -> Self {
        Self { id: digest(&["incident", id]), precious: true }
    }

    /// The id of the span that these parts name, which are to differ from any other's of the trace.
    pub fn span(self, parts: &[&str]) -> u64 {
        let trace = self.id.to_string();
        let all: Vec<&str> = std::iter::once(trace.as_str()).chain(parts.iter().copied()).collect();
        // 0 means that there is none.
        (digest(&all) as u64).max(1)
    }
}

/// `range` of `stream`, cut where stretches meet.
pub(super) fn pieces(stream: &str, range: Range<u64>) -> impl Iterator<Item = Piece> {
    let cut = move |number: u64| {
        let start = number.saturating_mul(STRETCH_BYTES);
        let trace = Trace { id: digest(&["lines", stream, &number.to_string()]), precious: false };
        Piece {
            trace,
            start: start.max(range.start),
            end: start.saturating_add(STRETCH_BYTES).min(range.end),
        }
    };
    let numbers = range.start / STRETCH_BYTES..range.end.div_ceil(STRETCH_BYTES);
    numbers.map(cut).filter(|piece| piece.start < piece.end)
}

/// Each part carries its length, so ("ab", "c") is not ("a", "bc").
fn digest(parts: &[&str]) -> u128 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    // 0 is no valid id.
    hash.finalize().iter().take(16).fold(0, |id: u128, byte| id << 8 | u128::from(*byte)).max(1)
}
