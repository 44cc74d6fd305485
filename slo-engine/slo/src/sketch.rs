//! A mergeable sketch of latencies for display: log-linear buckets of integers, so that merging in any order gives the
//! same sketch. No objective is judged by it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// Sub-buckets a power of two, as bits: 32 of them keep a quantile within 1.6 % of the exact value.
const SUB_BITS: u32 = 5;

/// Requests by bucket of duration; as JSON a map of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch(Vec<(u16, u64)>);

impl Sketch {
    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one duration in microseconds.
    pub fn record(&mut self, us: u64) {
        *self.bucket(bucket(us)) += 1;
    }

    /// Adds everything that `other` holds; an absurd count saturates.
    pub fn merge(&mut self, other: &Self) {
        for &(bucket, count) in &other.0 {
            let sum = self.bucket(bucket);
            *sum = sum.saturating_add(count);
        }
    }

    /// Takes away what `other` holds, down to nothing; a bucket of which nothing is left is gone.
    pub fn subtract(&mut self, other: &Self) {
        for &(bucket, count) in &other.0 {
            if let Ok(place) = self.find(bucket) {
                self.0[place].1 = self.0[place].1.saturating_sub(count);
            }
        }
        self.0.retain(|&(_, count)| count > 0);
    }

    /// Buckets with their counts, shortest durations first.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (u16, u64)> + '_ {
        self.0.iter().copied()
    }

    /// A sketch of buckets with their counts, in any order; those of one bucket add up.
    pub fn from_entries(entries: impl IntoIterator<Item = (u16, u64)>) -> Self {
        let mut sketch = Self::default();
        for entry in entries {
            sketch.merge(&Self(vec![entry]));
        }
        sketch
    }

    /// Nearest-rank quantile `num/den` in microseconds (middle of its bucket), or nothing for an empty sketch.
    pub fn quantile_us(&self, num: u64, den: u64) -> Option<u64> {
        let total: u128 = self.entries().map(|(_, count)| u128::from(count)).sum();
        let rank = (total * u128::from(num)).div_ceil(u128::from(den)).max(1);
        let mut seen = 0;
        self.entries().find_map(|(bucket, count)| {
            seen += u128::from(count);
            (seen >= rank).then(|| middle(bucket))
        })
    }

    /// Of buckets that ascend strictly.
    pub(crate) fn of_ascending(entries: Vec<(u16, u64)>) -> Self {
        Self(entries)
    }

    /// Where a bucket is, or would be. Durations are often told from short to long.
    fn find(&self, bucket: u16) -> Result<usize, usize> {
        match self.0.last() {
            Some(&(last, _)) if last >= bucket => self.0.binary_search_by_key(&bucket, |&(held, _)| held),
            _ => Err(self.0.len()),
        }
    }

    fn bucket(&mut self, bucket: u16) -> &mut u64 {
        let place = self.find(bucket).unwrap_or_else(|place| {
            self.0.insert(place, (bucket, 0));
            place
        });
        &mut self.0[place].1
    }
}

impl Serialize for Sketch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.entries())
    }
}

impl<'de> Deserialize<'de> for Sketch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Buckets)
    }
}

/// Reads a map of buckets, in any order; of a bucket that is named twice the last word counts.
struct Buckets;

impl<'de> Visitor<'de> for Buckets {
    type Value = Sketch;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of buckets and their counts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sketch, A::Error> {
        let mut sketch = Sketch::default();
        while let Some((bucket, count)) = map.next_entry()? {
            *sketch.bucket(bucket) = count;
        }
        Ok(sketch)
    }
}

fn bucket(us: u64) -> u16 {
    let bits = 64 - us.leading_zeros();
    if bits <= SUB_BITS + 1 {
        return us as u16;
    }
    let shift = bits - SUB_BITS - 1;
    ((shift << SUB_BITS) + (us >> shift) as u32) as u16
}

fn middle(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    let (shift, low) = match bucket >> SUB_BITS {
        0 | 1 => return bucket,
        shift => (shift - 1, bucket - ((shift - 1) << SUB_BITS)),
    };
    (low << shift) + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    proptest::proptest! {
        #[test]
        fn its_json_is_that_of_a_map(entries in proptest::collection::btree_map(proptest::num::u16::ANY, proptest::num::u64::ANY, 0..60)) {
            let sketch = Sketch(entries.clone().into_iter().collect());
            let text = serde_json::to_string(&sketch).unwrap();
            assert_eq!(text, serde_json::to_string(&entries).unwrap());
            assert_eq!(serde_json::from_str::<Sketch>(&text).unwrap(), sketch);
        }

        #[test]
        fn what_is_added_and_taken_away_again_leaves_what_was(ours in proptest::collection::vec(0_u64..100_000, 0..60), theirs in proptest::collection::vec(0_u64..100_000, 0..60)) {
            let of = |durations: &[u64]| {
                let mut sketch = Sketch::default();
                durations.iter().for_each(|&us| sketch.record(us));
                sketch
            };
            let (before, other) = (of(&ours), of(&theirs));
            let mut sketch = before.clone();
            sketch.merge(&other);
            sketch.subtract(&other);
            assert_eq!(sketch, before);
            sketch.subtract(&before);
            sketch.subtract(&other);
            assert!(sketch.is_empty());
        }
    }

    #[test]
    fn buckets_are_read_in_any_order() {
        let sketch: Sketch = serde_json::from_str(r#"{"7":1,"3":2,"7":5,"65535":0}"#).unwrap();
        assert_eq!(
            sketch.entries().collect::<BTreeMap<_, _>>(),
            BTreeMap::from([(3, 2), (7, 5), (65535, 0)])
        );
        for text in [r#"{"65536":1}"#, r#"{"a":1}"#, r#"{"1":-1}"#, "[1]"] {
            assert!(serde_json::from_str::<Sketch>(text).is_err(), "{text}");
        }
    }
}
