//! The webhook notifier: one `POST` a message, with the intent's id as `Idempotency-Key`.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::http::{Endpoint, EndpointConfig, Post};
use super::secret::SecretSource;
use super::{Notification, SendError};
use crate::intent::Intent;
use crate::policy::ConfigError;

/// A webhook as written in a configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Where to, `https://…` or `http://…`, without user and password.
    #[serde(default)]
    pub url: Option<String>,
    /// The same for a URL that is itself a secret. Exactly one of the two is set.
    #[serde(default)]
    pub url_from: Option<SecretSource>,
    /// Sent as `Authorization: Bearer …`.
    #[serde(default)]
    pub bearer_token: Option<SecretSource>,
    /// More headers, by name.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretSource>,
    /// Limit of one request from connect to answer, 10 s if absent; 100 ms to 60 s.
    #[serde(default)]
    pub timeout: Option<SignedDuration>,
}

/// Posts to a URL.
#[derive(Clone, Debug)]
pub struct Webhook {
    endpoint: Endpoint,
}

impl Webhook {
    /// Builds the client; reads every secret once, so that a missing one is told at the start.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn build(config: WebhookConfig) -> Result<Webhook, Vec<ConfigError>> {
        let WebhookConfig { url, url_from, bearer_token, headers, timeout } = config;
        let config = EndpointConfig { url, url_from, bearer_token, headers, timeout, ..Default::default() };
        Ok(Webhook { endpoint: Endpoint::build(config)? })
    }

    /// Sends one message. `now` dates a `Retry-After` that names a time.
    ///
    /// # Errors
    /// No answer in time, no connection, an unreadable secret, or a status that is not 2xx.
    pub async fn send(&self, intent: &Intent, now: Timestamp) -> Result<(), SendError> {
        let body = &Notification::from(intent);
        self.endpoint.post(Post { body, id: Some(&intent.id), secret: None }, now).await
    }
}
