//! Where Kibana is and who asks it, as it is configured.

use std::fmt;
use std::time::Duration;

use settings::Table;

use crate::service::Workload;

/// How long one request may take; an import of many dashboards takes Kibana a while.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Where Kibana is, who asks it, and what its dashboards link to: the keys `url`, `space`, `auth`, `tls`,
/// `request.timeout_secs` and `runbook_url`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Base URL, without a slash at the end.
    pub url: String,
    /// Kibana space; `default` is the one without a name in URLs.
    pub space: String,
    /// Who asks.
    pub auth: Option<Auth>,
    /// Authorities that are trusted beside the public ones, as PEM.
    pub ca: Option<Vec<u8>>,
    /// Whether the server's certificate is looked at.
    pub verify_certificate: bool,
    /// How long one request may take.
    pub timeout: Duration,
    /// Where runbooks are, with `{namespace}` and `{name}` in place of a service's.
    pub runbook_url: Option<String>,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth {
    /// A user.
    Basic {
        /// Its name.
        user: String,
        /// Its password.
        password: String,
    },
    /// An API key as Elasticsearch gives it: base64 of `id:key`.
    ApiKey(String),
}

impl Config {
    /// For a Kibana that asks nobody's name.
    pub fn new(url: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            space: "default".to_owned(),
            auth: None,
            ca: None,
            verify_certificate: true,
            timeout: TIMEOUT,
            runbook_url: None,
        }
    }

    /// Reads the keys; mistakes go to the table's problems.
    pub fn prove(mut table: Table<'_>) -> Self {
        let url = url(&mut table);
        let space = space(&mut table);
        let auth = table.table("auth").and_then(Auth::prove);
        let mut config = Self { space, auth, ..Self::new(&url) };
        if let Some(mut tls) = table.table("tls") {
            config.ca = ca(&mut tls);
            config.verify_certificate = tls.bool_or("verify_certificate", true);
            tls.finish();
        }
        if let Some(mut request) = table.table("request") {
            config.timeout = request.duration_or("timeout_secs", TIMEOUT);
            if config.timeout.is_zero() {
                request.problem("timeout_secs", "must be more than 0");
            }
            request.finish();
        }
        config.runbook_url = table.string("runbook_url");
        if config.runbook_url.as_deref().is_some_and(|url| !is_url(url)) {
            table.problem("runbook_url", "an http:// or https:// URL is expected");
        }
        table.finish();
        config
    }

    /// Where a service's runbook is.
    pub fn runbook(&self, workload: &Workload) -> Option<String> {
        let url = self.runbook_url.as_deref()?;
        Some(url.replace("{namespace}", &workload.namespace).replace("{name}", &workload.name))
    }
}

fn is_url(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

fn url(table: &mut Table<'_>) -> String {
    let text = table.required_string("url");
    match reqwest::Url::parse(&text) {
        _ if text.is_empty() => {}
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            table.problem("url", "credentials do not belong into a URL; write them in auth");
        }
        Ok(url) if is_url(&text) && url.query().is_none() && url.fragment().is_none() => {}
        _ => table.problem("url", "an http:// or https:// URL is expected, such as https://kibana:5601"),
    }
    text
}

fn space(table: &mut Table<'_>) -> String {
    let space = table.string_or("space", "default");
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    if space.is_empty() || !space.chars().all(plain) {
        table.problem(
            "space",
            format!("{space:?} is not the id of a space: lower-case letters, digits, _ and -"),
        );
    }
    space
}

fn ca(tls: &mut Table<'_>) -> Option<Vec<u8>> {
    let path = tls.string("ca_file")?;
    let read = std::fs::read(&path).map_err(|error| error.to_string());
    let proven = read.and_then(|pem| match reqwest::Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if certificates.is_empty() => Err("it holds no certificate".to_owned()),
        Ok(_) => Ok(pem),
        Err(error) => Err(format!("it is not PEM: {error}")),
    });
    proven.map_err(|why| tls.problem("ca_file", format!("cannot read certificates from {path}: {why}"))).ok()
}

impl Auth {
    fn prove(mut table: Table<'_>) -> Option<Self> {
        let auth = match table.one_of("strategy", &["basic", "api_key"], None) {
            Some("basic") => {
                let user = table.required_string("user");
                secret(&mut table, "password").map(|password| Self::Basic { user, password })
            }
            Some(_) => secret(&mut table, "api_key").map(Self::ApiKey),
            None => return None,
        };
        table.finish();
        auth
    }
}

fn secret(table: &mut Table<'_>, key: &str) -> Option<String> {
    let secret = table.secret(key);
    if table.node(key).is_none() && table.node(&format!("{key}_file")).is_none() {
        table.problem(
            key,
            format!("this key is missing; set it to ${{VARIABLE}}, or name a file in {key}_file"),
        );
    }
    if secret.as_deref().is_some_and(|secret| secret.bytes().any(|byte| byte.is_ascii_control())) {
        table.problem(key, "holds a control character, which no header can");
    }
    secret
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { user, .. } => f.debug_struct("Basic").field("user", user).finish_non_exhaustive(),
            Self::ApiKey(_) => f.write_str("ApiKey(..)"),
        }
    }
}

#[cfg(test)]
mod tests;
