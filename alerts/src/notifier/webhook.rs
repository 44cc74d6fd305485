//! The webhook notifier: one `POST` a message, with the intent's id as `Idempotency-Key`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, Url, redirect};
use serde::{Deserialize, Serialize};

use super::secret::SecretSource;
use super::{Notification, SendError};
use crate::intent::Intent;
use crate::policy::ConfigError;

/// How much of a refusal's body is kept for people to read, in characters.
const REASON_CHARS: usize = 200;

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
    url: Place,
    /// Headers with their values' sources; the flag says that the value is a bearer token.
    headers: Vec<(HeaderName, SecretSource, bool)>,
    client: Client,
}

#[derive(Clone, Debug)]
enum Place {
    Plain(Url),
    Secret(SecretSource),
}

impl Webhook {
    /// Builds the client; reads every secret once, so that a missing one is told at the start.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn build(config: WebhookConfig) -> Result<Webhook, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let place = note(&mut errors, place(&config));
        let headers = headers(&config, &mut errors);
        let timeout = note(&mut errors, timeout(config.timeout));
        let (Some((place, url)), Some(timeout), true) = (place, timeout, errors.is_empty()) else {
            return Err(errors);
        };
        match client(&url, timeout) {
            Ok(client) => Ok(Webhook { url: place, headers, client }),
            Err(cause) => Err(vec![wrong("", format!("cannot set up a TLS client: {cause}"))]),
        }
    }

    /// Sends one message. `now` dates a `Retry-After` that names a time.
    ///
    /// # Errors
    /// No answer in time, no connection, an unreadable secret, or a status that is not 2xx.
    pub async fn send(&self, intent: &Intent, now: Timestamp) -> Result<(), SendError> {
        let unreadable = |reason| SendError::Retry { after: None, reason };
        let url = self.url.read().map_err(unreadable)?;
        let headers = self.header_values().map_err(unreadable)?;
        let request = self.client.post(url).headers(headers.clone()).header("idempotency-key", &intent.id.0);
        match request.json(&Notification::from(intent)).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(failure(answer, &headers, now).await),
            Err(cause) => {
                let cause = anyhow::Error::new(cause.without_url());
                Err(SendError::Retry { after: None, reason: format!("no answer to a POST: {cause:#}") })
            }
        }
    }

    fn header_values(&self) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        for (name, source, bearer) in &self.headers {
            headers.insert(name, header_value(source, *bearer)?);
        }
        Ok(headers)
    }
}

impl Place {
    fn read(&self) -> Result<Url, String> {
        match self {
            Place::Plain(url) => Ok(url.clone()),
            Place::Secret(source) => url(&source.read()?),
        }
    }
}

/// What an answer that is no success means, with the beginning of its body as the reason, secrets cut out.
async fn failure(mut answer: Response, sent: &HeaderMap, now: Timestamp) -> SendError {
    let status = answer.status();
    let after = answer.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?, now));
    let body = answer.chunk().await.ok().flatten().unwrap_or_default();
    let mut text = String::from_utf8_lossy(&body).into_owned();
    for secret in sent.values().filter_map(|value| value.to_str().ok()) {
        let secret = secret.strip_prefix("Bearer ").unwrap_or(secret);
        text = text.replace(secret, "***");
    }
    let text: String = text.chars().take(REASON_CHARS).collect();
    SendError::from_status(
        status.as_u16(),
        after,
        format!("answer {status} to a POST: {}", text.escape_debug()),
    )
}

/// `Retry-After`: seconds, or an HTTP date, as in RFC 9110 section 10.2.3. A time that is over is no wait.
fn retry_after(value: &str, now: Timestamp) -> Option<SignedDuration> {
    if let Ok(seconds) = value.trim().parse::<u32>() {
        return Some(SignedDuration::from_secs(i64::from(seconds)));
    }
    let at = rfc2822::parse(value).ok()?.timestamp();
    Some(at.duration_since(now).max(SignedDuration::ZERO))
}

fn client(url: &Url, timeout: Duration) -> reqwest::Result<Client> {
    // The first provider that a process installs stays; that someone else was first is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().timeout(timeout).redirect(redirect::Policy::none());
    let client = client.user_agent(concat!("headroom/", env!("CARGO_PKG_VERSION")));
    // A proxy from the environment would look for a loopback address on its own machine.
    if is_loopback(url) { client.no_proxy().build() } else { client.build() }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

// === configuration ===

fn place(config: &WebhookConfig) -> Result<(Place, Url), ConfigError> {
    match (&config.url, &config.url_from) {
        (Some(text), None) => {
            let url = url(text).map_err(|message| wrong("url", message))?;
            Ok((Place::Plain(url.clone()), url))
        }
        (None, Some(source)) => {
            let url =
                source.read().and_then(|text| url(&text)).map_err(|message| wrong("url_from", message))?;
            Ok((Place::Secret(source.clone()), url))
        }
        _ => Err(wrong("url", "exactly one of url and url_from is needed")),
    }
}

/// Says what is wrong without repeating the text, which may be a secret.
fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|cause| format!("is no URL: {cause}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("has the scheme {}; http and https are allowed", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "holds a user or password in plain text; name an environment variable or file in headers".into(),
        );
    }
    Ok(url)
}

fn headers(config: &WebhookConfig, errors: &mut Vec<ConfigError>) -> Vec<(HeaderName, SecretSource, bool)> {
    let mut headers = Vec::new();
    if let Some(token) = &config.bearer_token {
        note(errors, header_value(token, true).map_err(|message| wrong("bearer_token", message)));
        headers.push((AUTHORIZATION, token.clone(), true));
    }
    for (name, source) in &config.headers {
        let path = format!("headers.{name}");
        note(errors, header_value(source, false).map_err(|message| wrong(&path, message)));
        let proven = name.parse().map_err(|_| wrong(&path, "is no name of an HTTP header"));
        headers.extend(note(errors, proven).map(|name| (name, source.clone(), false)));
    }
    headers
}

fn header_value(source: &SecretSource, bearer: bool) -> Result<HeaderValue, String> {
    let secret = source.read()?;
    let text = if bearer { format!("Bearer {secret}") } else { secret };
    let mut value =
        HeaderValue::try_from(text).map_err(|_| "holds a character that no HTTP header can carry")?;
    value.set_sensitive(true);
    Ok(value)
}

fn timeout(timeout: Option<SignedDuration>) -> Result<Duration, ConfigError> {
    let timeout = timeout.unwrap_or(SignedDuration::from_secs(10));
    let allowed = SignedDuration::from_millis(100)..=SignedDuration::from_secs(60);
    let proven = Duration::try_from(timeout).ok().filter(|_| allowed.contains(&timeout));
    proven.ok_or_else(|| wrong("timeout", format!("is {timeout:#}; 100ms to 60s is allowed")))
}

fn note<T>(errors: &mut Vec<ConfigError>, result: Result<T, ConfigError>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}

fn wrong(path: &str, message: impl Into<String>) -> ConfigError {
    ConfigError { path: path.to_owned(), message: message.into() }
}
