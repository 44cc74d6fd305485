//! The keys of a unit test, proven.

use settings::{Node, Problem, Problems, Table, close_match};

use super::event::events;
use super::{Condition, Input, Output, UnitTest};
use crate::config::Name;
use crate::transform::Script;

impl UnitTest {
    /// Reads one of `tests`; `transforms` are the names that it may use. Mistakes go to `problems`.
    pub(crate) fn prove(node: &Node, transforms: &[Name], problems: &Problems) -> Option<UnitTest> {
        let mut table = Table::new(node, problems);
        let name = table.required_string("name");
        let inputs: Vec<Option<Input>> =
            table.list("inputs").iter().map(|node| input(node, transforms, problems)).collect();
        let outputs: Vec<Option<Output>> =
            table.list("outputs").iter().map(|node| output(node, transforms, problems)).collect();
        let no_outputs_from = names(&mut table, "no_outputs_from", transforms);
        if inputs.is_empty() {
            table.problem("inputs", "a test needs at least one input");
        }
        if outputs.is_empty() && table.node("no_outputs_from").is_none() {
            table.problem("outputs", "a test needs outputs or no_outputs_from");
        }
        table.finish();
        Some(UnitTest {
            name,
            inputs: inputs.into_iter().collect::<Option<_>>()?,
            outputs: outputs.into_iter().collect::<Option<_>>()?,
            no_outputs_from,
        })
    }
}

fn input(node: &Node, transforms: &[Name], problems: &Problems) -> Option<Input> {
    let mut table = Table::new(node, problems);
    let insert_at = names(&mut table, "insert_at", transforms).pop();
    if table.node("insert_at").is_none() {
        table.problem("insert_at", "this key is missing; expected the name of a transform");
    }
    let events = events(&mut table);
    table.finish();
    Some(Input { insert_at: insert_at?, events: events? })
}

fn output(node: &Node, transforms: &[Name], problems: &Problems) -> Option<Output> {
    let mut table = Table::new(node, problems);
    let extract_from = names(&mut table, "extract_from", transforms);
    if table.node("extract_from").is_none() {
        table.problem("extract_from", "this key is missing; expected the name of a transform");
    }
    let conditions: Vec<Option<Condition>> =
        table.list("conditions").iter().map(|node| condition(node, problems)).collect();
    table.finish();
    Some(Output { extract_from, conditions: conditions.into_iter().collect::<Option<_>>()? })
}

fn condition(node: &Node, problems: &Problems) -> Option<Condition> {
    let script = Script::condition(node, problems)?;
    Some(Condition { place: format!("{}:{}", node.file, node.line), script })
}

/// Names of transforms: a list, or one alone.
fn names(table: &mut Table<'_>, key: &str, transforms: &[Name]) -> Vec<Name> {
    let mut found = Vec::new();
    for node in table.texts(key) {
        let text = node.as_str().unwrap_or_default();
        match transforms.iter().find(|name| ***name == *text) {
            Some(name) => found.push(name.clone()),
            None => table.problems().push(Problem::at(node, unknown(text, transforms))),
        }
    }
    found
}

fn unknown(text: &str, transforms: &[Name]) -> String {
    let hint = close_match(text, transforms.iter().map(|name| &**name));
    let hint = hint.map_or_else(String::new, |close| format!("; did you mean {close}?"));
    format!("no transform is named {text:?}{hint}; there are: {}", transforms.join(", "))
}
