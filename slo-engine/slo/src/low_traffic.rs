//! Low traffic: when a handful of failures is chance, and how far back a short window must look to see anything.

use crate::counts::{Counts, MinuteId};
use crate::objective::{Objective, SloSpec};
use crate::series::{Series, WindowSum};

/// Requests that a short window must hold before it says anything.
pub const MIN_REQUESTS: u64 = 3;

/// Under one request in so many minutes a service is only paged for by its probes.
pub const SPARSE_MINUTES: u64 = 120;

/// One in a million: a page must be less likely than this while the objective is being met.
const UNLIKELY: u128 = 1_000_000;

/// Scale of the first weight, and the widest factor that a weight is multiplied with.
const UNIT: u128 = 1 << 48;
const FACTOR_BITS: u32 = 44;

/// The heaviest tail that still is exact: weights up to `UNLIKELY` times it, times a factor, fit into 128 bits.
const HEAVIEST: u128 = 1 << 63;

/// Whether `bad` of `total` would happen less than once in a million times if every request were bad with probability
/// 1 − target: P(Bin(total, 1 − target) ≥ bad) < 10⁻⁶.
///
/// Method: integers only, so the answer is the same on every machine. The weight of exactly `bad` failures is set to 2⁴⁸ and
/// its neighbours follow by w(j+1) / w(j) = (n − j) p / ((j + 1) q): upwards they add up to the tail until they vanish,
/// downwards to the rest until it outweighs the tail a million times (unlikely) or vanishes (likely). Where `n` times the
/// target's denominator is under 2⁴⁴ the factors are exact and each step rounds by at most 2⁻⁴⁸ of the first weight;
/// beyond, by 2⁻⁴² of its own: under 10⁻⁸ of the probability in total for the few dozen steps of a page-worthy burn. More than
/// 2¹⁵ equal weights in the tail (over 10¹⁰ failures expected and a burn rate within 0.01 % of 1) count as likely.
pub fn is_unlikely(counts: Counts, objective: &Objective) -> bool {
    let (n, k) = (u128::from(counts.total), u128::from(counts.bad.min(counts.total)));
    let share = objective.budget_share();
    let (p, q) = (share.num() as u128, (share.den() - share.num()) as u128);
    // The median lies next to the mean: up to there the tail is at least a half.
    if k * (p + q) <= n * p {
        return false;
    }
    let Some(tail) = tail(n, k, p, q) else { return false };
    let (mut body, mut weight) = (0, UNIT);
    for j in (0..k).rev() {
        let Some(next) = step(weight, (j + 1) * q, (n - j) * p) else { return true };
        weight = next;
        body += weight;
        if tail * UNLIKELY < tail + body {
            return true;
        }
        if weight == 0 {
            break;
        }
    }
    false
}

/// Whether a window has under one request in two hours of measured time.
pub fn is_sparse(sum: &WindowSum) -> bool {
    u128::from(sum.counts.total) * u128::from(SPARSE_MINUTES) < u128::from(sum.measured())
}

/// First minute of the short window before `at`: `short` minutes back, or as far as its last three requests, but at most
/// `long` minutes.
pub fn short_from(series: &Series, spec: &SloSpec, at: MinuteId, short: u32, long: u32) -> MinuteId {
    let enough =
        |minutes: u32| spec.sum(series, at.plus(-i64::from(minutes)), at).counts.total >= MIN_REQUESTS;
    if enough(short) {
        return at.plus(-i64::from(short));
    }
    let (mut under, mut over) = (short, long.max(short));
    while under + 1 < over {
        let middle = under + (over - under) / 2;
        if enough(middle) { over = middle } else { under = middle }
    }
    at.plus(-i64::from(over))
}

/// Weights of `k`, `k + 1` … failures, added up; nothing when too many are alike.
fn tail(n: u128, k: u128, p: u128, q: u128) -> Option<u128> {
    let (mut sum, mut weight) = (UNIT, UNIT);
    for j in k..n {
        weight = step(weight, (n - j) * p, (j + 1) * q)?;
        if weight == 0 {
            break;
        }
        sum += weight;
        if sum > HEAVIEST {
            return None;
        }
    }
    Some(sum)
}

/// `weight × num / den` rounded down, or nothing when it is beyond any tail that matters.
fn step(weight: u128, num: u128, den: u128) -> Option<u128> {
    let shift = (128 - num.max(den).leading_zeros()).saturating_sub(FACTOR_BITS);
    let (num, den) = (num >> shift, den >> shift);
    (weight * num).checked_div(den)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ratio::Ratio;
    use crate::series::Minute;

    fn counts(total: u64, bad: u64) -> Counts {
        Counts { total, bad, excluded: 0 }
    }

    #[track_caller]
    fn check(percent: &str, total: u64, bad: u64, want: bool) {
        assert_eq!(is_unlikely(counts(total, bad), &Objective::parse(percent).unwrap()), want);
    }

    #[test]
    fn the_third_failure_of_three_is_no_chance_and_the_second_of_two_is() {
        check("99.9", 3, 3, true);
        check("99.9", 2, 2, false);
        check("99.9", 1, 1, false);
        check("99.9", 0, 0, false);
        check("99.9", 19, 3, true);
        check("99.9", 20, 3, false);
        check("95", 4, 4, false);
        check("95", 5, 5, true);
    }

    #[test]
    fn heavy_traffic_is_decided_too() {
        check("99.9", 100_000_000, 100_000, false);
        check("99.9", 100_000_000, 101_000, false);
        check("99.9", 100_000_000, 102_000, true);
        check("99.9", 1 << 50, 1 << 49, true);
        check("99.999999", u64::MAX, u64::MAX, true);
        check("0.000001", u64::MAX, 1, false);
    }

    /// P(Bin(n, p) ≥ k) by adding up every outcome, in exact fractions over 1000ⁿ.
    fn brute_force(n: u32, k: u32, per_mille: i128) -> bool {
        let choose = |j: u32| (0..j).fold(1_i128, |all, i| all * i128::from(n - i) / i128::from(i + 1));
        let outcomes = |j| choose(j) * per_mille.pow(j) * (1000 - per_mille).pow(n - j);
        let tail: i128 = (k..=n).map(outcomes).sum();
        Ratio::new(tail, 1000_i128.pow(n)) < Ratio::new(1, 1_000_000)
    }

    #[test]
    fn small_numbers_agree_with_adding_up_every_outcome() {
        for per_mille in [1, 2, 5, 10, 50, 100, 250] {
            let target = Ratio::new(1000 - per_mille, 10).to_decimal(1);
            for n in 1..=12 {
                for k in 1..=n {
                    check(&target, n.into(), k.into(), brute_force(n, k, per_mille));
                }
            }
        }
    }

    /// The same in floats, as the logarithm of each outcome; good to some ten digits.
    fn float_tail(n: u64, k: u64, p: f64) -> f64 {
        let mut log = (0..k).map(|i| (((n - i) as f64) / ((i + 1) as f64) * p / (1.0 - p)).ln()).sum::<f64>();
        log += n as f64 * (1.0 - p).ln();
        let mut tail = 0.0;
        for j in k..=n {
            tail += log.exp();
            log += ((n - j) as f64 / (j + 1) as f64 * p / (1.0 - p)).ln();
        }
        tail
    }

    proptest::proptest! {
        #[test]
        fn larger_numbers_agree_with_floats_away_from_the_edge(n in 1_u64..3000, share in 0_u64..2000, percent in 0_usize..4) {
            let (text, p) = [("99.9", 0.001), ("99.5", 0.005), ("95", 0.05), ("60", 0.4)][percent];
            let k = (n * share / 4000 + 1).min(n);
            let want = float_tail(n, k, p);
            proptest::prop_assume!((want / 1e-6 - 1.0).abs() > 1e-6);
            assert_eq!(is_unlikely(counts(n, k), &Objective::parse(text).unwrap()), want < 1e-6);
        }

        #[test]
        fn a_short_window_reaches_back_exactly_to_the_third_last_request(minutes in proptest::collection::vec(0_u64..3, 1..90)) {
            let mut series = Series::new();
            for (id, &total) in (0..).zip(&minutes) {
                series.set(MinuteId(id), Minute::Read(counts(total, 0)));
            }
            let (at, spec) = (MinuteId(minutes.len() as i64), &SloSpec::defaults()[0]);
            let reached = (5..60).find(|&back| series.sum(at.plus(-back), at).counts.total >= 3).unwrap_or(60);
            assert_eq!(short_from(&series, spec, at, 5, 60), at.plus(-reached));
        }
    }

    #[test]
    fn under_one_request_in_two_hours_is_sparse() {
        let sum = |total, read| WindowSum { counts: counts(total, 0), read, ..WindowSum::default() };
        assert!(is_sparse(&sum(1, 121)));
        assert!(!is_sparse(&sum(1, 120)));
        assert!(!is_sparse(&sum(0, 0)));
    }
}
