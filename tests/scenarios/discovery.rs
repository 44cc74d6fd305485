//! Services of a Kubernetes cluster, from a double of its API server to budgets and `discover`; a real one is for
//! `tests/real`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path as File, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus::Registry;
use serde_json::{Value, json};
use settings::Syntax;
use slo_engine::app::App;
use slo_engine::config::Config;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A double of the API server's contract, as far as a list and a watch go: each change ends all watches with 410, so that
/// everything is listed anew.
#[derive(Clone)]
struct ApiServer {
    objects: Arc<Mutex<BTreeMap<&'static str, Vec<Value>>>>,
    denied: Arc<Mutex<BTreeSet<&'static str>>>,
    version: watch::Sender<u64>,
}

impl ApiServer {
    async fn start(dir: &File) -> Result<(Self, PathBuf, JoinHandle<()>)> {
        let server = Self { objects: Arc::default(), denied: Arc::default(), version: watch::Sender::new(1) };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let routes = Router::new()
            .route("/api/v1/{plural}", get(core))
            .route("/apis/{group}/v1/{plural}", get(grouped))
            .with_state(server.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let file = dir.join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "double",
            "clusters": [{ "name": "double", "cluster": { "server": format!("http://{address}") } }],
            "users": [{ "name": "double", "user": {} }],
            "contexts": [{ "name": "double", "context": { "cluster": "double", "user": "double" } }],
        });
        std::fs::write(&file, config.to_string())?;
        Ok((server, file, serving))
    }

    /// What lists give from now on.
    fn set(&self, plural: &'static str, objects: Vec<Value>) {
        self.objects.lock().unwrap().insert(plural, objects);
        self.version.send_modify(|version| *version += 1);
    }

    async fn answer(&self, plural: &str, query: &BTreeMap<String, String>) -> Response {
        if self.denied.lock().unwrap().contains(plural) {
            let message = format!("{plural} is forbidden: User \"engine\" cannot list resource \"{plural}\"");
            return refuse(StatusCode::FORBIDDEN, &message);
        }
        if query.contains_key("watch") {
            let mut version = self.version.subscribe();
            let seen = query.get("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or(0);
            let _ = version.wait_for(|version| *version > seen).await;
            return refuse(StatusCode::GONE, "too old resource version");
        }
        let objects = self.objects.lock().unwrap().get(plural).cloned().unwrap_or_default();
        let metadata = json!({ "resourceVersion": self.version.borrow().to_string() });
        Json(json!({ "kind": "List", "apiVersion": "v1", "metadata": metadata, "items": objects }))
            .into_response()
    }
}

async fn core(
    State(server): State<ApiServer>,
    Path(plural): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    server.answer(&plural, &query).await
}

async fn grouped(
    State(server): State<ApiServer>,
    Path((_, plural)): Path<(String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    server.answer(&plural, &query).await
}

fn refuse(status: StatusCode, message: &str) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": status.as_u16(),
        "reason": if status == StatusCode::GONE { "Expired" } else { "Forbidden" },
    });
    (status, Json(body)).into_response()
}

fn service(name: &str, annotations: Value) -> Value {
    json!({
        "metadata": { "namespace": "shop", "name": name, "annotations": annotations },
        "spec": { "selector": { "app": name } },
    })
}

fn ingress(service: &str) -> Value {
    let backend = json!({ "service": { "name": service, "port": { "number": 80 } } });
    let path = json!({ "path": "/", "pathType": "Prefix", "backend": backend });
    let spec = json!({ "rules": [{ "http": { "paths": [path] } }] });
    json!({ "metadata": { "namespace": "shop", "name": "front" }, "spec": spec })
}

fn configuration(dir: &File, kube_config: &File) -> Value {
    json!({
        "listen": "127.0.0.1:0",
        "data_dir": dir.join("engine"),
        "kubernetes": { "kube_config_file": kube_config },
        "notifiers": { "journal": { "type": "log", "file": dir.join("pages.jsonl") } },
    })
}

async fn start(config: &Value) -> Result<(App, Registry)> {
    let config = Config::parse("the test's configuration", &config.to_string(), Syntax::Yaml, &|_| None);
    let registry = Registry::new();
    let app = App::start(config.map_err(|problems| anyhow::anyhow!("{problems}"))?, registry.clone()).await?;
    Ok((app, registry))
}

/// Waits until the engine shows what is to happen.
async fn until(app: &App, what: &str, so: impl Fn(&Value) -> bool) -> Result<Value> {
    let look = async {
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        loop {
            looks.tick().await;
            let shown = serde_json::to_value(app.engine.overview().await?)?;
            if so(&shown) {
                return Ok(shown);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), look)
        .await
        .unwrap_or_else(|_| Err(anyhow::anyhow!("waited in vain: {what}")))
}

fn names(shown: &Value) -> Vec<&str> {
    let services = shown["services"].as_array().unwrap().iter();
    services.map(|service| service["service"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn services_come_are_renamed_and_stay_known_while_the_api_server_is_away() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (server, kube_config, serving) = ApiServer::start(dir.path()).await?;
    server.set("namespaces", vec![json!({ "metadata": { "name": "shop", "labels": { "team": "carts" } } })]);
    server.set("services", vec![service("web", json!({}))]);
    server.set("ingresses", vec![ingress("web")]);
    let config = configuration(dir.path(), &kube_config);
    let (app, _) = start(&config).await?;
    let shown =
        until(&app, "a service before its first request", |shown| names(shown) == ["shop/web"]).await?;
    let cluster = &shown["services"][0]["cluster"];
    assert_eq!((&cluster["team"], &cluster["workload"]), (&json!("carts"), &json!("no_pods")));
    let renamed = json!({ "headroom.dev/renamed-from": "web", "headroom.dev/availability": "99.5" });
    server.set("ingresses", vec![ingress("front")]);
    server.set("services", vec![service("front", renamed)]);
    let shown = until(&app, "the new name", |shown| names(shown) == ["shop/front"]).await?;
    assert_eq!(shown["services"][0]["slos"][0]["objective"], "99.5");
    app.stop().await;
    serving.abort();
    let (app, registry) = start(&config).await?;
    let shown = serde_json::to_value(app.engine.overview().await?)?;
    assert_eq!(names(&shown), ["shop/front"]);
    assert_eq!(shown["services"][0]["slos"][0]["objective"], "99.5");
    let down = |shown: &Value| {
        let warnings = shown["warnings"].as_array().map(Vec::as_slice);
        matches!(warnings, Some([one]) if one.as_str().unwrap().starts_with("the cluster is not watched: "))
    };
    until(&app, "a warning", down).await?;
    let metrics = prometheus::TextEncoder::new().encode_to_string(&registry.gather())?;
    let errors = metrics.lines().filter(|line| line.starts_with("headroom_discovery_errors_total"));
    assert!(errors.clone().count() == 7 && errors.clone().all(|line| !line.ends_with(" 0")), "{metrics}");
    app.stop().await;
    Ok(())
}

#[tokio::test]
async fn discover_says_what_it_sees_and_what_it_may_not_see() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (server, kube_config, _serving) = ApiServer::start(dir.path()).await?;
    server.set("namespaces", vec![json!({ "metadata": { "name": "shop" } })]);
    server.set(
        "services",
        vec![service("web", json!({ "headroom.dev/latency": "95% < 300ms" })), service("db", json!({}))],
    );
    server.set("ingresses", vec![ingress("web")]);
    let file = kube_config.display().to_string();
    let discover = ["discover", "--kube-config-file", &file];
    let ended = crate::engine().run(&discover).await?;
    assert!(ended.status.success(), "{}", ended.stderr);
    let columns = |line: &str| line.split("  ").filter(|word| !word.trim().is_empty()).count();
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(lines[..3].iter().all(|line| columns(line) == 5), "{lines:?}");
    assert!(lines[1].contains("shop/db") && lines[1].contains("no ingress routes here"), "{lines:?}");
    assert!(lines[2].contains("shop/web") && lines[2].contains("ingress front routes here"), "{lines:?}");
    assert!(
        lines[3].starts_with("! Service shop/web, annotation headroom.dev/latency: \"300ms\" is not"),
        "{lines:?}"
    );
    server.denied.lock().unwrap().insert("ingresses");
    let config = dir.path().join("engine.yaml");
    std::fs::write(&config, configuration(dir.path(), &kube_config).to_string())?;
    let config = config.display().to_string();
    let ended = crate::engine().run(&["discover", "--config", &config, "--output", "json"]).await?;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("ingresses.networking.k8s.io"), "{}", ended.stderr);
    let seen: Value = serde_json::from_str(&ended.stdout)?;
    assert_eq!(seen["services"][1]["service"], "shop/web");
    assert_eq!(seen["failures"].as_array().unwrap().len(), 1);
    server.denied.lock().unwrap().insert("services");
    let ended = crate::engine().run(&discover).await?;
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        ended.stderr.starts_with("error: cannot list the namespaces and services of the cluster: "),
        "{}",
        ended.stderr
    );
    Ok(())
}
