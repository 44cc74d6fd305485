//! The key `escalation`: whom to tell, in which order.

use std::collections::BTreeMap;

use alerts::{ChannelName, Policies, PoliciesConfig, Policy, Route, Severity, Step, Target};
use settings::{Node, Table};

use super::place::{duration, place};

/// The policies, proven against the channels that there are.
pub(super) fn policies(table: &mut Table<'_>, channels: &[ChannelName]) -> Option<Policies> {
    let (node, problems) = (table.node("escalation"), table.problems());
    let before = problems.len();
    let mut raw = PoliciesConfig::default();
    if let Some(mut escalation) = table.table("escalation") {
        raw.page = escalation.table("page").and_then(policy);
        raw.ticket = escalation.table("ticket").and_then(policy);
        let routes = escalation.list("routes").iter();
        raw.routes = routes.map(|node| route(Table::new(node, problems), channels)).collect();
        escalation.finish();
    }
    let policies = raw.prove(channels).map_err(|errors| place(errors, node, problems)).ok();
    policies.filter(|_| problems.len() == before)
}

/// Nothing where something is wrong with it: what it says is not looked at further then.
fn policy(mut table: Table<'_>) -> Option<Policy> {
    let problems = table.problems();
    let before = problems.len();
    let name = table.required_string("name");
    let steps = required_list(&mut table, "steps", "steps");
    let steps = steps.iter().map(|node| step(Table::new(node, problems))).collect();
    let repeat = u32::try_from(table.u64_or("repeat", 0)).unwrap_or(u32::MAX);
    let repeat_every = duration(&mut table, "repeat_every").unwrap_or_default();
    table.finish();
    (problems.len() == before).then_some(Policy { name, steps, repeat, repeat_every })
}

fn step(mut table: Table<'_>) -> Step {
    let problems = table.problems();
    let after = duration(&mut table, "after").unwrap_or_default();
    let targets = required_list(&mut table, "targets", "those who are told");
    let targets = targets.iter().map(|node| target(Table::new(node, problems))).collect();
    table.finish();
    Step { after, targets }
}

fn target(mut table: Table<'_>) -> Target {
    let name = table.required_string("name");
    let channels = table.required_strings("channels").into_iter().map(ChannelName).collect();
    table.finish();
    Target { name, channels }
}

/// A route whose policy is wrong keeps its place, so that what is told of the next ones names theirs.
fn route(mut table: Table<'_>, channels: &[ChannelName]) -> Route {
    let severity = table.node("severity").and_then(|_| table.one_of("severity", &["page", "ticket"], None));
    let severity = severity.map(|word| if word == "page" { Severity::Page } else { Severity::Ticket });
    let labels = table.table("labels").map(labels).unwrap_or_default();
    if table.node("policy").is_none() {
        table.problem("policy", "this key is missing; expected what such alerts follow");
    }
    let policy = table.table("policy").and_then(policy).unwrap_or_else(|| stand_in(channels));
    table.finish();
    Route { severity, labels, policy }
}

fn labels(mut table: Table<'_>) -> BTreeMap<String, String> {
    let names = table.entries().iter().map(|(name, _)| name.clone());
    names.filter_map(|name| table.string(&name).map(|value| (name, value))).collect()
}

/// A policy with which nothing is wrong.
fn stand_in(channels: &[ChannelName]) -> Policy {
    let target = Target { name: "nobody".to_owned(), channels: channels.to_vec() };
    let step = Step { after: Default::default(), targets: vec![target] };
    Policy { name: "none".to_owned(), steps: vec![step], repeat: 0, repeat_every: Default::default() }
}

fn required_list<'a>(table: &mut Table<'a>, key: &str, what: &str) -> &'a [Node] {
    if table.node(key).is_none() {
        table.problem(key, format!("this key is missing; expected a list of {what}"));
    }
    table.list(key)
}
