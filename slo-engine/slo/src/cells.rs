//! Cells: what is kept of an hour once its rows are folded, and its bytes.

mod decode;
mod encode;

use std::collections::BTreeMap;

use crate::counts::{Counts, MinuteId, Origin, ServiceRef, Sli};
use crate::sketch::Sketch;

/// Minutes of an hour.
const HOUR: i64 = 60;

/// What counts are kept by: a row's key without its stream and minute, and the edges of its ladder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellKey {
    /// Whom the requests were for.
    pub service: ServiceRef,
    /// Which kind of log they stood in.
    pub origin: Origin,
    /// What was counted of them.
    pub sli: Sli,
    /// Version of the definition that judged the lines.
    pub version: u32,
    /// Edges of the ladder in microseconds; empty where there is none.
    pub edges_us: Vec<u64>,
}

/// One minute of one key, all streams together; the default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Its requests, all streams together.
    pub counts: Counts,
    /// Requests by bucket of latency: one more than there are edges, or none without edges.
    pub ladder: Vec<u64>,
    /// Whether some rows did not fit together, so that the longer one stayed.
    pub partial: bool,
}

/// What one stream gave to an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamShare {
    /// How many requests it gave.
    pub total: u64,
    /// The newest minute that it has a row of.
    pub newest: MinuteId,
}

/// One key's hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CellHour {
    /// The minutes that hold something, all of them within the hour.
    pub minutes: BTreeMap<MinuteId, Cell>,
    /// The latencies of the whole hour, for display.
    pub sketch: Sketch,
    /// Who gave what, by identity of the stream.
    pub streams: BTreeMap<String, StreamShare>,
}

/// One hour of all keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HourBlock {
    /// Hours since 1970-01-01T00:00:00Z, rounded down.
    pub hour: i64,
    /// What there is of each key.
    pub series: BTreeMap<CellKey, CellHour>,
}

/// Bytes that are no hour of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an hour's cells cannot be decoded at byte {at}: {what}; the bytes were damaged or written by another version"
)]
pub struct CellsError {
    /// Offset in the bytes.
    pub at: usize,
    /// What was expected or found.
    pub what: &'static str,
}

impl HourBlock {
    /// An hour without a key.
    pub fn new(hour: i64) -> Self {
        Self { hour, series: BTreeMap::new() }
    }

    /// Its bytes: columns, one after the other, so that they compress well; not compressed themselves. A minute outside the
    /// hour is left out, and a ladder gets as many buckets as its edges make.
    pub fn encode(&self) -> Vec<u8> {
        encode::encode(self)
    }

    /// Reads what [`HourBlock::encode`] has written. Of other bytes it takes no more memory than some multiple of their
    /// length.
    pub fn decode(bytes: &[u8]) -> Result<Self, CellsError> {
        decode::decode(bytes)
    }

    /// Adds what another block holds of the same hour; an absurd count saturates.
    pub fn add(&mut self, other: Self) {
        for (key, hour) in other.series {
            self.series.entry(key).or_default().add(hour);
        }
    }
}

impl CellHour {
    /// Adds what another one holds of the same hour.
    pub fn add(&mut self, other: Self) {
        for (id, cell) in other.minutes {
            self.minutes.entry(id).or_default().add(&cell);
        }
        self.sketch.merge(&other.sketch);
        for (stream, share) in other.streams {
            self.streams.entry(stream).and_modify(|held| held.add(share)).or_insert(share);
        }
    }

    /// The minutes that lie within the hour, with their places in it.
    fn within(&self, hour: i64) -> impl Iterator<Item = (usize, &Cell)> {
        let start = hour.saturating_mul(HOUR);
        let inside = self.minutes.range(MinuteId(start)..MinuteId(start.saturating_add(HOUR)));
        inside.map(move |(id, cell)| ((id.0 - start) as usize, cell))
    }
}

impl Cell {
    /// Adds what another one counted of the same minute.
    pub fn add(&mut self, other: &Self) {
        let Counts { total, bad, excluded } = &mut self.counts;
        let more = other.counts;
        for (sum, more) in [(total, more.total), (bad, more.bad), (excluded, more.excluded)] {
            *sum = sum.saturating_add(more);
        }
        self.ladder.resize(self.ladder.len().max(other.ladder.len()), 0);
        for (sum, &more) in self.ladder.iter_mut().zip(&other.ladder) {
            *sum = sum.saturating_add(more);
        }
        self.partial |= other.partial;
    }
}

impl StreamShare {
    /// Adds what the same stream gave besides.
    pub fn add(&mut self, other: Self) {
        self.total = self.total.saturating_add(other.total);
        self.newest = self.newest.max(other.newest);
    }
}

/// How many buckets a ladder has.
fn buckets(edges_us: &[u64]) -> usize {
    if edges_us.is_empty() { 0 } else { edges_us.len() + 1 }
}
