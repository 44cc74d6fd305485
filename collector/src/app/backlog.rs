//! What a lagging sink lacks and its files will not keep: put into the spool in time, and replayed when it is back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::books::Ledger;
use crate::checkpoint::Checkpoints;
use crate::config::Name;
use crate::event::{Span, StreamId};
use crate::metrics::ComponentMetrics;
use crate::sink::WhenFull;
use crate::source::chunk::{Chunk, Fates, Positions};
use crate::source::tails::Ending;
use crate::spool::{Damaged, Next, Quota, Refused, Spool};

/// How often a spool that takes nothing is told of.
const TELL_EVERY_MS: i64 = 60_000;

/// How long a disk that failed is left alone.
const RETRY_AFTER_MS: i64 = 10_000;

/// Why a range is dropped, for those who keep an account of it.
const DROPPED: &str = "dropped: the sink lagged and its buffer was full";

/// What a backlog is made of.
pub(super) struct Parts {
    pub(super) sink: Name,
    pub(super) spool: Spool,
    pub(super) quota: Quota,
    pub(super) when_full: WhenFull,
    pub(super) checkpoints: Arc<Checkpoints>,
    pub(super) metrics: ComponentMetrics,
    pub(super) ledger: Ledger,
}

/// The spool of a sink for one source, and what it is for.
///
/// Invariant: of every stream, the spool begins at or below what the sink has delivered, and has no hole but what was
/// dropped or damaged; so a replay and the files behind it are all that the sink lacks.
pub(super) struct Backlog {
    parts: Parts,
    /// Everything below is in the spool, delivered or dropped.
    kept: Positions,
    /// Everything below was replayed.
    replayed: Positions,
    /// Streams that are put into the spool as they are read, with the offset where each begins.
    ending: Positions,
    /// What was dropped since the last replay.
    dropped: BTreeMap<StreamId, Span>,
    blocked: Option<Blocked>,
    told_ms: Option<i64>,
    /// Lines in damaged records of which no stream was found to miss a part yet.
    damaged: u64,
    /// Lines in the spool, as the metric has it.
    shown: i64,
    /// The disk did not answer when it was read last.
    pub(super) unreadable: bool,
}

/// The spool takes nothing at the moment.
enum Blocked {
    /// It is full, until there is room for so many bytes.
    Full(u64),
    /// The disk failed; it is tried again then (ms since 1970).
    Failed(i64),
}

/// What is to be read again to be put into the spool.
#[derive(Default)]
pub(super) struct Plan {
    /// Where to go back to.
    pub(super) back: Positions,
    /// Streams whose files must stay open.
    pub(super) held: BTreeSet<StreamId>,
}

impl Backlog {
    /// The backlog of a sink that is at `positions`.
    pub(super) fn new(parts: Parts, positions: &Positions, damaged: &[Damaged]) -> Self {
        for Damaged { path, at, reason, lines } in damaged {
            parts.metrics.error("buffer_damaged");
            tracing::error!(sink = %parts.sink, path = %path.display(), at, lines, reason,
                "a part of the buffer on disk is damaged; what it held is read from the files where they are there, a copy of it is in quarantine");
        }
        let kept = parts.spool.reach(positions);
        let mut backlog = Self {
            parts,
            kept,
            replayed: Positions::new(),
            ending: Positions::new(),
            dropped: BTreeMap::new(),
            blocked: None,
            told_ms: None,
            damaged: damaged.iter().map(|damaged| damaged.lines).sum(),
            shown: 0,
            unreadable: false,
        };
        backlog.show();
        backlog
    }

    /// Everything below is kept without the files.
    pub(super) fn kept(&self) -> &Positions {
        &self.kept
    }

    /// How far a sink that has a stream up to `at` comes by the spool.
    pub(super) fn reach(&self, id: &StreamId, at: u64) -> u64 {
        self.parts
            .spool
            .reach(&Positions::from([(id.clone(), at)]))
            .get(id)
            .map_or(at, |reach| at.max(*reach))
    }

    /// Whether nothing is to be replayed.
    pub(super) fn is_empty(&self) -> bool {
        self.parts.spool.is_empty() && self.dropped.is_empty()
    }

    /// Whether something is to be read now to be put into the spool.
    pub(super) fn is_busy(&self) -> bool {
        self.blocked.is_none() && !self.ending.is_empty()
    }

    /// Finds what has to be put into the spool: of all that ends where the sink is behind, else of what is deleted while
    /// the sink has not delivered it.
    pub(super) fn plan(&mut self, endings: &[Ending], behind: bool, now_ms: i64, plan: &mut Plan) {
        self.ending.clear();
        self.unblock(now_ms);
        for ending in endings {
            let floor = ending.group.iter().find(|(id, _)| *id == ending.id).map_or(0, |(_, floor)| *floor);
            let has = self.has(&ending.id).unwrap_or(floor);
            if has >= ending.handed && !ending.rest {
                continue;
            }
            // Open, it can be read to its end if it is deleted before the sink has it.
            plan.held.insert(ending.id.clone());
            if !behind && !ending.gone {
                continue;
            }
            self.ending.insert(ending.id.clone(), floor);
            if has >= ending.handed || self.blocked.is_some() {
                continue;
            }
            for (id, floor) in &*ending.group {
                let has = self.has(id).unwrap_or(*floor);
                let back = plan.back.entry(id.clone()).or_insert(has);
                *back = has.min(*back);
            }
        }
    }

    fn unblock(&mut self, now_ms: i64) {
        let over = match self.blocked {
            Some(Blocked::Full(bytes)) => self.parts.spool.has_room(bytes),
            Some(Blocked::Failed(until_ms)) => now_ms >= until_ms,
            None => false,
        };
        if over {
            self.blocked = None;
        }
    }

    /// Puts what the sink lacks of a chunk into the spool, if a stream in it ends. `sent`: everything below is in the
    /// sink's queue too, and the chunk will be if it is not `behind`. Returns up to where its streams are kept now.
    pub(super) fn take(&mut self, chunk: &Chunk, sent: &Positions, behind: bool, now_ms: i64) -> Positions {
        let spans = &chunk.batch.spans;
        if self.blocked.is_some() || !spans.iter().any(|span| self.ending.contains_key(&span.stream.id)) {
            return Positions::new();
        }
        let floor = |id: &StreamId| self.ending.get(id).copied().unwrap_or(0);
        let mut has = Positions::new();
        for span in spans {
            let id = &span.stream.id;
            let at = self.has(id).unwrap_or(floor(id));
            // Behind a hole, it is read again from the right place after the next look at the files.
            if span.start > at && span.start < span.end {
                return Positions::new();
            }
            // Mere news from behind a hole must not move the sink there.
            has.insert(id.clone(), if span.start > at { u64::MAX } else { at });
        }
        let lacking = chunk.clone().above(&has);
        if lacking.lines() == 0 && !(behind && lacking.batch.spans.iter().any(has_news)) {
            return Positions::new();
        }
        let kept: Positions =
            lacking.batch.spans.iter().map(|span| (span.stream.id.clone(), span.end)).collect();
        match self.parts.spool.append(&lacking) {
            Ok(()) => {}
            Err(Refused::Full { bytes }) if !behind => {
                self.blocked = Some(Blocked::Full(bytes));
                return Positions::new();
            }
            Err(Refused::Full { .. }) if self.parts.when_full == WhenFull::DropNewest => {
                self.drop_newest(lacking, sent, now_ms);
            }
            Err(Refused::Full { bytes }) => {
                self.block(Blocked::Full(bytes), "buffer_full", now_ms, &format!(
                    "the buffer of {} bytes is full; files that end are held open until there is room, and what is deleted meanwhile is lost for this sink once they are closed", self.parts.quota.max()));
                return Positions::new();
            }
            Err(Refused::Failed(error)) => {
                let until_ms = now_ms + RETRY_AFTER_MS;
                self.block(Blocked::Failed(until_ms), "buffer_failed", now_ms, &format!(
                    "cannot write to the buffer on disk: {error}; files that end are held open and read again, mend the disk"));
                return Positions::new();
            }
        }
        self.show();
        for (id, end) in &kept {
            let at = self.kept.entry(id.clone()).or_insert(*end);
            *at = (*at).max(*end);
        }
        kept
    }

    fn block(&mut self, why: Blocked, error: &'static str, now_ms: i64, message: &str) {
        self.blocked = Some(why);
        self.tell(error, now_ms, message);
    }

    /// Counts every time, says it once a minute.
    fn tell(&mut self, error: &'static str, now_ms: i64, message: &str) {
        self.parts.metrics.error(error);
        if self.told_ms.is_none_or(|told_ms| now_ms - told_ms >= TELL_EVERY_MS) {
            self.told_ms = Some(now_ms);
            tracing::warn!(sink = %self.parts.sink, "{message}");
        }
    }

    fn drop_newest(&mut self, lacking: Chunk, sent: &Positions, now_ms: i64) {
        // What is in the queue will be delivered.
        let lost = lacking.above(sent);
        let fates = lost.fates();
        let lines = fates.read - fates.dead_lettered;
        self.parts.ledger.hand_on(fates.read);
        let dead_lettered = fates.dead_lettered;
        self.parts.ledger.settle(Fates {
            read: fates.read,
            dropped: lines,
            dead_lettered,
            ..Fates::default()
        });
        self.parts.metrics.discarded(lines, true);
        self.parts.metrics.buffer_discarded(lines);
        for span in lost.batch.spans {
            let dropped = self.dropped.entry(span.stream.id.clone()).or_insert_with(|| Span {
                lines: 0,
                dead_lettered: 0,
                times: None,
                ended: false,
                broken: Some(DROPPED.into()),
                ..span.clone()
            });
            dropped.end = dropped.end.max(span.end);
        }
        let message = format!(
            "the buffer of {} bytes is full; lines that have no room are dropped for this sink, as when_full says",
            self.parts.quota.max()
        );
        self.tell("buffer_full", now_ms, &message);
    }

    /// The next chunk for the sink; nothing when the spool has no more, or cannot be read at the moment. `has_file`: the stream can be read from a file.
    pub(super) fn replay(&mut self, has_file: impl Fn(&StreamId) -> bool) -> Option<Chunk> {
        loop {
            let chunk = match self.parts.spool.next()? {
                Next::Chunk(chunk) => chunk,
                Next::Failed(error) => {
                    self.unreadable = true;
                    self.parts.metrics.error("buffer_failed");
                    tracing::warn!(sink = %self.parts.sink, %error,
                        "the buffer on disk cannot be read; it is tried again at the next look at the files");
                    return None;
                }
                Next::Damaged { lines, reason } => {
                    self.damaged += lines;
                    self.parts.metrics.error("buffer_damaged");
                    tracing::error!(sink = %self.parts.sink, lines, %reason,
                        "a record of the buffer on disk cannot be read; its lines are read from their files where they are there, a copy of the record is in quarantine");
                    continue;
                }
            };
            let mut from_file = Positions::new();
            for span in &chunk.batch.spans {
                let id = &span.stream.id;
                if span.start == span.end {
                    continue;
                }
                let at = self.reached(id).unwrap_or(span.start);
                if span.start > at && has_file(id) {
                    from_file.insert(id.clone(), u64::MAX);
                    continue;
                }
                if span.start > at {
                    self.lose(&span.stream.path, at, span.start);
                }
                self.replayed.insert(id.clone(), at.max(span.end));
            }
            let chunk = if from_file.is_empty() { chunk } else { chunk.above(&from_file) };
            if !chunk.is_empty() {
                return Some(chunk);
            }
        }
    }

    /// Ends a replay: what was dropped, as ranges that the sink passes, and the streams of which it has less than was
    /// kept, with how far it has come.
    pub(super) fn end_replay(&mut self) -> (Chunk, Positions) {
        let behind = |(id, &kept): (&StreamId, &u64)| {
            let reached = self.reached(id).filter(|&reached| reached < kept)?;
            Some((id.clone(), reached))
        };
        let back: Positions = self.kept.iter().filter_map(behind).collect();
        self.kept.retain(|id, _| !back.contains_key(id));
        if back.is_empty() {
            self.damaged = 0;
        }
        let mut passed = Chunk::default();
        for (_, span) in std::mem::take(&mut self.dropped) {
            self.replayed.insert(span.stream.id.clone(), span.end);
            passed.marks.push(Vec::new());
            passed.batch.spans.push(span);
        }
        (passed, back)
    }

    /// The sink has less than was thought: all that is there is replayed.
    pub(super) fn lower(&mut self, streams: &Positions) {
        self.kept.retain(|id, _| !streams.contains_key(id));
        self.replayed.retain(|id, _| !streams.contains_key(id));
        self.parts.spool.replay_again();
    }

    /// Lets go of what the sink has delivered.
    pub(super) fn release(&mut self) {
        let Parts { spool, checkpoints, sink, .. } = &mut self.parts;
        if spool.can_release(|id| checkpoints.position(sink, id)) {
            // After a kill, the checkpoint file must not say less than what is let go of.
            let released = checkpoints.save().map_err(std::io::Error::other).and_then(|()| spool.release());
            if let Err(error) = released {
                tracing::warn!(sink = %sink, %error, "cannot delete what the buffer on disk does not need any more");
            }
        }
        self.show();
    }

    /// Lines in damaged records of which nobody was told yet that they are lost; at least one.
    pub(super) fn take_damaged(&mut self) -> u64 {
        std::mem::take(&mut self.damaged).max(1)
    }

    fn lose(&mut self, path: &str, from: u64, to: u64) {
        let lines = self.take_damaged();
        lost(&self.parts.metrics, &self.parts.sink, path, from, to, lines);
    }

    /// How far the sink comes with what it has delivered and the spool.
    fn has(&self, id: &StreamId) -> Option<u64> {
        self.parts.checkpoints.position(&self.parts.sink, id).max(self.kept.get(id).copied())
    }

    /// How far the sink has come, with what was replayed and dropped.
    fn reached(&self, id: &StreamId) -> Option<u64> {
        let position = self.parts.checkpoints.position(&self.parts.sink, id);
        let dropped = self
            .dropped
            .get(id)
            .filter(|span| position.max(self.replayed.get(id).copied()) >= Some(span.start));
        position.max(self.replayed.get(id).copied()).max(dropped.map(|span| span.end))
    }

    fn show(&mut self) {
        let lines = i64::try_from(self.parts.spool.lines()).unwrap_or(i64::MAX);
        self.parts.metrics.buffered(lines - std::mem::replace(&mut self.shown, lines));
        self.parts.metrics.buffer_bytes(self.parts.quota.used());
    }
}

fn has_news(span: &Span) -> bool {
    span.start < span.end || span.ended || span.broken.is_some()
}

/// Counts and tells a loss of at least so many lines.
pub(super) fn lost(metrics: &ComponentMetrics, sink: &str, path: &str, from: u64, to: u64, lines: u64) {
    metrics.discarded(lines, false);
    metrics.error("lost");
    tracing::error!(
        sink,
        path,
        from,
        to,
        at_least = lines,
        "lines are lost for this sink: it lacks these bytes of the stream, and no file and no buffer holds them"
    );
}
