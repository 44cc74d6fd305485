//! Own traces by OTLP: ids follow from what travels, and a span is made when it has ended.

mod exporter;
mod ids;
mod sampling;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::SpanData;
use prometheus::Registry;

use exporter::Exporter;
use ids::pieces;
use sampling::Sampling;

pub use exporter::TracesError;
pub use ids::Trace;
pub use opentelemetry::trace::SpanKind;

/// A fact about a span, by its name.
pub type Fact = KeyValue;

/// How long the last spans may take to leave when the process ends.
const FLUSH_WITHIN: Duration = Duration::from_secs(5);

/// Set once by `start`, and by that the one branch that everything costs where traces are off.
static ACTIVE: OnceLock<Active> = OnceLock::new();

struct Active {
    sampling: Sampling,
    exporter: Exporter,
}

/// Traces are written as long as it is there; dropped, it sends what is left, within 5 s.
#[derive(Debug)]
#[must_use]
pub struct Traces(());

/// Something that took place within a trace.
#[derive(Clone, Debug)]
pub struct Span {
    /// Of which trace.
    pub trace: Trace,
    /// Its own id, as [`Trace::span`] gives it.
    pub id: u64,
    /// The id of the span that it is part of, which may be told later or by another process.
    pub parent: Option<u64>,
    /// What was done.
    pub name: &'static str,
    /// On which side of a request.
    pub kind: SpanKind,
    /// When it began.
    pub begun: SystemTime,
    /// When it had ended.
    pub ended: SystemTime,
    /// More about it.
    pub facts: Vec<Fact>,
    /// Why it failed.
    pub error: Option<String>,
}

/// Something that took place with the lines of byte ranges: a span in the trace of each stretch of theirs.
#[derive(Clone, Debug)]
pub struct Hop<'a> {
    /// What was done.
    pub name: &'static str,
    /// By which component; empty where there is only one.
    pub component: &'a str,
    /// Name and component of the hop before it, which met a range with the same beginning.
    pub after: Option<(&'static str, &'a str)>,
    /// On which side of a request.
    pub kind: SpanKind,
    /// When it began.
    pub begun: SystemTime,
    /// More about it.
    pub facts: Vec<Fact>,
    /// Why it failed.
    pub error: Option<String>,
}

/// Writes traces from now on, if the environment names where to; `service` is what the process is called unless
/// `OTEL_SERVICE_NAME` says otherwise. To be called once, by `main`.
///
/// # Errors
/// An environment variable holds what is not allowed.
pub fn start(service: &'static str) -> Result<Option<Traces>, TracesError> {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let Some(sampling) = Sampling::of(&env).map_err(TracesError::Setting)? else { return Ok(None) };
    let exporter = Exporter::start(service, env("OTEL_SERVICE_NAME"))?;
    let _ = ACTIVE.set(Active { sampling, exporter });
    Ok(Some(Traces(())))
}

/// Adds what became of spans to a registry; nothing where traces are off.
pub(crate) fn register(registry: &Registry) {
    if let Some(active) = ACTIVE.get() {
        // Two programs of one process share one exporter and may share a registry.
        let _ = registry.register(Box::new(active.exporter.spans()));
    }
}

/// The time, where traces are on: what is begun now may be told when it has ended.
#[expect(
    clippy::disallowed_methods,
    reason = "spans are of the wall clock, whatever the clock of the caller"
)]
pub fn now() -> Option<SystemTime> {
    ACTIVE.get().map(|_| SystemTime::now())
}

/// Tells a span. Never waits: a span that finds no room is dropped and counted.
pub fn record(span: Span) {
    if let Some(active) = ACTIVE.get().filter(|active| active.sampling.takes(span.trace)) {
        active.exporter.hand_over(data(span));
    }
}

/// What a request about lines from `range` on carries as the W3C header `traceparent`, where traces are on.
pub fn traceparent(name: &str, component: &str, stream: &str, range: Range<u64>) -> Option<String> {
    let active = ACTIVE.get()?;
    let piece = pieces(stream, range).next()?;
    let span = piece.trace.span(&[name, component, &piece.start.to_string()]);
    let sampled = u8::from(active.sampling.takes(piece.trace));
    Some(format!("00-{:032x}-{span:016x}-{sampled:02x}", piece.trace.id))
}

impl Hop<'_> {
    /// Tells the hop of these ranges (stream, bytes), ended now.
    pub fn record<'r>(&self, ranges: impl IntoIterator<Item = (&'r str, Range<u64>)>) {
        let (Some(active), Some(ended)) = (ACTIVE.get(), now()) else { return };
        for (stream, range) in ranges {
            for piece in pieces(stream, range) {
                if active.sampling.takes(piece.trace) {
                    active.exporter.hand_over(data(self.span(stream, &piece, ended)));
                }
            }
        }
    }

    fn span(&self, stream: &str, piece: &ids::Piece, ended: SystemTime) -> Span {
        let start = piece.start.to_string();
        let id = |name: &str, component: &str| piece.trace.span(&[name, component, &start]);
        let mut facts = self.facts.clone();
        facts.push(Fact::new("headroom.stream", stream.to_owned()));
        facts.push(Fact::new("headroom.offset", i64::try_from(piece.start).unwrap_or(i64::MAX)));
        facts.push(Fact::new("headroom.end", i64::try_from(piece.end).unwrap_or(i64::MAX)));
        if !self.component.is_empty() {
            facts.push(Fact::new("headroom.component", self.component.to_owned()));
        }
        Span {
            trace: piece.trace,
            id: id(self.name, self.component),
            parent: self.after.map(|(name, component)| id(name, component)),
            name: self.name,
            kind: self.kind.clone(),
            begun: self.begun,
            ended,
            facts,
            error: self.error.clone(),
        }
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(active) = ACTIVE.get() {
            active.exporter.end(FLUSH_WITHIN);
        }
    }
}

fn data(span: Span) -> SpanData {
    let trace = TraceId::from(span.trace.id);
    SpanData {
        span_context: SpanContext::new(
            trace,
            SpanId::from(span.id),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from),
        parent_span_is_remote: false,
        span_kind: span.kind,
        name: span.name.into(),
        start_time: span.begun,
        end_time: span.ended.max(span.begun),
        attributes: span.facts,
        dropped_attributes_count: 0,
        events: Default::default(),
        links: Default::default(),
        status: span.error.map_or(Status::Unset, Status::error),
        instrumentation_scope: InstrumentationScope::builder("headroom").build(),
    }
}
