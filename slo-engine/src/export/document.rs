//! Count documents: what the store holds, as it lies in Elasticsearch, and read back from it.

use jiff::Timestamp;
use search::{Environment, Kind, day_of, document_id};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use slo::counts::{ByteRange, CountRow, Counts, MinuteId, Origin, RowKey, ServiceRef, Sli, Tally};
use slo::sketch::Sketch;

use crate::store::counts::{StoredCollector, StoredRow, StoredStream, StoredTally};

#[cfg(test)]
mod tests;

/// One document of the count index. The store's law holds for what is read back: documents may repeat or contain each
/// other (ranges that grew since, the same stream on several days) and come in any order. Rows and tallies go through
/// [`slo::counts::merge`], all rows of a stream before its tallies, since what lies in counted bytes is a repeat; of the
/// documents of one stream or collector the one with the newest `@timestamp` has the last word.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum CountDocument {
    /// A count row.
    Row(RowDocument),
    /// What became of the lines of a byte range.
    Tally(TallyDocument),
    /// What is known of a stream.
    Stream(StoredStream),
    /// How far a collector has read. Everything that ended before its watermark was written before it.
    Collector(StoredCollector),
}

/// A stored row. `service` is for reading and searching; `service_ref` is what comes back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowDocument {
    /// Stream that the lines were read from.
    pub stream: String,
    /// The service as the log calls it.
    pub service: String,
    /// The same, as the store keeps it.
    pub service_ref: ServiceRef,
    /// Kind of log.
    pub origin: Origin,
    /// Which SLI.
    pub sli: Sli,
    /// Version of the definition that counted.
    pub version: u32,
    /// Minutes since 1970 in UTC.
    pub minute: MinuteId,
    /// First byte of the lines in their stream.
    pub range_start: u64,
    /// Behind the last byte.
    pub range_end: u64,
    /// Requests, those that were bad, and those left out.
    #[serde(flatten)]
    pub counts: Counts,
    /// Edges of the ladder in microseconds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges_us: Vec<u64>,
    /// Requests by bucket of latency.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ladder: Vec<u64>,
    /// Latencies for display.
    #[serde(default, skip_serializing_if = "Sketch::is_empty")]
    pub sketch: Sketch,
    /// Some range of it was cut through by another, for good.
    pub partial: bool,
}

/// A stored tally.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TallyDocument {
    /// Stream that the lines were read from.
    pub stream: String,
    /// First byte.
    pub range_start: u64,
    /// Behind the last byte.
    pub range_end: u64,
    /// What became of the lines.
    #[serde(flatten)]
    pub tally: Tally,
}

/// A document as it is written: the index it belongs to follows from `at`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Kind of index.
    pub kind: Kind,
    /// `_id`.
    pub id: String,
    /// `@timestamp`; the document lies in the index of this day in UTC.
    pub at: Timestamp,
    /// The body as JSON.
    pub source: String,
}

/// Why a document could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is of none of the kinds above.
    #[error("`kind` is {0}, not row, tally, stream or collector")]
    Kind(Value),
    /// Some field is not what it should be.
    #[error(transparent)]
    Field(#[from] serde_json::Error),
}

/// The fields that every document has, around what it says.
#[derive(Serialize)]
struct Envelope<'a, B> {
    id: &'a str,
    #[serde(rename = "@timestamp")]
    at: Timestamp,
    environment: &'a str,
    #[serde(flatten)]
    body: &'a B,
}

impl CountDocument {
    /// The document as it is written. A row is of its minute; everything else is of the day of `now`, the instant at which
    /// the store said so: what goes on being true is said anew in the index of another day, and outlives the first.
    pub fn write(&self, environment: &Environment, now: Timestamp) -> Document {
        let day = day_of(now).to_string();
        let key = |parts: &[&str]| {
            let parts = [environment.as_str()].into_iter().chain(parts.iter().copied()).map(str::as_bytes);
            document_id(&parts.collect::<Vec<_>>())
        };
        let of = |id, at| Document::of(Kind::Counts, id, at, environment, self);
        match self {
            Self::Row(row) => {
                let service = serde_json::to_string(&row.service_ref).unwrap_or_default();
                let key = key(&[
                    "row",
                    &row.stream,
                    &service,
                    &format!("{:?} {:?} {} {}", row.origin, row.sli, row.version, row.minute.0),
                    &row.range_start.to_string(),
                ]);
                of(key, row.minute.start())
            }
            Self::Tally(tally) => {
                let key = key(&["tally", &tally.stream, &tally.range_start.to_string(), &day]);
                of(key, now)
            }
            Self::Stream(stream) => of(key(&["stream", &stream.stream, &day]), now),
            Self::Collector(collector) => of(key(&["collector", &collector.collector, &day]), now),
        }
    }

    /// Reads the body of a document of the count index.
    ///
    /// # Errors
    /// It is not one that [`Self::write`] wrote.
    pub fn read(source: Value) -> Result<Self, DocumentError> {
        let kind = source.get("kind").cloned().unwrap_or_default();
        Ok(match kind.as_str() {
            Some("row") => Self::Row(serde_json::from_value(source)?),
            Some("tally") => Self::Tally(serde_json::from_value(source)?),
            Some("stream") => Self::Stream(serde_json::from_value(source)?),
            Some("collector") => Self::Collector(serde_json::from_value(source)?),
            _ => return Err(DocumentError::Kind(kind)),
        })
    }
}

impl Document {
    pub(super) fn of<B: Serialize>(
        kind: Kind,
        id: String,
        at: Timestamp,
        environment: &Environment,
        body: &B,
    ) -> Self {
        let envelope = Envelope { id: &id, at, environment: environment.as_str(), body };
        // Every key is a string and no number is beyond JSON, so it always encodes.
        let source = serde_json::to_string(&envelope).unwrap_or_default();
        Self { kind, id, at, source }
    }
}

impl From<StoredRow> for RowDocument {
    fn from(stored: StoredRow) -> Self {
        let CountRow { key, range, counts, ladder, sketch } = stored.row;
        Self {
            stream: key.stream,
            service: key.service.to_string(),
            service_ref: key.service,
            origin: key.origin,
            sli: key.sli,
            version: key.version,
            minute: key.minute,
            range_start: range.start,
            range_end: range.end,
            counts,
            edges_us: stored.edges_us,
            ladder,
            sketch,
            partial: stored.partial,
        }
    }
}

impl From<RowDocument> for StoredRow {
    fn from(row: RowDocument) -> Self {
        let key = RowKey {
            stream: row.stream,
            service: row.service_ref,
            origin: row.origin,
            sli: row.sli,
            version: row.version,
            minute: row.minute,
        };
        let range = ByteRange { start: row.range_start, end: row.range_end };
        Self {
            row: CountRow { key, range, counts: row.counts, ladder: row.ladder, sketch: row.sketch },
            edges_us: row.edges_us,
            partial: row.partial,
        }
    }
}

impl TallyDocument {
    /// The tally of a stream.
    pub fn new(stream: &str, StoredTally { range, tally }: StoredTally) -> Self {
        Self { stream: stream.to_owned(), range_start: range.start, range_end: range.end, tally }
    }

    /// What the store keeps of it.
    pub fn stored(&self) -> StoredTally {
        StoredTally { range: ByteRange { start: self.range_start, end: self.range_end }, tally: self.tally }
    }
}
