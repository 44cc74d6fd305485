//! The bucket and how it is reached, under Vector's keys.

use std::fmt;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use settings::Table;

use crate::key::check_key;

/// Where an endpoint of one's own is, unless configured.
const DEFAULT_REGION: &str = "us-east-1";

/// An S3 bucket, proven.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Config {
    /// Name of the bucket.
    pub bucket: String,
    /// Region that requests are signed for.
    pub region: String,
    /// Base URL of the server; nothing: AWS.
    pub endpoint: Option<String>,
    /// Stands before every key; empty, or with a slash at its end.
    pub key_prefix: String,
    /// Access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// The bucket stands in the path of a URL, not in its host.
    pub force_path_style: bool,
    /// The only certificates that sign the server's, PEM; nothing: those of the system.
    pub ca: Option<Vec<u8>>,
    /// How long an answer is waited for.
    pub timeout: Duration,
}

impl S3Config {
    /// How long a connection is waited for, if the whole may take that long.
    pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(10);

    /// Reads `bucket`, `region`, `endpoint`, `key_prefix`, `auth`, `force_path_style`, `tls` and `request`; mistakes go to
    /// the table's problems.
    pub fn prove(table: &mut Table<'_>) -> Self {
        let bucket = table.required_string("bucket");
        let endpoint = table.string("endpoint");
        let (region, timeout) = (table.string("region"), timeout(table));
        if endpoint.is_none() && region.is_none() {
            table.problem("region", "this key is missing; name the region of the bucket, or an endpoint");
        }
        if endpoint.as_ref().is_some_and(|url| url.contains('@')) {
            table.problem("endpoint", "credentials do not belong into a URL; write them in auth");
        } else if let Some(wrong) = endpoint.as_ref().filter(|url| !is_url(url)) {
            table.problem("endpoint", format!("{wrong:?} is no URL; an http:// or https:// URL is expected"));
        }
        let (access_key_id, secret_access_key) = credentials(table);
        let config = Self {
            bucket,
            region: region.unwrap_or_else(|| DEFAULT_REGION.to_owned()),
            key_prefix: key_prefix(table),
            access_key_id,
            secret_access_key,
            force_path_style: table.bool_or("force_path_style", true),
            ca: certificates(table),
            timeout,
            endpoint,
        };
        if config.ca.is_some() && config.endpoint.as_ref().is_some_and(|url| url.starts_with("http://")) {
            table.problem("tls", "the endpoint is http://, so no certificate is looked at; use https://");
        }
        config
    }
}

impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, region, endpoint, key_prefix, .. } = self;
        let mut shown = f.debug_struct("S3Config");
        shown.field("bucket", bucket).field("region", region).field("endpoint", endpoint);
        shown.field("key_prefix", key_prefix).finish_non_exhaustive()
    }
}

fn is_url(text: &str) -> bool {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    host.is_some_and(|host| !host.is_empty() && !host.starts_with('/') && !text.contains(char::is_whitespace))
}

fn credentials(table: &mut Table<'_>) -> (String, String) {
    let Some(mut auth) = table.table("auth") else {
        let keys = "auth.access_key_id and auth.secret_access_key";
        table
            .problem("auth", format!("this key is missing; set {keys}: no other credentials are looked for"));
        return Default::default();
    };
    let mut secret = |key: &str| {
        let value = auth.secret(key);
        let absent = auth.node(key).is_none() && auth.node(&format!("{key}_file")).is_none();
        if absent {
            auth.problem(key, "this key is missing; expected ${VARIABLE}, or a file in its _file key");
        }
        value.unwrap_or_default()
    };
    let found = (secret("access_key_id"), secret("secret_access_key"));
    auth.finish();
    found
}

/// Keys are a function of what a segment is and of nothing else, so nothing in the prefix changes with the day.
fn key_prefix(table: &mut Table<'_>) -> String {
    let prefix = table.string("key_prefix").unwrap_or_default();
    if let Some(path) = prefix.strip_suffix('/') {
        if let Err(error) = check_key(path) {
            table.problem("key_prefix", error.to_string());
        }
    } else if !prefix.is_empty() {
        table.problem("key_prefix", "it stands before the key as it is: end it with a slash");
    }
    prefix
}

fn timeout(table: &mut Table<'_>) -> Duration {
    const DEFAULT: Duration = Duration::from_secs(60);
    let Some(mut request) = table.table("request") else { return DEFAULT };
    let timeout = request.duration_or("timeout_secs", DEFAULT);
    if timeout.is_zero() {
        request.problem("timeout_secs", "must be more than 0");
    }
    request.finish();
    timeout
}

fn certificates(table: &mut Table<'_>) -> Option<Vec<u8>> {
    let mut tls = table.table("tls")?;
    let path = tls.string("ca_file");
    let read = path.map(|path| {
        let pem = std::fs::read(&path).map_err(|error| format!("cannot read the file {path}: {error}"))?;
        prove_certificates(&pem).map(|()| pem).map_err(|why| format!("the file {path} {why}"))
    });
    let pem = match read {
        Some(Err(problem)) => {
            tls.problem("ca_file", problem);
            None
        }
        Some(Ok(pem)) => Some(pem),
        None => None,
    };
    tls.finish();
    pem
}

/// The client panics over what is no certificate.
fn prove_certificates(pem: &[u8]) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("is no PEM: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("holds a certificate that cannot be used: {error}"))?;
    }
    if roots.is_empty() { Err("holds no certificate".to_owned()) } else { Ok(()) }
}
