//! Vector's unit tests: events inserted at transforms, conditions on what comes out of transforms.

mod event;
mod prove;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use vrl::value::Value;

use crate::config::{Config, Name};
use crate::event::{Batch, Event};
use crate::transform::sli::FormatsSeen;
use crate::transform::{Script, Transform};

/// One test as it is configured, proven: every transform that it names exists and its conditions compile.
#[derive(Clone, Debug)]
pub struct UnitTest {
    name: String,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    no_outputs_from: Vec<Name>,
}

/// Events and the transform that they are given to.
#[derive(Clone, Debug)]
struct Input {
    insert_at: Name,
    events: Vec<Event>,
}

/// What must come out of transforms: an event for each condition that it holds for.
#[derive(Clone, Debug)]
struct Output {
    extract_from: Vec<Name>,
    conditions: Vec<Condition>,
}

/// A condition and where it stands.
#[derive(Clone, Debug)]
struct Condition {
    place: String,
    script: Script,
}

/// How a test went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Name of the test.
    pub name: String,
    /// What did not hold; a test without any passed.
    pub failures: Vec<String>,
}

/// Runs all tests of a configuration, in the order of its files.
pub fn run(config: &Config) -> Vec<Outcome> {
    config.tests.iter().map(|test| test.run(config)).collect()
}

// === impl UnitTest ===

impl UnitTest {
    fn run(&self, config: &Config) -> Outcome {
        let produced = self.produce(config);
        let mut failures = Vec::new();
        for output in &self.outputs {
            output.check(&produced, &mut failures);
        }
        for name in &self.no_outputs_from {
            for value in produced.get(name).into_iter().flatten() {
                failures.push(format!("{name}: expected no event, but one came out: {}", show(value)));
            }
        }
        Outcome { name: self.name.clone(), failures }
    }

    /// What comes out of each transform.
    fn produce<'c>(&self, config: &'c Config) -> BTreeMap<&'c Name, Vec<Value>> {
        let mut produced: BTreeMap<&Name, Vec<Event>> = BTreeMap::new();
        // Transforms stand after their inputs, so one pass is enough.
        for (name, inputs, transform) in &config.transforms {
            let inserted = self.inputs.iter().filter(|input| input.insert_at == *name);
            let mut events: Vec<Event> = inserted.flat_map(|input| input.events.clone()).collect();
            events.extend(inputs.iter().filter_map(|input| produced.get(input)).flatten().cloned());
            let mut transform = Transform::new(transform, &Arc::new(FormatsSeen::default()));
            produced.insert(name, transform.apply(Batch { events, spans: Vec::new() }).events);
        }
        let values = |events: Vec<Event>| events.iter().map(Event::to_value).collect();
        produced.into_iter().map(|(name, events)| (name, values(events))).collect()
    }
}

// === impl Output ===

impl Output {
    fn check(&self, produced: &BTreeMap<&Name, Vec<Value>>, failures: &mut Vec<String>) {
        let from = self.extract_from.join(", ");
        let values: Vec<&Value> =
            self.extract_from.iter().filter_map(|name| produced.get(name)).flatten().collect();
        if values.is_empty() {
            failures.push(format!("{from}: no event came out"));
            return;
        }
        for condition in &self.conditions {
            let reasons: Vec<String> = values.iter().filter_map(|value| condition.refuses(value)).collect();
            if reasons.len() == values.len() {
                let reasons = reasons.join("\n    ");
                failures.push(format!(
                    "{from}: the condition at {} does not hold:\n    {reasons}",
                    condition.place
                ));
            }
        }
    }
}

// === impl Condition ===

impl Condition {
    /// Why the condition does not hold for an event; nothing when it does.
    fn refuses(&self, value: &Value) -> Option<String> {
        match self.script.holds(&mut value.clone()) {
            Ok(true) => None,
            Ok(false) => Some(format!("false for {}", show(value))),
            Err(error) => Some(format!("{error} for {}", show(value))),
        }
    }
}

fn show(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| error.to_string())
}

// === impl Outcome ===

impl Outcome {
    /// Whether everything held.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// `PASS name`, or `FAIL name` and a line for each failure.
impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", if self.passed() { "PASS" } else { "FAIL" }, self.name)?;
        self.failures.iter().try_for_each(|failure| write!(out, "\n  {failure}"))
    }
}

#[cfg(test)]
mod tests;
