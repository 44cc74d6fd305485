//! An event: one record of a stream on its way through the pipeline.
//!
//! An event stays the bytes that were read until a transform needs its fields: a pipeline that only routes and ships
//! never builds a tree of values.

mod fields;
mod metadata;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use slo::counts::{Counts, Origin, ServiceRef};
use vrl::value::Value;

pub use metadata::Metadata;

/// Identity of a stream: hex of a hash. A Kubernetes stream is (pod UID, container, restart count, hash of the first
/// complete line with its CRI time); a plain file's is (machine id, path rule, hash of its first line).
pub type StreamId = Arc<str>;

/// A stream: one generation of a log file, under whatever name and compression it lies at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Identity; stays the same over rename, gzip and re-creation.
    pub id: StreamId,
    /// Where it was found, for people.
    pub path: String,
    /// The pod that writes it, read from the path.
    pub pod: Option<Pod>,
    /// What the API server said of the pod when it was read; nothing where it is not asked. Neither identity nor position
    /// depends on it.
    pub metadata: Option<Arc<Metadata>>,
}

/// What `/var/log/pods/<namespace>_<pod>_<uid>/<container>/<restart>.log` says of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// UID of the pod.
    pub uid: String,
    /// Name of the container.
    pub container: String,
    /// How often the container was restarted before this log began.
    pub restart: u32,
}

/// Which of the container's outputs a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdio {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Where a record comes from: with `index`, its identity.
#[derive(Clone, Debug)]
pub struct Place {
    /// The stream.
    pub stream: Arc<Stream>,
    /// Offset of the record's first byte in the decompressed stream.
    pub offset: u64,
    /// Number of the event among those that one record gave (a transform may return several).
    pub index: u32,
}

/// One record.
#[derive(Clone, Debug)]
pub struct Event {
    /// Identity.
    pub place: Place,
    /// The CRI time, nanoseconds exact; nothing for plain files.
    pub time: Option<Timestamp>,
    /// Standard output or error; nothing for plain files.
    pub stdio: Option<Stdio>,
    /// What it holds.
    pub body: Body,
}

/// What an event holds.
#[derive(Clone, Debug)]
pub enum Body {
    /// The line as it was read, without its line end and CRI prefix, partials joined.
    Line(Bytes),
    /// Fields, once a transform asked for them (`remap`).
    Fields(Box<Value>),
    /// What the `sli` transform made of the line.
    Hit(Box<Hit>),
}

/// One line, judged: what it adds to which count rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hit {
    /// A request.
    Request(RequestHit),
    /// Not a request: an application's message, a health check.
    Ignored,
    /// Looks like a request but cannot be read.
    Unparsed,
}

/// A request, judged for both SLIs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHit {
    /// Whom it was for.
    pub service: ServiceRef,
    /// Which kind of log it stands in.
    pub origin: Origin,
    /// When it counts: the end, in milliseconds since 1970 (a WebSocket: when it opened).
    pub counted_ms: i64,
    /// When it ended, in milliseconds since 1970.
    pub ended_ms: i64,
    /// Availability: total, bad or excluded is 1.
    pub availability: Counts,
    /// Latency: total, bad or excluded is 1; nothing where the format has no duration at all.
    pub latency: Option<Counts>,
    /// Duration in microseconds where `latency.total` is 1.
    pub duration_us: Option<u64>,
    /// The line's own time was over five minutes from its CRI time.
    pub late: bool,
}

/// Lines of one stream that a batch settles: `lines` records in `[start, end)`, whatever became of them.
#[derive(Clone, Debug)]
pub struct Span {
    /// The stream.
    pub stream: Arc<Stream>,
    /// First byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
    /// Records that were read.
    pub lines: u64,
    /// Those of them that the source sent to the dead-letter store.
    pub dead_lettered: u64,
    /// Oldest and newest CRI time, where there is one.
    pub times: Option<(Timestamp, Timestamp)>,
    /// The stream ends here: rotated away and read to its end.
    pub ended: bool,
    /// Why the rest of the stream cannot be read, if so.
    pub broken: Option<Arc<str>>,
}

/// Events in stream order, and the spans that they were read from. A transform may drop or add events; the spans stay,
/// so a sink's checkpoint also passes lines that were filtered.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The events.
    pub events: Vec<Event>,
    /// The spans, at most one a stream and batch.
    pub spans: Vec<Span>,
}
