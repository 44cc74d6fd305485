//! A mergeable sketch of latencies for display: log-linear buckets of integers, so that merging in any order gives the
//! same sketch. No objective is judged by it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Sub-buckets a power of two, as bits: 32 of them keep a quantile within 1.6 % of the exact value.
const SUB_BITS: u32 = 5;

/// Requests by bucket of duration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sketch(BTreeMap<u16, u64>);

impl Sketch {
    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one duration in microseconds.
    pub fn record(&mut self, us: u64) {
        *self.0.entry(bucket(us)).or_default() += 1;
    }

    /// Adds everything that `other` holds; an absurd count saturates.
    pub fn merge(&mut self, other: &Self) {
        for (&bucket, &count) in &other.0 {
            let sum = self.0.entry(bucket).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    /// tmp
    pub fn entries(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.0.iter().map(|(&b, &c)| (b, c))
    }
    /// tmp
    pub fn from_entries(e: Vec<(u16, u64)>) -> Self {
        Self(e.into_iter().collect())
    }
    /// tmp
    pub fn subtract(&mut self, other: &Self) {
        for (b, c) in other.entries() {
            if let Some(s) = self.0.get_mut(&b) { *s = s.saturating_sub(c); }
        }
        self.0.retain(|_, c| *c > 0);
    }

    /// Nearest-rank quantile `num/den` in microseconds (middle of its bucket), or nothing for an empty sketch.
    pub fn quantile_us(&self, num: u64, den: u64) -> Option<u64> {
        let total: u128 = self.0.values().map(|&count| u128::from(count)).sum();
        let rank = (total * u128::from(num)).div_ceil(u128::from(den)).max(1);
        let mut seen = 0;
        self.0.iter().find_map(|(&bucket, &count)| {
            seen += u128::from(count);
            (seen >= rank).then(|| middle(bucket))
        })
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
