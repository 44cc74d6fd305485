//! The way of a source's chunks: through its own copy of the transforms, into the queues of the sinks that consume it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::config::{Config, Name};
use crate::event::{Batch, Event, Span, StreamId};
use crate::metrics::{ComponentMetrics, Metrics};
use crate::sink::{Message, Rewind};
use crate::source::SourceConfig;
use crate::source::chunk::{Chunk, Positions};
use crate::traces;
use crate::transform::sli::FormatsSeen;
use crate::transform::{Transform, TransformConfig};

/// How long a full queue is waited for before its sink counts as behind.
const PATIENCE: Duration = Duration::from_secs(2);

/// Events by the name of the component that they come out of.
type Outputs = BTreeMap<Name, Batch>;

/// From one source to its sinks.
pub(super) struct FanOut {
    source: Name,
    number: usize,
    /// What a sink missed can be read again.
    rereads: bool,
    steps: Vec<Step>,
    outlets: Vec<Outlet>,
}

struct Step {
    name: Name,
    inputs: Vec<Name>,
    transform: Transform,
    /// What it leaves out failed, rather than being filtered.
    drops: bool,
    metrics: ComponentMetrics,
}

/// A sink that consumes the source.
struct Outlet {
    sink: Name,
    inputs: Vec<Name>,
    queue: mpsc::Sender<Message>,
    metrics: ComponentMetrics,
    /// Everything below was put into the queue, or is delivered.
    sent: Positions,
    /// How often the source went back for it.
    rewinds: u64,
    /// It did not keep up: it gets nothing until its queue is empty, then the source goes back for it.
    behind: bool,
}

/// The sinks have stopped.
pub(super) struct Gone;

impl FanOut {
    /// The part of the configuration that lies behind a source; `queues` and `positions` by name of the sink.
    pub(super) fn new(
        config: &Config,
        number: usize,
        queues: &BTreeMap<Name, mpsc::Sender<Message>>,
        positions: &BTreeMap<Name, Positions>,
        formats: &Arc<FormatsSeen>,
        metrics: &Metrics,
    ) -> Self {
        let source = config.sources[number].0.clone();
        let reached = reached(config, &source);
        let inside =
            |inputs: &[Name]| inputs.iter().filter(|name| reached.contains(*name)).cloned().collect();
        let steps = config.transforms.iter().filter(|(name, ..)| reached.contains(name));
        let steps = steps.map(|(name, inputs, transform)| Step {
            name: name.clone(),
            inputs: inside(inputs),
            transform: Transform::new(transform, formats),
            drops: matches!(transform, TransformConfig::Remap(_)),
            metrics: metrics.component(name, "transform", transform.kind()),
        });
        let sinks = config.sinks.iter().filter(|(name, ..)| reached.contains(name));
        let outlets = sinks.filter_map(|(name, inputs, sink)| {
            Some(Outlet {
                sink: name.clone(),
                inputs: inside(inputs),
                queue: queues.get(name)?.clone(),
                metrics: metrics.component(name, "sink", sink.kind()),
                sent: positions.get(name).cloned().unwrap_or_default(),
                rewinds: 0,
                behind: false,
            })
        });
        let rereads = !matches!(config.sources[number].1, SourceConfig::Stdin(_));
        Self { number, rereads, steps: steps.collect(), outlets: outlets.collect(), source }
    }

    /// Hands a chunk to every sink that does not have it yet. Where a queue stays full while other sinks take theirs, that
    /// sink falls behind.
    pub(super) async fn hand_on(&mut self, chunk: Chunk) -> Result<(), Gone> {
        let wanted = |outlet: &Outlet| !outlet.behind && outlet.lacks(&chunk);
        let takers: Vec<usize> = (0..self.outlets.len()).filter(|&at| wanted(&self.outlets[at])).collect();
        if takers.is_empty() {
            return Ok(());
        }
        let Chunk { batch, marks, .. } = chunk;
        let spans = batch.spans.clone();
        let begun = telemetry::traces::now();
        let (outputs, dropped) = self.transform(batch, &spans);
        traces::transformed(&self.source, &spans, begun);
        for at in takers {
            let batch = input(&outputs, &self.outlets[at].inputs, &spans);
            let chunk = Chunk { batch, marks: marks.clone(), dropped: dropped.clone() };
            let others = self.rereads && self.outlets.iter().filter(|outlet| !outlet.behind).count() > 1;
            self.outlets[at].send(chunk, others).await?;
        }
        Ok(())
    }

    /// The positions to go back to for sinks that were behind and have emptied their queues; nothing if there are none.
    pub(super) fn recovered(&mut self) -> Vec<Positions> {
        let ready =
            |outlet: &&mut Outlet| outlet.behind && outlet.queue.capacity() == outlet.queue.max_capacity();
        let recovered = self.outlets.iter_mut().filter(ready).map(|outlet| {
            outlet.behind = false;
            tracing::info!(sink = %outlet.sink, "the sink keeps up again; reading what it lacks");
            outlet.sent.clone()
        });
        recovered.collect()
    }

    /// A sink has less than was thought.
    pub(super) fn lower(&mut self, back: &Rewind) {
        for outlet in self.outlets.iter_mut().filter(|outlet| *outlet.sink == *back.sink) {
            outlet.sent.extend(back.positions.clone());
            outlet.rewinds += 1;
        }
    }

    /// Tells every sink that all that was written before the instant was handed on.
    pub(super) async fn caught_up(&self, at_ms: i64) -> Result<(), Gone> {
        for outlet in self.outlets.iter().filter(|outlet| !outlet.behind) {
            let message = Message::CaughtUp { source: self.number, at_ms, rewinds: outlet.rewinds };
            // One that stays full hears it the next time: a watermark may be late, but never early.
            if let Ok(told) = tokio::time::timeout(PATIENCE, outlet.queue.send(message)).await {
                told.map_err(|_| Gone)?;
            }
        }
        Ok(())
    }

    /// Waits until every sink has delivered what was handed on.
    pub(super) async fn flush(&self) -> Result<(), Gone> {
        let mut answers = Vec::new();
        for outlet in &self.outlets {
            let (answer, delivered) = oneshot::channel();
            outlet.queue.send(Message::Flush(answer)).await.map_err(|_| Gone)?;
            answers.push(delivered);
        }
        for delivered in answers {
            delivered.await.map_err(|_| Gone)?;
        }
        Ok(())
    }

    /// What comes out of each component, and which records a `remap` dropped.
    fn transform(&mut self, batch: Batch, spans: &[Span]) -> (Outputs, BTreeSet<(StreamId, u64)>) {
        let mut outputs: Outputs = BTreeMap::from([(self.source.clone(), batch)]);
        let mut dropped = BTreeSet::new();
        for step in &mut self.steps {
            let input = input(&outputs, &step.inputs, spans);
            let (before, count) = (step.drops.then(|| records(&input.events)), input.events.len() as u64);
            let output = step.transform.apply(input);
            step.note(count, output.events.len() as u64);
            if let Some(before) = before {
                dropped.extend(&before - &records(&output.events));
            }
            outputs.insert(step.name.clone(), output);
        }
        (outputs, dropped)
    }
}

impl Outlet {
    /// Whether the chunk has news for the sink.
    fn lacks(&self, chunk: &Chunk) -> bool {
        chunk.batch.spans.iter().any(|span| {
            let sent = self.sent.get(&span.stream.id).copied();
            sent.is_none_or(|sent| sent < span.end)
                || span.start == span.end
                || span.ended
                || span.broken.is_some()
        })
    }

    async fn send(&mut self, chunk: Chunk, others: bool) -> Result<(), Gone> {
        let chunk = if chunk.reaches_below(&self.sent) { chunk.above(&self.sent) } else { chunk };
        if chunk.is_empty() {
            return Ok(());
        }
        let room = self.queue.reserve();
        // Alone, there is nobody to wait for: the files are the buffer.
        let room = match others {
            true => tokio::time::timeout(PATIENCE, room).await,
            false => Ok(room.await),
        };
        let Ok(room) = room else {
            self.behind = true;
            self.metrics.error("lagging");
            tracing::warn!(sink = %self.sink,
                "the sink does not keep up; the others go on, it will get what it lacks from the files");
            return Ok(());
        };
        for span in &chunk.batch.spans {
            self.sent.insert(span.stream.id.clone(), span.end);
        }
        room.map_err(|_| Gone)?.send(Message::Chunk(chunk));
        Ok(())
    }
}

/// The events that come in by several names.
fn input(outputs: &Outputs, names: &[Name], spans: &[Span]) -> Batch {
    let mut events = Vec::new();
    for name in names {
        events.extend(outputs.get(name).map(|batch| batch.events.clone()).unwrap_or_default());
    }
    if names.len() > 1 {
        renumber(&mut events, spans);
    }
    Batch { events, spans: spans.to_vec() }
}

impl Step {
    fn note(&self, before: u64, after: u64) {
        self.metrics.received(before);
        self.metrics.sent(after);
        self.metrics.discarded(before.saturating_sub(after), true);
    }
}

/// The components behind a source, itself with them.
pub(super) fn reached(config: &Config, source: &Name) -> BTreeSet<Name> {
    let mut reached = BTreeSet::from([source.clone()]);
    let transforms = config.transforms.iter().map(|(name, inputs, _)| (name, inputs));
    for (name, inputs) in transforms.chain(config.sinks.iter().map(|(name, inputs, _)| (name, inputs))) {
        if inputs.iter().any(|input| reached.contains(input)) {
            reached.insert(name.clone());
        }
    }
    reached
}

fn records(events: &[Event]) -> BTreeSet<(StreamId, u64)> {
    events.iter().map(|event| (event.place.stream.id.clone(), event.place.offset)).collect()
}

/// Brings the events of several inputs into stream order; events of one record get numbers of their own.
fn renumber(events: &mut [Event], spans: &[Span]) {
    let order: BTreeMap<&str, usize> =
        spans.iter().enumerate().map(|(at, span)| (&*span.stream.id, at)).collect();
    events.sort_by_key(|event| (order.get(&*event.place.stream.id).copied(), event.place.offset));
    for at in 1..events.len() {
        let (before, here) = (&events[at - 1].place, &events[at].place);
        let same = before.stream.id == here.stream.id && before.offset == here.offset;
        events[at].place.index = if same { before.index + 1 } else { 0 };
    }
}
