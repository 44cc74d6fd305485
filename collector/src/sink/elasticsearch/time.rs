//! When an event happened: a pure function of it, because the day's index and so the identity of its document hang on it.

use jiff::{SignedDuration, Timestamp};
use vrl::value::Value;

use crate::event::{Body, Event, Hit};
use crate::transform::sli::format::{Line, read};

/// Own times further than this from the CRI time are not believed: a wrong clock or year must not open indices at will.
const FARTHEST: SignedDuration = SignedDuration::from_hours(24);

/// Where there is no CRI time to compare with, own times from 2000 to 2099 are believed, in seconds since 1970.
const BELIEVED: std::ops::Range<i64> = 946_684_800..4_102_444_800;

/// When an event happened; nothing where neither the container runtime nor the event itself says so.
///
/// Fields say it by `@timestamp` or `timestamp`, a line of a plain file by the time that it carries. What is not
/// believed gives way to the CRI time.
pub(super) fn time_of(event: &Event) -> Option<Timestamp> {
    let own = match &event.body {
        Body::Line(_) if event.time.is_some() => None,
        Body::Line(line) => of_line(line),
        Body::Fields(value) => of_fields(value),
        Body::Hit(hit) => of_hit(hit),
    };
    own.filter(|own| is_believed(*own, event.time)).or(event.time)
}

fn is_believed(own: Timestamp, cri: Option<Timestamp>) -> bool {
    match cri {
        Some(cri) => own.duration_since(cri).abs() <= FARTHEST,
        None => BELIEVED.contains(&own.as_second()),
    }
}

/// The time of a value: a time, or RFC 3339 text.
pub(super) fn of_value(value: &Value) -> Option<Timestamp> {
    match value {
        Value::Timestamp(time) => {
            let nanosecond = i32::try_from(time.timestamp_subsec_nanos()).ok()?;
            Timestamp::new(time.timestamp(), nanosecond).ok()
        }
        _ => std::str::from_utf8(value.as_bytes()?).ok()?.parse().ok(),
    }
}

fn of_fields(value: &Value) -> Option<Timestamp> {
    let fields = value.as_object()?;
    ["@timestamp", "timestamp"].into_iter().find_map(|key| of_value(fields.get(key)?))
}

fn of_hit(hit: &Hit) -> Option<Timestamp> {
    match hit {
        Hit::Request(request) => Timestamp::from_millisecond(request.ended_ms).ok(),
        Hit::Ignored | Hit::Unparsed => None,
    }
}

/// The time of a line: an access line's own, or RFC 3339 at its beginning.
fn of_line(line: &[u8]) -> Option<Timestamp> {
    match read(line).line {
        Line::Request(request) => Timestamp::from_millisecond(request.ended_ms?).ok(),
        Line::Message | Line::Unparsed => leading(line),
    }
}

/// `2026-03-01T12:00:00.5Z …`, also `[2026-03-01 12:00:00+01:00] …`.
fn leading(line: &[u8]) -> Option<Timestamp> {
    const DAY: usize = "2026-03-01T".len();
    let line = line.strip_prefix(b"[").unwrap_or(line);
    let is_day = line.len() > DAY && line[..4].iter().all(u8::is_ascii_digit) && line[4] == b'-';
    if !is_day {
        return None;
    }
    // The longest there is has nine decimals and a zone with seconds.
    let rest = &line[DAY..line.len().min(48)];
    let end = rest.iter().position(|byte| matches!(byte, b' ' | b'\t' | b']' | b',')).unwrap_or(rest.len());
    std::str::from_utf8(&line[..DAY + end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, want: Option<&str>) {
        assert_eq!(of_line(line.as_bytes()), want.map(|time| time.parse().unwrap()), "{line}");
    }

    #[test]
    fn a_plain_line_says_when_it_was_written() {
        let access = r#"192.0.2.1 - - [01/Mar/2026:12:00:00 +0100] "GET / HTTP/1.1" 200 612 "-" "curl""#;
        check(access, Some("2026-03-01T11:00:00Z"));
        check("2026-03-01T12:00:00.123456789Z hello", Some("2026-03-01T12:00:00.123456789Z"));
        check("[2026-03-01 12:00:00+01:00] hello", Some("2026-03-01T11:00:00Z"));
        check("2026-03-01T12:00:00Z", Some("2026-03-01T12:00:00Z"));
        check("2026-03-01T12:00:00Z, hello", Some("2026-03-01T12:00:00Z"));
    }

    #[test]
    fn a_time_without_zone_or_in_the_middle_is_none() {
        for line in [
            "",
            "hello",
            "2026-03-01 12:00:00 hello",
            "2026-",
            "2026-03-01T",
            "at 2026-03-01T12:00:00Z",
            "2026-13-01T12:00:00Z",
        ] {
            check(line, None);
        }
    }
}
