//! Headroom as its chart installs it, with real servers behind it that pods reach by the address of their bridge.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};
use tests::oracle::{Found, found};
use tests::program::within;
use tests::root;
use tests::servers::{Alertmanager, Flavor, Forward, Inbox, S3, Search};

use crate::cluster::{SOON, apply, get, helm, kubectl};
use crate::load::pod_folders;

/// Where pods reach what runs beside the control plane.
const BRIDGE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 90, 0, 1));

/// The engine's address: there is no cluster DNS.
const ENGINE: &str = "10.96.0.80";

/// Name of the release.
pub(crate) const RELEASE: &str = "headroom";

/// An installed release, in a namespace and an environment of its own.
pub(crate) struct Product {
    /// Where documents go.
    pub(crate) search: &'static Search,
    /// A webhook that is told.
    pub(crate) inbox: Inbox,
    /// Its namespace, which is also the name of its environment.
    pub(crate) name: String,
    s3: S3,
    alertmanager: Alertmanager,
    values: Value,
    _forwards: Vec<Forward>,
}

impl Product {
    /// Installs it with values that differ by `other`; waits until all of it is ready. Nothing, said loudly, where a server
    /// cannot be had.
    pub(crate) async fn install(name: &str, other: &Value) -> Result<Option<Self>> {
        Self::leave_nothing().await?;
        let inbox = Inbox::start().await?;
        let (search, s3, alertmanager) =
            tokio::try_join!(Search::shared(Flavor::Elasticsearch9), S3::start(), Alertmanager::start(None))?;
        let (Some(search), Some(s3), Some(alertmanager)) = (search, s3, alertmanager) else {
            return Ok(None);
        };
        s3.create_bucket("lines").await?;
        let mut forwards = Vec::new();
        for url in [search.url(), s3.url(), inbox.url(), alertmanager.url()] {
            forwards.push(Forward::start(BRIDGE, url).await?);
        }
        let urls: Vec<String> = forwards.iter().map(Forward::url).collect();
        let mut values = values(name, &urls);
        merge(&mut values, other);
        let product =
            Self { search, inbox, name: name.to_owned(), s3, alertmanager, values, _forwards: forwards };
        let secret = json!({ "id": S3::ACCESS_KEY_ID, "secret": S3::SECRET_ACCESS_KEY });
        apply(&json!({ "apiVersion": "v1", "kind": "List", "items": [
            { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } },
            { "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "bucket", "namespace": name },
              "stringData": secret },
        ] }))
        .await?;
        product.helm("install", &json!({})).await?;
        Ok(Some(product))
    }

    /// Removes what other scenarios have left, and waits until the kubelets have done so too: an empty cluster.
    pub(crate) async fn leave_nothing() -> Result<()> {
        // What a scenario that failed has left.
        let left = helm(&["list", "--all-namespaces", "--output", "json"]).await?;
        for release in serde_json::from_str::<Value>(&left)?.as_array().into_iter().flatten() {
            remove(release["namespace"].as_str().context("a release has a namespace")?).await?;
        }
        // A new collector would read their logs, too.
        let gone = async || {
            let namespaces = kubectl(&["get", "namespaces", "--output", "name"]).await?;
            let is_there = |name: &str| namespaces.lines().any(|line| line == format!("namespace/{name}"));
            Ok(pod_folders()?.iter().all(|(namespace, _)| is_there(namespace)))
        };
        within(2 * SOON, "the kubelet has removed the logs of pods that are gone", gone).await
    }

    /// Upgrades it to values that differ by `other`; waits until all of it is ready.
    pub(crate) async fn upgrade(&self, other: &Value) -> Result<()> {
        self.helm("upgrade", other).await
    }

    async fn helm(&self, action: &str, other: &Value) -> Result<()> {
        let mut values = self.values.clone();
        merge(&mut values, other);
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), values.to_string())?;
        let (chart, file) = (root().join("charts/headroom"), file.path().display().to_string());
        let chart = chart.display().to_string();
        let arguments = [action, RELEASE, &chart, "--namespace", &self.name, "--values", &file, "--wait"];
        let done = helm(&[&arguments[..], &["--timeout", "150s"]].concat()).await.map(drop);
        match done {
            Ok(()) => Ok(()),
            Err(error) => Err(error.context(self.said().await)),
        }
    }

    /// Takes it off the cluster, with its namespace.
    pub(crate) async fn uninstall(self) -> Result<()> {
        remove(&self.name).await
    }

    /// What the engine says at a path.
    pub(crate) async fn engine(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.engine_text(path).await?)?)
    }

    /// The same as it is.
    pub(crate) async fn engine_text(&self, path: &str) -> Result<String> {
        let client = reqwest::Client::builder().no_proxy().timeout(SOON / 9).build()?;
        let answer = client.get(format!("http://{ENGINE}:8080{path}")).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// Waits until what the engine says at a path `holds`; an engine that is starting is asked again.
    pub(crate) async fn says(&self, what: &str, path: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        let said = async || Ok(self.engine(path).await.is_ok_and(|said| holds(&said)));
        if let Err(error) = within(SOON, what, said).await {
            let last = self.engine(path).await.unwrap_or_default();
            return Err(error.context(format!("the engine says {last}")).context(self.said().await));
        }
        self.engine(path).await
    }

    /// Waits until every notice that the engine decided on was taken; there are `at_least` so many.
    pub(crate) async fn told(&self, at_least: usize) -> Result<BTreeMap<String, Value>> {
        let told = async || match self.engine("/v1/incidents").await {
            Ok(incidents) => Ok(self.inbox.told(&incidents, "hook", at_least)?.is_some()),
            Err(_) => Ok(false),
        };
        within(SOON, "the webhook is told everything", told).await.context(self.said().await)?;
        let told = self.inbox.told(&self.engine("/v1/incidents").await?, "hook", at_least)?;
        told.context("what was told stays told")
    }

    /// What Alertmanager lists.
    pub(crate) async fn alerts(&self) -> Result<Vec<Value>> {
        self.alertmanager.alerts().await
    }

    /// Documents of a namespace's pods, as they lie in Elasticsearch.
    pub(crate) async fn documents(&self, namespace: &str) -> Result<Vec<Value>> {
        let index = format!("headroom-logs-{}", self.name);
        let (status, _) = self.search.request(Method::POST, &format!("/{index}/_refresh"), None).await?;
        if !status.is_success() {
            return Ok(Vec::new());
        }
        let query = json!({ "size": 10_000, "query": { "term": { "kubernetes.pod_namespace": namespace } } });
        let answer = self.search.ask(Method::POST, &format!("/{index}/_search"), Some(query)).await?;
        let hits = answer["hits"]["hits"].as_array().cloned().unwrap_or_default();
        Ok(hits.into_iter().map(|hit| hit["_source"].clone()).collect())
    }

    /// How many there are.
    pub(crate) async fn count(&self, namespace: &str) -> Result<u64> {
        let index = format!("headroom-logs-{}", self.name);
        let (status, _) = self.search.request(Method::POST, &format!("/{index}/_refresh"), None).await?;
        if !status.is_success() {
            return Ok(0);
        }
        let path = format!("/{index}/_count?q=kubernetes.pod_namespace:{namespace}");
        let answer = self.search.ask(Method::GET, &path, None).await?;
        answer["count"].as_u64().context("a count is a number")
    }

    /// Every line of a namespace's pods in Elasticsearch.
    pub(crate) async fn in_search(&self, namespace: &str) -> Result<Vec<Found>> {
        let query = json!({ "term": { "kubernetes.pod_namespace": namespace } });
        found::in_search(self.search, &format!("headroom-logs-{}-*", self.name), query).await
    }

    /// Every line in the archive.
    pub(crate) async fn in_archive(&self) -> Result<Vec<Found>> {
        found::in_archive(&self.s3.archive("lines", "lines/")).await
    }

    /// What its pods are and said last, for a test that fails.
    pub(crate) async fn said(&self) -> String {
        let pods = kubectl(&["get", "pods", "--all-namespaces", "--output", "wide"]).await;
        let mut said = pods.unwrap_or_default();
        for component in ["collector", "engine"] {
            let selector = format!("app.kubernetes.io/component={component}");
            let arguments = ["logs", "--namespace", &self.name, "--selector", &selector, "--tail", "12"];
            let logs = kubectl(&[&arguments[..], &["--prefix"]].concat()).await;
            said.push_str(&logs.unwrap_or_else(|error| error.to_string()));
        }
        said
    }

    /// The pods of a component that are not being deleted.
    pub(crate) async fn pods(&self, component: &str) -> Result<Vec<Value>> {
        let selector = format!("app.kubernetes.io/component={component}");
        let pods = get(&["pods", "--namespace", &self.name, "--selector", &selector]).await?;
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        Ok(pods.into_iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect())
    }
}

async fn remove(namespace: &str) -> Result<()> {
    helm(&["uninstall", RELEASE, "--namespace", namespace, "--wait"]).await?;
    kubectl(&["delete", "namespace", namespace]).await.map(drop)
}

/// Values of the chart: everything goes to `urls`, those of search, S3, the inbox and Alertmanager.
fn values(name: &str, urls: &[String]) -> Value {
    let soon = json!({ "timeout_secs": 1 });
    let told = json!([
        { "name": "on-call", "channels": ["hook"] },
        { "name": "cluster", "channels": ["alertmanager"] },
    ]);
    let policy = |name: &str| json!({ "name": name, "steps": [{ "targets": told }] });
    json!({
        "environment": name,
        "elasticsearch": { "endpoints": [urls[0]], "batch": soon },
        "archive": {
            "bucket": "lines", "endpoint": urls[1], "keyPrefix": "lines/", "batch": soon,
            "auth": { "existingSecret": "bucket", "accessKeyIdKey": "id", "secretAccessKeyKey": "secret" },
        },
        "notifiers": {
            "hook": { "type": "webhook", "url": urls[2], "timeout": "2s" },
            "alertmanager": { "type": "alertmanager", "url": urls[3] },
        },
        "escalation": { "page": policy("page"), "ticket": policy("ticket") },
        "collector": {
            "engineUrl": format!("http://{ENGINE}:8080"),
            "statePath": format!("/var/lib/headroom/{name}"),
            "maxUnavailable": 1,
        },
        "engine": { "service": { "clusterIP": ENGINE } },
    })
}

/// Lays `other` over `values`, key by key.
fn merge(values: &mut Value, other: &Value) {
    match (values, other) {
        (Value::Object(values), Value::Object(other)) => {
            for (key, value) in other {
                merge(values.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (value, other) => *value = other.clone(),
    }
}
