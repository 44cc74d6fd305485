//! The client: the only place of the crate that talks to a server.

mod walk;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine;
use bytes::Bytes;
use elasticsearch::auth::{ClientCertificate, Credentials};
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::headers::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use elasticsearch::http::response::Response;
use elasticsearch::http::transport::{BuildError, SingleNodeConnectionPool, Transport, TransportBuilder};
use elasticsearch::http::{Method, Url};
use serde_json::Value;

use crate::answer::Answer;
use crate::bulk::{Bulk, BulkError, Outcome, gzip, outcomes};
use crate::config::{Auth, ClientConfig};
use crate::error::SearchError;
use crate::name::Daily;

pub use walk::Walk;

/// The longest that a server may ask to be left alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// A cluster. Clones share their connections.
///
/// Every call names a path below the endpoint, such as `_index_template/x?pretty=false`, already percent-encoded. Calls
/// can be repeated without harm, so one that cannot reach an endpoint goes to the next one at once.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    endpoints: Vec<Endpoint>,
    /// The one that answered last.
    preferred: AtomicUsize,
}

#[derive(Debug)]
struct Endpoint {
    url: String,
    transport: Transport,
}

/// What is sent.
struct Request<'a> {
    method: Method,
    path: &'a str,
    content_type: HeaderValue,
    body: Option<Bytes>,
    gzip: bool,
}

impl Client {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// A certificate, a key or a credential cannot be used.
    pub fn new(config: &ClientConfig) -> Result<Self, SearchError> {
        let endpoint = |url: &String| {
            let transport = transport(url, config).map_err(|error| {
                SearchError::unavailable(format!("cannot set up a client for {url}: {error}"))
            })?;
            Ok(Endpoint { url: url.clone(), transport })
        };
        let endpoints = config.endpoints.iter().map(endpoint).collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() {
            return Err(SearchError::unavailable("no endpoint is configured"));
        }
        Ok(Self { inner: Arc::new(Inner { endpoints, preferred: AtomicUsize::new(0) }) })
    }

    /// `GET`.
    ///
    /// # Errors
    /// No success; what is not there is [`SearchError::is_missing`].
    pub async fn get(&self, path: &str) -> Result<Value, SearchError> {
        self.call(Method::Get, path, None).await?.json()
    }

    /// `PUT` of a JSON body.
    ///
    /// # Errors
    /// No success.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, SearchError> {
        self.call(Method::Put, path, Some(body)).await?.json()
    }

    /// `POST`, with a JSON body or none.
    ///
    /// # Errors
    /// No success.
    pub async fn post(&self, path: &str, body: Option<&Value>) -> Result<Value, SearchError> {
        self.call(Method::Post, path, body).await?.json()
    }

    /// `DELETE`.
    ///
    /// # Errors
    /// No success; what is not there is [`SearchError::is_missing`].
    pub async fn delete(&self, path: &str) -> Result<Value, SearchError> {
        self.call(Method::Delete, path, None).await?.json()
    }

    /// Whether something is there (`HEAD`).
    ///
    /// # Errors
    /// Neither a success nor a 404.
    pub async fn exists(&self, path: &str) -> Result<bool, SearchError> {
        match self.call(Method::Head, path, None).await?.success() {
            Ok(()) => Ok(true),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes what was written to an index, alias or pattern visible to searches.
    ///
    /// # Errors
    /// No success.
    pub async fn refresh(&self, index: &str) -> Result<(), SearchError> {
        self.post(&format!("{index}/_refresh"), None).await.map(drop)
    }

    /// The days that are there, with the names of their indices, oldest first.
    ///
    /// # Errors
    /// No success.
    pub async fn days(&self, daily: &Daily) -> Result<Vec<(jiff::civil::Date, String)>, SearchError> {
        let path = format!("_cat/indices/{}?format=json&h=index&expand_wildcards=all", daily.wildcard());
        let listed = self.get(&path).await?;
        let names = listed.as_array().into_iter().flatten().filter_map(|row| row.get("index")?.as_str());
        let mut days: Vec<_> = names.filter_map(|name| Some((daily.day(name)?, name.to_owned()))).collect();
        days.sort();
        Ok(days)
    }

    /// Sends a bulk request and says of each item, in their order, what became of it.
    ///
    /// # Errors
    /// Nothing is known of the single items: they may be written or not.
    pub async fn bulk(&self, bulk: &Bulk, compress: bool) -> Result<Vec<Outcome>, BulkError> {
        if bulk.is_empty() {
            return Ok(Vec::new());
        }
        let retry = |reason: String| BulkError::Retry { after: None, reason };
        let body = match compress {
            true => gzip(bulk.body())
                .map_err(|error| retry(format!("cannot compress a request: {error}")))?
                .into(),
            false => Bytes::copy_from_slice(bulk.body()),
        };
        let request = Request {
            method: Method::Post,
            path: "_bulk?filter_path=errors,items.*.status,items.*.error",
            content_type: NDJSON,
            body: Some(body),
            gzip: compress,
        };
        outcomes(&self.ask(&request).await.map_err(|error| retry(error.to_string()))?, bulk.len())
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, SearchError> {
        let body = body.map(|body| body.to_string().into());
        self.ask(&Request { method, path, content_type: JSON, body, gzip: false }).await
    }

    /// Asks the endpoint that answered last, and the others in turn while none can be reached.
    async fn ask(&self, request: &Request<'_>) -> Result<Answer, SearchError> {
        let Inner { endpoints, preferred } = &*self.inner;
        let first = preferred.load(Ordering::Relaxed);
        let mut failures = Vec::new();
        for turn in 0..endpoints.len() {
            let at = (first + turn) % endpoints.len();
            match endpoints[at].ask(request).await {
                Ok(answer) => {
                    // A node that is draining, or whose proxy finds nobody behind it, is not the one to ask next.
                    let is_away = matches!(answer.status, 502..=504);
                    preferred.store((at + usize::from(is_away)) % endpoints.len(), Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(failure) => {
                    preferred.store((at + 1) % endpoints.len(), Ordering::Relaxed);
                    failures.push(failure.reason);
                    // It may be at work on the request: another one would have to do it too.
                    if failure.timeout {
                        break;
                    }
                }
            }
        }
        Err(SearchError::unavailable(failures.join("; ")))
    }
}

struct Failure {
    timeout: bool,
    reason: String,
}

// === impl Endpoint ===

impl Endpoint {
    async fn ask(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, request.content_type.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("headroom/", env!("CARGO_PKG_VERSION"))));
        if request.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let Request { method, path, body, .. } = request;
        let sent = self.transport.send(*method, path, headers, None::<&()>, body.clone(), None).await;
        let response = sent.map_err(|error| self.failure(&error))?;
        let (status, retry_after) = (response.status_code().as_u16(), retry_after(&response));
        let body = response.bytes().await.map_err(|error| self.failure(&error))?;
        Ok(Answer { endpoint: self.url.clone(), status, retry_after, body })
    }

    fn failure(&self, error: &elasticsearch::Error) -> Failure {
        // The outer texts name the URL; the innermost one names the cause.
        let mut cause: &dyn Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let timeout = error.is_timeout();
        let what = if timeout { "no answer in time from" } else { "cannot reach" };
        Failure { timeout, reason: format!("{what} {}: {cause}", self.url) }
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds: u64 = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

fn transport(url: &str, config: &ClientConfig) -> Result<Transport, Box<dyn Error>> {
    let pool = SingleNodeConnectionPool::new(Url::parse(url)?);
    let mut builder =
        TransportBuilder::new(pool).timeout(config.timeout).disable_proxy().enable_meta_header(false);
    if let Some(auth) = &config.auth {
        builder = builder.header(AUTHORIZATION, authorization(auth)?);
    }
    // The client's own slot for credentials holds one kind, and a certificate may come with a user.
    if let Some(identity) = &config.tls.identity {
        builder = builder.auth(Credentials::Certificate(ClientCertificate::Pem(identity.clone())));
    }
    builder = match (&config.tls.ca, config.tls.verify) {
        (_, false) => builder.cert_validation(CertificateValidation::None),
        (Some(ca), true) => builder.cert_validation(CertificateValidation::Full(Certificate::from_pem(ca)?)),
        (None, true) => builder,
    };
    builder.build().map_err(|error| match error {
        BuildError::Cert(error) => error.into(),
        other => other.into(),
    })
}

fn authorization(auth: &Auth) -> Result<HeaderValue, Box<dyn Error>> {
    let text = match auth {
        Auth::Basic { user, password } => {
            let pair = format!("{user}:{password}");
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        }
        Auth::ApiKey(key) => format!("ApiKey {key}"),
    };
    let mut value = HeaderValue::try_from(text)?;
    value.set_sensitive(true);
    Ok(value)
}
