//! Count rows: the contract between whoever reads log lines and the engine that keeps budgets.
//!
//! The collector counts at the edge and sends integers. A row says: "bytes `range` of `stream` hold, for this
//! service, SLI and minute, exactly these counts". Because a row names the bytes it covers, the receiver can tell
//! a repeat from news (see [`merge`]), and no crash, re-read or second collector counts a request twice.

use serde::{Deserialize, Serialize};

use crate::sketch::Sketch;

/// Version of the contract that [`CountsRequest`] is. What is only added does not raise it: whoever does not know a field
/// passes it over. (Break-downs by the hour will come so: endpoint, status and upstream, 200 names and `other`.)
pub const CONTRACT: u32 = 1;

/// Header of `POST /v1/counts` that says the version; a request without it is of version 1.
pub const CONTRACT_HEADER: &str = "headroom-counts-version";

/// Edges of the latency ladder in microseconds, strictly ascending. Every objective's threshold must be one of them.
/// The default is 50 100 250 500 750 1000 2500 5000 10000 ms.
pub const DEFAULT_EDGES_US: [u64; 9] =
    [50_000, 100_000, 250_000, 500_000, 750_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000];

/// A minute of UTC, as whole minutes since 1970-01-01T00:00:00Z. A request belongs to the minute in which it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MinuteId(pub i64);

/// Half-open byte range `[start, end)` of a stream, in bytes of its decompressed content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ByteRange {
    /// Offset of the first byte that was read.
    pub start: u64,
    /// Offset behind the last byte that was read.
    pub end: u64,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sli {
    /// Bad is an answer with a server error.
    Availability,
    /// Bad is an answer at or over the threshold; the ladder holds every threshold.
    Latency,
}

/// Which log the counts were read from. The ingress wins where it routes to the service; the other one is a cross-check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The ingress controller's access log: what the client saw.
    Ingress,
    /// The application's own request log.
    Application,
}

/// Which service a row counts for, as far as the reader of the line can know it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceRef {
    /// Namespace and name are known.
    Named {
        /// Kubernetes namespace.
        namespace: String,
        /// Service (or workload) name.
        name: String,
    },
    /// nginx's `$proxy_upstream_name`, `namespace-service-port`: ambiguous where names hold dashes; the engine
    /// resolves it against the namespaces and Services that it knows, else keeps it raw and marked.
    Upstream(String),
    /// A request that no service can be named for.
    Unattributed,
}

/// What a row is keyed by; at most one live row a key and byte range.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowKey {
    /// Identity of the stream the lines were read from.
    pub stream: String,
    /// Whom the requests were for.
    pub service: ServiceRef,
    /// Which kind of log they stand in.
    pub origin: Origin,
    /// What was counted.
    pub sli: Sli,
    /// Version of the definition (rules and edges) that judged the lines.
    pub version: u32,
    /// When the requests ended (a WebSocket: when it opened).
    pub minute: MinuteId,
}

/// Counts of one SLI; `good = total - bad`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that the SLI judges.
    pub total: u64,
    /// Those of `total` that were bad.
    pub bad: u64,
    /// Requests that the rules leave out of this total (a client that left early, a server error for latency …).
    pub excluded: u64,
}

/// One row: counts of a key within a byte range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "FlatRow")]
pub struct CountRow {
    /// What is counted, where and when.
    #[serde(flatten)]
    pub key: RowKey,
    /// The bytes of the stream that were read for these counts.
    pub range: ByteRange,
    /// The counts.
    #[serde(flatten)]
    pub counts: Counts,
    /// Latency only, else empty: requests by bucket, `ladder[i]` of them in `[edges[i-1], edges[i])`, the last one at
    /// or over the last edge; `edges.len() + 1` entries that add up to `total`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ladder: Vec<u64>,
    /// Latency only: a mergeable sketch for display; decides nothing.
    #[serde(skip_serializing_if = "Sketch::is_empty")]
    pub sketch: Sketch,
}

/// A row as it is written: what serde flattens it would put aside field by field to read it.
#[derive(Deserialize)]
struct FlatRow {
    stream: String,
    service: ServiceRef,
    origin: Origin,
    sli: Sli,
    version: u32,
    minute: MinuteId,
    range: ByteRange,
    total: u64,
    bad: u64,
    excluded: u64,
    #[serde(default)]
    ladder: Vec<u64>,
    #[serde(default)]
    sketch: Sketch,
}

/// What became of the lines in one byte range of one stream: the books of the input.
/// `lines = requests + ignored + dead_lettered`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Records that were read (CRI partials joined).
    pub lines: u64,
    /// Those that are requests.
    pub requests: u64,
    /// Those that are not: health checks, application messages, unparsed lines.
    pub ignored: u64,
    /// Those of `ignored` that look like a request but could not be read (`-` or `000` as status, a broken line).
    pub unparsed: u64,
    /// Requests whose own time is over five minutes from their CRI time, counted at the CRI time.
    pub late: u64,
    /// Lines that went to the dead-letter store with a reason.
    pub dead_lettered: u64,
}

/// A stream that the engine should expect rows from, with the tally of one byte range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamReport {
    /// Identity of the stream.
    pub stream: String,
    /// Where it lies, for people: a path.
    pub path: String,
    /// Kubernetes namespace of the pod, where there is one: teaches the engine which namespaces exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Pod name, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Container name, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The bytes that this report covers; empty (`start == end`) when nothing was read.
    pub range: ByteRange,
    /// What the lines of `range` were.
    pub tally: Tally,
    /// Newest time of a line in `range`, in milliseconds since 1970; absent when no line had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest_ms: Option<i64>,
    /// Oldest time of a line in `range`, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_ms: Option<i64>,
    /// Nothing will follow: the file was rotated away and read to its end.
    #[serde(default)]
    pub ended: bool,
    /// Why bytes of this stream could not be read, if so (a half-written gzip, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

/// Body of `POST /v1/counts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountsRequest {
    /// Who sends: stable for a node's data directory.
    pub collector: String,
    /// New whenever the collector's local state was lost.
    pub epoch: String,
    /// The engine's state that the ranges follow on, as [`Held::store`] named it: an engine whose state is another one, or
    /// holds a part of a range already, takes nothing and wants to be asked for its positions first. Absent: whatever
    /// comes is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// Name of the Kubernetes node that it runs on, where it knows it: the node's pods and no others are read by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Everything that ended before this instant (ms since 1970) and that this collector could read is in this or an
    /// earlier request; absent while it is still catching up.
    pub watermark_ms: Option<i64>,
    /// Everything that was written before this instant (ms since 1970) and that this collector could read is in its
    /// archive; 0 while the archive has caught up with nothing since the collector started, absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_to_ms: Option<i64>,
    /// The latency edges in microseconds that the rows' ladders were counted with.
    pub edges_us: Vec<u64>,
    /// Streams that were read, each with the range since the last request.
    pub streams: Vec<StreamReport>,
    /// Count rows of those ranges.
    pub rows: Vec<CountRow>,
}

/// Answer to `POST /v1/counts`, given after the commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountsReply {
    /// For each stream of the request: everything below this offset is counted.
    pub positions: std::collections::BTreeMap<String, u64>,
    /// Latency edges in force, in microseconds.
    pub edges_us: Vec<u64>,
    /// Definition version in force.
    pub version: u32,
}

/// Answer to `GET /v1/counts/positions`: how far the engine is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Identity of the engine's state: another one after the engine has lost it.
    pub store: String,
    /// For each stream, the offset below which everything is counted, whoever sent it.
    pub positions: std::collections::BTreeMap<String, u64>,
}

/// What a new range does to the ranges that are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merge {
    /// A range that is there holds all of it: a repeat.
    Ignore,
    /// It stands beside those that are there, or replaces the ones at these indexes, which it holds whole.
    Insert {
        /// Indexes into `existing` that the new range contains.
        replaces: Vec<usize>,
    },
    /// It cuts through the one at this index: the minute is partial, the longer range stays.
    Partial {
        /// Index into `existing`.
        overlaps: usize,
    },
}

impl Sli {
    /// Both of them, in order.
    pub const ALL: [Self; 2] = [Self::Availability, Self::Latency];

    /// Its name, as JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Availability => "availability",
            Self::Latency => "latency",
        }
    }
}

impl From<FlatRow> for CountRow {
    fn from(row: FlatRow) -> Self {
        let FlatRow { stream, service, origin, sli, version, minute, .. } = row;
        let FlatRow { range, total, bad, excluded, ladder, sketch, .. } = row;
        let key = RowKey { stream, service, origin, sli, version, minute };
        Self { key, range, counts: Counts { total, bad, excluded }, ladder, sketch }
    }
}

impl ByteRange {
    /// Number of bytes.
    pub fn len(self) -> u64 {
        self.end - self.start
    }

    /// Whether nothing was read.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether every byte of `other` is in `self`.
    pub fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether the two share a byte.
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

impl Counts {
    /// Requests that were good.
    pub fn good(self) -> u64 {
        self.total - self.bad
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.total += other.total;
        self.bad += other.bad;
        self.excluded += other.excluded;
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.lines += other.lines;
        self.requests += other.requests;
        self.ignored += other.ignored;
        self.unparsed += other.unparsed;
        self.late += other.late;
        self.dead_lettered += other.dead_lettered;
    }
}

impl std::fmt::Display for ServiceRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Named { namespace, name } => write!(f, "{namespace}/{name}"),
            Self::Upstream(raw) => f.write_str(raw),
            Self::Unattributed => f.write_str("unattributed"),
        }
    }
}

/// Decides what `new` does to `existing`, all ranges of one key: a containing range replaces, disjoint ranges add, a
/// partial overlap marks the minute partial.
pub fn merge(existing: &[ByteRange], new: ByteRange) -> Merge {
    if existing.iter().any(|old| old.contains(new)) {
        return Merge::Ignore;
    }
    if let Some(overlaps) = existing.iter().position(|old| old.overlaps(new) && !new.contains(*old)) {
        return Merge::Partial { overlaps };
    }
    let replaces = (0..existing.len()).filter(|&i| new.contains(existing[i])).collect();
    Merge::Insert { replaces }
}
