//! What makes an endpoint provable: a URL without credentials, secrets that can be read, a timeout in its limits.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::SignedDuration;
use reqwest::header::{AUTHORIZATION, HeaderName};
use reqwest::{Client, Url, redirect};
use serde::{Deserialize, Serialize};

use super::{Place, Value};
use crate::notifier::secret::SecretSource;
use crate::policy::ConfigError;

/// What the configuration of a notifier says about HTTP.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndpointConfig {
    pub(crate) url: Option<String>,
    pub(crate) url_from: Option<SecretSource>,
    /// Segments to add to the path of the URL.
    pub(crate) below: &'static [&'static str],
    pub(crate) bearer_token: Option<SecretSource>,
    pub(crate) basic_auth: Option<BasicAuthConfig>,
    pub(crate) headers: BTreeMap<String, SecretSource>,
    pub(crate) timeout: Option<SignedDuration>,
}

/// User and password of HTTP basic authentication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BasicAuthConfig {
    /// The user's name, without a colon.
    pub user: String,
    /// The password.
    pub password: SecretSource,
}

impl EndpointConfig {
    pub(super) fn place(&self) -> Result<(Place, Url), ConfigError> {
        match (&self.url, &self.url_from) {
            (Some(text), None) => {
                let url = url(text).map_err(|message| wrong("url", message))?;
                Ok((Place::Plain(url.clone()), url))
            }
            (None, Some(source)) => {
                let url = source.read().and_then(|text| url(&text));
                let url = url.map_err(|message| wrong("url_from", message))?;
                Ok((Place::Secret(source.clone()), url))
            }
            _ => Err(wrong("url", "exactly one of url and url_from is needed")),
        }
    }

    pub(super) fn headers(&self, errors: &mut Vec<ConfigError>) -> Vec<(HeaderName, Value)> {
        let mut headers = Vec::new();
        if let Some(token) = &self.bearer_token {
            let value = Value::Bearer(token.clone());
            note(errors, proven(&value, "bearer_token"));
            headers.push((AUTHORIZATION, value));
        }
        if let Some(BasicAuthConfig { user, password }) = &self.basic_auth {
            let value = Value::Basic(user.clone(), password.clone());
            note(errors, proven(&value, "basic_auth.password"));
            if self.bearer_token.is_some() {
                errors.push(wrong("basic_auth", "is there beside bearer_token; one of the two is allowed"));
            }
            if user.is_empty() || user.contains(':') {
                errors.push(wrong("basic_auth.user", "is empty or holds a colon"));
            }
            headers.push((AUTHORIZATION, value));
        }
        for (name, source) in &self.headers {
            let (path, value) = (format!("headers.{name}"), Value::Plain(source.clone()));
            note(errors, proven(&value, &path));
            let name = name.parse().map_err(|_| wrong(&path, "is no name of an HTTP header"));
            headers.extend(note(errors, name).map(|name| (name, value)));
        }
        headers
    }

    pub(super) fn timeout(&self) -> Result<Duration, ConfigError> {
        let timeout = self.timeout.unwrap_or(SignedDuration::from_secs(10));
        let allowed = SignedDuration::from_millis(100)..=SignedDuration::from_secs(60);
        let proven = Duration::try_from(timeout).ok().filter(|_| allowed.contains(&timeout));
        proven.ok_or_else(|| wrong("timeout", format!("is {timeout:#}; 100ms to 60s is allowed")))
    }
}

fn proven(value: &Value, path: &str) -> Result<(), ConfigError> {
    value.read().map(drop).map_err(|message| wrong(path, message))
}

/// Says what is wrong without repeating the text, which may be a secret.
pub(super) fn url(text: &str) -> Result<Url, String> {
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

pub(super) fn client(url: &Url, timeout: Duration) -> reqwest::Result<Client> {
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

pub(crate) fn note<T>(errors: &mut Vec<ConfigError>, result: Result<T, ConfigError>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}

pub(crate) fn wrong(path: &str, message: impl Into<String>) -> ConfigError {
    ConfigError { path: path.to_owned(), message: message.into() }
}
