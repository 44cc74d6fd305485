//! Proves the whole archive: every checksum, every count, and that no stream has a hole.

use std::collections::BTreeMap;

use crate::manifest::StreamPart;
use crate::ranges::Ranges;
use crate::read::{Corrupt, Part, ReadError, Reader};
use crate::store::Store;

/// What an archive holds and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Segments that could be read.
    pub segments: u64,
    /// Records in them, repeats left out.
    pub records: u64,
    /// The streams, by identity.
    pub streams: BTreeMap<String, StreamReport>,
    /// Holes: bytes of a stream that no readable segment covers.
    pub gaps: Vec<Gap>,
    /// Records dropped because an earlier segment covers them. Crashes leave them; they do no harm.
    pub overlaps: u64,
    /// Those of `overlaps` that reach beyond what the earlier segment covers: two readers cut a line differently.
    pub cut: u64,
    /// Segments that cannot be trusted.
    pub corrupt: Vec<Corrupt>,
    /// Keys of data without a manifest: deliveries that were not completed, or not yet.
    pub incomplete: Vec<String>,
}

/// What an archive holds of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamReport {
    /// Where it lay, for people.
    pub path: String,
    /// Namespace of the pod that wrote it, where there is one.
    pub namespace: Option<String>,
    /// Name of that pod.
    pub pod: Option<String>,
    /// Name of the container.
    pub container: Option<String>,
    /// Records, repeats left out.
    pub lines: u64,
    /// The bytes that were read.
    pub ranges: Ranges,
}

/// Bytes `[start, end)` that are missing between others of the same stream, or before the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Identity of the stream.
    pub stream: String,
    /// First missing byte.
    pub start: u64,
    /// Behind the last missing byte.
    pub end: u64,
}

impl Report {
    /// Whether every byte that was read can be given back: no hole, no damage, no line cut.
    pub fn is_sound(&self) -> bool {
        self.gaps.is_empty() && self.corrupt.is_empty() && self.cut == 0
    }

    pub(crate) fn count(&mut self, part: &Part) {
        self.segments += 1;
        self.records += part.records.len() as u64;
        for (stream, of) in &part.manifest.contents.streams {
            self.streams.entry(stream.clone()).or_insert_with(|| StreamReport::new(of));
        }
        for record in &part.records {
            if let Some(stream) = self.streams.get_mut(&record.stream) {
                stream.lines += 1;
            }
        }
    }

    /// Takes over what the reader found; to be called at its end.
    pub(crate) fn close(&mut self, reader: Reader<'_>) {
        let (findings, held) = reader.into_findings();
        for (stream, ranges) in held {
            let gap = |(start, end)| Gap { stream: stream.clone(), start, end };
            self.gaps.extend(ranges.holes().map(gap));
            if let Some(of) = self.streams.get_mut(&stream) {
                of.ranges = ranges;
            }
        }
        self.overlaps = findings.overlaps;
        self.cut = findings.cut;
        self.corrupt = findings.corrupt;
        self.incomplete = findings.incomplete;
    }
}

impl StreamReport {
    fn new(part: &StreamPart) -> Self {
        Self {
            path: part.path.clone(),
            namespace: part.namespace.clone(),
            pod: part.pod.clone(),
            container: part.container.clone(),
            lines: 0,
            ranges: Ranges::default(),
        }
    }
}

/// Reads every segment and reports.
///
/// # Errors
/// [`ReadError`] when the store fails or a newer release wrote to it; damage is no error but in the report.
pub async fn verify(store: &Store) -> Result<Report, ReadError> {
    let mut reader = Reader::open(store).await?;
    let mut report = Report::default();
    while let Some(part) = reader.next().await? {
        report.count(&part);
    }
    report.close(reader);
    Ok(report)
}
