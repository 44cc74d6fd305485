//! Sets of byte offsets of one stream, as sorted ranges that neither touch nor overlap.

use serde::{Deserialize, Serialize};

/// Half-open ranges `[start, end)` in bytes, ascending, with a hole between any two. In JSON `[[start, end], …]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Adds `[start, end)`, joined with what it touches; nothing when `end <= start`.
    pub fn insert(&mut self, start: u64, end: u64) {
        if end <= start {
            return;
        }
        let from = self.0.partition_point(|range| range.1 < start);
        let to = self.0.partition_point(|range| range.0 <= end);
        let low = self.0[from..to].first().map_or(start, |range| range.0.min(start));
        let high = self.0[from..to].last().map_or(end, |range| range.1.max(end));
        self.0.splice(from..to, [(low, high)]);
    }

    /// Adds every range of `other`.
    pub fn extend(&mut self, other: &Self) {
        for &(start, end) in &other.0 {
            self.insert(start, end);
        }
    }

    /// The range that holds `offset`.
    pub fn around(&self, offset: u64) -> Option<(u64, u64)> {
        let at = self.0.partition_point(|range| range.1 <= offset);
        self.0.get(at).copied().filter(|range| range.0 <= offset)
    }

    /// Behind the last byte; nothing for an empty set.
    pub fn end(&self) -> Option<u64> {
        self.0.last().map(|range| range.1)
    }

    /// The holes between byte 0 and the last range.
    pub fn holes(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let ends = std::iter::once(0).chain(self.0.iter().map(|range| range.1));
        ends.zip(self.0.iter().map(|range| range.0)).filter(|(end, start)| end < start)
    }

    /// The ranges, ascending.
    pub fn as_slice(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// Whether the set holds no byte.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

// A manifest is text that others may have written: its ranges are put in order again.
impl From<Vec<(u64, u64)>> for Ranges {
    fn from(pairs: Vec<(u64, u64)>) -> Self {
        let mut ranges = Self::default();
        for (start, end) in pairs {
            ranges.insert(start, end);
        }
        ranges
    }
}

impl From<Ranges> for Vec<(u64, u64)> {
    fn from(ranges: Ranges) -> Self {
        ranges.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_hold_what_a_plain_set_of_bytes_holds(pairs in prop::collection::vec((0u64..60, 0u64..60), 0..20)) {
            let bytes: BTreeSet<u64> = pairs.iter().flat_map(|&(start, end)| start..end).collect();
            let ranges = Ranges::from(pairs);
            for offset in 0..60 {
                let held = ranges.around(offset);
                prop_assert_eq!(held.is_some(), bytes.contains(&offset));
                if let Some((start, end)) = held {
                    prop_assert!((start..end).all(|byte| bytes.contains(&byte)));
                    prop_assert!(!bytes.contains(&end));
                }
            }
            let last = bytes.last().copied().unwrap_or(0);
            let missing: Vec<u64> = ranges.holes().flat_map(|(start, end)| start..end).collect();
            let want: Vec<u64> = (0..last).filter(|byte| !bytes.contains(byte)).collect();
            prop_assert_eq!(missing, want);
        }
    }
}
