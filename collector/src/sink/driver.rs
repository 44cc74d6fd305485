//! The driver of every sink: it batches, retries, dead-letters what is rejected, and moves positions after delivery.

mod content;
mod message;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::time::{Sleep, sleep};

use super::{Batching, Refusal, SendError, Sink};
use crate::archived::Archived;
use crate::books::Ledger;
use crate::checkpoint::Checkpoints;
use crate::dead_letters::{DeadLetter, DeadLetters};
use crate::event::{Event, StreamId};
use crate::metrics::ComponentMetrics;
use crate::source::chunk::{Chunk, Positions};
use crate::traces;
use content::{content, size};
pub(crate) use message::{Message, Rewind};

/// First pause after a failure; doubled at each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest that a receiver may ask to be left alone.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What a driver works with.
pub(crate) struct Context {
    pub(crate) name: String,
    pub(crate) batching: Batching,
    pub(crate) checkpoints: Arc<Checkpoints>,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) ledger: Ledger,
    pub(crate) metrics: ComponentMetrics,
    /// Told how far the sink is.
    pub(crate) archived: Archived,
    /// How many sources feed the sink.
    pub(crate) sources: usize,
    /// How far the sink is.
    pub(crate) positions: Positions,
    /// The receiver is to be asked what it holds before anything more is sent: at start it did not say.
    pub(crate) ask: bool,
    /// Where the sources are told that it holds less than was thought.
    pub(crate) rewinds: Vec<mpsc::UnboundedSender<Rewind>>,
    /// Set when what is on its way is to be given up.
    pub(crate) give_up: watch::Receiver<bool>,
}

/// The process is told to stop; what was not delivered is read again by the next one.
struct GivenUp;

/// What became of a request.
enum Sent {
    Taken,
    TakenBut(Vec<Refusal>),
    Rejected(String),
    AskAgain,
}

impl Sent {
    fn rejected(&self) -> Option<&str> {
        match self {
            Self::Taken | Self::AskAgain => None,
            Self::TakenBut(refused) => refused.first().map(|refusal| &*refusal.reason),
            Self::Rejected(reason) => Some(reason),
        }
    }
}

struct Driver<S> {
    sink: S,
    context: Context,
    pending: Chunk,
    pending_bytes: usize,
    /// Since when the first of what is pending waits, for traces.
    pending_since: Option<SystemTime>,
    /// Everything below was taken from the queue.
    taken: Positions,
    /// Streams whose chunks are left out until the source has gone back.
    awaited: BTreeSet<StreamId>,
    caught_up: BTreeMap<usize, i64>,
    /// How often the sources were told to go back; what they had caught up with before counts no more.
    rewinds: u64,
    jitter: u64,
    failing: bool,
    /// Events that are pending, as the metric has it.
    shown: i64,
}

/// Runs a sink until its queue is closed and empty.
pub(crate) async fn drive<S: Sink>(sink: S, mut inbox: mpsc::Receiver<Message>, context: Context) {
    let jitter = context.name.bytes().fold(0x9e37_79b9_7f4a_7c15, |seed: u64, byte| {
        (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    let taken = context.positions.clone();
    let mut driver = Driver {
        sink,
        context,
        pending: Chunk::default(),
        pending_bytes: 0,
        pending_since: None,
        taken,
        awaited: BTreeSet::new(),
        caught_up: BTreeMap::new(),
        rewinds: 0,
        jitter,
        failing: false,
        shown: 0,
    };
    let _ = driver.run(&mut inbox).await;
    // Whoever waits for an answer learns from the closed channel that none will come.
    inbox.close();
}

impl<S: Sink> Driver<S> {
    async fn run(&mut self, inbox: &mut mpsc::Receiver<Message>) -> Result<(), GivenUp> {
        let mut deadline: Option<Pin<Box<Sleep>>> = None;
        loop {
            if deadline.is_none() && (S::HEARTBEAT || !self.pending.is_empty()) {
                deadline = Some(Box::pin(sleep(self.context.batching.timeout)));
            }
            let due = async {
                match &mut deadline {
                    Some(deadline) => deadline.await,
                    None => std::future::pending().await,
                }
            };
            let message = tokio::select! {
                biased;
                () = due => {
                    deadline = None;
                    self.flush(S::HEARTBEAT).await?;
                    continue;
                }
                message = inbox.recv() => message,
            };
            match message {
                Some(Message::Chunk { chunk, rewinds }) => {
                    if self.take(chunk, rewinds).await? {
                        deadline = None;
                    }
                }
                Some(Message::CaughtUp { source, at_ms, rewinds }) => {
                    if rewinds == self.rewinds {
                        self.caught_up.insert(source, at_ms);
                    }
                    // The others say so when they have delivered the watermark itself, and what an earlier run left.
                    if !S::HEARTBEAT && self.pending.is_empty() {
                        self.delivered_to(self.watermark());
                    }
                }
                Some(Message::Flush(answer)) => {
                    self.flush(S::HEARTBEAT).await?;
                    deadline = None;
                    let _ = answer.send(());
                }
                None => return self.flush(false).await,
            }
        }
    }

    /// Adds a chunk to what is pending; returns whether that was sent because it is enough.
    async fn take(&mut self, chunk: Chunk, rewinds: u64) -> Result<bool, GivenUp> {
        self.context.ledger.hand_on(chunk.lines());
        let Some(mut chunk) = self.wanted(chunk, rewinds) else { return Ok(false) };
        let mut sent = false;
        if !self.pending.joins(&chunk) {
            self.flush(false).await?;
            sent = true;
            // Meanwhile the receiver may have turned out to hold less.
            match self.wanted(chunk, rewinds) {
                Some(still) => chunk = still,
                None => return Ok(true),
            }
        }
        self.context.metrics.received(chunk.batch.events.len() as u64);
        for span in &chunk.batch.spans {
            self.taken.insert(span.stream.id.clone(), span.end);
        }
        self.pending_bytes += chunk.batch.events.iter().map(size).sum::<usize>();
        if self.pending.is_empty() {
            self.pending_since = telemetry::traces::now();
        }
        self.pending.join(chunk);
        let Batching { max_events, max_bytes, .. } = self.context.batching;
        if self.pending.batch.events.len() >= max_events || self.pending_bytes >= max_bytes {
            self.flush(false).await?;
            sent = true;
        }
        self.show_pending();
        Ok(sent)
    }

    /// The part of a chunk that was not taken before. `rewinds`: how often its source had gone back when it read it.
    fn wanted(&mut self, chunk: Chunk, rewinds: u64) -> Option<Chunk> {
        let lines = chunk.lines();
        let mut chunk = match chunk.reaches_below(&self.taken) {
            true => chunk.above(&self.taken),
            false => chunk,
        };
        if !self.awaited.is_empty() {
            chunk = self.leave_out_awaited(chunk, rewinds);
        }
        self.context.ledger.take_back(lines - chunk.lines());
        (!chunk.is_empty()).then_some(chunk)
    }

    /// What was read before the source went back comes again, as far as it is still there; what comes afterwards is all
    /// that there is, wherever it begins.
    fn leave_out_awaited(&mut self, chunk: Chunk, rewinds: u64) -> Chunk {
        let mut ahead = Positions::new();
        for span in &chunk.batch.spans {
            let id = &span.stream.id;
            if rewinds == self.rewinds {
                self.awaited.remove(id);
            } else if self.awaited.contains(id) {
                ahead.insert(id.clone(), u64::MAX);
            }
        }
        if ahead.is_empty() { chunk } else { chunk.above(&ahead) }
    }

    /// Delivers what is pending, or only the watermark if `always`.
    async fn flush(&mut self, always: bool) -> Result<(), GivenUp> {
        let mut pause = FIRST_PAUSE;
        let watermark = loop {
            self.ask_if_due().await?;
            if self.pending.is_empty() && !always {
                return Ok(());
            }
            let chunk = std::mem::take(&mut self.pending);
            self.pending_bytes = 0;
            let watermark = self.watermark();
            traces::queued(&self.context.name, &chunk, self.pending_since.take());
            let Some(rest) = self.deliver(chunk).await? else { break watermark };
            self.pending = rest;
            self.context.ask = true;
            self.pause(&mut pause, None).await?;
        };
        self.show_pending();
        self.delivered_to(watermark);
        Ok(())
    }

    fn show_pending(&mut self) {
        let events = i64::try_from(self.pending.batch.events.len()).unwrap_or(i64::MAX);
        self.context.metrics.buffered(events - std::mem::replace(&mut self.shown, events));
    }

    /// Delivers a chunk; gives back what is left of it when the receiver wants to be asked first what it holds.
    async fn deliver(&mut self, chunk: Chunk) -> Result<Option<Chunk>, GivenUp> {
        // Halves of a rejected chunk wait here, the first one on top.
        let mut parts = vec![chunk];
        while let Some(chunk) = parts.pop() {
            let mut request = self.sink.encode(&chunk, self.watermark().filter(|_| parts.is_empty()));
            let begun = telemetry::traces::now();
            let sent = self.send(&mut request).await?;
            traces::sent(&self.context.name, &chunk, begun, sent.rejected());
            match sent {
                Sent::Taken => self.settle(&chunk),
                Sent::TakenBut(refused) => self.settle_but(chunk, &refused).await?,
                Sent::AskAgain => {
                    let mut rest = chunk;
                    parts.into_iter().rev().for_each(|part| rest.join(part));
                    return Ok(Some(rest));
                }
                // Nothing to put aside: the spans alone are not worth a stop.
                Sent::Rejected(reason) if chunk.batch.events.is_empty() => {
                    tracing::error!(sink = self.context.name, %reason, "a request without events was rejected");
                    self.settle(&chunk);
                }
                Sent::Rejected(reason) => match chunk.halves() {
                    Ok((first, second)) => parts.extend([second, first]),
                    Err(record) => self.reject(record, &reason).await?,
                },
            }
        }
        Ok(None)
    }

    /// Sends until it is taken or rejected.
    async fn send(&mut self, request: &mut S::Request) -> Result<Sent, GivenUp> {
        let mut pause = FIRST_PAUSE;
        loop {
            // A receiver that takes a request and never answers must not hold up a stop.
            let sent = tokio::select! {
                sent = self.sink.send(request) => sent,
                _ = self.context.give_up.wait_for(|&give_up| give_up) => return Err(GivenUp),
            };
            let (after, reason) = match sent {
                Ok(()) => {
                    self.works();
                    return Ok(Sent::Taken);
                }
                Err(SendError::RejectSome(refused)) => {
                    self.works();
                    return Ok(Sent::TakenBut(refused));
                }
                Err(SendError::Reject { reason }) => return Ok(Sent::Rejected(reason)),
                Err(SendError::AskAgain { reason }) => {
                    tracing::warn!(sink = self.context.name, %reason,
                        "the receiver holds something else than was thought; asking what");
                    return Ok(Sent::AskAgain);
                }
                Err(SendError::Retry { after, reason }) => (after, reason),
            };
            self.failed(&reason);
            self.pause(&mut pause, after).await?;
        }
    }

    /// Asks the receiver what it holds where it did not answer at start, or wants to be asked.
    async fn ask_if_due(&mut self) -> Result<(), GivenUp> {
        if !self.context.ask {
            return Ok(());
        }
        let mut pause = FIRST_PAUSE;
        let held = loop {
            match self.sink.recover().await {
                Ok(held) => break held,
                Err(SendError::Retry { after, reason }) => {
                    self.failed(&reason);
                    self.pause(&mut pause, after).await?;
                }
                Err(reason) => {
                    tracing::warn!(sink = self.context.name, %reason,
                        "the receiver will not say what it holds; the checkpoint file counts");
                    break None;
                }
            }
        };
        self.context.ask = false;
        if let Some(held) = held {
            self.start_from(held);
        }
        Ok(())
    }

    fn start_from(&mut self, held: Positions) {
        let pending = std::mem::take(&mut self.pending);
        let before = pending.lines();
        let start = |id: &StreamId| held.get(id).copied().unwrap_or(0);
        let lower: BTreeSet<StreamId> = self
            .context
            .positions
            .iter()
            .filter(|(id, at)| start(id) < **at)
            .map(|(id, _)| id.clone())
            .collect();
        let left_out: Positions = lower.iter().map(|id| (id.clone(), u64::MAX)).collect();
        self.pending = pending.above(&held).above(&left_out);
        self.pending_bytes = self.pending.batch.events.iter().map(size).sum();
        self.context.ledger.take_back(before - self.pending.lines());
        for (id, taken) in &mut self.taken {
            *taken = if lower.contains(id) { start(id) } else { (*taken).max(start(id)) };
        }
        for (id, &at) in &held {
            self.taken.entry(id.clone()).or_insert(at);
        }
        self.context.positions.clone_from(&held);
        self.context.checkpoints.correct(&self.context.name, &held);
        let back: Positions = lower.iter().map(|id| (id.clone(), start(id))).collect();
        self.awaited.extend(lower);
        if !back.is_empty() {
            self.go_back(&back);
        }
    }

    fn go_back(&mut self, positions: &Positions) {
        tracing::warn!(
            sink = self.context.name,
            streams = positions.len(),
            "the receiver lacks what it had or was thought to have; reading it again from the files that are left"
        );
        self.rewinds += 1;
        self.caught_up.clear();
        for source in &self.context.rewinds {
            let _ = source.send(Rewind { sink: self.context.name.clone(), positions: positions.clone() });
        }
    }

    fn settle(&mut self, chunk: &Chunk) {
        let moved: Positions =
            chunk.batch.spans.iter().map(|span| (span.stream.id.clone(), span.end)).collect();
        self.context.positions.extend(moved.clone());
        self.context.checkpoints.advance(&self.context.name, &moved);
        self.context.ledger.settle(chunk.fates());
        self.context.metrics.sent(chunk.batch.events.len() as u64);
    }

    /// Everything that was written before the instant is settled.
    fn delivered_to(&self, watermark_ms: Option<i64>) {
        let Some(at_ms) = watermark_ms else { return };
        self.context.metrics.delivered_to(at_ms);
        self.context.archived.delivered_to(&self.context.name, at_ms);
    }

    /// Settles what was taken, and what was refused of it when that is in the dead-letter store.
    async fn settle_but(&mut self, chunk: Chunk, refused: &[Refusal]) -> Result<(), GivenUp> {
        for Refusal { event, reason } in refused {
            if let Some(event) = chunk.batch.events.get(*event) {
                self.keep(event, reason).await?;
            }
        }
        let places = refused.iter().map(|refusal| refusal.event).collect();
        self.settle(&chunk.partly_dead_lettered(&places));
        Ok(())
    }

    async fn reject(&mut self, chunk: Chunk, reason: &str) -> Result<(), GivenUp> {
        for event in &chunk.batch.events {
            self.keep(event, reason).await?;
        }
        // The receiver learns that the bytes are dealt with, so that its own account of them has no hole.
        let covered = chunk.dead_lettered();
        let mut request = self.sink.encode(&covered, None);
        match self.send(&mut request).await? {
            Sent::Taken | Sent::TakenBut(_) => {}
            // Settled here it would be taken for held; as it is not, the answer to the question will say so.
            Sent::AskAgain => self.context.ask = true,
            Sent::Rejected(reason) => {
                tracing::error!(sink = self.context.name, %reason, "the range of a rejected record was rejected too");
            }
        }
        self.settle(&covered);
        Ok(())
    }

    /// Puts an event into the dead-letter store.
    async fn keep(&mut self, event: &Event, reason: &str) -> Result<(), GivenUp> {
        let place = &event.place;
        let content = content(event);
        let letter = DeadLetter::new(&place.stream, place.offset, &self.context.name, reason, &content, None);
        let letter = DeadLetter { index: place.index, ..letter };
        tracing::warn!(sink = self.context.name, path = place.stream.path, offset = place.offset, %reason,
            "the sink rejects an event; it is in the dead-letter store");
        self.context.metrics.error("dead_lettered");
        self.context.metrics.discarded(1, false);
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.context.dead_letters.keep(&letter) {
            self.failed(&format!("cannot keep a dead letter: {error}"));
            self.pause(&mut pause, None).await?;
        }
        Ok(())
    }

    fn works(&mut self) {
        if std::mem::take(&mut self.failing) {
            tracing::info!(sink = self.context.name, "the sink takes requests again");
        }
    }

    fn failed(&mut self, reason: &str) {
        self.context.metrics.error("request_failed");
        // Once a failure, not once a try.
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(sink = self.context.name, %reason, "the sink failed; trying again until it takes the request");
        }
    }

    async fn pause(&mut self, pause: &mut Duration, after: Option<Duration>) -> Result<(), GivenUp> {
        // xorshift: between half and all of the pause, so that many collectors do not come back at once.
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        // What the receiver asks for comes on top: else all would come back at the same instant, or at once.
        let asked = after.unwrap_or_default().min(LONGEST_ASKED);
        let length = asked + *pause / 2 + *pause * u32::try_from(self.jitter % 512).unwrap_or(0) / 1024;
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        tokio::select! {
            () = sleep(length) => Ok(()),
            _ = self.context.give_up.wait_for(|&give_up| give_up) => Err(GivenUp),
        }
    }

    fn watermark(&self) -> Option<i64> {
        let all = self.caught_up.len() == self.context.sources;
        self.caught_up.values().min().copied().filter(|_| all)
    }
}
