//! Burn-rate policies: which share of bad requests, over which pair of windows, pages or files a ticket.

use serde::{Deserialize, Serialize};

use crate::counts::Counts;
use crate::objective::Objective;
use crate::ratio::Ratio;
use crate::window::DAY;

/// How loudly to tell people; a page is more than a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// In working hours.
    Ticket,
    /// Now.
    Page,
}

/// What must be exceeded, strictly, in both windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Threshold {
    /// A burn rate.
    Factor(Ratio),
    /// A share of bad requests, where the burn rate cannot rise high enough.
    BadShare(Ratio),
}

/// One pair of windows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BurnPolicy {
    /// What it leads to.
    pub severity: Severity,
    /// What must be exceeded in both windows.
    pub threshold: Threshold,
    /// Long window in minutes: enough was lost.
    pub long: u32,
    /// Short window in minutes: it is still being lost.
    pub short: u32,
    /// Share of the whole budget that is gone when the threshold was just held for the long window.
    pub budget_share: Ratio,
}

/// Why a policy makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// It could never fire.
    #[error(
        "burn rate {factor} can never be exceeded with an objective of {objective} %: {factor} × (1 − {target}) = {share}, \
         and at most all requests (1) are bad; choose a factor under {limit}"
    )]
    Unreachable {
        /// The factor that was asked for.
        factor: String,
        /// The objective in percent.
        objective: String,
        /// The objective as a share.
        target: String,
        /// Share of bad requests that the factor stands for.
        share: String,
        /// Factors under this one can be exceeded.
        limit: String,
    },
    /// A factor of 0 or less would always fire.
    #[error("burn rate {0} is not positive: any single bad request would exceed it; choose a factor over 0")]
    NotPositive(String),
    /// The windows are empty, upside down, or longer than the period.
    #[error("windows of {long} and {short} minutes: need 0 < short <= long <= the {days} days of the budget")]
    Windows {
        /// Long window in minutes.
        long: u32,
        /// Short window in minutes.
        short: u32,
        /// Period of the budget in days.
        days: u32,
    },
}

/// Severity, percent of the budget, long and short window in minutes.
const LADDER: [(Severity, i128, u32, u32); 4] = [
    (Severity::Page, 2, 60, 5),
    (Severity::Page, 5, 360, 30),
    (Severity::Ticket, 10, 1440, 120),
    (Severity::Ticket, 10, 4320, 360),
];

/// The policies of an objective over 30 days: page 14.4 (1 h, 5 min), page 6 (6 h, 30 min), ticket 3 (1 d, 2 h), ticket 1
/// (3 d, 6 h).
pub fn default_policies(objective: &Objective) -> Vec<BurnPolicy> {
    policies_for(objective, 30)
}

/// The same shares of the budget for a period of `days`: factor = share × period / long window.
///
/// Where the fast factor stands for more than a quarter of all requests, the fast page is instead: over a third of them in
/// 30 and in 5 minutes. What can never fire, what allows more than a third to be bad anyway, and what looks back further
/// than the period is left out.
pub fn policies_for(objective: &Objective, days: u32) -> Vec<BurnPolicy> {
    let by_ladder = LADDER.iter().enumerate().filter_map(|(step, &(severity, percent, long, short))| {
        let factor = Ratio::new(percent, 100) * period(days) / Ratio::from(u64::from(long));
        if step == 0 && factor * objective.budget_share() > Ratio::new(1, 4) {
            return bad_share_page(objective, days);
        }
        BurnPolicy::with_factor(objective, severity, factor, long, short, days).ok()
    });
    by_ladder.collect()
}

impl BurnPolicy {
    /// A policy with an explicit factor, for a budget over `days`; refused when it could never fire.
    pub fn with_factor(
        objective: &Objective,
        severity: Severity,
        factor: Ratio,
        long: u32,
        short: u32,
        days: u32,
    ) -> Result<Self, PolicyError> {
        check_windows(long, short, days)?;
        if factor <= Ratio::ZERO {
            return Err(PolicyError::NotPositive(factor.to_decimal(6)));
        }
        if factor * objective.budget_share() >= Ratio::ONE {
            return Err(unreachable(factor, objective));
        }
        let budget_share = factor * Ratio::from(u64::from(long)) / period(days);
        Ok(Self { severity, threshold: Threshold::Factor(factor), long, short, budget_share })
    }

    /// A name that says which it is and stays the same as long as its windows do: `"page_60m_5m"`.
    pub fn id(&self) -> String {
        let severity = match self.severity {
            Severity::Ticket => "ticket",
            Severity::Page => "page",
        };
        format!("{severity}_{}m_{}m", self.long, self.short)
    }

    /// The share of bad requests that must be exceeded.
    pub fn bad_share(&self, objective: &Objective) -> Ratio {
        match self.threshold {
            Threshold::Factor(factor) => factor * objective.budget_share(),
            Threshold::BadShare(share) => share,
        }
    }

    /// The burn rate that must be exceeded.
    pub fn factor(&self, objective: &Objective) -> Ratio {
        self.bad_share(objective) / objective.budget_share()
    }

    /// Whether a window exceeds it, strictly; a window without requests doesn't.
    pub fn exceeded_by(&self, counts: Counts, objective: &Objective) -> bool {
        let (factor, share) = match self.threshold {
            Threshold::Factor(factor) => (factor, objective.budget_share()),
            Threshold::BadShare(share) => (share, Ratio::ONE),
        };
        match (counts.total, counts.bad) {
            (0, _) => false,
            (_, 0) => factor.is_negative(),
            _ => exceeds(counts, factor, share).unwrap_or_else(|| self.is_under(counts, objective)),
        }
    }

    /// The same by fractions, which hold what products don't.
    fn is_under(&self, counts: Counts, objective: &Objective) -> bool {
        Ratio::of_counts(counts.bad, counts.total).is_some_and(|share| share > self.bad_share(objective))
    }

    /// Minutes of constant traffic with a constant share `error` of bad requests, after none, until it fires:
    /// `factor × (1 − target) / error × long`; at exactly this time it is reached, not yet exceeded.
    pub fn detection_minutes(&self, objective: &Objective, error: Ratio) -> Ratio {
        self.bad_share(objective) / error * Ratio::from(u64::from(self.long))
    }

    /// Minutes after the last bad request until the short window is quiet: `short × (1 − factor × (1 − target) / error)`.
    pub fn reset_minutes(&self, objective: &Objective, error: Ratio) -> Ratio {
        (Ratio::ONE - self.bad_share(objective) / error) * Ratio::from(u64::from(self.short))
    }
}

/// Whether `bad / total > factor × share`, by cross products; nothing where they don't fit or the factor is negative.
fn exceeds(counts: Counts, factor: Ratio, share: Ratio) -> Option<bool> {
    let product =
        |count: u64, a: i128, b: i128| u128::try_from(a.checked_mul(b)?).ok()?.checked_mul(count.into());
    let (bad, total) =
        (product(counts.bad, factor.den(), share.den())?, product(counts.total, factor.num(), share.num())?);
    Some(bad > total)
}

fn bad_share_page(objective: &Objective, days: u32) -> Option<BurnPolicy> {
    let (share, long, short) = (Ratio::new(1, 3), 30, 5);
    let budget_share = share / objective.budget_share() * Ratio::from(u64::from(long)) / period(days);
    let threshold = Threshold::BadShare(share);
    let policy = BurnPolicy { severity: Severity::Page, threshold, long, short, budget_share };
    (objective.budget_share() < share).then_some(policy)
}

/// Minutes of a budget's period.
fn period(days: u32) -> Ratio {
    Ratio::from(u64::from(days) * DAY as u64)
}

fn check_windows(long: u32, short: u32, days: u32) -> Result<(), PolicyError> {
    let fits = 0 < short && short <= long && u64::from(long) <= u64::from(days) * DAY as u64;
    if fits { Ok(()) } else { Err(PolicyError::Windows { long, short, days }) }
}

fn unreachable(factor: Ratio, objective: &Objective) -> PolicyError {
    PolicyError::Unreachable {
        factor: factor.to_decimal(6),
        objective: objective.objective_percent(),
        target: objective.target().to_decimal(8),
        share: (factor * objective.budget_share()).to_decimal(8),
        limit: (Ratio::ONE / objective.budget_share()).to_decimal(6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objective(percent: &str) -> Objective {
        Objective::parse(percent).unwrap()
    }

    #[track_caller]
    fn check(percent: &str, days: u32, want: &[(&str, &str)]) {
        let objective = objective(percent);
        let got: Vec<_> = policies_for(&objective, days)
            .iter()
            .map(|policy| (policy.id(), policy.factor(&objective).to_decimal(4)))
            .collect();
        let got: Vec<_> = got.iter().map(|(id, factor)| (id.as_str(), factor.as_str())).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn thirty_days_have_the_factors_of_the_field() {
        let ladder = ["page_60m_5m", "page_360m_30m", "ticket_1440m_120m", "ticket_4320m_360m"];
        let with = |factors: [&'static str; 4]| ladder.into_iter().zip(factors).collect::<Vec<_>>();
        check("99.9", 30, &with(["14.4", "6", "3", "1"]));
        check("99.9", 28, &with(["13.44", "5.6", "2.8", "0.9333"]));
        check("99", 7, &with(["3.36", "1.4", "0.7", "0.2333"]));
    }

    #[test]
    fn a_low_objective_pages_fast_on_a_third_of_bad_requests() {
        let rest = [("page_360m_30m", "6"), ("ticket_1440m_120m", "3"), ("ticket_4320m_360m", "1")];
        check("95", 30, &[("page_30m_5m", "6.6666"), rest[0], rest[1], rest[2]]);
        check("98.3", 30, &[("page_60m_5m", "14.4"), rest[0], rest[1], rest[2]]);
        check("98.2", 30, &[("page_30m_5m", "18.5185"), rest[0], rest[1], rest[2]]);
    }

    #[test]
    fn what_can_never_fire_is_left_out() {
        check("80", 30, &[("page_30m_5m", "1.6666"), ("ticket_1440m_120m", "3"), ("ticket_4320m_360m", "1")]);
        check("50", 30, &[("ticket_4320m_360m", "1")]);
        check("99.9", 1, &[("page_60m_5m", "0.48"), ("page_360m_30m", "0.2"), ("ticket_1440m_120m", "0.1")]);
    }

    #[test]
    fn shares_of_the_budget_are_those_of_the_ladder() {
        let shares: Vec<_> = default_policies(&objective("99.9"))
            .iter()
            .map(|policy| policy.budget_share.to_decimal(4))
            .collect();
        assert_eq!(shares, ["0.02", "0.05", "0.1", "0.1"]);
    }

    #[track_caller]
    fn refused(percent: &str, factor: &str, long: u32, short: u32, want: &str) {
        let factor = Ratio::parse_decimal(factor).unwrap();
        let got = BurnPolicy::with_factor(&objective(percent), Severity::Page, factor, long, short, 30);
        assert_eq!(got.unwrap_err().to_string(), want);
    }

    #[test]
    fn a_factor_out_of_reach_is_refused_with_the_arithmetic() {
        refused(
            "90",
            "14.4",
            60,
            5,
            "burn rate 14.4 can never be exceeded with an objective of 90 %: 14.4 × (1 − 0.9) = 1.44, and at most all \
             requests (1) are bad; choose a factor under 10",
        );
        refused("90", "10", 60, 5, &{
            let all = "10 × (1 − 0.9) = 1, and at most all requests (1) are bad; choose a factor under 10";
            format!("burn rate 10 can never be exceeded with an objective of 90 %: {all}")
        });
        let zero =
            "burn rate 0 is not positive: any single bad request would exceed it; choose a factor over 0";
        refused("90", "0", 60, 5, zero);
        let windows = "windows of 5 and 60 minutes: need 0 < short <= long <= the 30 days of the budget";
        refused("90", "2", 5, 60, windows);
    }

    #[test]
    fn exactly_the_factor_is_not_over_it() {
        let objective = objective("99.9");
        let fast = &default_policies(&objective)[0];
        let counts = |bad| Counts { total: 10_000, bad, excluded: 0 };
        assert!(!fast.exceeded_by(counts(144), &objective));
        assert!(fast.exceeded_by(counts(145), &objective));
        assert!(!fast.exceeded_by(Counts::default(), &objective));
    }
}
