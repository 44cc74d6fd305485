//! What the crate of the notifiers wants and finds, in terms of the file: lengths of time, and where mistakes stand.

use alerts::ConfigError;
use jiff::SignedDuration;
use settings::{Node, Problem, Problems, Table, Value};

/// A length of time as the notifiers and policies have it.
pub(super) fn duration(table: &mut Table<'_>, key: &str) -> Option<SignedDuration> {
    let text = table.string(key)?;
    let parsed = text.parse();
    if parsed.is_err() {
        let message =
            format!("{text:?} is no length of time; write it like \"10s\", \"15m\", \"36h\" or \"PT15M\"");
        table.problem(key, message);
    }
    parsed.ok()
}

/// Errors of another crate name a path below `node`; the nearest node on that path gives the line.
pub(super) fn place(errors: Vec<ConfigError>, node: Option<&Node>, problems: &Problems) {
    for error in errors {
        let Some(root) = node else {
            problems.push(Problem::new("the defaults", 0, &error.path, error.message));
            continue;
        };
        let nearest = nearest(root, &error.path);
        let path = format!("{}.{}", root.path, error.path);
        problems.push(Problem::new(&nearest.file, nearest.line, &path, error.message));
    }
}

/// The last node on a path; keys may hold dots, so the longest that fits is taken.
fn nearest<'a>(root: &'a Node, path: &str) -> &'a Node {
    let (mut at, mut rest) = (root, path);
    loop {
        let next = match &at.value {
            Value::Map(entries) => {
                let fits = entries.iter().filter_map(|(key, node)| Some((node, behind(rest, key)?)));
                fits.min_by_key(|(_, rest)| rest.len())
            }
            Value::List(items) => rest.strip_prefix('[').and_then(|rest| {
                let (index, rest) = rest.split_once(']')?;
                Some((items.get(index.parse::<usize>().ok()?)?, rest.trim_start_matches('.')))
            }),
            _ => None,
        };
        let Some((node, behind)) = next else { return at };
        (at, rest) = (node, behind);
    }
}

/// What follows `key` on a path that begins with it.
fn behind<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(key)?;
    if rest.is_empty() || rest.starts_with('[') { Some(rest) } else { rest.strip_prefix('.') }
}
