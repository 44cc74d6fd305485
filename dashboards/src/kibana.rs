//! Kibana as a client sees it: the import of saved objects, judged by what its answer says.

use std::error::Error;
use std::fmt::Write;
use std::sync::Once;

use reqwest::multipart::{Form, Part};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response, StatusCode};
use serde::Deserialize;

use crate::config::{Auth, Config};
use crate::object::SavedObject;

/// Bytes of one import. Kibana takes 25 MiB and a proxy before it often less; a dashboard has some 50 KiB.
const IMPORT_BYTES: usize = 4 << 20;

/// How much of an answer is told.
const SAID: usize = 300;

/// How many refused objects are named.
const NAMED: usize = 5;

/// A Kibana.
#[derive(Clone, Debug)]
pub struct Kibana {
    client: Client,
    base: String,
    auth: Option<Auth>,
}

/// Why dashboards are not there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No client can be made.
    #[error("cannot set up TLS for Kibana: {0}: check tls.ca_file")]
    Setup(String),
    /// No answer.
    #[error("cannot reach Kibana at {url}: {cause}: check its url and tls, and that it runs")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why.
        cause: String,
    },
    /// An answer that is not about objects.
    #[error("Kibana at {url} answers {status}: {said}: {hint}")]
    Refused {
        /// What was asked.
        url: String,
        /// Its status.
        status: StatusCode,
        /// What it said.
        said: String,
        /// What to do.
        hint: &'static str,
    },
    /// Success in the status and none in the body, or a body of something else.
    #[error("Kibana at {url} took {taken} of {sent} objects: {why}")]
    NotTaken {
        /// What was asked.
        url: String,
        /// Objects of this request that it took.
        taken: usize,
        /// Objects of this request.
        sent: usize,
        /// What it refused, and why.
        why: String,
    },
}

/// What Kibana answers to an import.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    success: bool,
    success_count: usize,
    #[serde(default)]
    errors: Vec<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    id: String,
    r#type: String,
    #[serde(default)]
    title: Option<String>,
    error: serde_json::Value,
}

impl Kibana {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(config: &Config) -> Result<Self, ImportError> {
        static PROVIDER: Once = Once::new();
        // Whoever was first has installed the same one.
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let setup = |error: reqwest::Error| ImportError::Setup(chain(&error));
        let pem = config.ca.as_deref().unwrap_or_default();
        let authorities = Certificate::from_pem_bundle(pem).map_err(setup)?;
        let client = Client::builder()
            .timeout(config.timeout)
            // A log-in page behind a redirect would look like an answer.
            .redirect(Policy::none())
            .tls_certs_merge(authorities)
            .tls_danger_accept_invalid_certs(!config.verify_certificate)
            .build()
            .map_err(setup)?;
        let base = match config.space.as_str() {
            "default" => config.url.clone(),
            space => format!("{}/s/{space}", config.url),
        };
        Ok(Self { client, base, auth: config.auth.clone() })
    }

    /// Brings `objects`, and replaces those of the same ids; returns how many. In several requests where they are many: an
    /// error then leaves what went before.
    ///
    /// # Errors
    /// It cannot be reached, refuses the request, or does not take each object.
    pub async fn import(&self, objects: &[SavedObject]) -> Result<usize, ImportError> {
        let lines: Vec<String> = objects.iter().map(|object| object.line() + "\n").collect();
        for batch in batches(&lines, IMPORT_BYTES) {
            self.import_batch(batch).await?;
        }
        Ok(objects.len())
    }

    async fn import_batch(&self, lines: &[String]) -> Result<(), ImportError> {
        let url = format!("{}/api/saved_objects/_import?overwrite=true", self.base);
        // Kibana looks at the ending.
        let file = Part::bytes(lines.concat().into_bytes()).file_name("headroom.ndjson");
        let request = self.client.post(&url).header("kbn-xsrf", "headroom");
        let request = match &self.auth {
            Some(Auth::Basic { user, password }) => request.basic_auth(user, Some(password)),
            Some(Auth::ApiKey(key)) => request.header("authorization", format!("ApiKey {key}")),
            None => request,
        };
        let answer = request.multipart(Form::new().part("file", file)).send().await;
        let unreachable =
            |error: reqwest::Error| ImportError::Unreachable { url: url.clone(), cause: chain(&error) };
        let answer = answer.map_err(unreachable)?;
        if !answer.status().is_success() {
            return Err(refused(url, answer).await);
        }
        let body = answer.text().await.map_err(unreachable)?;
        judge(&body, lines.len()).map_err(|(taken, why)| ImportError::NotTaken {
            url,
            taken,
            sent: lines.len(),
            why,
        })
    }
}

/// Whether Kibana took all `sent` objects; else how many, and why not the others.
fn judge(body: &str, sent: usize) -> Result<(), (usize, String)> {
    let answer: Answer = serde_json::from_str(body).map_err(|_| {
        let why = format!(
            "its answer is not that of an import: {}: is there something else at this URL?",
            cut(body)
        );
        (0, why)
    })?;
    let Answer { success, success_count: taken, errors } = answer;
    if success && taken == sent && errors.is_empty() {
        return Ok(());
    }
    let mut why = String::new();
    for Refusal { id, r#type, title, error } in errors.iter().take(NAMED) {
        let separator = if why.is_empty() { "" } else { "; " };
        // Writing to a string never fails.
        let _ = write!(
            why,
            "{separator}{type} {:?} ({id}): {}",
            title.as_deref().unwrap_or_default(),
            reason(error)
        );
    }
    match errors.len() {
        0 => why.push_str("it does not say which not"),
        more if more > NAMED => why.push_str(&format!("; and {} more", more - NAMED)),
        _ => {}
    }
    Err((taken, why))
}

/// Why an object was refused, and what to do.
fn reason(error: &serde_json::Value) -> String {
    let said = cut(&error.to_string());
    match error["type"].as_str() {
        Some("missing_references") => format!("what it needs is not in the space: {said}"),
        Some("unsupported_type") => format!("this Kibana does not know its type; 8.11 or later does: {said}"),
        Some("conflict" | "ambiguous_conflict") => {
            format!("another object has its id; delete that in Stack Management, Saved Objects: {said}")
        }
        _ => said,
    }
}

async fn refused(url: String, answer: Response) -> ImportError {
    let status = answer.status();
    let location = answer.headers().get("location").and_then(|to| to.to_str().ok()).map(str::to_owned);
    let body = answer.text().await.unwrap_or_default();
    let said = location.map_or_else(|| cut(&body), |to| format!("it redirects to {to}"));
    ImportError::Refused { url, status, said, hint: hint(status) }
}

fn hint(status: StatusCode) -> &'static str {
    match status.as_u16() {
        300..=399 => "set its url to where Kibana itself is",
        401 => "check auth: Kibana does not know who asks",
        403 => "check auth: it needs the privilege \"Saved Objects Management: All\" in the space",
        404 => "check its url and space: there is no Kibana, or no such space",
        413 => "let the proxy before Kibana take 5 MiB, and savedObjects.maxImportPayloadBytes be as much",
        429 | 500..=599 => "look into Kibana's own log; the same request can be sent again",
        _ => "this Kibana does not take such a request; 8.9 or later does",
    }
}

/// Groups of lines of at most `most` bytes together, and of at least one line.
fn batches(lines: &[String], most: usize) -> Vec<&[String]> {
    let mut groups = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, line) in lines.iter().enumerate() {
        if at > start && bytes + line.len() > most {
            groups.push(&lines[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += line.len();
    }
    if start < lines.len() {
        groups.push(&lines[start..]);
    }
    groups
}

fn cut(text: &str) -> String {
    text.chars().take(SAID).collect()
}

/// reqwest's own text names the URL but not the cause.
fn chain(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    if causes.is_empty() { error.to_string() } else { causes.join(": ") }
}

#[cfg(test)]
mod tests;
