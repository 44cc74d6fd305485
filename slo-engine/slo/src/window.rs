//! Windows: the rolling days before now, and the calendar month of a time zone, as ranges of minutes.

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use crate::counts::MinuteId;

/// Minutes in 24 hours.
pub const DAY: i64 = 1440;

/// Over which time a budget is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// The last `days` times 24 hours; 30 days are 43,200 minutes.
    Rolling {
        /// Number of days.
        days: u32,
    },
    /// The month in the SLO's zone.
    CalendarMonth,
}

/// Half-open range of minutes `[from, to)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First minute.
    pub from: MinuteId,
    /// First minute behind it.
    pub to: MinuteId,
}

impl Window {
    /// What the window holds of the time before `now` (exclusive): a month only up to there.
    pub fn span(self, now: MinuteId, zone: &TimeZone) -> Span {
        match self {
            Self::Rolling { days } => rolling(now, days),
            Self::CalendarMonth => Span { to: now, ..month_of(MinuteId(now.0 - 1), zone) },
        }
    }
}

impl Span {
    /// Number of minutes.
    pub fn minutes(self) -> u64 {
        (self.to.0 - self.from.0).max(0) as u64
    }

    /// Whether `minute` is in it.
    pub fn contains(self, minute: MinuteId) -> bool {
        self.from <= minute && minute < self.to
    }
}

impl MinuteId {
    /// The minute that holds this instant.
    pub fn of_timestamp(instant: Timestamp) -> Self {
        Self(instant.as_second().div_euclid(60))
    }

    /// The minute that holds this instant in milliseconds since 1970.
    pub fn of_ms(ms: i64) -> Self {
        Self(ms.div_euclid(60_000))
    }

    /// Its first instant; beyond jiff's years ±9999 the nearest one that there is.
    pub fn start(self) -> Timestamp {
        let nearest = if self.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Timestamp::from_second(self.0.saturating_mul(60)).unwrap_or(nearest)
    }

    /// So many minutes later (earlier, if negative).
    pub fn plus(self, minutes: i64) -> Self {
        Self(self.0.saturating_add(minutes))
    }
}

/// The `days` times 1440 minutes before `now` (exclusive).
pub fn rolling(now: MinuteId, days: u32) -> Span {
    Span { from: now.plus(-DAY * i64::from(days)), to: now }
}

/// The whole calendar month that holds `minute` in `zone`.
pub fn month_of(minute: MinuteId, zone: &TimeZone) -> Span {
    let day = zone.to_datetime(minute.start()).date();
    whole_month(day.first_of_month(), zone)
}

/// The calendar month `year`-`month` in `zone`, or nothing when there is no such month.
pub fn month(year: i16, month: i8, zone: &TimeZone) -> Option<Span> {
    ((1..=12).contains(&month) && (1..=9998).contains(&year)).then(|| whole_month(date(year, month, 1), zone))
}

fn whole_month(first: Date, zone: &TimeZone) -> Span {
    Span { from: first_minute(first, zone), to: first_minute(first.saturating_add(1.month()), zone) }
}

/// The minute in which `day` begins; in a zone that skips midnight, when the clocks have skipped it.
fn first_minute(day: Date, zone: &TimeZone) -> MinuteId {
    let midnight = day.to_datetime(jiff::civil::Time::midnight());
    let instant = zone.to_ambiguous_timestamp(midnight).compatible().unwrap_or(Timestamp::MAX);
    MinuteId::of_timestamp(instant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> MinuteId {
        MinuteId::of_timestamp(text.parse().unwrap())
    }

    #[track_caller]
    fn check(year: i16, number: i8, zone: &str, from: &str, to: &str) {
        let zone = TimeZone::get(zone).unwrap();
        let got = month(year, number, &zone).unwrap();
        assert_eq!(got, Span { from: at(from), to: at(to) });
        assert_eq!(month_of(got.from, &zone), got);
        assert_eq!(month_of(got.to.plus(-1), &zone), got);
        assert_ne!(month_of(got.to, &zone), got);
    }

    #[test]
    fn months_follow_the_zone_through_clock_changes() {
        check(2026, 2, "UTC", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z");
        check(2026, 3, "Europe/Vienna", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z");
        check(2026, 12, "Asia/Kathmandu", "2026-11-30T18:15:00Z", "2026-12-31T18:15:00Z");
        check(2000, 10, "America/Sao_Paulo", "2000-10-01T03:00:00Z", "2000-11-01T02:00:00Z");
    }

    #[test]
    fn there_is_no_thirteenth_month() {
        assert_eq!(month(2026, 13, &TimeZone::UTC), None);
        assert_eq!(month(2026, 0, &TimeZone::UTC), None);
    }

    #[test]
    fn thirty_days_are_43200_minutes_and_end_before_now() {
        let span = Window::Rolling { days: 30 }.span(MinuteId(50_000), &TimeZone::UTC);
        assert_eq!((span.minutes(), span.to), (43_200, MinuteId(50_000)));
    }

    #[test]
    fn at_the_first_minute_of_a_month_the_window_is_still_the_month_before() {
        let now = at("2026-03-01T00:00:00Z");
        let span = Window::CalendarMonth.span(now, &TimeZone::UTC);
        assert_eq!((span.from, span.to), (at("2026-02-01T00:00:00Z"), now));
    }

    #[test]
    fn minutes_before_1970_round_down() {
        assert_eq!(MinuteId::of_ms(-1), MinuteId(-1));
        assert_eq!(MinuteId::of_ms(60_000), MinuteId(1));
    }
}
