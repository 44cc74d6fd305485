//! One sink as its source sees it: a queue, and behind it the files and the spool.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{self, OwnedPermit};

use super::backlog::{self, Backlog, Plan};
use super::fan_out::Gone;
use crate::checkpoint::Checkpoints;
use crate::config::Name;
use crate::metrics::ComponentMetrics;
use crate::sink::{Message, Rewind};
use crate::source::chunk::{Chunk, Positions};
use crate::source::tails::{Ending, Missing};

/// How long a full queue is waited for before its sink counts as behind, where others wait too.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// The same where nobody waits but the look at the files.
const PATIENCE_ALONE: Duration = Duration::from_secs(10);

/// A sink that consumes the source.
pub(super) struct Outlet {
    pub(super) sink: Name,
    pub(super) inputs: Vec<Name>,
    pub(super) queue: mpsc::Sender<Message>,
    metrics: ComponentMetrics,
    checkpoints: Arc<Checkpoints>,
    /// Everything below was put into the queue or the spool, or is delivered.
    sent: Positions,
    /// How often the source went back for it.
    pub(super) rewinds: u64,
    /// It did not keep up: it gets nothing until its queue is empty, then the spool, then the source goes back for it.
    pub(super) behind: bool,
    pub(super) backlog: Option<Backlog>,
}

impl Outlet {
    /// The way to a sink that is at `positions`. What is in its spool comes first.
    pub(super) fn new(
        sink: &Name,
        inputs: Vec<Name>,
        queue: mpsc::Sender<Message>,
        metrics: ComponentMetrics,
        checkpoints: Arc<Checkpoints>,
        mut sent: Positions,
        backlog: Option<Backlog>,
    ) -> Self {
        let behind = backlog.as_ref().is_some_and(|backlog| !backlog.is_empty());
        sent.extend(backlog.iter().flat_map(|backlog| backlog.kept().clone()));
        Self { sink: sink.clone(), inputs, queue, metrics, checkpoints, sent, rewinds: 0, behind, backlog }
    }

    /// Whether the chunk has news for the sink.
    pub(super) fn lacks(&self, chunk: &Chunk) -> bool {
        chunk.batch.spans.iter().any(|span| {
            let sent = self.sent.get(&span.stream.id).copied();
            sent.is_none_or(|sent| sent < span.end)
                || span.start == span.end
                || span.ended
                || span.broken.is_some()
        })
    }

    /// Puts a chunk into the queue. A queue that stays full means that the sink falls behind where `others` must not wait,
    /// and where there is a spool. `alone`: the source has no other sink.
    pub(super) async fn send(&mut self, chunk: Chunk, others: bool, alone: bool) -> Result<(), Gone> {
        let chunk = if chunk.reaches_below(&self.sent) { chunk.above(&self.sent) } else { chunk };
        if chunk.is_empty() {
            return Ok(());
        }
        let room = self.queue.reserve();
        let room = match (others, &self.backlog) {
            (false, Some(_)) if alone => tokio::time::timeout(PATIENCE_ALONE, room).await,
            (true, _) | (_, Some(_)) => tokio::time::timeout(PATIENCE, room).await,
            // There is nobody to wait for: the files are the buffer.
            (false, None) => Ok(room.await),
        };
        let Ok(room) = room else {
            self.behind = true;
            self.metrics.error("lagging");
            tracing::warn!(sink = %self.sink,
                "the sink does not keep up; the others go on, it will get what it lacks from the files and from its buffer");
            return Ok(());
        };
        for span in &chunk.batch.spans {
            self.sent.insert(span.stream.id.clone(), span.end);
        }
        room.map_err(|_| Gone)?.send(Message::Chunk { chunk, rewinds: self.rewinds });
        Ok(())
    }

    /// Whether it was behind and has emptied its queue.
    pub(super) fn is_ready(&self) -> bool {
        self.behind && self.queue.capacity() == self.queue.max_capacity()
    }

    /// Room for one more message, if there is.
    pub(super) fn room(&self) -> Result<Option<OwnedPermit<Message>>, Gone> {
        match self.queue.clone().try_reserve_owned() {
            Ok(room) => Ok(Some(room)),
            Err(mpsc::error::TrySendError::Full(_)) => Ok(None),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Gone),
        }
    }

    /// The sink keeps up again: it has all of its spool, and gets the rest from the files. Returns where to go back to.
    pub(super) fn recovered(&mut self) -> Positions {
        self.behind = false;
        if let Some(backlog) = &mut self.backlog {
            let (passed, back) = backlog.end_replay();
            for (id, kept) in backlog.kept() {
                let sent = self.sent.entry(id.clone()).or_insert(*kept);
                *sent = (*sent).max(*kept);
            }
            self.sent.extend(back);
            if !passed.is_empty() {
                // The queue was found empty.
                let _ = self.queue.try_send(Message::Chunk { chunk: passed, rewinds: self.rewinds });
            }
        }
        tracing::info!(sink = %self.sink, "the sink keeps up again; reading what it lacks");
        self.sent.clone()
    }

    /// The sink has less than was thought.
    pub(super) fn lower(&mut self, back: &Rewind) {
        self.sent.extend(back.positions.clone());
        self.rewinds += 1;
        if let Some(backlog) = &mut self.backlog {
            backlog.lower(&back.positions);
            self.behind |= !backlog.is_empty();
        }
    }

    /// Finds what has to be put into the spool.
    pub(super) fn plan(&mut self, endings: &[Ending], now_ms: i64, plan: &mut Plan) {
        if let Some(backlog) = &mut self.backlog {
            backlog.plan(endings, self.behind, now_ms, plan);
        }
    }

    /// Puts what the sink lacks of a chunk into the spool, where the files will not keep it.
    pub(super) fn spool(&mut self, chunk: &Chunk, now_ms: i64) {
        let Some(backlog) = &mut self.backlog else { return };
        for (id, kept) in backlog.take(chunk, &self.sent, self.behind, now_ms) {
            // Else it gets the chunk by its queue.
            if !self.behind {
                continue;
            }
            let sent = self.sent.entry(id).or_insert(kept);
            *sent = (*sent).max(kept);
        }
    }

    /// Says what of these the sink will never get.
    pub(super) fn missing(&mut self, missing: &[Missing]) {
        for Missing { id, path, from, to } in missing {
            let has = self.checkpoints.position(&self.sink, id).max(self.sent.get(id).copied());
            let from = has.unwrap_or(0).max(*from);
            let from = self.backlog.as_ref().map_or(from, |backlog| backlog.reach(id, from));
            if from >= *to {
                continue;
            }
            let lines = self.backlog.as_mut().map_or(1, Backlog::take_damaged);
            backlog::lost(&self.metrics, &self.sink, path, from, *to, lines);
        }
    }

    /// The same of streams that were read by an earlier run: what the sink began with and has not all of.
    pub(super) fn unfound(&mut self, unfound: &[Missing]) {
        let begun = |missing: &&Missing| self.checkpoints.position(&self.sink, &missing.id).is_some();
        let begun: Vec<Missing> = unfound.iter().filter(begun).cloned().collect();
        self.missing(&begun);
    }
}
