//! The times that access logs carry, as milliseconds since 1970.

use jiff::Timestamp;

use super::decimal::scaled;

/// Length of `23/Nov/2026:17:30:28 +0000`.
pub(super) const CLF_LEN: usize = 26;

/// Numbers below this are seconds, others milliseconds: as seconds it is the year 5138, as milliseconds March 1973.
const FIRST_MILLISECOND: u64 = 100_000_000_000;

/// Whether `text` has the shape of nginx's `$time_local`; its digits are not looked at yet.
pub(super) fn is_clf(text: &[u8]) -> bool {
    text.len() == CLF_LEN
        && [(2, b'/'), (6, b'/'), (11, b':'), (14, b':'), (17, b':'), (20, b' ')]
            .iter()
            .all(|&(at, separator)| text[at] == separator)
}

/// Reads nginx's `$time_local`, `23/Nov/2026:17:30:28 +0000`, in the zone that it names; second 60 is 59.
pub(super) fn clf_ms(text: &[u8]) -> Option<i64> {
    if !is_clf(text) {
        return None;
    }
    let (day, month, year) = (number(&text[..2])?, month(&text[3..6])?, number(&text[7..11])?);
    let (hour, minute, second) = (number(&text[12..14])?, number(&text[15..17])?, number(&text[18..20])?);
    let (zone_hours, zone_minutes) = (number(&text[22..24])?, number(&text[24..26])?);
    if day < 1
        || day > days_in_month(year, month)
        || hour > 23
        || minute > 59
        || second > 60
        || zone_minutes > 59
    {
        return None;
    }
    let offset = match text[21] {
        b'+' => zone_hours * 60 + zone_minutes,
        b'-' => -(zone_hours * 60 + zone_minutes),
        _ => return None,
    };
    let minutes = (days_since_1970(year, month, day) * 24 + hour) * 60 + minute - offset;
    Some((minutes * 60 + second.min(59)) * 1000)
}

/// Reads a time as JSON logs write it: RFC 3339 with a zone, nginx's `$time_local`, or a number of seconds or
/// milliseconds since 1970.
pub(super) fn any_ms(text: &[u8]) -> Option<i64> {
    if text.first().is_some_and(u8::is_ascii_digit) && !text.contains(&b':') {
        return epoch_ms(text);
    }
    clf_ms(text).or_else(|| {
        let time: Timestamp = std::str::from_utf8(text).ok()?.parse().ok()?;
        Some(time.as_millisecond())
    })
}

fn epoch_ms(text: &[u8]) -> Option<i64> {
    let whole = scaled(text, 0)?;
    let ms = if whole < FIRST_MILLISECOND { scaled(text, 3)? } else { whole };
    i64::try_from(ms).ok()
}

fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

fn month(name: &[u8]) -> Option<i64> {
    const NAMES: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    NAMES.chunks(3).zip(1..).find_map(|(each, month)| (each == name).then_some(month))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days of the proleptic Gregorian calendar: a year that begins in March has its leap day at the end.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    const MARCH_OF_YEAR_0: i64 = -719_468;
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    MARCH_OF_YEAR_0 + year * 365 + leap_days + (153 * month + 2) / 5 + day - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{any_ms, clf_ms};

    #[track_caller]
    fn check(text: &str, want: Option<&str>) {
        let want = want.map(|time| time.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        assert_eq!(any_ms(text.as_bytes()), want, "{text}");
    }

    #[test]
    fn local_times_are_read_in_their_zone() {
        check("23/Nov/2026:17:30:28 +0000", Some("2026-11-23T17:30:28Z"));
        check("23/Nov/2026:17:30:28 +0545", Some("2026-11-23T11:45:28Z"));
        check("31/Dec/2026:20:00:00 -1000", Some("2027-01-01T06:00:00Z"));
        check("29/Feb/2028:00:00:00 +0000", Some("2028-02-29T00:00:00Z"));
    }

    #[test]
    fn a_leap_second_is_the_second_before_it() {
        check("30/Jun/2026:23:59:60 +0000", Some("2026-06-30T23:59:59Z"));
        assert_eq!(any_ms(b"2026-06-30T23:59:60Z"), any_ms(b"2026-06-30T23:59:59Z"));
    }

    #[test]
    fn json_times_are_read_as_text_or_number() {
        check("2026-11-23T17:30:28+00:00", Some("2026-11-23T17:30:28Z"));
        check("2026-11-23T17:30:28.123456789-10:00", Some("2026-11-24T03:30:28.123Z"));
        check("1795455078284", Some("2026-11-23T17:31:18.284Z"));
        check("1795455078.284", Some("2026-11-23T17:31:18.284Z"));
        check("1795455078", Some("2026-11-23T17:31:18Z"));
    }

    #[test]
    fn what_is_no_time_is_not_read() {
        for text in ["", "-", "now", "31/Nov/2026:17:30:28 +0000", "29/Feb/2026:00:00:00 +0000"] {
            check(text, None);
        }
        for text in ["23/Foo/2026:17:30:28 +0000", "23/Nov/2026:24:30:28 +0000", "23/Nov/2026:17:30:28 *0000"]
        {
            check(text, None);
        }
        for text in ["2026-11-23T17:30:28", "00/Nov/2026:17:30:28 +0000", "99999999999999999999"] {
            check(text, None);
        }
    }

    proptest! {
        #[test]
        fn every_second_of_eight_thousand_years_agrees_with_the_calendar(second in 0..253_402_300_799_i64) {
            let time = jiff::Timestamp::from_second(second).unwrap();
            let text = time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
            prop_assert_eq!(clf_ms(text.as_bytes()), Some(second * 1000));
        }

        #[test]
        fn any_bytes_are_read_without_panic(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            any_ms(&text);
        }
    }
}
