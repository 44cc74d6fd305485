//! What every document has: metadata with a name, labels and annotations, and a description.

use settings::{Problem, Table, Value};

use super::required;

const MAX_DISPLAY_NAME: usize = 63;
const MAX_DESCRIPTION: usize = 1050;
const MAX_LABEL: usize = 63;
const MAX_PREFIX: usize = 253;

/// Reads `metadata`; its name, empty where there is none.
pub(super) fn read(document: &mut Table<'_>) -> String {
    let Some(mut table) = required(document, "metadata") else { return String::new() };
    let name = table.required_string("name");
    if !name.is_empty() && !is_dns_label(&name) {
        let message =
            format!("{name:?} is not a DNS label: 1 to 63 of a-z, 0-9 and -, not beginning or ending with -");
        table.problem("name", message);
    }
    limited(&mut table, "displayName", MAX_DISPLAY_NAME);
    keys(&mut table, "labels", |value| match value {
        Value::String(_) => true,
        Value::List(items) => items.iter().all(|item| item.as_str().is_some()),
        _ => false,
    });
    keys(&mut table, "annotations", |value| matches!(value, Value::String(_)));
    table.finish();
    name
}

/// Reads `description`.
pub(super) fn description(table: &mut Table<'_>) {
    limited(table, "description", MAX_DESCRIPTION);
}

/// As RFC 1123 has it.
pub(super) fn is_dns_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_LABEL).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn limited(table: &mut Table<'_>, key: &str, max: usize) {
    let length = table.string(key).map_or(0, |text| text.chars().count());
    if length > max {
        table.problem(key, format!("{length} characters; at most {max} are allowed"));
    }
}

fn keys(table: &mut Table<'_>, key: &str, allowed: fn(&Value) -> bool) {
    let Some(mut entries) = table.table(key) else { return };
    for (name, node) in entries.entries() {
        if !is_qualified_name(name) {
            let message = "not a name: at most 63 letters, digits, -, _ and ., beginning and ending with a letter or digit, \
                           with an optional DNS name and / before it";
            entries.problems().push(Problem::at(node, message));
        }
        if !allowed(&node.value) {
            entries.problems().push(Problem::at(node, format!("expected text, found {}", node.describe())));
        }
    }
}

/// A Kubernetes name with an optional prefix: `team`, `example.com/team`.
fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        None => is_name(text),
        Some((prefix, name)) => {
            prefix.len() <= MAX_PREFIX && prefix.split('.').all(is_dns_label) && is_name(name)
        }
    }
}

fn is_name(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let bytes = text.as_bytes();
    bytes.len() <= MAX_LABEL && edge(bytes.first()) && edge(bytes.last()) && bytes.iter().copied().all(inner)
}
