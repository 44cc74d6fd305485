//! Objectives: which share of the requests must be good, over which window, judged how.

use std::fmt;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::counts::{MinuteId, Sli};
use crate::ratio::{Ratio, RatioError};
use crate::series::{Series, WindowSum};
use crate::window::Window;

/// Most decimals that an objective in percent may have.
pub const MAX_DECIMALS: usize = 6;

/// A target share strictly between 0 and 1, written in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Objective {
    target: Ratio,
}

/// Why a text is not an objective.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectiveError {
    /// It is no decimal number.
    #[error("objective: {0}")]
    Number(#[from] RatioError),
    /// 0, 100 or beyond: nothing to keep, or no budget at all.
    #[error("objective {0:?} is not a percentage strictly between 0 and 100, like 99.9")]
    Range(String),
    /// More decimals than are kept.
    #[error("objective {0:?} has more than {MAX_DECIMALS} decimals")]
    Decimals(String),
}

/// How good is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Good requests of all requests.
    #[default]
    Occurrences,
    /// Good minutes of all minutes with requests; a minute is good when at least this share of its requests is.
    Timeslices(Ratio),
}

/// One SLO of one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SloSpec {
    /// What is counted.
    pub sli: Sli,
    /// Which share must be good.
    pub objective: Objective,
    /// Latency only: good is strictly under this, in microseconds; must be an edge of the ladder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_us: Option<u64>,
    /// Over which window the budget is spent; rolling and calendar figures are shown side by side in any case.
    pub window: Window,
    /// Zone of calendar months.
    #[serde(with = "jiff::fmt::serde::tz::required")]
    pub time_zone: TimeZone,
    /// How good is counted.
    #[serde(default)]
    pub method: Method,
}

impl Objective {
    /// Reads a percentage with at most 6 decimals, strictly between 0 and 100: `"99.9"`, `"95"`.
    pub fn parse(percent: &str) -> Result<Self, ObjectiveError> {
        Self::of_percent(Ratio::parse_decimal(percent)?)
    }

    /// The same from a percentage that was already read.
    pub fn of_percent(percent: Ratio) -> Result<Self, ObjectiveError> {
        let text = || percent.to_decimal(2 * MAX_DECIMALS);
        if percent <= Ratio::ZERO || percent >= Ratio::from(100) {
            return Err(ObjectiveError::Range(text()));
        }
        if (percent * Ratio::from(10_u64.pow(MAX_DECIMALS as u32))).den() != 1 {
            return Err(ObjectiveError::Decimals(text()));
        }
        Ok(Self { target: percent / Ratio::from(100) })
    }

    /// The share that must be good: 999/1000.
    pub fn target(self) -> Ratio {
        self.target
    }

    /// The share that may be bad, `1 - target`: 1/1000.
    pub fn budget_share(self) -> Ratio {
        self.target.complement()
    }

    /// In percent without trailing zeros: `"99.9"`.
    pub fn objective_percent(self) -> String {
        (self.target * Ratio::from(100)).to_decimal(MAX_DECIMALS)
    }
}

impl SloSpec {
    /// What every discovered service gets: availability 99.9 % and 95 % of requests under 500 ms, 30 days, UTC.
    pub fn defaults() -> [Self; 2] {
        [Self::default_of(Sli::Availability), Self::default_of(Sli::Latency)]
    }

    /// The default SLO of one SLI.
    pub fn default_of(sli: Sli) -> Self {
        let (num, threshold_us) = match sli {
            Sli::Availability => (999, None),
            Sli::Latency => (950, Some(500_000)),
        };
        Self {
            sli,
            objective: Objective { target: Ratio::new(num, 1000) },
            threshold_us,
            window: Window::Rolling { days: 30 },
            time_zone: TimeZone::UTC,
            method: Method::Occurrences,
        }
    }

    /// Days of the window that alert policies are scaled to; a calendar month counts as 30.
    pub fn window_days(&self) -> u32 {
        match self.window {
            Window::Rolling { days } => days,
            Window::CalendarMonth => 30,
        }
    }

    /// Sum of `[from, to)` as this SLO counts it: requests, or minutes with requests.
    pub fn sum(&self, series: &Series, from: MinuteId, to: MinuteId) -> WindowSum {
        let requests = series.sum(from, to);
        match self.method {
            Method::Occurrences => requests,
            Method::Timeslices(target) => {
                let counts = crate::budget::Slices::of(series, from, to, target).counts();
                WindowSum { counts, ..requests }
            }
        }
    }
}

/// Requests of a ladder that took `threshold_us` or longer, or nothing when the threshold is not one of the edges or the
/// ladder has not one bucket more than there are edges.
pub fn slow_requests(edges_us: &[u64], ladder: &[u64], threshold_us: u64) -> Option<u64> {
    let edge = edges_us.iter().position(|&edge| edge == threshold_us)?;
    (ladder.len() == edges_us.len() + 1).then(|| ladder[edge + 1..].iter().sum())
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.objective_percent())
    }
}

impl TryFrom<String> for Objective {
    type Error = ObjectiveError;

    fn try_from(percent: String) -> Result<Self, ObjectiveError> {
        Self::parse(&percent)
    }
}

impl From<Objective> for String {
    fn from(objective: Objective) -> Self {
        objective.objective_percent()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(percent: &str, want: Result<(i128, i128), &str>) {
        let got =
            Objective::parse(percent).map(|objective| (objective.target().num(), objective.target().den()));
        assert_eq!(got.map_err(|error| error.to_string()), want.map_err(str::to_owned));
    }

    #[test]
    fn percentages_between_0_and_100_are_objectives() {
        check("99.9", Ok((999, 1000)));
        check("95", Ok((19, 20)));
        check("99.999999", Ok((99_999_999, 100_000_000)));
        check("99.90000000", Ok((999, 1000)));
        check("100", Err("objective \"100\" is not a percentage strictly between 0 and 100, like 99.9"));
        check("0", Err("objective \"0\" is not a percentage strictly between 0 and 100, like 99.9"));
        check("-5", Err("objective \"-5\" is not a percentage strictly between 0 and 100, like 99.9"));
        check("99.9999999", Err("objective \"99.9999999\" has more than 6 decimals"));
        check(
            "99,9",
            Err(
                "objective: cannot read \"99,9\" as a number: write digits with at most one point, like 99.9",
            ),
        );
    }

    #[test]
    fn an_objective_is_written_as_it_was_read() {
        for percent in ["99.9", "95", "99.95", "0.000001"] {
            assert_eq!(Objective::parse(percent).unwrap().objective_percent(), percent);
        }
    }

    #[test]
    fn a_spec_comes_back_from_its_json() {
        for spec in SloSpec::defaults() {
            let text = serde_json::to_string(&spec).unwrap();
            assert_eq!(serde_json::from_str::<SloSpec>(&text).unwrap(), spec);
        }
    }

    #[test]
    fn slow_is_at_or_over_the_threshold() {
        let edges = [100, 500, 1000];
        assert_eq!(slow_requests(&edges, &[1, 2, 3, 4], 500), Some(7));
        assert_eq!(slow_requests(&edges, &[1, 2, 3, 4], 300), None);
        assert_eq!(slow_requests(&edges, &[1, 2, 3], 500), None);
    }
}
