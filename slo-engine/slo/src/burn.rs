//! Burn rates: how many times faster than allowed the budget is being spent.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::counts::Counts;
use crate::objective::Objective;
use crate::ratio::Ratio;

/// `(bad / total) / (1 - target)`: at 1 the budget lasts exactly its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BurnRate(pub Ratio);

impl BurnRate {
    /// Of a window, or nothing when it had no requests.
    pub fn of(counts: Counts, objective: &Objective) -> Option<Self> {
        Ratio::of_counts(counts.bad, counts.total).map(|share| Self(share / objective.budget_share()))
    }
}

impl fmt::Display for BurnRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_decimal(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(total: u64, bad: u64, percent: &str, want: Option<Ratio>) {
        let counts = Counts { total, bad, excluded: 0 };
        assert_eq!(BurnRate::of(counts, &Objective::parse(percent).unwrap()).map(|rate| rate.0), want);
    }

    #[test]
    fn one_is_the_rate_that_lasts_the_window() {
        check(1000, 1, "99.9", Some(Ratio::ONE));
        check(1000, 0, "99.9", Some(Ratio::ZERO));
        check(10, 10, "95", Some(Ratio::from(20)));
        check(0, 0, "95", None);
    }
}
