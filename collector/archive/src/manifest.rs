//! The manifest: a JSON object beside each segment that says what the segment holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::key::{InvalidName, SegmentId, sha256_hex};
use crate::ranges::Ranges;
use crate::record::StreamMeta;

/// Version of segment and manifest that this crate writes.
pub(crate) const VERSION: u32 = 1;

/// What stands in `….manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the format: 1.
    pub version: u32,
    /// Key of the segment's data.
    pub key: String,
    /// Who wrote the segment.
    pub collector: String,
    /// The writer's epoch.
    pub epoch: String,
    /// Number within the epoch.
    pub sequence: u64,
    /// What the segment holds.
    #[serde(flatten)]
    pub contents: Contents,
}

/// What a segment holds, before it has a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Number of records.
    pub records: u64,
    /// Bytes of the NDJSON before compression.
    pub raw_bytes: u64,
    /// Bytes of the compressed object.
    pub bytes: u64,
    /// SHA-256 of the compressed object, 64 hexadecimal digits.
    pub sha256: String,
    /// Oldest time of a record in nanoseconds since 1970; absent when none has a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_time_ns: Option<i64>,
    /// Newest time of a record in nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_time_ns: Option<i64>,
    /// The streams that were read for it, by identity.
    pub streams: BTreeMap<String, StreamPart>,
}

/// What a segment holds of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamPart {
    /// Where the stream lay, for people.
    pub path: String,
    /// Namespace of the pod that wrote it, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of that pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// Name of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The bytes of the stream that were read, whether or not every line in them was kept.
    pub ranges: Ranges,
    /// Records of this stream in the segment.
    pub lines: u64,
}

impl Manifest {
    pub(crate) fn new(id: &SegmentId, contents: Contents) -> Self {
        Self {
            version: VERSION,
            key: id.data_key(),
            collector: id.collector().to_owned(),
            epoch: id.epoch().to_owned(),
            sequence: id.sequence(),
            contents,
        }
    }

    /// Identity of the segment.
    ///
    /// # Errors
    /// When the manifest names what cannot stand in a key, as only a foreign hand could have written it.
    pub fn id(&self) -> Result<SegmentId, InvalidName> {
        SegmentId::new(&self.collector, &self.epoch, self.sequence)
    }

    /// The manifest as the bytes of its object, sealed; the same manifest always gives the same bytes.
    pub(crate) fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.truncate(json.len() - END.len());
        Ok(seal(json))
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, Unreadable> {
        if !is_sealed(json) {
            return Err(Unreadable::Damaged("its own checksum does not agree".to_owned()));
        }
        let damaged = |e: serde_json::Error| Unreadable::Damaged(e.to_string());
        let Format { version } = serde_json::from_slice(json).map_err(damaged)?;
        if version != VERSION {
            return Err(Unreadable::Version(version));
        }
        serde_json::from_slice(json).map_err(damaged)
    }
}

/// Ends a JSON object; before it stands the seal.
const END: &[u8] = b"\n}";

/// Why a manifest cannot be used.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// A newer release wrote it.
    Version(u32),
    /// It is not what was written.
    Damaged(String),
}

/// What every version of the format holds.
#[derive(Deserialize)]
struct Format {
    version: u32,
}

/// Ends a JSON object, given without its closing bracket, with the checksum of all that stands before: a flipped digit in
/// a range would otherwise pass for a manifest.
pub(crate) fn seal(mut open: Vec<u8>) -> Vec<u8> {
    let seal = format!(",\n  \"manifest_sha256\": \"{}\"\n}}\n", sha256_hex(&open));
    open.extend_from_slice(seal.as_bytes());
    open
}

fn is_sealed(json: &[u8]) -> bool {
    let length = seal(Vec::new()).len();
    json.len().checked_sub(length).is_some_and(|end| seal(json[..end].to_vec()) == json)
}

impl StreamPart {
    pub(crate) fn new(stream: &StreamMeta<'_>) -> Self {
        Self {
            path: stream.path.to_owned(),
            namespace: stream.namespace.map(str::to_owned),
            pod: stream.pod.map(str::to_owned),
            container: stream.container.map(str::to_owned),
            ranges: Ranges::default(),
            lines: 0,
        }
    }
}
