//! How far the sources have come, for people.

use std::sync::{Arc, Mutex, PoisonError};

use crate::source::tails::Amount;

/// How far all sources have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes on disk that were read or need not be (of a gzip: compressed ones).
    pub bytes_read: u64,
    /// Bytes on disk of the files that were found.
    pub bytes_total: u64,
    /// Lines that were read.
    pub lines: u64,
    /// Streams that are being read.
    pub streams: u64,
}

/// Where one source writes how far it is.
#[derive(Clone, Debug, Default)]
pub(super) struct ProgressSlot(Arc<Mutex<Progress>>);

impl ProgressSlot {
    pub(super) fn set(&self, amount: Amount, more_lines: u64) {
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        progress.bytes_read = amount.read;
        progress.bytes_total = amount.total;
        progress.streams = amount.streams;
        progress.lines += more_lines;
    }

    pub(super) fn add_lines(&self, lines: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lines += lines;
    }

    pub(super) fn get(&self) -> Progress {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::ops::AddAssign for Progress {
    fn add_assign(&mut self, other: Self) {
        self.bytes_read += other.bytes_read;
        self.bytes_total += other.bytes_total;
        self.lines += other.lines;
        self.streams += other.streams;
    }
}
