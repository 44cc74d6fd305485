//! How a cluster is reached, as it is configured.

use std::fmt;
use std::time::Duration;

use elasticsearch::http::Url;
use settings::{Problem, Table};

/// How a cluster is reached: the keys `endpoints`, `auth`, `tls` and `request.timeout_secs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// Base URLs, without a slash at the end; the first that can be reached is used.
    pub endpoints: Vec<String>,
    /// Who asks.
    pub auth: Option<Auth>,
    /// Certificates.
    pub tls: Tls,
    /// How long a call may take.
    pub timeout: Duration,
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

/// Certificates, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Tls {
    /// Authorities that are trusted beside the public ones.
    pub ca: Option<Vec<u8>>,
    /// Our own certificate and its key.
    pub identity: Option<Vec<u8>>,
    /// Whether the server's certificate is looked at.
    pub verify: bool,
}

impl ClientConfig {
    /// Without credentials and with the defaults.
    pub fn new(endpoints: Vec<String>) -> Self {
        Self { endpoints, auth: None, tls: Tls::default(), timeout: Duration::from_secs(60) }
    }

    /// Reads the keys; mistakes go to the table's problems.
    pub fn prove(table: &mut Table<'_>) -> Self {
        let endpoints = endpoints(table);
        let auth = table.table("auth").and_then(Auth::prove);
        let tls = table.table("tls").map(Tls::prove).unwrap_or_default();
        let mut config = Self { auth, tls, ..Self::new(endpoints) };
        if let Some(mut request) = table.table("request") {
            config.timeout = request.duration_or("timeout_secs", config.timeout);
            if config.timeout.is_zero() {
                request.problem("timeout_secs", "must be more than 0");
            }
            request.finish();
        }
        config
    }
}

fn endpoints(table: &mut Table<'_>) -> Vec<String> {
    table.required_strings("endpoints");
    let mut endpoints = Vec::new();
    for node in table.texts("endpoints") {
        let text = node.as_str().unwrap_or_default();
        match endpoint(text) {
            Ok(()) => endpoints.push(text.trim_end_matches('/').to_owned()),
            Err(problem) => table.problems().push(Problem::at(node, problem)),
        }
    }
    endpoints
}

fn endpoint(text: &str) -> Result<(), &'static str> {
    let wrong = "an http:// or https:// URL is expected, such as https://elasticsearch:9200";
    let url = Url::parse(text).map_err(|_| wrong)?;
    if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("credentials do not belong into a URL; write them in auth");
    }
    Ok(())
}

// === impl Auth ===

impl Auth {
    fn prove(mut table: Table<'_>) -> Option<Self> {
        let auth = match table.one_of("strategy", &["basic", "api_key"], None) {
            Some("basic") => {
                let user = table.required_string("user");
                Self::secret(&mut table, "password").map(|password| Self::Basic { user, password })
            }
            Some(_) => Self::secret(&mut table, "api_key").map(Self::ApiKey),
            None => return None,
        };
        table.finish();
        auth
    }

    fn secret(table: &mut Table<'_>, key: &str) -> Option<String> {
        let secret = table.secret(key);
        let (there, file) = (table.node(key).is_some(), table.node(&format!("{key}_file")).is_some());
        if !there && !file {
            table.problem(
                key,
                format!("this key is missing; set it to ${{VARIABLE}}, or name a file in {key}_file"),
            );
        }
        if let Some(secret) = &secret
            && secret.bytes().any(|byte| byte.is_ascii_control())
        {
            table.problem(key, "holds a control character, which no header can");
        }
        secret
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { user, .. } => f.debug_struct("Basic").field("user", user).finish_non_exhaustive(),
            Self::ApiKey(_) => f.write_str("ApiKey(..)"),
        }
    }
}

// === impl Tls ===

impl Tls {
    fn prove(mut table: Table<'_>) -> Self {
        let ca = pem(&mut table, "ca_file");
        let crt = pem(&mut table, "crt_file");
        let key = pem(&mut table, "key_file");
        for (one, other) in [("crt_file", "key_file"), ("key_file", "crt_file")] {
            if table.node(one).is_some() && table.node(other).is_none() {
                table.problem(one, format!("{other} is missing: a certificate and its key belong together"));
            }
        }
        let verify = table.bool_or("verify_certificate", true);
        table.finish();
        let identity = crt.zip(key).map(|(crt, key)| [crt, b"\n".to_vec(), key].concat());
        Self { ca, identity, verify }
    }
}

fn pem(table: &mut Table<'_>, key: &str) -> Option<Vec<u8>> {
    let path = table.string(key)?;
    let problem = match std::fs::read(&path) {
        Ok(pem) if pem.windows(11).any(|bytes| bytes == b"-----BEGIN ") => return Some(pem),
        Ok(_) => format!("the file {path} holds no PEM (-----BEGIN …)"),
        Err(error) => format!("cannot read the file {path}: {error}"),
    };
    table.problem(key, problem);
    None
}

impl Default for Tls {
    fn default() -> Self {
        Self { ca: None, identity: None, verify: true }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca.is_some())
            .field("identity", &self.identity.is_some())
            .field("verify", &self.verify)
            .finish()
    }
}
