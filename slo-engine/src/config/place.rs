//! Where the mistakes stand that the crate of the notifiers finds.

use alerts::ConfigError;
use serde::de::DeserializeOwned;
use settings::{Node, Problem, Problems, Value};

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

fn nearest<'a>(root: &'a Node, path: &str) -> &'a Node {
    let mut at = root;
    for step in path.split(['.', '[', ']']).filter(|step| !step.is_empty()) {
        let next = match &at.value {
            Value::Map(_) => at.get(step),
            Value::List(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
            _ => None,
        };
        match next {
            Some(node) => at = node,
            None => break,
        }
    }
    at
}

/// A value of another crate, if the node is one.
pub(super) fn decode<T: DeserializeOwned>(node: &Node, problems: &Problems) -> Option<T> {
    serde_json::from_value(json(node))
        .map_err(|error| problems.push(Problem::at(node, error.to_string())))
        .ok()
}

fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::String(text) => text.clone().into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(|(key, node)| (key.clone(), json(node))).collect(),
    }
}
