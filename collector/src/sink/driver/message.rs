//! What sources tell a sink, and what a sink tells its sources.

use tokio::sync::oneshot;

use crate::source::chunk::{Chunk, Positions};

/// What a source tells a sink.
#[derive(Debug)]
pub(crate) enum Message {
    /// News of streams.
    Chunk {
        /// What was read.
        chunk: Chunk,
        /// How often its source had gone back by then for the sink.
        rewinds: u64,
    },
    /// This source has handed on all that was written before the instant (ms since 1970).
    CaughtUp {
        /// Number of the source.
        source: usize,
        /// The instant.
        at_ms: i64,
        /// How often it had gone back by then for the sink.
        rewinds: u64,
    },
    /// Deliver what came so far, then answer.
    Flush(oneshot::Sender<()>),
}

/// A sink has less than was thought.
#[derive(Clone, Debug)]
pub(crate) struct Rewind {
    /// Its name.
    pub(crate) sink: String,
    /// How much it has, of the streams in question.
    pub(crate) positions: Positions,
}
