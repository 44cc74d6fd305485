//! The spans of lines on their way through the collector, told when a hop is over; without traces, one branch each.

use std::ops::Range;
use std::time::SystemTime;

use slo::counts::CountsRequest;
use telemetry::traces::{self, Fact, Hop, SpanKind};

use crate::event::Span;
use crate::source::chunk::Chunk;

/// The first hop of every line; the others name it as what they follow.
const READ: &str = "read";
/// From the sink's queue to its request.
const QUEUE: &str = "queue";
/// Counts to the engine, whichever sink does it: the engine names it as what it follows.
const POST: &str = "post counts";

/// A source made a chunk.
pub(crate) fn read(source: &str, chunk: &Chunk, begun: Option<SystemTime>) {
    let Some(begun) = begun else { return };
    let facts = vec![Fact::new("headroom.source", source.to_owned())];
    Hop { facts, ..hop(READ, "", None, begun) }.record(ranges(&chunk.batch.spans));
}

/// A chunk went through the transforms of its source.
pub(crate) fn transformed(source: &str, spans: &[Span], begun: Option<SystemTime>) {
    let Some(begun) = begun else { return };
    hop("transform", source, Some((READ, "")), begun).record(ranges(spans));
}

/// A chunk waited for its request.
pub(crate) fn queued(sink: &str, chunk: &Chunk, begun: Option<SystemTime>) {
    let Some(begun) = begun else { return };
    hop(QUEUE, sink, Some((READ, "")), begun).record(ranges(&chunk.batch.spans));
}

/// A request was taken or rejected, after however many tries.
pub(crate) fn sent(sink: &str, chunk: &Chunk, begun: Option<SystemTime>, rejected: Option<&str>) {
    let Some(begun) = begun else { return };
    let events = i64::try_from(chunk.batch.events.len()).unwrap_or(i64::MAX);
    let facts = vec![Fact::new("headroom.events", events)];
    let error = rejected.map(str::to_owned);
    let hop = Hop { kind: SpanKind::Client, facts, error, ..hop("send", sink, Some((QUEUE, sink)), begun) };
    hop.record(ranges(&chunk.batch.spans));
}

/// Counts were posted once, with or without success.
pub(crate) fn posted(request: &CountsRequest, begun: Option<SystemTime>, error: Option<String>) {
    let Some(begun) = begun else { return };
    let hop = Hop { kind: SpanKind::Client, error, ..hop(POST, "", Some((READ, "")), begun) };
    hop.record(request.streams.iter().map(|report| (&*report.stream, report.range.start..report.range.end)));
}

/// The W3C header `traceparent` of a request with counts: that of its first lines.
pub(crate) fn traceparent(request: &CountsRequest) -> Option<String> {
    let report = request.streams.iter().find(|report| report.range.start < report.range.end)?;
    traces::traceparent(POST, "", &report.stream, report.range.start..report.range.end)
}

fn hop<'a>(
    name: &'static str,
    component: &'a str,
    after: Option<(&'static str, &'a str)>,
    begun: SystemTime,
) -> Hop<'a> {
    Hop { name, component, after, kind: SpanKind::Internal, begun, facts: Vec::new(), error: None }
}

fn ranges(spans: &[Span]) -> impl Iterator<Item = (&str, Range<u64>)> {
    spans.iter().map(|span| (&*span.stream.id, span.start..span.end))
}
