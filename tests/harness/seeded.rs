//! Random numbers that can be had again: the seed is printed, and `SEED=…` in the environment sets it.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A generator of the SplitMix64 kind.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator with the seed of the environment, or a new one; prints which.
    pub fn seeded() -> Self {
        let set = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = set.unwrap_or_else(|| Self::unseeded().0);
        println!("SEED={seed}");
        Self(seed)
    }

    /// The generator of a seed.
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator of what no result depends on.
    pub fn unseeded() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }

    /// A number below `end`, which is above 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Puts `items` in a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            let other = usize::try_from(self.below(index as u64 + 1)).unwrap_or(index);
            items.swap(index, other);
        }
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
