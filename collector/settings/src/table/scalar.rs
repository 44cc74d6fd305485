//! Scalars to numbers, truth values and durations. Text counts as a number only where a variable gave it: TOML and
//! quoted YAML have no other way to take a number from the environment.

use std::time::Duration;

use crate::node::{Node, Value};
use crate::variables::Origin;

pub(super) fn boolean(node: &Node) -> Option<bool> {
    match &node.value {
        Value::Bool(value) => Some(*value),
        Value::String(text) if node.origin != Origin::Written => text.parse().ok(),
        _ => None,
    }
}

pub(super) fn whole(node: &Node) -> Option<u64> {
    match &node.value {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::String(text) if node.origin != Origin::Written => text.parse().ok(),
        _ => None,
    }
}

pub(super) fn duration(node: &Node) -> Option<Duration> {
    match &node.value {
        Value::Int(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
        Value::Float(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
        Value::String(text) => written_duration(text),
        _ => None,
    }
}

/// A whole number and a unit; no unit is seconds.
fn written_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let seconds = |unit: u64| number.checked_mul(unit).map(Duration::from_secs);
    match text[digits..].trim_start() {
        "ms" => Some(Duration::from_millis(number)),
        "" | "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3_600),
        "d" => seconds(86_400),
        _ => None,
    }
}
