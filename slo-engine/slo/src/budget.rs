//! Error budgets: what a window may lose, what it has lost, and how sure that is.

use serde::{Deserialize, Serialize};

use crate::counts::{Counts, MinuteId};
use crate::objective::Objective;
use crate::ratio::Ratio;
use crate::series::{Minute, Series, WindowSum};

/// The budget of one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Requests that count (with time slices: minutes with requests).
    pub total: u64,
    /// Good ones of them.
    pub good: u64,
    /// Bad ones of them.
    pub bad: u64,
    /// Requests that the rules leave out.
    pub excluded: u64,
    /// `good / total`, or nothing without requests.
    pub sli: Option<Ratio>,
    /// Requests that may be bad: `(1 - target) × total`, added up over the versions of the objective.
    pub allowed: Ratio,
    /// `1 - bad / allowed`: 1 is untouched (idle too), 0 is used up, less is overspent; nothing without data.
    pub remaining: Option<Ratio>,
    /// Share of the minutes that were wholly read, of those that should have been; 0 when there was none.
    pub coverage: Ratio,
    /// Where the SLI can lie given what is missing; nothing without requests.
    pub interval: Option<Interval>,
}

/// Bounds of an SLI when each missing minute is charged the mean count of the measured ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// If all of the missing requests were bad.
    pub low: Ratio,
    /// If all of them were good.
    pub high: Ratio,
}

/// What to tell people about a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Some budget is left and it is not burning fast.
    Healthy,
    /// An alert is firing.
    Burning,
    /// Nothing is left.
    Exhausted,
    /// No request: neither good nor bad.
    NoData,
    /// It was listened, and there was no request: nothing of the budget is used.
    Idle,
}

/// The reading by time slices of a minute: how many minutes with requests were good ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slices {
    /// Minutes with requests.
    pub total: u64,
    /// Those with at least the target share of good requests.
    pub good: u64,
}

impl Budget {
    /// The budget of a window that one objective was in force for.
    pub fn of(sum: &WindowSum, objective: &Objective) -> Self {
        Self::of_versions(&[(*sum, *objective)])
    }

    /// The budget of a window whose objective changed: each part is judged by the version in force.
    pub fn of_versions(parts: &[(WindowSum, Objective)]) -> Self {
        let allow = |(sum, objective): &(WindowSum, Objective)| {
            objective.budget_share() * Ratio::from(sum.counts.total)
        };
        let allowed = parts.iter().map(allow).fold(Ratio::ZERO, |all, part| all + part);
        let sum = parts.iter().fold(WindowSum::default(), |mut all, (part, _)| {
            all += *part;
            all
        });
        let Counts { total, bad, excluded } = sum.counts;
        let good = total.saturating_sub(bad);
        Self {
            total,
            good,
            bad,
            excluded,
            sli: Ratio::of_counts(good, total),
            allowed,
            remaining: match total {
                0 => (sum.read > 0 && excluded == 0).then_some(Ratio::ONE),
                _ => Some(Ratio::ONE - Ratio::from(bad) / allowed),
            },
            coverage: coverage(&sum),
            interval: (total > 0).then(|| Interval::of(&sum)),
        }
    }

    /// What to tell about it, given whether one of its burn-rate alerts is firing.
    pub fn state(&self, firing: bool) -> State {
        match self.remaining {
            None => State::NoData,
            Some(_) if self.total == 0 => State::Idle,
            Some(left) if left <= Ratio::ZERO && self.bad > 0 => State::Exhausted,
            Some(_) if firing => State::Burning,
            Some(_) => State::Healthy,
        }
    }

    /// What a young window leaves at its end if traffic stays as it was and nothing more goes wrong: of `measured`
    /// minutes so far in a window of `window` minutes.
    pub fn projected(&self, measured: u64, window: u64) -> Option<Ratio> {
        let scale = Ratio::of_counts(window.max(measured), measured)?;
        self.remaining.map(|left| Ratio::ONE - (Ratio::ONE - left) / scale)
    }
}

impl Interval {
    /// `extra = total × missing / measured` requests are charged.
    fn of(sum: &WindowSum) -> Self {
        let Counts { total, bad, .. } = sum.counts;
        let (good, total) = (i128::from(total.saturating_sub(bad)), i128::from(total));
        let (measured, missing) = (i128::from(sum.measured().max(1)), i128::from(sum.missing()));
        let all = total * (measured + missing);
        Self {
            low: Ratio::new(good * measured, all),
            high: Ratio::new(good * measured + total * missing, all),
        }
    }
}

impl Slices {
    /// Judges the minutes of `[from, to)`: good with at least `ceil(target × n)` good of `n` requests. Idle minutes are no
    /// slices.
    pub fn of(series: &Series, from: MinuteId, to: MinuteId, target: Ratio) -> Self {
        let mut slices = Self::default();
        for (_, minute) in series.busy(from, to) {
            slices.add(minute, target);
        }
        slices
    }

    /// As counts, so that [`Budget::of`] can judge slices like requests.
    pub fn counts(self) -> Counts {
        Counts { total: self.total, bad: self.total - self.good, excluded: 0 }
    }

    fn add(&mut self, minute: Minute, target: Ratio) {
        let Counts { total, bad, .. } = minute.counts();
        if total == 0 {
            return;
        }
        self.total += 1;
        self.good += u64::from(reaches(total.saturating_sub(bad), total, target));
    }
}

/// Whether `good` is at least the target share of `total`, rounded up: by products, and by fractions where they don't fit.
fn reaches(good: u64, total: u64, target: Ratio) -> bool {
    let product = |count: u64, part: i128| i128::from(count).checked_mul(part);
    match (product(good, target.den()), product(total, target.num())) {
        (Some(good), Some(needed)) => good >= needed,
        _ => i128::from(good) >= (target * Ratio::from(total)).ceil(),
    }
}

impl std::ops::AddAssign for WindowSum {
    fn add_assign(&mut self, other: Self) {
        self.counts += other.counts;
        self.read += other.read;
        self.partial += other.partial;
        self.unmeasured += other.unmeasured;
        self.excluded += other.excluded;
    }
}

fn coverage(sum: &WindowSum) -> Ratio {
    Ratio::of_counts(sum.read, sum.read + sum.missing()).unwrap_or(Ratio::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(total: u64, bad: u64) -> WindowSum {
        WindowSum { counts: Counts { total, bad, excluded: 0 }, read: 10, ..WindowSum::default() }
    }

    #[track_caller]
    fn check(total: u64, bad: u64, percent: &str, remaining: Option<&str>, firing: bool, state: State) {
        let budget = Budget::of(&sum(total, bad), &Objective::parse(percent).unwrap());
        assert_eq!(budget.remaining.map(|left| left.to_decimal(6)).as_deref(), remaining);
        assert_eq!(budget.state(firing), state);
    }

    #[test]
    fn what_is_left_is_exact() {
        check(1_000_000, 1_000, "99.9", Some("0"), false, State::Exhausted);
        check(1_000_000, 999, "99.9", Some("0.001"), false, State::Healthy);
        check(1_000_000, 1_001, "99.9", Some("-0.001"), true, State::Exhausted);
        check(1_000_000, 500, "99.9", Some("0.5"), true, State::Burning);
        check(1_000_000, 0, "99.9", Some("1"), false, State::Healthy);
        check(0, 0, "99.9", Some("1"), true, State::Idle);
        check(u64::MAX, u64::MAX, "99.999999", Some("-99999999"), false, State::Exhausted);
    }

    #[test]
    fn no_data_is_never_good() {
        let objective = Objective::parse("99.9").unwrap();
        let left_out = Counts { excluded: 3, ..Counts::default() };
        let unheard = [
            WindowSum::default(),
            WindowSum { unmeasured: 5, ..WindowSum::default() },
            WindowSum { partial: 5, ..WindowSum::default() },
            WindowSum { counts: left_out, read: 5, ..WindowSum::default() },
        ];
        for sum in unheard {
            let budget = Budget::of(&sum, &objective);
            assert_eq!((budget.remaining, budget.state(false)), (None, State::NoData), "{sum:?}");
        }
    }

    #[test]
    fn missing_minutes_widen_the_interval_and_lower_the_coverage() {
        let sum = WindowSum { read: 8, partial: 1, unmeasured: 2, excluded: 5, ..sum(900, 9) };
        let budget = Budget::of(&sum, &Objective::parse("99").unwrap());
        assert_eq!(budget.coverage, Ratio::new(8, 11));
        let Interval { low, high } = budget.interval.unwrap();
        assert_eq!((low, high), (Ratio::new(891, 1200), Ratio::new(1191, 1200)));
    }

    #[test]
    fn each_part_is_judged_by_the_objective_in_force() {
        let (strict, lax) = (Objective::parse("99.9").unwrap(), Objective::parse("99").unwrap());
        let budget = Budget::of_versions(&[(sum(1000, 1), strict), (sum(1000, 10), lax)]);
        assert_eq!((budget.allowed, budget.remaining), (Ratio::from(11), Some(Ratio::ZERO)));
    }

    #[test]
    fn a_young_window_is_projected_at_the_traffic_it_had() {
        let budget = Budget::of(&sum(1000, 2), &Objective::parse("99.9").unwrap());
        assert_eq!(budget.remaining, Some(Ratio::from(1) - Ratio::from(2)));
        assert_eq!(budget.projected(10, 40), Some(Ratio::new(1, 2)));
        assert_eq!(budget.projected(0, 40), None);
    }

    #[test]
    fn a_slice_is_good_when_its_nearest_rank_percentile_is() {
        let mut series = Series::new();
        let target = Ratio::new(95, 100);
        for (minute, (total, bad)) in
            [(20, 1), (20, 2), (19, 1), (1, 0), (0, 0), (100, 5)].into_iter().enumerate()
        {
            series.set(MinuteId(minute as i64), Minute::Read(Counts { total, bad, excluded: 0 }));
        }
        let slices = Slices::of(&series, MinuteId(0), MinuteId(6), target);
        assert_eq!(slices, Slices { total: 5, good: 3 });
    }
}
