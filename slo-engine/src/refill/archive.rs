//! Counts from the archive: its lines, judged by the collector's own rules, part by part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context;
use archive::{Manifest, Part, ReadError, Reader, Record, Stdio, StreamPart};
use collector::event::{self, Batch, Body, Event, Place, Pod, Span, Stream};
use collector::transform::sli::fold::fold;
use collector::transform::sli::{FormatsSeen, Sli, SliConfig};
use jiff::Timestamp;
use slo::counts::{ByteRange, CountsRequest, DEFAULT_EDGES_US};

use crate::config::ArchiveConfig;
use crate::engine::{Engine, Fill, Filled, HeldRanges};

/// Version of the definition that the collectors count with.
const VERSION: u32 = 1;

/// A part of the archive, its lines judged.
pub(super) struct Judged {
    collector: String,
    epoch: String,
    streams: Vec<JudgedStream>,
}

struct JudgedStream {
    stream: Arc<Stream>,
    ranges: Vec<ByteRange>,
    events: Vec<Event>,
}

/// Counts every line of the archive that is not counted yet and may be newer than `since_ns` (nanoseconds since 1970). A
/// part that was counted stays so, whatever comes after it; the same call again goes on.
pub(super) async fn fill(
    engine: &Engine,
    archive: &ArchiveConfig,
    rules: &SliConfig,
    since_ns: i64,
) -> anyhow::Result<Filled> {
    let store = archive.open().context("cannot open the archive")?;
    let mut reader = Reader::open(&store).await?;
    let all = reader.remaining();
    let held = engine.held_ranges().await?;
    let mut judge = Sli::new(rules.clone(), Arc::new(FormatsSeen::default()));
    let (mut filled, mut told) = (Filled::default(), 0);
    loop {
        let wanted = |manifest: &Manifest| may_count(manifest, since_ns) && !is_counted(manifest, &held);
        let part = match reader.next_where(wanted).await {
            Ok(Some(part)) => part,
            Ok(None) => break,
            Err(error @ ReadError::Version { .. }) => {
                tracing::error!(%error, "a part of the archive is left out");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let judged = judge_part(&mut judge, part);
        let streams: Vec<String> = judged.streams.iter().map(|judged| judged.stream.id.to_string()).collect();
        filled += engine.fill(&streams, move |held| Fill::of(judged.requests(held))).await?;
        let percent = 100 - reader.remaining() * 100 / all.max(1);
        if percent / 10 > told / 10 {
            told = percent;
            tracing::info!(percent, lines = filled.lines, "filling the state from the archive");
        }
    }
    for corrupt in reader.corrupt() {
        tracing::error!(key = corrupt.key, reason = corrupt.reason, "a part of the archive cannot be used");
    }
    Ok(filled)
}

/// Whether a line of the segment may be of a time that counts; lines of plain files have their times in them.
fn may_count(manifest: &Manifest, since_ns: i64) -> bool {
    manifest.contents.last_time_ns.is_none_or(|last| last >= since_ns)
}

/// Whether every byte of the segment is among those that are counted.
fn is_counted(manifest: &Manifest, held: &HeldRanges) -> bool {
    manifest.contents.streams.iter().all(|(id, part)| {
        let held = held.get(id).map(Vec::as_slice).unwrap_or_default();
        let ranges: Vec<ByteRange> = ranges(part);
        gaps(&ranges, held).is_empty()
    })
}

fn ranges(part: &StreamPart) -> Vec<ByteRange> {
    part.ranges.as_slice().iter().map(|&(start, end)| ByteRange { start, end }).collect()
}

/// Judges every line of a part.
pub(super) fn judge_part(judge: &mut Sli, part: Part) -> Judged {
    let Part { manifest, records } = part;
    let mut streams: BTreeMap<String, JudgedStream> = BTreeMap::new();
    for (id, part) in &manifest.contents.streams {
        let stream = Arc::new(stream(id, part));
        streams.insert(id.clone(), JudgedStream { stream, ranges: ranges(part), events: Vec::new() });
    }
    let known = |record: Record| Some(event(streams.get(&record.stream)?.stream.clone(), record));
    let events = records.into_iter().filter_map(known).collect();
    let judged = judge.apply(Batch { events, spans: Vec::new() });
    for event in judged.events {
        if let Some(stream) = streams.get_mut(&*event.place.stream.id) {
            stream.events.push(event);
        }
    }
    Judged { collector: manifest.collector, epoch: manifest.epoch, streams: streams.into_values().collect() }
}

/// The stream as the collector knew it, as far as the manifest says.
fn stream(id: &str, part: &StreamPart) -> Stream {
    let pod = part.namespace.as_ref().zip(part.pod.as_ref()).map(|(namespace, name)| Pod {
        namespace: namespace.clone(),
        name: name.clone(),
        // It only tells pods apart.
        uid: format!("{namespace}/{name}"),
        container: part.container.clone().unwrap_or_default(),
        restart: 0,
    });
    Stream { id: id.into(), path: part.path.clone(), pod, metadata: None }
}

fn event(stream: Arc<Stream>, record: Record) -> Event {
    Event {
        place: Place { stream, offset: record.offset, index: record.index },
        time: record.time_ns.and_then(|ns| Timestamp::from_nanosecond(ns.into()).ok()),
        stdio: record.stdio.map(|stdio| match stdio {
            Stdio::Stdout => event::Stdio::Stdout,
            Stdio::Stderr => event::Stdio::Stderr,
        }),
        body: Body::Line(record.line.into()),
    }
}

impl Judged {
    /// What the part adds to what is held: every byte that it covers and nobody has counted. One request says one range of
    /// a stream, so there are as many as a stream has gaps.
    pub(super) fn requests(&self, held: &HeldRanges) -> Vec<CountsRequest> {
        let none = Vec::new();
        let mut batches: Vec<Batch> = Vec::new();
        for judged in &self.streams {
            let held = held.get(&*judged.stream.id).unwrap_or(&none);
            for (at, gap) in gaps(&judged.ranges, held).into_iter().enumerate() {
                if batches.len() == at {
                    batches.push(Batch::default());
                }
                let inside = |event: &&Event| (gap.start..gap.end).contains(&event.place.offset);
                let events: Vec<Event> = judged.events.iter().filter(inside).cloned().collect();
                batches[at].spans.push(span(&judged.stream, gap, &events));
                batches[at].events.extend(events);
            }
        }
        batches.iter().map(|batch| self.request(batch)).collect()
    }

    fn request(&self, batch: &Batch) -> CountsRequest {
        let folded = fold(batch, &DEFAULT_EDGES_US, VERSION);
        CountsRequest {
            collector: self.collector.clone(),
            epoch: self.epoch.clone(),
            store: None,
            // Nothing in the archive says that nothing is missing.
            watermark_ms: None,
            node: None,
            archived_to_ms: None,
            edges_us: DEFAULT_EDGES_US.to_vec(),
            streams: folded.streams,
            rows: folded.rows,
        }
    }
}

fn span(stream: &Arc<Stream>, gap: ByteRange, events: &[Event]) -> Span {
    let records: BTreeSet<u64> = events.iter().map(|event| event.place.offset).collect();
    let times = || events.iter().filter_map(|event| event.time);
    Span {
        stream: stream.clone(),
        start: gap.start,
        end: gap.end,
        lines: records.len() as u64,
        dead_lettered: 0,
        times: times().min().zip(times().max()),
        ended: false,
        broken: None,
    }
}

/// What of `ranges` lies in none of `held`; both ascend.
fn gaps(ranges: &[ByteRange], held: &[ByteRange]) -> Vec<ByteRange> {
    let mut gaps = Vec::new();
    for range in ranges {
        let mut start = range.start;
        for held in held.iter().filter(|held| held.overlaps(*range)) {
            if start < held.start {
                gaps.push(ByteRange { start, end: held.start });
            }
            start = start.max(held.end);
        }
        if start < range.end {
            gaps.push(ByteRange { start, end: range.end });
        }
    }
    gaps
}
