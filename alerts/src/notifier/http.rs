//! What the notifiers that speak HTTP share: one `POST` of JSON, its secrets, its limits, and what an answer means.

mod config;

use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, Url};
use serde::Serialize;

use super::SendError;
use super::secret::SecretSource;
use crate::id::IntentId;
use crate::policy::ConfigError;

pub use config::BasicAuthConfig;
pub(crate) use config::{EndpointConfig, note, wrong};

/// How much of a refusal's body is kept for people to read, in characters.
const REASON_CHARS: usize = 200;

/// Where a notifier posts to.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    place: Place,
    /// Segments that are added to the path of the URL.
    below: &'static [&'static str],
    headers: Vec<(HeaderName, Value)>,
    client: Client,
}

#[derive(Clone, Debug)]
enum Place {
    Plain(Url),
    Secret(SecretSource),
}

/// Where a header's value comes from.
#[derive(Clone, Debug)]
enum Value {
    Plain(SecretSource),
    Bearer(SecretSource),
    Basic(String, SecretSource),
}

/// One message.
pub(crate) struct Post<'a, B> {
    /// Sent as JSON.
    pub(crate) body: &'a B,
    /// Sent as `Idempotency-Key`.
    pub(crate) id: Option<&'a IntentId>,
    /// What the body holds that must not be shown.
    pub(crate) secret: Option<&'a str>,
}

impl Endpoint {
    /// Builds the client; reads every secret once, so that a missing one is told at the start.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub(crate) fn build(config: EndpointConfig) -> Result<Endpoint, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let place = note(&mut errors, config.place());
        let headers = config.headers(&mut errors);
        let timeout = note(&mut errors, config.timeout());
        let (Some((place, url)), Some(timeout), true) = (place, timeout, errors.is_empty()) else {
            return Err(errors);
        };
        match config::client(&url, timeout) {
            Ok(client) => Ok(Endpoint { place, below: config.below, headers, client }),
            Err(cause) => Err(vec![wrong("", format!("cannot set up a TLS client: {cause}"))]),
        }
    }

    /// Sends one message. `now` dates a `Retry-After` that names a time.
    ///
    /// # Errors
    /// No answer in time, no connection, an unreadable secret, or a status that is not 2xx.
    pub(crate) async fn post<B: Serialize>(
        &self,
        post: Post<'_, B>,
        now: Timestamp,
    ) -> Result<(), SendError> {
        let url = self.url().map_err(unreadable)?;
        let (headers, mut secrets) = self.header_values().map_err(unreadable)?;
        secrets.extend(post.secret.map(str::to_owned));
        if let Place::Secret(_) = self.place {
            let path = url.path().trim_matches('/').to_owned();
            secrets.extend([url.to_string(), path].into_iter().filter(|secret| !secret.is_empty()));
        }
        let mut request = self.client.post(url).headers(headers);
        if let Some(id) = post.id {
            request = request.header("idempotency-key", &id.0);
        }
        match request.json(post.body).send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(failure(answer, &secrets, now).await),
            Err(cause) => {
                let cause = anyhow::Error::new(cause.without_url());
                Err(SendError::Retry { after: None, reason: format!("no answer to a POST: {cause:#}") })
            }
        }
    }

    fn url(&self) -> Result<Url, String> {
        let mut url = match &self.place {
            Place::Plain(url) => url.clone(),
            Place::Secret(source) => config::url(&source.read()?)?,
        };
        if let (Ok(mut path), false) = (url.path_segments_mut(), self.below.is_empty()) {
            path.pop_if_empty().extend(self.below);
        }
        Ok(url)
    }

    /// The headers, and the secrets in them.
    fn header_values(&self) -> Result<(HeaderMap, Vec<String>), String> {
        let (mut headers, mut secrets) = (HeaderMap::new(), Vec::new());
        for (name, value) in &self.headers {
            let (value, secret) = value.read()?;
            headers.insert(name, value);
            secrets.extend(secret);
        }
        Ok((headers, secrets))
    }
}

impl Value {
    /// The header's value, and what of it must not be shown.
    fn read(&self) -> Result<(HeaderValue, Vec<String>), String> {
        let (text, secrets) = match self {
            Value::Plain(source) => {
                let secret = source.read()?;
                (secret.clone(), vec![secret])
            }
            Value::Bearer(source) => {
                let secret = source.read()?;
                (format!("Bearer {secret}"), vec![secret])
            }
            Value::Basic(user, source) => {
                let password = source.read()?;
                let pair = base64(&format!("{user}:{password}"));
                (format!("Basic {pair}"), vec![password, pair])
            }
        };
        let mut value =
            HeaderValue::try_from(text).map_err(|_| "holds a character that no HTTP header can carry")?;
        value.set_sensitive(true);
        Ok((value, secrets))
    }
}

fn base64(text: &str) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine};
    BASE64_STANDARD.encode(text)
}

/// A secret that cannot be read may be mended.
pub(crate) fn unreadable(reason: String) -> SendError {
    SendError::Retry { after: None, reason }
}

/// What an answer that is no success means, with the beginning of its body as the reason, secrets cut out.
async fn failure(mut answer: Response, secrets: &[String], now: Timestamp) -> SendError {
    let status = answer.status();
    let after = answer.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?, now));
    let body = answer.chunk().await.ok().flatten().unwrap_or_default();
    let mut text = String::from_utf8_lossy(&body).into_owned();
    for secret in secrets {
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
