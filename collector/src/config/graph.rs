//! How the components hang together: inputs resolved, circles refused, transforms sorted so that inputs come first.

use std::collections::{BTreeMap, BTreeSet};

use settings::{Node, Problem, Problems, Value, close_match};

use super::draft::{Component, Draft};
use super::{Name, Purpose};
use crate::sink::SinkConfig;
use crate::transform::TransformConfig;

/// The graph, as far as it could be read.
pub(super) struct Order {
    /// The transforms, each after all of its inputs.
    pub(super) transforms: Vec<Name>,
    /// Whom each transform and sink reads from.
    inputs: BTreeMap<Name, Vec<Name>>,
    /// Components that nothing reads from.
    pub(super) warnings: Vec<Problem>,
}

impl Order {
    /// Whom a transform or sink reads from.
    pub(super) fn inputs_of(&self, name: &Name) -> Vec<Name> {
        self.inputs.get(name).cloned().unwrap_or_default()
    }
}

/// Checks the whole graph; every mistake goes to `problems`.
pub(super) fn check(draft: &Draft<'_>, purpose: Purpose, problems: &Problems) -> Order {
    let sources = draft.sources.iter().map(|component| &component.name);
    let outputs: Vec<&Name> =
        sources.chain(draft.transforms.iter().map(|component| &component.name)).collect();
    let mut inputs = BTreeMap::new();
    for transform in &draft.transforms {
        inputs.insert(transform.name.clone(), resolve(transform, &outputs, purpose, problems));
    }
    for sink in &draft.sinks {
        inputs.insert(sink.name.clone(), resolve(sink, &outputs, purpose, problems));
    }
    refuse_unjudged(draft, &inputs, problems);
    let mut warnings = Vec::new();
    if purpose == Purpose::Run {
        refuse_missing_ends(draft, problems);
        warnings = unused(draft, &inputs);
    }
    Order { transforms: sort(draft, &inputs, problems), inputs, warnings }
}

fn refuse_missing_ends(draft: &Draft<'_>, problems: &Problems) {
    let Some(root) = draft.roots.first() else { return };
    if draft.sources.is_empty() {
        problems.push(Problem::at(root, "there is no source; add one below sources"));
    }
    if draft.sinks.is_empty() {
        problems.push(Problem::at(root, "there is no sink; add one below sinks"));
    }
}

/// What is counted must be judged: a `slo_engine` reads from `sli`, at most through filters.
fn refuse_unjudged(draft: &Draft<'_>, inputs: &BTreeMap<Name, Vec<Name>>, problems: &Problems) {
    for sink in &draft.sinks {
        if !matches!(sink.config, Some(SinkConfig::SloEngine(_))) {
            continue;
        }
        for input in &inputs[&sink.name] {
            if !is_judged(input, draft, inputs, &mut BTreeSet::new()) {
                let message = format!("{input} gives lines that nobody judged; put an sli transform between");
                problems.push(Problem::at(sink.node.get("inputs").unwrap_or(sink.node), message));
            }
        }
    }
}

/// Whether all that comes out of `name` is judged. What was refused elsewhere is not told again here.
fn is_judged(
    name: &Name,
    draft: &Draft<'_>,
    inputs: &BTreeMap<Name, Vec<Name>>,
    walked: &mut BTreeSet<Name>,
) -> bool {
    if !walked.insert(name.clone()) {
        return true;
    }
    let Some(transform) = draft.transforms.iter().find(|transform| transform.name == *name) else {
        return false;
    };
    match transform.config {
        Some(TransformConfig::Sli(_)) | None => true,
        Some(TransformConfig::Filter(_)) => {
            inputs[name].iter().all(|input| is_judged(input, draft, inputs, walked))
        }
        Some(TransformConfig::Remap(_)) => false,
    }
}

/// Whom `component` reads from, patterns written out.
fn resolve<T>(
    component: &Component<'_, T>,
    outputs: &[&Name],
    purpose: Purpose,
    problems: &Problems,
) -> Vec<Name> {
    let written = component.node.get("inputs");
    // Inputs of a wrong type are told already.
    if purpose == Purpose::Run && written.is_none_or(|inputs| inputs.value == Value::List(Vec::new())) {
        let node = written.unwrap_or(component.node);
        problems.push(Problem::at(node, format!("there are no inputs; name some of {}", join(outputs))));
    }
    let mut found: Vec<Name> = Vec::new();
    for input in &component.inputs {
        for name in matches(input, &component.name, outputs, problems) {
            if !found.contains(name) {
                found.push(name.clone());
            }
        }
    }
    found
}

fn matches<'n>(input: &Node, own: &Name, outputs: &[&'n Name], problems: &Problems) -> Vec<&'n Name> {
    let text = input.as_str().unwrap_or_default();
    let is_pattern = text.contains('*');
    let meant = |name: &&Name| fits(text, name) && !(is_pattern && *name == own);
    let found: Vec<&Name> = outputs.iter().copied().filter(meant).collect();
    if found.is_empty() {
        let hint = close_match(text, outputs.iter().map(|name| &***name));
        let hint = hint.map_or_else(String::new, |close| format!("; did you mean {close}?"));
        let what = if is_pattern { "matches" } else { "is named" };
        let message = format!("no source or transform {what} {text:?}{hint}; there are: {}", join(outputs));
        problems.push(Problem::at(input, message));
    }
    found
}

/// Whether a name fits a pattern, in which a `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(tail) = name.strip_prefix(start) else { return false };
    (0..=tail.len()).any(|skip| tail.get(skip..).is_some_and(|tail| fits(rest, tail)))
}

fn join(names: &[&Name]) -> String {
    let names: Vec<&str> = names.iter().map(|name| &***name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The transforms, each after its inputs. Those of a circle are told and come where they can.
fn sort(draft: &Draft<'_>, inputs: &BTreeMap<Name, Vec<Name>>, problems: &Problems) -> Vec<Name> {
    let mut left: Vec<&Name> = draft.transforms.iter().map(|component| &component.name).collect();
    let mut sorted: Vec<Name> = Vec::new();
    while !left.is_empty() {
        let names: BTreeSet<&Name> = left.iter().copied().collect();
        let waits = |name: &Name| inputs[name].iter().any(|input| names.contains(input));
        let mut next: Vec<Name> =
            left.iter().filter(|name| !waits(name)).map(|name| Name::clone(name)).collect();
        if next.is_empty() {
            next = circle(&names, inputs);
            refuse_circle(draft, &next, problems);
        }
        left.retain(|name| !next.contains(name));
        sorted.extend(next);
    }
    sorted
}

/// A circle among `names`, of which each has an input among them: walking from input to input must come back.
fn circle(names: &BTreeSet<&Name>, inputs: &BTreeMap<Name, Vec<Name>>) -> Vec<Name> {
    let mut walked: Vec<Name> = Vec::new();
    let mut at = names.first().map(|name| Name::clone(name));
    while let Some(name) = at {
        if let Some(start) = walked.iter().position(|seen| *seen == name) {
            let mut circle = walked.split_off(start);
            circle.reverse();
            return circle;
        }
        at = inputs.get(&name).and_then(|from| from.iter().find(|input| names.contains(input)).cloned());
        walked.push(name);
    }
    walked
}

fn refuse_circle(draft: &Draft<'_>, circle: &[Name], problems: &Problems) {
    let in_circle = |component: &&Component<'_, _>| circle.contains(&component.name);
    // Told where the files name it first, beginning with that transform.
    let Some(first) = draft.transforms.iter().find(in_circle) else { return };
    let start = circle.iter().position(|name| *name == first.name).unwrap_or(0);
    let mut names: Vec<&str> = circle[start..].iter().chain(&circle[..start]).map(|name| &**name).collect();
    names.push(&first.name);
    let message = format!("these transforms feed each other in a circle: {}", names.join(" -> "));
    problems.push(Problem::at(first.node, message));
}

fn unused(draft: &Draft<'_>, inputs: &BTreeMap<Name, Vec<Name>>) -> Vec<Problem> {
    let used: BTreeSet<&Name> = inputs.values().flatten().collect();
    let mut warnings = Vec::new();
    let mut check = |name: &Name, node: &Node| {
        if !used.contains(name) {
            warnings.push(Problem::at(node, "nothing reads from this component"));
        }
    };
    draft.sources.iter().for_each(|component| check(&component.name, component.node));
    draft.transforms.iter().for_each(|component| check(&component.name, component.node));
    warnings
}
