//! Folds judged lines into count rows and tallies: sums of integers, nothing else.

use std::collections::BTreeMap;

use jiff::Timestamp;
use slo::counts::{
    ByteRange, CountRow, Counts, MinuteId, Origin, RowKey, ServiceRef, Sli, StreamReport, Tally,
};
use slo::sketch::Sketch;

use crate::event::{Batch, Body, Hit, RequestHit, Span};

/// What a batch adds to the engine's counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// Count rows, at most one a key; each covers its stream's whole span.
    pub rows: Vec<CountRow>,
    /// One report a span.
    pub streams: Vec<StreamReport>,
}

/// Requests of one span, service, origin and minute.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Cell<'a> {
    span: usize,
    service: &'a ServiceRef,
    origin: Origin,
    minute: MinuteId,
}

/// Their counts.
#[derive(Default)]
struct Sums {
    availability: Counts,
    latency: Option<Latency>,
}

struct Latency {
    counts: Counts,
    ladder: Vec<u64>,
    sketch: Sketch,
}

/// Folds the hits of `batch`. A span says which lines are settled, so an event outside of every span is left out: a
/// sink that holds the beginning of a span already moves the span's start. A line without an event was filtered, and
/// counts as ignored. `edges_us` ascend strictly.
pub fn fold(batch: &Batch, edges_us: &[u64], version: u32) -> Folded {
    let spans: BTreeMap<&str, usize> =
        batch.spans.iter().enumerate().map(|(at, span)| (&*span.stream.id, at)).collect();
    let mut streams: Vec<_> = batch.spans.iter().map(report).collect();
    let mut cells: BTreeMap<Cell<'_>, Sums> = BTreeMap::new();
    for event in &batch.events {
        let Some(&at) = spans.get(&*event.place.stream.id) else { continue };
        let span = &batch.spans[at];
        if !(span.start..span.end).contains(&event.place.offset) {
            continue;
        }
        let Body::Hit(hit) = &event.body else { continue };
        note(&mut streams[at], hit);
        if let Hit::Request(request) = &**hit {
            let minute = MinuteId(request.counted_ms.div_euclid(60_000));
            let cell = Cell { span: at, service: &request.service, origin: request.origin, minute };
            cells.entry(cell).or_default().add(request, edges_us);
        }
    }
    for report in &mut streams {
        let tally = &mut report.tally;
        tally.ignored = tally.lines.saturating_sub(tally.requests + tally.dead_lettered);
    }
    let rows = cells.into_iter().flat_map(|(cell, sums)| rows(&batch.spans[cell.span], cell, sums, version));
    Folded { rows: rows.collect(), streams }
}

fn report(span: &Span) -> StreamReport {
    let stream = &span.stream;
    let pod = stream.pod.as_ref();
    let (oldest, newest) = span.times.unzip();
    StreamReport {
        stream: stream.id.to_string(),
        path: stream.path.clone(),
        namespace: pod.map(|pod| pod.namespace.clone()),
        pod: pod.map(|pod| pod.name.clone()),
        container: pod.map(|pod| pod.container.clone()),
        range: ByteRange { start: span.start, end: span.end },
        tally: Tally { lines: span.lines, dead_lettered: span.dead_lettered, ..Tally::default() },
        newest_ms: newest.map(Timestamp::as_millisecond),
        oldest_ms: oldest.map(Timestamp::as_millisecond),
        ended: span.ended,
        broken: span.broken.as_deref().map(str::to_owned),
    }
}

/// Adds one hit to its stream's report; the ignored ones are what remains at the end.
fn note(report: &mut StreamReport, hit: &Hit) {
    match hit {
        Hit::Ignored => {}
        Hit::Unparsed => report.tally.unparsed += 1,
        Hit::Request(request) => {
            report.tally.requests += 1;
            report.tally.late += u64::from(request.late);
            let ended = request.ended_ms;
            report.newest_ms = Some(report.newest_ms.map_or(ended, |newest| newest.max(ended)));
            report.oldest_ms = Some(report.oldest_ms.map_or(ended, |oldest| oldest.min(ended)));
        }
    }
}

fn rows(span: &Span, cell: Cell<'_>, sums: Sums, version: u32) -> impl Iterator<Item = CountRow> {
    let row = move |sli, counts, ladder, sketch| CountRow {
        key: RowKey {
            stream: span.stream.id.to_string(),
            service: cell.service.clone(),
            origin: cell.origin,
            sli,
            version,
            minute: cell.minute,
        },
        range: ByteRange { start: span.start, end: span.end },
        counts,
        ladder,
        sketch,
    };
    let availability = row(Sli::Availability, sums.availability, Vec::new(), Sketch::default());
    let latency = sums.latency.map(|sums| row(Sli::Latency, sums.counts, sums.ladder, sums.sketch));
    std::iter::once(availability).chain(latency)
}

// === impl Sums ===

impl Sums {
    fn add(&mut self, request: &RequestHit, edges_us: &[u64]) {
        self.availability += request.availability;
        let Some(counts) = request.latency else { return };
        let latency = self.latency.get_or_insert_with(|| Latency {
            counts: Counts::default(),
            ladder: vec![0; edges_us.len() + 1],
            sketch: Sketch::default(),
        });
        latency.counts += counts;
        if let Some(us) = request.duration_us {
            latency.ladder[edges_us.partition_point(|&edge| edge <= us)] += 1;
            latency.sketch.record(us);
        }
    }
}

#[cfg(test)]
mod tests;
