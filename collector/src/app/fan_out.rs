//! The way of a source's chunks: through its own copy of the transforms, into the queues of the sinks that consume it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::config::{Config, Name};
use crate::event::{Batch, Event, StreamId};
use crate::metrics::{ComponentMetrics, Metrics};
use crate::sink::Message;
use crate::source::chunk::Chunk;
use crate::transform::sli::FormatsSeen;
use crate::transform::{Transform, TransformConfig};

/// From one source to its sinks.
pub(super) struct FanOut {
    source: Name,
    number: usize,
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
pub(super) struct Outlet {
    pub(super) inputs: Vec<Name>,
    pub(super) queue: mpsc::Sender<Message>,
}

impl FanOut {
    /// The part of the configuration that lies behind a source; `queues` by name of the sink.
    pub(super) fn new(
        config: &Config,
        number: usize,
        queues: &BTreeMap<Name, mpsc::Sender<Message>>,
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
        let outlets = sinks.filter_map(|(name, inputs, _)| {
            Some(Outlet { inputs: inside(inputs), queue: queues.get(name)?.clone() })
        });
        Self { number, steps: steps.collect(), outlets: outlets.collect(), source }
    }

    /// Hands a chunk to every sink; waits where a queue is full. An error: the sinks have stopped.
    pub(super) async fn hand_on(&mut self, chunk: Chunk) -> Result<(), ()> {
        let Chunk { batch, marks, .. } = chunk;
        let spans = batch.spans.clone();
        let mut outputs: BTreeMap<Name, Batch> = BTreeMap::from([(self.source.clone(), batch)]);
        let mut dropped = BTreeSet::new();
        for at in 0..self.steps.len() {
            let input = self.input(&outputs, &self.steps[at].inputs, &spans);
            let step = &mut self.steps[at];
            let (before, count) = (step.drops.then(|| records(&input.events)), input.events.len() as u64);
            let output = step.transform.apply(input);
            step.note(count, output.events.len() as u64);
            if let Some(before) = before {
                dropped.extend(&before - &records(&output.events));
            }
            outputs.insert(step.name.clone(), output);
        }
        for outlet in &self.outlets {
            let batch = self.input(&outputs, &outlet.inputs, &spans);
            let chunk = Chunk { batch, marks: marks.clone(), dropped: dropped.clone() };
            outlet.queue.send(Message::Chunk(chunk)).await.map_err(drop)?;
        }
        Ok(())
    }

    /// Tells every sink that all that was written before the instant was handed on.
    pub(super) async fn caught_up(&self, at_ms: i64) -> Result<(), ()> {
        for outlet in &self.outlets {
            outlet.queue.send(Message::CaughtUp { source: self.number, at_ms }).await.map_err(drop)?;
        }
        Ok(())
    }

    /// Waits until every sink has delivered what was handed on.
    pub(super) async fn flush(&self) -> Result<(), ()> {
        let mut answers = Vec::new();
        for outlet in &self.outlets {
            let (answer, delivered) = oneshot::channel();
            outlet.queue.send(Message::Flush(answer)).await.map_err(drop)?;
            answers.push(delivered);
        }
        for delivered in answers {
            delivered.await.map_err(drop)?;
        }
        Ok(())
    }

    fn input(&self, outputs: &BTreeMap<Name, Batch>, names: &[Name], spans: &[crate::event::Span]) -> Batch {
        let mut events = Vec::new();
        for name in names {
            events.extend(outputs.get(name).map(|batch| batch.events.clone()).unwrap_or_default());
        }
        if names.len() > 1 {
            renumber(&mut events, spans);
        }
        Batch { events, spans: spans.to_vec() }
    }
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
fn renumber(events: &mut [Event], spans: &[crate::event::Span]) {
    let order: BTreeMap<&str, usize> =
        spans.iter().enumerate().map(|(at, span)| (&*span.stream.id, at)).collect();
    events.sort_by_key(|event| (order.get(&*event.place.stream.id).copied(), event.place.offset));
    for at in 1..events.len() {
        let (before, here) = (&events[at - 1].place, &events[at].place);
        let same = before.stream.id == here.stream.id && before.offset == here.offset;
        events[at].place.index = if same { before.index + 1 } else { 0 };
    }
}
