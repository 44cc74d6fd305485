//! The way of a source's chunks: through its own copy of the transforms, into the queues of the sinks that consume it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::{mpsc, oneshot};

use super::backlog::{Backlog, Plan};
use super::outlet::{Outlet, PATIENCE};
use crate::checkpoint::Checkpoints;
use crate::config::{Config, Name};
use crate::event::{Batch, Event, Span, StreamId};
use crate::metrics::{ComponentMetrics, Metrics};
use crate::sink::{Message, Rewind};
use crate::source::SourceConfig;
use crate::source::chunk::{Chunk, Positions};
use crate::source::tails::{Ending, Missing};
use crate::traces;
use crate::transform::sli::FormatsSeen;
use crate::transform::{Transform, TransformConfig};

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

/// The sinks have stopped.
pub(super) struct Gone;

impl FanOut {
    /// The part of the configuration that lies behind a source; `queues`, `positions` and `backlogs` by name of the sink.
    pub(super) fn new(
        config: &Config,
        number: usize,
        (queues, positions): (&BTreeMap<Name, mpsc::Sender<Message>>, &BTreeMap<Name, Positions>),
        mut backlogs: BTreeMap<Name, Backlog>,
        formats: &Arc<FormatsSeen>,
        (metrics, checkpoints): (&Metrics, &Arc<Checkpoints>),
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
            Some(Outlet::new(
                name,
                inside(inputs),
                queues.get(name)?.clone(),
                metrics.component(name, "sink", sink.kind()),
                checkpoints.clone(),
                positions.get(name).cloned().unwrap_or_default(),
                backlogs.remove(name),
            ))
        });
        let rereads = !matches!(config.sources[number].1, SourceConfig::Stdin(_));
        Self { number, rereads, steps: steps.collect(), outlets: outlets.collect(), source }
    }

    /// Hands a chunk to every sink that does not have it yet. Where a queue stays full while other sinks take theirs, that
    /// sink falls behind; what it will not find in the files goes to its spool.
    pub(super) async fn hand_on(&mut self, chunk: Chunk, now_ms: i64) -> Result<(), Gone> {
        self.outlets.iter_mut().for_each(|outlet| outlet.spool(&chunk, now_ms));
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
            let alone = self.outlets.len() == 1;
            self.outlets[at].send(chunk, others, alone).await?;
        }
        Ok(())
    }

    /// Gives sinks that were behind and have emptied their queues what is in their spools. Returns those whose spools are
    /// replayed to the end, by number, with where to go back to in the files. `has_file`: the stream can be read there.
    pub(super) fn resume(
        &mut self,
        has_file: impl Fn(&StreamId) -> bool,
    ) -> Result<Vec<(usize, Positions)>, Gone> {
        let mut recovered = Vec::new();
        for at in 0..self.outlets.len() {
            if let Some(backlog) = &mut self.outlets[at].backlog {
                backlog.unreadable = false;
            }
            if self.outlets[at].is_ready() && !self.replay(at, &has_file)? {
                recovered.push((at, self.outlets[at].recovered()));
            }
        }
        Ok(recovered)
    }

    /// Fills a sink's queue from its spool; whether there was anything, or may be once the disk answers again.
    fn replay(&mut self, at: usize, has_file: impl Fn(&StreamId) -> bool) -> Result<bool, Gone> {
        let mut any = false;
        while let Some(room) = self.outlets[at].room()? {
            let backlog = self.outlets[at].backlog.as_mut();
            let Some(Chunk { batch, marks, .. }) = backlog.and_then(|backlog| backlog.replay(&has_file))
            else {
                break;
            };
            let spans = batch.spans.clone();
            let (outputs, dropped) = self.transform(batch, &spans);
            let batch = input(&outputs, &self.outlets[at].inputs, &spans);
            let rewinds = self.outlets[at].rewinds;
            room.send(Message::Chunk { chunk: Chunk { batch, marks, dropped }, rewinds });
            any = true;
        }
        Ok(any || self.outlets[at].backlog.as_ref().is_some_and(|backlog| backlog.unreadable))
    }

    /// Ends when a sink that was behind has emptied its queue; never if none is behind.
    pub(super) async fn ready(&self) {
        let unreadable = |outlet: &Outlet| outlet.backlog.as_ref().is_some_and(|backlog| backlog.unreadable);
        let behind = self.outlets.iter().filter(|outlet| outlet.behind && !unreadable(outlet));
        let all = |outlet: &Outlet| (outlet.queue.clone(), outlet.queue.max_capacity());
        let mut empty: Vec<_> = behind
            .map(all)
            .map(|(queue, all)| Box::pin(async move { drop(queue.reserve_many(all).await) }))
            .collect();
        std::future::poll_fn(|cx| match empty.iter_mut().any(|empty| empty.as_mut().poll(cx).is_ready()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    /// What has to be put into spools, now that these streams end.
    pub(super) fn plan(&mut self, endings: &[Ending], now_ms: i64) -> Plan {
        let mut plan = Plan::default();
        self.outlets.iter_mut().for_each(|outlet| outlet.plan(endings, now_ms, &mut plan));
        plan
    }

    /// Whether nobody takes anything: all sinks are behind, and nothing is to be put into a spool.
    pub(super) fn is_idle(&self) -> bool {
        let busy = |outlet: &Outlet| !outlet.behind || outlet.backlog.as_ref().is_some_and(Backlog::is_busy);
        !self.outlets.is_empty() && !self.outlets.iter().any(busy)
    }

    /// Lets go of what is in spools and delivered.
    pub(super) fn release(&mut self) {
        self.outlets.iter_mut().filter_map(|outlet| outlet.backlog.as_mut()).for_each(Backlog::release);
    }

    /// Whether a sink is behind.
    pub(super) fn is_behind(&self) -> bool {
        self.outlets.iter().any(|outlet| outlet.behind)
    }

    /// Says what a sink will never get, or all of them.
    pub(super) fn missing(&mut self, at: Option<usize>, missing: &[Missing]) {
        match at {
            Some(at) => self.outlets[at].missing(missing),
            None => self.outlets.iter_mut().for_each(|outlet| outlet.missing(missing)),
        }
    }

    /// Says what sinks will never get of streams of earlier runs.
    pub(super) fn unfound(&mut self, unfound: &[Missing]) {
        self.outlets.iter_mut().for_each(|outlet| outlet.unfound(unfound));
    }

    /// A sink has less than was thought.
    pub(super) fn lower(&mut self, back: &Rewind) {
        for outlet in self.outlets.iter_mut().filter(|outlet| *outlet.sink == *back.sink) {
            outlet.lower(back);
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
    pub(super) fn flush(&self) -> impl Future<Output = Result<(), Gone>> + use<> {
        let queues: Vec<_> = self.outlets.iter().map(|outlet| outlet.queue.clone()).collect();
        async move {
            let mut answers = Vec::new();
            for queue in queues {
                let (answer, delivered) = oneshot::channel();
                queue.send(Message::Flush(answer)).await.map_err(|_| Gone)?;
                answers.push(delivered);
            }
            for delivered in answers {
                delivered.await.map_err(|_| Gone)?;
            }
            Ok(())
        }
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
