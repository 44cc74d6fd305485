//! Where a segment lies: its key is a function of (collector, epoch, sequence) and of nothing else.

use sha2::{Digest, Sha256};

/// Everything of ours lies under this prefix.
pub(crate) const PREFIX: &str = "segments/";
/// Ends the key of a segment's data.
pub(crate) const DATA: &str = ".ndjson.zst";
/// Ends the key of a segment's manifest.
pub(crate) const MANIFEST: &str = ".manifest.json";

/// Longest part of a key in bytes, so that every part with its ending fits a file name.
const LONGEST_PART: usize = 200;

/// Identity of a segment. Readers visit segments in this order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentId {
    collector: String,
    epoch: String,
    sequence: u64,
}

/// A name that must not stand in a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "name {name:?} cannot stand in an archive key: use 1 to 200 of the characters A-Z a-z 0-9 . _ -, the first not a dot"
)]
pub struct InvalidName {
    /// The name as it was given.
    pub name: String,
}

impl SegmentId {
    /// Names a segment: which collector, which of its epochs, and the number within it.
    ///
    /// # Errors
    /// When collector or epoch could lead a key out of its prefix.
    pub fn new(collector: &str, epoch: &str, sequence: u64) -> Result<Self, InvalidName> {
        check_part(collector)?;
        check_part(epoch)?;
        Ok(Self { collector: collector.to_owned(), epoch: epoch.to_owned(), sequence })
    }

    /// Who wrote it.
    pub fn collector(&self) -> &str {
        &self.collector
    }

    /// The writer's epoch: a new one whenever its local state was lost.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Number of the segment; never used twice within an epoch.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Key of the data: `segments/<collector>/<epoch>/<20-digit sequence>.ndjson.zst`.
    pub fn data_key(&self) -> String {
        self.key(DATA)
    }

    /// Key of the manifest, beside the data: `….manifest.json`.
    pub fn manifest_key(&self) -> String {
        self.key(MANIFEST)
    }

    fn key(&self, ending: &str) -> String {
        format!("{PREFIX}{}/{}/{:020}{ending}", self.collector, self.epoch, self.sequence)
    }
}

/// SHA-256 as 64 lower-case hexadecimal digits, as the stores and manifests of this crate write it.
pub fn sha256_hex(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Refuses a key that a store must not touch: a part that is empty, begins with a dot or holds another character than
/// letters, digits and `. _ -`.
pub(crate) fn check_key(key: &str) -> Result<(), InvalidName> {
    key.split('/').try_for_each(check_part)
}

/// Whether `part` can stand between two slashes of a key.
pub(crate) fn check_part(part: &str) -> Result<(), InvalidName> {
    let plain = part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    let fits = (1..=LONGEST_PART).contains(&part.len());
    if plain && fits && !part.starts_with('.') { Ok(()) } else { Err(InvalidName { name: part.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_function_of_collector_epoch_and_sequence() {
        let id = SegmentId::new("node-1", "e0", 42).unwrap();
        assert_eq!(id.data_key(), "segments/node-1/e0/00000000000000000042.ndjson.zst");
        assert_eq!(id.manifest_key(), "segments/node-1/e0/00000000000000000042.manifest.json");
    }

    #[test]
    fn names_that_would_leave_the_prefix_are_refused() {
        for name in
            ["", ".", "..", ".hidden", "a/b", "/etc", "a\\b", "a\nb", "a\0", "%2e", "ä", &"x".repeat(201)]
        {
            assert!(SegmentId::new(name, "e", 0).is_err(), "{name:?}");
            assert!(SegmentId::new("c", name, 0).is_err(), "{name:?}");
        }
    }
}
