//! Reads the archive back, segment by segment, each record once.

use std::collections::BTreeMap;

use crate::key::{DATA, InvalidName, MANIFEST, PREFIX, SegmentId};
use crate::manifest::{Manifest, Unreadable};
use crate::ranges::Ranges;
use crate::record::Record;
use crate::segment;
use crate::store::{Store, StoreError};

/// Visits every segment of a store in the order of (collector, epoch, sequence). Where ranges of a stream overlap, the
/// first segment that could be read wins; what another one repeats is dropped and counted.
#[derive(Debug)]
pub struct Reader<'a> {
    store: &'a Store,
    manifests: std::vec::IntoIter<String>,
    data: Vec<String>,
    held: BTreeMap<String, Ranges>,
    findings: Findings,
}

/// One segment, without what earlier ones hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its manifest, as it was written.
    pub manifest: Manifest,
    /// Its records; those of a stream ascend by (offset, index).
    pub records: Vec<Record>,
}

/// A segment that cannot be trusted; none of its records was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// Key of the object that is wrong.
    pub key: String,
    /// What is wrong.
    pub reason: String,
}

/// What was found on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Segments that cannot be trusted.
    pub(crate) corrupt: Vec<Corrupt>,
    /// Keys of data without a manifest.
    pub(crate) incomplete: Vec<String>,
    /// Records dropped because an earlier segment covers them.
    pub(crate) overlaps: u64,
    /// Those of `overlaps` that reach beyond what the earlier segment covers.
    pub(crate) cut: u64,
}

/// Why reading stopped. A damaged segment is no reason: it is counted and passed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store failed.
    #[error("read archive: {0}")]
    Store(#[from] StoreError),
    /// A newer release wrote the segment.
    #[error("read archive: {key} has format version {found}, this release knows 1; use the newer release")]
    Version {
        /// Key of the manifest.
        key: String,
        /// The version that it names.
        found: u32,
    },
}

impl<'a> Reader<'a> {
    /// Lists the store.
    ///
    /// # Errors
    /// [`ReadError::Store`].
    pub async fn open(store: &'a Store) -> Result<Self, ReadError> {
        let keys = store.list(PREFIX).await?;
        let ending =
            |ending: &str| keys.iter().filter(|key| key.ends_with(ending)).cloned().collect::<Vec<_>>();
        let (mut manifests, data) = (ending(MANIFEST), ending(DATA));
        manifests.sort_by_key(|key| parse(key).ok());
        let complete =
            |key: &str| keys.binary_search(&format!("{}{MANIFEST}", key.trim_end_matches(DATA))).is_ok();
        let incomplete = data.iter().filter(|key| !complete(key)).cloned().collect();
        let findings = Findings { incomplete, ..Findings::default() };
        Ok(Self { store, manifests: manifests.into_iter(), data, held: BTreeMap::new(), findings })
    }

    /// The next segment that can be read; nothing at the end.
    ///
    /// # Errors
    /// [`ReadError`]. Where the store failed, the next call tries the same segment again.
    pub async fn next(&mut self) -> Result<Option<Part>, ReadError> {
        self.next_where(|_| true).await
    }

    /// The next segment that is `wanted` and can be read. Of the others only the manifest is read, and what they repeat is
    /// not known.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn next_where(
        &mut self,
        wanted: impl Fn(&Manifest) -> bool + Send,
    ) -> Result<Option<Part>, ReadError> {
        while let Some(key) = self.manifests.as_slice().first().cloned() {
            let manifest = self.manifest(&key).await;
            let read = match manifest {
                Ok(Ok(manifest)) if !wanted(&manifest) => Ok(Ok(None)),
                Ok(Ok(manifest)) => self.records(manifest).await.map(|read| read.map(Some)),
                Ok(Err(corrupt)) => Ok(Err(corrupt)),
                Err(error) => Err(error),
            };
            if !matches!(read, Err(ReadError::Store(_))) {
                self.manifests.next();
            }
            match read? {
                Ok(Some((manifest, records))) => {
                    let records = self.drop_repeats(records);
                    self.hold(&manifest);
                    return Ok(Some(Part { manifest, records }));
                }
                Ok(None) => {}
                Err(corrupt) => self.findings.corrupt.push(corrupt),
            }
        }
        Ok(None)
    }

    /// How many segments are still to be looked at.
    pub fn remaining(&self) -> usize {
        self.manifests.len()
    }

    /// Records that were dropped so far because an earlier segment covers them.
    pub fn overlaps(&self) -> u64 {
        self.findings.overlaps
    }

    /// Segments so far that cannot be trusted.
    pub fn corrupt(&self) -> &[Corrupt] {
        &self.findings.corrupt
    }

    pub(crate) fn into_findings(self) -> (Findings, BTreeMap<String, Ranges>) {
        (self.findings, self.held)
    }

    async fn manifest(&self, key: &str) -> Result<Result<Manifest, Corrupt>, ReadError> {
        let corrupt = |key: &str, reason: String| Ok(Err(Corrupt { key: key.to_owned(), reason }));
        let manifest = match Manifest::parse(&self.store.get(key).await?) {
            Ok(manifest) => manifest,
            Err(Unreadable::Damaged(reason)) => return corrupt(key, format!("not a manifest: {reason}")),
            Err(Unreadable::Version(found)) => return Err(ReadError::Version { key: key.to_owned(), found }),
        };
        let named = manifest.id().is_ok_and(|id| id.manifest_key() == key && id.data_key() == manifest.key);
        if !named {
            return corrupt(key, "the manifest names another segment".to_owned());
        }
        if self.data.binary_search(&manifest.key).is_err() {
            return corrupt(&manifest.key, "the manifest is there, the data is not".to_owned());
        }
        Ok(Ok(manifest))
    }

    async fn records(
        &self,
        manifest: Manifest,
    ) -> Result<Result<(Manifest, Vec<Record>), Corrupt>, ReadError> {
        let data = self.store.get(&manifest.key).await?;
        match segment::decode(&data, &manifest.contents) {
            Ok(records) => Ok(Ok((manifest, records))),
            Err(reason) => Ok(Err(Corrupt { key: manifest.key, reason })),
        }
    }

    fn drop_repeats(&mut self, mut records: Vec<Record>) -> Vec<Record> {
        let (held, findings) = (&self.held, &mut self.findings);
        records.retain(|record| {
            let Some(range) = held.get(&record.stream).and_then(|ranges| ranges.around(record.offset)) else {
                return true;
            };
            findings.overlaps += 1;
            findings.cut += u64::from(record.end > range.1);
            false
        });
        records
    }

    fn hold(&mut self, manifest: &Manifest) {
        for (stream, part) in &manifest.contents.streams {
            match self.held.get_mut(stream) {
                Some(ranges) => ranges.extend(&part.ranges),
                None => drop(self.held.insert(stream.clone(), part.ranges.clone())),
            }
        }
    }
}

/// The segment that a manifest's key names.
fn parse(key: &str) -> Result<SegmentId, InvalidName> {
    let invalid = || InvalidName { name: key.to_owned() };
    let path = key.strip_prefix(PREFIX).and_then(|key| key.strip_suffix(MANIFEST)).ok_or_else(invalid)?;
    let parts: Vec<&str> = path.split('/').collect();
    let [collector, epoch, sequence] = parts[..] else { return Err(invalid()) };
    SegmentId::new(collector, epoch, sequence.parse().map_err(|_| invalid())?)
}
