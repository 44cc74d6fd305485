//! The sinks `archive` and `aws_s3`: segments that hold every line, staged on the local disk before they are put.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use archive::{
    DirectoryStore, Line, S3Config, S3Store, Segment, SegmentBuilder, SegmentError, Spool, SpoolError,
    Staged, State, Stdio, Store, StoreError, StreamMeta,
};
use settings::Table;

use super::encoding::json;
use super::{Batching, SendError, Sink};
use crate::event::{self, Body, Event, Span};
use crate::source::chunk::{Chunk, Mark, Positions};

/// Settings of a sink that archives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveConfig {
    /// Where segments are put.
    pub target: Target,
    /// When a segment is closed.
    pub batching: Batching,
}

/// Where segments are put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// In a local directory: the sink `archive`.
    Directory(PathBuf),
    /// In a bucket: the sink `aws_s3`.
    S3(S3Config),
}

/// Puts segments; its positions are those of its own spool.
#[derive(Debug)]
pub struct ArchiveSink {
    store: Store,
    spool: Spool,
}

/// A segment on its way.
#[derive(Debug)]
pub enum Closed {
    /// Not staged yet.
    Built(Segment),
    /// It is safe; only the put may still be due.
    Staged,
    /// It could not be built.
    Unbuildable(String),
}

impl ArchiveConfig {
    /// Segments of 16 MiB or a minute.
    pub const BATCHING: Batching =
        Batching { max_events: 1_000_000, max_bytes: 16 << 20, timeout: Duration::from_secs(60) };

    pub(super) fn prove_directory(table: &mut Table<'_>) -> Self {
        let target = Target::Directory(table.required_string("path").into());
        Self { target, batching: Batching::prove(table, Self::BATCHING) }
    }

    pub(super) fn prove_s3(table: &mut Table<'_>) -> Self {
        let target = Target::S3(S3Config::prove(table));
        Self { target, batching: Batching::prove(table, Self::BATCHING) }
    }

    /// The value of `type`.
    pub(super) fn kind(&self) -> &'static str {
        match self.target {
            Target::Directory(_) => "archive",
            Target::S3(_) => "aws_s3",
        }
    }
}

impl ArchiveSink {
    /// Opens the spool at `spool` and the store. `fresh_epoch` was never used before.
    ///
    /// # Errors
    /// Says what cannot be opened and why.
    pub fn open(
        config: &ArchiveConfig,
        spool: &Path,
        collector: &str,
        fresh_epoch: &str,
    ) -> Result<Self, anyhow::Error> {
        let store = match &config.target {
            Target::Directory(path) => Store::Directory(DirectoryStore::open(path)?),
            Target::S3(bucket) => Store::S3(S3Store::new(bucket)),
        };
        let (spool, recovered) = Spool::open(spool, collector, fresh_epoch)?;
        for quarantined in &recovered.quarantined {
            tracing::warn!(path = %quarantined.path.display(), reason = %quarantined.reason,
                "a staged segment cannot be read; its lines are read again from their files");
        }
        if let State::Lost { reason } = &recovered.state {
            tracing::warn!(%reason, epoch = spool.epoch(), "state of the archive was lost; a new epoch has begun");
        }
        Ok(Self { store, spool })
    }

    async fn deliver(&mut self) -> Result<(), SendError> {
        let pending: Vec<Staged> = self.spool.pending().cloned().collect();
        for staged in pending {
            self.store.put_segment(&staged).await.map_err(|error| from_store(&error))?;
            self.spool.delivered(&staged).map_err(|error| from_spool(&error))?;
        }
        Ok(())
    }
}

impl Sink for ArchiveSink {
    type Request = Closed;

    /// What an earlier run staged is put even when no line comes.
    const HEARTBEAT: bool = true;

    fn encode(&mut self, chunk: &Chunk, _: Option<i64>) -> Closed {
        build(chunk).map_or_else(|error| Closed::Unbuildable(error.to_string()), Closed::Built)
    }

    async fn send(&mut self, closed: &mut Closed) -> Result<(), SendError> {
        match closed {
            Closed::Unbuildable(reason) => return Err(SendError::Reject { reason: reason.clone() }),
            Closed::Built(segment) => {
                if !segment.contents.streams.is_empty() {
                    self.spool.stage(segment).map_err(|error| from_spool(&error))?;
                }
                *closed = Closed::Staged;
            }
            Closed::Staged => {}
        }
        self.deliver().await
    }

    async fn recover(&mut self) -> Result<Option<Positions>, SendError> {
        // What is staged counts as held; it is put with the next segment or flush.
        let positions = self.spool.positions().iter().map(|(id, &end)| (id.as_str().into(), end));
        Ok(Some(positions.collect()))
    }
}

fn build(chunk: &Chunk) -> Result<Segment, SegmentError> {
    let mut segment = SegmentBuilder::new()?;
    let mut text = Vec::new();
    let mut events: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in &chunk.batch.events {
        events.entry(&event.place.stream.id).or_default().push(event);
    }
    for (span, marks) in chunk.batch.spans.iter().zip(&chunk.marks) {
        let meta = meta(span);
        let mut ends = ends(span, marks);
        for event in events.remove(&*span.stream.id).unwrap_or_default() {
            let line = Line {
                offset: event.place.offset,
                end: ends(event.place.offset),
                index: event.place.index,
                time_ns: event.time.and_then(|time| i64::try_from(time.as_nanosecond()).ok()),
                stdio: event.stdio.map(|stdio| match stdio {
                    event::Stdio::Stdout => Stdio::Stdout,
                    event::Stdio::Stderr => Stdio::Stderr,
                }),
                line: line_of(event, &mut text),
            };
            segment.push(&meta, &line)?;
        }
        if span.start < span.end {
            segment.cover(&meta, span.start, span.end)?;
        }
    }
    segment.finish()
}

/// Offset behind a record: where the next one begins, or the span ends. Asked for ascending offsets.
fn ends<'a>(span: &'a Span, marks: &'a [Mark]) -> impl FnMut(u64) -> u64 + 'a {
    let mut next = 0;
    move |offset| {
        while marks.get(next).is_some_and(|mark| mark.offset <= offset) {
            next += 1;
        }
        marks.get(next).map_or(span.end, |mark| mark.offset)
    }
}

fn meta(span: &Span) -> StreamMeta<'_> {
    let pod = span.stream.pod.as_ref();
    StreamMeta {
        id: &span.stream.id,
        path: &span.stream.path,
        namespace: pod.map(|pod| pod.namespace.as_str()),
        pod: pod.map(|pod| pod.name.as_str()),
        container: pod.map(|pod| pod.container.as_str()),
    }
}

fn line_of<'a>(event: &'a Event, text: &'a mut Vec<u8>) -> &'a [u8] {
    if let Body::Line(line) = &event.body {
        return line;
    }
    text.clear();
    json(event, text);
    text
}

fn from_store(error: &StoreError) -> SendError {
    let after = match error {
        StoreError::Unavailable { after, .. } => *after,
        _ => None,
    };
    // A conflict is tried again too, and said at every try: what is staged must not be given up.
    SendError::Retry { after, reason: error.to_string() }
}

fn from_spool(error: &SpoolError) -> SendError {
    SendError::Retry { after: None, reason: error.to_string() }
}
