//! Which formats each stream was found to hold, to be told to people.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::format::Format;
use crate::event::StreamId;

/// Streams beyond this number are not told apart any more: what a node's life brings must not fill the memory.
const MAX_STREAMS: usize = 10_000;

/// Lines by format and stream since the start, shared between the transform and whoever tells of it. Lines that are
/// read again after a failure are counted again: this is no book.
#[derive(Debug, Default)]
pub struct FormatsSeen(Mutex<BTreeMap<StreamId, BTreeMap<Format, u64>>>);

impl FormatsSeen {
    /// Adds the lines of one batch.
    pub fn add(&self, lines: BTreeMap<StreamId, BTreeMap<Format, u64>>) {
        let mut seen = self.lock();
        for (stream, formats) in lines {
            if seen.len() >= MAX_STREAMS && !seen.contains_key(&stream) {
                continue;
            }
            let stream = seen.entry(stream).or_default();
            for (format, lines) in formats {
                *stream.entry(format).or_default() += lines;
            }
        }
    }

    /// Lines by stream and format.
    pub fn by_stream(&self) -> BTreeMap<StreamId, BTreeMap<Format, u64>> {
        self.lock().clone()
    }

    /// Lines by format, over all streams.
    pub fn totals(&self) -> BTreeMap<Format, u64> {
        let mut totals = BTreeMap::new();
        for (&format, lines) in self.lock().values().flatten() {
            *totals.entry(format).or_default() += lines;
        }
        totals
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<StreamId, BTreeMap<Format, u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
