//! When to look again: the next instant at which a step can say something, where nothing is to be said for long.

use super::{Episodes, Rules, has_bad};
use crate::counts::MinuteId;
use crate::low_traffic::{SPARSE_MINUTES, is_sparse};
use crate::policy::Severity;
use crate::series::Series;
use crate::window::rolling;

impl Episodes {
    /// The first instant behind `at` at which [`Episodes::step`] could return a change or find another state than after the
    /// step at `at`, or nothing if there is none; never too late, often too early.
    ///
    /// This holds as long as the rules stay, and the series too, but for minutes that are read and idle, which may follow:
    /// who sets another minute asks anew. Minutes that the series holds behind `at` are foreseen.
    pub fn next_look(&self, series: &Series, rules: &Rules, at: MinuteId) -> Option<MinuteId> {
        let longest = rules.policies.iter().map(|policy| policy.long.max(policy.short)).max()?;
        if self.open.is_none() && rules.needs_bad() && !has_bad(series, at, longest) {
            return series.next_bad(at).map(|bad| bad.plus(1));
        }
        // What is not known yet counts for nothing, and changes what is known without a minute being set.
        if series.end().is_some_and(|end| end < at) {
            return Some(at.plus(1));
        }
        let enters = series.next_busy(at).map(|id| id.plus(1));
        let windows = rules.policies.iter().flat_map(|policy| [policy.short, policy.long]);
        let leaves = windows.filter_map(|window| leaves(series, at, window.into()));
        let ends = self.open.as_ref().and_then(|_| next_in_episode(series, rules, at));
        leaves.chain(enters).chain(ends).min()
    }
}

/// When the first minute that is not idle leaves a window. Until then, and until one enters, all windows hold the same
/// requests, also those that reach back: they begin with one of their requests.
fn leaves(series: &Series, at: MinuteId, window: i64) -> Option<MinuteId> {
    let first = series.next_busy(at.plus(-window)).filter(|&first| first < at)?;
    Some(first.plus(window).plus(1))
}

/// When idle minutes alone can end what is firing: a young short window becomes evidence as it fills up, and a service sparse.
fn next_in_episode(series: &Series, rules: &Rules, at: MinuteId) -> Option<MinuteId> {
    let shortest_past = rules.policies.iter().map(|policy| policy.short).max()?;
    if series.first().is_some_and(|first| at.plus(-i64::from(shortest_past)) < first) {
        return Some(at.plus(1));
    }
    let guards = rules.low_traffic && rules.policies.iter().any(|policy| policy.severity == Severity::Page);
    let whole = rolling(at, rules.spec.window_days());
    let sum = series.sum(whole.from, whole.to);
    // What is sparse stays so until a request comes.
    if !guards || is_sparse(&sum) {
        return None;
    }
    let left = u128::from(sum.counts.total) * u128::from(SPARSE_MINUTES) - u128::from(sum.measured());
    let sparse = at.plus(i64::try_from(left).unwrap_or(i64::MAX)).plus(1);
    leaves(series, at, whole.minutes() as i64).into_iter().chain([sparse]).min()
}
