//! Escalation policies: who is told, through what, after how long; and which alert follows which policy.

mod prove;

use std::collections::BTreeMap;
use std::fmt;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, Severity};

/// Name of a configured notifier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelName(pub String);

/// Who is told in which order, until someone acknowledges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its name, for people.
    pub name: String,
    /// At least one, `after` strictly ascending.
    pub steps: Vec<Step>,
    /// How often all steps are gone through again while nobody acknowledges; at most 100.
    #[serde(default)]
    pub repeat: u32,
    /// Time from one loop's start to the next one's; longer than the last step's `after`. Needed when `repeat` > 0.
    #[serde(default)]
    pub repeat_every: SignedDuration,
}

/// One step: everyone in it is told at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Time from the start of the loop (the incident's start, for the first one); at most 30 days. `"15m"` or `"PT15M"`.
    #[serde(default)]
    pub after: SignedDuration,
    /// Who is told.
    pub targets: Vec<Target>,
}

/// Someone who is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// A person, a rota or a team.
    pub name: String,
    /// The first is used; the next ones, in order, only if the one before refuses for good.
    pub channels: Vec<ChannelName>,
}

/// An exception: alerts that match follow this policy. The first that matches wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Matches this severity only; any when absent.
    #[serde(default)]
    pub severity: Option<Severity>,
    /// Labels that the alert must have with exactly these values.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What such alerts follow.
    pub policy: Policy,
}

/// Policies as written in a configuration file. [`PoliciesConfig::prove`] makes [`Policies`] of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoliciesConfig {
    /// For pages that no route matches. Default: `on-call` at once, `on-call-secondary` after 15 minutes.
    #[serde(default)]
    pub page: Option<Policy>,
    /// For tickets that no route matches. Default: `team` at once.
    #[serde(default)]
    pub ticket: Option<Policy>,
    /// Exceptions, the first match wins.
    #[serde(default)]
    pub routes: Vec<Route>,
}

/// Proven policies: every alert has one, every one has someone to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policies {
    page: Policy,
    ticket: Policy,
    routes: Vec<Route>,
}

/// One thing that is wrong in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct ConfigError {
    /// Where, below the section that was proven: `page.steps[1].targets[0].channels[0]`.
    pub path: String,
    /// What was found and what is allowed.
    pub message: String,
}

// === impl ConfigError ===

impl ConfigError {
    /// The same error, seen from the section that holds `parent`.
    pub(crate) fn below(self, parent: &str) -> ConfigError {
        let path = if self.path.is_empty() { parent.to_owned() } else { format!("{parent}.{}", self.path) };
        ConfigError { path, ..self }
    }
}

// === impl PoliciesConfig ===

impl PoliciesConfig {
    /// Proves the policies against the `channels` that exist. The default policies use all of them, in this order.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn prove(self, channels: &[ChannelName]) -> Result<Policies, Vec<ConfigError>> {
        let policies = Policies {
            page: self.page.unwrap_or_else(|| default_page(channels)),
            ticket: self.ticket.unwrap_or_else(|| default_ticket(channels)),
            routes: self.routes,
        };
        let errors = prove::errors(&policies, channels);
        if errors.is_empty() { Ok(policies) } else { Err(errors) }
    }
}

fn default_page(channels: &[ChannelName]) -> Policy {
    let steps = vec![
        default_step(SignedDuration::ZERO, "on-call", channels),
        default_step(SignedDuration::from_mins(15), "on-call-secondary", channels),
    ];
    Policy { name: "page".into(), steps, repeat: 0, repeat_every: SignedDuration::ZERO }
}

fn default_ticket(channels: &[ChannelName]) -> Policy {
    let steps = vec![default_step(SignedDuration::ZERO, "team", channels)];
    Policy { name: "ticket".into(), steps, repeat: 0, repeat_every: SignedDuration::ZERO }
}

fn default_step(after: SignedDuration, target: &str, channels: &[ChannelName]) -> Step {
    Step { after, targets: vec![Target { name: target.into(), channels: channels.to_vec() }] }
}

// === impl Policies ===

impl Policies {
    /// The policy that `alert` follows.
    pub fn route(&self, alert: &Alert) -> &Policy {
        let exception = self.routes.iter().find(|route| route.matches(alert));
        exception.map_or_else(|| self.default_for(alert.severity), |route| &route.policy)
    }

    fn default_for(&self, severity: Severity) -> &Policy {
        match severity {
            Severity::Page => &self.page,
            Severity::Ticket => &self.ticket,
        }
    }
}

impl Route {
    fn matches(&self, alert: &Alert) -> bool {
        self.severity.is_none_or(|severity| severity == alert.severity)
            && self.labels.iter().all(|(name, value)| alert.labels.get(name) == Some(value))
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for ChannelName {
    fn from(name: &str) -> Self {
        ChannelName(name.to_owned())
    }
}
