//! The Alertmanager notifier: an incident is an alert of API v2 that ends by itself unless it is posted again.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::SendError;
use super::http::{BasicAuthConfig, Endpoint, EndpointConfig, Post, wrong};
use super::secret::SecretSource;
use crate::alert::Severity;
use crate::intent::{Intent, Kind};
use crate::policy::ConfigError;

/// After how long without a post an alert ends, unless configured.
const RESOLVE_AFTER: SignedDuration = SignedDuration::from_mins(15);
/// How often an alert is posted again, unless configured.
const REPOST_EVERY: SignedDuration = SignedDuration::from_mins(1);
const SECOND: SignedDuration = SignedDuration::from_secs(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// An Alertmanager as written in a configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertmanagerConfig {
    /// Where it answers, without `/api/v2/alerts`, without user and password.
    #[serde(default)]
    pub url: Option<String>,
    /// The same for a URL that is itself a secret. Exactly one of the two is set.
    #[serde(default)]
    pub url_from: Option<SecretSource>,
    /// Sent as `Authorization: Bearer …`.
    #[serde(default)]
    pub bearer_token: Option<SecretSource>,
    /// Sent as `Authorization: Basic …`; not beside `bearer_token`.
    #[serde(default)]
    pub basic_auth: Option<BasicAuthConfig>,
    /// More headers, by name.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretSource>,
    /// Limit of one request from connect to answer, 10 s if absent; 100 ms to 60 s.
    #[serde(default)]
    pub timeout: Option<SignedDuration>,
    /// An alert that is not posted again ends after this long, 15 min if absent; 3 s to 24 h.
    #[serde(default)]
    pub resolve_after: Option<SignedDuration>,
    /// An open incident is posted again this often, from 1 s to a third of `resolve_after`. If absent: every minute, or
    /// that third if it is shorter.
    #[serde(default)]
    pub repost_every: Option<SignedDuration>,
}

/// Posts alerts to an Alertmanager.
#[derive(Clone, Debug)]
pub struct Alertmanager {
    endpoint: Endpoint,
    resolve_after: SignedDuration,
    repost_every: SignedDuration,
}

/// One alert of a request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted<'a> {
    labels: BTreeMap<String, &'a str>,
    annotations: BTreeMap<&'static str, &'a str>,
    starts_at: Timestamp,
    ends_at: Timestamp,
}

impl Alertmanager {
    /// Builds the client; reads every secret once, so that a missing one is told at the start.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn build(config: AlertmanagerConfig) -> Result<Alertmanager, Vec<ConfigError>> {
        let (resolve_after, repost_every, mut errors) = times(&config);
        let endpoint = Endpoint::build(EndpointConfig {
            url: config.url,
            url_from: config.url_from,
            below: &["api", "v2", "alerts"],
            bearer_token: config.bearer_token,
            basic_auth: config.basic_auth,
            headers: config.headers,
            timeout: config.timeout,
        });
        match endpoint {
            Ok(endpoint) if errors.is_empty() => Ok(Alertmanager { endpoint, resolve_after, repost_every }),
            Ok(_) => Err(errors),
            Err(more) => {
                errors.extend(more);
                Err(errors)
            }
        }
    }

    /// How often an open incident must be posted again.
    pub fn repost_every(&self) -> SignedDuration {
        self.repost_every
    }

    /// Posts one alert. From `now` counts when it ends by itself; it also dates a `Retry-After` that names a time.
    ///
    /// # Errors
    /// No answer in time, no connection, an unreadable secret, or a status that is not 2xx.
    pub async fn send(&self, intent: &Intent, now: Timestamp) -> Result<(), SendError> {
        let body = &[self.posted(intent, now)];
        self.endpoint.post(Post { body, id: Some(&intent.id), secret: None }, now).await
    }

    fn posted<'a>(&self, intent: &'a Intent, now: Timestamp) -> Posted<'a> {
        let ends_at = match intent.kind {
            Kind::Resolve => intent.created_at,
            Kind::Trigger | Kind::Acknowledge => {
                now.checked_add(self.resolve_after).unwrap_or(Timestamp::MAX)
            }
        };
        let mut annotations = BTreeMap::from([("summary", intent.alert.summary.as_str())]);
        annotations.extend(intent.by.as_deref().map(|by| ("by", by)));
        Posted {
            labels: labels(intent),
            annotations,
            starts_at: intent.opened_at,
            // An alert that ends before it starts is refused; a clock that was set back must not lose the end.
            ends_at: ends_at.max(intent.opened_at),
        }
    }
}

/// What Alertmanager knows the alert by: equal for every message of an incident to a target unless the alert's own
/// labels or severity change.
fn labels(intent: &Intent) -> BTreeMap<String, &str> {
    let own = intent.alert.labels.iter().filter(|(_, value)| !value.is_empty());
    let mut labels: BTreeMap<_, _> = own.map(|(name, value)| (label_name(name), value.as_str())).collect();
    let severity = match intent.alert.severity {
        Severity::Page => "page",
        Severity::Ticket => "ticket",
    };
    for (name, value) in [
        ("alertname", intent.alert.key.as_str()),
        ("severity", severity),
        ("target", &intent.target),
        ("dedup_key", &intent.dedup_key),
    ] {
        labels.insert(name.to_owned(), value);
    }
    labels
}

/// `name` with `_` for every character that a label's name cannot hold in any version.
fn label_name(name: &str) -> String {
    let allowed = |character: char| character == '_' || character.is_ascii_alphanumeric();
    let name: String = name.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// `resolve_after`, `repost_every` and what is wrong with them.
fn times(config: &AlertmanagerConfig) -> (SignedDuration, SignedDuration, Vec<ConfigError>) {
    let resolve_after = config.resolve_after.unwrap_or(RESOLVE_AFTER);
    let longest = resolve_after / 3;
    let repost_every = config.repost_every.unwrap_or(REPOST_EVERY.min(longest));
    let mut errors = Vec::new();
    if !(SECOND * 3..=DAY).contains(&resolve_after) {
        errors.push(wrong("resolve_after", format!("is {resolve_after:#}; 3s to 24h is allowed")));
    } else if !(SECOND..=longest).contains(&repost_every) {
        let message = format!("is {repost_every:#}; 1s to {longest:#}, a third of resolve_after, is allowed");
        errors.push(wrong("repost_every", message));
    }
    (resolve_after, repost_every, errors)
}
