//! Folding: rows and tallies of a batch, the same however it is cut.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use slo::counts::{Counts, DEFAULT_EDGES_US, MinuteId, Origin, RowKey, ServiceRef, Sli, Tally};
use slo::sketch::Sketch;

use super::{Folded, fold};
use crate::event::{Batch, Body, Event, Hit, Place, RequestHit, Span, Stream};

/// Bytes of a line in these tests.
const LINE: u64 = 10;

fn streams() -> [Arc<Stream>; 2] {
    ["a", "b"]
        .map(|id| Arc::new(Stream { id: id.into(), path: format!("/{id}.log"), pod: None, metadata: None }))
}

/// One line: number of its stream, and its hit or nothing where a filter dropped its event.
type TestLine = (usize, Option<Hit>);

/// The batch of `lines`, with `read` bytes of each stream before it.
fn batch(lines: &[TestLine], read: &mut [u64; 2]) -> Batch {
    let streams = streams();
    let mut batch = Batch::default();
    let starts = *read;
    for (stream, hit) in lines {
        let place = Place { stream: streams[*stream].clone(), offset: read[*stream], index: 0 };
        read[*stream] += LINE;
        let body = |hit: &Hit| Body::Hit(Box::new(hit.clone()));
        batch.events.extend(hit.as_ref().map(|hit| Event {
            place,
            time: None,
            stdio: None,
            body: body(hit),
        }));
    }
    for (at, stream) in streams.iter().enumerate().filter(|&(at, _)| read[at] > starts[at]) {
        batch.spans.push(Span {
            stream: stream.clone(),
            start: starts[at],
            end: read[at],
            lines: (read[at] - starts[at]) / LINE,
            dead_lettered: 0,
            times: None,
            ended: false,
            broken: None,
        });
    }
    batch
}

fn request(service: &str, ms: i64, us: u64) -> Hit {
    Hit::Request(RequestHit {
        service: ServiceRef::Upstream(service.to_owned()),
        origin: Origin::Ingress,
        counted_ms: ms,
        ended_ms: ms,
        availability: Counts { total: 1, bad: 0, excluded: 0 },
        latency: Some(Counts { total: 1, bad: u64::from(us >= 500_000), excluded: 0 }),
        duration_us: Some(us),
        late: false,
    })
}

#[test]
fn requests_are_summed_by_service_and_minute() {
    let lines = [
        (0, Some(request("a", 59_999, 49_999))),
        (0, Some(request("a", 0, 50_000))),
        (0, Some(request("a", 60_000, 10_000_000))),
        (0, Some(request("b", 1, 1))),
        (1, Some(request("a", 1, 1))),
        (0, Some(Hit::Ignored)),
        (0, Some(Hit::Unparsed)),
        (0, None),
    ];
    let folded = fold(&batch(&lines, &mut [100, 0]), &DEFAULT_EDGES_US, 7);
    let rows: Vec<_> = folded.rows.iter().filter(|row| row.key.sli == Sli::Latency).collect();
    assert_eq!((rows.len(), folded.rows.len()), (4, 8));
    let first = rows[0];
    assert_eq!((first.key.minute, first.key.version, first.key.stream.as_str()), (MinuteId(0), 7, "a"));
    assert_eq!((first.range.start, first.range.end), (100, 170));
    assert_eq!(first.counts, Counts { total: 2, bad: 0, excluded: 0 });
    assert_eq!(first.ladder, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(rows[1].ladder, [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(rows[1].counts.bad, 1);
    let tally = Tally { lines: 7, requests: 4, ignored: 3, unparsed: 1, late: 0, dead_lettered: 0 };
    assert_eq!(folded.streams[0].tally, tally);
    assert_eq!((folded.streams[0].oldest_ms, folded.streams[0].newest_ms), (Some(0), Some(60_000)));
    assert_eq!(folded.streams[1].tally.requests, 1);
}

#[test]
fn lines_without_duration_give_no_latency_row_and_times_before_1970_fall_into_their_minute() {
    let Hit::Request(mut hit) = request("a", -1, 0) else { unreachable!() };
    (hit.latency, hit.duration_us) = (None, None);
    let folded = fold(&batch(&[(0, Some(Hit::Request(hit)))], &mut [0, 0]), &DEFAULT_EDGES_US, 1);
    assert_eq!(folded.rows.len(), 1);
    assert_eq!((folded.rows[0].key.sli, folded.rows[0].key.minute), (Sli::Availability, MinuteId(-1)));
    assert!(folded.rows[0].ladder.is_empty());
}

#[test]
fn events_below_the_start_of_their_span_are_left_out() {
    let lines = [(0, Some(request("a", 0, 1))), (0, Some(request("a", 0, 1)))];
    let mut batch = batch(&lines, &mut [0, 0]);
    (batch.spans[0].start, batch.spans[0].lines) = (LINE, 1);
    let folded = fold(&batch, &DEFAULT_EDGES_US, 1);
    assert_eq!(folded.rows[0].counts.total, 1);
    assert_eq!(folded.streams[0].tally.requests, 1);
}

#[test]
fn a_span_reports_its_times_its_end_and_its_dead_letters() {
    let mut batch = batch(&[(0, Some(Hit::Ignored)), (0, None)], &mut [0, 0]);
    let time = |ms| jiff::Timestamp::from_millisecond(ms).unwrap();
    batch.spans[0].times = Some((time(5), time(9)));
    batch.spans[0].dead_lettered = 1;
    (batch.spans[0].ended, batch.spans[0].broken) = (true, Some("half a file".into()));
    let folded = fold(&batch, &DEFAULT_EDGES_US, 1);
    let report = &folded.streams[0];
    assert_eq!((report.oldest_ms, report.newest_ms), (Some(5), Some(9)));
    assert_eq!((report.tally.ignored, report.tally.dead_lettered), (1, 1));
    assert_eq!((report.ended, report.broken.as_deref()), (true, Some("half a file")));
}

type Sums = BTreeMap<RowKey, (Counts, Vec<u64>, Sketch)>;

/// Tally, oldest and newest time by stream.
type Reports = BTreeMap<String, (Tally, Option<i64>, Option<i64>)>;

/// Everything that must not depend on where batches are cut.
fn sums(parts: &[Folded]) -> (Sums, Reports) {
    let (mut rows, mut streams) = (Sums::new(), Reports::new());
    for row in parts.iter().flat_map(|part| &part.rows) {
        let (counts, ladder, sketch) = rows.entry(row.key.clone()).or_default();
        *counts += row.counts;
        ladder.resize(row.ladder.len(), 0);
        ladder.iter_mut().zip(&row.ladder).for_each(|(sum, count)| *sum += count);
        sketch.merge(&row.sketch);
        assert_eq!(row.ladder.iter().sum::<u64>(), if row.ladder.is_empty() { 0 } else { row.counts.total });
    }
    for report in parts.iter().flat_map(|part| &part.streams) {
        let tally = &report.tally;
        assert_eq!(tally.lines, tally.requests + tally.ignored + tally.dead_lettered);
        let (sum, oldest, newest) =
            streams.entry(report.stream.clone()).or_insert((Tally::default(), None, None));
        *sum += *tally;
        *oldest = [*oldest, report.oldest_ms].into_iter().flatten().min();
        *newest = (*newest).max(report.newest_ms);
    }
    (rows, streams)
}

fn any_hit() -> impl Strategy<Value = Hit> {
    let any_request = ("[ab]", -60_000..180_000_i64, 0..20_000_000_u64, any::<bool>());
    let any_request = any_request.prop_map(|(service, ms, us, is_late)| {
        let Hit::Request(hit) = request(&service, ms, us) else { unreachable!() };
        Hit::Request(RequestHit { late: is_late, ..hit })
    });
    prop_oneof![6 => any_request, 1 => Just(Hit::Ignored), 1 => Just(Hit::Unparsed)]
}

proptest! {
    #[test]
    fn wherever_batches_are_cut_the_sums_are_the_same(
        lines in proptest::collection::vec((0..2_usize, proptest::option::weighted(0.9, any_hit())), 0..60),
        cuts in proptest::collection::vec(0..60_usize, 0..6),
    ) {
        let whole = fold(&batch(&lines, &mut [0, 0]), &DEFAULT_EDGES_US, 1);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(lines.len())).chain([0, lines.len()]).collect();
        cuts.sort_unstable();
        let mut read = [0, 0];
        let parts: Vec<_> = cuts
            .windows(2)
            .map(|cut| fold(&batch(&lines[cut[0]..cut[1]], &mut read), &DEFAULT_EDGES_US, 1))
            .collect();
        prop_assert_eq!(sums(&[whole]), sums(&parts));
    }
}
