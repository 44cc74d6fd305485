//! What is asked of the writer, and what it answers.

use std::collections::{BTreeMap, BTreeSet};

use alerts::Policies;
use jiff::Timestamp;
use slo::counts::{ByteRange, CountsReply, CountsRequest, RowKey};
use tokio::sync::oneshot;

use super::EngineError;
use super::core::Decision;
use crate::cluster::{Name, Objects};
use crate::specs::Specs;

pub(super) type Reply<T> = oneshot::Sender<Result<T, EngineError>>;

/// What fills a stream, by what is held of it.
pub(super) type Filler = Box<dyn FnOnce(&HeldRanges) -> Fill + Send>;

/// What is asked of the writer.
pub(super) enum Work {
    Counts { request: Box<CountsRequest>, now: Option<Timestamp>, reply: Reply<CountsReply> },
    Tick { now: Timestamp, reply: Reply<()> },
    CatchUp { limit: Timestamp, reply: Reply<Option<Timestamp>> },
    LookAfterStore { now: Timestamp, reply: Reply<bool> },
    Decide { id: String, decision: Decision, now: Timestamp, reply: Reply<()> },
    Discovered { objects: Box<Objects>, now: Timestamp, reply: Reply<()> },
    Warn { warnings: Vec<String>, reply: Reply<()> },
    Reconfigure { specs: Box<Specs>, services: BTreeSet<Name>, policies: Policies, reply: Reply<()> },
    Fill { streams: Vec<String>, count: Filler, reply: Reply<Filled> },
    Filled { at: Timestamp, reply: Reply<()> },
}

/// For each stream the bytes that are counted, ascending.
pub type HeldRanges = BTreeMap<String, Vec<ByteRange>>;

/// What is to be counted.
#[derive(Clone, Debug, Default)]
pub struct Fill {
    /// Counts of bytes that nobody has counted; a tally comes no earlier than the rows that it vouches for.
    pub requests: Vec<CountsRequest>,
    /// Rows of them that were cut through, and lack something for good.
    pub torn: Vec<RowKey>,
}

/// What a fill added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// Count rows.
    pub rows: u64,
    /// Lines.
    pub lines: u64,
}

impl Fill {
    /// Counts that lack nothing.
    pub fn of(requests: Vec<CountsRequest>) -> Self {
        Self { requests, torn: Vec::new() }
    }
}

impl std::ops::AddAssign for Filled {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.lines += other.lines;
    }
}

/// Streams of which more is counted than the request reaches to: whoever sent that is the one to expect more from.
pub(super) fn held_beyond(held: &HeldRanges, request: &CountsRequest) -> BTreeSet<String> {
    let beyond = |(stream, end): (&String, u64)| {
        held.get(stream).and_then(|ranges| ranges.last()).is_some_and(|last| last.end > end)
    };
    let reports = request.streams.iter().map(|report| (&report.stream, report.range.end));
    reports.filter(|report| beyond(*report)).map(|(stream, _)| stream.clone()).collect()
}
