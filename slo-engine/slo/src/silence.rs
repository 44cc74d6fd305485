//! What should have been heard and wasn't: traffic that stopped, and minutes that nobody read.

use crate::counts::MinuteId;
use crate::series::{Minute, Series};
use crate::window::DAY;

/// Requests that each of the last four weeks must have had in the same span: with a mean of 14, none at all happens less than
/// once in a million times.
pub const USUAL_REQUESTS: u64 = 14;

/// Minutes without a measurement that raise a pipeline alert.
pub const UNMEASURED_MINUTES: u64 = 10;

const WEEK: i64 = 7 * DAY;

/// Whether `[from, to)` was measured throughout and had no request, while the same span of each of the last four weeks had at
/// least 14.
pub fn is_silent(series: &Series, from: MinuteId, to: MinuteId) -> bool {
    let now = series.sum(from, to);
    let heard_all = now.read == (to.0 - from.0).max(0) as u64;
    let usual =
        |week: i64| series.sum(from.plus(-week * WEEK), to.plus(-week * WEEK)).counts.total >= USUAL_REQUESTS;
    heard_all && now.counts.total == 0 && (1..=4).all(usual)
}

/// Since when a service has been silent at `at`: since its last request, when that is unusual by [`is_silent`]. Looks back for
/// a week.
pub fn silent_since(series: &Series, at: MinuteId) -> Option<MinuteId> {
    let (last, _) = series.busy(at.plus(-WEEK), at).next_back()?;
    let since = last.plus(1);
    is_silent(series, since, at).then_some(since)
}

/// The first instant of `[from, to]` at which a series is silent by [`silent_since`], if what is known of it does not change.
/// Costs by the minutes with requests, not by those without.
pub fn first_silent(series: &Series, from: MinuteId, to: MinuteId) -> Option<MinuteId> {
    let mut at = from;
    while at <= to {
        let last = series.busy(at.plus(-WEEK), at).next_back().map(|(last, _)| last);
        let next = series.busy(at, to.plus(1)).next().map(|(next, _)| next);
        let end = next.unwrap_or(to).min(to);
        if let Some(last) = last {
            let usual_at =
                |week: i64| missed_at(series, last.plus(1).plus(-week * WEEK)).map(|at| at.plus(week * WEEK));
            let first = (1..=4).map(usual_at).try_fold(at, |all, one| Some(all.max(one?)));
            let first = first.filter(|first| *first <= end.min(last.plus(WEEK)));
            if let Some(first) = first.filter(|first| silent_since(series, *first).is_some()) {
                return Some(first);
            }
        }
        at = next?.plus(1);
    }
    None
}

/// When as many requests have come since `from` as make their absence unusual; nothing where they don't within a week.
fn missed_at(series: &Series, from: MinuteId) -> Option<MinuteId> {
    let mut total = 0_u64;
    let mut busy = series.busy(from, from.plus(WEEK));
    let enough = busy.find(|(_, minute)| {
        total = total.saturating_add(minute.counts().total);
        total >= USUAL_REQUESTS
    });
    enough.map(|(minute, _)| minute.plus(1))
}

/// Since when nothing has been measured at `at`, when that is 10 minutes or longer; looks back for a day.
pub fn unmeasured_since(series: &Series, at: MinuteId) -> Option<MinuteId> {
    let is_unmeasured = |back: &i64| series.get(at.plus(-back)) == Some(Minute::Unmeasured);
    let minutes = (1..=DAY).take_while(is_unmeasured).count() as u64;
    (minutes >= UNMEASURED_MINUTES).then(|| at.plus(-(minutes as i64)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Counts;

    fn requests(total: u64) -> Minute {
        Minute::Read(Counts { total, bad: 0, excluded: 0 })
    }

    /// Four weeks with `usual` requests a minute and then, from minute `4 × WEEK`, none.
    fn stopped(usual: u64) -> (Series, MinuteId) {
        let mut series = Series::new();
        (0..4 * WEEK).for_each(|minute| series.set(MinuteId(minute), requests(usual)));
        (series, MinuteId(4 * WEEK))
    }

    #[track_caller]
    fn check(usual: u64, idle: i64, want: bool) {
        let (mut series, stop) = stopped(usual);
        series.read_until(stop.plus(idle));
        assert_eq!(silent_since(&series, stop.plus(idle)), want.then_some(stop));
    }

    #[test]
    fn silence_is_unusual_after_fourteen_missed_requests() {
        check(1, 13, false);
        check(1, 14, true);
        check(14, 1, true);
        check(14, 0, false);
        check(0, 100, false);
    }

    #[test]
    fn the_first_silent_instant_is_the_one_that_looking_at_each_minute_finds() {
        for (usual, idle) in [(1, 13), (1, 14), (1, 200), (3, 60), (20, 5)] {
            let (mut series, stop) = stopped(usual);
            let end = stop.plus(idle);
            series.set(end, requests(1));
            series.read_until(end.plus(WEEK));
            let from = stop.plus(-100);
            let each = (from.0..=end.0 + 300).map(MinuteId).find(|at| silent_since(&series, *at).is_some());
            assert_eq!(first_silent(&series, from, end.plus(300)), each, "{usual} {idle}");
        }
    }

    #[test]
    fn one_quiet_week_of_four_makes_silence_usual() {
        let (mut series, stop) = stopped(1);
        (0..20).for_each(|minute| series.set(stop.plus(minute - 2 * WEEK), Minute::IDLE));
        series.read_until(stop.plus(20));
        assert_eq!(silent_since(&series, stop.plus(20)), None);
    }

    #[test]
    fn a_young_series_knows_no_usual_traffic() {
        let mut series = Series::new();
        series.set(MinuteId(0), requests(1_000_000));
        series.read_until(MinuteId(1000));
        assert_eq!(silent_since(&series, MinuteId(1000)), None);
    }

    #[test]
    fn what_was_not_measured_is_not_silence_but_a_pipeline_alert() {
        let (mut series, stop) = stopped(100);
        (0..9).for_each(|minute| series.set(stop.plus(minute), Minute::Unmeasured));
        assert_eq!(
            (silent_since(&series, stop.plus(9)), unmeasured_since(&series, stop.plus(9))),
            (None, None)
        );
        series.set(stop.plus(9), Minute::Unmeasured);
        assert_eq!(unmeasured_since(&series, stop.plus(10)), Some(stop));
        series.set(stop.plus(10), Minute::IDLE);
        assert_eq!(unmeasured_since(&series, stop.plus(11)), None);
    }
}
