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
