//! Which days have had their time. Pure.

use jiff::civil::Date;
use search::Kind;

/// Days of counts that are kept at least: an engine on an empty disk needs the longest window, 30 days, whole, and what
/// pages look back to.
pub const FEWEST_DAYS_OF_COUNTS: u32 = 32;

/// How many whole days in UTC are kept beside the current one.
pub fn days_kept(kind: Kind, retention_days: u32) -> u32 {
    match kind {
        Kind::Counts => retention_days.max(FEWEST_DAYS_OF_COUNTS),
        Kind::Logs | Kind::Results => retention_days,
    }
}

/// The indices whose day is over by more than `keep` days; a day that is to come is none.
pub fn expired(days: Vec<(Date, String)>, today: Date, keep: u32) -> Vec<String> {
    let age = |day: Date| i64::from(day.until(today).map_or(0, |span| span.get_days()));
    days.into_iter().filter(|(day, _)| age(*day) > i64::from(keep)).map(|(_, index)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(keep: u32, today: &str, days: &[&str], want: &[&str]) {
        let days = days.iter().map(|day| (day.parse().unwrap(), format!("i-{day}"))).collect();
        let want: Vec<String> = want.iter().map(|day| format!("i-{day}")).collect();
        assert_eq!(expired(days, today.parse().unwrap(), keep), want);
    }

    #[test]
    fn a_day_goes_when_it_is_older_than_what_is_kept() {
        let days = ["2024-02-28", "2024-02-29", "2024-03-01", "2024-03-02", "2024-03-30", "2024-12-31"];
        check(30, "2024-03-30", &days, &["2024-02-28"]);
        check(30, "2024-03-31", &days, &["2024-02-28", "2024-02-29"]);
        check(0, "2024-03-30", &days, &days[..4]);
        check(30, "2024-01-01", &days, &[]);
        check(400, "2026-01-01", &days, &days[..5]);
    }

    #[test]
    fn counts_outlive_a_short_retention() {
        assert_eq!(Kind::ALL.map(|kind| days_kept(kind, 7)), [7, 32, 7]);
        assert_eq!(Kind::ALL.map(|kind| days_kept(kind, 90)), [90, 90, 90]);
    }
}
