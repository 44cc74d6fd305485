//! Tests of the crate: tables, a model against the machine, and the dispatcher against real servers and files.

mod alertmanager;
mod dispatch;
mod log;
mod machine;
mod model;
mod outbox;
mod pagerduty;
mod policy;
mod readme;
mod server;
mod way;
mod webhook;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::{
    Alert, ChannelName, Command, Escalations, Input, Intent, Kind, Policies, PoliciesConfig, Policy,
    Severity, Step, Target,
};

/// The beginning of time in every test, plus `seconds`.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_772_366_400 + seconds).unwrap()
}

fn alert(key: &str, severity: Severity) -> Alert {
    Alert { key: key.into(), severity, summary: format!("{key} is wrong"), labels: BTreeMap::new() }
}

fn page(key: &str) -> Alert {
    alert(key, Severity::Page)
}

fn ticket(key: &str) -> Alert {
    alert(key, Severity::Ticket)
}

fn channels() -> Vec<ChannelName> {
    vec!["pager".into(), "mail".into()]
}

/// A step of targets that are all told through `pager`, else `mail`.
fn step(after_s: i64, targets: &[&str]) -> Step {
    let target = |name: &&str| Target { name: (*name).into(), channels: channels() };
    Step { after: SignedDuration::from_secs(after_s), targets: targets.iter().map(target).collect() }
}

fn policy(steps: Vec<Step>, repeat: u32, repeat_every_s: i64) -> Policy {
    Policy { name: "test".into(), steps, repeat, repeat_every: SignedDuration::from_secs(repeat_every_s) }
}

fn default_policies() -> Policies {
    PoliciesConfig::default().prove(&channels()).unwrap()
}

fn take(machine: &mut Escalations) -> Vec<Command> {
    std::iter::from_fn(|| machine.next_command()).collect()
}

fn intents(commands: &[Command]) -> Vec<Intent> {
    let intent = |command: &Command| match command {
        Command::Notify(intent) => Some(intent.clone()),
        Command::Save(_) => None,
    };
    commands.iter().filter_map(intent).collect()
}

/// What the machine says to one input: `kind target/channel` each.
fn told(machine: &mut Escalations, input: Input, now: Timestamp) -> Vec<String> {
    machine.handle(input, now);
    said(machine)
}

/// What the machine says once `now` is there.
fn told_at(machine: &mut Escalations, now: Timestamp) -> Vec<String> {
    machine.handle_timeout(now);
    said(machine)
}

fn said(machine: &mut Escalations) -> Vec<String> {
    let line = |intent: &Intent| format!("{} {}/{}", intent.kind.as_str(), intent.target, intent.channel);
    intents(&take(machine)).iter().map(line).collect()
}

/// A trigger through `channel`, else through `fallback`; `name` tells incidents apart.
fn trigger(name: &str, channel: &str, fallback: &[&str], now: Timestamp) -> Intent {
    let target = Target {
        name: "on-call".into(),
        channels: std::iter::once(channel).chain(fallback.iter().copied()).map(ChannelName::from).collect(),
    };
    let channels = target.channels.clone();
    let policy = policy(vec![Step { after: SignedDuration::ZERO, targets: vec![target] }], 0, 0);
    let config = PoliciesConfig { page: Some(policy), ..PoliciesConfig::default() };
    let mut machine = Escalations::new(config.prove(&channels).unwrap());
    machine.handle(Input::Fire(page(name)), now);
    intents(&take(&mut machine)).remove(0)
}

/// The message of `kind` that follows `trigger` at its receiver.
fn after(trigger: &Intent, kind: Kind, channel: &str) -> Intent {
    Intent { kind, channel: channel.into(), fallback: Vec::new(), ..trigger.clone() }.identified()
}
