//! Elasticsearch and OpenSearch, one node of each.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use reqwest::{Certificate, Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::process::Process;
use super::{client, fetched, folder, free_port, script};

/// Which server, in the version that `fetch.sh` pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// Elasticsearch 9.5.
    Elasticsearch9,
    /// Elasticsearch 8.19.
    Elasticsearch8,
    /// OpenSearch 3.8.
    OpenSearch3,
}

impl Flavor {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Elasticsearch9, Self::Elasticsearch8, Self::OpenSearch3];

    /// Whose server it is.
    pub fn product(self) -> search::Product {
        match self {
            Self::Elasticsearch9 | Self::Elasticsearch8 => search::Product::Elasticsearch,
            Self::OpenSearch3 => search::Product::OpenSearch,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Elasticsearch9 => "elasticsearch9",
            Self::Elasticsearch8 => "elasticsearch8",
            Self::OpenSearch3 => "opensearch3",
        }
    }
}

/// A search server of one node, whose data outlives a stop.
#[derive(Debug)]
pub struct Search {
    flavor: Flavor,
    home: PathBuf,
    directory: TempDir,
    port: u16,
    url: String,
    settings: Vec<String>,
    password: Option<String>,
    process: Option<Process>,
}

impl Search {
    /// Starts one for a test that disturbs it, with more settings, `thread_pool.write.size=1`; waits until it answers.
    /// Nothing, said loudly, where it cannot be had.
    ///
    /// # Errors
    /// It does not start, or `CI` is set and it cannot be had.
    pub async fn start(flavor: Flavor, settings: &[&str]) -> anyhow::Result<Option<Self>> {
        Self::start_as(flavor, settings, None).await
    }

    /// The same with TLS and the user `admin` with `password`; Elasticsearch only.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_secured(flavor: Flavor, password: &str) -> anyhow::Result<Option<Self>> {
        ensure!(flavor != Flavor::OpenSearch3, "OpenSearch's core has no TLS");
        Self::start_as(flavor, &[], Some(password.to_owned())).await
    }

    /// The one of this flavor that tests of this process share: they keep apart by the names of their indices.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn shared(flavor: Flavor) -> anyhow::Result<Option<&'static Self>> {
        static SHARED: [OnceCell<Option<Search>>; 3] = [const { OnceCell::const_new() }; 3];
        let shared = SHARED[flavor as usize].get_or_try_init(|| Self::start(flavor, &[])).await?;
        Ok(shared.as_ref())
    }

    async fn start_as(
        flavor: Flavor,
        settings: &[&str],
        password: Option<String>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(home) = fetched(flavor.name()).await? else { return Ok(None) };
        let port = free_port()?;
        let scheme = if password.is_some() { "https" } else { "http" };
        let mut search = Self {
            flavor,
            home,
            directory: tempfile::tempdir_in(folder()?)?,
            port,
            url: format!("{scheme}://127.0.0.1:{port}"),
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            password,
            process: None,
        };
        search.start_again().await?;
        Ok(Some(search))
    }

    /// Where it listens, the same after each start: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Which it is.
    pub fn flavor(&self) -> Flavor {
        self.flavor
    }

    /// The authority that signed its certificate, where it has one.
    pub fn ca_file(&self) -> Option<PathBuf> {
        self.password.as_ref().map(|_| self.directory.path().join("conf/ca.crt"))
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(process) => process.stop().await,
            None => Ok(()),
        }
    }

    /// Ends it by SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Other settings, from the next start on.
    pub fn set(&mut self, settings: &[&str]) {
        self.settings = settings.iter().map(|&setting| setting.to_owned()).collect();
    }

    /// Starts what was stopped, on the same port over the same data; waits until it answers.
    ///
    /// # Errors
    /// It does not start.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        let name = format!("{}-{}", self.flavor.name(), self.port);
        let mut command = Command::new(script("search.sh"));
        command.args([&self.home, self.directory.path()]).arg(self.port.to_string()).args(&self.settings);
        match &self.password {
            Some(password) => command.env("SEARCH_PASSWORD", password),
            None => command.env("SEARCH_PASSWORD", ""),
        };
        self.process = None;
        let mut process = Process::start(&name, &command)?;
        let health = "/_cluster/health?wait_for_status=yellow&timeout=1s";
        let answers =
            async || matches!(self.request(Method::GET, health, None).await, Ok((StatusCode::OK, _)));
        process.answers(answers).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Asks it; says status and body, JSON or else text. A `body` that is a string is sent as NDJSON, as it is.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let client = match self.ca_file() {
            Some(file) => trusting(&file)?,
            None => client()?,
        };
        let mut request = client.request(method, format!("{}{path}", self.url));
        if let Some(password) = &self.password {
            request = request.basic_auth("admin", Some(password));
        }
        request = match body {
            Some(Value::String(lines)) => request.header("content-type", "application/x-ndjson").body(lines),
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// What it says to a request that is to succeed.
    ///
    /// # Errors
    /// It does not answer, or with another status than 2xx.
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let (status, said) = self.request(method, path, body).await?;
        ensure!(status.is_success(), "{path}: {status}: {said}");
        Ok(said)
    }
}

fn trusting(ca_file: &Path) -> anyhow::Result<reqwest::Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = std::fs::read(ca_file).with_context(|| format!("cannot read {}", ca_file.display()))?;
    let authority = Certificate::from_pem(&authority)?;
    Ok(reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build()?)
}
