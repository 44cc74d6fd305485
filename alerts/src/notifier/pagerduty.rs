//! The PagerDuty notifier: one event of the Events API v2 a message.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::http::{Endpoint, EndpointConfig, Post, note, unreadable, wrong};
use super::secret::SecretSource;
use super::{Notification, SendError};
use crate::alert::Severity;
use crate::intent::{Intent, Kind};
use crate::policy::ConfigError;

/// Where events go unless the configuration says otherwise.
const DEFAULT_URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// Longest summary that the API takes, in characters.
const SUMMARY_CHARS: usize = 1024;

/// A PagerDuty integration as written in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PagerdutyConfig {
    /// The integration key of an "Events API v2" integration.
    pub routing_key: SecretSource,
    /// Where to, PagerDuty's address in the United States if absent; the European one has its own.
    #[serde(default)]
    pub url: Option<String>,
    /// Limit of one request from connect to answer, 10 s if absent; 100 ms to 60 s.
    #[serde(default)]
    pub timeout: Option<SignedDuration>,
}

/// Sends events to PagerDuty.
#[derive(Clone, Debug)]
pub struct Pagerduty {
    routing_key: SecretSource,
    endpoint: Endpoint,
}

/// The body of a request; acknowledge and resolve have no payload.
#[derive(Debug, Serialize)]
struct Event<'a> {
    routing_key: &'a str,
    event_action: &'static str,
    dedup_key: &'a str,
    client: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Link<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Payload<'a>>,
}

#[derive(Debug, Serialize)]
struct Payload<'a> {
    summary: &'a str,
    source: &'a str,
    severity: &'static str,
    timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'a str>,
    custom_details: Notification<'a>,
}

#[derive(Debug, Serialize)]
struct Link<'a> {
    href: &'a str,
    text: &'a str,
}

impl Pagerduty {
    /// Builds the client; reads the key once, so that a missing one is told at the start.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn build(config: PagerdutyConfig) -> Result<Pagerduty, Vec<ConfigError>> {
        let PagerdutyConfig { routing_key, url, timeout } = config;
        let mut errors = Vec::new();
        note(&mut errors, routing_key.read().map_err(|message| wrong("routing_key", message)));
        let url = Some(url.unwrap_or_else(|| DEFAULT_URL.to_owned()));
        match Endpoint::build(EndpointConfig { url, timeout, ..EndpointConfig::default() }) {
            Ok(endpoint) if errors.is_empty() => Ok(Pagerduty { routing_key, endpoint }),
            Ok(_) => Err(errors),
            Err(more) => Err(errors.into_iter().chain(more).collect()),
        }
    }

    /// Sends one event. `now` dates a `Retry-After` that names a time.
    ///
    /// # Errors
    /// No answer in time, no connection, an unreadable key, or a status that is not 2xx.
    pub async fn send(&self, intent: &Intent, now: Timestamp) -> Result<(), SendError> {
        let key = self.routing_key.read().map_err(unreadable)?;
        let body = &event(intent, &key);
        self.endpoint.post(Post { body, id: None, secret: Some(&key) }, now).await
    }
}

fn event<'a>(intent: &'a Intent, routing_key: &'a str) -> Event<'a> {
    let trigger = intent.kind == Kind::Trigger;
    Event {
        routing_key,
        event_action: intent.kind.as_str(),
        dedup_key: &intent.dedup_key,
        client: "headroom",
        links: if trigger { links(&intent.alert.labels) } else { Vec::new() },
        payload: trigger.then(|| payload(intent)),
    }
}

fn payload(intent: &Intent) -> Payload<'_> {
    let label = |name: &str| intent.alert.labels.get(name).map(String::as_str);
    let alert = &intent.alert;
    Payload {
        summary: cut(if alert.summary.is_empty() { &alert.key } else { &alert.summary }),
        source: &alert.key,
        severity: match alert.severity {
            Severity::Page => "critical",
            Severity::Ticket => "warning",
        },
        timestamp: intent.opened_at,
        component: label("service"),
        group: label("namespace"),
        class: label("slo"),
        custom_details: Notification::from(intent),
    }
}

/// Labels that are addresses, to be followed from the page.
fn links(labels: &BTreeMap<String, String>) -> Vec<Link<'_>> {
    let address = |value: &str| value.starts_with("https://") || value.starts_with("http://");
    let links = labels.iter().filter(|(_, value)| address(value));
    links.map(|(text, href)| Link { href, text }).collect()
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(SUMMARY_CHARS).map_or(text, |(end, _)| &text[..end])
}
