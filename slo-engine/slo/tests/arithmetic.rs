//! Counts, minutes, windows, budgets and burn rates against a plain sum over the requests themselves.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use slo::budget::{Budget, Slices};
use slo::burn::BurnRate;
use slo::counts::{ByteRange, Counts, Merge, MinuteId, Sli, merge};
use slo::episode::{Rules, Verdict};
use slo::objective::{Objective, SloSpec};
use slo::policy::{BurnPolicy, default_policies};
use slo::ratio::Ratio;
use slo::series::{Minute, Series};
use slo::sketch::Sketch;

/// One request: when it ended, and whether it was bad.
type Request = (i64, bool);

/// Requests around a few places that are far apart: gaps of years between stretches of hours.
fn requests() -> impl Strategy<Value = Vec<Request>> {
    let place = prop_oneof![Just(-3_000_000_i64), Just(0), Just(29_000_000)];
    prop::collection::vec(
        (place, 0_i64..4000, prop::bool::weighted(0.2)).prop_map(|(at, offset, bad)| (at + offset, bad)),
        1..300,
    )
}

fn series_of(requests: &[Request]) -> Series {
    let mut series = Series::new();
    for &(minute, bad) in requests {
        let mut counts = series.get(MinuteId(minute)).map_or(Counts::default(), Minute::counts);
        counts += Counts { total: 1, bad: u64::from(bad), excluded: 0 };
        series.set(MinuteId(minute), Minute::Read(counts));
    }
    series
}

fn naive(requests: &[Request], from: i64, to: i64) -> Counts {
    let inside = || requests.iter().filter(|(minute, _)| (from..to).contains(minute));
    Counts {
        total: inside().count() as u64,
        bad: inside().filter(|(_, bad)| *bad).count() as u64,
        excluded: 0,
    }
}

proptest! {
    #[test]
    fn a_window_adds_up_its_requests(requests in requests(), from in -5000_i64..5000, length in 0_i64..50_000, place in 0_usize..3) {
        let from = from + [-3_000_000, 0, 29_000_000][place];
        let (series, to) = (series_of(&requests), from + length);
        let sum = series.sum(MinuteId(from), MinuteId(to));
        prop_assert_eq!(sum.counts, naive(&requests, from, to));
        let (first, last) = (requests.iter().min().unwrap().0, requests.iter().max().unwrap().0);
        let measured = (to.min(last + 1) - from.max(first)).max(0) as u64;
        prop_assert_eq!((sum.read, sum.missing() + sum.excluded), (measured, 0));
    }

    #[test]
    fn a_budget_is_what_its_requests_say(requests in requests(), percent in prop_oneof![Just("99.9"), Just("95"), Just("99.95"), Just("50")]) {
        let objective = Objective::parse(percent).unwrap();
        let sum = series_of(&requests).sum(MinuteId(-1000), MinuteId(40_000));
        let Counts { total, bad, .. } = naive(&requests, -1000, 40_000);
        let budget = Budget::of(&sum, &objective);
        prop_assert_eq!((budget.total, budget.good, budget.bad), (total, total - bad, bad));
        let share = Ratio::ONE - objective.target();
        prop_assert_eq!(budget.allowed, share * Ratio::from(total));
        if total > 0 {
            prop_assert_eq!(budget.sli.unwrap(), Ratio::new((total - bad).into(), total.into()));
            // remaining × allowed = allowed - bad, without a division.
            prop_assert_eq!(budget.remaining.unwrap() * budget.allowed, budget.allowed - Ratio::from(bad));
            prop_assert_eq!(BurnRate::of(sum.counts, &objective).unwrap().0 * share, Ratio::new(bad.into(), total.into()));
        }
    }

    #[test]
    fn the_order_of_minutes_and_their_corrections_does_not_matter(
        words in prop::collection::vec((0_i64..3000, 0_u8..4, 0_u64..9), 1..200), from in 0_i64..3000, length in 0_i64..3000
    ) {
        let minute = |state, total| match state {
            0 => Minute::Read(Counts { total, bad: total / 2, excluded: 1 }),
            1 => Minute::Partial(Counts { total, bad: total / 2, excluded: 0 }),
            2 => Minute::Unmeasured,
            _ => Minute::Excluded,
        };
        let (mut series, mut plain) = (Series::new(), std::collections::BTreeMap::new());
        for &(id, state, total) in &words {
            series.set(MinuteId(id), minute(state, total));
            plain.insert(id, minute(state, total));
        }
        let (first, end) = (*plain.keys().next().unwrap(), *plain.keys().next_back().unwrap() + 1);
        let mut want = slo::series::WindowSum::default();
        for id in from.max(first)..(from + length).min(end) {
            let minute = plain.get(&id).copied().unwrap_or(Minute::IDLE);
            prop_assert_eq!(series.get(MinuteId(id)), Some(minute));
            want.counts += minute.counts();
            match minute {
                Minute::Read(_) => want.read += 1,
                Minute::Partial(_) => want.partial += 1,
                Minute::Unmeasured => want.unmeasured += 1,
                Minute::Excluded => want.excluded += 1,
            }
        }
        prop_assert_eq!(series.sum(MinuteId(from), MinuteId(from + length)), want);
        let mut late = series.clone();
        late.forget_before(MinuteId(from));
        prop_assert_eq!(late.sum(MinuteId(0), MinuteId(from + length)), series.sum(MinuteId(from), MinuteId(from + length)));
    }

    #[test]
    fn a_slice_is_judged_by_its_nearest_rank_percentile(durations in prop::collection::vec(prop::collection::vec(0_u64..1000, 0..40), 1..30)) {
        let threshold = 500;
        let (mut series, mut want) = (Series::new(), Slices::default());
        for (id, minute) in (0..).zip(&durations) {
            let slow = minute.iter().filter(|&&ms| ms >= threshold).count() as u64;
            series.set(MinuteId(id), Minute::Read(Counts { total: minute.len() as u64, bad: slow, excluded: 0 }));
            let mut sorted = minute.clone();
            sorted.sort_unstable();
            let rank = (95 * sorted.len()).div_ceil(100);
            want.total += u64::from(rank > 0);
            want.good += u64::from(rank > 0 && sorted[rank - 1] < threshold);
        }
        let end = MinuteId(durations.len() as i64);
        prop_assert_eq!(Slices::of(&series, MinuteId(0), end, Ratio::new(95, 100)), want);
    }

    #[test]
    fn detection_and_reset_take_the_minutes_of_their_closed_forms(pick in 0_usize..5, per_minute in 1_u64..60, bad in 1_u64..60) {
        prop_assume!(bad <= per_minute);
        let percent = ["99.9", "99.9", "99", "95", "90"][pick];
        let objective = Objective::parse(percent).unwrap();
        let error = Ratio::new(bad.into(), per_minute.into());
        for policy in default_policies(&objective) {
            let detection = policy.detection_minutes(&objective, error);
            if detection < Ratio::from(u64::from(policy.long)) {
                detects_and_resets(&policy, percent, per_minute, bad, detection.floor() as i64 + 1);
            }
        }
    }

    #[test]
    fn ranges_in_any_order_never_count_a_byte_twice(ranges in prop::collection::vec((0_u64..60, 1_u64..20), 1..12)) {
        let mut kept: Vec<ByteRange> = vec![];
        for (start, length) in ranges {
            let new = ByteRange { start, end: start + length };
            match merge(&kept, new) {
                Merge::Ignore => prop_assert!(kept.iter().any(|old| old.contains(new))),
                Merge::Partial { overlaps } => {
                    prop_assert!(kept[overlaps].overlaps(new) && !new.contains(kept[overlaps]) && !kept[overlaps].contains(new));
                }
                Merge::Insert { replaces } => {
                    let mut index = 0..;
                    kept.retain(|_| !replaces.contains(&index.next().unwrap()));
                    kept.push(new);
                }
            }
            for (place, one) in kept.iter().enumerate() {
                prop_assert!(kept[..place].iter().all(|other| !one.overlaps(*other)));
            }
            prop_assert_eq!(merge(&kept, kept[0]), Merge::Ignore);
        }
    }

    #[test]
    fn sketches_merge_in_any_order_and_stay_close(durations in prop::collection::vec(prop_oneof![0_u64..100, 0_u64..100_000_000, any::<u64>()], 1..200), cut in any::<prop::sample::Index>(), percent in 1_u64..=100) {
        let sketch_of = |durations: &[u64]| {
            let mut sketch = Sketch::default();
            durations.iter().for_each(|&us| sketch.record(us));
            sketch
        };
        let (head, tail) = durations.split_at(cut.index(durations.len()));
        let (mut merged, mut other) = (sketch_of(head), sketch_of(tail));
        merged.merge(&sketch_of(tail));
        other.merge(&sketch_of(head));
        prop_assert_eq!(&merged, &sketch_of(&durations));
        prop_assert_eq!(&merged, &other);
        let mut sorted = durations.clone();
        sorted.sort_unstable();
        let exact = sorted[(percent as usize * sorted.len()).div_ceil(100) - 1];
        let shown = merged.quantile_us(percent, 100).unwrap();
        prop_assert!(shown.abs_diff(exact) <= exact / 60 + 1, "{} is not near {}", shown, exact);
    }
}

/// Good traffic, then `error` for as long as the long window, then good again.
fn detects_and_resets(policy: &BurnPolicy, percent: &str, per_minute: u64, bad: u64, detection: i64) {
    let long = i64::from(policy.long);
    let minute = |bad| Minute::Read(Counts { total: per_minute, bad, excluded: 0 });
    let mut series = Series::new();
    (-long..0).for_each(|id| series.set(MinuteId(id), minute(0)));
    (0..long).for_each(|id| series.set(MinuteId(id), minute(bad)));
    (long..long + i64::from(policy.short)).for_each(|id| series.set(MinuteId(id), minute(0)));
    let objective = Objective::parse(percent).unwrap();
    let spec = SloSpec { objective, ..SloSpec::default_of(Sli::Availability) };
    let rules = Rules { spec, policies: vec![policy.clone()], low_traffic: false };
    let fires = |at| matches!(rules.read(&series, policy, MinuteId(at)).verdict, Verdict::Firing(_));
    assert!(!fires(detection - 1) && fires(detection), "detection of {policy:?} is not {detection}");
    let error = Ratio::new(bad.into(), per_minute.into());
    let reset = long + policy.reset_minutes(&objective, error).ceil() as i64;
    assert!(fires(reset - 1) && !fires(reset), "reset of {policy:?} is not {reset}");
}

#[test]
fn a_gap_of_decades_costs_nothing_and_is_idle() {
    let mut series = Series::new();
    series.set(MinuteId(0), Minute::Unmeasured);
    series.set(MinuteId(40_000_000), Minute::Read(Counts { total: 5, bad: 1, excluded: 2 }));
    let sum = series.sum(MinuteId(-100), MinuteId(i64::MAX));
    assert_eq!((sum.read, sum.unmeasured, sum.counts.total), (40_000_000, 1, 5));
    assert_eq!((series.first(), series.end()), (Some(MinuteId(0)), Some(MinuteId(40_000_001))));
}

#[test]
fn before_the_first_minute_and_behind_the_last_there_is_nothing_yet() {
    let mut series = Series::new();
    series.read_until(MinuteId(50));
    assert_eq!(series.sum(MinuteId(0), MinuteId(100)).read, 0);
    series.set(MinuteId(10), Minute::IDLE);
    series.read_until(MinuteId(50));
    assert_eq!(series.sum(MinuteId(0), MinuteId(100)).read, 40);
    assert_eq!((series.get(MinuteId(9)), series.get(MinuteId(50))), (None, None));
    assert_eq!(series.get(MinuteId(49)), Some(Minute::IDLE));
}

#[track_caller]
fn merges(existing: &[(u64, u64)], new: (u64, u64), want: Merge) {
    let range = |&(start, end): &(u64, u64)| ByteRange { start, end };
    assert_eq!(merge(&existing.iter().map(range).collect::<Vec<_>>(), range(&new)), want);
}

#[test]
fn a_row_adds_replaces_or_makes_its_minute_partial() {
    merges(&[], (0, 10), Merge::Insert { replaces: vec![] });
    merges(&[(0, 10)], (10, 20), Merge::Insert { replaces: vec![] });
    merges(&[(0, 10)], (0, 10), Merge::Ignore);
    merges(&[(0, 10)], (2, 5), Merge::Ignore);
    merges(&[(0, 10), (10, 20), (30, 40)], (0, 20), Merge::Insert { replaces: vec![0, 1] });
    merges(&[(0, 10), (10, 20)], (5, 20), Merge::Partial { overlaps: 0 });
    merges(&[(10, 20)], (0, 11), Merge::Partial { overlaps: 0 });
}

#[test]
fn an_empty_sketch_has_no_quantile() {
    assert_eq!(Sketch::default().quantile_us(95, 100), None);
}
