//! Dashboards as the engine's services come, against a contract double of Kibana's import.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use prometheus::Registry;
use serde_json::{Value, json};
use settings::Syntax;
use slo::counts::MinuteId;

use super::*;
use crate::app::App;
use crate::engine::Clock;

/// How many objects each import held, and whether it fails.
#[derive(Default)]
struct Double {
    imports: Mutex<Vec<usize>>,
    fails: Mutex<bool>,
}

async fn take(State(double): State<Arc<Double>>, body: String) -> Json<Value> {
    let objects = body.lines().filter(|line| line.starts_with("{\"attributes\"")).count();
    double.imports.lock().unwrap().push(objects);
    let success = !*double.fails.lock().unwrap();
    Json(json!({ "success": success, "successCount": if success { objects } else { 0 } }))
}

async fn double() -> (Arc<Double>, String) {
    let double = Arc::new(Double::default());
    let router =
        Router::new().route("/s/sre/api/saved_objects/_import", post(take)).with_state(double.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (double, url)
}

fn config(dir: &Path, kibana: &str) -> Config {
    let text = json!({
        "data_dir": dir, "environment": "staging",
        "dashboards": { "url": kibana, "space": "sre", "runbook_url": "https://runbooks.example.net/{namespace}/{name}" },
    });
    Config::parse("test", &text.to_string(), Syntax::Yaml, &|_| None).unwrap()
}

async fn open(config: Config) -> App {
    App::open(config, Clock::Wall, &Registry::new()).await.unwrap()
}

async fn ingest(app: &App, service: Value, stream: &str) {
    let minute = MinuteId(29_923_800);
    let range = json!({ "start": 0, "end": 100 });
    let request = json!({
        "collector": "node-1", "epoch": "1", "watermark_ms": (minute.0 + 1) * 60_000,
        "edges_us": slo::counts::DEFAULT_EDGES_US,
        "streams": [{
            "stream": stream, "path": "/var/log/pods/x/0.log", "range": range, "newest_ms": minute.0 * 60_000,
            "tally": { "lines": 1, "requests": 1, "ignored": 0, "unparsed": 0, "late": 0, "dead_lettered": 0 },
        }],
        "rows": [{
            "stream": stream, "service": service, "origin": "ingress", "sli": "availability", "version": 1,
            "minute": minute.0, "range": range, "total": 1, "bad": 0, "excluded": 0,
        }],
    });
    app.engine.ingest(serde_json::from_value(request).unwrap()).await.unwrap();
}

fn named(namespace: &str, name: &str) -> Value {
    json!({ "named": { "namespace": namespace, "name": name } })
}

#[tokio::test]
async fn kibana_gets_what_is_new_and_everything_after_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let (double, url) = double().await;
    let config = config(dir.path(), &url);
    let mut updater = Updater::new(&config).unwrap().unwrap();
    let app = open(config).await;
    updater.update(&app.engine).await;
    updater.update(&app.engine).await;
    ingest(&app, named("shop", "web"), "a").await;
    *double.fails.lock().unwrap() = true;
    updater.update(&app.engine).await;
    assert!(updater.failed.as_ref().unwrap().contains("took 0 of 3 objects"), "{:?}", updater.failed);
    *double.fails.lock().unwrap() = false;
    updater.update(&app.engine).await;
    assert_eq!(updater.failed, None);
    ingest(&app, named("shop", "api"), "b").await;
    updater.update(&app.engine).await;
    updater.update(&app.engine).await;
    // Three data views and the overview; the overview, a dashboard and its search; all of them; the same for another.
    assert_eq!(*double.imports.lock().unwrap(), [4, 3, 6, 3]);
    app.stop().await;
}

#[tokio::test]
async fn dashboards_are_of_the_services_that_were_counted() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), "http://kibana:5601");
    let target = Target::of(&config);
    let app = open(config).await;
    ingest(&app, named("shop", "web"), "a").await;
    ingest(&app, json!({ "upstream": "social-feed-generator-80" }), "b").await;
    let services = target.services(&app.engine);
    let shown: Vec<(&str, bool, Option<&str>)> = services
        .iter()
        .map(|it| (it.service.as_str(), it.workload.is_some(), it.runbook_url.as_deref()))
        .collect();
    let runbook = "https://runbooks.example.net/shop/web";
    assert_eq!(shown, [("shop/web", true, Some(runbook)), ("social-feed-generator-80", false, None)]);
    let out = dir.path().join("out");
    write(&target.render(&services), &out).unwrap();
    let whole = std::fs::read_to_string(out.join(ALL)).unwrap();
    assert_eq!(dashboards::validate(&whole, &dashboards::fields::ALL), Vec::new());
    assert!(whole.contains("headroom-results-staging"));
    assert_eq!(std::fs::read_dir(out).unwrap().count(), 4);
    app.stop().await;
}

#[tokio::test]
async fn a_service_of_the_cluster_has_a_dashboard_before_its_first_request_with_its_own_runbook() {
    let dir = tempfile::tempdir().unwrap();
    let (_, url) = double().await;
    let config = config(dir.path(), &url);
    let target = Target::of(&config);
    let app = open(config).await;
    let service = |name: &str, annotations: Value| {
        let annotations = serde_json::from_value(annotations).unwrap();
        let (namespace, name) = ("shop".to_owned(), name.to_owned());
        Arc::new(kubernetes::Service { namespace, name, annotations, ..kubernetes::Service::default() })
    };
    let own =
        json!({ "headroom.dev/runbook": "https://wiki.example.net/web", "headroom.dev/availability": "99" });
    let other = json!({ "headroom.dev/availability": "99.5" });
    let objects = crate::cluster::Objects {
        services: vec![service("web", own), service("api", other), service("db", json!({}))],
        ..crate::cluster::Objects::default()
    };
    app.engine.discovered(&objects, MinuteId(29_923_800).start()).await.unwrap();
    let services = target.services(&app.engine);
    let runbooks: Vec<(&str, Option<&str>)> =
        services.iter().map(|it| (it.service.as_str(), it.runbook_url.as_deref())).collect();
    let want = [
        ("shop/api", Some("https://runbooks.example.net/shop/api")),
        ("shop/web", Some("https://wiki.example.net/web")),
    ];
    assert_eq!(runbooks, want);
    assert_eq!(services[1].slos[0].objective.to_string(), "99");
    app.stop().await;
}
