//! `remap`: changes each event by a VRL program.

use std::sync::Arc;

use settings::{Problem, Table};
use vrl::compiler::TimeZone;
use vrl::compiler::runtime::Terminate;
use vrl::value::{ObjectMap, Value};

use super::script::{Script, Source, utc};
use crate::event::{Batch, Body, Event, StreamId};

/// A `remap` as it is configured.
#[derive(Clone, Debug)]
pub struct RemapConfig {
    script: Script,
    drop_on_error: bool,
    drop_on_abort: bool,
    warnings: Vec<Problem>,
}

/// A `remap` that runs.
#[derive(Debug)]
pub struct Remap {
    config: RemapConfig,
}

// === impl RemapConfig ===

impl RemapConfig {
    /// Reads `source` or `file`, `drop_on_error` (default false), `drop_on_abort` (default true) and `timezone`
    /// (default UTC), and compiles the program.
    pub fn prove(table: &mut Table<'_>) -> Option<RemapConfig> {
        let drop_on_error = table.bool_or("drop_on_error", false);
        let drop_on_abort = table.bool_or("drop_on_abort", true);
        if table.bool_or("reroute_dropped", false) {
            let message = "there is no output for dropped events here; leave this out, and set drop_on_error or \
                           drop_on_abort to false to keep the event as it was";
            table.problem("reroute_dropped", message);
        }
        let timezone = timezone(table);
        let (script, warnings) = compile(table, timezone)?;
        Some(RemapConfig { script, drop_on_error, drop_on_abort, warnings })
    }

    pub(super) fn warnings(&self) -> &[Problem] {
        &self.warnings
    }
}

fn timezone(table: &mut Table<'_>) -> TimeZone {
    let name = table.string_or("timezone", "UTC");
    TimeZone::parse(&name).unwrap_or_else(|| {
        table.problem(
            "timezone",
            format!("{name:?} is no time zone; use a name as \"Europe/Berlin\" or \"local\""),
        );
        utc()
    })
}

fn compile(table: &mut Table<'_>, timezone: TimeZone) -> Option<(Script, Vec<Problem>)> {
    let problems = table.problems();
    match (table.node("source"), table.node("file")) {
        (Some(node), None) => {
            table.required_string("source");
            Script::program(&Source::of(node)?, timezone, problems)
        }
        (None, Some(node)) => {
            let path = table.required_string("file");
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    let source = Source { text: &text, file: Arc::from(path), line: 1, path: &node.path };
                    Script::program(&source, timezone, problems)
                }
                Err(error) => {
                    table.problem("file", format!("cannot read the program {path}: {error}"));
                    None
                }
            }
        }
        (Some(_), Some(_)) => {
            table.problem("file", "source and file are both set; keep one");
            None
        }
        (None, None) => {
            table.problem(
                "source",
                "this key is missing; expected a VRL program, or file with the path of one",
            );
            None
        }
    }
}

// === impl Remap ===

impl Remap {
    /// A transform of this configuration.
    pub fn new(config: &RemapConfig) -> Remap {
        Remap { config: config.clone() }
    }

    /// Runs the program on every event. A result that is a list gives one event for each item. An event whose program
    /// fails or aborts is dropped or kept as it was, as configured.
    pub fn apply(&mut self, batch: Batch) -> Batch {
        let mut out = Output { events: Vec::with_capacity(batch.events.len()), record: None };
        for event in batch.events {
            let mut value = event.to_value();
            match self.config.script.run(&mut value) {
                Ok(_) => out.push(event, value),
                Err(Terminate::Abort(_)) if self.config.drop_on_abort => {}
                Err(Terminate::Error(_) | Terminate::Interrupted) if self.config.drop_on_error => {}
                Err(_) => out.keep(event),
            }
        }
        Batch { events: out.events, spans: batch.spans }
    }
}

/// Collects events and numbers those of one record.
struct Output {
    events: Vec<Event>,
    /// The record that the last event came from, and the index for the next one.
    record: Option<(StreamId, u64, u32)>,
}

impl Output {
    fn push(&mut self, event: Event, value: Value) {
        let Value::Array(values) = value else {
            return self.keep(Event { body: fields(value), ..event });
        };
        for value in values {
            self.keep(Event { body: fields(value), ..event.clone() });
        }
    }

    // Invariant: (stream, offset, index) differs for all events of a batch, also where events that share a record
    // are split again.
    fn keep(&mut self, mut event: Event) {
        let (stream, offset) = (&event.place.stream.id, event.place.offset);
        let index = match &self.record {
            Some((last, at, next)) if last == stream && *at == offset => *next,
            _ => event.place.index,
        };
        self.record = Some((stream.clone(), offset, index + 1));
        event.place.index = index;
        self.events.push(event);
    }
}

/// Anything that is no object becomes the `message` of one.
fn fields(value: Value) -> Body {
    Body::Fields(Box::new(match value {
        Value::Object(_) => value,
        other => Value::Object(ObjectMap::from([("message".into(), other)])),
    }))
}

#[cfg(test)]
mod tests;
