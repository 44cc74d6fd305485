//! Sums of minutes, as hours and days carry them.

use super::{Minute, WindowSum};
use crate::counts::Counts;

/// A sum without the read minutes, which follow from the length of a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) counts: Counts,
    pub(super) partial: u32,
    pub(super) unmeasured: u32,
    pub(super) excluded: u32,
}

impl Part {
    pub(super) fn of(minute: Minute) -> Self {
        let mut part = Self { counts: minute.counts(), ..Self::default() };
        match minute {
            Minute::Read(_) => {}
            Minute::Partial(_) => part.partial = 1,
            Minute::Unmeasured => part.unmeasured = 1,
            Minute::Excluded => part.excluded = 1,
        }
        part
    }

    pub(super) fn of_all(minutes: &[Minute]) -> Self {
        let mut sum = Self::default();
        minutes.iter().for_each(|&minute| sum.add(Self::of(minute)));
        sum
    }

    /// Wraps, so that a sum is right again when an absurd minute that overflowed it is corrected.
    pub(super) fn add(&mut self, other: Self) {
        self.counts.total = self.counts.total.wrapping_add(other.counts.total);
        self.counts.bad = self.counts.bad.wrapping_add(other.counts.bad);
        self.counts.excluded = self.counts.excluded.wrapping_add(other.counts.excluded);
        self.partial = self.partial.wrapping_add(other.partial);
        self.unmeasured = self.unmeasured.wrapping_add(other.unmeasured);
        self.excluded = self.excluded.wrapping_add(other.excluded);
    }

    pub(super) fn subtract(&mut self, other: Self) {
        self.counts.total = self.counts.total.wrapping_sub(other.counts.total);
        self.counts.bad = self.counts.bad.wrapping_sub(other.counts.bad);
        self.counts.excluded = self.counts.excluded.wrapping_sub(other.counts.excluded);
        self.partial = self.partial.wrapping_sub(other.partial);
        self.unmeasured = self.unmeasured.wrapping_sub(other.unmeasured);
        self.excluded = self.excluded.wrapping_sub(other.excluded);
    }

    /// What is left of it when a part of it is taken away.
    pub(super) fn without(mut self, other: Self) -> Self {
        self.subtract(other);
        self
    }

    /// As the sum of so many minutes.
    pub(super) fn window(self, minutes: u64) -> WindowSum {
        let (partial, unmeasured, excluded) =
            (u64::from(self.partial), u64::from(self.unmeasured), u64::from(self.excluded));
        let read = minutes - partial - unmeasured - excluded;
        WindowSum { counts: self.counts, read, partial, unmeasured, excluded }
    }
}
