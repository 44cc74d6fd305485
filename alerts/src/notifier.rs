//! Notifiers: the closed set of ways to reach someone, and the one place that says what a failure means.

pub(crate) mod alertmanager;
pub(crate) mod http;
pub(crate) mod log;
pub(crate) mod pagerduty;
pub(crate) mod secret;
pub(crate) mod webhook;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::alert::Severity;
use crate::intent::{Intent, Kind};
use crate::policy::{ChannelName, ConfigError};
use alertmanager::{Alertmanager, AlertmanagerConfig};
use log::{Log, LogConfig};
use pagerduty::{Pagerduty, PagerdutyConfig};
use webhook::{Webhook, WebhookConfig};

/// A way to reach someone.
#[derive(Clone, Debug)]
pub enum Notifier {
    /// `POST` of a [`Notification`] to a URL.
    Webhook(Webhook),
    /// An alert of an Alertmanager, posted again until it is over.
    Alertmanager(Alertmanager),
    /// An event of PagerDuty.
    Pagerduty(Pagerduty),
    /// A [`Notification`] a line, in a file or in the process's own log.
    Log(Log),
}

/// A notifier as written in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum NotifierConfig {
    /// See [`WebhookConfig`].
    Webhook(WebhookConfig),
    /// See [`AlertmanagerConfig`].
    Alertmanager(AlertmanagerConfig),
    /// See [`PagerdutyConfig`].
    Pagerduty(PagerdutyConfig),
    /// See [`LogConfig`].
    Log(LogConfig),
}

/// All notifiers of a process, by the name of their channel.
#[derive(Clone, Debug, Default)]
pub struct Notifiers(BTreeMap<ChannelName, Notifier>);

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It may work later, or it did work and the answer was lost: send again under the same id.
    #[error("{reason}")]
    Retry {
        /// The receiver asked for at least this long.
        after: Option<SignedDuration>,
        /// What was attempted and what came back.
        reason: String,
    },
    /// It will not work this way however often it is tried.
    #[error("{reason}")]
    Refused {
        /// What was attempted and what came back.
        reason: String,
    },
}

/// What a receiver reads: the body of a webhook and a line of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Notification<'a> {
    /// Version of this form. Fields may be added within a version.
    pub version: u32,
    /// Equal for repeats of one message; also the header `Idempotency-Key`.
    pub id: &'a str,
    /// `trigger`, `acknowledge` or `resolve`.
    pub kind: Kind,
    /// What to group by: equal for all messages of one incident.
    pub dedup_key: &'a str,
    /// The incident's id.
    pub incident: &'a str,
    /// How often `key` went wrong, from 1.
    pub episode: u32,
    /// Name of the thing that is wrong.
    pub key: &'a str,
    /// `page` or `ticket`.
    pub severity: Severity,
    /// One line for a human.
    pub summary: &'a str,
    /// Facts.
    pub labels: &'a BTreeMap<String, String>,
    /// Who is told.
    pub target: &'a str,
    /// Escalation step, from 0.
    pub step: u32,
    /// Loop over the steps, from 0.
    pub round: u32,
    /// Who acknowledged or resolved by hand, else null.
    pub by: Option<&'a str>,
    /// When the incident opened, RFC 3339 in UTC.
    pub opened_at: Timestamp,
    /// When it was decided to send this, RFC 3339 in UTC.
    pub created_at: Timestamp,
}

// === impl Notifiers ===

impl Notifiers {
    /// Builds what is configured; environment variables and files that it names must be there. Nothing is made: see
    /// [`prepare`](Notifiers::prepare).
    ///
    /// # Errors
    /// Everything that is wrong, at once, with paths that begin with the channel's name.
    pub fn build(configs: BTreeMap<ChannelName, NotifierConfig>) -> Result<Notifiers, Vec<ConfigError>> {
        let mut notifiers = BTreeMap::new();
        let mut errors = Vec::new();
        for (name, config) in configs {
            match Notifier::build(config) {
                Ok(notifier) => drop(notifiers.insert(name, notifier)),
                Err(found) => errors.extend(found.into_iter().map(|error| error.below(&name.0))),
            }
        }
        if errors.is_empty() { Ok(Notifiers(notifiers)) } else { Err(errors) }
    }

    /// Makes the files that logs are written to, so that one that cannot be made is told before there is a page for it.
    ///
    /// # Errors
    /// Every file that cannot be opened, with paths that begin with the channel's name.
    pub fn prepare(&self) -> Result<(), Vec<ConfigError>> {
        let logs = self.0.iter().filter_map(|(name, notifier)| match notifier {
            Notifier::Log(log) => log.prepare().err().map(|error| error.below(&name.0)),
            Notifier::Webhook(_) | Notifier::Alertmanager(_) | Notifier::Pagerduty(_) => None,
        });
        let errors: Vec<ConfigError> = logs.collect();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// The channels that exist, sorted.
    pub fn channels(&self) -> Vec<ChannelName> {
        self.0.keys().cloned().collect()
    }

    /// Whether `intent` means something to its receiver. An Alertmanager knows no acknowledgement.
    pub(crate) fn says(&self, intent: &Intent) -> bool {
        let deaf = matches!(self.0.get(&intent.channel), Some(Notifier::Alertmanager(_)));
        !(deaf && intent.kind == Kind::Acknowledge)
    }

    /// How often `intent` must be sent again, once its receiver has it, until the incident is over; `None`: never.
    pub(crate) fn refresh_every(&self, intent: &Intent) -> Option<SignedDuration> {
        match self.0.get(&intent.channel) {
            Some(Notifier::Alertmanager(it)) if intent.kind == Kind::Trigger => Some(it.repost_every()),
            _ => None,
        }
    }

    /// Sends `intent` through its channel. `now` is when an alert's time begins, and dates a `Retry-After`.
    ///
    /// # Errors
    /// A channel that is not configured refuses; for the rest see [`SendError`].
    pub async fn send(&self, intent: &Intent, now: Timestamp) -> Result<(), SendError> {
        match self.0.get(&intent.channel) {
            Some(Notifier::Webhook(webhook)) => webhook.send(intent, now).await,
            Some(Notifier::Alertmanager(alertmanager)) => alertmanager.send(intent, now).await,
            Some(Notifier::Pagerduty(pagerduty)) => pagerduty.send(intent, now).await,
            Some(Notifier::Log(log)) => log.send(intent).await,
            None => Err(SendError::Refused {
                reason: format!("channel {} is not configured (any more)", intent.channel),
            }),
        }
    }
}

impl FromIterator<(ChannelName, Notifier)> for Notifiers {
    fn from_iter<I: IntoIterator<Item = (ChannelName, Notifier)>>(notifiers: I) -> Self {
        Notifiers(notifiers.into_iter().collect())
    }
}

impl Notifier {
    fn build(config: NotifierConfig) -> Result<Notifier, Vec<ConfigError>> {
        match config {
            NotifierConfig::Webhook(config) => Webhook::build(config).map(Notifier::Webhook),
            NotifierConfig::Alertmanager(config) => Alertmanager::build(config).map(Notifier::Alertmanager),
            NotifierConfig::Pagerduty(config) => Pagerduty::build(config).map(Notifier::Pagerduty),
            NotifierConfig::Log(config) => Log::build(config).map(Notifier::Log),
        }
    }
}

impl SendError {
    /// What an HTTP status that is not a success means. Redirects are refused: followed, a POST may end as a GET.
    pub(crate) fn from_status(status: u16, after: Option<SignedDuration>, reason: String) -> SendError {
        match status {
            408 | 425 | 429 | 500..=599 => SendError::Retry { after, reason },
            _ => SendError::Refused { reason },
        }
    }
}

impl<'a> From<&'a Intent> for Notification<'a> {
    fn from(intent: &'a Intent) -> Self {
        Notification {
            version: 1,
            id: &intent.id.0,
            kind: intent.kind,
            dedup_key: &intent.dedup_key,
            incident: &intent.incident.0,
            episode: intent.episode,
            key: &intent.alert.key,
            severity: intent.alert.severity,
            summary: &intent.alert.summary,
            labels: &intent.alert.labels,
            target: &intent.target,
            step: intent.step,
            round: intent.round,
            by: intent.by.as_deref(),
            opened_at: intent.opened_at,
            created_at: intent.created_at,
        }
    }
}
