//! What makes policies provable: each has someone to tell, at a time that comes, through a channel that exists.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::{ChannelName, ConfigError, Policies, Policy, Step};

/// Longest delay of a step and longest time between repetitions.
const MAX_DELAY: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Most repetitions of a policy.
const MAX_REPEAT: u32 = 100;

/// Everything that is wrong with `policies` where only `channels` exist.
pub(super) fn errors(policies: &Policies, channels: &[ChannelName]) -> Vec<ConfigError> {
    let mut prover = Prover { channels: channels.iter().collect(), errors: Vec::new() };
    prover.policy("page", &policies.page);
    prover.policy("ticket", &policies.ticket);
    for (i, route) in policies.routes.iter().enumerate() {
        prover.policy(&format!("routes[{i}].policy"), &route.policy);
    }
    prover.errors
}

/// Collects everything that is wrong.
struct Prover<'a> {
    channels: BTreeSet<&'a ChannelName>,
    errors: Vec<ConfigError>,
}

impl Prover<'_> {
    fn policy(&mut self, path: &str, policy: &Policy) {
        self.named(&format!("{path}.name"), &policy.name);
        if policy.steps.is_empty() {
            self.wrong(format!("{path}.steps"), "has no step; at least one is needed, else nobody is told");
        }
        for (i, step) in policy.steps.iter().enumerate() {
            self.step(&format!("{path}.steps[{i}]"), step);
        }
        for (i, pair) in policy.steps.windows(2).enumerate() {
            if pair[0].after >= pair[1].after {
                let at = format!("{path}.steps[{}].after", i + 1);
                self.wrong(
                    at,
                    format!(
                        "is {:#}; must be longer than {:#} of the step before",
                        pair[1].after, pair[0].after
                    ),
                );
            }
        }
        self.repetition(path, policy);
    }

    fn repetition(&mut self, path: &str, policy: &Policy) {
        if policy.repeat > MAX_REPEAT {
            self.wrong(
                format!("{path}.repeat"),
                format!("is {}; at most {MAX_REPEAT} is allowed", policy.repeat),
            );
        }
        let last = policy.steps.last().map_or(SignedDuration::ZERO, |step| step.after);
        if policy.repeat > 0 && (policy.repeat_every <= last || policy.repeat_every > MAX_DELAY) {
            let found = policy.repeat_every;
            let message =
                format!("is {found:#}; must be longer than {last:#} of the last step, and at most 30 days");
            self.wrong(format!("{path}.repeat_every"), message);
        }
    }

    fn step(&mut self, path: &str, step: &Step) {
        if step.after < SignedDuration::ZERO || step.after > MAX_DELAY {
            self.wrong(format!("{path}.after"), format!("is {:#}; 0s to 30 days is allowed", step.after));
        }
        if step.targets.is_empty() {
            self.wrong(
                format!("{path}.targets"),
                "has no target; at least one is needed, else nobody is told",
            );
        }
        let mut names = BTreeSet::new();
        for (i, target) in step.targets.iter().enumerate() {
            let path = format!("{path}.targets[{i}]");
            self.named(&format!("{path}.name"), &target.name);
            if !names.insert(&target.name) {
                self.wrong(
                    format!("{path}.name"),
                    format!("is {:?} a second time in this step", target.name),
                );
            }
            self.channels(&format!("{path}.channels"), &target.channels);
        }
    }

    fn channels(&mut self, path: &str, channels: &[ChannelName]) {
        if channels.is_empty() {
            self.wrong(path.to_owned(), "has no channel; at least one is needed, else nobody is told");
        }
        let mut seen = BTreeSet::new();
        for (i, channel) in channels.iter().enumerate() {
            let path = format!("{path}[{i}]");
            if !self.channels.contains(channel) {
                let known: Vec<_> = self.channels.iter().map(ToString::to_string).collect();
                self.wrong(
                    path,
                    format!("is {channel}, which is no channel; configured are: {}", known.join(", ")),
                );
            } else if !seen.insert(channel) {
                self.wrong(path, format!("is {channel} a second time for this target"));
            }
        }
    }

    fn named(&mut self, path: &str, name: &str) {
        if name.trim().is_empty() {
            self.wrong(path.to_owned(), "is empty; a name is needed");
        }
    }

    fn wrong(&mut self, path: String, message: impl Into<String>) {
        self.errors.push(ConfigError { path, message: message.into() });
    }
}
