//! The window of a document: rolling days, or the calendar month of a zone.

use jiff::tz::TimeZone;
use settings::{Table, Value};

use super::required;
use crate::window::Window;

/// The longest rolling window, in days: what is kept of minutes.
const MAX_DAYS: u32 = 366;

/// Reads `timeWindow`.
pub(super) fn read(table: &mut Table<'_>) -> Option<(Window, TimeZone)> {
    let items = table.list("timeWindow");
    let [item] = items else {
        table.problem("timeWindow", format!("expected exactly one window, found {}", items.len()));
        return None;
    };
    one(Table::new(item, table.problems()))
}

fn one(mut table: Table<'_>) -> Option<(Window, TimeZone)> {
    let duration = table.required_string("duration");
    let rolling = table.node("isRolling").is_some_and(|node| node.value == Value::Bool(true));
    table.bool_or("isRolling", false);
    let window =
        if rolling { rolling_days(&mut table, &duration) } else { calendar_month(&mut table, &duration) };
    table.finish();
    window
}

fn rolling_days(table: &mut Table<'_>, duration: &str) -> Option<(Window, TimeZone)> {
    if table.node("calendar").is_some() {
        table.problem(
            "calendar",
            "a rolling window has no calendar; take this key out or set isRolling to false",
        );
        return None;
    }
    let number = |unit| duration.strip_suffix(unit).and_then(|number: &str| number.parse::<u32>().ok());
    let days = number('d').or(number('w').and_then(|weeks| weeks.checked_mul(7)));
    let days = days.filter(|days| (1..=MAX_DAYS).contains(days));
    if days.is_none() && !duration.is_empty() {
        table.problem("duration", format!("{duration:?} is not a rolling window; write days or weeks, like \"30d\" or \"4w\", up to {MAX_DAYS} days"));
    }
    days.map(|days| (Window::Rolling { days }, TimeZone::UTC))
}

fn calendar_month(table: &mut Table<'_>, duration: &str) -> Option<(Window, TimeZone)> {
    let calendar = required(table, "calendar");
    if duration != "1M" && !duration.is_empty() {
        table.problem(
            "duration",
            format!("{duration:?} is not a calendar window; write \"1M\", or set isRolling to true"),
        );
        return None;
    }
    let mut calendar = calendar?;
    let start = calendar.required_string("startTime");
    if !start.is_empty() && !is_start_of_month(&start) {
        calendar.problem(
            "startTime",
            format!("{start:?} is not the start of a month, like \"2026-01-01 00:00:00\""),
        );
    }
    let zone = calendar.required_string("timeZone");
    let found = TimeZone::get(&zone).ok();
    if found.is_none() && !zone.is_empty() {
        calendar.problem(
            "timeZone",
            format!("{zone:?} is not an IANA time zone, like \"Europe/Vienna\" or \"UTC\""),
        );
    }
    calendar.finish();
    found.map(|zone| (Window::CalendarMonth, zone))
}

fn is_start_of_month(text: &str) -> bool {
    let start = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text);
    start.is_ok_and(|start| start.day() == 1 && start.time() == jiff::civil::Time::midnight())
}
