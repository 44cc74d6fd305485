//! Schedules against an oracle that walks the calendar, over the clock changes of many zones.

use jiff::ToSpan;
use jiff::civil::{Date, date, time};
use jiff::tz::AmbiguousOffset;
use proptest::prelude::*;

use super::*;

/// Zones with clock changes of every kind: of one hour and of half an hour, at midnight, a skipped day, none.
const ZONES: [&str; 10] = [
    "UTC",
    "Europe/Vienna",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Asia/Beirut",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Asia/Kathmandu",
];

/// When `hour:minute` of a day comes: the first time, or at the first instant after a gap; of a skipped day only what lies
/// within two hours before that instant.
fn comes(zone: &TimeZone, day: Date, hour: i8, minute: i8) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(day.to_datetime(time(hour, minute, 0, 0)));
    match ambiguous.offset() {
        AmbiguousOffset::Gap { .. } => {
            let behind = ambiguous.later().unwrap() + 1.second();
            let change = zone.preceding(behind).next().unwrap().timestamp();
            (zone.to_datetime(change).date() == day || hour >= 22).then_some(change)
        }
        _ => Some(ambiguous.compatible().unwrap()),
    }
}

#[track_caller]
fn check(expression: &str, zone: &str, now: &str, want: &str) {
    let schedule = Schedule::parse(expression, zone).unwrap();
    assert_eq!(schedule.next_after(now.parse().unwrap()), Some(want.parse().unwrap()), "{expression} {zone}");
}

proptest! {
    #[test]
    fn a_daily_schedule_comes_once_on_every_day_that_there_is(
        zone in proptest::sample::select(&ZONES[..]),
        start in 0..12_000_i64,
        hour in 0..24_i8,
        minute in 0..60_i8,
    ) {
        let schedule = Schedule::parse(&format!("{minute} {hour} * * *"), zone).unwrap();
        let zone = TimeZone::get(zone).unwrap();
        let first = date(1995, 1, 1).saturating_add(start.days());
        let mut now = zone.to_ambiguous_timestamp(first.to_datetime(time(0, 0, 0, 0))).compatible().unwrap() - 1.second();
        for days in 0..40_i64 {
            if let Some(want) = comes(&zone, first.saturating_add(days.days()), hour, minute) {
                prop_assert_eq!(schedule.next_after(now), Some(want));
                now = want;
            }
        }
    }

    #[test]
    fn whenever_it_is_asked_it_names_the_same_next_instant(
        zone in proptest::sample::select(&ZONES[..]),
        expression in proptest::sample::select(&["0 6 4 * *", "30 2 * * *", "15 0 1 * *", "*/20 * * * *", "5 1-3 * * SUN"][..]),
        at in 800_000_000..1_900_000_000_i64,
        ago in 1..100_000_i64,
    ) {
        let schedule = Schedule::parse(expression, zone).unwrap();
        let now = Timestamp::from_second(at).unwrap();
        let next = schedule.next_after(now).unwrap();
        prop_assert!(next > now);
        let between = Timestamp::from_second((next.as_second() - ago).max(at)).unwrap();
        prop_assert_eq!(schedule.next_after(between), Some(next));
        prop_assert!(schedule.next_after(next).unwrap() > next);
    }

    #[test]
    fn what_comes_every_minute_comes_every_minute(zone in proptest::sample::select(&ZONES[..]), at in 800_000_000..1_900_000_000_i64) {
        let schedule = Schedule::parse("* * * * *", zone).unwrap();
        let want = Timestamp::from_second((at / 60 + 1) * 60).unwrap();
        prop_assert_eq!(schedule.next_after(Timestamp::from_second(at).unwrap()), Some(want));
    }
}

#[test]
fn the_fourth_of_a_month_is_of_the_zone() {
    check("0 6 4 * *", "UTC", "2026-11-04T06:00:00Z", "2026-12-04T06:00:00Z");
    check("0 6 4 * *", "Europe/Vienna", "2026-11-04T06:00:00Z", "2026-12-04T05:00:00Z");
    check("0 6 4 * *", "Europe/Vienna", "2026-06-30T00:00:00.5Z", "2026-07-04T04:00:00Z");
}

#[test]
fn a_time_that_comes_twice_counts_once_and_one_that_is_skipped_counts_behind_the_gap() {
    // Vienna: 03:00 becomes 02:00 on 25 October, 02:00 becomes 03:00 on 29 March 2026.
    check("30 2 * * *", "Europe/Vienna", "2026-10-24T22:00:00Z", "2026-10-25T00:30:00Z");
    check("30 2 * * *", "Europe/Vienna", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z");
    check("30 2 * * *", "Europe/Vienna", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z");
}

#[test]
fn what_is_no_schedule_is_refused_with_the_reason() {
    let refused = |expression: &str, zone: &str| Schedule::parse(expression, zone).unwrap_err().to_string();
    assert_eq!(
        refused("0 6 4 * *", "Vienna"),
        "\"Vienna\" is no time zone; write one of the IANA database, like Europe/Vienna"
    );
    assert_eq!(refused("0 6 30 2 *", "UTC"), "\"0 6 30 2 *\" never comes, like the 30th of February");
    for expression in
        ["", "6", "0 6 4 *", "0 0 6 4 * *", "60 6 4 * *", "0 24 4 * *", "x 6 4 * *", "0 6 0 * *"]
    {
        assert!(refused(expression, "UTC").contains("is no schedule: "), "{expression}");
    }
}
