//! The events that a unit test inserts: a line as it is, fields as they are written, or what a VRL program makes.

use std::sync::Arc;

use bytes::Bytes;
use settings::{Node, Problem, Table, Value as Written};
use vrl::path::parse_value_path;
use vrl::value::{ObjectMap, Value};

use crate::event::{Body, Event, Place, Stream};
use crate::transform::{Script, Source, utc};

/// Reads `type` and what belongs to it.
pub(super) fn events(table: &mut Table<'_>) -> Option<Vec<Event>> {
    let line = table.place().line;
    let bodies = match table.one_of("type", &["raw", "log", "vrl"], Some("raw"))? {
        "vrl" => made(table)?,
        "log" if table.node("log_fields").is_some() => vec![log_fields(table)?],
        _ => vec![Body::Line(Bytes::from(table.required_string("value")))],
    };
    Some((0..).zip(bodies).map(|(index, body)| event(line, index, body)).collect())
}

/// An event of a made-up stream. The line of the configuration is its offset, so that no two events are the same.
fn event(line: usize, index: u32, body: Body) -> Event {
    let stream = Stream { id: "unit test".into(), path: "unit test".to_owned(), pod: None, metadata: None };
    let offset = u64::try_from(line).unwrap_or(u64::MAX);
    Event { place: Place { stream: Arc::new(stream), offset, index }, time: None, stdio: None, body }
}

fn made(table: &mut Table<'_>) -> Option<Vec<Body>> {
    let problems = table.problems();
    table.required_string("source");
    let node = table.node("source")?;
    let (script, _) = Script::program(&Source::of(node)?, utc(), problems)?;
    let mut value = Value::Object(ObjectMap::new());
    if let Err(error) = script.run(&mut value) {
        problems.push(Problem::at(node, format!("the program that makes the event failed: {error}")));
        return None;
    }
    Some(match value {
        Value::Array(values) => values.into_iter().map(|value| Body::Fields(Box::new(value))).collect(),
        value => vec![Body::Fields(Box::new(value))],
    })
}

fn log_fields(table: &mut Table<'_>) -> Option<Body> {
    let problems = table.problems();
    let mut fields = table.table("log_fields")?;
    let mut value = Value::Object(ObjectMap::new());
    for (key, node) in fields.entries() {
        match parse_value_path(key) {
            Ok(path) => {
                value.insert(&path, value_of(node));
            }
            Err(error) => problems.push(Problem::at(node, format!("{key:?} is no path of a field: {error}"))),
        }
    }
    Some(Body::Fields(Box::new(value)))
}

fn value_of(node: &Node) -> Value {
    match &node.value {
        Written::Null => Value::Null,
        Written::Bool(value) => Value::Boolean(*value),
        Written::Int(number) => Value::Integer(*number),
        Written::Float(number) => Value::from_f64_or_zero(*number),
        Written::String(text) => Value::from(text.as_str()),
        Written::List(items) => Value::Array(items.iter().map(value_of).collect()),
        Written::Map(entries) => {
            Value::Object(entries.iter().map(|(key, node)| (key.as_str().into(), value_of(node))).collect())
        }
    }
}
